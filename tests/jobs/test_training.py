"""Training jobs on a small dataset: from frames to a promoted model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinscope import families, jobs
from spinscope.config import load_params, overridden
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.images import write_label
from spinscope.jobs.drifting import stored_reference
from spinscope.models.store import EXPORT, NETWORK
from spinscope.tracking import PromotionRefused, open_store, resolve
from spinscope.tracking.registry import find


@pytest.fixture
def strict(params, lenient):
    """Settings of a project whose gates nearly any model passes."""
    return load_params(
        "demo", [f"{key}={value}" for key, value in changes(params).items()], family="moke-unet"
    )


def changes(params) -> dict[str, str]:
    """Settings of the fixture `params` that are not those of the project."""
    names = ("data", "model", "training", "tracking")
    return {
        f"{name}.{key}": json.dumps(value)
        for name in names
        for key, value in getattr(params, name).model_dump(mode="json").items()
    }


def test_from_frames_to_the_lab(strict, tmp_path, template_store, receiver, monkeypatch):
    address, messages = receiver
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", address)
    report = jobs.train(strict, tmp_path / "out")
    assert [row["seed"] for row in report["seeds"]] == [0, 1]
    assert report["registered"] == "models:/moke-unet/1"
    mccs = [row["mcc"] for row in report["seeds"]]
    assert report["validation"]["mcc.mean"] == pytest.approx(np.mean(mccs))
    assert report["validation"]["mcc.sd"] == pytest.approx(np.std(mccs, ddof=1))
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report

    promotion = jobs.promote(strict, "moke-unet", None, "first")
    assert (promotion.from_version, promotion.to_version) == (None, 1)
    assert [one["event"] for one in messages] == ["promotion"]
    assert messages[0]["text"].startswith("models:/moke-unet@lab is version 1, promoted by")

    batches = strict.data.validation_batches
    assert (resolve(strict.tracking, "models:/moke-unet@lab") / EXPORT).is_file()
    stored = stored_reference(resolve(strict.tracking, "models:/moke-unet@lab"), "the lab's")
    assert stored.sources == 8
    assert {"noise", "gradient"} <= set(stored.ranges)
    keras = strict.model_copy(
        update={"inference": strict.inference.model_copy(update={"engine": "keras"})}
    )
    lab = jobs.evaluate_model(keras, "models:/moke-unet@lab", strict_path(strict), batches=batches)
    best = max(report["seeds"], key=lambda row: row["mcc"])
    assert lab["mcc"] == pytest.approx(best["mcc"], abs=1e-6)
    assert lab["n_images"] == 4
    for key in ("accuracy", "f1", "jaccard"):
        assert key in lab
    assert {"true", "predicted"} <= set(lab["objects"])
    assert "wasserstein_px" in lab["size"]


def test_a_training_is_complete_in_mlflow(strict, tmp_path, template_store):
    report = jobs.train(strict, tmp_path / "out")
    store = open_store(strict.tracking)
    *seeds, parent = store.client.search_runs([store.experiment_id])
    assert {run.info.run_name for run in seeds} == {"seed 0", "seed 1"}
    for run in (*seeds, parent):
        assert run.data.params["training.epochs"] == str(strict.training.epochs)
        frames = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
        assert {key: json.loads(frames[key].profile)["batches"] for key in frames} == {
            "training": list(strict.data.train_batches),
            "validation": list(strict.data.validation_batches),
        }
    (best,) = (run for run in seeds if run.outputs.model_outputs)
    assert int(best.data.params["seed"]) == report["best_seed"]
    model = store.client.get_logged_model(best.outputs.model_outputs[0].model_id)
    measured = {metric.key: metric.value for metric in model.metrics}
    assert measured["validation.mcc"] == best.data.metrics["validation.mcc"]
    assert model.params == best.data.params
    # Scores with other settings get a run of their own, with these settings.
    jobs.evaluate_training(overridden(strict, ["evaluation.min_object_px=9"]), tmp_path / "out")
    newest = store.client.search_runs([store.experiment_id])[0]
    assert newest.info.run_name == "evaluate moke-unet"
    assert newest.data.params["evaluation.min_object_px"] == "9"
    assert [one.tags[0].value for one in newest.inputs.dataset_inputs] == ["validation"]


def test_a_bundled_model_comes_before_the_gates(strict, tmp_path, template_store):
    version = jobs.add(strict, "bundled:moke-unet", "moke-unet")
    assert version.ref == "models:/moke-unet/1"
    assert version.tags["added.from"] == "bundled:moke-unet"
    assert 0.5 < version.number("mcc.mean") < 1  # discs are what it knows
    assert version.number("mcc.sd") is None
    assert version.tags["seen_in_training"] == "0"
    run = open_store(strict.tracking).client.get_run(version.run_id)
    assert run.data.params["evaluation.tta"] == "1"
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["moke validation"]
    jobs.promote(strict, "moke-unet", None, "no training of our own yet")
    folder = resolve(strict.tracking, "models:/moke-unet@lab")
    bundled = resolve(strict.tracking, "bundled:moke-unet")
    assert (folder / NETWORK).read_bytes() == (bundled / NETWORK).read_bytes()
    assert (folder / EXPORT).is_file()
    assert not (bundled / EXPORT).exists()
    with pytest.raises(SpinscopeError, match="is registered already"):
        jobs.add(strict, version.ref, "moke-unet")


def test_the_bundled_network_does_not_pass_on_frames_it_was_trained_on(
    strict, moke, template_store, receiver, monkeypatch
):
    """On the real frames its scores prove nothing, however good they are."""
    settings = overridden(strict, [f"data.path={moke}", "data.validation_batches=[3]",
                                   "data.train_batches=[0]"])  # fmt: skip
    version = jobs.add(settings, "bundled:moke-unet", "moke-unet")
    assert version.tags["seen_in_training"] == version.tags["n_images"] == "16"
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", receiver[0])
    with pytest.raises(PromotionRefused, match="unseen frames"):
        jobs.promote(settings, "moke-unet", None, "it has the best score")
    (message,) = receiver[1]
    assert (message["event"], message["version"]) == ("refusal", "models:/moke-unet/1")
    assert "unseen frames" in message["failed"]


def test_limits_on_the_command_line_are_refused(strict, tmp_path, template_store, moke_folder):
    jobs.add(strict, "bundled:moke-unet", "moke-unet")
    for change in ("gates.metric_limit=-2", "evaluation.min_object_px=5000"):
        with pytest.raises(SpinscopeError, match=f"{change.partition('=')[0]}.*override-gates"):
            jobs.promote(overridden(strict, [change]), "moke-unet", None, "walk around")
    step = jobs.promote(
        overridden(strict, ["gates.metric_limit=-2"]), "moke-unet", None, "urgent",
        override_gates="the gate is too strict for this film",
    )  # fmt: skip
    # The limits are the project's, which has none for the MCC.
    assert "MCC" not in {gate.name for gate in step.gates}


def test_scores_of_other_settings_are_measured_again(strict, tmp_path, template_store):
    """A repeated training with other settings of the evaluation registered the old numbers."""
    strict, out = overridden(strict, ["training.seeds=1"]), tmp_path / "out"
    first = jobs.train(strict, out)
    again = jobs.train(strict, out)
    assert again["registered"] == first["registered"]
    stamps = [path.stat().st_mtime_ns for path in sorted(out.glob("seed-*/model/model.keras"))]
    larger = overridden(strict, ["evaluation.min_object_px=60"])
    other = jobs.train(larger, out)
    assert other["registered"] == "models:/moke-unet/2"
    counts = [report["seeds"][0]["objects"]["true"] for report in (first, other)]
    assert counts[1] < counts[0]
    assert stamps == [p.stat().st_mtime_ns for p in sorted(out.glob("seed-*/model/model.keras"))]
    with pytest.raises(SpinscopeError, match="holds the scores of other settings"):
        jobs.register_training(strict, out)


def test_scores_of_other_code_are_measured_again(strict, tmp_path, template_store, monkeypatch):
    strict, out = overridden(strict, ["training.seeds=1"]), tmp_path / "out"
    jobs.train(strict, out, steps=["train", "evaluate"])
    scored = json.loads((out / "seed-0/validation.json").read_text())["key"]
    family = type(families.of(strict))
    monkeypatch.setattr(family, "scoring_code", lambda self: "another program")
    with pytest.raises(SpinscopeError, match="holds the scores of other code"):
        jobs.register_training(strict, out)
    jobs.evaluate_training(strict, out)
    assert json.loads((out / "seed-0/validation.json").read_text())["key"] != scored
    assert jobs.register_training(strict, out).version == 1


def test_a_training_of_other_code_is_repeated(params, tmp_path, template_store, monkeypatch):
    epochs = []
    jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    monkeypatch.setattr(type(families.of(params)), "training_code", lambda self: "another program")
    jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    assert len(epochs) == 2 * params.training.epochs
    assert (tmp_path / "seed-0.1/result.json").is_file()


def test_steps_need_the_ones_before(params, tmp_path, template_store):
    with pytest.raises(SpinscopeError, match=r"training\.json must hold a finished training"):
        jobs.train(params, tmp_path / "out", steps=["evaluate"])
    with pytest.raises(SpinscopeError, match=r"report\.json must hold the scores"):
        jobs.train(params, tmp_path / "out", steps=["register"])
    with pytest.raises(SpinscopeError, match="step 'promote' must be one of train, evaluate"):
        jobs.train(params, tmp_path / "out", steps=["promote"])


def test_one_seed_has_no_spread(params, tmp_path, template_store):
    report = jobs.train(overridden(params, ["training.seeds=1"]), tmp_path / "out")
    assert "mcc.mean" in report["validation"] and "mcc.sd" not in report["validation"]
    assert report["optimism"] is None
    version = find(open_store(params.tracking), report["registered"])
    assert "mcc.sd" not in version.tags


def strict_path(params):
    from spinscope.config import dataset_path

    return dataset_path(params)


def test_a_finished_seed_is_not_trained_again(params, tmp_path, template_store):
    epochs = []
    first = jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    again = jobs.train_seed(params, 0, tmp_path, on_epoch=lambda *a: epochs.append(a))
    assert len(epochs) == params.training.epochs
    assert again == {**first, "run_id": None}


def test_bad_data_stops_before_training(params, moke_folder, tmp_path, template_store):
    label = next((moke_folder / "labels").iterdir())
    write_label(label, np.zeros((64, 64), dtype=np.uint8))
    with pytest.raises(SpinscopeError, match=label.name):
        jobs.train(params, tmp_path / "out")
    assert not list((tmp_path / "out").glob("seed-*"))


def test_training_survives_a_registry_that_is_down(params, tmp_path, monkeypatch, template_store):
    """The store fails in the middle: the model is on disk, and the next call only tracks it."""
    from spinscope.tracking import runs

    with monkeypatch.context() as patch:

        def down(*_, **__):
            raise SpinscopeError("tracking store sqlite:///… failed: database is locked")

        patch.setattr(runs, "log_curves", down)
        patch.setattr(runs, "log_report", down)
        with (
            pytest.warns(SpinscopeWarning, match="the training goes on and is recorded at its end"),
            pytest.raises(SpinscopeError, match=r"locked; the training in .*out is complete, and"),
        ):
            jobs.train(params, tmp_path / "out")
    assert (tmp_path / "out" / "seed-1" / "result.json").is_file()
    kept = (tmp_path / "out" / "seed-0" / "result.json").read_bytes()
    report = jobs.train(params, tmp_path / "out")
    assert (tmp_path / "out" / "seed-0" / "result.json").read_bytes() == kept
    assert report["registered"] == "models:/moke-unet/1"


def test_a_server_that_is_down_is_one_sentence(strict):
    tracking = strict.tracking.model_copy(update={"uri": "http://127.0.0.1:9"})
    with pytest.raises(SpinscopeError, match=r"http://127\.0\.0\.1:9 does not answer"):
        jobs.promote(strict.model_copy(update={"tracking": tracking}), "moke-unet", None, "why")


def test_corpus_is_kept_where_it_is_the_one_asked_for(tmp_path):
    params = load_params(
        "demo", ["kerr.n=2", "kerr.height=64", "kerr.width=96"], family="moke-unet"
    )
    path = jobs.corpus(params, tmp_path / "kerr")
    stamp = (path / "corpus.json").stat().st_mtime_ns
    assert (
        jobs.corpus(params, tmp_path / "kerr").joinpath("corpus.json").stat().st_mtime_ns == stamp
    )
    other = params.model_copy(update={"seed": 9})
    jobs.corpus(other, tmp_path / "kerr")
    assert (path / "corpus.json").stat().st_mtime_ns != stamp
    assert len(open_dataset(path)) == 2


def test_evaluating_an_unknown_model_lists_the_known_ones(params, moke_folder):
    with pytest.raises(SpinscopeError, match=r"bundled:nope.*bundled are"):
        jobs.evaluate_model(params, "bundled:nope", moke_folder)


def test_a_selection_without_frames_is_refused(params, moke_folder, tmp_path):
    with pytest.raises(SpinscopeError, match="no frame is left"):
        jobs.evaluate_model(params, "bundled:nope", moke_folder, batches=[0], sources=[9])
