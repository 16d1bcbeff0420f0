"""Scores of sources with their own scale, polarity and level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs
from tests.inference.test_conditions import bubble

from spinscope import jobs
from spinscope.config import load_params
from spinscope.datasets import Record
from spinscope.datasets.moke import write_moke
from spinscope.errors import SpinscopeError
from spinscope.files import write_json

MODEL = "bundled:moke-unet-simulated"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A source of dark skyrmions of the usual size, and one of a large bright bubble."""
    frames = []
    for k in range(2):
        image, label = discs(np.random.default_rng(k), size=256, n=30, radius=6)
        frames.append((Record(f"000{k}", 0, 0), image, label))
        image, mask = bubble(150, seed=k, size=256)
        frames.append((Record(f"001{k}", 1, 0), np.float32(1 - image), mask.astype(np.uint8)))
    return write_moke(tmp_path / "moke", frames).path


def score(folder: Path, *overrides: str, **options) -> dict:
    """Report of the bundled model."""
    params = load_params(family="moke-unet", overrides=["evaluation.tta=1", *overrides])
    return jobs.evaluate_model(params, MODEL, folder, **options)


def test_frames_are_taken_as_they_are_unless_asked(folder):
    plain, found = score(folder), score(folder, adapt=True)
    assert "sources" not in plain
    rows = {row["source"]: row for row in found["sources"]}
    assert rows[0]["polarity"] == "dark" and rows[0]["scale"] is None
    assert rows[1]["polarity"] == "bright" and rows[1]["scale"] < 1

    def mcc(report: dict, source: int) -> float:
        return min(row["mcc"] for row in report["per_image"] if row["source"] == source)

    assert mcc(found, 1) > 0.9 > 0.5 > mcc(plain, 1)
    assert mcc(found, 0) == mcc(plain, 0)
    assert found["evidence"]["settings"] != plain["evidence"]["settings"]


def test_a_level_is_applied_and_a_file_of_another_model_refused(folder, tmp_path):
    wide, narrow = (score(folder, f"segment.level={level}") for level in (0.1, 0.9))
    assert [row["level"] for row in wide["sources"]] == [0.1, 0.1]
    area = [np.sum(report["confusion"], axis=0)[1] for report in (wide, narrow)]
    assert area[0] > 1.05 * area[1]
    half = score(folder, "segment.level=half", adapt=True)
    assert all(0 < row["level"] < 1 for row in half["sources"])
    path = write_json(tmp_path / "level.json", {"level": 0.3, "models": ["0" * 64]})
    with pytest.raises(SpinscopeError, match="was fitted for another model"):
        score(folder, f"segment.level={path}")


def test_families_without_masks_have_no_scale(lattice_folder):
    params = load_params(family="field-fcn")
    with pytest.raises(SpinscopeError, match="field-fcn has no scale and no level"):
        jobs.evaluate_model(params, "bundled:field-fcn", lattice_folder, adapt=True)
