"""Seconds of flows with two Dask workers of this machine, and with one, which is the peer.

`workers.films_s`: films of 64 x 64 cells, flow ``corpus``. `workers.seeds_s`: two seeds of a short
training on simulated Kerr frames, flow ``train-seeds``. A worker has one core. The start of the
workers counts, as in every call of a flow; that of Prefect's server does not. The training also
evaluates and registers its networks, which one process does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _rows import row, seconds_of
from spinscope.config import load_params, project_root

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FILMS, CHUNK = 480, 24
FRAMES, SEEDS = 24, 2


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}, with the ratio 1 worker to 2 workers."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = folder  # before the import of Prefect
        os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
        sys.path.insert(0, str(project_root() / "flows"))
        from prefect.settings import PREFECT_API_URL
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=180):
            os.environ["PREFECT_API_URL"] = PREFECT_API_URL.value()  # else workers start their own
            return {
                "workers.films_s": compared(films, Path(folder)),
                "workers.seeds_s": compared(training(Path(folder)), Path(folder)),
            }


def compared(work: Callable[[Path, list[str]], Any], folder: Path) -> dict:
    """Row of the seconds with two workers and with one."""
    seconds = {}
    for workers in (1, 2):
        settings = ["cluster.kind=local", f"cluster.workers={workers}", "cluster.cores=1"]
        out = folder / f"{work.__name__}-{workers}"
        seconds[workers] = seconds_of(lambda out=out, settings=settings: work(out, settings))
    return row(seconds[2], "s", seconds[1], seconds[1] / seconds[2])


def films(out: Path, settings: list[str]) -> None:
    """Make a corpus of films in chunks."""
    from corpus import corpus

    size = ["films.height=64", "films.width=64", "films.grains=16"]
    number = [f"films.n={FILMS}", f"films.shard_films={CHUNK}"]
    corpus("films", "demo", out, [*settings, *size, *number])


def training(folder: Path) -> Callable[[Path, list[str]], None]:
    """Function that trains two seeds on a new corpus."""
    from spinscope.corpora.kerr import make_kerr_corpus

    data = make_kerr_corpus(folder / "kerr", FRAMES, 0, load_params("demo").kerr)

    def seeds(out: Path, settings: list[str]) -> None:
        from train_seeds import train_seeds

        store = out.with_name(f"{out.name}-store")
        given = [
            f"tracking.uri=sqlite:///{store}/mlflow.db", f"tracking.artifacts={store}/artifacts",
            "training.pretrained=null", "model.width=8", "model.depth=3", "model.upscale=null",
            "model.min_peak_probability=null", "training.steps_per_epoch=20", "evaluation.tta=1",
        ]  # fmt: skip
        train_seeds("moke-unet", "demo", SEEDS, 4, data, out, [*settings, *given])

    return seeds


if __name__ == "__main__":
    print(json.dumps(main()))
