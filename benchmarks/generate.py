"""Seconds from random spins to a texture near the annealed energy, by a network and by Monte Carlo.

`generate.speedup_vs_mc`: the bundled network of `field-fcn` on 128 x 128 sites. Its recursion
S -> F / |F| is timed until the energy by the true Hamiltonian is within 1 % of that of the Monte
Carlo annealing of the corpus, which is the peer: compiled, one core (`mc_s`). The network may use
all cores; `cpu_ratio` compares processor time. `..._512`: the same on 512 x 512 sites.

`generate.speedup_vs_quench`: the same against the fastest Monte Carlo that comes within 1 %: the
shortest of several annealing schedules, or over-relaxed alignment at zero temperature. This peer
knows the Hamiltonian, and is faster than the network: 1 % is a mild criterion.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from _rows import row
from spinscope.config import load_params
from spinscope.corpora.lattice import hamiltonian_of
from spinscope.inference.field import FieldPredictor
from spinscope.models.store import resolve_local
from spinscope.physics.annealing import Lattice, Schedule, anneal
from spinscope.physics.lattice import Hamiltonian, energy, random_spins, unit

STARTS = {128: 5, 512: 2}
"""Random starts of each size."""
NEAR = 0.01
"""Distance from the annealed energy that ends a generation, as a fraction."""
SHORT = (100, 30, 10)
"""Heat-bath sweeps of shorter schedules."""
ITERATIONS = 50
"""Largest number of iterations."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    settings = load_params(family="field-fcn").lattice
    hamiltonian = hamiltonian_of(settings)
    schedule = Schedule(
        settings.temperature, settings.sweeps, settings.reflections, settings.alignments
    )
    network = FieldPredictor.load(resolve_local("bundled:field-fcn"))
    rows = {}
    for size, starts in STARTS.items():
        name = "" if size == 128 else f"_{size}"
        seeds = range(starts)
        anneal((16, 16), hamiltonian, Schedule(sweeps=2), seed=0)  # compiles
        network(random_spins((size, size), np.random.default_rng(0)))
        full = [annealed(size, hamiltonian, schedule, seed) for seed in seeds]
        target = (1 - NEAR) * statistics.fmean(one["energy"] for one in full)
        mc_s = statistics.median(one["s"] for one in full)
        mc_cpu_s = statistics.median(one["cpu_s"] for one in full)
        ours = [generated(size, network, hamiltonian, target, seed) for seed in seeds]
        s, cpu_s = (statistics.median(one[key] for one in ours) for key in ("s", "cpu_s"))
        quench_s, by = quickest(size, hamiltonian, target, seeds)
        rows[f"generate.speedup_vs_mc{name}"] = row(
            mc_s / s,
            "times",
            1,
            s=round(s, 4),
            iterations=statistics.median(one["iterations"] for one in ours),
            bound=not all(one["near"] for one in ours),
            mc_s=round(mc_s, 3),
            cpu_ratio=float(f"{mc_cpu_s / cpu_s:.3g}"),
            annealed_j=round(target / (1 - NEAR), 5),
        )
        rows[f"generate.speedup_vs_quench{name}"] = row(
            quench_s / s, "times", 1, quench_s=round(quench_s, 4), by=by
        )
    return rows


def annealed(size: int, hamiltonian: Hamiltonian, schedule: Schedule, seed: int) -> dict:
    """Energy per site of an annealed lattice, with its time."""
    found = timed(lambda: anneal((size, size), hamiltonian, schedule, seed=(seed, size)))
    return {**found, "energy": energy(found["value"], hamiltonian)}


def generated(
    size: int, network: FieldPredictor, hamiltonian: Hamiltonian, target: float, seed: int
) -> dict:
    """Iterations and time until the energy is below the target; energies are not timed."""
    m = random_spins((size, size), np.random.default_rng((seed, size)))
    iterations, near, s, cpu_s = 0, False, 0.0, 0.0
    while not near and iterations < ITERATIONS:
        found = timed(lambda m=m: unit(network(m)))
        m, s, cpu_s = found["value"], s + found["s"], cpu_s + found["cpu_s"]
        iterations += 1
        near = energy(m, hamiltonian) <= target
    return {"iterations": iterations, "s": s, "cpu_s": cpu_s, "near": near}


def quickest(size: int, hamiltonian: Hamiltonian, target: float, seeds: range) -> tuple[float, str]:
    """Median seconds of the fastest Monte Carlo below the target, and which one it is."""
    seconds = {}
    for sweeps in SHORT:
        schedule = Schedule(sweeps=sweeps, alignments=20)
        found = [annealed(size, hamiltonian, schedule, seed) for seed in seeds]
        if all(one["energy"] <= target for one in found):
            key = f"{sweeps} sweeps, 20 alignments"
            seconds[key] = statistics.median(one["s"] for one in found)
    quenches = [quench(size, hamiltonian, target, seed) for seed in seeds]
    seconds["alignment alone"] = statistics.median(quenches)
    best = min(seconds, key=seconds.get)
    return seconds[best], best


def quench(size: int, hamiltonian: Hamiltonian, target: float, seed: int) -> float:
    """Seconds of alignment sweeps until the energy is below the target."""
    m = random_spins((size, size), np.random.default_rng((seed, size)))
    found = timed(lambda: Lattice(m, hamiltonian, seed))
    lattice, s = found["value"], found["s"]
    while energy(lattice.m, hamiltonian) > target:
        s += timed(lambda: lattice.align(2))["s"]
    return s


def timed(work: Callable) -> dict:
    """Result of a call with its seconds and its processor time."""
    start, cpu = time.perf_counter(), time.process_time()
    value = work()
    return {
        "value": value,
        "s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    print(json.dumps(main()))
