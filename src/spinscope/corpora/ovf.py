"""Vector fields of OOMMF and mumax3: OVF files read, checked and written.

OVF 1.0 and 2.0 on rectangular meshes; values as text or binary of 4 or 8 bytes (big-endian in
1.0, little-endian in 2.0, after a check value that tells the order of bytes).
Source: OOMMF user's guide, "Vector Field File Format (OVF)".
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file

Form = Literal["binary4", "binary8", "text"]

MAX_NODES = 2**27
"""A file whose header promises more nodes than this is refused before its values are read."""

_CHECK = {4: 1234567.0, 8: 123456789012345.0}
_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "nm": 1e-9}
_AMPERES_PER_METRE = {"A/m": 1.0, "kA/m": 1e3, "MA/m": 1e6}
_NO_UNIT = {"", "1", "none"}

_KEYS = {
    *(f"{axis}{what}" for axis in "xyz" for what in ("nodes", "stepsize")),
    *("title", "meshtype", "meshunit", "segmentcount"),
    *("valuedim", "valueunit", "valueunits", "valuemultiplier"),
}

_HEADER = 2**20
_TAIL = 2**12
_NUMBER = 64
"""No number of a text needs more bytes than this, with the white space around it."""

_FIRST = re.compile(
    rb"#\s*OOMMF\s*:?\s*(?:OVF\s+v?([\d.]+)|(rectangular|irregular)\s+mesh\s+v?([\w.]+))",
    re.IGNORECASE,
)
_DATA = re.compile(rb"^[ \t]*#[ \t]*begin[ \t]*:[ \t]*data\b([^\r\n]*)\r?\n", re.I | re.M)
_END = re.compile(rb"#[ \t]*end[ \t]*:[ \t]*data", re.IGNORECASE)
_FIRST_REVISIONS = {"1.0", "1.00", "0.99", "0.0a0"}
"""Revisions that OOMMF takes for OVF 1.0."""


@dataclass(frozen=True, eq=False)
class Ovf:
    """A vector field on a rectangular mesh.

    m : (Z, H, W, 3) float32 values as the file means them, components (x, y, z), in `unit`.
    cell : (dz, dy, dx) edges of a cell, m.
    unit : of the values, "" for none (unit vectors).
    """

    m: np.ndarray
    cell: tuple[float, float, float]
    unit: str = ""
    title: str = ""
    desc: tuple[str, ...] = ()
    version: int = 2
    form: Form = "binary4"
    name: str = "field"
    """Where it comes from, for what is said about it."""

    @property
    def outside(self) -> np.ndarray:
        """(Z, H, W) bool: cells without material, where the vector is zero."""
        return ~self.m.any(axis=-1)


@dataclass(frozen=True, eq=False)
class OvfFilm:
    """What an OVF file tells of a film; its material constants are not among it.

    m : (H, W, 3) float32 unit vectors averaged through the thickness; zero outside.
    outside : (H, W) bool cells that hold no material at any depth.
    cell : edge of a cell in the plane, m.   thickness : m.
    ms : (H, W) float32 saturation magnetisation averaged through the whole thickness, A/m; None
    where the file holds unit vectors.
    """

    m: np.ndarray
    outside: np.ndarray
    cell: float
    thickness: float
    ms: np.ndarray | None = None


def read_ovf(path: Path | str, *, components: int = 3) -> Ovf:
    """Read an OVF file; no memory is taken for values that the file does not hold.

    Values are multiplied by `valuemultiplier`, lengths turned into metres (m, mm, um and nm are
    known). `components` are the values a node must have (1: a map of regions).
    Raises SpinscopeError for a file that is no OVF 1.0 or 2.0, is cut off, has another number of
    nodes than its header promises, cells that are not finite, units that differ between
    components, an irregular mesh, a wrong check value or steps that are not positive.
    """
    path = Path(path)
    if not path.is_file():
        raise SpinscopeError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            header = _read_header(path, file, components)
            read = _read_text if header.form == "text" else _read_binary
            values = read(header, file)
    except OSError as error:
        raise SpinscopeError(f"{path} cannot be read: {error.strerror or error}") from error
    with np.errstate(over="ignore"):
        if header.multiplier != 1:
            values = values.astype(np.float64) * header.multiplier
        values = values.astype(np.float32, copy=False).reshape(*header.nodes, components)
    _check_finite(path, values)
    return Ovf(
        values,
        header.cell,
        header.unit,
        header.title,
        header.desc,
        header.version,
        header.form,
        str(path),
    )


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
    """Write a vector field as OOMMF and mumax3 read it; the same input makes the same bytes.

    m : (Z, H, W, 3) or (H, W, 3), or with one component in OVF 2.0 (a map of regions). Written as
    float32, but for "binary8", which keeps float64.   cell : (dz, dy, dx), m.
    Raises SpinscopeError for another shape, values or edges that cannot be written, and text that
    would break the header.
    """
    path = Path(path)
    m = np.asarray(m)
    m = m[np.newaxis] if m.ndim == 3 else m
    _check_written(path, m, cell, version, form, [unit, title, *desc])
    with np.errstate(over="ignore"):
        values = m.astype(np.float64 if form == "binary8" else np.float32)
    _check_finite(path, values)
    with atomic_file(path) as partial, partial.open("wb") as file:
        kind = {"text": "Text", "binary4": "Binary 4", "binary8": "Binary 8"}[form]
        lines = _header_lines(values, cell, version, unit, title, desc)
        file.write("".join(f"# {line}\n" for line in [*lines, f"Begin: Data {kind}"]).encode())
        if form == "text":
            _write_text(file, values)
        else:
            width = values.dtype.itemsize
            order = ">" if version == 1 else "<"
            file.write(np.array(_CHECK[width], f"{order}f{width}").tobytes())
            file.write(values.astype(f"{order}f{width}", order="C", copy=False).data)
            file.write(b"\n")
        file.write(f"# End: Data {kind}\n# End: Segment\n".encode())
    return path


def film_of(ovf: Ovf) -> OvfFilm:
    """The film that a vector field describes, averaged through its thickness.

    m is the mean of the unit vectors of a column's cells that hold material; ms is the mean length
    over all its cells, so that ms times thickness is the moment an area of film has if the
    magnetisation does not vary with depth.
    Raises SpinscopeError where cells are not square in the plane, no cell holds material, or the
    values have a unit that is not one of magnetisation (A/m, kA/m, MA/m or none).
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
    path: Path
    version: int
    form: Form
    start: int
    """Where the values begin in the file."""
    nodes: tuple[int, int, int]
    components: int
    cell: tuple[float, float, float]
    unit: str
    multiplier: float
    title: str
    desc: tuple[str, ...]

    @property
    def count(self) -> int:
        """Numbers in the data block."""
        return math.prod(self.nodes) * self.components

    def wrong_count(self, held: int) -> SpinscopeError:
        z, y, x = self.nodes
        nodes, rest = divmod(held, self.components)
        found = f"{nodes} nodes" + (f" and {rest} single values" if rest else "")
        return SpinscopeError(
            f"{self.path} holds {found}; its header promises {math.prod(self.nodes)} "
            f"(xnodes {x}, ynodes {y}, znodes {z})"
        )

    def cut(self) -> SpinscopeError:
        return SpinscopeError(f"{self.path} is cut off: the end of its data block is missing")


