"""Training: resumed after an interruption with the same result, written atomically, read back."""

from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pytest
from tests.conftest import section

from spinscope.config import load_params, overridden
from spinscope.datasets import open_dataset, split_by_batch
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.families.moke_unet import FAMILY
from spinscope.images import to_scheme
from spinscope.inference.predict import Predictor
from spinscope.models.store import load_model
from spinscope.training import fit as module
from spinscope.training.checkpoint import finished_epochs
from spinscope.training.fit import fit, training_settings


@pytest.fixture
def splits(moke_folder):
    return split_by_batch(open_dataset(moke_folder), (0, 1, 3, 4), (2,))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "seed-0"


@pytest.fixture
def trained(params, splits, tmp_path, template):
    """The training of seed 0 in `tmp_path / "a"`: run once for the module, then copied."""
    fit(FAMILY, splits, params, seed=0, folder=template)
    shutil.copytree(template, tmp_path / "a")
    return fit(FAMILY, splits, params, seed=0, folder=tmp_path / "a")


def stop_after(epoch: int):
    def callback(now: int, _: dict) -> None:
        if now == epoch:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize(
    "extra",
    [
        ("training.schedule=cosine", "training.ema=0.9"),
        ("training.schedule=plateau", "training.ema=0", "training.plateau_patience=1"),
    ],
    ids=["cosine-ema", "plateau"],
)
def test_an_interrupted_training_ends_with_the_same_history(params, splits, tmp_path, extra):
    base = [f"model.{key}={value}" for key, value in params.model.layers.items()]
    small = [f"training.{key}={getattr(params.training, key)}"
             for key in ("steps_per_epoch", "batch", "crop")]  # fmt: skip
    params = load_params(
        "demo",
        [*base, *small, "training.epochs=4", "model.dropout=0.3", *extra],
        family=FAMILY.name,
    )
    seen = []
    whole = fit(
        FAMILY,
        splits,
        params,
        seed=3,
        folder=tmp_path / "whole",
        on_epoch=lambda epoch, _: seen.append(finished_epochs(tmp_path / "whole")),
    )
    assert [epochs for epochs, _ in seen] == [1, 2, 3, 4]
    assert finished_epochs(tmp_path / "whole") == (4, pytest.approx(whole.seconds))
    assert finished_epochs(tmp_path / "none") == (0, 0)
    with pytest.raises(KeyboardInterrupt):
        fit(FAMILY, splits, params, seed=3, folder=tmp_path / "killed", on_epoch=stop_after(1))
    resumed = fit(FAMILY, splits, params, seed=3, folder=tmp_path / "killed")
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    weights = [load_model(result.model)[0].get_weights() for result in (whole, resumed)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert len(whole.history["val_mcc"]) == 4


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_kept_weights_are_those_of_the_epoch(params, splits, tmp_path, keep):
    given = {"keep": keep, "epochs": 4, "learning_rate": 0.05, "early_stopping": 1}
    params = params.model_copy(update={"training": params.training.model_copy(update=given)})
    result = fit(FAMILY, splits, params, seed=2, folder=tmp_path / "run")
    scores = result.history["val_mcc"]
    if keep == "last":
        assert (len(scores), result.best_epoch) == (4, 3)
    else:
        assert scores[result.best_epoch] == max(scores)
    model = module.compiled(FAMILY, params, 0)
    model.set_weights(load_model(result.model)[0].get_weights())
    batches = FAMILY.validation_batches(splits.validation, params)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    assert found["mcc"] == pytest.approx(scores[result.best_epoch], abs=1e-5)


def test_a_finished_training_is_read_back(params, splits, tmp_path, trained):
    again = fit(FAMILY, splits, params, seed=0, folder=tmp_path / "a", on_epoch=stop_after(0))
    assert (again.history, again.seconds) == (trained.history, trained.seconds)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "history.json", "model", "result.json", "settings.json",
    ]  # fmt: skip


def test_saved_model_is_the_best_epoch(params, splits, tmp_path):
    from spinscope.evaluation import evaluate

    plain = overridden(
        params, ["model.upscale=null", "model.min_peak_probability=null"]
    )  # as it is validated
    result = fit(FAMILY, splits, plain, seed=1, folder=tmp_path / "a")
    predictor = Predictor.load(result.model)
    report = evaluate(
        predictor.classes,
        splits.validation,
        predictor.info["classes"],
        section("evaluation", tta=1),
    )
    assert report["mcc"] == pytest.approx(result.score, abs=2e-3)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_training_of_other_settings_is_moved_aside(params, splits, tmp_path, stopped):
    folder = tmp_path / "a"
    with contextlib.suppress(KeyboardInterrupt):
        fit(
            FAMILY,
            splits,
            params,
            seed=0,
            folder=folder,
            on_epoch=stop_after(0) if stopped else None,
        )
    kept = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert fit(FAMILY, splits, params, seed=1, folder=folder).seed == 1
    (aside,) = tmp_path.glob("a.*")
    assert {p.relative_to(aside): p.read_bytes() for p in aside.rglob("*") if p.is_file()} == kept


