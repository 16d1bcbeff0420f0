"""Operations that a fault hits, each in a child of a process that has imported everything."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import mlflow
import mlflow.pyfunc
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (once, and not in each child)
import numpy as np

from spinscope.config import Tracking, load_params
from spinscope.errors import SpinscopeError
from spinscope.families.moke_unet import MokeUnet
from spinscope.files import sha256
from spinscope.reviews.folder import Reviews
from spinscope.tracking import lineage, open_store, parent_run, promote, register

NAME = "moke-unet"


class Threshold(MokeUnet):
    """A stand-in model: its file holds the grey level under which a pixel is a skyrmion."""

    def predictor(self, folder, params=None, *, streams=1):
        return float((folder / "model.keras").read_text())

    def predict(self, predictor, image):
        return (image < predictor).astype(np.uint8)


def report() -> dict:
    """Report of an evaluation with the numbers that a promotion reads."""
    row = {
        "mcc": 0.9, "true_positive_px": 95, "false_positive_px": 5, "false_negative_px": 5,
        "true_negative_px": 95, "objects_true": 9, "objects_predicted": 9, "objects_matched": 9,
        "wasserstein_px": 0.4, "frame_ms": 1.0, "seen_in_training": False,
    }  # fmt: skip
    rows = [{"name": str(k), "source": k, **row} for k in range(2)]
    return {"mcc": 0.9, "n_images": 2, "seen_in_training": 0, "frame_ms": 1.0, "per_image": rows}


def tracking_at(folder: Path, uri: str | None = None) -> Tracking:
    """Settings of a store in a folder, or of a server."""
    return Tracking(
        uri=uri or f"sqlite:///{folder}/mlflow.db",
        artifacts=f"{folder}/artifacts",
        experiment=NAME,
        moved_alias="warn",
    )


def frames() -> list[np.ndarray]:
    """Two small images."""
    return list(np.random.default_rng(3).random((2, 40, 48), dtype=np.float32))


def registered(store, folder: Path, versions: int) -> None:
    """Register stand-in models and promote the first."""
    params = load_params("demo", family=NAME)
    tags = lineage(params, "md5:0123", seed=1)
    with parent_run(store, params, tags) as run:
        pass
    for k in range(versions):
        add_version(store, run.run_id, folder / f"model-{k}")
    if versions:
        promoted(store, 1)


def add_version(store, run_id: str, folder: Path) -> int:
    """Register one stand-in model; returns its number."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, text in {"model.keras": "0.5", "model.json": "{}", "card.md": "# Stub\n"}.items():
            (folder / name).write_text(text)
        sums = (f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
        (folder / "SHA256SUMS").write_text("".join(sums))
    options = {"lineage": {}, "validated": True, "examples": frames()}
    return register(
        store, Threshold(), run_id, folder, NAME, seed=1, reports={1: report()}, **options
    ).version


def promoted(store, version: int):
    """Promote a version; gates that the stand-in cannot pass are overridden."""
    return promote(
        store, Threshold(), NAME, version, reason=f"version {version}", override="a stand-in",
        params=load_params("demo", family=NAME),
        measure=lambda of: report(), frame_ratio=lambda of: 0.5,
    )  # fmt: skip


def review(folder: Path, seed: int = 0) -> None:
    """Save a correction of frame 7 in `folder/reviews`."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, (32, 32), dtype=np.uint8)
    Reviews.open(folder / "reviews").add(
        "7", rng.random((32, 32), dtype=np.float32), mask,
        status="corrected", who=f"reviewer {seed}", model="m", model_sha256="", before=1 - mask,
    )  # fmt: skip


def corpus(folder: Path) -> None:
    """Write a corpus of small lattices in chunks, or resume it."""
    from spinscope.corpora.lattice import make_lattice_corpus

    make_lattice_corpus(folder / "corpus", 0, lattice_settings(6))


def lattice_settings(n: int):
    """Settings of a corpus of small lattices, two per chunk."""
    found = load_params("demo", family="field-fcn").lattice
    changes = {"n": n, "size": 16, "sweeps": 20, "reflections": 1, "shard_lattices": 2}
    return type(found).model_validate({**found.model_dump(), **changes, "workers": 1})


def _prepared(name: str, folder: Path):
    """Operation without the preparations that the fault does not hit."""
    if name.startswith("promote"):
        store = open_store(tracking_at(folder))
        return lambda: promoted(store, int(name.removeprefix("promote")))
    if name == "register":
        store = open_store(tracking_at(folder))
        (run, *_) = store.client.search_runs([store.experiment_id])
        return lambda: add_version(store, run.info.run_id, folder.parent / "model-0")
    if name == "import":
        from spinscope.tracking.migration import import_store

        return lambda: import_store(tracking_at(folder), str(folder.parent / "source"))
    return {"review": lambda: review(folder, 1), "corpus": lambda: corpus(folder)}[name]


def _child(name: str, folder: Path) -> None:
    status = 1
    try:
        operation = _prepared(name, folder)
        os.kill(os.getpid(), signal.SIGSTOP)
        operation()
        status = 0
    except SpinscopeError:
        status = 3
    except BaseException:
        traceback.print_exc()
        status = 4
    finally:
        os._exit(status)


def main() -> None:
    """Read lines NAME FOLDER; write the number of the child, then its exit status."""
    warnings.simplefilter("ignore")
    warm = False
    for line in sys.stdin:
        if not line.strip():
            continue
        name, folder = line.split(maxsplit=1)
        if name == "corpus" and not warm:  # compile before the children
            from spinscope.corpora.lattice import annealed

            annealed(0, 0, lattice_settings(1))
            warm = True
        pid = os.fork()
        if pid == 0:
            _child(name, Path(folder.strip()))
        os.waitpid(pid, os.WUNTRACED)
        print(pid, flush=True)
        sys.stdin.readline()
        os.kill(pid, signal.SIGCONT)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(status, flush=True)


if __name__ == "__main__":
    main()
