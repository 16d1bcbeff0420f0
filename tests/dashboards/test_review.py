"""The components of the review page, that page and the comparison page, without a browser."""

from __future__ import annotations

import json
import os
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import binary_dilation
from tests.conftest import discs
from tests.dashboards.conftest import open_page, settle, text

from spinscope import jobs
from spinscope.classes import SKYRMION
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import match_objects
from spinscope.images import write_image
from spinscope.inference.predict import Predictor
from spinscope.inference.rules import doubtful
from spinscope.live.pipeline import segment_recording
from spinscope.recordings import open_recording
from spinscope.reviews.folder import Reviews, image_sha256


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:
    return discs(np.random.default_rng(3), size=48, n=5)


@pytest.fixture
def desk(load, frame, tmp_path):
    """A frame on the desk, with the mask of a model."""
    image, mask = frame
    origin = {"model": "bundled:moke-unet", "model_sha256": "ab" * 32}
    reviews = Reviews.open(tmp_path / "film-0123abcd")
    return load("desk").Desk(reviews, "0007", image, mask, 3, origin)


def _action(load, desk, kind: str, mask: np.ndarray | None = None) -> dict:
    sent = {} if mask is None else {"mask": load("editor").encode_mask(mask)}
    return {"action": kind, "id": desk.identity, **sent}


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 48), (200, 300)])
@pytest.mark.parametrize("kind", ["noise", "blobs", "one class"])
def test_masks_travel_unchanged(load, shape, kind):
    editor, rng = load("editor"), np.random.default_rng(shape[0])
    mask = rng.integers(0, 5, shape, dtype=np.uint8)
    if kind == "blobs":
        mask = np.sort(mask, axis=1)
    elif kind == "one class":
        mask[:] = 4
    sent = editor.encode_mask(mask)
    np.testing.assert_array_equal(editor.decode_mask(sent, shape, 5), mask)


def test_a_probability_map_travels_in_steps_of_a_65535th(load):
    found = np.concatenate([np.linspace(0, 1, 999), [0.0011, 0.0012]]).astype(np.float16)
    high, low, _ = np.moveaxis(load("editor").encode_map(found[None]).astype(int), -1, 0)
    np.testing.assert_allclose((256 * high + low)[0] / 65535, found, rtol=0, atol=0.6 / 65535)


def test_invalid_masks_are_refused(load):
    editor = load("editor")
    good = editor.encode_mask(np.full((4, 4), 2, np.uint8))
    for sent, says in ((None, "no mask"), ("%%", "no mask"), ("AAA=", "no mask")):
        with pytest.raises(SpinscopeError, match=says):
            editor.decode_mask(sent, (4, 4), 3)
    with pytest.raises(SpinscopeError, match="16 pixels; the frame is 5x4"):
        editor.decode_mask(good, (4, 5), 3)
    with pytest.raises(SpinscopeError, match="class 2 of 2"):
        editor.decode_mask(good, (4, 4), 2)
    with pytest.raises(SpinscopeError, match=r"4096x4096 pixels is too large.*crop"):
        editor.encode_mask(np.zeros((4096, 4096), np.uint8))


def test_an_unchanged_mask_is_accepted_and_a_changed_one_corrected(load, desk):
    act = load("desk").act
    outcome = act(desk, _action(load, desk, "accept", desk.mask), "Ada")
    assert (outcome.bad, outcome.move) == (False, "open")
    changed = desk.mask.copy()
    changed[30:40, 30:40] = 2
    outcome = act(desk, _action(load, desk, "save", changed), "Ada")
    assert (outcome.text, outcome.bad, outcome.move) == ("0007: corrected, version 2", False, None)
    assert act(desk, _action(load, desk, "reject"), "Emmy").move == "open"
    history = desk.reviews.history("0007")
    assert [(r.status, r.who) for r in history] == [
        ("accepted", "Ada"),
        ("corrected", "Ada"),
        ("rejected", "Emmy"),
    ]
    assert {r.model for r in history} == {"bundled:moke-unet"}
    np.testing.assert_array_equal(desk.reviews.label(history[1]), changed)
    np.testing.assert_array_equal(desk.reviews.shown(history[2]), desk.mask)