def test_other_weights_of_the_same_name_are_another_training(params, splits, tmp_path, trained):
    """An alias such as models:/x@lab may point to another network later."""
    start = shutil.copytree(trained.model, tmp_path / "m")
    first = fit(FAMILY, splits, params, seed=1, folder=tmp_path / "b", pretrained=start)
    again = fit(FAMILY, splits, params, seed=1, folder=tmp_path / "b", pretrained=start)
    assert again.seconds == first.seconds
    shutil.copytree(first.model, start, dirs_exist_ok=True)
    fit(FAMILY, splits, params, seed=1, folder=tmp_path / "b", pretrained=start)
    assert len(list(tmp_path.glob("b.*"))) == 1


def test_a_full_disk_keeps_the_last_whole_checkpoint(
    params, splits, tmp_path, trained, monkeypatch
):
    """The disk is full at the second checkpoint; once it has space, the training resumes."""
    save = module.Resume._save_model

    def full(self):
        if self._current_epoch < 2:
            return save(self)
        import keras

        with monkeypatch.context() as patch:

            def half(_, path, **__):
                path.write_bytes(b"half")
                raise OSError(28, "No space left on device")

            patch.setattr(keras.Model, "save_weights", half)
            return save(self)

    with monkeypatch.context() as patch:
        patch.setattr(module.Resume, "_save_model", full)
        with pytest.raises(SpinscopeError, match="No space left on device"):
            fit(FAMILY, splits, params, seed=0, folder=tmp_path / "full")
    state = json.loads((tmp_path / "full" / "backup" / "state.json").read_text())
    assert state["epoch"] == 1
    assert not list((tmp_path / "full").glob(".*"))
    assert fit(FAMILY, splits, params, seed=0, folder=tmp_path / "full").history == trained.history


def test_pretrained_weights_are_the_start(params, splits, tmp_path, trained):
    still = params.model_copy(
        update={"training": params.training.model_copy(update={"learning_rate": 1e-12})}
    )
    second = fit(FAMILY, splits, still, seed=1, folder=tmp_path / "b", pretrained=trained.model)
    for a, b in zip(
        load_model(trained.model)[0].get_weights(),
        load_model(second.model)[0].get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_pretrained_of_another_shape_is_refused(params, splits, tmp_path, trained):
    wider = params.model_copy(update={"model": params.model.model_copy(update={"width": 6})})
    with pytest.raises(SpinscopeError, match="other shapes"):
        fit(FAMILY, splits, wider, seed=0, folder=tmp_path / "b", pretrained=trained.model)


def test_settings_that_do_not_change_the_outcome_do_not_count(params):
    more = params.model_copy(
        update={"training": params.training.model_copy(update={"seeds": 9}), "seed": 4}
    )
    assert training_settings(params, 0) == training_settings(more, 0)
    assert training_settings(params, 0) != training_settings(params, 1)


def test_an_anchor_averages_the_weights_with_the_first(params, splits, tmp_path, trained):
    weights, scores_ = {}, {}
    for share in (0.0, 0.25):
        own = overridden(
            params,
            [f"training.anchor={share}", "model.upscale=null", "model.min_peak_probability=null"],
        )
        result = fit(
            FAMILY, splits, own, seed=1, folder=tmp_path / str(share), pretrained=trained.model
        )
        weights[share] = load_model(result.model)[0].get_weights()
        scores_[share] = result.score
    first = load_model(trained.model)[0].get_weights()
    for before, after, kept in zip(first, weights[0.0], weights[0.25], strict=True):
        np.testing.assert_allclose(kept, 0.25 * before + 0.75 * after, atol=1e-6)
    # The score that is kept is that of the averaged network.
    predictor = Predictor.load(result.model)
    total = sum(
        confusion(to_scheme(label, 3), predictor.classes(image), 3)
        for _, image, label in splits.validation
    )
    assert scores_[0.25] == pytest.approx(scores(total)["mcc"], abs=1e-4)
