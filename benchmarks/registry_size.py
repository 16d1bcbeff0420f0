"""Registry of a group with many runs: time to list, compare and open the page Registry.

`python benchmarks/registry_size.py --runs 100 10000 100000` writes runs (10 parameters, 4 metrics
of two epochs, 5 tags) to PostgreSQL by SQL, and one version per hundred of them with the tags of a
real one. They are read through an MLflow server. Value: seconds with the most runs; peer: with the
fewest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import psycopg2.extras

from _rows import row, seconds_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
RUNS_PER_VERSION = 100
NAME, METRICS = "moke-unet", ("loss", "val_loss", "mcc", "val_mcc")
RUNS = """
INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time,
                  lifecycle_stage, artifact_uri, experiment_id)
SELECT md5(k::text), 'seed-' || k, 'LOCAL', 'anna', 'FINISHED', 1e12 + k, 1e12 + k + 1, 'active',
       'mlflow-artifacts:/' || md5(k::text), {experiment} FROM generate_series(0, {runs} - 1) k;
INSERT INTO params (key, value, run_uuid)
SELECT 'training.setting' || i, k || '.' || i, md5(k::text)
FROM generate_series(0, {runs} - 1) k, generate_series(1, 10) i;
INSERT INTO tags (key, value, run_uuid)
SELECT 'lineage.tag' || i, k || '.' || i, md5(k::text)
FROM generate_series(0, {runs} - 1) k, generate_series(1, 5) i;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
SELECT m, 0.9, 1e12, md5(k::text), e, false
FROM generate_series(0, {runs} - 1) k, unnest(array{metrics}) m, generate_series(0, 1) e;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT m, 0.9, 1e12, 1, false, md5(k::text)
FROM generate_series(0, {runs} - 1) k, unnest(array{metrics}) m;
INSERT INTO registered_models (name, creation_time, last_updated_time)
VALUES ('{name}', 1000000000000, 1000000000000);
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description,
                            current_stage, source, run_id, status)
SELECT '{name}', v, 1e12 + v, 1e12 + v, '# Model card', 'None',
       'mlflow-artifacts:/' || md5(v::text), md5(v::text), 'READY'
FROM generate_series(1, {versions}) v;
INSERT INTO registered_model_aliases (alias, version, name) VALUES ('lab', {versions}, '{name}');
"""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[200, 2000], metavar="N")
    found = {runs: _measured(runs) for runs in sorted(parser.parse_args().runs)}
    (least, first), (most, last) = min(found.items()), max(found.items())
    sizes = {str(runs): {key: float(f"{s:.3g}") for key, s in one.items()}
             for runs, one in found.items()}  # fmt: skip
    return {
        f"registry.{key}_s": row(last[key], "s", first[key], runs=most, runs_peer=least)
        | {"by_runs": {runs: one[key] for runs, one in sizes.items()}}
        for key in last
    }


def _measured(runs: int) -> dict[str, float]:
    """Seconds of each use, for a registry of so many runs."""
    from tests import servers

    from spinscope.config import Tracking
    from spinscope.tracking import compare, open_store, version, versions

    with tempfile.TemporaryDirectory() as temporary, servers.postgres() as postgres:
        folder, url = Path(temporary), postgres.database()
        with servers.mlflow_server(folder, url, str(folder / "artifacts")) as address:
            tracking = Tracking(
                uri=address, artifacts="mlruns", experiment=NAME, moved_alias="warn"
            )
            store = open_store(tracking)
            _fill(url, runs, int(store.experiment_id))
            last = max(2, runs // RUNS_PER_VERSION)
            versions(store, NAME)  # the server's first answer is slower
            seconds = {
                "list": seconds_of(lambda: versions(store, NAME)),
                "compare": seconds_of(
                    lambda: compare(version(store, NAME, 1), version(store, NAME, last))
                ),
            }
            return seconds | {"page": _page(folder, address)}


def _fill(url: str, runs: int, experiment: int) -> None:
    """Write the runs and versions."""
    versions = max(2, runs // RUNS_PER_VERSION)
    statements = RUNS.format(
        runs=runs, versions=versions, experiment=experiment, metrics=list(METRICS), name=NAME
    )
    tags = [
        (key, value.format(v=number), NAME, number)
        for number in range(1, versions + 1)
        for key, value in _tags().items()
    ]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(statements)
        psycopg2.extras.execute_values(
            cursor, "INSERT INTO model_version_tags (key, value, name, version) VALUES %s", tags
        )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def _tags() -> dict[str, str]:
    """Tags of a version; {v} is its number."""
    known = {
        "family": NAME, "params.profile": "laptop", "data.hash": "md5:1", "data.validated": "true",
        "git.commit": "0" * 40, "git.dirty": "false", "seeds": "1,2,3", "frame_ms": "20",
        "mcc.mean": "0.9{v}", "mcc.sd": "0.01", "seen_in_training": "0", "n_images": "40",
    }  # fmt: skip
    return known | {f"package.{k}": f"1.{k}.{{v}}" for k in range(40)}


def _page(folder: Path, address: str) -> float:
    """Seconds until the page Registry is complete, with its modules loaded."""
    from streamlit.testing.v1 import AppTest

    os.environ["SPINSCOPE_TRACKING_URI"] = address
    sys.path.insert(0, str(ROOT / "dashboards"))
    pages = []
    with redirect_stdout(sys.stderr):
        for _ in range(2):
            page = AppTest.from_file(str(ROOT / "dashboards/registry.py"), default_timeout=600)
            pages.append(seconds_of(page.run))
            assert not page.exception, page.exception
    return pages[-1]


if __name__ == "__main__":
    print(json.dumps(main()))
