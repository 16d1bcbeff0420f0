r"""Energy minima of batches of films: Barzilai-Borwein steps on the sphere, from coarse to fine.

With the direction :math:`p = h - (m \cdot h)\, m` a step is
:math:`m' = (m + \tau p) / |m + \tau p|`. Its length is one of

.. math::

    \tau = \frac{\langle s, s \rangle}{\langle s, y \rangle}, \quad
    \tau = \frac{\langle s, y \rangle}{\langle y, y \rangle}, \qquad
    s = m' - m,\; y = p - p',\; \langle a, b \rangle = \sum_i M_{s,i}\, a_i \cdot b_i

in turn: the secant approximations of the inverse Hessian, so that a step costs one evaluation of
the field. Each film has its own step length and its own end; a film that is done leaves the batch
and the next one takes its place.

Domains form on cells of twice the size at a quarter of the cost, so that the full grid only has to
settle them; there the direction is smoothed (`smoother`), which makes short and long waves alike
stiff. From disorder a smoothed descent would skip the domains: it saturates the film.

Sources: Barzilai and Borwein, IMA J. Numer. Anal. 8, 141 (1988); on the sphere, Abert et al.,
J. Appl. Phys. 116, 123908 (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from spinscope.physics.effective_field import Arrays, Grid, field_and_energy, require_jax
from spinscope.physics.film import MU_0, Dmi

_CHUNK = 20  # steps between two looks at which films are done
_FIRST = 1e-2  # length of the first step, in units of 1 / max |p|
_REACH = 0.5  # the largest turn of a spin in a step, rad
_GROW = 1.5  # of the step where the energy is not convex along it
_FORMED = 0.5  # torque below which domains stand, for they only move and round from there
_SETTLED = 1e-2  # torque at which the full grid takes over
_SMALLEST = 32  # cells along an edge of the coarse grid


@dataclass(frozen=True)
class Relaxed:
    """A film at its energy minimum.

    torque : largest |m x h| over the mean saturation magnetisation.
    evaluations : of the effective field, in units of one on the full grid.
    converged : whether the torque went below the tolerance.
    """

    m: np.ndarray
    energy: float
    torque: float
    evaluations: float
    converged: bool


@dataclass(frozen=True)
class Start:
    """A film to be relaxed: `m` (3, H, W) and its arrays, without the axis of the films."""

    m: np.ndarray
    arrays: Arrays


def relax(
    grid: Grid,
    kind: Dmi,
    films: Iterable[Start],
    *,
    tolerance: float = 2e-3,
    evaluations: int = 20000,
    batch: int = 8,
) -> Iterator[tuple[int, Relaxed]]:
    """Relax films to an energy minimum; yields (index, result) in the order they are done.

    tolerance : largest |m x h| / Ms that a relaxed film may have, with its mean Ms.
    evaluations : of the field, the most a film may take in each of the three stages: domains
        form by steepest descent, which is what damping does in time, then settle, both on cells
        of twice the size where the grid allows that, and settle again on the full grid.
    """
    require_jax()
    factor = 2 if all(n % 2 == 0 and n // 2 >= _SMALLEST for n in grid.shape) else 1
    coarse = replace(
        grid, height=grid.height // factor, width=grid.width // factor, cell=grid.cell * factor
    )
    waiting: dict[int, Start] = {}

    def begin() -> Iterator[tuple[int, Start, float]]:
        for index, film in enumerate(films):
            waiting[index] = film
            yield index, _restrict(film, factor), 0.0

    def stage(grid: Grid, seats, limit: float, smooth: bool):
        return _stream(grid, kind, seats, limit, smooth, evaluations, batch)

    def go_on(relaxed) -> Iterator[tuple[int, Start, float]]:
        for index, start, result, before in relaxed:
            yield index, Start(result.m, start.arrays), before + result.evaluations / factor**2

    def refined(relaxed) -> Iterator[tuple[int, Start, float]]:
        for index, start, spent in go_on(relaxed):
            m = start.m if factor == 1 else prolong(start.m)
            yield index, Start(m, waiting[index].arrays), spent

    formed = stage(coarse, begin(), max(tolerance, _FORMED), smooth=False)
    settled = stage(coarse, go_on(formed), max(tolerance, _SETTLED), smooth=True)
    for index, _, result, before in stage(grid, refined(settled), tolerance, smooth=True):
        del waiting[index]
        yield index, replace(result, evaluations=before + result.evaluations)


def _restrict(film: Start, factor: int) -> Start:
    """Means over blocks of `factor` x `factor` cells; the magnetisation is normalised again."""
    if factor == 1:
        return film

    def mean(array: np.ndarray) -> np.ndarray:
        *lead, height, width = array.shape
        blocks = array.reshape(*lead, height // factor, factor, width // factor, factor)
        return blocks.mean((-3, -1), dtype=np.float32)

    arrays = {key: mean(v) if v.ndim >= 2 else v for key, v in film.arrays.items()}
    return Start(_unit(mean(film.m)), arrays)


def prolong(m: np.ndarray) -> np.ndarray:
    """Magnetisation (3, H, W) on cells of half the size, by bilinear interpolation.

    A coarse cell holds two fine ones along each axis, a quarter cell off its centre.
    """
    for axis in (1, 2):
        before, after = np.roll(m, 1, axis), np.roll(m, -1, axis)
        pair = np.stack([0.75 * m + 0.25 * before, 0.75 * m + 0.25 * after], axis + 1)
        shape = list(m.shape)
        shape[axis] *= 2
        m = pair.reshape(shape)
    return _unit(m)


def _unit(m: np.ndarray) -> np.ndarray:
    length = np.sqrt((m * m).sum(0))
    # Opposite spins may cancel: such a cell points up.
    up = np.zeros_like(m)
    up[2] = 1
    return np.where(length > 1e-6, m / np.maximum(length, 1e-6), up).astype(np.float32)


@cache
def _steps(grid: Grid, kind: Dmi, tolerance: float, smooth: bool) -> tuple[Callable, Callable]:
    """Compiled (start, advance): the state of a batch, and the same after `_CHUNK` steps."""
    import jax
    import jax.numpy as jnp

    evaluate = field_and_energy(grid, kind)
    soften = smoother(grid) if smooth else (lambda p, films: p)

    def direction(m, films):
        h, energy = evaluate(m, films)
        p = h - (m * h).sum(1, keepdims=True) * m
        q = soften(p, films)
        q = q - (m * q).sum(1, keepdims=True) * m
        torque = jnp.sqrt((p * p).sum(1).max((1, 2))) / films["ms"].mean((1, 2))
        return p, q, energy, torque

    def inner(a, b, films):
        return (films["ms"][:, None] * a * b).sum((1, 2, 3))

    def start(m, films):
        p, q, energy, torque = direction(m, films)
        return m, p, q, _FIRST / _largest(q), energy, torque, jnp.ones(len(m), jnp.int32)

    def _largest(q):
        return jnp.sqrt((q * q).sum(1).max((1, 2)))

    def step(number, state, films):
        m, p, q, tau, _, torque, spent = state
        moving = torque > tolerance  # a film that is done stays as it is
        tau = jnp.minimum(tau, _REACH / _largest(q))
        moved = m + tau[:, None, None, None] * q
        moved = moved * jax.lax.rsqrt((moved * moved).sum(1, keepdims=True))
        p_new, q_new, energy_new, torque_new = direction(moved, films)
        s, y = moved - m, p - p_new
        sy = inner(s, y, films)
        long = tau**2 * inner(q, p, films) / jnp.abs(sy)
        short = jnp.abs(sy) / inner(y, q - q_new, films)
        new = jnp.where(number % 2 == 0, long, short)
        new = jnp.where(sy > 0, new, _GROW * tau)
        new = jnp.where(jnp.isfinite(new) & (new > 0), new, tau)

        def keep(new, old):
            return jnp.where(moving.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        new_state = (moved, p_new, q_new, new, energy_new, torque_new, spent + 1)
        return tuple(keep(a, b) for a, b in zip(new_state, state, strict=True))

    def advance(state, films):
        body = lambda number, state: step(number, state, films)  # noqa: E731
        return jax.lax.fori_loop(0, _CHUNK, body, state)

    return jax.jit(start), jax.jit(advance)


def smoother(grid: Grid):
    r"""Preconditioner (p, films) → F^{-1}[ F(p) / (1 + l² k²) ] with the exchange length l.

    Exchange makes short waves stiff, on finer grids the more: 4 l² / cell² times as stiff as long
    ones. Division by 1 + l² k² makes all waves about alike.
    """
    import jax.numpy as jnp

    def axis(n: int, real: bool) -> np.ndarray:
        k = (np.fft.rfftfreq if real else np.fft.fftfreq)(n)
        return (2 * np.sin(np.pi * k) / grid.cell) ** 2

    squared = jnp.asarray(
        (axis(grid.height, False)[:, None] + axis(grid.width, True)) * grid.cell**2, jnp.float32
    )

    def smooth(p, films):
        mean_ms = films["ms"].mean((1, 2))
        stiffness = films["links"].mean((1, 2, 3)) * (2e-12 / (MU_0 * grid.cell**2)) / mean_ms**2
        return jnp.fft.irfft2(
            jnp.fft.rfft2(p) / (1 + stiffness[:, None, None, None] * squared), s=grid.shape
        )

    return smooth


def _stream(
    grid: Grid,
    kind: Dmi,
    films: Iterator[tuple[int, Start, Any]],
    tolerance: float,
    smooth: bool,
    evaluations: int,
    batch: int,
) -> Iterator[tuple[int, Start, Relaxed, Any]]:
    """Relax films on one grid, `batch` at a time; each that is done makes room for the next."""
    import jax

    begin, advance = _steps(grid, kind, tolerance, smooth)
    seats: list[tuple[int, Start, Any] | None] = []
    state: list[np.ndarray] | None = None
    arrays: dict[str, np.ndarray] = {}
    films = iter(films)
    for film in films:
        seats.append(film)
        if len(seats) == batch:
            break
    if not seats:
        return
    seats += [None] * (batch - len(seats))  # one compiled size: an empty seat repeats a film
    first = next(seat for seat in seats if seat is not None)
    taken = [seat or first for seat in seats]
    arrays = {key: np.stack([seat[1].arrays[key] for seat in taken]) for key in first[1].arrays}
    on_device = jax.device_put(arrays)
    state = begin(np.stack([seat[1].m for seat in taken]), on_device)
    while any(seat is not None for seat in seats):
        state = advance(state, on_device)
        energy, torque, spent = (np.asarray(part) for part in state[4:])
        done = [
            k
            for k, seat in enumerate(seats)
            if seat is not None
            and (torque[k] <= tolerance or spent[k] >= evaluations or not np.isfinite(torque[k]))
        ]
        fresh = []
        for k in done:
            index, film, note = seats[k]
            yield (
                index,
                film,
                Relaxed(
                    m=np.asarray(state[0][k]),
                    energy=float(energy[k]),
                    torque=float(torque[k]),
                    evaluations=float(spent[k]),
                    converged=bool(torque[k] <= tolerance),
                ),
                note,
            )
            seats[k] = next(films, None)
            if seats[k] is not None:
                fresh.append(k)
        if fresh:
            for key in arrays:
                for k in fresh:
                    arrays[key][k] = seats[k][1].arrays[key]
            on_device = jax.device_put(arrays)
            m = np.array(state[0])
            for k in fresh:
                m[k] = seats[k][1].m
            begun = [np.array(part) for part in begin(m, on_device)]
            kept = [np.array(part) for part in state]
            for part, new in zip(kept, begun, strict=True):
                part[fresh] = new[fresh]
            state = tuple(jax.device_put(part) for part in kept)
