import numpy as np
import pytest

from spinscope.analysis.widths import (
    grey_levels,
    half_contrast,
    reversal,
    stripe_widths,
    width_figures,
)
from spinscope.errors import SpinscopeError
from spinscope.physics.reversal import stripe_domains


def image(seed=0, width=9.0, noise=0.02, shape=(160, 160)):
    rng = np.random.default_rng(seed)
    m = stripe_domains([1 - width / 12], shape, rng, period=24.0, saturation=1.0, wobble=0.1)[0]
    return 0.5 + 0.1 * (1 - m) / 2 + rng.normal(0, noise, shape)


def test_widths_of_stripes_are_those_that_were_drawn():
    frame = image()
    levels = grey_levels(frame[None], saturated=0.5)
    found = width_figures(stripe_widths(reversal(frame, levels)), frame.shape)
    assert found["width_px_mean"] == pytest.approx(9, abs=0.4)
    assert found["width_px_mean_sd"] < 0.5
    assert found["width_px_q05"] < found["width_px_q50"] < found["width_px_q95"]


def test_levels_are_those_of_the_two_directions():
    levels = grey_levels(image()[None], saturated=0.5)
    assert levels.up == pytest.approx(0.5, abs=0.01)
    assert levels.reversed == pytest.approx(0.6, abs=0.01)
    assert levels.noise == pytest.approx(0.02, rel=0.15)


def test_the_mask_has_the_area_of_the_reversed_domains():
    frame = image()
    mask = half_contrast(reversal(frame, grey_levels(frame[None], saturated=0.5)))
    assert mask.mean() == pytest.approx(9 / 24, abs=0.02)


def test_specks_and_holes_are_filled():
    fraction = np.zeros((40, 40))
    fraction[10:30, 10:30] = 1
    fraction[3, 3] = 1
    fraction[20, 20] = 0
    mask = half_contrast(fraction)
    assert mask.sum() == 400


def test_noise_without_domains_is_refused():
    noise = np.random.default_rng(1).normal(0.5, 0.05, (2, 64, 64))
    with pytest.raises(SpinscopeError, match="average more frames"):
        grey_levels(noise)


def test_an_empty_frame_has_no_stripes():
    found = width_figures(stripe_widths(np.zeros((32, 32))), (32, 32))
    assert np.isnan(found["width_px_mean"])
    assert found["chords"] == 0
