"""Warnings about results that look like numbers and are not: signs in the masks themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinscope.analysis.uncertainty import shallow
from spinscope.images import standardise
from spinscope.inference.conditions import evidence, noise_sd

CHECKED = 128
"""Every frame of a multiple of this number is compared with its mask."""
SMALL = 0.25
"""Fraction of objects below twice the smallest size from which their number depends on it."""

_SIDE = 1024  # px; only the middle of a larger frame is compared


@dataclass(frozen=True)
class Known:
    """Masks that a network makes of images like those of its training.

    Parameters
    ----------
    diameter_px : (float, float)
        Range of the median diameter at the scale of the network.
    convex_deficit : float
        Largest mean convex deficit, weighted by area.
    shallow : float
        Fraction of objects with a shallow boundary above which dents count in images that have the
        symmetry of the training: a network draws sharp boundaries around dented domains as well.
    advice : str
        Settings that decide for other images.
    """

    diameter_px: tuple[float, float]
    convex_deficit: float
    shallow: float
    advice: str


KERR = Known((4, 40), 0.11, 0.13, "check segment.scale and segment.polarity")
LORENTZ = Known((15, 45), 0.06, 0.0, "check segment.axis_deg and segment.scale")


def supported_fraction(image: np.ndarray, mask: np.ndarray, *, inverted: bool = False) -> float:
    """Fraction of the objects of a mask that the image itself supports.

    An object is supported where its `evidence` in the image is positive: where it is darker than
    its surroundings by more than the noise can be.

    Parameters
    ----------
    image : (H, W) array
        Kerr image; only the middle 1024×1024 px are used.
    mask : (H, W) bool array
        Objects.
    inverted : bool
        Whether the objects are bright.

    Returns
    -------
    float
        NaN without an object that the border does not cut.
    """
    middle = tuple(
        slice(start, start + _SIDE) for start in ((max(0, n - _SIDE)) // 2 for n in mask.shape)
    )
    standard = standardise(image[middle])
    found = evidence(
        -standard if inverted else standard, mask[middle], noise_sd(standard, shared=False)
    )
    return float(np.mean(found > 0)) if len(found) else np.nan


def doubts(
    folder: Path, known: Known, *, min_px: int, scale: float = 1.0, familiar: bool = False
) -> list[str]:
    """Warnings about the tables of a results folder.

    Parameters
    ----------
    folder : Path
        Folder with `objects.parquet` and `frames.parquet`.
    known : Known
        What the network knows.
    min_px : int
        Smallest object.
    scale : float
        Ratio between network and image pixels.
    familiar : bool
        Whether the first frame has the symmetry of the training images.
    """
    import pyarrow.parquet as pq

    columns = ["frame", "area_px", "diameter_px", "convex_deficit"]
    sharp = "diameter_px_sd_boundary" in pq.read_schema(folder / "objects.parquet").names
    columns += ["diameter_px_sd_boundary"] if sharp else []
    table = pq.read_table(folder / "objects.parquet", columns=columns)
    objects = {name: table[name].to_numpy() for name in columns}
    if not len(table):
        return []
    warnings, signs = [], []
    small = float(np.mean(objects["area_px"] < 2 * min_px))
    if min_px > 1 and small > SMALL:
        warnings.append(
            f"{small:.0%} of the objects are hardly larger than segment.min_px (below "
            f"{2 * min_px} px): their number depends on this setting"
        )
    if (supported := _supported(folder, objects["frame"])) <= 0.5:
        signs.append(
            f"only {supported:.0%} of the objects that were checked differ from their "
            "surroundings by more than the noise"
        )
    deficit = float(np.average(objects["convex_deficit"], weights=objects["area_px"]))
    dents_count = not (familiar and sharp) or shallow(objects) > known.shallow * len(table)
    if deficit > known.convex_deficit and dents_count:
        signs.append(
            f"the objects are not compact (mean convex deficit {deficit:.3f}, at most "
            f"{known.convex_deficit:g} expected)"
        )
    diameter = scale * float(np.median(objects["diameter_px"]))
    low, high = known.diameter_px
    if not low <= diameter <= high:
        at = "" if scale == 1 else f" at scale {scale:g}"
        signs.append(
            f"their median diameter is {diameter:.1f} px{at}, {low:g} to {high:g} px expected"
        )
    if signs:
        warnings.append(
            f"the masks are doubtful, as on images unlike those of the training: "
            f"{'; '.join(signs)}. If the overlay confirms this, {known.advice}"
        )
    return warnings


def _supported(folder: Path, frames: np.ndarray) -> float:
    """Fraction of supported objects over the frames that were checked, NaN for none."""
    import pyarrow.parquet as pq

    path = folder / "frames.parquet"
    if "supported_fraction" not in pq.read_schema(path).names:  # of an earlier version
        return np.nan
    fraction = pq.read_table(path, columns=["supported_fraction"])["supported_fraction"].to_numpy()
    count = np.bincount(frames, minlength=len(fraction)) * np.isfinite(fraction)
    return float(np.nansum(fraction * count) / count.sum()) if count.any() else np.nan
