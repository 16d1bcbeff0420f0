"""Promotion: gates, and a history that agrees with the alias after any interruption."""

from __future__ import annotations

import pickle
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from tests.tracking.conftest import THRESHOLD, Threshold, frame_row, report

from spinscope.config import load_params
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.models.store import write_sums
from spinscope.tracking import MOVED, PromotionRefused, check, history, promotion, resolve, rollback
from spinscope.tracking.registry import current, version_folder, versions


@pytest.fixture
def settings():
    """Settings with the gates that a lab has."""
    return load_params("laptop")


@pytest.fixture
def scores() -> dict:
    """Version → report of it on the frames; by default that of a good model."""
    return {}


@pytest.fixture
def measures(scores):
    """Stand-ins for the evaluation of a version and the time of its frames."""
    return {
        "measure": lambda of: scores.get(of.version, report(0.92)),
        "frame_ratio": lambda of: 0.5,
    }


@pytest.fixture
def promote(store, settings, measures):
    """Promote with a lab's gates and the stand-in model."""

    def promote_one(version=None, reason="better", **options):
        options = {"family": THRESHOLD, "params": settings, **measures, **options}
        return promotion.promote(
            store, options.pop("family"), "moke-unet", version, reason=reason, **options
        )

    return promote_one


def frames_of(mccs, **changes) -> dict:
    """Report of one frame per source with these MCCs."""
    rows = [frame_row(f"{k}", k, mcc, **changes) for k, mcc in enumerate(mccs)]
    return {**report(float(np.mean(mccs))), "n_images": len(rows), "per_image": rows}


def failed(refused) -> list[str]:
    """Names of the gates that a refusal lists as failed."""
    return [gate.name for gate in refused.value.gates if not gate.passed]


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
    assert {gate.name for gate in kept.gates} == {
        "validated data", "unseen frames", "MCC", "precision", "recall", "count error",
        "size distance in px", "MCC against the lab", "frame time", "reproduces its predictions",
    }  # fmt: skip
    assert all(gate.passed for gate in kept.gates)
    assert (len(kept.policy), kept.override) == (16, "")


@pytest.mark.parametrize(
    ("gate", "scored"),
    [
        ("unseen frames", {"seen_in_training": 1}),
        ("unseen frames", {"seen_in_training": None}),
        ("MCC", frames_of([0.4] * 8)),
        ("precision", frames_of([0.92] * 8, objects_matched=30)),
        ("count error", frames_of([0.92] * 8, predicted=190)),
        ("count error", frames_of([0.92] * 8, predicted=10)),
        ("size distance in px", frames_of([0.92] * 8, wasserstein_px=3.1)),
    ],
)
def test_each_gate_refuses(registered, promote, scores, gate, scored, store):
    registered()
    scores[1] = {**report(0.92), **scored}
    with pytest.raises(PromotionRefused) as refused:
        promote()
    assert gate in failed(refused)
    assert _lab(store) is None
    assert _steps(store) == []


def test_data_that_was_not_validated_and_a_slow_network_are_refused(registered, promote):
    registered(validated=False)
    with pytest.raises(PromotionRefused, match="2 of 10 gates failed") as refused:
        promote(frame_ratio=lambda of: 2.1)
    assert failed(refused) == ["validated data", "frame time"]


def test_over_and_undercounts_do_not_cancel(registered, promote, scores):
    """Half of the frames count 90 % too many objects, half 90 % too few: the sum is exact."""
    registered()
    rows = [frame_row(f"{k}", k, 0.92, 190 if k % 2 else 10) for k in range(8)]
    scores[1] = {**report(0.92), "per_image": rows}
    with pytest.raises(PromotionRefused, match="count error") as refused:
        promote()
    (gate,) = [gate for gate in refused.value.gates if gate.name == "count error"]
    assert gate.measured == pytest.approx(0.9)


def test_a_model_that_no_longer_reproduces_its_predictions_is_refused(store, registered, promote):
    v = registered(level=0.5)
    path = version_folder(store, v).with_name("predictions.npz")
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    stored["output_0"] = np.where(stored["image_0"] < 0.51, 1, 0).astype(np.uint8)
    np.savez_compressed(path, **stored)
    with pytest.raises(PromotionRefused, match="reproduces its predictions") as refused:
        promote()
    (gate,) = [gate for gate in refused.value.gates if not gate.passed]
    assert 0 < gate.measured < 0.02


