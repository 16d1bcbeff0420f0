"""Reviews of a colleague that are taken into one's own."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tifffile
from tests.conftest import discs
from typer.testing import CliRunner

from spinscope.classes import CLASSES
from spinscope.cli import app
from spinscope.errors import SpinscopeError
from spinscope.live.given import GivenMasks
from spinscope.live.pipeline import segment_recording
from spinscope.recordings import open_recording
from spinscope.reviews.corrected import final_reviews
from spinscope.reviews.folder import Reviews, mask_sha256
from spinscope.reviews.merging import merge, reviews_in
from spinscope.reviews.remeasured import remeasure

IMAGES = {f"{k:04d}": discs(np.random.default_rng(k), size=64)[0] for k in range(4)}
EMPTY = np.zeros((64, 64), np.uint8)
BY = {"model": "bundled:moke-unet", "model_sha256": "ab" * 32}


def mask(k: int) -> np.ndarray:
    """A mask that only `k` gives."""
    found = EMPTY.copy()
    found[8 : 12 + k, 8:20] = 1
    return found


@pytest.fixture
def both(tmp_path):
    """Reviews of Ada and of Ben: one frame of each alone, one of both alike, one of both."""
    ada, ben = Reviews.open(tmp_path / "ada"), Reviews.open(tmp_path / "ben")

    def add(reviews, who, frame, label, status="corrected"):
        image = IMAGES[frame].astype(np.float32)
        reviews.add(frame, image, label, status=status, who=who, before=EMPTY, **BY)

    add(ada, "Ada", "0000", mask(0))
    add(ada, "Ada", "0002", mask(2))
    add(ada, "Ada", "0003", mask(3))
    add(ben, "Ben", "0001", mask(5))
    add(ben, "Ben", "0001", mask(1))
    add(ben, "Ben", "0002", mask(2))
    add(ben, "Ben", "0003", mask(4))
    return ada, ben


def final(reviews):
    return {
        one.review.frame: (one.review.who, one.review.after) for one in final_reviews([reviews])
    }


def test_reviews_are_taken_with_reviewer_and_time(both):
    ada, ben = both
    found = merge(ben, ada)
    assert (len(found.taken), found.known) == (3, 0)
    assert [review.frame for review in found.conflicts] == ["0003"]
    assert final(ada) == {
        "0000": ("Ada", mask_sha256(mask(0))),
        "0001": ("Ben", mask_sha256(mask(1))),
        "0002": ("Ben", mask_sha256(mask(2))),
        "0003": ("Ada", mask_sha256(mask(3))),
    }
    (first, last), copied = ben.history("0001"), ada.history("0001")
    assert [one.when for one in copied] == [first.when, last.when]
    np.testing.assert_array_equal(ada.label(copied[1]), mask(1))
    np.testing.assert_array_equal(ada.image("0001"), ben.image("0001"))
    np.testing.assert_array_equal(ada.shown(copied[0]), EMPTY)
    again = merge(ben, ada)
    assert (again.taken, again.known) == ([], 3)


def test_theirs_count_where_they_are_preferred(both):
    ada, ben = both
    assert len(merge(ben, ada, prefer_theirs=True).taken) == 4
    assert final(ada)["0003"] == ("Ben", mask_sha256(mask(4)))
    assert [one.who for one in ada.history("0003")] == ["Ada", "Ben"]  # nothing is lost


def test_another_recording_is_refused(both, tmp_path):
    ada, _ = both
    other = Reviews.open(tmp_path / "other")
    for frame, image in (("0007", IMAGES["0001"]), ("0000", IMAGES["0001"])):
        other.add(
            frame, image.astype(np.float32), EMPTY, status="accepted", who="Cy", before=EMPTY, **BY
        )
    with pytest.raises(SpinscopeError, match=r"'0000' is another image in .*other than in .*ada"):
        merge(other, ada)
    assert "0007" not in ada.frames()
    with pytest.raises(SpinscopeError, match="holds no review"):
        merge(Reviews.open(tmp_path / "nothing"), ada)


def test_a_damaged_mask_is_refused_and_nothing_is_taken(both):
    ada, ben = both
    review = ben.latest("0001")
    review.label.write_bytes(ben.history("0001")[0].label.read_bytes())
    with pytest.raises(SpinscopeError, match="frame '0001', version 2, was changed"):
        merge(ben, ada)
    review.label.unlink()
    with pytest.raises(SpinscopeError, match="png does not exist"):
        merge(ben, ada)
    assert ada.frames() == ["0000", "0002", "0003"]


def test_the_command(both):
    ada, ben = both
    words = ["import", str(ben.folder), "--into", str(ada.folder)]
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 0
    assert "two different reviews: 0003; yours were kept" in found.stderr
    (row,) = json.loads(found.stdout)
    assert [one["reviewer"] for one in row["taken"]] == ["Ben"] * 3
    again = CliRunner().invoke(app, [*words, "--theirs"])
    assert "reviews taken: 1, there already: 3" in again.stdout
    for wrong in ([*words, "--frames", "a.tif"], ["import", str(ben.folder), "--theirs"]):
        found = CliRunner().invoke(app, wrong)
        assert found.exit_code != 0
        assert "--into" in str(found.exception)


FRAMES = np.stack([np.round(image * 65535).astype(np.uint16) for image in IMAGES.values()])
DRAWN = np.stack([mask(k) for k in range(4)])


@pytest.fixture
def colleague(tmp_path):
    """A recording, its results folder with empty masks, and masks that a colleague drew."""
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack")
    tifffile.imwrite(tmp_path / "drawn.tif", DRAWN, photometric="minisblack")
    empty = GivenMasks(dict.fromkeys(range(4), lambda: EMPTY), CLASSES[:3], "no mask")
    models = [{"ref": BY["model"], "sha256": BY["model_sha256"]}]
    settings = {"models": models, "min_px": 1}
    results = tmp_path / "masks/film"
    segment_recording(open_recording(path), empty, results, settings=settings, warnings=None)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["import", *map(str, words)])


def test_masks_of_a_colleague_become_corrections_in_a_results_folder(colleague):
    results = colleague / "masks/film"
    words = colleague / "drawn.tif", "--into", results, "--reviewer", "Ben"
    found = run(*words, "--json")
    assert found.exit_code == 0, found.exception
    assert [one["reviewer"] for one in json.loads(found.stdout)[0]["taken"]] == ["Ben"] * 4
    reviews = reviews_in(results)
    assert reviews.folder == results / "reviews"
    for k, frame in enumerate(IMAGES):
        review = reviews.latest(frame)
        np.testing.assert_array_equal(reviews.label(review), DRAWN[k])
        np.testing.assert_array_equal(reviews.shown(review), EMPTY)
        assert (review.status, review.model) == ("corrected", BY["model"])
    assert "reviews taken: 0, there already: 4" in run(*words).stdout
    measured = remeasure(results, reviews.folder)
    assert set(measured.objects["reviewer"]) == {"Ben"}
    np.testing.assert_array_equal(np.stack(list(measured.masks())), DRAWN)


def test_masks_of_a_colleague_do_not_replace_a_review(colleague):
    results = colleague / "masks/film"
    mine = reviews_in(results)
    image = (FRAMES[2] / 65535).astype(np.float32)
    mine.add("0002", image, EMPTY, status="accepted", who="Ada", before=EMPTY, **BY)
    words = colleague / "drawn.tif", "--into", results, "--reviewer", "Ben"
    found = run(*words)
    assert "two different reviews: 0002; yours were kept" in found.stderr
    assert [mine.latest(frame).who for frame in IMAGES] == ["Ben", "Ben", "Ada", "Ben"]
    assert "reviews taken: 1, there already: 3" in run(*words, "--theirs").stdout
    assert mine.latest("0002").who == "Ben"


def test_masks_of_a_colleague_need_their_recording_in_a_folder_of_reviews(colleague, both):
    ada, _ = both
    words = colleague / "drawn.tif", "--into", ada.folder, "--reviewer", "Ben"
    assert "masks need their recording: give --frames" in str(run(*words).exception)
    found = run(*words, "--frames", colleague / "film.tif")
    assert "reviews taken: 4, there already: 0" in found.stdout  # three as Ada left them
    assert not found.stderr
    assert ada.latest("0001").model == "imported:drawn.tif"
    tifffile.imwrite(colleague / "other.tif", FRAMES[::-1], photometric="minisblack")
    found = run(*words, "--frames", colleague / "other.tif")
    assert "frame '0000' is another image" in str(found.exception)


def test_a_results_folder_stands_for_the_reviews_in_it(colleague, both):
    _, ben = both
    results = colleague / "masks/film"
    assert "holds no review" in str(run(results, "--into", ben.folder).exception)
    assert "reviews taken: 4" in run(ben.folder, "--into", results).stdout
    assert sorted(reviews_in(results).frames()) == ["0001", "0002", "0003"]
    fresh = colleague / "fresh"
    assert "reviews taken: 4" in run(results, "--into", fresh).stdout
    assert Reviews.open(fresh).frames() == ["0001", "0002", "0003"]


def test_an_equal_mask_is_accepted(colleague):
    tifffile.imwrite(colleague / "drawn.tif", 0 * DRAWN, photometric="minisblack")
    found = run(
        colleague / "drawn.tif", "--into", colleague / "masks/film", "--reviewer", "B", "--empty"
    )
    assert found.exit_code == 0, found.exception
    assert {reviews_in(colleague / "masks/film").latest(f).status for f in IMAGES} == {"accepted"}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["drawn.tif", "--into", "masks/film"], "for masks of a colleague give --reviewer NAME"),
        (["drawn.tif", "--reviewer", "B"], "need --into FOLDER"),
        (["drawn.tif", "--into", "masks/film", "--reviewer", " "], "name of its reviewer"),
        (["drawn.tif", "--into", "masks/film", "--reviewer", "B", "--out", "x"], "--out and"),
        (["film.tif", "--into", "masks/film", "--reviewer", "B", "--class", "x"], "must be one of"),
        (
            ["drawn.tif", "--into", "masks/film", "--reviewer", "B", "--frames", "film.tif"],
            "is not needed: .*film knows its recording",
        ),
        (["ben", "--into", "masks/film", "--reviewer", "B"], "only --theirs goes with"),
        (["ben", "drawn.tif", "--into", "masks/film", "--reviewer", "B"], "only --theirs goes"),
        (
            ["drawn.tif", "--into", "new", "--reviewer", "B", *2 * ["--frames", "film.tif"]],
            "1 files of masks and 2 recordings",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_taken(
    colleague, both, monkeypatch, words, rule
):
    monkeypatch.chdir(colleague)
    found = run(*words)
    assert found.exit_code != 0
    assert re.search(rule, str(found.exception))
    assert not (colleague / "masks/film/reviews").exists()
