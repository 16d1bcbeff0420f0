"""Spin updates per second and core of the Monte Carlo, and the speedup over Spirit.

Both programs update the same periodic lattice of 128 x 128 spins with exchange and interfacial DMI,
by turns, at temperatures of the annealing, each with one thread. Speeds are medians over the turns.

`lattice.updates_per_s_core`: heat-bath updates. `schedule` is the rate over a sweep of the
annealing, one of heat bath and two of reflections. Peer: Spirit's Metropolis updates, with its
adaptive cone.

`lattice.speedup_vs_spirit`: the median ratio of the turns. A heat-bath update draws a spin from its
distribution, a Metropolis update accepts half of its proposals.

`lattice.equilibrium_energy`: mean energy per spin in equilibrium at T = J / 2, in J, over lattices
of 32 x 32 spins. Peer: a plain Metropolis walk in NumPy from the same states. `difference_sd`:
their difference in standard errors, over the lattices. `spirit`: the same by Spirit 2.2 on the
large lattice. It takes the energy of a spin before its update with the neighbours of the previous
sweep, and after it with those of the current one, and so does not keep the Boltzmann distribution.

`lattice.annealed_energy`: mean energy per spin, in J, of lattices annealed on one schedule, with
equal numbers of updates per spin and temperature: heat bath here, Metropolis in Spirit, whose own
minimiser (L-BFGS) ends its annealing, alignment ours. Peer: Spirit's mean. `sd`, `spirit_sd`: over
the lattices; `difference_sd`: as above; `with_reflections`: our mean when, as in the corpus, two of
three updates are reflections.

One function computes all energies; `spirit_sum` is the largest relative difference of Spirit's sum.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import numpy as np

from _rows import row, seconds_of
from spinscope.config import load_params
from spinscope.corpora.lattice import hamiltonian_of
from spinscope.physics.annealing import Lattice, Schedule, anneal
from spinscope.physics.lattice import effective_field, energy, random_spins, unit

SETTINGS = load_params("laptop", family="field-fcn").lattice
HAMILTONIAN = hamiltonian_of(SETTINGS)
SHAPE = SETTINGS.size, SETTINGS.size
TURNS = 9
SWEEPS, SPIRIT_SWEEPS = 200, 20
LATTICES, STEPS = 6, 300
"""Lattices that are annealed, and temperatures of their schedule."""
WARM = 0.5
"""Temperature of the equilibrium, in J."""
CONVERGED = 1e-3
"""Largest torque, in J, at which Spirit's minimiser stops."""
NEEL, BLOCH = 2, 1
"""Spirit's names of the directions of the DMI vectors."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    with quiet():
        peer = Spirit()
        rates = np.array([rates_at(t, seed, peer) for seed, t in enumerate(temperatures(TURNS))])
        warm, spirit_warm = equilibrium(), spirit_energy(peer)
        annealed = np.array([annealed_energies(seed, peer) for seed in range(LATTICES)])
    heat, schedule, spirit = np.median(rates, axis=0)
    ratios = rates[:, 0] / rates[:, 2]
    _, sd, spirit_sd, _ = annealed.std(0, ddof=1)
    return {
        "lattice.updates_per_s_core": row(heat, "1/s", spirit, schedule=short(schedule)),
        "lattice.speedup_vs_spirit": row(
            float(np.median(ratios)), "times", 1, lowest=short(ratios.min())
        ),
        "lattice.equilibrium_energy": energies_row(warm[:, 0], warm[:, 1])
        | {"spirit": round(spirit_warm, 5)},
        "lattice.annealed_energy": energies_row(annealed[:, 1], annealed[:, 2])
        | {
            "with_reflections": round(annealed[:, 0].mean(), 5),
            "sd": short(sd),
            "spirit_sd": short(spirit_sd),
            "spirit_sum": short(annealed[:, 3].max()),
        },
    }


def short(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")


def energies_row(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Row of two means of energies, with their difference in standard errors."""
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    return {
        "value": round(ours.mean(), 5),
        "unit": "J",
        "peer": round(theirs.mean(), 5),
        "ratio": round(ours.mean() / theirs.mean(), 5),
        "difference_sd": short(abs(ours.mean() - theirs.mean()) / error),
    }


def temperatures(n: int) -> np.ndarray:
    """Temperatures from the first to the last of the annealing."""
    return Schedule(SETTINGS.temperature, n).temperatures


def rates_at(temperature: float, seed: int, peer: Spirit) -> tuple[float, float, float]:
    """Updates per second at a temperature: heat bath, sweep of the annealing, Spirit."""
    start = random_spins(SHAPE, np.random.default_rng(seed))
    lattice = Lattice(start, HAMILTONIAN, seed)
    lattice.sweep([temperature] * 50, SETTINGS.reflections)  # compiles, and warms up
    sites, steps = start[..., 0].size, np.full(SWEEPS, temperature)
    heat = SWEEPS * sites / seconds_of(lambda: lattice.sweep(steps))
    per_sweep = 1 + SETTINGS.reflections
    both = (
        per_sweep * SWEEPS * sites / seconds_of(lambda: lattice.sweep(steps, SETTINGS.reflections))
    )
    peer.spins[:] = lattice.m.reshape(-1, 3)  # a state of the temperature
    peer.sweep(temperature, 3)
    spirit = SPIRIT_SWEEPS * sites / seconds_of(lambda: peer.sweep(temperature, SPIRIT_SWEEPS))
    return heat, both, spirit


