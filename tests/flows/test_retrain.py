"""Retraining with corrections: frames trained on, frames held out, and the report."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs
from tests.flows.conftest import FLOWS, settings_of, written

from spinscope import jobs
from spinscope.config import Params, load_params
from spinscope.datasets import open_dataset
from spinscope.datasets.seen import TrainingFrames
from spinscope.errors import SpinscopeError
from spinscope.models.store import model_info, save_model
from spinscope.models.unet import unet
from spinscope.reviews import retrain, retraining
from spinscope.reviews.folder import Reviews

BY_ADA = {"who": "Ada", "model": "bundled:moke-unet", "model_sha256": "ab" * 32}


@pytest.fixture
def params(params: Params) -> Params:
    """Those of every test, on the engine that needs no export."""
    keras = params.inference.model_copy(update={"engine": "keras"})
    return params.model_copy(update={"inference": keras})


@pytest.fixture
def old(params, tmp_path) -> str:
    """Reference of an untrained model of another architecture than that of `params`."""
    model = params.model.model_copy(update={"width": 2, "stem": 2, "refine": 2})
    info = {
        "family": "moke-unet",
        "classes": ["background", "skyrmion", "defect"],
        "size_multiple": model.size_multiple,
        "model": model.layers,
    }
    frames = TrainingFrames(frozenset(), {})
    return str(save_model(tmp_path / "old", unet(model, 3, seed=5), info, "# Old\n", frames))


def recording(folder, n: int, seed: int = 3, status=lambda k: "corrected") -> Reviews:
    """Reviews of `n` new frames, with the true mask as the correction."""
    reviews, rng = Reviews.open(folder), np.random.default_rng(seed)
    for k in range(n):
        image, label = discs(rng)
        reviews.add(
            f"{n - k:04d}", image, label, status=status(k), before=np.zeros_like(label), **BY_ADA
        )
    return reviews


def learned(report: dict) -> set[str]:
    """Names of the frames in the batches that were trained on."""
    settings = json.loads((Path(report["train"]) / "seed-0" / "result.json").read_text())
    dataset = open_dataset(report["data"]["path"])
    return {r.name for r in dataset.select(settings["settings"]["data"]["train_batches"]).records}


@pytest.mark.slow
def test_from_corrections_to_the_next_model(
    prefect, params, old, tmp_path, template_store, monkeypatch
):
    """The whole flow, with a seed that is trained in a process of its own."""
    one = recording(tmp_path / "film", 9)
    other = recording(
        tmp_path / "disc", 3, seed=4, status=lambda k: ("rejected", "accepted")[k % 2]
    )
    out, flow = tmp_path / "out", flow_module(monkeypatch)
    overrides = [*settings_of(params), "training.seeds=1"]
    given = {"reviews": f"{one.folder},{other.folder}", "model": old, "profile": "demo"}
    given |= {"overrides": overrides, "out": str(out)}
    report = flow.retrain(**given)
    assert json.loads((out / "report.json").read_text()) == report

    # Nine pictures and one of three: the fourth and the eighth of the nine are held back.
    frames = {row["reviews"][0]["frame"] + row["reviews"][0]["reviews"][-4:]: row
              for row in report["frames"]}  # fmt: skip
    assert len(frames) == 10
    assert {name for name, row in frames.items() if row["held_out"]} == {"0006film", "0002film"}
    held_out = {row["name"] for row in report["frames"] if row["held_out"]}
    trained = {row["name"] for row in report["frames"]} - held_out
    assert trained <= learned(report)
    assert not held_out & learned(report)

    # Both models are scored on both kinds, as the library scores them.
    for which in ("old", "new"):
        assert report[which]["held_out"]["n_images"] == 2
        assert report[which]["trained"]["n_images"] == 7
        assert report[which]["accepted"]["n_images"] == 1
        assert report[which]["validation"]["n_images"] == 4
        of_held = [row[f"{which}_mcc"] for row in report["frames"] if row["held_out"]]
        assert report[which]["held_out"]["mcc_per_image"]["mean"] == pytest.approx(np.mean(of_held))
    assert report["new"]["held_out"]["seen_in_training"] == 0
    assert report["new"]["trained"]["seen_in_training"] == 7
    assert report["old"]["trained"]["seen_in_training"] == 0
    assert any(row["old_mcc"] != row["new_mcc"] for row in report["frames"])
    assert "2 corrected frames held back" in report["summary"]
    assert "1 mask was accepted as the model made it" in report["summary"]
    assert (report["data"]["corrected"], report["data"]["accepted"]) == (9, 1)

    # The new model has the old one's architecture, and says where it comes from.
    best = out / "train" / "best"
    assert model_info(best)["model"] == model_info(old)["model"]
    assert model_info(best)["best_epoch"] == params.training.epochs - 1
    assert report["registered"] == "models:/moke-unet/1"
    from spinscope.tracking import open_store, version

    tags = version(open_store(params.tracking), "moke-unet").tags
    assert tags["data.hash"] == report["data"]["hash"]
    assert tags["data.validated"] == "true"
    assert (tags["retrain.from"], tags["retrain.reviews"]) == (old, "film,disc")
    assert (tags["retrain.frames"], tags["retrain.held_out"]) == ("10", "2")

    # A repeated call trains nothing and returns the same report.
    trained = written(out)
    assert flow.retrain(**given) == report
    assert trained and written(out) == trained, "a finished seed was trained again"


def test_each_image_is_assigned_once(params, tmp_path):
    reviews = recording(tmp_path / "film", 7)
    before = retraining._held_out(reviews)
    image, label = discs(np.random.default_rng(9))
    reviews.add("0000", image, label, status="accepted", before=label, **BY_ADA)
    again = reviews.image("0007"), reviews.label(reviews.latest("0007"))
    reviews.add("0007", *again, status="rejected", before=label, **BY_ADA)
    assert len(before) == 1
    assert retraining._held_out(Reviews.open(reviews.folder)) > before


def test_corrections_of_the_dataset_stay_in_their_batches(params, old, tmp_path):
    """A corrected frame of the training batches is trained on, one of validation is not."""
    base, reviews = open_dataset(params.data.path), Reviews.open(tmp_path / "moke-reviews")
    for index in (0, 8):  # batches 0 and 2
        label = base.label(index)
        label[30:40, 30:40] = 1
        name = base.records[index].name
        reviews.add(
            name, base.image(index), label, status="corrected", before=base.label(index), **BY_ADA
        )
    blank = np.zeros_like(base.label(9))
    name = base.records[9].name
    reviews.add(name, base.image(9), blank, status="accepted", before=blank, **BY_ADA)
    pinned = retraining._pinned(params, old)
    dataset, frames, settings = retraining._corrections(
        params, [reviews.folder], pinned, tmp_path / "d"
    )
    assert [row["use"] for row in frames.values()] == ["train", "validation", "label kept"]
    assert [row["replaces"] for row in frames.values()] == [True, True, False]
    assert len(dataset) == len(base)
    assert settings.data.train_batches == params.data.train_batches
    assert (dataset.label(0)[30:40, 30:40] == 1).all()
    np.testing.assert_array_equal(dataset.label(9), base.label(9))


def test_without_held_out_frames_the_summary_warns(params, old, tmp_path):
    reviews = recording(tmp_path / "film", 3)
    _, frames, settings = retraining._corrections(params, [reviews.folder], old, tmp_path / "data")
    assert {row["use"] for row in frames.values()} == {"train"}
    assert settings.data.train_batches == (*params.data.train_batches, 5)
    models = {name: {part: {"mcc": mcc} for part in ("trained", "validation")}
              for name, mcc in (("old", 0.25), ("new", 0.75))}  # fmt: skip
    none = {"replaced": 0, "replaced_validation": 0, "kept": 0}
    says = retraining._summary({**models, "data": {"held_out": 0, "labels": none}})
    assert "from 0.250 to 0.750 on frames that the new model was trained on" in says
    assert "proves little" in says
    assert says.endswith("validation frames from 0.250 to 0.750.")


def test_accepted_masks_are_no_evidence(params, old, tmp_path):
    """Labels that are the old model's own masks count as no loss of the new model."""
    reviews = recording(tmp_path / "film", 8, status=lambda k: "accepted" if k % 2 else "corrected")
    _, frames, _ = retraining._corrections(params, [reviews.folder], old, tmp_path / "data")
    rows = frames.values()
    assert [row["corrected"] for row in rows].count(True) == 4
    for row in rows:
        group = retraining._group(row)
        assert (group == "accepted") == (not row["corrected"])
    one = {"validation": {"mcc": 0.5}, "held_out": None, "trained": None}
    old_model = {**one, "accepted": {"mcc": 1.0, "n_images": 8}}
    new_model = {**one, "accepted": {"mcc": 0.976, "n_images": 8}}
    labels = {"replaced": 0, "replaced_validation": 0, "kept": 0}
    said = retraining._summary(
        {"old": old_model, "new": new_model, "data": {"held_out": 0, "labels": labels}}
    )
    assert said.startswith("No reviewed frame was corrected")
    assert "agrees with MCC 0.976, which is neither a gain nor a loss" in said
    assert "1.000" not in said


