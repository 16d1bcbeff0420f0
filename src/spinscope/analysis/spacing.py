r"""Number of skyrmions expected in a Lorentz image, without a network.

The ring of the power spectrum gives the distance of neighbours, and so the number that fits. A
filter shaped like a tilted skyrmion, dark on one side and bright on the other, gives positions to
count.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError


def ring(image: np.ndarray) -> tuple[float, float]:
    r"""Wave number of the strongest ring of the power spectrum, and its width.

    The power is averaged over directions, in rings as wide as the resolution of the spectrum. The
    wave number is the power-weighted mean over the half height around the maximum, the width the
    standard deviation there.

    Parameters
    ----------
    image : (H, W) array
        Image of any brightness, at least 10 px a side.

    Returns
    -------
    wave_number, width : float
        In cycles per px.

    Raises
    ------
    SpinscopeError
        For an image without structure, or too small.
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or min(image.shape) < 10 or not np.isfinite(image).all():
        raise SpinscopeError(f"image of shape {image.shape} must be (H, W), finite, 10 px at least")
    if np.ptp(image) == 0:
        raise SpinscopeError("image is the same everywhere: it holds no lattice")
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    centred = image - np.average(image, weights=window)
    size = [4 * n for n in image.shape]  # padded: the ring is narrow against the resolution
    power = np.abs(np.fft.rfft2(centred * window, size)) ** 2
    k = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
    step = 1 / (2 * max(image.shape))
    index = (k / step).astype(int)
    weight = np.bincount(index.ravel())
    radial = np.bincount(index.ravel(), power.ravel()) / np.maximum(weight, 1)
    middle = (np.arange(len(radial)) + 0.5) * step
    # Variations over the whole image and beyond the Nyquist limit are no lattice.
    inner = (middle > 2.5 / min(image.shape)) & (middle < 0.5)
    if not inner.any() or not radial[inner].max() > 0:
        raise SpinscopeError("image has no ring in its power spectrum")
    top = int(np.flatnonzero(inner)[np.argmax(radial[inner])])
    low = high = top
    while low > 0 and inner[low - 1] and radial[low - 1] > radial[top] / 2:
        low -= 1
    while high + 1 < len(radial) and inner[high + 1] and radial[high + 1] > radial[top] / 2:
        high += 1
    peak = slice(low, high + 1)
    place = float(np.average(middle[peak], weights=radial[peak]))
    spread = float(np.sqrt(np.average((middle[peak] - place) ** 2, weights=radial[peak])))
    return place, spread


def lattice_spacing(image: np.ndarray) -> float:
    r"""Distance of neighbours in px, for a triangular lattice with the ring of `image`.

    .. math:: a = \frac{2}{\sqrt3\,q}
    """
    return 2 / (np.sqrt(3) * ring(image)[0])


def expected_objects(shape: tuple[int, int], spacing: float) -> float:
    r"""Number of sites of a triangular lattice in an image: :math:`2HW/(\sqrt3\,a^2)`."""
    return 2 * shape[0] * shape[1] / (np.sqrt(3) * spacing**2)


def dipoles(
    image: np.ndarray, spacing: float, axis_deg: float = 0.0, *, least: float = 0.3
) -> np.ndarray:
    """Positions of pairs of a dark and a bright side along the tilt axis.

    The image is filtered with the derivative of a Gaussian along the axis, whose lobes are half a
    spacing apart, dark before bright. A position is a maximum within half a spacing.

    Parameters
    ----------
    image : (H, W) array
        Lorentz image.
    spacing : float
        Distance of neighbours in px.
    axis_deg : float
        Tilt axis in degrees, from +x to +y.
    least : float
        Fraction of the 90th percentile of all maxima that a maximum must reach.

    Returns
    -------
    (n, 2) array
        Positions (y, x) in px.
    """
    angle, sigma = np.radians(axis_deg), spacing / 4
    along_y, along_x = (
        ndimage.gaussian_filter(np.asarray(image, float), sigma, order=order, mode="reflect")
        for order in ((1, 0), (0, 1))
    )
    response = np.cos(angle) * along_x + np.sin(angle) * along_y
    radius = max(1, round(spacing / 2))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = np.hypot(y, x) <= radius
    peaks = (response == ndimage.maximum_filter(response, footprint=disc)) & (response > 0)
    at = np.argwhere(peaks)
    if not len(at):
        return np.empty((0, 2))
    heights = response[peaks]
    return at[heights >= least * np.percentile(heights, 90)].astype(float)


def tilt_axis(image: np.ndarray, spacing: float) -> tuple[float, float, float]:
    r"""Direction from the dark to the bright side of the skyrmions of a Lorentz image.

    The axis is the direction in which the blurred image varies most (structure tensor). Its sign is
    that of the skewness of the derivative: inside of a skyrmion the image rises steeply from dark
    to bright, between skyrmions it falls slowly.

    Parameters
    ----------
    image : (H, W) array
        Lorentz image.
    spacing : float
        Distance of neighbours in px.

    Returns
    -------
    angle_deg : float
        From +x to +y, in (-180, 180].
    coherence : float
        :math:`(\lambda_1 - \lambda_2)/(\lambda_1 + \lambda_2)` of the tensor: 0 without an axis.
    skewness : float
        Evidence of the sign: 0 where both signs are as likely.
    """
    slopes = [
        ndimage.gaussian_filter(np.asarray(image, float), spacing / 4, order=order)
        for order in ((0, 1), (1, 0))
    ]
    tensor = np.array([[np.mean(a * b) for a in slopes] for b in slopes])
    (small, large), directions = np.linalg.eigh(tensor)
    axis = directions[:, 1]
    along = axis[0] * slopes[0] + axis[1] * slopes[1]
    along -= along.mean()
    skewness = float(np.mean(along**3) / max(np.mean(along**2), 1e-30) ** 1.5)
    if skewness < 0:
        axis = -axis
    angle = float(np.degrees(np.arctan2(axis[1], axis[0])))
    return angle, float((large - small) / max(large + small, 1e-30)), abs(skewness)
