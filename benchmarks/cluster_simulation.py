"""Simulated duration of large jobs on 1 to 64 nodes, from the seconds of a unit.

Units are queued; a free node takes the next one. A unit's duration is lognormal around its median,
one in twenty takes three times as long (a straggler), and a node dies at a constant rate: its unit
is started again and the node is replaced after a wait in the queue of the cluster. The seconds of a
film are measured (`films.per_hour`); those of a training are assumed, and set by ``--training``.
"""

from __future__ import annotations

import argparse
import heapq
import json
from pathlib import Path

import numpy as np

from _rows import row

NODES = (1, 2, 4, 8, 16, 32, 64)
FILM_S, CHUNK = 3600 / 827, 16
"""Seconds of a relaxed film of 256×256 cells on two cores, and films of a chunk."""
START_S = 11.0
"""Compilation at the start of a worker."""
TRAINING_S = 3600.0
"""Assumed seconds of one ablation run."""
SPREAD, SLOW, SLOWER = 0.1, 0.05, 3.0
FAILURES_PER_HOUR, REPLACED_S = 0.02, 300.0


def makespan(units: int, seconds: float, nodes: int, start: float, rng: np.random.Generator):
    """Duration of all units in s, and the number of units that were started again.

    Parameters
    ----------
    units : int
        Number of units.
    seconds : float
        Median duration of a unit, s.
    nodes : int
        Number of nodes.
    start : float
        Duration of the start of a worker, s.
    rng : Generator
        Random numbers.
    """
    durations = seconds * np.exp(SPREAD * rng.standard_normal(units))
    durations[rng.random(units) < SLOW] *= SLOWER
    waiting, again = list(durations), 0
    free = [start] * nodes
    heapq.heapify(free)
    last = 0.0
    while waiting:
        now, unit = heapq.heappop(free), waiting.pop()
        failure = rng.exponential(3600 / FAILURES_PER_HOUR)
        if failure < unit:
            again += 1
            waiting.append(unit)
            heapq.heappush(free, now + failure + REPLACED_S + start)
            continue
        last = max(last, now + unit)
        heapq.heappush(free, now + unit)
    return last, again


def main() -> dict[str, dict]:
    """Simulate; returns name → {value, unit, peer, ratio, hours, started_again}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--training", type=float, default=TRAINING_S, help="seconds of a run")
    parser.add_argument("--figure", type=Path, help="file of a figure")
    given = parser.parse_args()
    jobs = {
        "films": (10_000 // CHUNK, FILM_S * CHUNK, START_S),
        "ablations": (55, given.training, START_S),
    }
    result, drawn = {}, {}
    for name, (units, seconds, start) in jobs.items():
        rng = np.random.default_rng(0)
        repeated = {n: [makespan(units, seconds, n, start, rng) for _ in range(20)] for n in NODES}
        hours = {n: float(np.mean([t for t, _ in some])) / 3600 for n, some in repeated.items()}
        again = {n: float(np.mean([k for _, k in some])) for n, some in repeated.items()}
        drawn[name] = hours
        more = {"hours": {n: round(h, 3) for n, h in hours.items()}, "started_again": again}
        result[f"cluster.{name}_64"] = row(hours[64], "h", hours[1], hours[1] / hours[64], **more)
    if given.figure:
        _draw(drawn, given.figure)
    return result


def _draw(hours: dict[str, dict[int, float]], path: Path) -> None:
    """Duration against nodes, with the ideal one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    titles = {"films": "10 000 films", "ablations": "55 ablation runs"}
    for name, found in hours.items():
        (line,) = axes.loglog(list(found), list(found.values()), "o-", label=titles[name])
        ideal = [found[1] / n for n in found]
        axes.loglog(list(found), ideal, ":", color=line.get_color())
    axes.set_xticks(NODES, [str(n) for n in NODES])
    axes.minorticks_off()
    axes.set(xlabel="nodes of two cores", ylabel="duration (h)")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    print(json.dumps(main()))
