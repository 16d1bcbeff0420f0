r"""Domain patterns of a thin film with perpendicular anisotropy, by a phase-field model.

The order parameter :math:`\phi(r)` is the magnetisation along the film normal, about +1 and -1 in
the domains. In units of the grid spacing, of the inverse mobility and of the local energy,

.. math::
   F[\phi] = \sum_r \alpha\left(-\tfrac{\phi^2}{2} + \tfrac{\phi^4}{4}\right)
           + \tfrac{\beta}{2}|\nabla\phi|^2 - h\phi
           + \tfrac{\gamma}{2}\sum_{r'} \phi(r) G(r-r') \phi(r'),
   \qquad G_k = 9.05 - 2\pi k,

anisotropy, exchange, external field and the dipolar interaction of a thin film, whose kernel falls
off as :math:`1/r^3`. The film relaxes along :math:`\partial_t\phi = -\delta F/\delta\phi`.

Source: Jagla, Phys. Rev. E 70, 046204 (2004).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from spinscope.errors import SpinscopeError

KERNEL = 9.05  # G at k = 0: the lattice sum of 1/r^3 over the square grid
_LENGTH = 0.65  # grid spacings a unit of length where the pattern is simulated
_FINEST = 0.5  # below it a wall is narrower than the grid


def growth_rate(
    k: np.ndarray | float, *, alpha: float = 3.5, beta: float = 2.0, gamma: float = 0.35
):
    r"""Rate at which a wave of small amplitude grows in the demagnetised film.

    .. math:: \lambda(k) = \alpha - \beta k^2 - \gamma (9.05 - 2\pi k)

    It is largest at :math:`k^* = \pi\gamma/\beta`: stripes have the period :math:`2\beta/\gamma`.

    >>> round(float(growth_rate(np.pi * 0.35 / 2.0)), 3)
    0.937
    """
    return alpha - beta * np.square(k) - gamma * (KERNEL - 2 * np.pi * np.asarray(k))


def free_energy(
    phi: np.ndarray,
    *,
    alpha: float = 3.5,
    beta: float = 2.0,
    gamma: float = 0.35,
    field: float | np.ndarray = 0.0,
    length: float = 1.0,
) -> float:
    """Free energy a site of the periodic pattern `phi` (H, W), in the units of the module.

    length : grid spacings a unit of length.
    """
    phi = np.asarray(phi, dtype=np.float64)
    local = alpha * (-np.square(phi) / 2 + np.power(phi, 4) / 4) - field * phi
    stiffness = _stiffness(phi.shape, beta, gamma, length).astype(np.float64)
    conjugate = fft.irfft2(stiffness * fft.rfft2(phi), s=phi.shape)
    return float(np.mean(local + phi * conjugate / 2))


def relax(
    phi: np.ndarray,
    *,
    alpha: float = 3.5,
    beta: float = 2.0,
    gamma: float = 0.35,
    field: float | np.ndarray = 0.0,
    steps: int = 60,
    length: float = 1.0,
    step: float = 2.0,
) -> np.ndarray:
    r"""Relax the periodic pattern `phi` (H, W) by `steps` steps; the energy never rises.

    Exchange and dipolar terms are taken at the new time and, in Fourier space, cost a division.
    The local ones are taken at the old time and held stable by a term :math:`S = \alpha / 2` on
    both sides (convex splitting), enough while :math:`\phi^2 < 2/3`, so that the step may be long
    (the start is clipped to [-1, 1]):

    .. math::
       \phi_k' = \frac{(1 + (\alpha + S)\Delta t)\phi_k + \Delta t\,(h - \alpha\phi^3)_k}
                      {1 + \Delta t\,(S + \beta k^2 + \gamma G_k)}

    field : scalar, or (H, W) for gradients and disorder.   length : grid spacings a unit of length.
    Returns float32.
    """
    shape = phi.shape
    phi = np.clip(phi, -1, 1).astype(np.float32)
    field = np.asarray(field, dtype=np.float32)
    damping = 1 / (1 + step * (alpha / 2 + _stiffness(shape, beta, gamma, length)))
    keep, cubic = np.float32(1 + 1.5 * alpha * step), np.float32(alpha * step)
    drive = np.float32(step) * field
    for _ in range(steps):
        force = phi * (keep - cubic * np.square(phi)) + drive
        phi = fft.irfft2(damping * fft.rfft2(force), s=shape)
    return phi


def domain_pattern(
    shape: tuple[int, int],
    *,
    alpha: float = 3.5,
    beta: float = 2.0,
    gamma: float = 0.35,
    field: float | np.ndarray = 0.0,
    steps: int = 60,
    rng: np.random.Generator,
    scale: float = 1.0,
    initial: np.ndarray | None = None,
    noise: float = 0.1,
) -> np.ndarray:
    r"""Relaxed pattern :math:`\phi` (H, W) float32 of a film, periodic over the frame.

    With the field near 0 stripes form a labyrinth; with it they break up into skyrmions
    (:math:`\phi < 0` in the matrix :math:`\phi > 0`), which at last vanish.

    scale : pixels a unit of length; stripes have the period :math:`2\beta/\gamma` times it.
    field : scalar or (H, W).   initial : (H, W) pattern to start from, else the demagnetised film.
    noise : standard deviation of the fluctuations that are added at the start.

    The film is simulated on a grid just fine enough and continued to the pixels by its Fourier
    series, so that domains of any size have smooth borders at :math:`\phi = 0`.

    Raises SpinscopeError for a scale or shape too small to hold a domain.
    """
    if scale < _FINEST:
        raise SpinscopeError(f"scale (={scale}) must be at least {_FINEST} pixels a unit of length")
    if min(shape) < 8:
        raise SpinscopeError(f"shape (={shape}) must be at least 8 pixels high and wide")
    coarse = tuple(max(8, 2 * fft.next_fast_len(round(n * _LENGTH / scale / 2))) for n in shape)
    coarse = tuple(min(c, n) for c, n in zip(coarse, shape, strict=True))
    length = scale * float(np.mean([c / n for c, n in zip(coarse, shape, strict=True)]))
    start = noise * rng.standard_normal(coarse, dtype=np.float32)
    if initial is not None:
        start += resample(initial, coarse)
    if np.ndim(field):
        field = resample(np.asarray(field, dtype=np.float32), coarse)
    phi = relax(start, alpha=alpha, beta=beta, gamma=gamma, field=field, steps=steps, length=length)
    return resample(phi, shape)


def resample(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The Fourier series of periodic `values` (H, W), evaluated on a grid of another `shape`.

    >>> x = np.arange(8) * 2 * np.pi / 8
    >>> fine = resample(np.cos(x)[None, :] * np.ones((8, 1)), (8, 16))
    >>> bool(np.allclose(fine[0], np.cos(np.arange(16) * 2 * np.pi / 16), atol=1e-6))
    True
    """
    old = values.shape
    if tuple(shape) == old:
        return np.asarray(values, dtype=np.float32)
    spectrum = fft.rfft2(np.asarray(values, dtype=np.float32))
    rows, columns = min(old[0], shape[0]), min(old[1], shape[1])
    low, high = (rows + 1) // 2, (rows - 1) // 2  # the highest wave of an even grid is dropped
    width = (columns + 1) // 2
    padded = np.zeros((shape[0], shape[1] // 2 + 1), dtype=spectrum.dtype)
    padded[:low, :width] = spectrum[:low, :width]
    if high:
        padded[-high:, :width] = spectrum[-high:, :width]
    factor = np.float32(shape[0] * shape[1] / (old[0] * old[1]))
    return fft.irfft2(padded * factor, s=shape)


def coverage(phi: np.ndarray) -> np.ndarray:
    r"""Magnetisation (H, W) in [-1, 1] with walls one pixel wide where :math:`\phi` changes sign.

    A pixel that the wall crosses holds the mean of its two sides, to first order in the distance
    of the wall, :math:`\phi / |\nabla\phi|`. The sign is that of `phi`.
    """
    slope = np.hypot(*np.gradient(phi))
    return np.clip(2 * phi / np.maximum(slope, np.float32(1e-6)), -1, 1).astype(np.float32)


def seeded_film(
    shape: tuple[int, int], *, spacing: float, radius: float, jitter: float, rng
) -> np.ndarray:
    """A saturated film (+1) with discs (-1) of `radius` on a jittered hexagonal lattice, (H, W).

    spacing : lattice constant in pixels.   jitter : standard deviation of a disc's displacement in
    lattice constants. The lattice is turned at random. Of two discs that come nearer than three
    radii one is left out, for they would merge. Patterns that start from it keep its density.
    """
    from scipy.spatial import cKDTree

    height, width = shape
    cells = int(1.2 * np.hypot(height, width) / spacing / 2) + 1  # the rows are 0.866 apart
    reach = np.arange(-cells, cells + 1)
    row, column = np.meshgrid(np.arange(len(reach)), reach, indexing="ij")
    lattice = np.stack([0.866 * reach[row], column + (row % 2) / 2], axis=-1).reshape(-1, 2)
    angle = rng.uniform(0, np.pi / 3)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = lattice @ turn + rng.normal(0, jitter, lattice.shape)
    points = np.rint(points * spacing + np.array([height / 2, width / 2]))
    margin = radius + 1
    points = points[np.all((points > -margin) & (points < np.array(shape) + margin), axis=1)]
    crowded = cKDTree(points).query_pairs(3 * radius, output_type="ndarray")
    points = np.delete(points, np.unique(crowded[:, 1]), axis=0)
    side = np.arange(-int(radius), int(radius) + 1)
    offsets = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    offsets = offsets[np.hypot(*offsets.T) <= radius]
    y, x = (points[:, None, :] + offsets).reshape(-1, 2).astype(np.intp).T
    film = np.ones(shape, dtype=np.float32)
    seen = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    film[y[seen], x[seen]] = -1
    return film


@lru_cache(maxsize=4)
def _stiffness(shape: tuple[int, int], beta: float, gamma: float, length: float) -> np.ndarray:
    """Quadratic energy beta k^2 + gamma G_k on the half plane of rfft2."""
    ky = 2 * np.pi * length * fft.fftfreq(shape[0])
    kx = 2 * np.pi * length * fft.rfftfreq(shape[1])
    k = np.hypot(ky[:, None], kx[None, :])
    return (beta * np.square(k) + gamma * (KERNEL - 2 * np.pi * k)).astype(np.float32)
