"""Phase and in-plane induction of a film from a through-focal series of Lorentz images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance, sha256, write_json

_LEGEND = 96
_LETTERS = 24


def phase(
    paths: Sequence[Path],
    out: Path,
    *,
    defocus: Sequence[float],
    voltage: float = 200e3,
    pixel_size: float | None = None,
    thickness: float | None = None,
    regularisation: float = 0.0,
    mirrored: bool = True,
) -> dict[str, Any]:
    """Reconstruct the phase of a series, and write phase, induction and their picture.

    Parameters
    ----------
    paths : sequence of Path
        One image per defocus, or a stack of them.
    out : Path
        Folder of `NAME.phase.tif` (rad), `NAME.induction.tif` (B_x, then B_y), `NAME.induction.png`
        and `NAME.phase.json`; NAME is that of the first file.
    defocus : sequence of float
        Defocus of each image in m, negative for underfocus; or one positive number, that of the
        outer ones of three images in the order underfocus, focus, overfocus.
    voltage : float, default 200 kV
        Acceleration voltage in V.
    pixel_size : float, optional
        Pixel size in m, which overrides the files' metadata.
    thickness : float, optional
        Thickness of the film in m: the induction is in T, else its integral in T nm.
    regularisation : float, default 0
        Cut-off in cycles per metre, below which waves are damped.
    mirrored : bool, default True
        Continue the images by reflection, instead of periodically.

    Returns
    -------
    dict
        Settings, shifts, results and files, as in `NAME.phase.json`.

    Raises
    ------
    SpinscopeError
        For images that cannot be read or do not fit, an unknown pixel size, and numbers that are
        out of range.
    """
    from spinscope.physics import through_focal, tie
    from spinscope.physics.lorentz import positive_length, wavelength

    wave = wavelength(voltage)
    if thickness is not None:
        positive_length("thickness", thickness)
    if out.exists() and not out.is_dir():
        raise SpinscopeError(f"--out {out} is a file; it must be a folder")
    images, name, known = _read(paths, pixel_size)
    if known is None:
        raise SpinscopeError(
            f"{paths[0]}: its pixel size is unknown or not a length; give --pixel-size in nm"
        )
    defocus = _each_defocus(defocus, len(images))
    series = through_focal.align(images, defocus)
    found = through_focal.series_phase(
        series.images, defocus, known, voltage, regularisation=regularisation, mirrored=mirrored
    )
    by, bx = tie.integrated_induction(found, known, periodic=not mirrored)
    unit, factor = ("T nm", 1e9) if thickness is None else ("T", 1 / thickness)
    by, bx = by * factor, bx * factor
    strength = np.hypot(by, bx)
    largest = max(map(abs, defocus))
    strongest = float(np.percentile(strength, 99.9))
    result = {
        **provenance(),
        "files": [{"file": str(path), "sha256": sha256(path)} for path in paths if path.is_file()],
        "defocus_um": [_rounded(z * 1e6) for z in defocus],
        "voltage_kv": _rounded(voltage * 1e-3),
        "pixel_size_nm": _rounded(known * 1e9),
        "thickness_nm": None if thickness is None else _rounded(thickness * 1e9),
        "regularisation_per_um": _rounded(regularisation * 1e-6),
        "mirrored": mirrored,
        "shifts_px": [[round(float(one), 3) for one in shift] for shift in series.shifts],
        "focus_aligned": series.focus_aligned,
        "rows": [series.rows.start, series.rows.stop],
        "columns": [series.columns.start, series.columns.stop],
        "phase_unit": "rad",
        "phase_sd": _rounded(float(found.std())),
        "induction_unit": unit,
        "induction_mean": _rounded(float(strength.mean())),
        "induction_strongest_shown": _rounded(strongest),
        "finest_period_nm": _rounded(math.sqrt(math.pi * wave * largest / 0.551) * 1e9),
    }
    out.mkdir(parents=True, exist_ok=True)
    written = {kind: out / f"{name}.{kind}" for kind in (
        "phase.tif", "induction.tif", "induction.png"
    )}  # fmt: skip
    _write_tiff(written["phase.tif"], found, known)
    _write_tiff(written["induction.tif"], np.stack([bx, by]), known)
    _draw(written["induction.png"], by, bx, strongest, unit)
    result["written"] = [str(path) for path in (*written.values(), out / f"{name}.phase.json")]
    write_json(out / f"{name}.phase.json", result)
    return result


def _read(
    paths: Sequence[Path], pixel_size: float | None
) -> tuple[list[np.ndarray], str, float | None]:
    """Images, name and pixel size in m of the files; values as stored, since ratios count."""
    from spinscope.recordings import open_recording

    images, sizes, name = [], {}, ""
    for path in paths:
        with contextlib.closing(open_recording(path, pixel_size=pixel_size)) as recording:
            if len(paths) > 1 and recording.n != 1:
                raise SpinscopeError(
                    f"{path} holds {recording.n} images; give one stack, or files of one image each"
                )
            images += [recording.stored(k).astype(np.float64) for k in range(recording.n)]
            sizes[path] = recording.pixel_size
            name = name or recording.name
    if len(images) < 3:
        raise SpinscopeError(
            f"{len(images)} images are given; a series has at least three: underfocus, focus, "
            "overfocus"
        )
    known = {path: size for path, size in sizes.items() if size is not None}
    if known and max(known.values()) > 1.001 * min(known.values()):
        text = ", ".join(f"{path.name} {size * 1e9:g} nm" for path, size in known.items())
        raise SpinscopeError(f"pixel sizes differ ({text}); must be equal, or give --pixel-size")
    return images, name, next(iter(known.values()), None)


def _each_defocus(defocus: Sequence[float], n: int) -> list[float]:
    """Defocus of each image; one number is that of the outer ones of three."""
    if len(defocus) != 1:
        return list(defocus)
    (outer,) = defocus
    if not (math.isfinite(outer) and outer > 0):
        raise SpinscopeError(
            f"--defocus ({outer * 1e6:g} µm) must be positive; for images in another order give "
            "one value per image, as --defocus=-200,0,200"
        )
    if n != 3:
        raise SpinscopeError(
            f"--defocus ({outer * 1e6:g} µm) must be one value per image for a series of {n} images"
        )
    return [-outer, 0.0, outer]


def _rounded(value: float) -> float:
    """Value to six digits."""
    return float(f"{value:.6g}")


def _write_tiff(path: Path, values: np.ndarray, pixel_size: float) -> None:
    """Write float32 planes with their pixel size, as ImageJ reads it."""
    import tifffile

    planes = values.astype(np.float32)
    axes = {"axes": "YX" if planes.ndim == 2 else "ZYX", "unit": "nm"}
    with atomic_file(path) as partial:
        tifffile.imwrite(
            partial, planes, imagej=True, resolution=(1e-9 / pixel_size,) * 2, metadata=axes
        )


def _draw(path: Path, by: np.ndarray, bx: np.ndarray, strongest: float, unit: str) -> None:
    """Draw the colour wheel of an induction, with its key and the strength at full brightness."""
    from PIL import Image, ImageDraw

    from spinscope.drawing import colour_legend, colour_wheel, write_panels

    picture = colour_wheel(by, bx, strongest=strongest)
    key = np.full((max(len(picture), _LEGEND + _LETTERS), _LEGEND, 3), 255, dtype=np.uint8)
    key[:_LEGEND] = colour_legend(_LEGEND)
    below = len(key) - len(picture)
    picture = np.pad(picture, ((0, below), (0, 0), (0, 0)), constant_values=255)
    lettered = Image.fromarray(key)
    ImageDraw.Draw(lettered).text(
        (_LEGEND // 2, _LEGEND + 4), f"{strongest:.3g} {unit}", fill=0, anchor="ma"
    )
    write_panels(path, [picture, np.asarray(lettered)])
