"""Advice on scale and tilt axis of Lorentz images."""

from __future__ import annotations

import numpy as np
import pytest
from tests.analysis.test_spacing import SIZE, drawn
from tests.studies.lorentz.films import lattice

from spinscope.config import load_params
from spinscope.jobs.lattices import lattice_advice

INFO = {"axis_deg": 0.0}


def advice(spacing: float, axis: float = 0.0, **settings) -> list[str]:
    places = lattice(SIZE, spacing, 0.2, jitter=0.04 * spacing)
    image = drawn(places, 0.6 * spacing, axis, noise=0.1)
    segment = load_params(family="ltem-unet").segment.model_copy(update=settings)
    return lattice_advice(image, INFO, segment)


def test_images_like_those_of_the_training_give_no_advice():
    assert advice(46.0) == []
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE))
    assert lattice_advice(noise, INFO, load_params().segment) == []
    assert lattice_advice(np.ones((SIZE, SIZE)), INFO, load_params().segment) == []


def test_the_scale_that_fits_is_proposed():
    (text,) = advice(26.0)
    proposed = float(text.rpartition("=")[2])
    assert 26 * proposed == pytest.approx(47, rel=0.1)
    assert advice(26.0, scale=proposed) == []
    (text,) = advice(46.0, scale=2.0)
    assert "at segment.scale=2" in text


@pytest.mark.parametrize("axis", [90.0, -60.0])
def test_the_axis_is_proposed(axis):
    (text,) = advice(46.0, axis)
    proposed = float(text.rpartition("=")[2].split(" or ")[0])
    assert abs((proposed - axis + 90) % 180 - 90) < 8
    assert advice(46.0, axis, axis_deg=axis) == []
