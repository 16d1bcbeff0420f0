"""Tracks of Brownian skyrmions, whose motion is known, are recovered."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from spinscope.analysis import (
    assign_tracks,
    diffusion,
    lifetimes,
    link,
    mean_lifetime,
    mean_squared_displacement,
    measure,
    subtract_drift,
    track_diffusion,
    track_msd,
    with_units,
)
from spinscope.errors import SpinscopeError
from spinscope.physics import KerrOptics, brownian_frame, brownian_skyrmions

SHAPE = (400, 500)


def skyrmions(seed=0, diffusion=2.0, frames=150, count=60, **keywords) -> pd.DataFrame:
    return pd.DataFrame(
        brownian_skyrmions(count, frames, SHAPE, diffusion, np.random.default_rng(seed), **keywords)
    )


def as_tracks(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"skyrmion": "track"}).sort_values(["track", "frame"])


@pytest.fixture(scope="module")
def busy() -> pd.DataFrame:
    """Skyrmions with localisation noise, finite lifetime, missed frames and drift."""
    return skyrmions(localisation=0.8, lifetime=60, missed=0.01, drift=(0.3, -0.2))


def test_links_are_those_of_the_skyrmions(busy):
    tracks = link(busy, search_range_px=10, memory=1)
    assert set(busy.columns) < set(tracks.columns)
    assert len(tracks) == len(busy)
    following = (tracks["track"].diff() == 0) & (tracks["frame"].diff() == 1)
    same = tracks["skyrmion"].diff()[following] == 0
    assert same.mean() > 0.998
    own = tracks["skyrmion"].nunique()
    assert own <= tracks["track"].nunique() < 1.1 * own


def test_the_diffusion_constant_is_recovered(busy):
    tracks = link(busy, search_range_px=10, memory=1)
    found = diffusion(tracks, drift=True, pixel_size=50e-9, interval=0.1)
    value, error = found["diffusion_px2_per_frame"], found["diffusion_px2_per_frame_se"]
    assert value == pytest.approx(2.0, rel=0.05)
    assert 0.01 < error / value < 0.03
    assert found["localisation_px"] == pytest.approx(0.8, abs=0.1)
    assert found["diffusion_m2_per_s"] == pytest.approx(value * 2.5e-14)
    assert found["diffusion_m2_per_s_se"] == pytest.approx(error * 2.5e-14)
    undone = diffusion(subtract_drift(tracks))["diffusion_px2_per_frame"]
    assert undone == pytest.approx(value, rel=0.03)
    assert diffusion(tracks)["diffusion_px2_per_frame"] > value  # the drift is part of it


def test_diffusion_has_no_bias_and_honest_errors():
    truth = 0.5
    found = [
        diffusion(as_tracks(skyrmions(seed, truth, 30, 40, localisation=1.0, lifetime=20)))
        for seed in range(60)
    ]
    d, error = (
        np.array([one[f"diffusion_px2_per_frame{end}"] for one in found]) for end in ("", "_se")
    )
    assert abs(d.mean() - truth) < 3 * d.std() / np.sqrt(60) + 0.01 * truth
    assert error.mean() == pytest.approx(d.std(ddof=1), rel=0.3)
    assert np.mean([one["localisation_px"] for one in found]) == pytest.approx(1.0, rel=0.02)


def test_few_tracks_have_the_theoretical_error():
    found = []
    for seed in range(120):
        table = as_tracks(skyrmions(seed, 1.0, 60, 3, localisation=0.5))
        longest = table["track"].value_counts().index[:2]
        found.append(diffusion(table[table["track"].isin(longest)]))
    d, error = (
        np.array([one[f"diffusion_px2_per_frame{end}"] for one in found]) for end in ("", "_se")
    )
    assert error.mean() == pytest.approx(d.std(ddof=1), rel=0.25)


def test_drift_of_a_few_does_not_lessen_their_diffusion():
    found = [
        diffusion(as_tracks(skyrmions(seed, 1.0, 100, 4, drift=(0.5, 0))), drift=True)
        for seed in range(40)
    ]
    mean = np.mean([one["diffusion_px2_per_frame"] for one in found])
    assert mean == pytest.approx(1.0, rel=0.05)


def test_blur_of_the_shutter_does_not_change_diffusion():
    rng = np.random.default_rng(5)
    fine = np.cumsum(rng.normal(scale=np.sqrt(2 * 1.5 / 20), size=(200, 100 * 20, 2)), axis=1)
    seen = fine.reshape(200, 100, 20, 2).mean(axis=2) + rng.normal(scale=0.4, size=(200, 100, 2))
    track, frame = np.divmod(np.arange(200 * 100), 100)
    places = seen.reshape(-1, 2)
    tracks = pd.DataFrame(
        {"track": track, "frame": frame, "y_px": places[:, 0], "x_px": places[:, 1]}
    )
    found = diffusion(tracks, exposure=1.0)
    assert found["diffusion_px2_per_frame"] == pytest.approx(1.5, rel=0.03)
    assert found["localisation_px"] == pytest.approx(0.4, rel=0.15)


def test_mean_squared_displacement_is_four_d_lag(busy):
    tracks = as_tracks(skyrmions(1, 0.5, 200, 60, localisation=0.6))
    table = mean_squared_displacement(tracks, max_lag=5, interval=0.25)
    np.testing.assert_allclose(
        table["msd_px2"], 4 * 0.5 * table["lag_frames"] + 4 * 0.36, rtol=0.03
    )
    assert (
        np.abs(table["msd_px2"] - 2 * table["lag_frames"] - 1.44) < 4 * table["msd_px2_se"]
    ).all()
    assert table["lag_s"].tolist() == [0.25, 0.5, 0.75, 1.0, 1.25]
    assert with_units(table, 1e-6)["msd_um2"].tolist() == pytest.approx(table["msd_px2"].tolist())
    single = track_msd(tracks, max_lag=2)
    pairs = single[single["lag_frames"] == 2]
    mean = (pairs["msd_px2"] * pairs["pairs"]).sum() / pairs["pairs"].sum()
    assert mean == pytest.approx(table["msd_px2"][1])
    one = tracks[tracks["track"] == tracks["track"].iloc[0]]
    y, x = one["y_px"].to_numpy(), one["x_px"].to_numpy()
    whole = np.ptp(one["frame"]) == len(one) - 1
    assert whole
    by_hand = np.mean((y[2:] - y[:-2]) ** 2 + (x[2:] - x[:-2]) ** 2)
    assert pairs["msd_px2"].iloc[0] == pytest.approx(by_hand)


def test_there_is_no_step_across_a_gap():
    tracks = pd.DataFrame(
        {"track": 0, "frame": [0, 1, 3, 4], "y_px": [0.0, 1, 50, 51], "x_px": 0.0}
    )
    found = diffusion(tracks)
    assert found["steps"] == 2
    assert np.isnan(found["diffusion_px2_per_frame"])  # no two steps in a row
    table = mean_squared_displacement(tracks)
    assert table["lag_frames"].tolist() == [1, 2, 3, 4]
    assert table["pairs"].tolist() == [2, 1, 2, 1]
    assert table["msd_px2"][0] == 1


def test_single_tracks_scatter_about_the_truth():
    tracks = as_tracks(skyrmions(2, 1.0, 60, 100, localisation=0.5))
    table = track_diffusion(tracks, pixel_size=1e-6, interval=2.0)
    table = table[table["steps"] > 40]
    assert table["diffusion_px2_per_frame"].mean() == pytest.approx(1.0, rel=0.05)
    assert table["diffusion_px2_per_frame_se"].mean() == pytest.approx(
        table["diffusion_px2_per_frame"].std(), rel=0.2
    )
    np.testing.assert_allclose(
        table["diffusion_m2_per_s"], table["diffusion_px2_per_frame"] * 0.5e-12
    )


def test_lifetimes_mark_unobserved_ends():
    tracks = pd.DataFrame(
        {
            "track": [0, 0, 0, 1, 1, 2, 2],
            "frame": [0, 1, 2, 3, 5, 7, 9],
            "y_px": 0.0,
            "x_px": 0.0,
            "touches_border": [False, False, False, False, False, True, False],
        }
    )
    table = lifetimes(tracks, frames=(0, 9), interval=0.5)
    assert table["lifetime_frames"].tolist() == [3, 3, 3]
    assert table["lifetime_s"].tolist() == [1.5, 1.5, 1.5]
    assert table["detections"].tolist() == [3, 2, 2]
    assert table["start_cut_off"].tolist() == [True, False, True]
    assert table["end_cut_off"].tolist() == [False, False, True]
    assert table["observed_frames"].tolist() == [3, 3, 0]
    longer = lifetimes(tracks, frames=(0, 20))
    assert longer["end_cut_off"].sum() == 0
    assert longer["observed_frames"].tolist() == [3, 3, 1]


def test_the_mean_lifetime_is_recovered_though_most_are_cut_off():
    truth = 80.0
    found = []
    for seed in range(30):
        table = lifetimes(as_tracks(skyrmions(seed, 1.0, 60, 40, lifetime=truth)), interval=2.0)
        assert (table["start_cut_off"] | table["end_cut_off"]).mean() > 0.5
        found.append(mean_lifetime(table, interval=2.0))
    tau, error = (np.array([f[f"lifetime_frames_mean{end}"] for f in found]) for end in ("", "_se"))
    assert tau.mean() == pytest.approx(truth, rel=0.06)
    assert error.mean() == pytest.approx(tau.std(ddof=1), rel=0.35)
    assert found[0]["lifetime_s_mean"] == pytest.approx(2 * tau[0])


def test_there_is_no_lifetime_without_an_observed_end():
    tracks = pd.DataFrame({"track": 0, "frame": range(5), "y_px": 0.0, "x_px": 0.0})
    assert np.isnan(mean_lifetime(lifetimes(tracks))["lifetime_frames_mean"])


def test_objects_of_different_size_are_not_linked():
    frame = np.repeat([0, 1], 2)
    swapped = {"frame": frame, "y_px": [10.0, 16, 11.5, 14], "x_px": [5.0] * 4}
    swapped["diameter_px"] = [6.0, 14.0, 14.0, 6.0]
    tracks = link(swapped, search_range_px=8)
    assert tracks.groupby("track")["diameter_px"].nunique().tolist() == [1, 1]
    by_place = link(swapped, search_range_px=8, size_ratio=None)
    assert by_place.groupby("track")["diameter_px"].nunique().tolist() == [2, 2]


def test_the_search_range_has_a_default_and_memory_bridges_gaps():
    table = skyrmions(4, 0.5, 20, 20, margin=0)
    table = table[~(table["frame"] == 7)]  # a frame without any object
    broken, bridged = link(table), link(table, memory=1)
    assert bridged["track"].nunique() < broken["track"].nunique()
    assert bridged.groupby("track")["skyrmion"].nunique().mean() < 1.1


def test_rendered_frames_give_the_diffusion_back():
    rng = np.random.default_rng(11)
    shape = (200, 240)
    table = brownian_skyrmions(14, 100, shape, 1.0, rng, diameter=(9, 18), lifetime=80)
    optics = KerrOptics(noise=0.02)
    rows = []
    for frame in range(100):
        image, label = brownian_frame(table, frame, shape, optics, rng)
        assert image.shape == label.shape == shape
        objects = measure(label == 1, image, min_px=9)
        objects = {name: column[~objects["touches_border"]] for name, column in objects.items()}
        assert (objects["contrast"] < -0.05).all()
        rows.append(pd.DataFrame(objects).assign(frame=frame))
    found = diffusion(link(pd.concat(rows), search_range_px=8))
    # of these tracks, which with few skyrmions is not just what was asked for
    truth = diffusion(as_tracks(pd.DataFrame(table)))["diffusion_px2_per_frame"]
    assert truth == pytest.approx(1.0, rel=0.15)
    assert found["diffusion_px2_per_frame"] == pytest.approx(truth, rel=0.05)
    assert found["localisation_px"] < 0.3


def test_no_objects_are_no_tracks():
    tracks = link({"frame": np.zeros(0, dtype=int), "y_px": np.zeros(0), "x_px": np.zeros(0)})
    assert len(tracks) == 0
    assert np.isnan(diffusion(tracks, drift=True)["diffusion_px2_per_frame"])
    for table in (
        subtract_drift(tracks),
        mean_squared_displacement(tracks),
        track_msd(tracks),
        track_diffusion(tracks),
        lifetimes(tracks),
    ):
        assert len(table) == 0
    assert np.isnan(mean_lifetime(lifetimes(tracks))["lifetime_frames_mean"])


def test_trackpy_is_quiet_and_its_logger_as_before(capsys, caplog):
    logger = logging.getLogger("trackpy")
    link(skyrmions(frames=2), search_range_px=10)  # loads trackpy, which sets a level
    level = logger.level
    link(skyrmions(frames=3), search_range_px=10)
    assert logger.level == level
    assert capsys.readouterr().out == ""
    assert not caplog.records


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: link({"frame": [0], "y_px": [1.0]}), "must have a column x_px"),
        (lambda: link(skyrmions(frames=2), search_range_px=0), "search_range_px"),
        (lambda: link(skyrmions(frames=2), size_ratio=1), "size_ratio"),
        (lambda: link({"frame": [0, 1], "y_px": [1.0, 1], "x_px": [1.0, 1]}), "must be given"),
        (lambda: link(skyrmions(frames=3, count=300), search_range_px=300), "ambiguous"),
        (lambda: mean_squared_displacement(link(skyrmions(frames=2)), max_lag=0), "max_lag"),
    ],
)
def test_bad_input_is_named(call, rule):
    with pytest.raises(SpinscopeError, match=rule):
        call()


def test_frames_far_apart_cost_no_time():
    """An empty stretch of recording changes no figure and takes neither time nor memory."""
    table = skyrmions(frames=40, count=20)
    later = table.assign(frame=table["frame"] + 10**15)
    far = pd.concat([table, later], ignore_index=True)
    tracks = link(far, search_range_px=10, memory=2)
    near = pd.concat([table, table.assign(frame=table["frame"] + 60)], ignore_index=True)
    near = link(near, search_range_px=10, memory=2)
    assert tracks["track"].nunique() == near["track"].nunique()
    assert np.isfinite(subtract_drift(tracks)[["y_px", "x_px"]]).all(axis=None)
    found, expected = diffusion(tracks, drift=True), diffusion(near, drift=True)
    assert found["steps"] == expected["steps"]
    assert found["diffusion_px2_per_frame"] == pytest.approx(expected["diffusion_px2_per_frame"])
    msd = mean_squared_displacement(tracks, max_lag=10**12)
    assert msd["lag_frames"].max() == 39
    assert lifetimes(tracks)["lifetime_frames"].max() == 40


def placed(*rows: tuple, **columns) -> pd.DataFrame:
    """Table of `frame`, `y_px`, `x_px` and further columns."""
    return pd.DataFrame(rows, columns=["frame", "y_px", "x_px"]).assign(**columns)


def test_given_tracks_are_those_of_the_objects_under_their_spots(busy):
    """Noise of a spot within the radius, and the order of the file, change nothing."""
    truth = busy.groupby("frame").filter(lambda frame: frame.name < 20)
    objects = truth.drop(columns="skyrmion").assign(diameter_px=4.0)
    rng = np.random.default_rng(2)
    spots = truth.rename(columns={"skyrmion": "track"})[["frame", "y_px", "x_px", "track"]]
    spots[["y_px", "x_px"]] += rng.uniform(-0.1, 0.1, (len(spots), 2))
    tracks, notes = assign_tracks(objects, spots.sample(frac=1, random_state=3))
    assert notes == [] and len(tracks) == len(objects)
    both = tracks.merge(truth, on=["frame", "y_px", "x_px"])
    assert both.groupby("track")["skyrmion"].nunique().eq(1).all()
    assert both.groupby("skyrmion")["track"].nunique().eq(1).all()
    first = tracks.sort_values("frame", kind="stable").drop_duplicates("track")
    assert tracks["track"].nunique() == tracks["track"].max() + 1
    assert first.groupby("frame")["track"].min().is_monotonic_increasing


def test_the_nearest_spot_and_object_are_paired_first():
    objects = placed((0, 10, 10), (0, 10, 16), (1, 5, 5), diameter_px=[20.0, 2.0, 1.0])
    spots = placed((0, 10, 15.5), (0, 10, 13), (1, 5, 5.9), track=[4, 2, 2])
    tracks, notes = assign_tracks(objects, spots)
    assert notes == []  # both spots lie on the large object; one of them is nearer to the small one
    assert tracks[["x_px", "track"]].values.tolist() == [[10, 0], [5, 0], [16, 1]]


def test_spots_and_objects_without_the_other_are_counted():
    objects = placed((0, 10, 10), (0, 30, 30), (1, 10, 10), diameter_px=6.0)
    spots = placed((0, 11, 10), (0, 50, 50), (1, 10, 10), track=[0, 0, 0])
    tracks, notes = assign_tracks(objects, spots)
    assert tracks[["frame", "track"]].values.tolist() == [[0, 0], [1, 0]]
    assert notes == [
        "1 of 3 spots lie on no object and were left out, the first in frame 0 at y, x = "
        "(50.0, 50.0) px",
        "1 of 3 objects have no spot and belong to no track",
    ]


def test_two_spots_on_one_object_are_refused():
    objects = placed((3, 10, 10), (3, 40, 40), diameter_px=6.0)
    spots = placed((3, 10, 11), (3, 12, 10), (3, 40, 40), track=[0, 1, 2])
    with pytest.raises(SpinscopeError, match=r"two spots lie on one object, in frame 3 at y, x = "):
        assign_tracks(objects, spots)


def test_tracks_of_other_results_are_refused():
    objects = placed((0, 10, 10), (1, 10, 10), diameter_px=6.0)
    spots = placed((0, 1, 1), (1, 1, 1), (2, 1, 1), track=0)
    with pytest.raises(SpinscopeError, match="3 of 3 spots lie on no object; the tracks must"):
        assign_tracks(objects, spots)
