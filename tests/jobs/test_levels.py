"""A level fitted to one corrected frame, stored, and used by `segment`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs
from tests.inference.test_conditions import bubble

from spinscope import jobs
from spinscope.config import load_params, magnetisation
from spinscope.corpora.annotations import annotate
from spinscope.errors import SpinscopeError
from spinscope.images import read_label, write_image, write_label
from spinscope.live.results import open_results
from spinscope.reviews.corrected import corrected_frames
from spinscope.reviews.folder import Reviews

MODEL, LEVEL = "bundled:moke-unet-simulated", 0.3


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> tuple[Path, Path]:
    """A frame, and a mask of it whose boundary is that of another level."""
    folder = tmp_path_factory.mktemp("recording")
    image, _ = discs(np.random.default_rng(4), size=96, n=12, radius=6)
    write_image(folder / "frame.png", image, bits=16)
    params = load_params(overrides=[f"segment.level={LEVEL}"])
    (row,) = jobs.segment(params, [folder / "frame.png"], [MODEL], folder / "truth")
    mask = read_label(row["mask"])
    write_label(folder / "label.png", mask)
    return folder / "frame.png", folder / "label.png"


def test_the_level_of_a_corrected_frame_is_recovered(recording, tmp_path):
    frame, label = recording
    out, params = tmp_path / "level.json", load_params()
    fitted = jobs.calibrate(params, [MODEL], [jobs.corrected_frame(frame, label)], out)
    assert fitted["level"] == pytest.approx(LEVEL, abs=0.015)
    assert fitted["mcc_most_probable"] < 0.97 < fitted["mcc"]
    settings = load_params(overrides=[f"segment.level={out}"])
    (row,) = jobs.segment(settings, [frame], [MODEL], tmp_path / "masks")
    assert row["level"] == fitted["level"]
    results = open_results(row["folder"])
    assert results.summary["settings"]["level"] == fitted["level"]
    # A fitted level is known better than a number that was typed.
    typed = load_params(overrides=[f"segment.level={fitted['level']}"])
    (other,) = jobs.segment(typed, [frame], [MODEL], tmp_path / "masks")
    assert other["previous"] and other["objects"] == row["objects"]
    key = "diameter_px_mean_sd_boundary"
    assert 0.1 < row[key] / other[key] < 0.6
    agreement = np.mean(read_label(label) == results.mask(0))
    (plain,) = jobs.segment(params, [frame], [MODEL], tmp_path / "plain")
    assert "level" not in plain
    default = open_results(plain["folder"])
    assert agreement > 0.999 > np.mean(read_label(label) == default.mask(0))
    # The interval of the boundary holds both.
    sd = default.summary["statistics"]["diameter_px_mean_sd_boundary"]
    assert sd == pytest.approx(plain["diameter_px_mean_sd_boundary"])
    assert 0.3 * sd < row["diameter_px_mean"] - plain["diameter_px_mean"] < 2 * sd


def test_reviews_give_the_same_level(recording, tmp_path):
    image, mask = jobs.corrected_frame(*recording)
    reviews = Reviews.open(tmp_path / "reviews")
    origin = {"model": MODEL, "model_sha256": "ab" * 32, "who": "Ada"}
    reviews.add("0001", image, mask, status="accepted", before=mask, **origin)
    with pytest.raises(SpinscopeError, match="holds no corrected frame"):
        list(corrected_frames(reviews))
    reviews.add("0000", image, mask, status="corrected", before=np.zeros_like(mask), **origin)
    frames = list(corrected_frames(reviews))
    assert len(frames) == 1
    fitted = jobs.calibrate(load_params(), [MODEL], frames, tmp_path / "level.json")
    assert fitted["level"] == pytest.approx(LEVEL, abs=0.015)
    assert fitted["frames"] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"level": 0.4, "models": ["ab"]}, "was fitted for another model"),
        ({"level": 0.4}, "was fitted for another model"),
        ({"level": 1.4, "models": ["ab"]}, r"level \(=1.4\) must be between 0 and 1"),
        ({"level": True}, r"level \(=True\)"),
        ([], "must be a JSON object"),
    ],
)
def test_a_file_of_another_model_is_refused(recording, tmp_path, content, says):
    path = tmp_path / "level.json"
    path.write_text(json.dumps(content))
    params = load_params(overrides=[f"segment.level={path}"])
    with pytest.raises(SpinscopeError, match=says):
        jobs.segment(params, [recording[0]], [MODEL], tmp_path / "masks")


def test_a_level_is_a_probability_half_or_a_file():
    for level in ("2", "0", "halfway", "level.txt"):
        with pytest.raises(SpinscopeError, match=r"segment\.level"):
            load_params(overrides=[f"segment.level={level}"])
    for level in (0.5, "half", "level.json", None):
        text = json.dumps(level)
        assert load_params(overrides=[f"segment.level={text}"]).segment.level == level


def test_a_level_may_be_a_magnetisation():
    assert load_params(overrides=["segment.level=mz=0.9"]).segment.level == "mz=0.9"
    assert [magnetisation(level) for level in ("mz=-0.5", "half", 0.5, None)] == [-0.5, *3 * [None]]
    for level in ("mz=1", "mz=", "mz=nan", "mz=0.9.json"):
        with pytest.raises(SpinscopeError, match=r"segment\.level.*between -1 and 1"):
            load_params(overrides=[f"segment.level={level}"])


def test_half_contrast_is_found_per_recording(recording, tmp_path):
    params = load_params(overrides=["segment.level=half"])
    (row,) = jobs.segment(params, [recording[0]], [MODEL], tmp_path / "masks")
    # Discs of 6 px radius with sharp edges: half contrast is their edge.
    assert row["diameter_px_mean"] == pytest.approx(12.5, abs=1)
    assert 0.2 < row["level"] < 0.95
    empty = tmp_path / "empty.png"
    write_image(empty, np.random.default_rng(0).random((96, 96)))
    (row,) = jobs.segment(params, [empty], [MODEL], tmp_path / "masks")
    assert "level" not in row and "half contrast was not found" in row["warning"]
    (tmp_path / "camera").mkdir()
    with pytest.raises(SpinscopeError, match="for a watched folder"):
        jobs.segment(params, [tmp_path / "camera"], [MODEL], tmp_path / "masks", watch=True)
    with pytest.raises(SpinscopeError, match="must be left out for Lorentz images"):
        jobs.segment(params, [recording[0]], ["bundled:ltem-unet"], tmp_path / "lorentz")


def test_an_information_bar_does_not_change_half_contrast(tmp_path):
    image, _ = discs(np.random.default_rng(6), size=192, n=40, radius=6)
    film = np.round(255 * image).astype(np.uint8)
    drawn = annotate(film, np.random.default_rng(0), side="bottom")
    height = int(np.argmax(drawn.drawn.all(axis=1)))
    write_image(tmp_path / "barred.png", drawn.image / np.float32(255))
    write_image(tmp_path / "film.png", drawn.image[:height] / np.float32(255))
    params = load_params(overrides=["segment.level=half"])
    barred, alone = (
        jobs.segment(params, [tmp_path / name], [MODEL], tmp_path / "masks")[0]
        for name in ("barred.png", "film.png")
    )
    assert [part["kind"] for part in barred["left_out"]] == ["information bar"]
    assert barred["level"] == pytest.approx(alone["level"], abs=0.02)


def test_calibration_names_what_does_not_fit(recording, tmp_path):
    image, mask = jobs.corrected_frame(*recording)
    for frames, says in (
        ([(image, mask[:50])], "must be of one shape"),
        ([(image, np.zeros_like(mask))], "at least one corrected mask with a skyrmion"),
    ):
        with pytest.raises(SpinscopeError, match=says):
            jobs.calibrate(load_params(), [MODEL], frames, tmp_path / "level.json")
    assert not (tmp_path / "level.json").exists()


def test_scale_and_polarity_are_found_as_for_segment(tmp_path):
    image, mask = bubble(200)
    frames = [((1 - image).astype(np.float32), mask.astype(np.uint8))]
    found, missed = (
        jobs.calibrate(load_params(overrides=auto), [MODEL], frames, tmp_path / "level.json")
        for auto in ([], ["segment.scale=null", "segment.polarity=dark"])
    )
    assert missed["mcc"] < 0.5 < 0.9 < found["mcc"]
