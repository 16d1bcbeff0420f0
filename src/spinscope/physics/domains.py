r"""Domain patterns of a thin film with perpendicular anisotropy, by a phase-field model.

The order parameter :math:`\phi(r)` is the magnetisation along the normal, near +1 and -1 in the
domains. In units of the grid spacing, the inverse mobility and the local energy,

.. math::
   F[\phi] = \sum_r \alpha\left(-\tfrac{\phi^2}{2} + \tfrac{\phi^4}{4}\right)
           + \tfrac{\beta}{2}|\nabla\phi|^2 - h\phi
           + \tfrac{\gamma}{2}\sum_{r'} \phi(r) G(r-r') \phi(r'),
   \qquad G_k = 9.05 - 2\pi k:

anisotropy, exchange, external field and the dipolar interaction of a thin film, whose kernel
decays as :math:`1/r^3`. The film relaxes by :math:`\partial_t\phi = -\delta F/\delta\phi`.

References
----------
Jagla, Phys. Rev. E 70, 046204 (2004).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from spinscope.errors import SpinscopeError

KERNEL = 9.05
"""Dipolar kernel at k = 0: the lattice sum of 1/r³ over the square grid."""

_LENGTH = 0.65  # grid spacings per unit of length in a simulation
_FINEST = 0.5  # pixels per unit of length below which a domain wall is narrower than the grid


def growth_rate(
    k: np.ndarray | float, *, alpha: float = 3.5, beta: float = 2.0, gamma: float = 0.35
) -> np.ndarray:
    r"""Growth rate of a wave of small amplitude in the demagnetised film.

    .. math:: \lambda(k) = \alpha - \beta k^2 - \gamma (9.05 - 2\pi k)

    Its maximum at :math:`k^* = \pi\gamma/\beta` gives stripes of the period
    :math:`2\beta/\gamma`.

    Parameters
    ----------
    k : float or array
        Wave number, radians per unit of length.
    alpha, beta, gamma : float, default 3.5, 2 and 0.35
        Local energy, exchange and dipolar interaction in the units of the module.

    Returns
    -------
    array
        Growth rate, of the shape of `k`.

    Examples
    --------
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
    """Free energy per site of a periodic pattern, in the units of the module.

    Parameters
    ----------
    phi : (H, W) array
        Order parameter.
    alpha, beta, gamma : float
        See `growth_rate`.
    field : float or (H, W) array, default 0
        External field.
    length : float, default 1
        Grid spacings per unit of length.
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
    r"""Relax a periodic pattern by convex splitting; the energy never rises.

    Exchange and dipolar terms are implicit, a division in Fourier space. The local terms are
    explicit and stabilised by a term :math:`S = \alpha / 2` on both sides, which suffices while
    :math:`\phi^2 < 2/3`, so that long time steps are stable:

    .. math::
       \phi_k' = \frac{(1 + (\alpha + S)\Delta t)\phi_k + \Delta t\,(h - \alpha\phi^3)_k}
                      {1 + \Delta t\,(S + \beta k^2 + \gamma G_k)}

    Parameters
    ----------
    phi : (H, W) array
        Order parameter; it is clipped to [-1, 1].
    alpha, beta, gamma : float
        See `growth_rate`.
    field : float or (H, W) array, default 0
        External field.
    steps : int, default 60
        Number of time steps.
    length : float, default 1
        Grid spacings per unit of length.
    step : float, default 2
        Time step.

    Returns
    -------
    (H, W) float32 array
        Relaxed order parameter.
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
    r"""Simulate the relaxed pattern of a film, periodic over the frame.

    In a weak field stripes form a labyrinth; a stronger one breaks them into skyrmions
    (:math:`\phi < 0`), which finally vanish. The simulation has a coarse grid; its Fourier series
    is evaluated at the pixels, so that domains of any size have smooth borders.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    alpha, beta, gamma, steps
        See `relax`.
    field : float or (H, W) array, default 0
        External field.
    rng : numpy.random.Generator
        Random numbers of the fluctuations.
    scale : float, default 1
        Pixels per unit of length; stripes have the period :math:`2\beta/\gamma` times the scale.
    initial : (H, W) array, optional
        Initial pattern; by default the demagnetised film.
    noise : float, default 0.1
        Standard deviation of the initial fluctuations.

    Returns
    -------
    (H, W) float32 array
        Order parameter :math:`\phi`.

    Raises
    ------
    SpinscopeError
        If scale or shape are too small for a domain.
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
    """Evaluate the Fourier series of a periodic array (H, W) on a grid of another shape.

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
    r"""Magnetisation with domain walls one pixel wide where :math:`\phi` changes sign.

    A pixel on a wall has the mean of its two sides, to first order in the distance of the wall,
    :math:`\phi / |\nabla\phi|`.

    Parameters
    ----------
    phi : (H, W) array
        Order parameter.

    Returns
    -------
    (H, W) float32 array
        Magnetisation along the normal in [-1, 1].
    """
    slope = np.hypot(*np.gradient(phi))
    return np.clip(2 * phi / np.maximum(slope, np.float32(1e-6)), -1, 1).astype(np.float32)


def seeded_film(
    shape: tuple[int, int],
    *,
    spacing: float,
    radius: float,
    jitter: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw reversed discs on a jittered hexagonal lattice; patterns that start from it keep them.

    The lattice has a random orientation. Of two discs closer than three radii, which would merge,
    one is omitted.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    spacing : float
        Lattice constant in pixels.
    radius : float
        Radius of a disc in pixels.
    jitter : float
        Standard deviation of a disc's displacement in lattice constants.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (H, W) float32 array
        -1 in the discs, +1 elsewhere.
    """
    from scipy.spatial import cKDTree

    height, width = shape
    cells = int(1.2 * np.hypot(height, width) / spacing / 2) + 1  # the rows are 0.866 apart
    index = np.arange(-cells, cells + 1)
    row, column = np.meshgrid(np.arange(len(index)), index, indexing="ij")
    lattice = np.stack([0.866 * index[row], column + (row % 2) / 2], axis=-1).reshape(-1, 2)
    angle = rng.uniform(0, np.pi / 3)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = lattice @ rotation + rng.normal(0, jitter, lattice.shape)
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
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    film[y[inside], x[inside]] = -1
    return film


@lru_cache(maxsize=4)
def _stiffness(shape: tuple[int, int], beta: float, gamma: float, length: float) -> np.ndarray:
    """Quadratic energy beta k² + gamma G_k on the half plane of `rfft2`."""
    ky = 2 * np.pi * length * fft.fftfreq(shape[0])
    kx = 2 * np.pi * length * fft.rfftfreq(shape[1])
    k = np.hypot(ky[:, None], kx[None, :])
    return (beta * np.square(k) + gamma * (KERNEL - 2 * np.pi * k)).astype(np.float32)
