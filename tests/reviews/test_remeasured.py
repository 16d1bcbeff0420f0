"""Results measured again with reviewed masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.conftest import discs
from tests.live.conftest import dark

from spinscope.classes import SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import Results
from spinscope.recordings import open_recording
from spinscope.reviews.folder import Reviews
from spinscope.reviews.remeasured import remeasure

BY_ADA = {"who": "Ada", "model": "bundled:moke-unet", "model_sha256": "ab" * 32}
MODELS = [{"ref": "bundled:moke-unet", "sha256": "ab" * 32}]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Results of four frames of discs."""
    rng = np.random.default_rng(3)
    frames = np.stack([np.round(255 * discs(rng, size=64)[0]) for _ in range(4)]).astype(np.uint8)
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", metadata={"axes": "TYX"})
    settings = {"models": MODELS, "min_px": 4, "tta": 1}
    recording = open_recording(path, pixel_size=2e-7)
    return segment_recording(
        recording, dark(), tmp_path / "masks/film", settings=settings, min_px=4
    )


def test_reviewed_masks_replace_those_of_the_model(results, tmp_path):
    recording, reviews = results.recording(), Reviews.open(tmp_path / "reviews")

    def review(index: int, mask, status: str, image=None, **given) -> None:
        image = recording.read(index) / np.float32(255) if image is None else image
        reviews.add(
            recording.names(index), image, mask, status=status, before=results.mask(index), **BY_ADA
        ) if not given else reviews.add(
            f"{recording.names(index)} [part]", image, mask, status=status,
            before=np.zeros_like(mask), **given, **BY_ADA,
        )  # fmt: skip

    disc = np.zeros((64, 64), np.uint8)
    disc[20:30, 20:30] = SKYRMION
    review(1, disc, "corrected")
    review(2, results.mask(2), "rejected")
    whole = recording.read(3) / np.float32(255)
    from spinscope.reviews.folder import image_sha256

    blank = np.zeros((16, 64), np.uint8)
    given = {"window": (0, 0, 16, 64), "whole": image_sha256(whole)}
    review(3, blank, "corrected", whole[:16], **given)

    new = remeasure(results.folder, reviews.folder)
    assert new.folder == results.folder.with_name("film-reviewed")
    np.testing.assert_array_equal(new.mask(0), results.mask(0))
    np.testing.assert_array_equal(new.mask(1), disc)
    np.testing.assert_array_equal(new.mask(2), results.mask(2))
    assert not new.mask(3)[:16].any()
    np.testing.assert_array_equal(new.mask(3)[16:], results.mask(3)[16:])
    one = new.objects[new.objects["frame"] == 1]
    assert one["area_px"].tolist() == [100]
    assert one["diameter_nm"].iloc[0] == pytest.approx(200 * 2 * np.sqrt(100 / np.pi))
    columns = ["area_px", "x_px", "contrast"]
    for frame in (0, 2):
        before, after = (t[t["frame"] == frame][columns] for t in (results.objects, new.objects))
        np.testing.assert_allclose(after, before)
    assert set(new.summary["settings"]["reviews"]["frames"]) == {"0001", "0003 [part]"}
    assert new.summary["settings"]["reviews"]["reviewers"] == dict.fromkeys(
        ["0001", "0003 [part]"], "Ada"
    )
    assert new.summary["settings"]["models"] == MODELS
    assert new.frames["reviewer"].tolist() == ["", "Ada", "", "Ada"]
    ada = new.objects["reviewer"] == "Ada"
    np.testing.assert_array_equal(ada, new.objects["frame"].isin([1, 3]))
    assert "reviewer" not in results.frames

    changed = (new.folder / "summary.json").stat().st_mtime_ns
    assert (remeasure(results.folder, reviews.folder).folder / "summary.json").stat().st_mtime_ns \
        == changed  # fmt: skip


def test_without_a_review_that_counts_nothing_is_written(results, tmp_path):
    with pytest.raises(SpinscopeError, match="holds no accepted or corrected frame"):
        remeasure(results.folder, tmp_path / "none")
    assert not results.folder.with_name("film-reviewed").exists()