def _read_header(path: Path, file: BinaryIO, components: int) -> _Header:
    head = file.read(_HEADER)
    version = _version(path, head)
    begin = _DATA.search(head)
    if begin is None:
        if len(head) < _HEADER:
            raise SpinscopeError(f"{path} is cut off in its header: it has no data block")
        raise SpinscopeError(f"{path} has no data block in its first {_HEADER} bytes")
    said, desc = _records(path, head[: begin.start()])
    if said.get("segmentcount", "1") != "1":
        raise SpinscopeError(f"{path} has {said['segmentcount']} segments; it must have one")
    if said.get("meshtype", "rectangular").lower() != "rectangular":
        raise _irregular(path, said["meshtype"])
    held = _whole(path, said, "valuedim") if version == 2 else 3
    if held != components:
        raise SpinscopeError(f"{path} has {held} values a node (valuedim); must be {components}")
    nodes = tuple(_whole(path, said, f"{axis}nodes") for axis in "zyx")
    if math.prod(nodes) > MAX_NODES:
        raise SpinscopeError(
            f"{path} promises {nodes[2]}x{nodes[1]}x{nodes[0]} nodes; at most {MAX_NODES} are read"
        )
    metres = _METRES.get(said.get("meshunit", ""))
    if metres is None:
        raise SpinscopeError(
            f"{path}: the mesh is in {said.get('meshunit') or 'no unit'} (meshunit); must be m, "
            "mm, um or nm"
        )
    cell = []
    for axis in "zyx":
        step = _real(path, said, f"{axis}stepsize")
        if step * metres <= 0:
            raise SpinscopeError(f"{path}: {axis}stepsize (={step:g}) must be positive")
        cell.append(step * metres)
    multiplier = _real(path, said, "valuemultiplier", "1")
    if multiplier == 0:
        raise SpinscopeError(f"{path}: valuemultiplier (=0) must not be zero")
    return _Header(
        path,
        version,
        _form(path, begin[1]),
        begin.end(),
        nodes,
        components,
        tuple(cell),
        _unit(path, said, components),
        multiplier,
        said.get("title", ""),
        desc,
    )


