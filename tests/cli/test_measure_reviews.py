"""`spinscope measure --reviews` measures and exports with the masks of the reviewer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import tifffile
from tests.conftest import discs
from tests.live.conftest import dark
from typer.testing import CliRunner

from spinscope.cli import app
from spinscope.live.pipeline import segment_recording
from spinscope.live.results import open_results
from spinscope.recordings import open_recording
from spinscope.reviews.folder import Reviews


def test_measure_writes_the_corrected_results_with_their_reviewer(tmp_path):
    rng = np.random.default_rng(3)
    frames = np.stack([np.round(255 * discs(rng, size=64)[0]) for _ in range(2)]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "film.tif", frames, photometric="minisblack")
    recording = open_recording(tmp_path / "film.tif")
    models = [{"ref": "bundled:moke-unet", "sha256": "ab" * 32}]
    settings = {"models": models, "min_px": 4, "tta": 1}
    folder = tmp_path / "masks/film"
    results = segment_recording(recording, dark(), folder, settings=settings, min_px=4)
    square = np.zeros((64, 64), np.uint8)
    square[20:30, 20:30] = 1
    Reviews.open(folder / "reviews").add(
        "0001", frames[1] / np.float32(255), square, status="corrected", who="Ada",
        model="bundled:moke-unet", model_sha256="ab" * 32, before=results.mask(1),
    )  # fmt: skip
    words = ["measure", str(folder), "--reviews", str(folder / "reviews"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    new = open_results(tmp_path / "masks/film-reviewed")
    assert new.objects.query("frame == 1")["area_px"].tolist() == [100]
    summary = json.loads((new.folder / "summary.json").read_text())
    assert summary["settings"]["reviews"]["reviewers"] == {"0001": "Ada"}
    assert (new.folder / "lattice.csv").is_file()
    assert new.objects["reviewer"].unique().tolist() == ["", "Ada"]
    done = CliRunner().invoke(app, ["export", str(new.folder), "--to", "csv,trackmate"])
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(new.folder / f"{new.name}.objects.csv", keep_default_na=False)
    assert rows["reviewer"].tolist() == new.objects["reviewer"].tolist()
