"""Promotion: gates, and a history that agrees with the alias after any interruption."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from tests.tracking.conftest import THRESHOLD, Threshold

from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.families.moke_unet import FAMILY
from spinscope.tracking import PromotionRefused, check, history, promotion, resolve, rollback
from spinscope.tracking.registry import current, version_folder, versions


@pytest.fixture
def settings():
    """Settings with the gates that a lab has; the demo's own are wider."""
    return load_params("laptop")


@pytest.fixture
def promote(store, settings):
    """Promote with a lab's gates and the stand-in model."""

    def promote_one(version=None, reason="better", **options):
        options = {"family": THRESHOLD, "params": settings, **options}
        return promotion.promote(
            store, options.pop("family"), "moke-unet", version, reason=reason, **options
        )

    return promote_one


def _lab(store) -> int | None:
    found = current(store, "moke-unet")
    return found.version if found else None


def _steps(store) -> list[tuple[str, int | None, int]]:
    return [(s.action, s.from_version, s.to_version) for s in history(store, "moke-unet")]


def test_the_newest_version_reaches_the_lab_with_its_history(store, registered, promote):
    registered()
    step = promote(reason="first model", who="lab")
    assert step.ref == "models:/moke-unet@lab"
    assert resolve(store, step.ref) == version_folder(store, current(store, "moke-unet"))
    (kept,) = history(store, "moke-unet")
    assert kept == step
    assert (kept.who, kept.reason, kept.from_version, kept.to_version) == (
        "lab",
        "first model",
        None,
        1,
    )
    assert len(kept.gates) == 6
    assert all(gate.passed for gate in kept.gates)


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("validated data", {"validated": False}),
        ("mean MCC over seeds", {"mccs": (0.3, 0.4, 0.5)}),
        ("count error", {"report": {"predicted": 80}}),
        ("count error", {"report": {"predicted": 120}}),
        ("frame time in ms", {"report": {"frame_ms": 1501.0}}),
    ],
)
def test_each_gate_refuses_alone(store, registered, promote, gate, changes):
    registered(**changes)
    with pytest.raises(PromotionRefused, match=r"1 of 6 gates failed: ") as refused:
        promote()
    assert [g.name for g in refused.value.gates if not g.passed] == [gate]
    assert _lab(store) is None
    assert _steps(store) == []


def test_a_model_that_no_longer_reproduces_its_predictions_is_refused(store, registered, promote):
    v = registered(level=0.5)
    (version_folder(store, v) / "model.keras").write_text("0.51")
    with pytest.raises(PromotionRefused, match="reproduces its predictions") as refused:
        promote()
    (failed,) = [gate for gate in refused.value.gates if not gate.passed]
    assert failed.measured == pytest.approx(0.01, abs=0.005)
    with pytest.raises(PromotionRefused, match=r"model\.keras has sha256"):
        promote(family=FAMILY)  # the real predictor verifies the checksums


@pytest.mark.parametrize(("mean", "passes"), [(0.95, True), (0.901, True), (0.899, False)])
def test_not_worse_than_the_lab_beyond_the_seeds_spread(
    store, registered, promote, settings, mean, passes
):
    registered((0.90, 0.92, 0.94))  # SD 0.02
    promote()
    v = registered((mean - 0.02, mean, mean + 0.02))  # limit 0.92 - 0.02
    gate = check(store, THRESHOLD, v, settings)[2]
    assert gate.limit == pytest.approx(0.90)
    assert gate.measured == pytest.approx(mean)
    assert gate.passed is passes


def test_scores_of_other_frames_are_measured_again(store, registered, promote):
    registered((0.97, 0.98, 0.99), measured_on="simulated frames")
    promote()
    registered((0.90, 0.92, 0.94), measured_on="real frames")
    with pytest.raises(PromotionRefused, match="version 1 was measured on other data"):
        promote()
    measured = []

    def measure(folder):
        measured.append(folder)
        return 0.70

    assert promote(measure=measure).to_version == 2
    assert measured[0].parts[-1] == "model"
    assert _steps(store) == [("promote", None, 1), ("promote", 1, 2)]


def test_a_version_without_measurements_passes_nothing(store, registered, settings):
    bare = registered()
    tags = {"mcc.mean", "mcc.sd", "count_error", "frame_ms", "data.validated"}
    for key in tags:
        store.client.delete_model_version_tag(bare.name, str(bare.version), key)
    with pytest.raises(PromotionRefused, match="5 of 6 gates failed"):
        promotion.promote(store, THRESHOLD, "moke-unet", reason="try", params=settings)


def test_a_refusal_crosses_to_another_process_whole(registered, promote):
    registered(validated=False)
    with pytest.raises(PromotionRefused) as refused:
        promote()
    carried = pickle.loads(pickle.dumps(refused.value))
    assert (carried.gates, str(carried)) == (refused.value.gates, str(refused.value))


