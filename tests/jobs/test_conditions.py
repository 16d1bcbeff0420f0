"""Scale and polarity of a recording are found where the settings ask for it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import discs
from tests.inference.test_conditions import bubble

from spinscope import jobs
from spinscope.config import load_params
from spinscope.images import write_image
from spinscope.inference.conditions import CLEAR
from spinscope.live.results import open_results

MODEL = "bundled:moke-unet-simulated"


def test_a_bright_bubble_is_found_and_the_choice_is_recorded(tmp_path):
    image, mask = bubble(200)
    write_image(tmp_path / "bubble.png", 1 - image, bits=16)
    (row,) = jobs.segment(load_params(), [tmp_path / "bubble.png"], [MODEL], tmp_path / "out")
    assert row["polarity"] == "bright" and row["scale"] < 0.5
    assert row["objects"] == 1
    diameter = np.sqrt(4 * mask.sum() / np.pi)
    assert row["diameter_px_mean"] == pytest.approx(diameter, rel=0.05)
    settings = open_results(row["folder"]).summary["settings"]
    assert settings["polarity"] == "bright" and settings["scale"] == row["scale"]
    nats = settings["evidence_nats"]
    largest = max(max(one.values()) for one in nats.values())
    assert CLEAR * nats["bright"][f"{row['scale']:g}"] > largest

    # A second call finds the same, and does not compute the frame again.
    (again,) = jobs.segment(load_params(), [tmp_path / "bubble.png"], [MODEL], tmp_path / "out")
    assert again["previous"] is None and again["objects"] == 1
    given = load_params(overrides=[f"segment.scale={row['scale']}", "segment.polarity=bright"])
    (same,) = jobs.segment(given, [tmp_path / "bubble.png"], [MODEL], tmp_path / "given")
    assert same["diameter_px_mean"] == pytest.approx(row["diameter_px_mean"], rel=1e-3)
    assert "evidence_nats" not in same


def test_frames_like_those_of_the_training_are_taken_as_they_are(tmp_path):
    image, _ = discs(np.random.default_rng(1), size=128, n=12, radius=6)
    write_image(tmp_path / "a.png", image, bits=8)
    given = load_params(overrides=["segment.scale=null", "segment.polarity=dark"])
    summaries = []
    for name, params in (("auto", load_params()), ("given", given)):
        (row,) = jobs.segment(params, [tmp_path / "a.png"], [MODEL], tmp_path / name)
        assert "evidence_nats" not in row
        summaries.append(open_results(row["folder"]).summary)
    assert summaries[0]["settings"] == summaries[1]["settings"]
    assert summaries[0]["statistics"] == summaries[1]["statistics"]


def test_bright_skyrmions_are_found_at_a_given_scale(tmp_path):
    image, _ = discs(np.random.default_rng(1), size=128, n=12, radius=6)
    write_image(tmp_path / "a.png", 1 - image, bits=8)
    params = load_params(overrides=["segment.scale=null"])
    (row,) = jobs.segment(params, [tmp_path / "a.png"], [MODEL], tmp_path / "out")
    assert row["polarity"] == "bright" and "scale" not in row
    assert row["objects"] >= 6


def test_lorentz_images_and_watched_folders_are_taken_as_they_are(tmp_path):
    write_image(tmp_path / "a.png", 1 - bubble(60, size=96)[0], bits=8)
    lorentz = ["bundled:ltem-unet"]
    (row,) = jobs.segment(load_params(), [tmp_path / "a.png"], lorentz, tmp_path / "lorentz")
    assert "polarity" not in row
    params = load_params(overrides=["segment.settle_s=0", "segment.idle_s=0.1"])
    (row,) = jobs.segment(params, [tmp_path], [MODEL], tmp_path / "out", watch=True)
    assert row["frames"] == 1 and "polarity" not in row


def test_a_recording_whose_last_frame_is_damaged_is_tried_by_its_first(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    write_image(folder / "0.png", 1 - bubble(200)[0], bits=16)
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:2000])
    (row,) = jobs.segment(load_params(), [folder], [MODEL], tmp_path / "out")
    assert row["polarity"] == "bright" and row["frames"] == 2
    (lost,) = open_results(row["folder"]).summary["unreadable"]
    assert "1.png" in str(lost)