def test_a_stored_network_that_is_not_the_registered_one_is_never_used(store, registered, promote):
    v = registered(level=0.5)
    (version_folder(store, v) / "model.keras").write_text("0.51")
    with pytest.raises(SpinscopeError, match=r"stored network of models:/moke-unet/1 has sha256"):
        resolve(store, v.ref)
    for override in (None, "urgent"):
        with pytest.raises(PromotionRefused, match=r"[0-9a-f]{12} was registered"):
            promote(override=override)
    assert _steps(store) == []


def test_a_file_beside_the_network_that_is_not_the_registered_one_is_never_used(
    store, registered, promote
):
    """Also where the list of checksums in the folder was changed with it."""
    v = registered(level=0.5)
    folder = version_folder(store, v)
    (folder / "openvino.xml").write_text("<net/>")
    write_sums(folder)
    with pytest.raises(SpinscopeError, match=r"stored model folder of models:/moke-unet/1 has"):
        resolve(store, v.ref)
    with pytest.raises(PromotionRefused, match=r"[0-9a-f]{12} was registered"):
        promote(override="urgent")


# The comparison with the lab: paired scores on the same frames, as an interval.


def gate_against(gates):
    """The gate that compares the MCC with the lab's best version."""
    return next(gate for gate in gates if gate.name.startswith("MCC against"))


def test_a_version_is_not_refused_against_itself(store, registered, promote, scores):
    """The lab's model, trained elsewhere as well: noisy sources do not matter, pairs do."""
    rng = np.random.default_rng(1)
    noisy = rng.uniform(0.75, 0.98, 8)
    for number in (1, 2):
        registered()
        scores[number] = frames_of(noisy)
    promote(1)
    assert promote(2).to_version == 2


def test_a_noisier_candidate_is_refused(registered, promote, scores, store, settings, measures):
    """Seeds that differ by much bought slack: a mean of 0.60 ± 0.47 replaced 0.925."""
    registered((0.925,))
    scores[1] = frames_of([0.925] * 8)
    promote(1)
    registered((0.05, 0.80, 0.95))
    scores[2] = frames_of([0.95, 0.1, 0.9, 0.2, 0.95, 0.3, 0.9, 0.5])
    with pytest.raises(PromotionRefused) as refused:
        promote(2)
    gate = gate_against(refused.value.gates)
    assert not gate.passed
    assert gate.high < 0.1 and gate.low < -0.2


@pytest.mark.parametrize(("loss", "passes"), [(0.004, True), (0.006, False), (0.02, False)])
def test_the_margin_decides_on_sure_differences(registered, promote, scores, loss, passes, store):
    registered()
    registered()
    mccs = np.linspace(0.90, 0.96, 12)
    scores[1], scores[2] = frames_of(mccs), frames_of(mccs - loss)
    promote(1)
    if passes:
        gate = gate_against(promote(2).gates)
    else:
        with pytest.raises(PromotionRefused) as refused:
            promote(2)
        gate = gate_against(refused.value.gates)
        assert "too wide" not in gate.rule
    assert gate.measured == pytest.approx(-loss, abs=2e-4)
    assert gate.limit == -0.005


def test_an_interval_too_wide_to_tell_names_the_frames_that_would_do(registered, promote, scores):
    registered()
    registered()
    rng = np.random.default_rng(0)
    base = rng.uniform(0.90, 0.95, 6)
    scores[1], scores[2] = frames_of(base), frames_of(base + rng.normal(0.0, 0.02, 6))
    promote(1)
    with pytest.raises(PromotionRefused, match=r"too wide to tell, about \d+ sources"):
        promote(2)


def test_quality_cannot_ratchet_down(registered, promote, scores, store):
    """Each step loses less than the margin, but the reference stays the best of all."""
    base = np.linspace(0.90, 0.96, 12)
    for number in (1, 2, 3):
        registered()
        scores[number] = frames_of(base - 0.004 * (number - 1))
    promote(1)
    promote(2)
    with pytest.raises(PromotionRefused, match="MCC against version 1") as refused:
        promote(3)
    assert gate_against(refused.value.gates).measured == pytest.approx(-0.008, abs=2e-4)


def test_the_choice_of_the_best_seed_is_paid_for(registered, promote, scores):
    """A version that was the best of many seeds on these frames is not that good."""
    registered()
    registered(tags_added={"optimism": "0.01", "evidence.frames": "the same frames"})
    mccs = np.linspace(0.90, 0.96, 12)
    scores[1] = scores[2] = frames_of(mccs)
    promote(1)
    with pytest.raises(PromotionRefused) as refused:
        promote(2)
    assert gate_against(refused.value.gates).measured == pytest.approx(-0.01)
    scores[2] = {**frames_of(mccs), "evidence": {"frames": "other frames"}}
    assert promote(2).to_version == 2


