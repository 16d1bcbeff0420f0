"""Nucleation and annihilation events, against fields that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from spinscope.analysis.events import event_values, events
from spinscope.analysis.tracks import link
from spinscope.errors import SpinscopeError
from spinscope.physics.reversal import switching_bubbles

SHAPE = (200, 240)


def found(seed: int):
    """Events in simulated frames, fields in mT, and the true ones."""
    fields = np.concatenate([np.linspace(20, -20, 60), np.linspace(-20, 20, 60)])
    m, true = switching_bubbles(
        fields,
        SHAPE,
        np.random.default_rng(seed),
        count=20,
        radius=6,
        nucleation=(-5, 3),
        annihilation=(8, 2),
    )
    rows = []
    for k, frame in enumerate(m):
        numbers, n = ndimage.label(frame < 0)
        for y, x in ndimage.center_of_mass(frame < 0, numbers, range(1, n + 1)):
            rows.append({"frame": k, "y_px": y, "x_px": x, "diameter_px": 12.0})
    tracks = link(pd.DataFrame(rows), search_range_px=5)
    table = events(tracks, {"field_mt": fields}, n_frames=len(fields), shape=SHAPE, margin_px=10)
    return table, pd.DataFrame(true)


def test_every_event_is_found_at_its_field():
    table, true = found(0)
    assert len(table) == len(true) > 30
    for row in true.itertuples():
        near = table[(table["event"] == row.event) & (table["frame"] == row.frame)]
        distance = np.hypot(near["y_px"] - row.y_px, near["x_px"] - row.x_px)
        one = near.loc[distance.idxmin()]
        assert distance.min() < 1
        step = 40 / 59
        assert abs(one["field_mt"] - row.field) <= step / 2 + 1e-9
        assert one["field_mt_sd"] == pytest.approx(step / np.sqrt(12))


def test_mean_field_and_spread_lie_within_their_errors():
    inside = 0
    for seed in range(12):
        values = event_values(found(seed)[0], "field_mt")
        for event, true in (("nucleation", -5), ("annihilation", 8)):
            error = values[f"{event}_field_mt"] - true
            inside += abs(error) < 1.73 * values[f"{event}_field_mt_se"]  # 20 events
        assert values["nucleation_field_mt_sd"] == pytest.approx(3, rel=0.6)
    assert inside >= 18


def test_the_edge_and_the_ends_of_a_recording_give_no_events():
    rows = [(0, 0, 50, 50), (1, 0, 50, 50), (2, 0, 50, 50)]  # there from the first frame
    rows += [(k, 1, 4, 90) for k in (1, 2)]  # comes at the edge
    rows += [(1, 2, 80, 120)]  # one detection only
    rows += [(k, 3, 150, 150) for k in (2, 3)]  # nucleates behind a frame that was not read
    tracks = pd.DataFrame(rows, columns=["frame", "track", "y_px", "x_px"])
    field = np.array([0.0, 1.0, 3.0, 4.0, 5.0])
    options = {"n_frames": 5, "shape": SHAPE, "margin_px": 10.0}
    table = events(tracks, {"field_mt": field}, unreadable=[1], **options)
    assert table[["event", "track", "frame"]].to_numpy().tolist() == [
        ["nucleation", 3, 2],
        ["annihilation", 0, 3],
        ["annihilation", 3, 4],
    ]
    assert table["field_mt"].tolist() == [1.5, 3.5, 4.5]
    assert not len(events(tracks[:0], {"field_mt": field}, **options))
    with pytest.raises(SpinscopeError, match="field_mt has 4 values; must have 5"):
        events(tracks, {"field_mt": field[1:]}, **options)