@pytest.mark.parametrize(
    ("change", "who", "says"),
    [
        ({}, " ", "Type your name"),
        ({"id": "film/0008/0"}, "Ada", "shows another frame by now"),
        ({"action": "delete"}, "Ada", "'delete'"),
        ({"mask": "AAAA"}, "Ada", "the editor sent"),
        ({"mask": None}, "Ada", "the editor sent no mask"),
    ],
)
def test_a_refused_action_saves_nothing_and_moves_nowhere(load, desk, change, who, says):
    action = _action(load, desk, "accept", desk.mask) | change
    outcome = load("desk").act(desk, action, who)
    assert outcome.bad
    assert outcome.move is None
    assert says in outcome.text
    assert desk.reviews.frames() == []


def test_strokes_belong_to_the_reviewer_who_painted_them(load, desk):
    hers, his = replace(desk, who="Ada"), replace(desk, who="Emil")
    assert len({desk.identity, hers.identity, his.identity}) == 3
    assert hers.unnamed == his.unnamed == desk.identity
    outcome = load("desk").act(hers, _action(load, hers, "accept", desk.mask), "Emil")
    assert outcome.bad
    assert "those of Ada, not of Emil" in outcome.text
    assert desk.reviews.frames() == []
    assert not load("desk").act(hers, _action(load, hers, "accept", desk.mask), "Ada ").bad