def test_frames_that_the_lab_s_model_was_trained_on_do_not_count(registered, promote, scores):
    """Otherwise a network that memorised them would be the reference for ever."""
    registered()
    registered()
    mccs = np.linspace(0.90, 0.96, 8)
    scores[1] = frames_of(mccs)
    promote(1)
    memorised = frames_of(np.where(np.arange(8) < 4, 0.999, mccs))
    for row in memorised["per_image"][:4]:
        row["seen_in_training"] = True
    scores[1], scores[2] = {**memorised, "seen_in_training": 4}, frames_of(mccs)
    gate = gate_against(promote(2).gates)
    assert gate.measured == pytest.approx(0, abs=1e-6)


def test_a_lab_version_without_a_list_of_training_frames_is_named(registered, promote, scores):
    """As a registry of an earlier release holds it."""
    registered()
    promote(1)
    scores[1] = {**report(0.92), "seen_in_training": None}
    registered()
    with pytest.raises(PromotionRefused, match=r"version 1 \(@lab\) lists no training frames"):
        promote(2)


def test_frames_of_one_source_have_no_interval(registered, promote, scores):
    registered()
    rows = [frame_row(f"{k}", 7, 0.9) for k in range(5)]
    scores[1] = {**report(0.9), "per_image": rows}
    with pytest.raises(PromotionRefused, match="the frames are of one source"):
        promote(1)


# Overrides and moves around the gates.


def test_an_overridden_promotion_is_recorded_as_such(store, registered, promote, scores):
    registered()
    scores[1] = {**report(0.92), "seen_in_training": 2}
    with pytest.raises(SpinscopeError, match="must say why"):
        promote(override="  ")
    step = promote(override="the microscope is on loan until Friday")
    assert step.override == "the microscope is on loan until Friday"
    assert [gate.name for gate in step.gates if not gate.passed] == ["unseen frames"]
    assert history(store, "moke-unet") == [step]


def test_an_override_that_was_not_needed_is_not_recorded(registered, promote):
    registered()
    assert promote(override="just in case").override == ""


def test_an_alias_that_was_moved_around_the_gates_is_noticed(store, registered, promote):
    registered()
    registered()
    promote(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(store, "models:/moke-unet@lab")
    store.client.set_registered_model_alias("moke-unet", "lab", "2")
    with pytest.warns(SpinscopeWarning, match="version 2, but version 1 was promoted last"):
        resolve(store, "models:/moke-unet@lab")
    with pytest.raises(SpinscopeError, match=r"tracking\.moved_alias refuses"):
        resolve(replace(store, moved_alias="refuse"), "models:/moke-unet@lab")
    assert _steps(store) == [("promote", None, 1), (MOVED, 1, 2)]
    promote(1, reason="back to the one that passed")
    assert _steps(store) == [("promote", None, 1), (MOVED, 1, 2), ("promote", 2, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(store, "models:/moke-unet@lab")


def test_a_moved_alias_is_settled_by_promoting_its_version(store, registered, promote):
    registered()
    registered()
    promote(1)
    store.client.set_registered_model_alias("moke-unet", "lab", "2")
    promote(2, reason="it passes the gates")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(store, "models:/moke-unet@lab")
    assert _steps(store) == [("promote", None, 1), (MOVED, 1, 2), ("promote", 2, 2)]
    assert rollback(store, "moke-unet", reason="worse").to_version == 1


def test_a_registry_without_records_says_so(store, registered):
    registered()
    store.client.set_registered_model_alias("moke-unet", "lab", "1")
    with pytest.warns(SpinscopeWarning, match="no version was promoted last"):
        resolve(store, "models:/moke-unet@lab")
    assert _steps(store) == [(MOVED, None, 1)]


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
    assert _steps(store)[-2:] == [(MOVED, 1, 2), ("rollback", 2, 1)]


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


def test_masks_of_another_shape_do_not_pass(store, registered, settings, measures):
    v = registered()

    class Cropped(Threshold):
        def predict(self, predictor, image):
            return np.zeros((2, 2), np.uint8)

    gate = check(store, Cropped(), v, settings, **measures)[-1]
    assert gate.name == "reproduces its predictions" and not gate.passed


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
