r"""Energy minima of films by Barzilai-Borwein steps on the sphere, one film per thread.

With the direction :math:`p = h - (m \cdot h)\, m` a step is
:math:`m' = (m + \tau p) / |m + \tau p|`. Its length alternates between

.. math::

    \tau = \frac{\langle s, s \rangle}{\langle s, y \rangle}, \quad
    \tau = \frac{\langle s, y \rangle}{\langle y, y \rangle}, \qquad
    s = m' - m,\; y = p - p',\; \langle a, b \rangle = \sum_i M_{s,i}\, a_i \cdot b_i,

the secant approximations of the inverse Hessian, so that a step costs one evaluation of the field.

Domains form by plain descent: a smoothed descent from disorder would skip them and saturate the
film. Then the direction is smoothed (`smoother`), which equalises the stiffness of short and long
waves. On request, domains form and settle on cells of twice the size first, at a quarter of the
cost. Skyrmions of a few cells collapse there: 12 Lorentz films at 0.5 T that only settle on the
coarse grid keep 30 skyrmions on average, and 40 on the full grid.

With dry friction the torque on a spin is reduced by that of the friction, and is zero below it, so
that a wall stops where the pressure on it no longer overcomes the defects of the film.

References
----------
Barzilai and Borwein, IMA J. Numer. Anal. 8, 141 (1988); on the sphere: Abert et al., J. Appl.
Phys. 116, 123908 (2014). Dry friction: Baltensperger and Helman, IEEE Trans. Magn. 27, 4772 (1991).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import islice
from threading import Event

import numpy as np
from scipy import fft

from spinscope.physics.effective_field import Arrays, FilmField, Grid, demagnetising_tensor
from spinscope.physics.film import MU_0, Dmi

_FIRST = 1e-2  # length of the first step, in units of 1 / max |p|
_MAX_ANGLE = 0.5  # of a spin in one step, rad
_GROWTH = 1.5  # of the step length where the energy is not convex along the step
_FORMED = 0.5  # torque below which domains only move and round
_SETTLED = 1e-2  # torque at which the full grid takes over
_MIN_SIDE = 32  # cells along an edge of the coarse grid


@dataclass(frozen=True)
class Relaxed:
    """Result of a relaxation."""

    m: np.ndarray
    """Unit magnetisation, (3, H, W)."""
    energy: float
    """Energy, J."""
    torque: float
    """Maximum of |m x h|, less the friction, over the mean saturation magnetisation."""
    evaluations: float
    """Evaluations of the effective field, in units of one on the full grid."""
    converged: bool
    """Whether the torque is below the tolerance."""


@dataclass(frozen=True)
class Start:
    """A film to be relaxed."""

    m: np.ndarray
    """Unit magnetisation, (3, H, W)."""
    arrays: Arrays
    """Arrays of `effective_field.arrays`, without the axis of the films."""


def relax(
    grid: Grid,
    kind: Dmi,
    films: Iterable[Start],
    *,
    coarse: bool = False,
    tolerance: float = 2e-3,
    evaluations: int = 20000,
) -> Iterator[tuple[int, Relaxed]]:
    """Relax films to an energy minimum; yield (index, result) in the order they are finished.

    Parameters
    ----------
    grid : Grid
        Grid of all films.
    kind : {"interfacial", "bulk"}
        Symmetry of the Dzyaloshinskii-Moriya interaction.
    films : iterable of Start
        Initial states.
    coarse : bool, default False
        Whether domains form and settle on cells of twice the size first, if the grid allows it.
    tolerance : float, default 2e-3
        Maximum of |m x h| / Ms of a relaxed film, with its mean Ms.
    evaluations : int, default 20000
        Limit on the evaluations of the field in each stage.

    Raises
    ------
    SpinscopeError
        If the extra ``sim`` is not installed.
    """
    import_module("spinscope.physics.film_loops")  # once, before the threads need it
    halved = coarse and all(n % 2 == 0 and n // 2 >= _MIN_SIDE for n in grid.shape)
    stopped, cores = Event(), _cores()
    for one in {grid, _halved(grid) if halved else grid}:
        demagnetising_tensor(one)

    def relaxed(film: Start) -> Relaxed:
        return _relax_one(grid, kind, film, halved, tolerance, evaluations, stopped)

    waiting, numbered = {}, enumerate(films)
    with ThreadPoolExecutor(cores) as pool:
        try:
            while True:
                for index, film in islice(numbered, 2 * cores - len(waiting)):
                    waiting[pool.submit(relaxed, film)] = index
                if not waiting:
                    return
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        finally:
            stopped.set()


def prolong(m: np.ndarray) -> np.ndarray:
    """Interpolate magnetisation bilinearly to cells of half the size.

    Parameters
    ----------
    m : (3, H, W) array
        Unit magnetisation of a periodic film.

    Returns
    -------
    (3, 2H, 2W) float32 array
        Unit magnetisation; a coarse cell contains two fine ones along each axis.
    """
    for axis in (1, 2):
        before, after = np.roll(m, 1, axis), np.roll(m, -1, axis)
        pair = np.stack([0.75 * m + 0.25 * before, 0.75 * m + 0.25 * after], axis + 1)
        m = pair.reshape([n * (1 + (k == axis)) for k, n in enumerate(m.shape)])
    return _unit(m)


def smoother(grid: Grid, film: Arrays) -> Callable[[np.ndarray], np.ndarray]:
    r"""Return the preconditioner p → :math:`F^{-1}[F(p) / (1 + l^2 k^2)]` of a film.

    Exchange makes short waves :math:`4 l^2 / a^2` times as stiff as long ones, with the exchange
    length l and the cell size a; the division makes all waves similarly stiff.
    """

    def axis(frequencies: np.ndarray) -> np.ndarray:
        return (2 * np.sin(np.pi * frequencies)) ** 2

    rows, columns = axis(fft.fftfreq(grid.height)), axis(fft.rfftfreq(grid.width))
    stiffness = film["links"].mean() * 2e-12 / (MU_0 * grid.cell**2 * film["ms"].mean() ** 2)
    factor = (1 / (1 + stiffness * (rows[:, None] + columns))).astype(np.float32)

    def smooth(p: np.ndarray) -> np.ndarray:
        spectrum = fft.rfft2(p)
        spectrum *= factor
        return fft.irfft2(spectrum, s=grid.shape, overwrite_x=True)

    return smooth


def _halved(grid: Grid) -> Grid:
    """Grid of cells of twice the size."""
    return replace(grid, height=grid.height // 2, width=grid.width // 2, cell=2 * grid.cell)


def _restrict(film: Start) -> Start:
    """Average a film over blocks of 2 x 2 cells."""

    def mean(array: np.ndarray) -> np.ndarray:
        *lead, height, width = array.shape
        blocks = array.reshape(*lead, height // 2, 2, width // 2, 2)
        return blocks.mean((-3, -1), dtype=np.float32)

    arrays = {key: mean(v) if v.ndim >= 2 else v for key, v in film.arrays.items()}
    return Start(_unit(mean(film.m)), arrays)


def _unit(m: np.ndarray) -> np.ndarray:
    """Normalise vectors (3, H, W); a cell whose spins cancel points up."""
    length = np.sqrt((m * m).sum(0))
    up = np.zeros_like(m)
    up[2] = 1
    return np.where(length > 1e-6, m / np.maximum(length, 1e-6), up).astype(np.float32)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _relax_one(
    grid: Grid,
    kind: Dmi,
    film: Start,
    halved: bool,
    tolerance: float,
    evaluations: int,
    stopped: Event,
) -> Relaxed:
    """Relax a film; `halved`: its domains form and settle on cells of twice the size."""

    def descend(start: Start, grid: Grid, limit: float, smooth: bool) -> Relaxed:
        return _descend(start, grid, kind, max(tolerance, limit), smooth, evaluations, stopped)

    if not halved:
        formed = descend(film, grid, _FORMED, smooth=False)
        found = descend(replace(film, m=formed.m), grid, tolerance, smooth=True)
        return replace(found, evaluations=formed.evaluations + found.evaluations)
    start, coarse = _restrict(film), _halved(grid)
    formed = descend(start, coarse, _FORMED, smooth=False)
    settled = descend(replace(start, m=formed.m), coarse, _SETTLED, smooth=True)
    found = descend(replace(film, m=prolong(settled.m)), grid, tolerance, smooth=True)
    spent = (formed.evaluations + settled.evaluations) / 4
    return replace(found, evaluations=spent + found.evaluations)


def _descend(
    start: Start,
    grid: Grid,
    kind: Dmi,
    tolerance: float,
    smooth: bool,
    evaluations: int,
    stopped: Event,
) -> Relaxed:
    """Descend on one grid until the torque is below the tolerance."""
    from spinscope.physics import film_loops

    film = FilmField(grid, kind, start.arrays)
    ms, mean_ms = film.ms, float(film.ms.mean(dtype=np.float64))
    friction = np.float32(start.arrays.get("friction", 0))
    soften = smoother(grid, start.arrays) if smooth else None
    m = np.array(start.m, np.float32)
    moved, source, p, p_new = (np.empty_like(m) for _ in range(4))
    square = np.empty_like(ms)

    def direction(m: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray, float]:
        """Write p; return its largest length, and the direction of a step with its own."""
        film.field(m, source, p)
        film_loops.tangential(m, p, square)
        if friction:
            film_loops.hold(p, square, friction)
        q, torque = p, float(np.sqrt(square.max()))
        if soften is not None:
            q = soften(p)
            film_loops.tangential(m, q, square)
        return torque, q, float(np.sqrt(square.max()))

    np.multiply(m, ms, out=source)
    torque, q, longest = direction(m, p)
    spent, tau = 1, _FIRST / longest if longest else 0.0
    while torque > tolerance * mean_ms and spent < evaluations and not stopped.is_set():
        tau = min(tau, _MAX_ANGLE / longest)
        film_loops.move(m, q, np.float32(tau), ms, moved, source)
        torque, q_new, longest = direction(moved, p_new)
        s_y, q_p, y_z = film_loops.products(ms, m, moved, p, p_new, q, q_new)
        if s_y > 0:
            new = tau**2 * q_p / s_y if spent % 2 else s_y / y_z if y_z else tau
        else:
            new = _GROWTH * tau
        tau = new if np.isfinite(new) and new > 0 else tau
        m, moved, p, p_new, q = moved, m, p_new, p, q_new
        spent += 1
    energy = film.energy(m)
    return Relaxed(
        m=m,
        energy=energy,
        torque=torque / mean_ms,
        evaluations=float(spent),
        converged=bool(torque <= tolerance * mean_ms and np.isfinite(energy)),
    )
