"""From a recording of Brownian skyrmions to the diffusion constant that moved them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.live.conftest import dark
from tests.live.test_pipeline import run

from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.live.measurements import measure_objects, measure_recording
from spinscope.physics import brownian_skyrmions

SETTINGS = load_params("demo").measure


def draw(centres: np.ndarray, shape: tuple[int, int], radius: float = 3.0) -> np.ndarray:
    """(H, W) uint16: dark discs with soft rims."""
    y, x = (np.arange(n)[None] - centres[:, k, None] for k, n in enumerate(shape))
    distance = np.hypot(y[:, :, None], x[:, None, :]).min(axis=0)  # of the nearest centre
    return (40_000 - 16_000 / (1 + np.exp(3 * (distance - radius)))).astype(np.uint16)


def test_a_triangular_lattice_is_found_perfect(tmp_path):
    rows = np.arange(8, 160, 20 * np.sqrt(3) / 2)
    centres = [(y, x) for k, y in enumerate(rows) for x in np.arange(8 + 10 * (k % 2), 170, 20)]
    path = tmp_path / "lattice.tif"
    tifffile.imwrite(path, draw(np.array(centres), (160, 180)))
    results = run(path, tmp_path / "out", dark(), pixel_size=1e-7)
    figures = measure_recording(results, SETTINGS)
    assert figures["psi6_mean"] == pytest.approx(1, abs=0.02)  # the pixels of the discs move it
    assert figures["lattice_px"] == pytest.approx(20, rel=0.01)
    assert figures["lattice_um"] == pytest.approx(2.0, rel=0.01)
    assert figures["lattice_defect_fraction"] == 0
    assert "diffusion_px2_per_frame" not in figures
    assert figures["notes"][0].startswith("no tracks: a single frame shows no motion")
    g = pd.read_csv(results.folder / "pair_correlation.csv")
    assert g["r_px"][g["g"].idxmax()] == pytest.approx(20, abs=1.5)
    assert json.loads((results.folder / "measurements.json").read_text()) == figures


def test_diffusion_is_recovered_from_frames(tmp_path):
    """30 discs on a grid take 80 steps with D = 0.08 px² per frame."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.arange(20, 150, 26), np.arange(20, 170, 26)), -1).reshape(-1, 2)
    steps = rng.normal(0, np.sqrt(2 * 0.08), (80, len(grid), 2))
    places = grid + np.cumsum(steps, axis=0)
    frames = np.stack([draw(centres, (160, 180)) for centres in places])
    path = tmp_path / "brown.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    results = run(path, tmp_path / "out", dark(), pixel_size=2e-7)
    figures = measure_recording(results, SETTINGS)
    true = float((steps**2).mean() / 2)
    error = figures["diffusion_px2_per_frame_se"]
    assert 0 < error < 0.05 * true
    assert abs(figures["diffusion_px2_per_frame"] - true) < max(0.05 * true, 3 * error)
    assert figures["diffusion_m2_per_s"] is None  # the time between frames is not known
    assert figures["search_range_px"] == pytest.approx(13, abs=1.5)  # half the distance of the grid
    assert "smaller measure.search_range_px" in figures["notes"][0]
    assert figures["settings"]["memory"] == 0
    tracks = pd.read_parquet(results.folder / "tracks.parquet")
    assert tracks["track"].nunique() == len(grid)
    assert (tracks.groupby("track").size() == 80).all()
    msd = pd.read_csv(results.folder / "msd.csv")
    np.testing.assert_allclose(msd["msd_um2"], 0.04 * msd["msd_px2"])


def test_a_patterned_sample_is_measured_on_its_film(tmp_path):
    """Two strips with separate lattices have no neighbours across the gap."""
    rows = np.arange(10, 70, 12 * np.sqrt(3) / 2)
    strip = [(y, x) for k, y in enumerate(rows) for x in np.arange(8 + 6 * (k % 2), 170, 12)]
    centres = np.array(strip + [(y + 110, x) for y, x in strip])
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, draw(centres, (190, 180)))
    results = run(path, tmp_path / "out", dark())
    film = np.zeros((190, 180), dtype=bool)
    film[:78] = film[108:] = True
    whole, strips = (measure_recording(results, SETTINGS, ground) for ground in (None, film))
    assert strips["lattice_px"] == pytest.approx(12, rel=0.02)
    assert whole["lattice_px"] > 12.5
    assert strips["lattice_defect_fraction"] == 0
    with pytest.raises(SpinscopeError, match=r"sample_mask of shape \(4, 4\)"):
        measure_recording(results, SETTINGS, film[:4, :4])


