"""When a retraining is due: corrections and nights are counted since the last one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.conftest import discs

from spinscope.config import Flows, load_params
from spinscope.files import write_json
from spinscope.reviews.due import due, note_retraining
from spinscope.reviews.folder import Reviews


@pytest.fixture
def settings() -> Flows:
    return load_params(overrides=["flows.retrain_corrections=3", "flows.retrain_nights=2"]).flows


def review(folder, n: int, status: str = "corrected") -> None:
    reviews, rng = Reviews.open(folder), np.random.default_rng(n)
    for k in range(n):
        image, label = discs(rng)
        reviews.add(
            f"{status}{k}", image, label, status=status, who="Ada", model="bundled:moke-unet",
            model_sha256="ab" * 32, before=np.zeros_like(label),
        )  # fmt: skip


def night(folder, number: int, causes: list[str], n: int = 1) -> None:
    when = datetime.now(UTC) + timedelta(days=number)
    rows = [{"file": f"{k}.png", "fingerprint": str(k), "valid": True} for k in range(n)]
    result = {"started_utc": when.isoformat(), "out_of_range": causes, "recordings": rows}
    write_json(folder / f"night{number}/night.json", result)


def test_corrections_are_counted_and_accepted_masks_are_not(settings, tmp_path):
    review(tmp_path / "a", 2)
    review(tmp_path / "b", 4, "accepted")
    folders = [tmp_path / "a", tmp_path / "b"]
    found = due(settings, folders, tmp_path / "nightly", tmp_path / "out")
    assert (found.corrections, found.reasons) == (2, ())
    review(tmp_path / "c", 1)
    folders.append(tmp_path / "c")
    found = due(settings, folders, tmp_path / "nightly", tmp_path / "out")
    assert found.reasons == ("3 frames were corrected since the last training",)
    note_retraining(tmp_path / "out")
    assert due(settings, folders, tmp_path / "nightly", tmp_path / "out").corrections == 0


def test_only_the_last_nights_in_a_row_count(settings, tmp_path):
    nightly = tmp_path / "nightly"
    night(nightly, 1, ["blur"])
    night(nightly, 2, [])
    night(nightly, 3, ["blur"])
    assert due(settings, [], nightly, tmp_path / "out").nights == 1
    night(nightly, 4, [], n=0)  # no recordings say nothing
    night(nightly, 5, ["noise"])
    found = due(settings, [], nightly, tmp_path / "out")
    assert found.reasons == ("2 nights in a row were out of range",)
