"""Numbers of simulated recordings: what was put in comes out within its errors."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.live.conftest import dark
from tests.live.test_pipeline import run

from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora.raw_kerr import KINDS
from spinscope.errors import SpinscopeError
from spinscope.jobs.numbers import numbers_of

PIXEL_UM = 0.5


def written(folder, kind, n=40, shape=(96, 120)):
    """Clean recording as of intake, and its truth."""
    rng = np.random.default_rng(3)
    series = KINDS[kind](n, shape, rng)
    contrast = 0.1 * (1 - series.m) / 2 + rng.normal(0, 0.01, series.m.shape)
    path = folder / f"{kind}.tif"
    tifffile.imwrite(
        path, ((0.5 + contrast) * 65535).astype(np.uint16), imagej=True, resolution=(2, 2),
        metadata={"axes": "TYX", "unit": "um", "finterval": series.interval},
    )  # fmt: skip
    table = pd.DataFrame({"frame": np.arange(len(series.m))} | series.applied)
    table["intensity"] = contrast.mean(axis=(1, 2))
    table["intensity_left"] = contrast[:, :, : shape[1] // 2].mean(axis=(1, 2))
    table.to_csv(path.with_suffix(".csv"), index=False)
    return path, series.truth


def within(figure, true, most):
    """Whether a figure is the truth within 3.5 of its errors, and these are small enough."""
    sd = np.hypot(figure["sd_statistical"], figure["sd_boundary"] or 0)
    assert sd < most
    return abs(figure["value"] - true) < 3.5 * sd


def test_a_loop_of_the_frame_and_of_a_region(tmp_path):
    path, truth = written(tmp_path, "loop", 64)
    found = numbers_of(path)
    figures = found["figures"]
    assert within(figures["coercive_field"], truth["coercive_field_mt"], 0.6)
    assert within(figures["bias_field"], truth["bias_mt"], 0.6)
    assert "left.coercive_field" in figures
    table = pd.read_csv(tmp_path / "loop.numbers" / "loop.csv")
    assert set(table["region"]) == {"frame", "left"}
    assert table["m"].abs().max() < 1.2


def test_a_bubble_gives_velocities_and_the_creep_law(tmp_path):
    path, truth = written(tmp_path, "bubble", 60, (240, 240))
    found = numbers_of(path)
    table = pd.read_csv(tmp_path / "bubble.numbers" / "walls.csv")
    true = [one["velocity_um_per_s"] for one in truth["velocity"]]
    assert table["field_mt"].tolist() == pytest.approx([-4, -5, -6, -7, -8, -9])
    assert table["velocity_um_per_s"].to_numpy() == pytest.approx(true, rel=0.03)
    assert found["figures"]["creep_alpha"]["value"] == pytest.approx(truth["alpha_mt14"], rel=0.03)
    assert found["figures"]["creep_alpha"]["unit"] == "mT^(1/4)"


def test_in_plane_fields_give_the_field_of_the_dmi_and_a_diagram(tmp_path):
    path, truth = written(tmp_path, "in-plane", 60, (160, 160))
    found = numbers_of(path)
    assert within(found["figures"]["dmi_field"], truth["dmi_field_mt"], 8)
    assert {"walls.csv", "diagram.csv"} <= set(found["files"])


def test_stripes_have_their_width_and_lineage_is_written(tmp_path):
    path, _ = written(tmp_path, "stripes", 16)
    found = numbers_of(path)
    figure = found["figures"]["stripe_width"]
    assert figure["unit"] == "µm"
    assert within(figure, 12 * PIXEL_UM, 0.6)
    stored = json.loads((tmp_path / "stripes.numbers" / "numbers.json").read_text())
    assert stored["lineage"]["data"]
    assert stored["figures"].keys() == found["figures"].keys()
    assert stored["n_frames"] == 16


def test_bubbles_that_come_and_go_have_events_at_their_fields(tmp_path):
    path, truth = written(tmp_path, "events", 60, (220, 260))
    found = numbers_of(path, out=tmp_path / "out")
    assert within(found["figures"]["nucleation_field"], truth["nucleation_field_mt"], 1)
    assert within(found["figures"]["annihilation_field"], truth["annihilation_field_mt"], 1)
    against = pd.read_csv(tmp_path / "out" / "against.csv")
    assert set(against["quantity"]) >= {"density", "diameter"}
    diameter = against[against["quantity"] == "diameter"]
    assert diameter["mean"].median() == pytest.approx(14 * PIXEL_UM * 1e3, rel=0.06)


def test_a_recording_without_conditions_is_refused(tmp_path):
    path, _ = written(tmp_path, "stripes", 16)
    table = pd.read_csv(path.with_suffix(".csv"))
    table.drop(columns="field_mt").to_csv(path.with_suffix(".csv"), index=False)
    with pytest.raises(SpinscopeError, match="no field, temperature or pulse is known"):
        numbers_of(path)
    with pytest.raises(SpinscopeError, match="must be a results folder"):
        numbers_of(tmp_path / "missing.tif")


def test_a_results_folder_gives_density_and_diffusion_against_the_field(tmp_path):
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:128, :128]
    field = np.repeat([-4.0, -2.0], 8)
    places = rng.permutation([(i, j) for i in range(16, 128, 24) for j in range(16, 128, 24)])
    frames = np.full((16, 128, 128), 40000, np.uint16)
    for k, one in enumerate(field):
        for cy, cx in places[: 20 if one < -3 else 8]:
            cy, cx = cy + rng.normal(0, 0.5), cx + rng.normal(0, 0.5)
            frames[k][np.hypot(y - cy, x - cx) < 5] = 5000
    stack = tmp_path / "film.tif"
    tifffile.imwrite(stack, frames, photometric="minisblack", metadata={"axes": "TYX"})
    pd.DataFrame({"frame": range(16), "field_mt": field}).to_csv(
        stack.with_suffix(".csv"), index=False
    )
    results = run(stack, tmp_path / "film", dark())
    jobs.measure(load_params("demo"), results.folder)
    found = numbers_of(results.folder)
    table = found["tables"]["against"]
    density = table[table["quantity"] == "density"].set_index("value")["mean"]
    density *= (128 * results.pixel_size * 1e6) ** 2
    assert density[-4.0] == pytest.approx(20)
    assert density[-2.0] == pytest.approx(8)
    assert found["figures"]["annihilation_field"]["value"] == pytest.approx(-3)
    assert found["lineage"]["model"]
    assert found["lineage"]["data"] == results.summary["recording"]["fingerprint"]
    assert (results.folder / "numbers.json").is_file()
