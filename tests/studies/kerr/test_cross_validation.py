"""Each batch left out: no network sees what it is scored on, and what has ended is kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spinscope.config import overridden
from spinscope.datasets import open_dataset, write_moke
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.images import to_scheme
from spinscope.models.store import model_info
from spinscope.studies.kerr import CROSS_VALIDATION as cross_validate
from spinscope.studies.kerr import cross_validation
from spinscope.studies.kerr.cross_validation import left_out, lines, masks


@pytest.fixture
def short(params, moke_folder, tmp_path):
    """Two batches of four frames, a third that is only trained on, one epoch."""
    dataset = open_dataset(moke_folder).select([0, 1, 3])
    frames = (
        (replace(record, use="only_training") if record.batch == 3 else record, image, label)
        for record, image, label in dataset
    )
    part = write_moke(tmp_path / "part", frames)
    own = [
        "training.epochs=1",
        "cross_validation.base=[]",
        "model.upscale=null",
        "model.min_peak_probability=null",
    ]
    return overridden(params, [*own, f"data.path={part.path}"])


def test_every_frame_is_scored_by_a_network_that_never_saw_its_batch(
    short, tmp_path, template_store, monkeypatch
):
    report = cross_validate(short, tmp_path)
    dataset = open_dataset(short.data.path)
    assert report["batches"] == [0, 1]
    scored = dataset.select([0, 1])
    assert report["views"]["1"]["n_images"] == len(scored) == 8 < len(dataset)
    for row in report["trainings"]:
        model = tmp_path / f"crossval/seed-0/batch-{row['batch']}/model"
        assert model_info(model)["left_out"] == row["batch"]
    # The pooled score is that of the masks on disk.
    total = sum(
        confusion(to_scheme(scored.label(k), 3), mask, 3)
        for k, mask in enumerate(masks(tmp_path, 0, 1, scored))
    )
    assert report["views"]["1"]["mcc"]["mean"] == pytest.approx(scores(total)["mcc"])
    objects = report["views"]["1"]["batches"]
    assert sum(row["objects_true"] for row in objects) == report["views"]["1"]["objects"]["true"]
    assert len(lines(report)) == 4

    # What has ended is read back: no training, no segmentation, the same report.
    monkeypatch.setattr(cross_validation, "_write_mask", None)
    assert cross_validate(short, tmp_path) == report
    assert json.loads((tmp_path / "crossval.json").read_text()) == report
    with pytest.raises(TypeError):  # another engine segments anew
        cross_validate(overridden(short, ["inference.tile=512"]), tmp_path)


def test_a_single_batch_cannot_be_left_out(moke_folder):
    with pytest.raises(SpinscopeError, match="has 1 batches"):
        left_out(open_dataset(moke_folder).select([3]))


@pytest.mark.slow
def test_workers_share_the_folds(short, tmp_path, template_store):
    """The networks do not depend on which process trains them."""
    one = cross_validate(short, tmp_path / "one", track=False)
    two = cross_validate(short, tmp_path / "two", workers=2, track=False)
    for a, b in zip(one["trainings"], two["trainings"], strict=True):
        assert a["val_mcc"] == pytest.approx(b["val_mcc"], abs=1e-6)
    dataset = open_dataset(short.data.path).select([0, 1])
    pairs = zip(
        masks(tmp_path / "one", 0, 1, dataset),
        masks(tmp_path / "two", 0, 1, dataset),
        strict=True,
    )
    assert np.mean([np.mean(a != b) for a, b in pairs]) < 1e-3