@pytest.mark.parametrize(
    ("n", "labels", "says"),
    [
        (1, (1, 0, 2), ["on 1 corrected frame held back", "of its recording were not",
            "1 label of the dataset was replaced by corrections, none of validation frames.",
            "2 masks of its frames were accepted as the model made them"]),
        (2, (3, 1, 1), ["on 2 corrected frames held back",
            "3 labels of the dataset were replaced by corrections, 1 of validation frames among",
            "1 mask of its frames was accepted as the model made it"]),
    ],
)  # fmt: skip
def test_the_summary_counts_replaced_labels(n, labels, says):
    of = {part: {"mcc": 0.5} for part in ("held_out", "trained", "validation")}
    labels = dict(zip(("replaced", "replaced_validation", "kept"), labels, strict=True))
    said = retraining._summary({"old": of, "new": of, "data": {"held_out": n, "labels": labels}})
    for words in says:
        assert words in said


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (lambda k: "rejected", "no frame is accepted or corrected"),
        (lambda k: "accepted" if k == 3 else "rejected", "to train on; there are: 1 held out"),
    ],
)
def test_no_usable_frame_is_reported_before_training(params, old, tmp_path, status, says):
    reviews = recording(tmp_path / "film", 4, status=status)
    with pytest.raises(SpinscopeError, match=says):
        retrain(params, [reviews.folder], old, tmp_path / "out")
    assert not (tmp_path / "out" / "train").exists()


