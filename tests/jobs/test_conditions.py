"""Scale and polarity of a recording are found where the settings ask for it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.inference.test_conditions import bubble

from spinscope import jobs
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.images import write_image
from spinscope.live.results import open_results

MODEL = "bundled:moke-unet-simulated"
AUTO = ["segment.scale=auto", "segment.polarity=auto"]


def test_a_bright_bubble_is_found_and_the_choice_is_recorded(tmp_path):
    image, mask = bubble(200)
    write_image(tmp_path / "bubble.png", 1 - image, bits=16)
    (row,) = jobs.segment(
        load_params(overrides=AUTO), [tmp_path / "bubble.png"], [MODEL], tmp_path / "out"
    )
    assert row["polarity"] == "bright" and row["scale"] < 0.5
    assert row["objects"] == 1
    diameter = np.sqrt(4 * mask.sum() / np.pi)
    assert row["diameter_px_mean"] == pytest.approx(diameter, rel=0.05)
    settings = open_results(row["folder"]).summary["settings"]
    assert settings["polarity"] == "bright" and settings["scale"] == row["scale"]
    nats = settings["evidence_nats"]
    assert nats["bright"][f"{row['scale']:g}"] == max(max(one.values()) for one in nats.values())

    # A second call finds the same, and does not compute the frame again.
    (again,) = jobs.segment(
        load_params(overrides=AUTO), [tmp_path / "bubble.png"], [MODEL], tmp_path / "out"
    )
    assert again["previous"] is None and again["objects"] == 1
    given = load_params(overrides=[f"segment.scale={row['scale']}", "segment.polarity=bright"])
    (same,) = jobs.segment(given, [tmp_path / "bubble.png"], [MODEL], tmp_path / "given")
    assert same["diameter_px_mean"] == row["diameter_px_mean"]
    assert "evidence_nats" not in same


def test_conditions_are_not_found_for_lorentz_images_and_watched_folders(tmp_path):
    params = load_params(overrides=AUTO)
    write_image(tmp_path / "a.png", bubble(60, size=96)[0], bits=8)
    with pytest.raises(SpinscopeError, match=r"segment.scale \(=auto\) .* Lorentz images"):
        jobs.segment(params, [tmp_path / "a.png"], ["bundled:ltem-unet"], tmp_path / "out")
    with pytest.raises(SpinscopeError, match=r"segment.scale \(=auto\) .* watched folder"):
        jobs.segment(params, [tmp_path], [MODEL], tmp_path / "out", watch=True)
