"""Drift of simulated Lorentz images, whose optics are known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.studies.lorentz.films import CELL, film

from spinscope.drift import Reference, judge, make_reference, measure_frame, sentence
from spinscope.physics.lorentz import Microscope, lorentz_image


def values(seed: int, *, defocus: float = -1.0e-3, noise: float = 0.01) -> dict[str, float]:
    """Imaging conditions of a tilted film, whose skyrmions are where m_z is negative."""
    one = film(seed, 192, side=4, radius=9)
    image = lorentz_image(
        one.m, 2e5, 27.5e-9, CELL, Microscope(defocus=defocus), tilt=np.radians(20)
    )
    rng = np.random.default_rng(seed)
    grey = 0.5 + (image - image.mean()) + rng.normal(0, noise, image.shape)
    return measure_frame(grey.clip(0, 1).astype(np.float32), one.m[..., 2] < 0)


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(0)
    return make_reference(
        [
            values(seed, defocus=-1e-3 * rng.lognormal(0, 0.1), noise=0.01 * rng.lognormal(0, 0.1))
            for seed in range(16)
        ]
    )


def test_the_same_optics_are_in_range(reference):
    assert [sentence(judge(values(seed), reference)) for seed in (50, 51)] == ["in range"] * 2


def test_overfocus_is_the_opposite_polarity(reference):
    """Overfocus exchanges the bright and the dark side of every skyrmion."""
    judged = judge(values(52, defocus=1.0e-3), reference)
    assert sentence(judged) == "out of range: polarity"
    (polarity,) = (one for one in judged if one.name == "polarity")
    assert polarity.value == pytest.approx(-1, abs=0.1)


def test_noise_is_named(reference):
    assert sentence(judge(values(53, noise=0.04), reference)) == "out of range: noise"
