"""Spins of a file: arrays, OVF files, and magnetic images scaled to the length of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import (
    SMALLEST,
    checked_real,
    checked_sides,
    checked_spins,
    helix_pitch,
)

OVF = (".ovf", ".omf", ".ohf")
FILES = (".npy", *OVF, ".png", ".tif", ".tiff")
"""Endings of the files of arrays, of OVF files and of images."""
LARGEST = 4096
"""Sites on the longer side of the largest lattice that is made from an image or from noise."""
_SMOOTHING = 0.06
"""Radius of the smoothing of an image, in periods of its domains."""


@dataclass(frozen=True)
class SpinInput:
    """What a file says about the spins of a lattice.

    Parameters
    ----------
    m_z : (H, W) float32 array
        z components.
    m : (H, W, 3) float32 array or None
        Unit vectors, if the file holds them.
    cut : (slice, slice) or None
        Part of the periodic lattice that shows an image; the rest is its mirror image.
    """

    m_z: np.ndarray
    m: np.ndarray | None = None
    cut: tuple[slice, slice] | None = None

    def shown(self, array: np.ndarray) -> np.ndarray:
        """Part of an array over the lattice that belongs to the file."""
        return array if self.cut is None else array[self.cut]


def read_spins(
    path: Path | str,
    *,
    period_px: float | None = None,
    sites_per_px: float | None = None,
    dmi: float = 0.3,
) -> SpinInput:
    """Read spins, or z components, of a periodic lattice.

    Parameters
    ----------
    path : Path
        `.npy` of shape (H, W, 3) or (H, W), OVF file, or grayscale image.
    period_px : float, optional
        Period of the domains of an image in px; it becomes the pitch of the helix of the lattice.
    sites_per_px : float, optional
        Scale of an image instead.
    dmi : float, default 0.3
        D/J of the lattice that an image is scaled to.

    Raises
    ------
    SpinscopeError
        If the file is missing or of another kind, its array has another shape, is too small, not
        finite or not of unit vectors, an image has no scale, or another file has one.
    """
    path = Path(path)
    if not path.is_file():
        raise SpinscopeError(f"{path}: no such file")
    kind = path.suffix.lower()
    if kind not in FILES:
        raise SpinscopeError(f"{path} must end in one of {', '.join(FILES)}")
    if kind != ".npy" and kind not in OVF:
        return _of_image(path, period_px, sites_per_px, dmi)
    if period_px is not None or sites_per_px is not None:
        raise SpinscopeError(
            f"{path} is no image: its values are those of sites, so --period-px and "
            "--sites-per-px must be left out"
        )
    return _of_ovf(path) if kind in OVF else _of_array(_load(path), str(path))


def read_mask(path: Path | str) -> np.ndarray:
    """Read which sites are defective.

    Parameters
    ----------
    path : Path
        `.npy` of shape (H, W), of true and false or 1 and 0.

    Raises
    ------
    SpinscopeError
        If the file is missing, is no array or holds other values.
    """
    path = Path(path)
    if not path.is_file():
        raise SpinscopeError(f"{path}: no such file")
    mask = _load(path)
    checked_real(mask, str(path))
    if not np.isin(mask, (0, 1)).all():
        raise SpinscopeError(f"{path}: the values of a mask must be true and false, or 1 and 0")
    return mask.astype(bool)


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SpinscopeError(f"{path} must be a NumPy array: {error}") from error


def _of_array(array: np.ndarray, name: str) -> SpinInput:
    """Spins (H, W, 3) or z components (H, W)."""
    if array.ndim == 2:
        return SpinInput(checked_z(array, name))
    m = checked_spins(array, name)
    return SpinInput(m[..., 2], m)


def checked_z(m_z: np.ndarray, name: str = "m_z") -> np.ndarray:
    """Return z components as float32 if they are those of unit vectors.

    Raises
    ------
    SpinscopeError
        If the array is not (H, W), too small, not finite, or outside [-1, 1].
    """
    checked_sides(m_z.shape, name)
    checked_real(m_z, name)
    if not np.isfinite(m_z).all():
        raise SpinscopeError(f"{name} contains NaN or infinity; z components must be finite")
    if np.abs(m_z).max() > 1 + 1e-3:
        raise SpinscopeError(
            f"{name}: values span {m_z.min():g} to {m_z.max():g}; z components of unit vectors "
            "must lie in [-1, 1]"
        )
    return np.clip(m_z, -1, 1).astype(np.float32)


def _of_ovf(path: Path) -> SpinInput:
    from spinscope.corpora.ovf import film_of, read_ovf

    ovf = read_ovf(path)
    film = film_of(ovf)
    if film.outside.any():
        raise SpinscopeError(
            f"{path}: {int(film.outside.sum())} cells are outside the film; a lattice must be full"
        )
    if not ovf.unit:  # unit vectors, not a magnetisation
        for layer in ovf.m:
            checked_spins(layer, str(path))
    length = np.linalg.norm(film.m, axis=-1, keepdims=True)
    m = checked_spins(film.m / np.maximum(length, 1e-12), str(path))
    return SpinInput(m[..., 2], m)


def _of_image(
    path: Path, period_px: float | None, sites_per_px: float | None, dmi: float
) -> SpinInput:
    """Image as m_z at the scale of the lattice, continued by its mirror image."""
    from spinscope.images import read_image

    if (period_px is None) == (sites_per_px is None):
        raise SpinscopeError(
            f"{path} is an image: its scale must be given, either --period-px (period of its "
            "domains) or --sites-per-px of `complete`"
        )
    flag, value = (
        ("--period-px", period_px) if sites_per_px is None else ("--sites-per-px", sites_per_px)
    )
    if not (np.isfinite(value) and value > 0):
        raise SpinscopeError(f"{flag} (={value:g}) must be above 0")
    scale = helix_pitch(dmi) / period_px if sites_per_px is None else sites_per_px
    return image_spins(read_image(path), scale, name=str(path), dmi=dmi)


def image_spins(
    image: np.ndarray, sites_per_px: float, *, name: str = "image", dmi: float = 0.3
) -> SpinInput:
    """Z components of a magnetic image, bright along +z, at the scale of a lattice.

    Uneven light over more than three periods is removed, and the grey levels of the two kinds of
    domains become -1 and 1. An image is not periodic: the lattice is the image and its mirror
    images, whose m_z is that of a valid state.

    Parameters
    ----------
    image : (H, W) array
        Intensities in [0, 1].
    sites_per_px : float
        Sites of the lattice per pixel.
    name : str
        Name of the image in errors.
    dmi : float, default 0.3
        D/J of the lattice.

    Raises
    ------
    SpinscopeError
        If the scaled image is smaller than the reach of a network, larger than `LARGEST`, or has
        no contrast.
    """
    pitch = helix_pitch(dmi)
    shape = [max(1, round(side * sites_per_px)) for side in image.shape]
    if min(shape) < SMALLEST:
        raise SpinscopeError(
            f"{name}: {image.shape[0]}×{image.shape[1]} px at {sites_per_px:.3g} sites per px are "
            f"{shape[0]}×{shape[1]} sites; each side must have at least {SMALLEST}"
        )
    if max(shape) > LARGEST:
        raise SpinscopeError(
            f"{name}: {image.shape[0]}×{image.shape[1]} px at {sites_per_px:.3g} sites per px are "
            f"{shape[0]}×{shape[1]} sites; each side must have at most {LARGEST}"
        )
    image = image.astype(np.float32)
    image = ndimage.gaussian_filter(image, _SMOOTHING * pitch / sites_per_px, mode="reflect")
    scaled = ndimage.zoom(image, [n / side for n, side in zip(shape, image.shape, strict=True)],
                          order=1, mode="reflect", grid_mode=True)  # fmt: skip
    scaled -= ndimage.gaussian_filter(scaled, 3 * pitch, mode="reflect")
    low, high = np.percentile(scaled, (5, 95))
    if high - low < 1e-4:
        raise SpinscopeError(f"{name}: the image must have contrast; all grey levels are equal")
    m_z = np.clip((2 * scaled - low - high) / (high - low), -1, 1)
    mirrored = np.pad(m_z, [(0, shape[0]), (0, shape[1])], mode="symmetric")
    return SpinInput(mirrored, cut=(slice(shape[0]), slice(shape[1])))
