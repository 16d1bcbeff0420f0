"""Results folders written by earlier versions still open, resume and can be exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.live.conftest import dark
from tests.live.test_pipeline import SETTINGS, Dies, run

from spinscope import jobs
from spinscope.config import load_params
from spinscope.inference.predict import Predictor
from spinscope.live.results import FORMER_KEYS, open_results

FORMER = {new: old for old, new in FORMER_KEYS.items()}


def formerly(path: Path, target: Path | None = None) -> None:
    """Rewrite a JSON file with the keys that earlier versions used."""

    def renamed(value):
        if isinstance(value, dict):
            return {FORMER.get(key, key): renamed(content) for key, content in value.items()}
        return value

    content = renamed(json.loads(path.read_text()))
    path.unlink()
    (target or path).write_text(json.dumps(content))


@pytest.fixture
def former(stack, tmp_path) -> Path:
    """A results folder as earlier versions wrote it."""
    settings = {**SETTINGS, "min_px": 1, "scale": 1.0}
    results = run(stack, tmp_path / "film", dark(), settings=settings)
    formerly(results.folder / "summary.json")
    summary = json.loads((results.folder / "summary.json").read_text())
    assert {"stream", "about", "former", "stopped", "n", "figures"} <= set(summary)
    assert {"stream", "zoom"} <= set(summary["about"])
    return results.folder


def test_a_former_folder_opens_under_the_present_keys(former, frames):
    results = open_results(former)
    assert results.n_frames == len(frames)
    assert results.summary["settings"]["models"] == SETTINGS["models"]
    assert results.summary["error"] is None
    assert results.summary["statistics"]["objects_per_frame"] > 1
    np.testing.assert_array_equal(results.recording().read(2), frames[2])


def test_a_former_folder_is_measured_exported_and_not_segmented_again(former, stack, tmp_path):
    figures = jobs.measure(load_params("demo"), former)
    assert figures["nearest_px"] > 0
    assert jobs.export(former, ["csv", "png"])["csv"].is_file()
    settings = {**SETTINGS, "min_px": 1, "scale": 1.0}
    again = run(stack, former, dark(), settings=settings)
    assert again.summary["timing"]["frames"] == 10
    assert not former.with_name("film.1").exists()


def test_an_unfinished_former_call_is_resumed(stack, predictor, tmp_path):
    whole = run(stack, tmp_path / "whole/film", predictor)
    with pytest.raises(KeyboardInterrupt):
        run(
            stack,
            tmp_path / "film",
            Predictor(Dies(), predictor.info),
            chunk_frames=2,
            workers=1,
        )
    chunks = tmp_path / "film.chunks"
    formerly(chunks / "settings.json")
    for path in chunks.glob("*/recording.json"):
        formerly(path, path.with_name("stream.json"))
    chunks.rename(tmp_path / "film.parts")
    done = []
    found = run(stack, tmp_path / "film", predictor, chunk_frames=2, on_frame=done.append)
    assert done[0] >= 4
    pd.testing.assert_frame_equal(found.objects, whole.objects)
    assert sorted(path.name for path in tmp_path.iterdir() if "film." in path.name) == [
        ".film.lock", "film.tif",
    ]  # fmt: skip
