r"""Energy minima of batches of films by Barzilai-Borwein steps on the sphere, from coarse to fine.

With the direction :math:`p = h - (m \cdot h)\, m` a step is
:math:`m' = (m + \tau p) / |m + \tau p|`. Its length alternates between

.. math::

    \tau = \frac{\langle s, s \rangle}{\langle s, y \rangle}, \quad
    \tau = \frac{\langle s, y \rangle}{\langle y, y \rangle}, \qquad
    s = m' - m,\; y = p - p',\; \langle a, b \rangle = \sum_i M_{s,i}\, a_i \cdot b_i,

the secant approximations of the inverse Hessian, so that a step costs one evaluation of the field.
Every film has its own step length; a finished film is replaced in the batch by the next one.

Domains form on cells of twice the size, at a quarter of the cost; the full grid only settles them.
There the direction is smoothed (`smoother`), which equalises the stiffness of short and long waves.
A smoothed descent from disorder would skip the domains and saturate the film.

With dry friction the torque on a spin is reduced by that of the friction, and is zero below it, so
that a wall stops where the pressure on it no longer overcomes the defects of the film.

References
----------
Barzilai and Borwein, IMA J. Numer. Anal. 8, 141 (1988); on the sphere: Abert et al., J. Appl.
Phys. 116, 123908 (2014). Dry friction: Baltensperger and Helman, IEEE Trans. Magn. 27, 4772 (1991).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import numpy as np

from spinscope.physics.effective_field import Arrays, Grid, field_and_energy, require_jax
from spinscope.physics.film import MU_0, Dmi

_STEPS = 20  # between two checks which films are finished
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


@dataclass(frozen=True)
class _Job:
    """A film in a stage of the relaxation."""

    index: int
    start: Start
    spent: float = 0.0
    """Evaluations of the earlier stages."""


def relax(
    grid: Grid,
    kind: Dmi,
    films: Iterable[Start],
    *,
    tolerance: float = 2e-3,
    evaluations: int = 20000,
    batch: int = 8,
) -> Iterator[tuple[int, Relaxed]]:
    """Relax films to an energy minimum; yield (index, result) in the order they are finished.

    Domains form by steepest descent, then settle, both on cells of twice the size if the grid
    allows it, and settle again on the full grid.

    Parameters
    ----------
    grid : Grid
        Grid of all films.
    kind : {"interfacial", "bulk"}
        Symmetry of the Dzyaloshinskii-Moriya interaction.
    films : iterable of Start
        Initial states.
    tolerance : float, default 2e-3
        Maximum of |m x h| / Ms of a relaxed film, with its mean Ms.
    evaluations : int, default 20000
        Limit on the evaluations of the field in each of the three stages.
    batch : int, default 8
        Films relaxed together.

    Raises
    ------
    SpinscopeError
        If the extra ``sim`` is not installed.
    """
    require_jax()
    factor = 2 if all(n % 2 == 0 and n // 2 >= _MIN_SIDE for n in grid.shape) else 1
    coarse = replace(
        grid, height=grid.height // factor, width=grid.width // factor, cell=grid.cell * factor
    )
    waiting: dict[int, Start] = {}

    def restricted() -> Iterator[_Job]:
        for index, film in enumerate(films):
            waiting[index] = film
            yield _Job(index, _restrict(film, factor))

    def stage(grid: Grid, jobs: Iterable[_Job], limit: float, smooth: bool):
        return _relax_on(grid, kind, jobs, limit, smooth, evaluations, batch)

    def continued(results: Iterable[tuple[_Job, Relaxed]]) -> Iterator[_Job]:
        for job, result in results:
            spent = job.spent + result.evaluations / factor**2
            yield _Job(job.index, Start(result.m, job.start.arrays), spent)

    def refined(results: Iterable[tuple[_Job, Relaxed]]) -> Iterator[_Job]:
        for job in continued(results):
            m = job.start.m if factor == 1 else prolong(job.start.m)
            yield replace(job, start=Start(m, waiting[job.index].arrays))

    formed = stage(coarse, restricted(), max(tolerance, _FORMED), smooth=False)
    settled = stage(coarse, continued(formed), max(tolerance, _SETTLED), smooth=True)
    for job, result in stage(grid, refined(settled), tolerance, smooth=True):
        del waiting[job.index]
        yield job.index, replace(result, evaluations=job.spent + result.evaluations)


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


def smoother(grid: Grid) -> Callable:
    r"""Return the preconditioner (p, films) → :math:`F^{-1}[F(p) / (1 + l^2 k^2)]`.

    Exchange makes short waves :math:`4 l^2 / a^2` times as stiff as long ones, with the exchange
    length l and the cell size a; the division makes all waves similarly stiff.
    """
    import jax.numpy as jnp

    def axis(frequencies: np.ndarray) -> np.ndarray:
        return (2 * np.sin(np.pi * frequencies) / grid.cell) ** 2

    rows, columns = axis(np.fft.fftfreq(grid.height)), axis(np.fft.rfftfreq(grid.width))
    squared = jnp.asarray((rows[:, None] + columns) * grid.cell**2, jnp.float32)

    def smooth(p, films):
        mean_ms = films["ms"].mean((1, 2))
        stiffness = films["links"].mean((1, 2, 3)) * (2e-12 / (MU_0 * grid.cell**2)) / mean_ms**2
        spectrum = jnp.fft.rfft2(p) / (1 + stiffness[:, None, None, None] * squared)
        return jnp.fft.irfft2(spectrum, s=grid.shape)

    return smooth


def _restrict(film: Start, factor: int) -> Start:
    """Average a film over blocks of `factor` x `factor` cells."""
    if factor == 1:
        return film

    def mean(array: np.ndarray) -> np.ndarray:
        *lead, height, width = array.shape
        blocks = array.reshape(*lead, height // factor, factor, width // factor, factor)
        return blocks.mean((-3, -1), dtype=np.float32)

    arrays = {key: mean(v) if v.ndim >= 2 else v for key, v in film.arrays.items()}
    return Start(_unit(mean(film.m)), arrays)


def _unit(m: np.ndarray) -> np.ndarray:
    """Normalise vectors (3, H, W); a cell whose spins cancel points up."""
    length = np.sqrt((m * m).sum(0))
    up = np.zeros_like(m)
    up[2] = 1
    return np.where(length > 1e-6, m / np.maximum(length, 1e-6), up).astype(np.float32)


@cache
def _steps(grid: Grid, kind: Dmi, tolerance: float, smooth: bool) -> tuple[Callable, Callable]:
    """Compiled functions: the state of a batch, and the state after `_STEPS` steps."""
    import jax
    import jax.numpy as jnp

    evaluate = field_and_energy(grid, kind)
    soften = smoother(grid) if smooth else (lambda p, films: p)

    def direction(m, films):
        h, energy = evaluate(m, films)
        p = h - (m * h).sum(1, keepdims=True) * m
        if "friction" in films:
            strength = jnp.sqrt((p * p).sum(1, keepdims=True))
            held = films["friction"][:, None, None, None] / jnp.maximum(strength, 1e-6)
            p = p * jnp.maximum(0, 1 - held)
        q = soften(p, films)
        q = q - (m * q).sum(1, keepdims=True) * m
        return p, q, energy, largest(p) / films["ms"].mean((1, 2))

    def inner(a, b, films):
        return (films["ms"][:, None] * a * b).sum((1, 2, 3))

    def largest(q):
        return jnp.sqrt((q * q).sum(1).max((1, 2)))

    def start(m, films):
        p, q, energy, torque = direction(m, films)
        return m, p, q, _FIRST / largest(q), energy, torque, jnp.ones(len(m), jnp.int32)

    def step(number, state, films):
        m, p, q, tau, _, torque, spent = state
        active = torque > tolerance  # a finished film is not changed
        tau = jnp.minimum(tau, _MAX_ANGLE / largest(q))
        moved = m + tau[:, None, None, None] * q
        moved = moved * jax.lax.rsqrt((moved * moved).sum(1, keepdims=True))
        p_new, q_new, energy_new, torque_new = direction(moved, films)
        s, y = moved - m, p - p_new
        sy = inner(s, y, films)
        long = tau**2 * inner(q, p, films) / jnp.abs(sy)
        short = jnp.abs(sy) / inner(y, q - q_new, films)
        new = jnp.where(number % 2 == 0, long, short)
        new = jnp.where(sy > 0, new, _GROWTH * tau)
        new = jnp.where(jnp.isfinite(new) & (new > 0), new, tau)

        def updated(new, old):
            return jnp.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        new_state = (moved, p_new, q_new, new, energy_new, torque_new, spent + 1)
        return tuple(updated(a, b) for a, b in zip(new_state, state, strict=True))

    def advance(state, films):
        return jax.lax.fori_loop(0, _STEPS, lambda number, s: step(number, s, films), state)

    return jax.jit(start), jax.jit(advance)


def _relax_on(
    grid: Grid,
    kind: Dmi,
    jobs: Iterable[_Job],
    tolerance: float,
    smooth: bool,
    evaluations: int,
    batch: int,
) -> Iterator[tuple[_Job, Relaxed]]:
    """Relax films on one grid, `batch` at a time; the next film replaces a finished one."""
    import jax

    begin, advance = _steps(grid, kind, tolerance, smooth)
    jobs = iter(jobs)
    slots: list[_Job | None] = list(islice(jobs, batch))
    if not slots:
        return
    # The steps are compiled for one size of the batch: an empty slot repeats the first film.
    filled = slots + slots[:1] * (batch - len(slots))
    slots += [None] * (batch - len(slots))
    keys = filled[0].start.arrays
    arrays = {key: np.stack([job.start.arrays[key] for job in filled]) for key in keys}
    films = jax.device_put(arrays)
    state = begin(np.stack([job.start.m for job in filled]), films)
    while any(slots):
        state = advance(state, films)
        energy, torque, spent = (np.asarray(value) for value in state[4:])
        finished = (torque <= tolerance) | (spent >= evaluations) | ~np.isfinite(torque)
        fresh = []
        for k in np.flatnonzero(finished):
            if (job := slots[k]) is None:
                continue
            yield (
                job,
                Relaxed(
                    m=np.asarray(state[0][k]),
                    energy=float(energy[k]),
                    torque=float(torque[k]),
                    evaluations=float(spent[k]),
                    converged=bool(torque[k] <= tolerance),
                ),
            )
            slots[k] = next(jobs, None)
            if slots[k] is not None:
                fresh.append(k)
        if fresh:
            m, state = np.array(state[0]), [np.array(value) for value in state]
            for k in fresh:
                m[k] = slots[k].start.m
                for key in arrays:
                    arrays[key][k] = slots[k].start.arrays[key]
            films = jax.device_put(arrays)
            for value, new in zip(state, begin(m, films), strict=True):
                value[fresh] = np.array(new)[fresh]
            state = tuple(jax.device_put(value) for value in state)
