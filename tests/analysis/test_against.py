"""Quantities against a swept one: means and errors of known values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spinscope.analysis.against import against, diagram, standard_error, steps_of
from spinscope.errors import SpinscopeError

SHAPE = (100, 100)


def correlated(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    values = np.empty(n)
    values[0] = rng.normal()
    for k in range(1, n):
        values[k] = rho * values[k - 1] + np.sqrt(1 - rho**2) * rng.normal()
    return values


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_errors_of_correlated_frames_contain_the_truth(rho):
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        values = correlated(rng, 80, rho)
        inside += abs(values.mean()) < 1.645 * standard_error(values)
    assert 0.85 <= inside / 200 <= 0.96


def test_branches_and_bins_of_a_sweep():
    value, direction = steps_of(np.array([1.0, 1, 2, 3, 3, 2, np.nan, 1]))
    np.testing.assert_array_equal(value, [1, 1, 2, 3, 3, 2, np.nan, 1])
    assert direction.tolist() == [0, 0, 1, 1, 1, -1, -1, -1]
    value, _ = steps_of(np.linspace(0, 24, 97))
    assert sorted(set(value)) == [k + 0.5 for k in range(24)]


def recording(seed: int, truth: dict[float, tuple[int, float, float]], n: int = 30):
    """Tables of a recording: field → objects, diameter and D in px² per frame."""
    rng = np.random.default_rng(seed)
    frames, objects, tracks = [], [], []
    frame = 0
    for field, (count, diameter, d) in truth.items():
        place = rng.uniform(20, 80, (count, 2))  # the tracks jump between two fields
        for _ in range(n):
            place = place + rng.normal(0, np.sqrt(2 * d), place.shape)
            row = {"frame": frame, "field_mt": field, "objects": count}
            frames.append(row | {"objects_sd_detection": 0.5, "psi6_mean": rng.normal(0.8, 0.02)})
            for k in range(count):
                diameters = {"diameter_px": rng.normal(diameter, 0.3)}
                objects.append({"frame": frame, "diameter_px_sd_boundary": 0.2} | diameters)
                y, x = place[k]
                tracks.append({"frame": frame, "track": k, "y_px": y, "x_px": x})
            frame += 1
    return pd.DataFrame(frames), pd.DataFrame(objects), pd.DataFrame(tracks)


def test_density_diameter_order_and_diffusion_against_the_field():
    truth = {0.0: (20, 8.0, 0.1), 5.0: (20, 6.0, 0.2), 10.0: (20, 5.0, 0.4)}
    inside = 0
    for seed in range(10):
        frames, objects, tracks = recording(seed, truth)
        table = against(
            ["field_mt"], frames, objects, shape=SHAPE, tracks=tracks, pixel_size=1e-7, interval=0.1
        )
        assert table["field_mt"].tolist() == list(truth)
        assert table["frames"].tolist() == [30] * 3
        np.testing.assert_allclose(table["density_um2"], 20 / (10 * 10))
        np.testing.assert_allclose(table["density_um2_sd_boundary"], 0.5 / 100)
        np.testing.assert_allclose(table["diameter_nm_sd_boundary"], 20)
        for row, (_, diameter, d) in zip(table.itertuples(), truth.values(), strict=True):
            inside += abs(row.diameter_px - diameter) < 1.7 * row.diameter_px_se
            inside += abs(row.psi6 - 0.8) < 1.7 * row.psi6_se
            inside += abs(row.diffusion_px2_per_frame - d) < 1.7 * row.diffusion_px2_per_frame_se
    assert 72 <= inside <= 90


def test_single_frames_have_the_errors_of_their_objects():
    frames, objects, _ = recording(0, {0.0: (16, 8.0, 0.0)}, n=1)
    table = against(["field_mt"], frames, objects, shape=SHAPE)
    assert table["density_px2_se"][0] == pytest.approx(4 / 10_000)
    assert table["diameter_px_se"][0] == pytest.approx(objects["diameter_px"].std() / 4)
    assert np.isnan(table["density_um2"][0])


def test_a_phase_diagram_over_two_quantities():
    frames, objects, _ = recording(0, {0.0: (20, 8.0, 0.0), 5.0: (3, 6.0, 0.0)}, n=4)
    frames["temperature_k"] = np.tile([300.0, 310.0], 4)
    frames.loc[(frames["field_mt"] == 0) & (frames["temperature_k"] == 310), "psi6_mean"] = 0.5
    table = against(["field_mt", "temperature_k"], frames, objects, shape=SHAPE)
    found = diagram("field_mt", "temperature_k", table)
    assert found["state"].tolist() == ["lattice", "disordered", "dilute", "dilute"]
    assert found["frames"].tolist() == [2] * 4


def test_an_unknown_quantity_is_refused():
    frames, objects, _ = recording(0, {0.0: (20, 8.0, 0.0)}, n=2)
    with pytest.raises(SpinscopeError, match="current_ma is not known for any frame"):
        against(["current_ma"], frames, objects, shape=SHAPE)