def test_promoting_the_lab_version_changes_nothing(store, registered, promote):
    registered()
    promote()
    step = promote(reason="again")
    assert (step.from_version, step.to_version) == (1, 1)
    assert _steps(store) == [("promote", None, 1)]


def test_rollback_goes_back_one_version_at_a_time(store, registered, promote):
    for _ in range(3):
        registered()
        promote()
    assert rollback(store, "moke-unet", reason="artefacts", who="lab").to_version == 2
    assert rollback(store, "moke-unet", reason="also bad").to_version == 1
    with pytest.raises(SpinscopeError, match="no lab version before"):
        rollback(store, "moke-unet", reason="further")
    assert _lab(store) == 1
    promote(3)
    assert rollback(store, "moke-unet", reason="no").to_version == 1
    assert _steps(store)[3:] == [
        ("rollback", 3, 2),
        ("rollback", 2, 1),
        ("promote", 1, 3),
        ("rollback", 3, 1),
    ]


def test_rollback_to_a_deleted_version_is_refused(store, registered, promote):
    for _ in range(2):
        registered()
        promote()
    store.client.delete_model_version("moke-unet", "1")
    with pytest.raises(SpinscopeError, match="'moke-unet' has no version 1"):
        rollback(store, "moke-unet", reason="bad")
    assert _lab(store) == 2


def test_an_alias_moved_by_hand_is_where_rollback_starts(store, registered, promote):
    registered()
    registered()
    promote(1)
    store.client.set_registered_model_alias("moke-unet", "lab", "2")
    assert rollback(store, "moke-unet", reason="moved by hand").to_version == 1
    assert _steps(store)[-1] == ("rollback", 2, 1)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
def test_a_reason_is_asked_for(registered, promote, reason):
    registered()
    with pytest.raises(SpinscopeError, match="must say why"):
        promote(reason=reason)


def test_interrupted_before_the_alias_moves(store, registered, promote, monkeypatch):
    registered()
    promote()
    registered()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_set_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(2)
    assert _lab(store) == 1
    assert _steps(store) == [("promote", None, 1)]
    promote(2)
    assert _steps(store) == [("promote", None, 1), ("promote", 1, 2)]


def test_interrupted_after_the_alias_moved(store, registered, promote, monkeypatch):
    registered()
    promote()
    registered()
    write = promotion._write

    def interrupted_at_the_end(store, name, key, record, state):
        if state == "done":
            raise KeyboardInterrupt
        write(store, name, key, record, state)

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_write", interrupted_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            promote(2, reason="cut short")
    assert _lab(store) == 2
    assert _steps(store) == [("promote", None, 1), ("promote", 1, 2)]
    assert rollback(store, "moke-unet", reason="back").to_version == 1
    assert _steps(store) == [("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1)]


def test_promotions_at_once_form_one_chain(store, registered, promote):
    for _ in range(5):
        registered()
    promote(1)
    together = threading.Barrier(4)
    errors, seen, done = [], [], threading.Event()

    def one(version):
        together.wait()
        try:
            promote(version)
        except Exception as error:
            errors.append(error)

    def watch():
        while not done.is_set():
            seen.append(_lab(store))

    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=one, args=(version,)) for version in (2, 3, 4, 5)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    watcher.join()
    assert errors == []
    assert None not in seen
    steps = _steps(store)
    assert sorted(to for _, _, to in steps) == [1, 2, 3, 4, 5]
    assert [before for _, before, _ in steps[1:]] == [to for _, _, to in steps[:-1]]
    assert _lab(store) == steps[-1][2]


def test_masks_of_another_shape_do_not_pass(store, registered, settings):
    v = registered()

    class Cropped(Threshold):
        def predict(self, predictor, image):
            return np.zeros((2, 2), np.uint8)

    gate = check(store, Cropped(), v, settings)[5]
    assert not gate.passed


def test_a_version_of_an_earlier_release_is_listed_and_promoted(store, registered, promote):
    """Such a version names no family, and its predictions are called `classes`."""
    v = registered()
    path = version_folder(store, v).with_name("predictions.npz")
    with np.load(path) as arrays:
        former = {name.replace("output", "classes"): arrays[name] for name in arrays.files}
    assert {"classes_0", "classes_1"} <= set(former)
    np.savez_compressed(path, **former)
    store.client.delete_model_version_tag(v.name, str(v.version), "family")
    assert versions(store)["mcc"].tolist() == [pytest.approx(0.92)]
    assert promote().to_version == 1
    assert resolve(store, "models:/moke-unet@lab") == version_folder(store, v)