def _version(path: Path, head: bytes) -> int:
    first = _FIRST.match(head)
    if first is None:
        raise SpinscopeError(f"{path} is not an OVF file: its first line does not say so")
    number, mesh, revision = (text and text.decode("ascii", "replace") for text in first.groups())
    if mesh and mesh.lower() == "irregular":
        raise _irregular(path, "irregular")
    if mesh and revision.lower() in _FIRST_REVISIONS:
        return 1
    if number == "2.0":
        return 2
    raise SpinscopeError(
        f"{path} begins with {first[0].decode('ascii', 'replace')!r}; OVF that can be read begins "
        "with '# OOMMF: rectangular mesh v1.0' or '# OOMMF OVF 2.0'"
    )


def _irregular(path: Path, mesh: str) -> SpinscopeError:
    return SpinscopeError(f"{path} has an {mesh} mesh (meshtype); must be rectangular")


def _records(path: Path, head: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """(value of each key, all descriptions); keys without case and white space."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    said: dict[str, str] = {}
    desc = []
    for line in text.split("\n"):
        key, colon, value = line.strip().split("##")[0].removeprefix("#").partition(":")
        key, value = "".join(key.split()).lower(), value.strip()
        if key == "desc":
            desc.append(value)
        elif colon and key in _KEYS and said.setdefault(key, value) != value:
            raise SpinscopeError(
                f"{path} names {key} twice ({said[key]!r} and {value!r}); it must be one"
            )
    return said, tuple(desc)


def _form(path: Path, representation: bytes) -> Form:
    form = b"".join(representation.split(b"##")[0].split()).lower().decode("ascii", "replace")
    if form not in ("text", "binary4", "binary8"):
        raise SpinscopeError(f"{path}: values are {form!r}; must be text, binary 4 or binary 8")
    return form


def _whole(path: Path, said: dict[str, str], key: str) -> int:
    value = said.get(key)
    if value is None:
        raise SpinscopeError(f"{path}: the header has no {key}")
    if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < 1:
        raise SpinscopeError(f"{path}: {key} (={value!r}) must be a positive whole number")
    return int(value)


def _real(path: Path, said: dict[str, str], key: str, default: str | None = None) -> float:
    value = said.get(key, default)
    if value is None:
        raise SpinscopeError(f"{path}: the header has no {key}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SpinscopeError(f"{path}: {key} (={value!r}) must be a finite number")
    return number


def _unit(path: Path, said: dict[str, str], components: int) -> str:
    """The one unit of all components; OVF 2.0 writes one for each, as a Tcl list."""
    units = []
    for key in ("valueunits", "valueunit"):
        listed = re.findall(r'\{([^}]*)\}|"([^"]*)"|(\S+)', said.get(key, ""))
        listed = ["".join(groups).strip() for groups in listed]
        if len(listed) not in (0, 1, components):
            raise SpinscopeError(
                f"{path} names {len(listed)} units ({key}: {said[key]}); must be one, or one for "
                f"each of the {components} components"
            )
        units += ["" if unit.lower() in _NO_UNIT else unit for unit in listed]
    if len(set(units)) > 1:
        raise SpinscopeError(
            f"{path}: units of the values are mixed ({', '.join(unit or 'none' for unit in units)})"
            "; all components must have the same"
        )
    return units[0] if units else ""


def _end_of_values(header: _Header, file: BinaryIO) -> int:
    """Where the line stands that ends the data block, which is the last but one of the file."""
    size = os.fstat(file.fileno()).st_size
    tail = max(header.start, size - _TAIL)
    file.seek(tail)
    ends = list(_END.finditer(file.read(_TAIL)))
    if not ends:
        raise header.cut()
    return tail + ends[-1].start()


def _read_binary(header: _Header, file: BinaryIO) -> np.ndarray:
    width = int(header.form[-1])
    dtype = np.dtype(f"{'>' if header.version == 1 else '<'}f{width}")
    file.seek(header.start)
    check = file.read(width)
    if len(check) < width:
        raise header.cut()
    (found,) = np.frombuffer(check, dtype)
    if found != _CHECK[width]:
        swapped = np.frombuffer(check, dtype.newbyteorder())[0] == _CHECK[width]
        order = "big" if header.version == 1 else "little"
        raise SpinscopeError(
            f"{header.path}: check value before the data is {float(found):g}; must be "
            f"{_CHECK[width]:.1f} "
            + (
                f"(its bytes are in the wrong order: OVF {header.version}.0 is {order}-endian)"
                if swapped
                else "(a damaged file, or one that was transferred as text)"
            )
        )
    start = header.start + width
    end = _end_of_values(header, file)
    file.seek(max(start, end - 2))
    before = file.read(2 if end > start + 1 else 0)
    spare = end - start - header.count * width
    if spare not in (0, 1, 2) or before[2 - spare :] not in (b"", b"\n", b"\r\n"):
        raise header.wrong_count((end - start) // width)
    file.seek(start)
    values = np.fromfile(file, dtype, header.count)
    if len(values) < header.count:
        raise header.cut()
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_text(header: _Header, file: BinaryIO) -> np.ndarray:
    length = _end_of_values(header, file) - header.start
    if length > header.count * _NUMBER + _HEADER:
        raise SpinscopeError(
            f"{header.path} holds {length} bytes of text, far more than the {header.count} values "
            "that its header promises"
        )
    file.seek(header.start)
    text = file.read(length)
    if b"#" in text:
        text = re.sub(rb"#[^\n]*", b"", text)
    text = text.strip()
    try:
        values = np.fromstring(text, np.float32, sep=" ") if text else np.empty(0, np.float32)
    except ValueError:
        raise _not_a_number(header, text) from None
    if len(values) != header.count:
        raise header.wrong_count(len(values))
    return values


def _not_a_number(header: _Header, text: bytes) -> SpinscopeError:
    for index, word in enumerate(text.split()):
        try:
            float(word)
        except ValueError:
            return SpinscopeError(
                f"{header.path}: value {index % header.components + 1} of node "
                f"{index // header.components + 1} (={word[:40].decode('ascii', 'replace')!r}) "
                "must be a number"
            )
    return SpinscopeError(f"{header.path}: the data block must hold numbers only")


def _check_finite(path: Path, values: np.ndarray) -> None:
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
    if version not in (1, 2):
        raise SpinscopeError(f"{path}: OVF version (={version}) must be 1 or 2")
    if form not in ("binary4", "binary8", "text"):
        raise SpinscopeError(f"{path}: form (={form!r}) must be binary4, binary8 or text")
    if m.ndim != 4 or m.shape[-1] not in ((3,) if version == 1 else (1, 3)) or 0 in m.shape:
        raise SpinscopeError(
            f"{path}: a field of shape {m.shape} cannot be written as OVF {version}.0; must be "
            f"(Z, H, W, 3){'' if version == 1 else ' or (Z, H, W, 1)'}"
        )
    if m.dtype.kind not in "fiub":
        raise SpinscopeError(f"{path}: values of type {m.dtype} must be real numbers")
    if len(cell) != 3 or not all(math.isfinite(edge) and edge > 0 for edge in cell):
        raise SpinscopeError(f"{path}: cell (={tuple(cell)}) must be three positive lengths in m")
    for text in texts:
        if not text.isprintable() or "##" in text:
            raise SpinscopeError(f"{path}: {text!r} must be one line without ##")
    if re.search(r'[\s{}"]', texts[0]):
        raise SpinscopeError(f"{path}: unit (={texts[0]!r}) must be one word")


def _header_lines(
    values: np.ndarray,
    cell: Sequence[float],
    version: int,
    unit: str,
    title: str,
    desc: Sequence[str],
) -> list[str]:
    """Lines up to the data block; none that mumax3 does not know, for it stops at such."""
    components = values.shape[-1]
    axes = list(zip("xyz", values.shape[2::-1], [float(edge) for edge in cell[::-1]], strict=True))
    name = re.sub(r"\W+", "_", title) or "m"
    labels = [f"{name}_{axis}" for axis in "xyz"] if components == 3 else [name]
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
        least = lengths[lengths > 0].min(initial=lengths.max())
        lines += [f"ValueRangeMinMag: {float(least)!r}"]
        lines += [f"ValueRangeMaxMag: {float(lengths.max())!r}"]
        lines += [f"valueunit: {unit or 1}", "valuemultiplier: 1"]
    else:
        lines += [f"valuedim: {components}", f"valuelabels: {' '.join(labels)}"]
        lines += [f"valueunits: {' '.join([unit or '1'] * components)}"]
    return [*lines, "End: Header"]


def _write_text(file: BinaryIO, values: np.ndarray, rows: int = 2**16) -> None:
    """One node a line; nine digits make every float32 again."""
    values = values.reshape(-1, values.shape[-1])
    line = " ".join(["%.9g"] * values.shape[-1]) + "\n"
    for first in range(0, len(values), rows):
        part = values[first : first + rows]
        file.write((line * len(part) % tuple(part.ravel().tolist())).encode())