def equilibrium(lattices: int = 24, sweeps: int = 300) -> np.ndarray:
    """Mean energies per spin of small lattices at `WARM`: ours and plain, (lattices, 2)."""
    rng, shape, ours, states = np.random.default_rng(0), (32, 32), [], []
    for seed in range(lattices):
        lattice = Lattice(random_spins(shape, rng), HAMILTONIAN, seed)
        lattice.sweep(np.append(np.linspace(2 * WARM, WARM, 200), [WARM] * 200), 2)
        found = []
        for _ in range(sweeps):
            lattice.sweep([WARM], SETTINGS.reflections)
            found.append(energy(lattice.m, HAMILTONIAN))
        ours.append(np.mean(found))
        states.append(lattice.m)
    m, plain, colour = np.stack(states), np.zeros(lattices), np.indices(shape).sum(0) % 2
    for _ in range(sweeps):
        for turn in range(2):
            new = unit(m + 0.8 * rng.standard_normal(m.shape))
            loss = -((new - m) * effective_field(m, HAMILTONIAN)).sum(-1)
            accepted = rng.random(loss.shape) < np.exp(-np.maximum(loss, 0) / WARM)
            m = np.where((accepted & (colour == turn))[..., None], new, m)
        plain -= (m * effective_field(m, HAMILTONIAN)).sum(-1).mean((1, 2)) / 2
    return np.stack([ours, plain / sweeps], -1)


def spirit_energy(peer: Spirit, samples: int = 100) -> float:
    """Mean energy per spin of Spirit at `WARM`, from a state in equilibrium."""
    lattice = Lattice(random_spins(SHAPE, np.random.default_rng(0)), HAMILTONIAN, 0)
    lattice.sweep(np.linspace(2 * WARM, WARM, 300), SETTINGS.reflections)
    peer.spins[:] = lattice.m.reshape(-1, 3)
    peer.sweep(WARM, 60)
    found = []
    for _ in range(samples):
        peer.sweep(WARM, 3)
        found.append(energy(peer.m, HAMILTONIAN))
    return float(np.mean(found))


def annealed_energies(seed: int, peer: Spirit) -> tuple[float, float, float, float]:
    """Energies per spin of annealed lattices, and the relative error of Spirit's sum.

    Ours with reflections, ours with heat bath alone, and Spirit's.
    """
    schedule = Schedule(SETTINGS.temperature, STEPS, SETTINGS.reflections, SETTINGS.alignments)
    mixed = anneal(SHAPE, HAMILTONIAN, schedule, seed=seed)
    updates = 1 + SETTINGS.reflections
    alone = Lattice(random_spins(SHAPE, np.random.default_rng(seed)), HAMILTONIAN, seed)
    alone.sweep(np.repeat(schedule.temperatures, updates))
    alone.align(SETTINGS.alignments)
    peer.spins[:] = random_spins(SHAPE, np.random.default_rng([seed, 1])).reshape(-1, 3)
    for temperature in schedule.temperatures:
        peer.sweep(temperature, updates)
    peer.minimise()
    energies = [energy(m, HAMILTONIAN) for m in (mixed, alone.m, peer.m)]
    return *energies, abs(peer.energy() / energies[-1] - 1)


class Spirit:
    """The lattice in Spirit; energies in meV, J = 1 meV.

    Its rows are along y, as ours, so that spins and DMI vectors have the same components.
    """

    def __init__(self):
        from spirit import constants, geometry, hamiltonian, simulation, state, system
        from spirit.parameters import llg, mc

        self._mc, self._simulation, self._system = mc, simulation, system
        self._k_b = constants.k_B
        self._state = it = state.setup("", True)
        geometry.set_mu_s(it, 1.0)
        geometry.set_n_cells(it, [*SHAPE[::-1], 1])
        hamiltonian.set_boundary_conditions(it, [True, True, False])
        hamiltonian.set_field(it, 0.0, [0, 0, 1])
        hamiltonian.set_anisotropy(it, 0.0, [0, 0, 1])
        hamiltonian.set_exchange(it, 1, [HAMILTONIAN.exchange])
        direction = BLOCH if HAMILTONIAN.dmi_kind == "bulk" else NEEL
        hamiltonian.set_dmi(it, 1, [HAMILTONIAN.dmi], direction)
        llg.set_convergence(it, CONVERGED)
        self.spins = system.get_spin_directions(it)
        """Unit vectors, (H * W, 3); a view of Spirit's memory."""

    def sweep(self, temperature: float, sweeps: int) -> None:
        """Metropolis sweeps at a temperature in units of J."""
        self._mc.set_temperature(self._state, temperature / self._k_b)
        self._simulation.start(
            self._state, self._simulation.METHOD_MC, n_iterations=10**9, n_iterations_log=10**9,
            single_shot=True,
        )  # fmt: skip
        self._simulation.n_shot(self._state, sweeps)
        self._simulation.stop(self._state)

    @property
    def m(self) -> np.ndarray:
        """Spins, (H, W, 3)."""
        return np.array(self.spins).reshape(*SHAPE, 3)

    def minimise(self) -> None:
        """Move the spins to a minimum of the energy."""
        self._simulation.start(
            self._state, self._simulation.METHOD_LLG, self._simulation.SOLVER_LBFGS_OSO,
            n_iterations=2000, n_iterations_log=2000,
        )  # fmt: skip

    def energy(self) -> float:
        """Energy per spin as Spirit computes it."""
        self._system.update_data(self._state)
        return self._system.get_energy(self._state) / len(self.spins)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what compiled code prints to standard error."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


if __name__ == "__main__":
    print(json.dumps(main()))
