r"""Recursion of spins and their effective field: :math:`S \to F \to S'`.

Each step infers the field of the present spins and turns them towards it. The field may be the
true one or that of a network. The greedy step is :math:`S' = (F + B) / |F + B|`.

References
----------
Lee et al., Sci. Rep. 11, 22937 (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import energy_of_field, torque, unit

Field = Callable[[np.ndarray], np.ndarray]
"""Function of spins (H, W, 3) that returns their effective field (H, W, 3), in units of J."""


@dataclass(frozen=True)
class Recursion:
    """Outcome of a recursion.

    Parameters
    ----------
    m : (H, W, 3) array
        Spins.
    field : (H, W, 3) array
        Their effective field without the external one, in units of J.
    energy, torque : tuple of float
        Energy per site in J by the inferred field, and largest sine of the angle between a spin
        and its field, of the start and after each step.
    stopped : {"torque", "iterations"}
        What ended the recursion.
    """

    m: np.ndarray
    field: np.ndarray
    energy: tuple[float, ...]
    torque: tuple[float, ...]
    stopped: Literal["torque", "iterations"]

    @property
    def iterations(self) -> int:
        """Number of steps."""
        return len(self.energy) - 1


def recursion(
    m: np.ndarray,
    field: Field,
    *,
    iterations: int = 50,
    external: float = 0.0,
    tolerance: float = 0.0,
    mix: float = 0.0,
    damping: float | None = None,
    temperature: float = 0.0,
    known: np.ndarray | None = None,
    known_z: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    on_step: Callable[[int, np.ndarray, float], None] | None = None,
) -> Recursion:
    r"""Turn spins towards their effective field, again and again.

    Parameters
    ----------
    m : (H, W, 3) array
        First spins. Sites that are not known are zero vectors.
    field : callable
        Effective field of spins without the external one.
    iterations : int, default 50
        Largest number of steps.
    external : float, default 0
        External field B along +z, in units of J.
    tolerance : float, default 0
        Torque below which the recursion stops: largest sine of the angle between a spin and its
        field.
    mix : float, default 0
        Share of the present spin, in units of J: :math:`S' \propto F + B + \mu S`. All spins turn
        at once, so the exact field of near neighbours keeps two sublattices of opposite spins
        alive; 4 J suppress them. A network that corrects disordered spins needs none.
    damping : float, optional
        Damped alignment instead, a step of the damping term of the Landau-Lifshitz-Gilbert
        equation: :math:`S' \propto S - \delta\, S \times (S \times (F + B))`, stable below 0.2 / J.
    temperature : float, default 0
        Temperature in units of J of Langevin noise, which is added to the field.
    known : (H, W) bool array, optional
        Sites that keep their first spins.
    known_z : (H, W) array, optional
        z component that all spins keep; the recursion decides the direction in the plane.
    rng : numpy Generator, optional
        For the noise.
    on_step : callable, optional
        Called with (step, spins, energy) at the start and after every step.

    Raises
    ------
    SpinscopeError
        If a setting is out of its range, or noise is wanted without `rng`.
    """
    _check(iterations, damping, temperature, rng)
    first = m = np.asarray(m, np.float32)
    up = np.array([0, 0, external], np.float32)
    energies: list[float] = []
    torques: list[float] = []
    while True:
        inferred = field(m)
        total = inferred + up
        energies.append(energy_of_field(m, inferred, external))
        torques.append(torque(m, total))
        if on_step is not None:
            on_step(len(energies) - 1, m, energies[-1])
        if torques[-1] < tolerance:
            return Recursion(m, inferred, tuple(energies), tuple(torques), "torque")
        if len(energies) > iterations:
            return Recursion(m, inferred, tuple(energies), tuple(torques), "iterations")
        if damping is None:
            m = _greedy(m, total, mix, temperature, rng)
        else:
            m = _damped(m, total, damping, temperature, rng)
        if known is not None:
            m = np.where(known[..., None], first, m)
        if known_z is not None:
            m = with_z(m, known_z)


def _check(
    iterations: int, damping: float | None, temperature: float, rng: np.random.Generator | None
) -> None:
    if iterations < 0:
        raise SpinscopeError(f"iterations (={iterations}) must be at least 0")
    if damping is not None and not 0 < damping <= 0.2:
        raise SpinscopeError(f"damping (={damping:g}) must be above 0 and at most 0.2")
    if not 0 <= temperature < np.inf:
        raise SpinscopeError(f"temperature (={temperature:g}) must be at least 0 and finite")
    if temperature and rng is None:
        raise SpinscopeError("a recursion with temperature needs a generator of random numbers")


def _greedy(
    m: np.ndarray,
    total: np.ndarray,
    mix: float,
    temperature: float,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """Spins along their field; the noise gives their angles the variance of equilibrium, 2T/F."""
    turned = total + np.float32(mix) * m
    if temperature:
        strength = np.linalg.norm(turned, axis=-1, keepdims=True) + np.float32(mix)
        noise = rng.standard_normal(total.shape, np.float32)
        turned += np.sqrt(np.float32(temperature) * strength) * noise
    return unit(turned)


def _damped(
    m: np.ndarray,
    total: np.ndarray,
    damping: float,
    temperature: float,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """One step towards the field, of the part of it that is perpendicular to the spins."""
    step = np.float32(damping) * total
    if temperature:
        step += np.float32(np.sqrt(2 * temperature * damping)) * rng.standard_normal(
            m.shape, np.float32
        )
    return unit(m + step - (m * step).sum(-1, keepdims=True) * m)


def with_z(m: np.ndarray, m_z: np.ndarray) -> np.ndarray:
    """Unit vectors with the given z component, in the plane along those of `m`.

    Parameters
    ----------
    m : (H, W, 3) array
    m_z : (H, W) array
        Between -1 and 1.
    """
    length = np.linalg.norm(m[..., :2], axis=-1, keepdims=True)
    plane = np.where(length > 1e-6, m[..., :2] / np.maximum(length, 1e-6), [1.0, 0.0])
    plane = plane * np.sqrt(np.clip(1 - m_z**2, 0, 1))[..., None]
    return np.concatenate([plane, m_z[..., None]], axis=-1).astype(np.float32)
