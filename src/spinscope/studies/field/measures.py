"""What a field makes of spin lattices: accuracy and the five published applications.

A `Field` is a network, or the true field of the Hamiltonian. All of them start from the same
corrupted spins, so differences are paired. Every angle is in degrees, every energy that of the true
Hamiltonian per site in units of J.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from spinscope.jobs import field as jobs
from spinscope.jobs.spin_input import SpinInput
from spinscope.physics.lattice import (
    Hamiltonian,
    effective_field,
    energy,
    erased_square,
    mean_angle,
    noisy,
    noisy_rows,
    random_spins,
    unit,
)
from spinscope.physics.recursion import recursion
from spinscope.physics.topology import topological_charge
from spinscope.studies.statistics import mean_sd

ALPHAS = (0.5, 1.0, 1.5, 2.0, 2.5)
"""Published strengths of the noise."""
FIELDS = (0.03, 0.05, 0.07, 0.09)
"""Published external fields, J."""
ITERATIONS = 50
"""Published number of iterations from noise to a texture."""

DENOISING, REPAIRING, COMPLETING = 10, 30, 10
"""Iterations of the recursion."""
ROWS, SIDE = 16, 24
"""Rows of noise and side of the erased square: 1/8 of a lattice of 128², and the helix pitch."""
STARTS = 5
"""Random starts of the generation."""
TEMPERATURE, AGITATED = 0.7, 1000
"""Temperature in J and iterations of the thermal response at each external field; a tenth as many
follow without agitation."""
MONTE_CARLO = (1000, 300, 100, 30, 10)
"""Heat-bath sweeps of the annealing schedules; the first is that of the corpus."""
WARM = 0.5
"""First temperature of the Monte Carlo response, J."""
SMOOTHING = (1.0, 1.5, 2.0, 3.0)
"""Widths of the Gaussian filters that noise removal is compared with, sites."""


@dataclass(frozen=True)
class TrueField:
    """Effective field of a Hamiltonian as a function of spins."""

    hamiltonian: Hamiltonian

    def __call__(self, m: np.ndarray) -> np.ndarray:
        return effective_field(m, self.hamiltonian)

    @property
    def linear(self) -> TrueField:
        """The same: it corrects no spins."""
        return self


@dataclass(frozen=True)
class Field:
    """Function of spins (H, W, 3) that returns their effective field in units of J.

    Parameters
    ----------
    call : callable
        With an attribute `linear`, the field of spins that are agitated by heat; see
        `spinscope.jobs.field.respond`.
    mix : float, default 0
        Share of the present spin in a step, see `recursion`; the true field needs one.
    """

    call: Callable[[np.ndarray], np.ndarray]
    mix: float = 0.0

    def follow(
        self,
        m: np.ndarray,
        iterations: int,
        look: Callable[[np.ndarray], Any] = lambda _: None,
        **options: Any,
    ) -> tuple[np.ndarray, list[Any], float]:
        """Recursion from `m`: last spins, `look` of the spins at every step, seconds per field.

        Parameters
        ----------
        m : (H, W, 3) array
        iterations : int
        look : callable
            Function of the spins; its values include the start.
        **options
            Those of `recursion`.
        """
        seen, seconds = [], []

        def field(spins: np.ndarray) -> np.ndarray:
            started = time.perf_counter()
            found = self.call(spins)
            seconds.append(time.perf_counter() - started)
            return found

        found = recursion(
            m,
            field,
            iterations=iterations,
            mix=self.mix,
            on_step=lambda _, spins, __: seen.append(look(spins)),
            **options,
        )
        return found.m, seen, float(np.median(seconds))


@dataclass(frozen=True)
class Tests:
    """Test lattices and the seed of all draws.

    Parameters
    ----------
    lattices : sequence of (H, W, 3) arrays
        Annealed spins.
    hamiltonian : Hamiltonian
    seed : int, default 0
    n : int, default 20
        Lattices that are denoised and repaired.
    """

    __test__ = False

    lattices: Sequence[np.ndarray]
    hamiltonian: Hamiltonian
    seed: int = 0
    n: int = 20

    @property
    def some(self) -> Sequence[np.ndarray]:
        """The first `n` lattices."""
        return self.lattices[: self.n]

    def rng(self, *number: int) -> np.random.Generator:
        """Generator of one draw."""
        return np.random.default_rng([self.seed, *number])

    def noisy(self, number: int, alpha: float) -> np.ndarray:
        """Lattice `number` with noise."""
        return noisy(self.lattices[number], alpha, self.rng(1, number, round(10 * alpha)))

    def broken(self, number: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Lattice `number` with a defect, "rows" or "square", and the mask (H, W) of its sites."""
        size = len(self.lattices[number])
        if kind == "rows":
            return noisy_rows(self.lattices[number], size * ROWS // 128, self.rng(2, number))
        return erased_square(self.lattices[number], min(SIDE, size // 2), self.rng(3, number))

    def start(self, number: int) -> np.ndarray:
        """Random spins."""
        return random_spins(self.lattices[0].shape[:2], self.rng(4, number))

    def energy(self, m: np.ndarray, external: float = 0.0) -> float:
        """Energy per site in an external field."""
        return energy(m, self.hamiltonian) - external * float(m[..., 2].mean())


def only_z(m: np.ndarray) -> np.ndarray:
    """Spins of which only m_z is known: (0, 0, m_z)."""
    return m * np.array([0, 0, 1], np.float32)


def denoise(field: Field, tests: Tests) -> list[dict[str, Any]]:
    """Mean angle to the lattice without noise, before and after, for every strength of the noise.

    Returns
    -------
    list of dict
        `alpha`, `before` and `after` (mean, sd, n over the lattices), and `angles`: the mean at
        every iteration.
    """
    rows = []
    for alpha in ALPHAS:
        angles = []
        for number, m in enumerate(tests.some):
            look = _angle_to(m)
            angles.append(field.follow(tests.noisy(number, alpha), DENOISING, look)[1])
        rows.append({"alpha": alpha, **_before_after(np.array(angles))})
    return rows


def smooth(tests: Tests) -> list[dict[str, Any]]:
    """Noise removal by the best of several Gaussian filters, in place of a field."""
    rows = []
    for alpha in ALPHAS:
        angles = {
            width: [
                mean_angle(m, _filtered(tests.noisy(number, alpha), width))
                for number, m in enumerate(tests.some)
            ]
            for width in SMOOTHING
        }
        width = min(angles, key=lambda one: np.mean(angles[one]))
        rows.append({"alpha": alpha, "width": width, "after": mean_sd(angles[width])})
    return rows


def repair(field: Field, tests: Tests) -> list[dict[str, Any]]:
    """Mean angle to the true spins at the sites of a defect; the other sites are kept.

    Returns
    -------
    list of dict
        `kind` ("rows" or "square"), `before` (None for the erased square), `after` and `angles`,
        see `denoise`.
    """
    rows = []
    for kind in ("rows", "square"):
        angles = []
        for number, m in enumerate(tests.some):
            broken, mask = tests.broken(number, kind)
            look = _angle_to(m, mask)
            angles.append(field.follow(broken, REPAIRING, look, known=~mask)[1])
        row = {"kind": kind, **_before_after(np.array(angles))}
        if kind == "square":
            row["before"] = row["angles"][0] = None
        rows.append(row)
    return rows


def complete(field: Field, tests: Tests) -> dict[str, Any]:
    """All components from m_z alone: angle to the true spins, and topological charge."""

    def completed(m: np.ndarray) -> np.ndarray:
        return field.follow(only_z(m), COMPLETING, known_z=m[..., 2])[0]

    return _completion(completed, tests)


def complete_by_gradient(tests: Tests) -> dict[str, Any]:
    """The same with the in-plane direction along the gradient of m_z, without a field."""
    return _completion(lambda m: along_gradient(m[..., 2], tests.hamiltonian), tests)


def along_gradient(m_z: np.ndarray, hamiltonian: Hamiltonian) -> np.ndarray:
    """Spins whose in-plane part is along the gradient of m_z, across it for a bulk DMI.

    Of both senses, the one of lower energy is returned.

    Parameters
    ----------
    m_z : (H, W) array
    hamiltonian : Hamiltonian

    Returns
    -------
    (H, W, 3) float32 array
    """
    x, y = ((np.roll(m_z, -1, axis) - np.roll(m_z, 1, axis)) / 2 for axis in (1, 0))
    if hamiltonian.dmi_kind == "bulk":
        x, y = y, -x
    factor = np.sqrt(np.maximum(0, 1 - m_z**2)) / np.maximum(np.hypot(x, y), 1e-12)
    senses = [
        np.stack([sign * factor * x, sign * factor * y, m_z], -1).astype(np.float32)
        for sign in (1, -1)
    ]
    return min((unit(m) for m in senses), key=lambda m: energy(m, hamiltonian))


def generate(field: Field, tests: Tests) -> dict[str, Any]:
    """Textures from random spins: mean energy at every iteration, and the last of each start.

    Returns
    -------
    dict
        `energy` (mean at every iteration), `last` (mean, sd, n), `charge` of every texture and
        `seconds` (median of one call of the field).
    """
    found = [
        field.follow(tests.start(number), ITERATIONS, tests.energy) for number in range(STARTS)
    ]
    energies = np.array([seen for _, seen, _ in found])
    return {
        "energy": energies.mean(0).tolist(),
        "last": mean_sd(energies[:, -1]),
        "charge": [round(topological_charge(m)) for m, _, _ in found],
        "seconds": float(np.median([seconds for *_, seconds in found])),
    }


def anneal(tests: Tests) -> list[dict[str, Any]]:
    """Energies and seconds of Monte Carlo annealings of random spins, one core.

    Returns
    -------
    list of dict
        `sweeps`, `energy` (mean, sd, n), `seconds` (median) and `charge`.
    """
    from spinscope.physics import annealing

    shape, rows = tests.lattices[0].shape[:2], []
    for sweeps in (2, *MONTE_CARLO):  # the first compiles
        schedule = annealing.Schedule(sweeps=sweeps, alignments=max(20, sweeps // 5))
        made, seconds = [], []
        for number in range(STARTS):
            started = time.perf_counter()
            made.append(
                annealing.anneal(shape, tests.hamiltonian, schedule, seed=(tests.seed, 5, number))
            )
            seconds.append(time.perf_counter() - started)
        rows.append(
            {
                "sweeps": sweeps,
                "energy": mean_sd([tests.energy(m) for m in made]),
                "seconds": float(np.median(seconds)),
                "charge": [round(topological_charge(m)) for m in made],
            }
        )
    return rows[1:]


def respond(field: Field, tests: Tests) -> list[dict[str, Any]]:
    """Response of the first lattice to rising external fields along +z.

    Returns
    -------
    list of dict
        `external`, and for "thermal" and "greedy" (without agitation) `mz`, `charge`, `energy`.
    """
    thermal = responded(field, tests)
    agitated = getattr(field.call, "linear", None) is not None
    greedy = responded(field, tests, 0.0) if agitated else thermal
    return [
        {
            "external": external,
            "thermal": _state(hot, tests, external),
            "greedy": _state(cold, tests, external),
        }
        for external, hot, cold in zip(FIELDS, thermal, greedy, strict=True)
    ]


def responded(field: Field, tests: Tests, temperature: float = TEMPERATURE) -> list[np.ndarray]:
    """The first lattice in each of `FIELDS`, one after the other.

    Parameters
    ----------
    field : Field
    tests : Tests
    temperature : float
        Temperature of the agitation in J; 0 for none.
    """
    m = tests.lattices[0]
    given = {"fields": FIELDS, "iterations": AGITATED, "temperature": temperature}
    found = jobs.respond(SpinInput(m[..., 2], m), field.call, seed=tests.seed, **given)
    return [one.m for one in found]


def respond_by_monte_carlo(tests: Tests) -> list[dict[str, Any]]:
    """Response of the first lattice by Monte Carlo: `external`, and `mz`, `charge`, `energy`."""
    return [
        {"external": external, **_state(m, tests, external)}
        for external, m in zip(FIELDS, monte_carlo(tests), strict=True)
    ]


def monte_carlo(tests: Tests) -> list[np.ndarray]:
    """The first lattice, annealed from `WARM` in each of `FIELDS`, one after the other."""
    from spinscope.physics.annealing import anneal_in_fields

    return anneal_in_fields(
        tests.lattices[0], tests.hamiltonian, FIELDS,
        temperature=WARM, sweeps=MONTE_CARLO[0], seed=(tests.seed, 7),
    )  # fmt: skip


def examples(field: Field, tests: Tests, steps: int) -> Iterator[tuple[str, np.ndarray]]:
    """Spins (H, W, 3) that the page shows, by name: one lattice per application.

    Parameters
    ----------
    field : Field
    tests : Tests
    steps : int
        Iterations of the noise removal.
    """
    m = tests.lattices[0]
    for alpha in ALPHAS[2::2]:
        yield f"denoised {alpha}", field.follow(tests.noisy(0, alpha), steps)[0]
    for kind in ("rows", "square"):
        broken, mask = tests.broken(0, kind)
        yield kind, field.follow(broken, REPAIRING, known=~mask)[0]
    yield "completed", field.follow(only_z(m), COMPLETING, known_z=m[..., 2])[0]
    yield "generated", field.follow(tests.start(0), ITERATIONS)[0]
    for external, found in zip(FIELDS, responded(field, tests), strict=True):
        yield f"response {external}", found


def _angle_to(m: np.ndarray, mask: np.ndarray | None = None) -> Callable[[np.ndarray], float]:
    """Function of spins: their mean angle to `m`, at the sites of a mask."""
    where = ... if mask is None else mask
    return lambda found: mean_angle(m[where], found[where])


def _before_after(angles: np.ndarray) -> dict[str, Any]:
    """Angles (lattices, iterations) as `before`, `after` and the mean `angles`."""
    return {
        "before": mean_sd(angles[:, 0]),
        "after": mean_sd(angles[:, -1]),
        "angles": angles.mean(0).tolist(),
    }


def _filtered(m: np.ndarray, width: float) -> np.ndarray:
    """Spins after a Gaussian filter of a width in sites."""
    return unit(ndimage.gaussian_filter(m, (width, width, 0), mode="wrap"))


def _completion(completed: Callable[[np.ndarray], np.ndarray], tests: Tests) -> dict[str, Any]:
    """Angle (mean, sd, n) and fraction of lattices of the right topological charge."""
    found = [completed(m) for m in tests.lattices]
    charges = [
        (round(topological_charge(m)), round(topological_charge(one)))
        for m, one in zip(tests.lattices, found, strict=True)
    ]
    return {
        "angle": mean_sd(
            [mean_angle(m, one) for m, one in zip(tests.lattices, found, strict=True)]
        ),
        "charge_right": float(np.mean([true == one for true, one in charges])),
        "charges": charges,
    }


def _state(m: np.ndarray, tests: Tests, external: float) -> dict[str, Any]:
    """Mean m_z, topological charge and energy of spins in an external field."""
    return {
        "mz": float(m[..., 2].mean()),
        "charge": round(topological_charge(m)),
        "energy": tests.energy(m, external),
    }