def test_one_object_per_frame_needs_a_search_range(tmp_path):
    path = tmp_path / "one.tif"
    frames = np.stack([draw(np.array([(20, 20 + k)]), (56, 64)) for k in range(6)])
    tifffile.imwrite(path, frames, photometric="minisblack")
    results = run(path, tmp_path / "out", dark())
    figures = measure_recording(results, SETTINGS)
    assert "tracks" not in figures
    assert "measure.search_range_px" in figures["notes"][0]
    told = measure_recording(results, SETTINGS.model_copy(update={"search_range_px": 5.0}))
    assert (told["tracks"], told["notes"]) == (1, [])
    assert told["step_px"] > 0
    assert told["step_nm"] == pytest.approx(200 * told["step_px"])
    assert (results.folder / "tracks.csv").is_file()
    measure_recording(results, SETTINGS)
    assert not (results.folder / "tracks.csv").exists()  # of the settings before


def test_links_hardly_shorter_than_the_distance_of_neighbours_give_no_diffusion():
    def figures(diffusion: float, given: bool = False) -> dict:
        rng = np.random.default_rng(1)
        drawn = brownian_skyrmions(150, 12, (256, 256), diffusion, rng)
        objects = pd.DataFrame({name: drawn[name] for name in ("frame", "y_px", "x_px")})
        spots = objects.assign(track=drawn["skyrmion"]) if given else None
        objects = objects.sort_values("frame", kind="stable").reset_index(drop=True)
        objects["object"] = objects.groupby("frame").cumcount() + 1
        objects = objects.assign(diameter_px=6.0, touches_border=False)
        known = {"n_frames": 12, "shape": (256, 256), "spots": spots}
        return measure_objects(objects, SETTINGS, **known)[1]

    slow, fast = figures(0.3), figures(8.0)
    assert slow["diffusion_px2_per_frame"] == pytest.approx(0.3, rel=0.15)
    assert not any("not reliable" in note for note in slow["notes"])
    assert "links are not reliable" in fast["notes"][-1]
    for name in ("diffusion_px2_per_frame", "diffusion_px2_per_frame_se", "lifetime_frames_mean"):
        assert fast[name] is None
    assert fast["step_px"] > 0 and fast["tracks"] > 0
    true = figures(8.0, given=True)  # the links that no search range finds
    assert true["diffusion_px2_per_frame"] == pytest.approx(8.0, rel=0.1)
    assert "only as good as every link of the given tracks" in true["notes"][-1]


def test_objects_that_do_not_move_are_measured(tmp_path):
    path = tmp_path / "still.tif"
    frame = draw(np.array([(12, 12), (40, 20), (30, 50)]), (56, 64))
    tifffile.imwrite(path, np.stack([frame] * 4), photometric="minisblack")
    figures = measure_recording(run(path, tmp_path / "out", dark()), SETTINGS)
    assert (figures["tracks"], figures["step_px"], figures["notes"]) == (3, 0, [])


def test_three_objects_have_no_statistics(tmp_path):
    path = tmp_path / "three.tif"
    tifffile.imwrite(path, draw(np.array([(12, 12), (40, 20), (30, 50)]), (56, 64)))
    figures = measure_recording(run(path, tmp_path / "out", dark()), SETTINGS)
    assert figures["psi6_mean"] is None
    assert figures["nearest_px_mean"] > 10
    assert not (tmp_path / "out/pair_correlation.csv").exists()


def test_a_recording_without_objects_is_refused(tmp_path):
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, np.full((32, 40), 700, dtype=np.uint16))
    with pytest.raises(SpinscopeError, match="holds no object"):
        measure_recording(run(path, tmp_path / "out", dark()), SETTINGS)
