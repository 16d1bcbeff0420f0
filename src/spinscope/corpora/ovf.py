"""OVF files, the vector fields of OOMMF and mumax3: read, checked and written.

OVF 1.0 and 2.0 on rectangular meshes, with values as text or as binary numbers of 4 or 8 bytes
(big-endian in 1.0, little-endian in 2.0, after a check value).

References
----------
OOMMF user's guide, "Vector Field File Format (OVF)".
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file

Form = Literal["binary4", "binary8", "text"]
"""How the values are written."""

MAX_NODES = 2**27
"""Limit on the nodes of a file, checked before its values are read."""

FORMS = {"text": "Text", "binary4": "Binary 4", "binary8": "Binary 8"}
"""Name of each form in a file."""

_CHECK = {4: 1234567.0, 8: 123456789012345.0}
_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "nm": 1e-9}
_AMPERES_PER_METRE = {"A/m": 1.0, "kA/m": 1e3, "MA/m": 1e6}
_NO_UNIT = {"", "1", "none"}
_KEYS = {
    *(f"{axis}{key}" for axis in "xyz" for key in ("nodes", "stepsize")),
    *("title", "meshtype", "meshunit", "segmentcount"),
    *("valuedim", "valueunit", "valueunits", "valuemultiplier"),
}

_HEADER = 2**20  # bytes in which the header must end
_TAIL = 2**12  # bytes at the end of a file in which the data block must end
_NUMBER = 64  # limit on the bytes of a number in text, with the white space around it

_FIRST = re.compile(
    rb"#\s*OOMMF\s*:?\s*(?:OVF\s+v?([\d.]+)|(rectangular|irregular)\s+mesh\s+v?([\w.]+))",
    re.IGNORECASE,
)
_DATA = re.compile(rb"^[ \t]*#[ \t]*begin[ \t]*:[ \t]*data\b([^\r\n]*)\r?\n", re.I | re.M)
_END = re.compile(rb"#[ \t]*end[ \t]*:[ \t]*data", re.IGNORECASE)
_REVISIONS_OF_1 = {"1.0", "1.00", "0.99", "0.0a0"}  # that OOMMF reads as OVF 1.0


@dataclass(frozen=True, eq=False)
class Ovf:
    """A vector field on a rectangular mesh."""

    m: np.ndarray
    """Values in `unit`, (Z, H, W, 3) float32, components (x, y, z)."""
    cell: tuple[float, float, float]
    """Edges (dz, dy, dx) of a cell, m."""
    unit: str = ""
    """Unit of the values, empty for unit vectors."""
    title: str = ""
    desc: tuple[str, ...] = ()
    version: int = 2
    form: Form = "binary4"
    name: str = "field"
    """Name of the field in error messages."""

    @property
    def outside(self) -> np.ndarray:
        """Cells without material, where the vector is zero, (Z, H, W) bool."""
        return ~self.m.any(axis=-1)


@dataclass(frozen=True, eq=False)
class OvfFilm:
    """A film as an OVF file describes it, without material constants."""

    m: np.ndarray
    """Unit vectors averaged through the thickness, (H, W, 3) float32; zero outside."""
    outside: np.ndarray
    """Cells without material at any depth, (H, W) bool."""
    cell: float
    """Edge of a cell in the plane, m."""
    thickness: float
    """Thickness of the film, m."""
    ms: np.ndarray | None = None
    """Saturation magnetisation averaged through the thickness, (H, W) float32 in A/m; None for
    unit vectors."""


def read_ovf(path: Path | str, *, components: int = 3) -> Ovf:
    """Read an OVF file.

    Values are multiplied by `valuemultiplier`, lengths are converted to metres. Memory is
    allocated for values that the file holds, not for those that its header promises.

    Parameters
    ----------
    path : Path
        File to read.
    components : int, default 3
        Values of a node: 3 for a vector field, 1 for a map of regions.

    Raises
    ------
    SpinscopeError
        If the file is not OVF 1.0 or 2.0 on a rectangular mesh, is cut off, has another number of
        nodes than its header states, values that are not finite, a wrong check value, mixed units,
        or steps that are not positive.
    """
    path = Path(path)
    if not path.is_file():
        raise SpinscopeError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            header = _read_header(path, file, components)
            read = _read_text if header.ovf.form == "text" else _read_binary
            values = read(header, file)
    except OSError as error:
        raise SpinscopeError(f"{path} cannot be read: {error.strerror or error}") from error
    with np.errstate(over="ignore"):
        if header.multiplier != 1:
            values = values.astype(np.float64) * header.multiplier
        values = values.astype(np.float32, copy=False).reshape(*header.nodes, components)
    _check_finite(path, values)
    return replace(header.ovf, m=values)


def write_ovf(
    path: Path | str,
    m: np.ndarray,
    cell: Sequence[float],
    *,
    version: Literal[1, 2] = 2,
    form: Form = "binary4",
    unit: str = "",
    title: str = "m",
    desc: Sequence[str] = (),
) -> Path:
    """Write a vector field as OOMMF and mumax3 read it; the same input gives the same bytes.

    Parameters
    ----------
    path : Path
        File to write.
    m : (Z, H, W, 3) or (H, W, 3) array
        Field; in OVF 2.0 also with one component (a map of regions).
    cell : (float, float, float)
        Edges (dz, dy, dx) of a cell in m.
    version : {1, 2}, default 2
        OVF 1.0 or 2.0.
    form : {"binary4", "binary8", "text"}, default "binary4"
        ``binary8`` writes float64, the others float32.
    unit, title, desc
        Unit of the values, title and descriptions of the header.

    Raises
    ------
    SpinscopeError
        If shape, values, edges or texts cannot be written.
    """
    path = Path(path)
    m = np.asarray(m)
    m = m[np.newaxis] if m.ndim == 3 else m
    _check_written(path, m, cell, version, form, [unit, title, *desc])
    with np.errstate(over="ignore"):
        values = m.astype(np.float64 if form == "binary8" else np.float32)
    _check_finite(path, values)
    with atomic_file(path) as partial, partial.open("wb") as file:
        lines = _header_lines(values, cell, version, unit, title, desc)
        lines.append(f"Begin: Data {FORMS[form]}")
        file.write("".join(f"# {line}\n" for line in lines).encode())
        if form == "text":
            _write_text(file, values)
        else:
            width, order = values.dtype.itemsize, ">" if version == 1 else "<"
            file.write(np.array(_CHECK[width], f"{order}f{width}").tobytes())
            file.write(values.astype(f"{order}f{width}", order="C", copy=False).data)
            file.write(b"\n")
        file.write(f"# End: Data {FORMS[form]}\n# End: Segment\n".encode())
    return path


def film_of(ovf: Ovf) -> OvfFilm:
    """Average a vector field through its thickness to a film.

    `m` is the mean of the unit vectors of a column's cells with material, `ms` the mean length over
    all its cells, so that `ms` times thickness is the moment per area of a column whose
    magnetisation does not vary with depth.

    Raises
    ------
    SpinscopeError
        If the cells are not square in the plane, no cell holds material, or the unit is not A/m,
        kA/m, MA/m or none.
    """
    dz, dy, dx = ovf.cell
    if not math.isclose(dy, dx, rel_tol=1e-6):
        raise SpinscopeError(
            f"{ovf.name}: cells are {dx * 1e9:.6g}x{dy * 1e9:.6g} nm in the plane; those of a film "
            "must be square"
        )
    if ovf.unit and ovf.unit not in _AMPERES_PER_METRE:
        raise SpinscopeError(
            f"{ovf.name}: values are in {ovf.unit}; a film is made from magnetisation in A/m, kA/m "
            "or MA/m, or from unit vectors"
        )
    length = np.sqrt(np.einsum("zyxc,zyxc->zyx", ovf.m, ovf.m, dtype=np.float64))
    held = (length > 0).sum(axis=0)
    if not held.any():
        raise SpinscopeError(
            f"{ovf.name}: every vector is zero; a film must have cells with material"
        )
    unit_vectors = ovf.m / np.where(length > 0, length, 1.0)[..., np.newaxis]
    m = unit_vectors.sum(axis=0) / np.maximum(held, 1)[..., np.newaxis]
    ms = None
    if ovf.unit:
        ms = (length.mean(axis=0) * _AMPERES_PER_METRE[ovf.unit]).astype(np.float32)
    return OvfFilm(m.astype(np.float32), held == 0, dx, dz * len(ovf.m), ms)


@dataclass(frozen=True)
class _Header:
    """Header of a file."""

    ovf: Ovf
    """Field without values."""
    start: int
    """Offset at which the values begin."""
    nodes: tuple[int, int, int]
    components: int
    multiplier: float

    @property
    def count(self) -> int:
        """Numbers in the data block."""
        return math.prod(self.nodes) * self.components

    def refuse_count(self, held: int) -> NoReturn:
        """Raise for a data block of another length."""
        z, y, x = self.nodes
        nodes, rest = divmod(held, self.components)
        values = f"{nodes} nodes" + (f" and {rest} single values" if rest else "")
        raise SpinscopeError(
            f"{self.ovf.name} holds {values}; its header promises {math.prod(self.nodes)} "
            f"(xnodes {x}, ynodes {y}, znodes {z})"
        )

    def refuse_cut(self) -> NoReturn:
        """Raise for a data block without end."""
        raise SpinscopeError(f"{self.ovf.name} is cut off: the end of its data block is missing")


class _Records(dict[str, str]):
    """Values of the header by key, without case and white space, and the descriptions."""

    def __init__(self, path: Path, head: bytes) -> None:
        super().__init__()
        self.path, self.desc = path, []
        try:
            text = head.decode()
        except UnicodeDecodeError:
            text = head.decode("latin-1")
        for line in text.split("\n"):
            key, colon, value = line.strip().split("##")[0].removeprefix("#").partition(":")
            key, value = "".join(key.split()).lower(), value.strip()
            if key == "desc":
                self.desc.append(value)
            elif colon and key in _KEYS and self.setdefault(key, value) != value:
                raise SpinscopeError(
                    f"{path} names {key} twice ({self[key]!r} and {value!r}); it must be one"
                )

    def required(self, key: str, default: str | None = None) -> str:
        """Value of a key that must be there."""
        if (value := self.get(key, default)) is None:
            raise SpinscopeError(f"{self.path}: the header has no {key}")
        return value

    def whole(self, key: str) -> int:
        """Positive whole number."""
        value = self.required(key)
        if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < 1:
            raise SpinscopeError(f"{self.path}: {key} (={value!r}) must be a positive whole number")
        return int(value)

    def real(self, key: str, default: str | None = None) -> float:
        """Finite number."""
        value = self.required(key, default)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise SpinscopeError(f"{self.path}: {key} (={value!r}) must be a finite number")
        return number

    def unit(self, components: int) -> str:
        """Unit of all components; OVF 2.0 writes one for each, as a Tcl list."""
        units = []
        for key in ("valueunits", "valueunit"):
            listed = re.findall(r'\{([^}]*)\}|"([^"]*)"|(\S+)', self.get(key, ""))
            listed = ["".join(groups).strip() for groups in listed]
            if len(listed) not in (0, 1, components):
                raise SpinscopeError(
                    f"{self.path} names {len(listed)} units ({key}: {self[key]}); must be one, or "
                    f"one for each of the {components} components"
                )
            units += ["" if unit.lower() in _NO_UNIT else unit for unit in listed]
        if len(set(units)) > 1:
            raise SpinscopeError(
                f"{self.path}: units of the values are mixed "
                f"({', '.join(unit or 'none' for unit in units)}); all components must have the "
                "same"
            )
        return units[0] if units else ""


def _read_header(path: Path, file: BinaryIO, components: int) -> _Header:
    """Read and check everything before the data block."""
    head = file.read(_HEADER)
    version = _version(path, head)
    begin = _DATA.search(head)
    if begin is None:
        if len(head) < _HEADER:
            raise SpinscopeError(f"{path} is cut off in its header: it has no data block")
        raise SpinscopeError(f"{path} has no data block in its first {_HEADER} bytes")
    records = _Records(path, head[: begin.start()])
    if (segments := records.get("segmentcount", "1")) != "1":
        raise SpinscopeError(f"{path} has {segments} segments; it must have one")
    if (mesh := records.get("meshtype", "rectangular")).lower() != "rectangular":
        _refuse_mesh(path, mesh)
    held = records.whole("valuedim") if version == 2 else 3
    if held != components:
        raise SpinscopeError(f"{path} has {held} values a node (valuedim); must be {components}")
    nodes = tuple(records.whole(f"{axis}nodes") for axis in "zyx")
    if math.prod(nodes) > MAX_NODES:
        raise SpinscopeError(
            f"{path} promises {nodes[2]}x{nodes[1]}x{nodes[0]} nodes; at most {MAX_NODES} are read"
        )
    unit = records.get("meshunit", "")
    if unit not in _METRES:
        raise SpinscopeError(
            f"{path}: the mesh is in {unit or 'no unit'} (meshunit); must be m, mm, um or nm"
        )
    steps = {axis: records.real(f"{axis}stepsize") for axis in "zyx"}
    for axis, step in steps.items():
        if step * _METRES[unit] <= 0:
            raise SpinscopeError(f"{path}: {axis}stepsize (={step:g}) must be positive")
    if (multiplier := records.real("valuemultiplier", "1")) == 0:
        raise SpinscopeError(f"{path}: valuemultiplier (=0) must not be zero")
    form = b"".join(begin[1].split(b"##")[0].split()).lower().decode("ascii", "replace")
    if form not in FORMS:
        raise SpinscopeError(f"{path}: values are {form!r}; must be text, binary 4 or binary 8")
    cell = tuple(step * _METRES[unit] for step in steps.values())
    title, desc = records.get("title", ""), tuple(records.desc)
    field = Ovf(None, cell, records.unit(components), title, desc, version, form, str(path))
    return _Header(field, begin.end(), nodes, components, multiplier)


def _version(path: Path, head: bytes) -> int:
    """Version of the format, by the first line."""
    first = _FIRST.match(head)
    if first is None:
        raise SpinscopeError(f"{path} is not an OVF file: its first line does not say so")
    number, mesh, revision = (text and text.decode("ascii", "replace") for text in first.groups())
    if mesh and mesh.lower() == "irregular":
        _refuse_mesh(path, "irregular")
    if mesh and revision.lower() in _REVISIONS_OF_1:
        return 1
    if number == "2.0":
        return 2
    raise SpinscopeError(
        f"{path} begins with {first[0].decode('ascii', 'replace')!r}; OVF that can be read begins "
        "with '# OOMMF: rectangular mesh v1.0' or '# OOMMF OVF 2.0'"
    )


def _refuse_mesh(path: Path, mesh: str) -> NoReturn:
    """Raise for a mesh that is not rectangular."""
    raise SpinscopeError(f"{path} has an {mesh} mesh (meshtype); must be rectangular")


def _end_of_values(header: _Header, file: BinaryIO) -> int:
    """Offset of the line that ends the data block, the last but one of the file."""
    tail = max(header.start, os.fstat(file.fileno()).st_size - _TAIL)
    file.seek(tail)
    ends = list(_END.finditer(file.read(_TAIL)))
    if not ends:
        header.refuse_cut()
    return tail + ends[-1].start()


def _read_binary(header: _Header, file: BinaryIO) -> np.ndarray:
    """Values of a binary data block."""
    width, order = int(header.ovf.form[-1]), "big" if header.ovf.version == 1 else "little"
    dtype = np.dtype(f"{'>' if order == 'big' else '<'}f{width}")
    file.seek(header.start)
    check = file.read(width)
    if len(check) < width:
        header.refuse_cut()
    value, swapped = (np.frombuffer(check, kind)[0] for kind in (dtype, dtype.newbyteorder()))
    if value != _CHECK[width]:
        reason = "a damaged file, or one that was transferred as text"
        if swapped == _CHECK[width]:
            reason = (
                f"its bytes are in the wrong order: OVF {header.ovf.version}.0 is {order}-endian"
            )
        raise SpinscopeError(
            f"{header.ovf.name}: check value before the data is {float(value):g}; must be "
            f"{_CHECK[width]:.1f} ({reason})"
        )
    start = header.start + width
    end = _end_of_values(header, file)
    file.seek(max(start, end - 2))
    before = file.read(2 if end > start + 1 else 0)
    spare = end - start - header.count * width  # bytes of the line end after the values
    if spare not in (0, 1, 2) or before[2 - spare :] not in (b"", b"\n", b"\r\n"):
        header.refuse_count((end - start) // width)
    file.seek(start)
    values = np.fromfile(file, dtype, header.count)
    if len(values) < header.count:
        header.refuse_cut()
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_text(header: _Header, file: BinaryIO) -> np.ndarray:
    """Values of a data block of text."""
    length = _end_of_values(header, file) - header.start
    if length > header.count * _NUMBER + _HEADER:
        raise SpinscopeError(
            f"{header.ovf.name} holds {length} bytes of text, far more than the "
            f"{header.count} values that its header promises"
        )
    file.seek(header.start)
    text = re.sub(rb"#[^\n]*", b"", file.read(length)).strip()
    try:
        values = np.fromstring(text, np.float32, sep=" ") if text else np.empty(0, np.float32)
    except ValueError:
        _refuse_word(header, text)
    if len(values) != header.count:
        header.refuse_count(len(values))
    return values


def _refuse_word(header: _Header, text: bytes) -> NoReturn:
    """Raise for the first word of a data block that is not a number."""
    for index, word in enumerate(text.split()):
        try:
            float(word)
        except ValueError:
            raise SpinscopeError(
                f"{header.ovf.name}: value {index % header.components + 1} of node "
                f"{index // header.components + 1} (={word[:40].decode('ascii', 'replace')!r}) "
                "must be a number"
            ) from None
    raise SpinscopeError(f"{header.ovf.name}: the data block must hold numbers only")


def _check_finite(path: Path, values: np.ndarray) -> None:
    """Raise for values that are not finite, with their number and the first cell."""
    if np.isfinite(values).all():
        return
    bad = ~np.isfinite(values).all(axis=-1)
    z, y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    raise SpinscopeError(
        f"{path}: {int(bad.sum())} cells are NaN, infinite or beyond float32, the first at x {x}, "
        f"y {y}, z {z}; all must be finite"
    )


def _check_written(
    path: Path, m: np.ndarray, cell: Sequence[float], version: int, form: str, texts: list[str]
) -> None:
    """Raise for a field that cannot be written; `texts` are unit, title and descriptions."""
    widths = (3,) if version == 1 else (1, 3)
    shape = "(Z, H, W, 3)" + ("" if version == 1 else " or (Z, H, W, 1)")
    positive = len(cell) == 3 and all(math.isfinite(edge) and edge > 0 for edge in cell)
    rules = {
        f"OVF version (={version}) must be 1 or 2": version in (1, 2),
        f"form (={form!r}) must be binary4, binary8 or text": form in FORMS,
        f"a field of shape {m.shape} cannot be written as OVF {version}.0; must be {shape}": (
            m.ndim == 4 and m.shape[-1] in widths and 0 not in m.shape
        ),
        f"values of type {m.dtype} must be real numbers": m.dtype.kind in "fiub",
        f"cell (={tuple(cell)}) must be three positive lengths in m": positive,
        **{f"{t!r} must be one line without ##": t.isprintable() and "##" not in t for t in texts},
        f"unit (={texts[0]!r}) must be one word": not re.search(r'[\s{}"]', texts[0]),
    }
    for rule, holds in rules.items():
        if not holds:
            raise SpinscopeError(f"{path}: {rule}")


def _header_lines(
    values: np.ndarray,
    cell: Sequence[float],
    version: int,
    unit: str,
    title: str,
    desc: Sequence[str],
) -> list[str]:
    """Lines before the data block; mumax3 refuses a file with a key that it does not know."""
    components = values.shape[-1]
    axes = list(zip("xyz", values.shape[2::-1], map(float, cell[::-1]), strict=True))
    lines = ["OOMMF: rectangular mesh v1.0" if version == 1 else "OOMMF OVF 2.0"]
    lines += ["Segment count: 1", "Begin: Segment", "Begin: Header", f"Title: {title.strip()}"]
    lines += [f"Desc: {text}" for text in desc]
    lines += ["meshtype: rectangular", "meshunit: m"]
    lines += [f"{axis}min: 0" for axis, _, _ in axes]
    lines += [f"{axis}max: {nodes * edge!r}" for axis, nodes, edge in axes]
    lines += [f"{axis}base: {edge / 2!r}" for axis, _, edge in axes]
    lines += [f"{axis}nodes: {nodes}" for axis, nodes, _ in axes]
    lines += [f"{axis}stepsize: {edge!r}" for axis, _, edge in axes]
    if version == 1:
        lengths = np.linalg.norm(values.astype(np.float64), axis=-1)
        smallest = lengths[lengths > 0].min(initial=lengths.max())
        lines += [f"ValueRangeMinMag: {float(smallest)!r}"]
        lines += [f"ValueRangeMaxMag: {float(lengths.max())!r}"]
        lines += [f"valueunit: {unit or 1}", "valuemultiplier: 1"]
    else:
        name = re.sub(r"\W+", "_", title) or "m"
        labels = [f"{name}_{axis}" for axis in "xyz"] if components == 3 else [name]
        lines += [f"valuedim: {components}", f"valuelabels: {' '.join(labels)}"]
        lines += [f"valueunits: {' '.join([unit or '1'] * components)}"]
    return [*lines, "End: Header"]


def _write_text(file: BinaryIO, values: np.ndarray, rows: int = 2**16) -> None:
    """Write one line per node; nine digits preserve every float32."""
    values = values.reshape(-1, values.shape[-1])
    line = " ".join(["%.9g"] * values.shape[-1]) + "\n"
    for first in range(0, len(values), rows):
        chunk = values[first : first + rows]
        file.write((line * len(chunk) % tuple(chunk.ravel().tolist())).encode())