def test_a_full_disk_is_reported_and_the_frame_stays(load, desk, monkeypatch):
    def no_space(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spinscope.reviews.folder.os.link", no_space)
    outcome = load("desk").act(desk, _action(load, desk, "accept", desk.mask), "Ada")
    assert outcome.bad
    assert outcome.move is None
    assert "No space left on device" in outcome.text
    assert desk.reviews.history("0007") == []


def test_the_most_uncertain_frames_come_first(load):
    desk = load("desk")
    order = desk.order_by_uncertainty(6, {1: 0.2, 4: 0.5, 5: 0.2})
    assert order == [4, 1, 5, 0, 2, 3]
    assert desk.evenly_spaced(5) == [0, 1, 2, 3, 4]
    assert desk.evenly_spaced(10_000)[-1] == 9_999
    assert len(desk.evenly_spaced(10_000)) == desk.SAMPLE
    assert desk.frame_after(order, 4, "next", set()) == 1
    assert desk.frame_after(order, 4, "previous", set()) == 4
    assert desk.frame_after(order, 3, "next", set()) == 3
    assert desk.frame_after(order, 4, "open", {1, 5}) == 0
    assert (
        desk.frame_after(order, 3, "open", {0, 1, 2, 3, 4}) == 5
    )  # wraps around to the first frame left
    assert desk.frame_after(order, 4, None, set()) == 4


def test_agreement_of_two_reviewers_is_the_mcc_of_their_masks(load, desk, frame):
    module, (image, mask) = load("desk"), frame
    other = np.roll(mask, 2, axis=1)
    said = {"model": "m", "model_sha256": "", "before": mask}
    assert module.agreement(desk.reviews, "0007") == []
    desk.reviews.add("0007", image, mask, status="corrected", who="Emmy", **said)
    assert module.agreement(desk.reviews, "0007") == []
    desk.reviews.add("0007", image, np.zeros_like(mask), status="corrected", who="Ada", **said)
    desk.reviews.add("0007", image, other, status="corrected", who="Ada", **said)
    ((one, two, mcc),) = module.agreement(desk.reviews, "0007")
    assert (one.who, two.who) == ("Ada", "Emmy")
    assert mcc == pytest.approx(scores(confusion(mask, other, 3))["mcc"])
    desk.reviews.add("0007", image, None, status="rejected", who="Lise", **said)
    assert len(module.agreement(desk.reviews, "0007")) == 1


def test_folders_of_reviews_can_be_named_in_one_command(load):
    """Names of folders have no commas, which separate folders in the command."""
    folders = [load("desk").reviews_folder(name, "0123abcdef") for name in ("film, 3 K", "disc")]
    assert [folder.name for folder in folders] == ["film_ 3 K-0123abcd", "disc-0123abcd"]
    command = load("retraining").command(folders, "bundled:moke-unet", "lab", Path("out"), 2, 5)
    named = command[command.index("--reviews") + 1]
    assert [Path(folder).name for folder in named.split(",")] == [f.name for f in folders]
    assert command[-4:] == ["--set", "training.seeds=2", "--set", "training.epochs=5"]


def test_a_treated_frame_is_cropped_clipped_blurred_and_inverted(load, frame):
    recordings, (image, _) = load("recordings"), frame
    assert recordings.Treatment().applied(image) is image
    treatment = recordings.Treatment((8, 4, 40, 44), (10.0, 90.0), invert=True)
    treated = treatment.applied(image)
    assert treated.shape == (32, 40)
    part = image[8:40, 4:44]
    low, high = np.percentile(part, [10, 90])
    np.testing.assert_allclose(treated, 1 - np.clip((part - low) / (high - low), 0, 1), atol=1e-6)
    assert treatment.frame_name("7") == "7 [y 8-40, x 4-44]"
    assert treatment.record(image)["whole"] == image_sha256(image)
    assert recordings.Treatment(blur=2.0).applied(image).std() < image.std()
    with pytest.raises(SpinscopeError, match="20x48 pixels cannot be cropped to column 44"):
        treatment.applied(image[:, :20])


def test_every_object_has_its_seed_and_its_row(load):
    objects = load("objects")
    mask = np.zeros((40, 60), bool)
    mask[30:34, 5:9] = mask[2:12, 20:30] = mask[3, 50] = True
    found = objects.measure_objects(mask, mask.astype(np.float32))
    assert len(found) == 3
    assert found.seeds.tolist() == [[2, 20], [3, 50], [30, 5]]
    assert found.table["area_px"].tolist() == [100, 1, 16]
    assert objects.typical_diameter(mask) == pytest.approx(np.sqrt(64 / np.pi))
    assert len(objects.measure_objects(np.zeros_like(mask), mask.astype(np.float32))) == 0


# ---------------------------------------------------------------- the page


@pytest.fixture
def review(project, monkeypatch, tmp_path):
    """Open the review page of the project, whose reviews go to a root of their own."""
    settle(tmp_path, project[1], monkeypatch)
    return lambda: open_page("review.py")


def _stack(folder: Path, n: int = 4) -> Path:
    frames = [discs(np.random.default_rng(k), size=96, n=9)[0] for k in range(n)]
    path = folder / "film.tif"
    pixels = np.stack([np.uint16(65535 * image) for image in frames])
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def _open_path(app, path: Path | str):
    app.selectbox("recording").set_value("another file or folder …").run()
    return app.text_input("recording path").set_value(str(path)).run()


def test_the_frames_of_a_dataset_are_on_the_desk(review, project):
    app = review()
    assert not app.exception
    assert not app.error, text(app)
    assert app.session_state["desk"]["desk"].frame == "f00"
    frames = open_dataset(project[1].data.path)
    np.testing.assert_array_equal(app.session_state["desk"]["desk"].image, frames.image(0))
    app.select_slider("position").set_value(4).run()
    assert app.session_state["desk"]["desk"].frame == "f04"
    start = next(box for box in app.selectbox if box.label == "Start from")
    start.set_value("label").run()
    np.testing.assert_array_equal(app.session_state["desk"]["desk"].mask, frames.label(4))
    assert not app.exception


def test_a_stack_with_its_most_uncertain_frame_first(review, tmp_path, project):
    app = _open_path(review(), _stack(tmp_path))
    assert not app.error, text(app)
    app.segmented_control("order").set_value("Most uncertain first").run()
    assert not app.exception
    table = app.dataframe[0].value
    doubts = table["uncertain"].to_numpy()
    assert len(doubts) == 4
    assert (np.diff(doubts) <= 0).all()
    folder = Path(project[0], "build/train/best")
    app.selectbox("review model").set_value("another folder …").run()
    app.text_input("review model path").set_value(str(folder)).run()
    assert not app.error, text(app)
    predictor = Predictor.load(folder)
    expected = {}
    for k in range(4):
        image = tifffile.imread(tmp_path / "film.tif", key=k) / np.float32(65535)
        expected[f"{k:04d}"] = 100 * doubtful(predictor.probabilities(image).max(-1))
    table = app.dataframe[0].value
    np.testing.assert_allclose(
        table["uncertain"], [expected[name] for name in table["frame"]], rtol=0.02, atol=0.03
    )


def test_the_most_uncertain_frame_that_i_have_not_reviewed_is_opened(review, tmp_path):
    app = _open_path(review(), _stack(tmp_path))
    app.text_input("reviewer").set_value("Ada").run()
    app.segmented_control("order").set_value("Most uncertain first").run()
    order = list(app.dataframe[0].value["frame"])
    desk = app.session_state["desk"]["desk"]
    assert desk.frame == order[0]
    _say(app, "Ada", desk.mask)
    app.segmented_control("order").set_value("As recorded").run()
    assert app.session_state["desk"]["desk"].frame == order[0]  # the frame is kept
    app.segmented_control("order").set_value("Most uncertain first").run()
    assert app.session_state["desk"]["desk"].frame == order[1]
    app.text_input("reviewer").set_value("Emil").run()
    assert app.session_state["desk"]["desk"].frame == order[1]


def test_another_recording_starts_at_its_first_frame(review, tmp_path):
    app = _open_path(review(), _stack(tmp_path))
    app.select_slider("position").set_value(2).run()
    assert app.query_params["frame"] == "0002"
    (tmp_path / "other").mkdir()
    _open_path(app, _stack(tmp_path / "other", 5))
    assert app.session_state["desk"]["desk"].frame == "0000"
    assert len(app.session_state["desk"]["order"]) == 5


def test_another_recording_starts_without_treatment_and_with_the_first_model(
    review, tmp_path, project
):
    app = _open_path(review(), _stack(tmp_path))
    preset = app.selectbox("review model").value
    app.selectbox("review model").set_value("another folder …").run()
    app.text_input("review model path").set_value(str(project[0] / "build/train/best")).run()
    app.slider("columns").set_value((10, 80)).run()
    app.slider("blur").set_value(1.0).run()
    app.toggle("invert").set_value(True).run()
    assert app.session_state["desk"]["desk"].image.shape == (96, 70)
    app.button("untreated").click().run()
    desk = app.session_state["desk"]["desk"]
    assert (desk.image.shape, desk.origin["treatment"]) == ((96, 96), None)
    assert desk.origin["model"] == str(project[0] / "build/train/best")
    app.toggle("invert").set_value(True).run()
    (tmp_path / "other").mkdir()
    _open_path(app, _stack(tmp_path / "other", 5))
    desk = app.session_state["desk"]["desk"]
    assert (desk.origin["treatment"], desk.origin["model"]) == (None, preset)
    assert not app.exception
    assert not app.sidebar.warning


def test_guided_corrections_use_the_probability_of_the_model(review, tmp_path):
    app = _open_path(review(), _stack(tmp_path, 1))
    work = app.session_state["desk"]["work"]
    image = work.image(0)
    expected = 1 - Predictor.load(work.maker.folder).probabilities(image)[..., 0]
    np.testing.assert_allclose(work.foreground(0), expected, atol=0.01)
    assert 0.05 < np.median(expected[(expected > 0.01) & (expected < 0.99)]) < 0.95


def test_the_masks_of_a_results_folder_are_shown_first(review, tmp_path, project):
    predictor = Predictor.load(project[0] / "build/train/best", "auto")
    about = {"models": [{"ref": "models:/moke-unet/1", "sha256": "cd" * 32}]}
    stream = open_recording(_stack(tmp_path))
    found = segment_recording(stream, predictor, tmp_path / "out/film", settings=about, workers=1)
    (tmp_path / "other").mkdir()
    app = _open_path(review(), _stack(tmp_path / "other", 5))
    assert app.session_state["desk"]["desk"].origin["model"] == "models:/moke-unet@lab"
    _open_path(app, found.folder)
    assert not app.exception
    assert not app.error, text(app)
    assert "masks of the results folder" in app.selectbox("review model").options
    desk = app.session_state["desk"]["desk"]
    assert desk.origin["model"] == "models:/moke-unet/1"
    np.testing.assert_array_equal(desk.mask, found.mask(0))


def test_imported_masks_are_shown_first(review, tmp_path, project):
    film = _stack(tmp_path)
    labels = np.zeros((4, 96, 96), np.uint16)
    labels[1, 30:40, 50:60] = 7
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    found = jobs.import_masks(project[1], [tmp_path / "labels.tif"], [film], tmp_path / "imported")
    app = _open_path(review(), found["recordings"][0]["folder"])
    assert not app.exception
    assert not app.error, text(app)
    desk, index = app.session_state["desk"]["desk"], app.session_state["desk"]["index"]
    assert desk.origin["model"] == "imported:labels.tif"
    np.testing.assert_array_equal(desk.mask, labels[index] > 0)


def test_a_crop_is_a_frame_of_its_own(review, tmp_path, load):
    app = _open_path(review(), _stack(tmp_path))
    app.slider("columns").set_value((10, 80)).run()
    app.slider("rows").set_value((0, 50)).run()
    app.toggle("invert").set_value(True).run()
    assert not app.exception
    desk = app.session_state["desk"]["desk"]
    assert desk.frame == "0000 [y 0-50, x 10-80]"
    assert desk.origin["window"] == (0, 10, 50, 80)
    whole = tifffile.imread(tmp_path / "film.tif", key=0) / np.float32(65535)
    np.testing.assert_array_equal(desk.image, whole[:50, 10:80])  # its own pixels, not inverted
    assert desk.origin["whole"] == image_sha256(whole)
    assert desk.mask.shape == (50, 70)
    assert desk.origin["treatment"] == {"clip": [0.0, 100.0], "blur": 0.0, "invert": True}
    load("desk").act(desk, _action(load, desk, "accept", desk.mask), "Ada")
    review = Reviews.open(desk.reviews.folder).latest(desk.frame)
    assert (review.treatment, review.window) == (desk.origin["treatment"], (0, 10, 50, 80))
    app.slider("rows").set_value((0, 4)).run()
    assert "at least 8 px" in app.sidebar.warning[0].value


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "does not exist"),
        ("params.yaml", r"ends in '.yaml'"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_without_frames_is_one_sentence(review, tmp_path, name, says):
    app = _open_path(review(), tmp_path / name)
    assert not app.exception
    assert says in app.error[0].value


def _say(app, who: str, mask: np.ndarray) -> None:
    """Review the frame on the desk as its editor would."""
    desk = app.session_state["desk"]["desk"]
    status = "accepted" if np.array_equal(mask, desk.mask) else "corrected"
    desk.reviews.add(
        desk.frame,
        desk.image,
        mask,
        status=status,
        who=who,
        model=desk.origin["model"],
        model_sha256=desk.origin["model_sha256"],
        before=desk.mask,
    )


def _trained_on(app):
    return next(box for box in app.multiselect if box.label == "Reviews to train on")


def test_each_recording_is_trained_on_by_itself(review, tmp_path):
    """The first review of a recording selects it, independently of other recordings."""
    films = []
    for name, n in (("a", 3), ("b", 4)):
        (tmp_path / name).mkdir()
        films.append(_stack(tmp_path / name, n))
    app = _open_path(review(), films[0])
    _say(app, "Ada", app.session_state["desk"]["desk"].mask)
    first = app.run().session_state["desk"]["desk"].reviews.folder
    assert _trained_on(app).value == [first]
    _open_path(app, films[1])
    assert _trained_on(app).value == []
    _say(app, "Ada", app.session_state["desk"]["desk"].mask)
    second = app.run().session_state["desk"]["desk"].reviews.folder
    assert second != first
    assert _trained_on(app).value == [second]
    assert _trained_on(_open_path(app, films[0])).value == [first]


def test_a_second_reviewer_starts_from_the_model_and_sees_the_agreement(review, tmp_path):
    app = _open_path(review(), _stack(tmp_path))
    app.text_input("reviewer").set_value("Ada").run()
    model_mask = app.session_state["desk"]["desk"].mask
    hers = np.roll(model_mask, 3, axis=0)
    _say(app, "Ada", hers)
    app.run()
    np.testing.assert_array_equal(app.session_state["desk"]["desk"].mask, hers)
    app.text_input("reviewer").set_value("Emmy").run()
    np.testing.assert_array_equal(app.session_state["desk"]["desk"].mask, model_mask)
    assert not app.metric
    _say(app, "Emmy", model_mask)
    app.run()
    mcc = scores(confusion(hers, model_mask, 3))["mcc"]
    assert [(m.label, m.value) for m in app.metric] == [("Ada and Emmy", f"MCC {mcc:.3f}")]
    assert "corrected by Ada" in text(app)
    assert "accepted by Emmy" in text(app)
    folders = [path.name for path in (tmp_path / "reviews").iterdir()]
    assert folders == [app.session_state["desk"]["desk"].reviews.folder.name]
    assert folders[0].startswith("film-")
    assert len(folders[0]) == len("film-") + 8


def test_the_state_tells_a_saved_mask_from_another_start(load, desk):
    module, mask = load("desk"), desk.mask

    def state(shown: np.ndarray) -> str:
        return module.state_of(desk.reviews.latest("0007", "Ada"), shown, "the model's, not saved")

    assert state(mask) == "you have not reviewed it"
    changed = mask.copy()
    changed[mask == SKYRMION] = 0
    assert not module.act(desk, _action(load, desk, "save", changed), "Ada").bad
    assert state(changed) == "corrected, version 1"
    assert state(mask) == "the model's, not saved"
    assert not module.act(desk, _action(load, desk, "reject"), "Ada").bad
    assert state(mask) == "rejected, version 2"


def test_a_corrected_frame_fits_the_level_of_the_recording(review, tmp_path):
    def fit(app):
        return [button for button in app.button if button.label == "Fit the boundary level"]

    app = _open_path(review(), _stack(tmp_path))
    app.text_input("reviewer").set_value("Ada").run()
    desk = app.session_state["desk"]["desk"]
    assert (desk.mask == SKYRMION).any() and not fit(app)
    wider = np.where(binary_dilation(desk.mask == SKYRMION), SKYRMION, desk.mask).astype(np.uint8)
    _say(app, "Ada", wider)
    (button,) = fit(app.run())
    button.click().run()
    assert not app.exception
    stored = json.loads((desk.reviews.folder / "level.json").read_text())
    assert stored["models"] == [desk.origin["model_sha256"]]
    assert stored["mcc_most_probable"] < stored["mcc"] and stored["level"] < 0.5
    shown = {m.label: m.value for m in app.metric}
    assert shown["Boundary level"] == f"{stored['level']:.2f}"
    folder = f"reviews/{desk.reviews.folder.name}/level.json"
    assert any(f"--level {folder}" in code.value for code in app.code)


def test_the_objects_are_filtered(review, tmp_path):
    app = _open_path(review(), _stack(tmp_path))
    app.toggle("measure").set_value(True).run()
    assert not app.exception
    assert len(app.get("vega_lite_chart")) == 2
    delete = next(button for button in app.button if button.label == "Delete objects outside")
    assert delete.disabled
    span = next(slider for slider in app.slider if slider.label == "Range to keep")
    span.set_value((span.min + 0.3 * (span.max - span.min) // span.step * span.step, span.max))
    app.run()
    delete = next(button for button in app.button if button.label == "Delete objects outside")
    assert not delete.disabled
    delete.click().run()
    command = app.session_state["command"]
    desk = app.session_state["desk"]["desk"]
    assert command["id"] == desk.identity
    assert all(desk.mask[y, x] == SKYRMION for y, x in command["seeds"])
    for quantity in ("eccentricity", "holes", "contrast"):
        app.selectbox("filter by").set_value(quantity).run()
        assert not app.exception
        assert not app.error, text(app)


FLOW = """
    import argparse, json, pathlib, sys, time
    parser = argparse.ArgumentParser()
    for name in ("reviews", "model", "profile", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    print("training", given.model, "with", given.reviews, *given.set, flush=True)
    if "STOP" in given.reviews:
        sys.exit("there is nothing to learn from")
    while not pathlib.Path("go").exists():
        time.sleep(0.1)
    figures = lambda mcc: {"mcc": mcc, "n_images": 2, "seen_in_training": 0}
    out = pathlib.Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps({
        "old": {"ref": given.model, "held_out": figures(0.7), "validation": figures(0.81),
                "accepted": figures(1.0)},
        "new": {"held_out": figures(0.9), "trained": None, "validation": figures(0.8),
                "accepted": figures(0.976)},
        "frames": [
            {"name": "film-0", "use": "held out", "corrected": True, "old_mcc": 0.7,
             "new_mcc": 0.9},
            {"name": "film-1", "use": "train", "corrected": True, "old_mcc": 0.75,
             "new_mcc": None},
            {"name": "film-2", "use": "train", "corrected": False, "old_mcc": 1.0,
             "new_mcc": 0.976},
        ],
        "registered": "models:/moke-unet/3",
        "summary": "MCC went from 0.700 to 0.900.",
        "data": {},
    }))
"""


def _flow(root: Path) -> None:
    (root / "flows").mkdir()
    (root / "flows/retrain.py").write_text(textwrap.dedent(FLOW))
    (root / "flows/serve.py").touch()  # by which a folder of flows is recognised


def _retrain_button(app):
    return next(b for b in app.button if b.label == "Retrain with corrections")


def test_corrections_are_trained_on_and_new_is_shown_against_old(review, tmp_path, load, project):
    _flow(tmp_path)
    app = _open_path(review(), _stack(tmp_path))
    assert "No frame has been reviewed yet." in text(app)
    _say(app, "Ada", np.zeros((96, 96), np.uint8))
    app.run()
    folder = app.session_state["desk"]["desk"].reviews.folder
    assert _trained_on(app).value == [folder]
    assert "1 × 3 epochs of 20 steps. The duration is estimated after" in text(app)
    app.number_input("retrain epochs").set_value(4).run()
    _retrain_button(app).click().run()
    assert not app.exception
    (place,) = (tmp_path / "build/retrain").iterdir()
    job = json.loads((place / "job.json").read_text())
    assert job["reviews"] == [str(folder)]
    assert os.getpgid(job["pid"]) == job["pid"]  # it does not end with the dashboard
    assert "Retraining models:/moke-unet@lab" in text(app)
    assert _retrain_button(app).disabled
    other = review()  # in another tab, too
    assert _retrain_button(other).disabled
    assert [b.label for b in other.button if b.label == "Stop"] == ["Stop"]
    with pytest.raises(SpinscopeError, match="is running already"):
        load("retraining").start(project[1], [folder], "m", 1, 1)
    progress = place / "out/train/seed-1/backup/state.json"
    progress.parent.mkdir(parents=True)
    progress.write_text(json.dumps({"epoch": 3, "seconds": 600.0}))
    texts = [bar.proto.text for bar in review().get("progress")]
    assert "3 of 4 epochs, about 3 minutes left for the others" in texts
    assert load("retraining").jobs()[0].epochs() == (3, 4, pytest.approx(200))
    (tmp_path / "go").touch()
    _await(place / "out/report.json")
    app.run()
    assert not app.exception
    shown = {m.label: (m.value, m.delta) for m in app.metric}
    assert shown == {
        "Corrected frames held back (2)": ("MCC 0.900", "+0.200 against the old model"),
        "Accepted frames (2)": ("MCC 0.976", ""),
        "Validation frames (2)": ("MCC 0.800", "-0.010 against the old model"),
    }
    assert "MCC went from 0.700 to 0.900." in text(app)
    assert "Validation frames, old model: seen in training: 0 of 2." in text(app)
    assert "models:/moke-unet/3" in text(app)
    table = app.dataframe[-1].value
    assert table["gain"].tolist()[0] == pytest.approx(0.2)
    assert table["review"].tolist() == ["corrected", "corrected", "accepted"]
    assert np.isnan(table["gain"].tolist()[2])  # the old model scores 1 on its own masks
    log = (place / "log.txt").read_text()
    assert f"with {folder} training.seeds=1 training.epochs=4" in log
    assert not _retrain_button(app).disabled
    assert "a minute or less, estimated from the last retraining" in text(app)
    app.number_input("retrain seeds").set_value(1)
    job["created"] -= 3600
    (place / "job.json").write_text(json.dumps(job))
    app.number_input("retrain epochs").set_value(12).run()
    assert "1 × 12 epochs of 20 steps: about 180 minutes" in text(app)


def test_a_training_that_fails_shows_the_end_of_its_log(review, tmp_path):
    _flow(tmp_path)
    (tmp_path / "reviews/STOP-0123abcd/frames/0").mkdir(parents=True)
    app = review()
    _trained_on(app).set_value([tmp_path / "reviews/STOP-0123abcd"]).run()
    _retrain_button(app).click().run()
    (place,) = (tmp_path / "build/retrain").iterdir()
    deadline = time.monotonic() + 60
    while "ended without a report" not in text(app):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    assert "nothing to learn from" in app.get("code")[0].value
    assert not (place / "out").exists()


def _await(path: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not path.is_file():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.1)
    time.sleep(0.5)  # its process ends


# ---------------------------------------------------------------- two models


def test_two_models_are_compared_object_by_object(opened, project, tmp_path):
    root, params = project
    folders = [root / f"build/train/seed-{seed}/model" for seed in (0, 1)]
    app = opened("compare.py")
    assert "same network" in app.info[0].value
    for key, folder in zip(("model", "model b"), folders, strict=True):
        app.selectbox(key).set_value("another folder …").run()
        app.text_input(f"{key} path").set_value(str(folder)).run()
    assert not app.exception
    assert not app.error, text(app)
    table = app.dataframe[0].value
    assert len(table) == 12
    assert (np.diff(table["disagreement"]) <= 0).all()
    frames = open_dataset(params.data.path)
    first = table.iloc[0]
    index = [r.name for r in frames.records].index(first["frame"])
    a, b = (Predictor.load(f, "auto").classes(frames.image(index)) == SKYRMION for f in folders)
    match = match_objects(a, b, min_px=params.evaluation.min_object_px)
    assert first["both"] == match.matched
    assert first["only A"] == len(match.true_px) - match.matched
    assert first["only B"] == len(match.predicted_px) - match.matched
    metrics = {m.label: m.value for m in app.metric}
    assert metrics["In both"] == str(match.matched)
    objects = app.dataframe[1].value
    assert len(objects) == len(match.true_px) + len(match.predicted_px) - match.matched
    pairs = objects[objects["found"] == "both"]
    np.testing.assert_allclose(pairs["change, px"], pairs["B, px"] - pairs["A, px"])
    app.segmented_control("compare display").set_value("Side by side").run()
    app.select_slider("compare zoom").set_value(2).run()
    assert len(app.get("image")) == 2
    assert not app.exception

    # A frame that cannot be read does not hide the others.
    (tmp_path / "folder").mkdir()
    for k in range(3):
        write_image(tmp_path / f"folder/{k}.png", frames.image(k))
    broken = tmp_path / "folder/1.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    _open_path(app, broken.parent)
    assert not app.exception
    assert "1.png is truncated" in app.warning[0].value
    assert sorted(app.dataframe[0].value["frame"]) == ["0", "2"]
