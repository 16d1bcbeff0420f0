"""Warnings about masks that are no measurement."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from tests.live.conftest import dark
from tests.live.test_measurements import draw
from tests.live.test_pipeline import run

from spinscope.live.doubts import supported_fraction

GRID = np.stack(np.meshgrid(np.arange(12, 150, 24), np.arange(12, 170, 24)), -1).reshape(-1, 2)


def frame_of(kind: str) -> np.ndarray:
    """(160, 180) uint16 frame: what the stand-in network classifies as dark is a skyrmion."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (160, 180))
    discs = draw(GRID, (160, 180), radius=5.0).astype(float)
    scale = 4_000.0
    if kind == "inverted":
        return (60_000 - discs + 500 * noise).astype(np.uint16)
    if kind == "white noise":
        return (30_000 + scale * noise).astype(np.uint16)
    if kind == "correlated noise":
        return (30_000 + 40_000 * gaussian_filter(noise, 2)).astype(np.uint16)
    if kind == "one bubble":
        return (draw(np.array([(80, 90)]), (160, 180), 45.0) + 500 * noise).astype(np.uint16)
    return (discs + 500 * noise).astype(np.uint16)


def warned(tmp_path, kind: str, min_px: int = 4, level: float = -1.0) -> list[str]:
    path = tmp_path / f"{kind}.tif"
    tifffile.imwrite(path, np.stack([frame_of(kind)] * 3), photometric="minisblack")
    results = run(path, tmp_path / kind, dark(level), min_px=min_px)
    assert results.frames["supported_fraction"][1:].isna().all()  # one frame of 128 is checked
    return results.summary["warnings"]


def test_skyrmions_give_no_warning(tmp_path):
    assert warned(tmp_path, "discs") == []


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("white noise", "more than the noise"),
        ("correlated noise", "not compact"),
        ("inverted", "not compact"),
        ("one bubble", "median diameter is"),
    ],
)
def test_other_frames_are_named_with_their_reason(tmp_path, kind, sign):
    level = 0.5 if kind == "inverted" else -1.0  # the film between bright discs is dark
    found = warned(tmp_path, kind, level=level)
    assert any("the masks are doubtful" in one and sign in one for one in found)


def test_objects_hardly_larger_than_the_smallest_size_are_named(tmp_path):
    assert warned(tmp_path, "discs", min_px=20) == []
    (warning,) = warned(tmp_path, "discs", min_px=50)
    assert warning.startswith("100% of the objects are hardly larger than segment.min_px")


def test_objects_need_contrast_beyond_the_noise():
    y, x = np.mgrid[:96, :96]
    mask = np.any([np.hypot(y - a, x - b) < 6 for a in (20, 70) for b in (20, 70)], axis=0)
    noise = np.random.default_rng(0).normal(0, 1, mask.shape)
    assert supported_fraction(noise - 2 * mask, mask) == 1
    assert supported_fraction(noise, mask) == 0
    assert supported_fraction(noise + 2 * mask, mask) == 0
    assert supported_fraction(noise + 2 * mask, mask, inverted=True) == 1
    assert np.isnan(supported_fraction(noise, np.zeros_like(mask)))
