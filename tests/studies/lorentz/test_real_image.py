"""A micrograph without a label: the count of what is drawn, with and without a network."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.analysis.test_spacing import SIZE, drawn
from tests.studies.lorentz.films import lattice

from spinscope.studies.lorentz.real_image import real_image

SPACING = 32.0
PLACES = lattice(SIZE, SPACING, 0.2, jitter=1.5)
IMAGE = drawn(PLACES, SPACING, noise=0.2)


def discs(radius: float = 8.0) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for cy, cx in PLACES:
        mask[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 1
    return mask


def test_a_truthful_model_agrees_with_the_picture():
    asked = []

    def segment(image, axis_deg, scale):
        asked.append((axis_deg, scale))
        # Turned the wrong way round the picture is unlike what was learned.
        return (discs(), 0.01) if axis_deg == 0 else (np.zeros_like(discs()), 0.4)

    real = real_image(segment, IMAGE, trained_spacing=48.0, pixel_size=2e-9)
    report = real.report
    assert [axis for axis, _ in asked] == [0.0, 180.0]
    assert asked[0][1] == pytest.approx(1.5, rel=0.06)
    assert report["axis_deg"] == 0
    assert report["senses"][0]["dipoles"] == report["estimate"]["dipoles"]
    assert [sense["doubt"] for sense in report["senses"]] == [0.01, 0.4]
    assert report["count_inside"] < report["count"]
    assert report["estimate"]["count"] == pytest.approx(report["count_inside"], rel=0.12)
    assert report["estimate"]["dipoles"] == pytest.approx(len(PLACES), rel=0.1)
    assert report["found"] > 0.9
    assert report["single"] > 0.85
    assert report["spacing_px"] == pytest.approx(SPACING, rel=0.05)
    assert report["diameter_px"]["mean"] == pytest.approx(16, abs=0.5)
    assert report["diameter_nm"]["mean"] == pytest.approx(32, abs=1)
    density = 2 / (np.sqrt(3) * (2e-3 * SPACING) ** 2)
    assert report["density_um2"] == pytest.approx(density, rel=0.1)
    assert report["small"] == 0
    assert real.mask.sum() == discs().sum()


def test_fragments_are_told():
    mask = discs()
    empty = np.argwhere(ndimage.distance_transform_edt(mask == 0) > 4)
    y, x = next(at for at in empty if (at > 5).all() and (at < SIZE - 8).all())
    mask[y : y + 3, x : x + 3] = 1
    real = real_image(lambda *_: (mask, 0.0), IMAGE, trained_spacing=SPACING, either_way=False)
    assert real.report["small"] == 1


def test_a_model_that_finds_nothing_is_seen_to():
    real = real_image(lambda image, *_: (np.zeros(image.shape, np.uint8), 0.0), IMAGE,
                      trained_spacing=32.0, either_way=False, scale=1.0)  # fmt: skip
    report = real.report
    assert (report["count"], report["found"], report["single"]) == (0, 0, None)
    assert report["diameter_px"] == {"n": 0, "mean": None, "sd": None}
    assert report["estimate"]["dipoles"] > 0
    assert report["scale"] == 1.0
    assert "diameter_nm" not in report
