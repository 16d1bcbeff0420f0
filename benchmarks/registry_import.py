"""Import of a laptop's store into the server of a group, killed three times.

The source is an SQLite store with `--runs` runs: trainings of three seeds with their parent, each
with 60 settings, 8 curves of 20 epochs, a dataset and two files, and a registered version per
twentieth run. The target is MLflow with logins on PostgreSQL and an S3 store, all on this machine.
`spinscope registry import` is killed with SIGKILL when a quarter, a half and three quarters of the
runs are there, and then left to finish. Value: runs per second of the time of all four calls, with
the counts of both stores at the end. Peer: writing the same runs to the SQLite store with MLflow's
client.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _rows import row, seconds_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
EPOCHS, METRICS, SETTINGS, RUNS_PER_VERSION = 20, 8, 60, 20
KILLED_AT = (0.25, 0.5, 0.75)


def main(runs: int = 100) -> dict[str, dict[str, float | str]]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    from tests import servers

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = folder / "laptop"
        written = seconds_of(lambda: _fill(source, runs))
        with (
            servers.postgres() as postgres,
            servers.s3_store(folder / "s3") as bucket,
            servers.group(folder, postgres, bucket) as group,
        ):
            database = group.database.rpartition("/")[2]

            def there() -> int:
                return postgres.execute("SELECT count(*) FROM runs", database)[0][0]

            environment = {
                **os.environ,
                **group.login("admin"),
                "SPINSCOPE_TRACKING_URI": group.url,
                "SPINSCOPE_ROOT": str(ROOT),
            }
            command = [sys.executable, "-m", "spinscope", "registry", "import", str(source)]
            began, killed = time.perf_counter(), []
            for share in KILLED_AT:
                process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
                while there() < share * runs and process.poll() is None:
                    time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed.append(there())
            done = subprocess.run(
                [*command, "--json"], env=environment, capture_output=True, text=True
            )
            seconds = time.perf_counter() - began
            if done.returncode:
                raise SystemExit(done.stderr)
            counts = {count["kind"]: count for count in json.loads(done.stdout)}
            twice = there() - counts["runs"]["source"]
    complete = all(count["source"] == count["target"] for count in counts.values())
    extra = {
        "seconds": seconds,
        "killed_at_runs": killed,
        "complete": complete,
        "second_copies": twice,
        **{kind.replace(" ", "_"): count["target"] for kind, count in counts.items()},
    }
    return {"registry.import_runs_per_s": row(runs / seconds, "1/s", runs / written, **extra)}


def _fill(folder: Path, runs: int) -> None:
    """Write a store with `runs` runs."""
    from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

    from spinscope.config import Tracking
    from spinscope.tracking import open_store

    store = open_store(
        Tracking(
            uri=f"sqlite:///{folder}/mlflow.db",
            artifacts=f"{folder}/artifacts",
            experiment="moke-unet",
            moved_alias="warn",
        )
    )
    client, parent = store.client, ""
    for number in range(runs):
        tags = {"family": "moke-unet", "seed": str(number % 4)}
        if number % 4:
            tags["mlflow.parentRunId"] = parent
        run = client.create_run(store.experiment_id, tags=tags, run_name=f"run {number}")
        run_id, start = run.info.run_id, run.info.start_time
        parent = parent if number % 4 else run_id
        rows = [
            Metric(f"curve{key}", number + step / EPOCHS, start + step, step)
            for key in range(METRICS)
            for step in range(EPOCHS)
        ]
        params = [Param(f"section.setting{key}", str(key * number)) for key in range(SETTINGS)]
        client.log_batch(run_id, rows, params, [RunTag("data.hash", f"md5:{number}")])
        given = Dataset(f"frames {number % 5}", f"{number % 5:016d}", "local", "{}")
        client.log_inputs(run_id, [DatasetInput(given, [])])
        for name in ("validation/report.json", "validation/per_image.csv"):
            client.log_text(run_id, f"{number}\n" * 500, name)
        client.set_terminated(run_id)
        if number % RUNS_PER_VERSION == 0:
            _register(client, store.experiment_id, run_id, folder.parent / "model")


def _register(client, experiment: str, run_id: str, packed: Path) -> None:
    """Register a version with a small model folder."""
    packed.mkdir(exist_ok=True)
    (packed / "MLmodel").write_text(f"run_id: {run_id}\n")
    (packed / "model.keras").write_bytes(os.urandom(1 << 18))
    logged = client.create_logged_model(experiment, name="moke-unet", source_run_id=run_id)
    client.log_model_artifacts(logged.model_id, str(packed))
    client.finalize_logged_model(logged.model_id, "READY")
    if not client.search_registered_models("name = 'moke-unet'"):
        client.create_registered_model("moke-unet")
    client.create_model_version(
        "moke-unet", logged.artifact_location, run_id, {"seed": "1"}, model_id=logged.model_id,
        await_creation_for=0,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="number of runs (100)")
    print(json.dumps(main(parser.parse_args().runs)))