def test_bad_names_are_reported_before_training(params, old, tmp_path):
    with pytest.raises(SpinscopeError, match=r"folder of reviews .*nowhere does not exist"):
        retrain(params, [tmp_path / "nowhere"], old, tmp_path / "out")
    with pytest.raises(SpinscopeError, match="bundled:nope"):
        retrain(params, [recording(tmp_path / "f", 1).folder], "bundled:nope", tmp_path / "o")


def test_a_crop_that_the_old_network_cannot_read_is_one_sentence(params, old, tmp_path):
    odd = params.training.model_copy(update={"crop": 36})
    settings = params.model_copy(update={"training": odd})
    with pytest.raises(SpinscopeError, match=r"training.crop \(=36\) must be a multiple of 8"):
        retrain(settings, [recording(tmp_path / "f", 1).folder], old, tmp_path / "out")


def test_epochs_and_the_remaining_time_are_logged(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FLOWS))
    flow, lines = importlib.import_module("train_seeds"), []
    state = tmp_path / "seed-0/backup/state.json"
    state.parent.mkdir(parents=True)
    with flow.epochs_logged(tmp_path / "seed-0", "seed 0", 4, lines.append, every=0.01):
        for epoch in (1, 3):
            state.write_text(json.dumps({"epoch": epoch, "seconds": 10.0 * epoch}))
            deadline = time.monotonic() + 20
            while not lines or f"epoch {epoch}" not in lines[-1]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        state.write_text(json.dumps({"epoch": 4, "seconds": 40.0}))
    assert lines == [
        "seed 0: epoch 1 of 4, about 30 s left",
        "seed 0: epoch 3 of 4, about 10 s left",
        "seed 0: epoch 4 of 4",
    ]


def flow_module(monkeypatch):
    monkeypatch.syspath_prepend(str(FLOWS))
    monkeypatch.delitem(sys.modules, "retrain", raising=False)
    return importlib.import_module("retrain")


def test_the_flow_hands_the_changed_settings_to_other_processes(params, tmp_path, monkeypatch):
    """The overrides give the very settings again, whatever their words."""
    flow = flow_module(monkeypatch)
    given = ["training.crop=64"]
    before = load_params("demo", given)
    dump = before.model_dump()
    dump["data"] |= {"path": str(tmp_path / "out put: ü#1"), "train_batches": (0, 1, 7)}
    dump["model"] |= {"width": 4, "stem": 4, "dropout": 1e-5}
    dump["training"]["pretrained"] = "models:/moke-unet/3"
    after = Params.model_validate(dump)
    overrides = flow.changes(before, after)
    assert len(overrides) == 6
    assert load_params("demo", [*given, *overrides]).digest() == after.digest()


def test_the_flow_hands_on_what_it_is_given(params, tmp_path, monkeypatch):
    flow = flow_module(monkeypatch)
    scores = {"mcc": 0.5, "n_images": 3}
    model = {"held_out": None, "trained": scores, "validation": scores}
    asked = []

    def retrain(params, reviews, model_ref, out, run_seeds):
        asked.extend([reviews, model_ref, out])
        return {"old": model, "new": model, "summary": "It rose.", "registered": "models:/x/2"}

    monkeypatch.setattr(flow, "retrain_with", retrain)
    families = []
    monkeypatch.setattr(jobs, "family_of", lambda _, ref: families.append(ref) or "moke-unet")
    artifacts = []
    monkeypatch.setattr(flow, "create_markdown_artifact", lambda text, **_: artifacts.append(text))
    flow.retrain.fn("a, b", profile="demo", out=tmp_path / "o")
    assert asked == [[Path("a"), Path("b")], "models:/moke-unet@lab", tmp_path / "o"]
    assert families == ["models:/moke-unet@lab"]
    assert "| trained | 3 | 0.5000 | 0.5000 |" in artifacts[0]
    assert "held out" not in artifacts[0]
    with pytest.raises(SpinscopeError, match="--reviews must name at least one folder"):
        flow.retrain.fn(" , ", profile="demo")
