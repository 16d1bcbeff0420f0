"""Reviews of a colleague that are taken into one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.conftest import discs
from typer.testing import CliRunner

from spinscope.cli import app
from spinscope.errors import SpinscopeError
from spinscope.reviews.corrected import final_reviews
from spinscope.reviews.folder import Reviews, mask_sha256
from spinscope.reviews.merging import merge

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
