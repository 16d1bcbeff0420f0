"""Spin updates per second and core of the Monte Carlo, and the speedup over Spirit.

Both programs update the same periodic lattice of 128 x 128 spins with exchange and interfacial DMI,
by turns, at temperatures of the annealing, each with one thread. Speeds are medians over the turns.

`lattice.updates_per_s_core`: heat-bath updates. `schedule` is the rate over a sweep of the
annealing, one of heat bath and two of reflections. Peer: Spirit's Metropolis updates, with its
adaptive cone.

`lattice.speedup_vs_spirit`: the median ratio of the turns. A heat-bath update draws a spin from its
distribution, a Metropolis update accepts half of its proposals.

`lattice.annealed_energy`: mean energy per spin, in J, of lattices annealed on one schedule of
temperatures with the same number of updates per spin and temperature: one of heat bath and two
reflections, or three of Metropolis. Spirit's minimiser (L-BFGS) ends its annealing, alignment ours.
Both energies are computed by one function; `spirit_sum` is the relative difference of Spirit's own
sum from it. Peer: Spirit's mean. `sd`, `spirit_sd`: over the lattices; `difference_sd`: standard
errors by which the means differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
from collections.abc import Iterator

import numpy as np

from _rows import row, seconds_of
from spinscope.config import load_params
from spinscope.corpora.lattice import hamiltonian_of
from spinscope.physics.annealing import Lattice, Schedule, anneal
from spinscope.physics.lattice import effective_field, energy, random_spins, torque

SETTINGS = load_params("laptop", family="field-fcn").lattice
HAMILTONIAN = hamiltonian_of(SETTINGS)
SHAPE = SETTINGS.size, SETTINGS.size
TURNS = 9
SWEEPS, SPIRIT_SWEEPS = 200, 20
LATTICES = 6
CONVERGED = 1e-4
"""Largest torque, in J, at which Spirit's minimiser stops."""
NEEL, BLOCH = 2, 1
"""Spirit's names of the directions of the DMI vectors."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    with quiet():
        peer = Spirit()
        rates = [rates_at(t, seed, peer) for seed, t in enumerate(temperatures(TURNS))]
        ours, theirs, errors = zip(*[annealed(seed, peer) for seed in range(LATTICES)], strict=True)
    heat, schedule, spirit = (statistics.median(values) for values in zip(*rates, strict=True))
    ratios = [rate[0] / rate[2] for rate in rates]
    means, sds = zip(*[(statistics.fmean(e), statistics.stdev(e)) for e in (ours, theirs)],
                     strict=True)  # fmt: skip
    error = np.hypot(*sds) / np.sqrt(LATTICES)
    return {
        "lattice.updates_per_s_core": row(heat, "1/s", spirit, schedule=float(f"{schedule:.4g}")),
        "lattice.speedup_vs_spirit": row(
            statistics.median(ratios), "times", 1, lowest=float(f"{min(ratios):.4g}")
        ),
        "lattice.annealed_energy": {
            "value": round(means[0], 6),
            "unit": "J",
            "peer": round(means[1], 6),
            "ratio": round(means[0] / means[1], 6),
            "sd": float(f"{sds[0]:.3g}"),
            "spirit_sd": float(f"{sds[1]:.3g}"),
            "difference_sd": float(f"{abs(means[0] - means[1]) / error:.3g}"),
            "spirit_sum": float(f"{max(errors):.1g}"),
            "lattices": LATTICES,
        },
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


def annealed(seed: int, peer: Spirit) -> tuple[float, float, float]:
    """Energies per spin of a lattice annealed by us and by Spirit; relative error of its sum."""
    schedule = Schedule(
        SETTINGS.temperature, SETTINGS.sweeps, SETTINGS.reflections, SETTINGS.alignments
    )
    ours = anneal(SHAPE, HAMILTONIAN, schedule, seed=seed)
    peer.spins[:] = random_spins(SHAPE, np.random.default_rng([seed, 1])).reshape(-1, 3)
    for temperature in schedule.temperatures:
        peer.sweep(temperature, 1 + SETTINGS.reflections)
    theirs = peer.minimised()
    assert torque(theirs, effective_field(theirs, HAMILTONIAN)) < 1e-2
    energies = energy(ours, HAMILTONIAN), energy(theirs, HAMILTONIAN)
    return *energies, abs(peer.energy() / energies[1] - 1)


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

    def minimised(self) -> np.ndarray:
        """Spins at the minimum of the energy, (H, W, 3)."""
        self._simulation.start(
            self._state, self._simulation.METHOD_LLG, self._simulation.SOLVER_LBFGS_OSO,
            n_iterations=2000, n_iterations_log=2000,
        )  # fmt: skip
        return np.array(self.spins).reshape(*SHAPE, 3)

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
