"""A store of its own for every test, copied from one whose tables are built once."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import section, tracking_at

from spinscope.config import Params, Tracking
from spinscope.families.moke_unet import MokeUnet
from spinscope.files import sha256
from spinscope.models.store import save_model
from spinscope.models.unet import unet
from spinscope.tracking import Run, Store, Version, lineage, open_store, register, seed_run
from spinscope.tracking.registry import predictions
from spinscope.tracking.runs import parent_run


@pytest.fixture
def tracking(fresh_store: Path, tmp_path: Path) -> Tracking:
    folder = tmp_path / "mlruns"
    shutil.copytree(fresh_store, folder)
    return tracking_at(folder)


@pytest.fixture
def store(tracking: Tracking) -> Store:
    return open_store(tracking)


def report(mcc: float, predicted: int = 100, frame_ms: float = 40.0) -> dict:
    """An evaluation report, as `evaluation.report.evaluate` gives it."""
    return {
        "mcc": mcc,
        "mcc_per_image": {"mean": mcc - 0.01, "sd": 0.02},
        "accuracy": 0.98,
        "f1": 0.9,
        "jaccard": 0.85,
        "confusion": [[90, 1], [2, 7]],
        "objects": {
            "true": 100,
            "predicted": predicted,
            "matched": 95,
            "precision": 0.95,
            "recall": 0.95,
        },
        "size": {"edges_px": [0, 10], "true": [100], "predicted": [99], "wasserstein_px": 0.4},
        "n_images": 2,
        "frame_ms": frame_ms,
        "tta": 1,
        "seen_in_training": 0,
        "evidence": {"frames": "the same frames"},
        "per_image": [frame_row(f"{k}", k, mcc, predicted) for k in range(8)],
    }


def frame_row(name: str, source: int, mcc: float, predicted: int = 100, **changes) -> dict:
    """Row of a frame of 100 objects on 20000 pixels; its MCC is nearly `mcc`."""
    wrong = round(10000 * (1 - mcc) / 2)
    return {
        "name": name, "source": source, "mcc": mcc,
        "true_positive_px": 10000 - wrong, "false_positive_px": wrong,
        "false_negative_px": wrong, "true_negative_px": 10000 - wrong,
        "objects_true": 100, "objects_predicted": predicted, "objects_matched": min(95, predicted),
        "wasserstein_px": 0.4, "frame_ms": 40.0, "seen_in_training": False, **changes,
    }  # fmt: skip


MEASURES = {"measure": lambda of: report(0.92), "frame_ratio": lambda of: 0.5}
"""Stand-ins for the evaluation of a version and the time of its frames."""


class Threshold(MokeUnet):
    """A stand-in model: its file holds the grey level under which a pixel is a skyrmion."""

    def predictor(self, folder, params=None, *, streams=1):
        return float((folder / "model.keras").read_text())

    def predict(self, predictor, image):
        return (image < predictor).astype(np.uint8)


THRESHOLD = Threshold()


def threshold(folder: Path, images) -> list[np.ndarray]:
    """Masks of the stand-in model of a folder."""
    return predictions(THRESHOLD, folder, images)


def threshold_folder(folder: Path, level: float = 0.5) -> Path:
    """Model folder of the stand-in."""
    folder.mkdir(parents=True)
    (folder / "model.keras").write_text(str(level))
    (folder / "model.json").write_text("{}")
    (folder / "card.md").write_text("# A threshold\n")
    names = ("card.md", "model.json", "model.keras")
    (folder / "SHA256SUMS").write_text("".join(f"{sha256(folder / n)}  {n}\n" for n in names))
    return folder


def small_network(folder: Path) -> Path:
    """Model folder of a small, untrained network of three classes."""
    config = section("model", width=2, depth=1, stem=1)
    info = {"family": "moke-unet", "classes": ["a", "b", "c"], "size_multiple": 2}
    return save_model(folder, unet(config, 3, seed=5), info, "# A small network\n")


def frames(n: int = 2) -> list[np.ndarray]:
    """Small frames of noise."""
    rng = np.random.default_rng(3)
    return [rng.uniform(0, 1, (40, 48)).astype(np.float32) for _ in range(n)]


def mask_of(answer: dict) -> np.ndarray:
    """The mask of a row that a served model answered."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))


@pytest.fixture
def tags(params: Params) -> dict[str, str]:
    """Lineage of a run."""
    return lineage(params, "md5:0123", seed=1)


@pytest.fixture
def registered(store: Store, params: Params, tags, tmp_path: Path) -> Callable[..., Version]:
    """Register a stand-in model with these scores as the next version of `moke-unet`."""
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        pass

    def register_one(mccs=(0.90, 0.92, 0.94), level=0.5, run: Run = run, **changes) -> Version:
        folder = tmp_path / f"model-{len(list(tmp_path.glob('model-*')))}"
        reports = {k: report(mcc, **changes.pop("report", {})) for k, mcc in enumerate(mccs, 1)}
        options = {
            "seed": 1,
            "reports": reports,
            "lineage": {**tags, **changes.pop("tags_added", {})},
            "validated": True,
            "examples": frames(),
            "family": THRESHOLD,
        }
        options |= changes
        family = options.pop("family")
        return register(
            run.store, family, run.run_id, threshold_folder(folder, level), "moke-unet", **options
        )

    return register_one
