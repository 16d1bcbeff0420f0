"""Domains drawn with known width, correlation and noise, and what is measured of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, special

from spinscope.analysis.domains import (
    correlation,
    domain_width,
    reasons,
    signs,
    trained_range,
    white_noise,
)
from spinscope.errors import SpinscopeError
from spinscope.physics.domain_images import degraded, kerr_image
from spinscope.physics.domains import domain_pattern

PIXEL = 8e-9
NOISE = np.random.default_rng(1).random((64, 64))


def stripes(period, angle=0.3, phase=0.4, n=64, sharp=0.0):
    """Stripes with a period in px at an angle in rad, (n, n) in [0, 1]; `sharp` for square ones."""
    y, x = np.mgrid[:n, :n]
    wave = np.cos(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + phase)
    return 0.5 + np.clip(wave * sharp, -1, 1) / 2 if sharp else 0.5 + wave / 2


def labyrinth(seed, n=64, scale=1.0, **degrading):
    """Kerr image of a labyrinth with domains of 5.7 px × scale and flat levels."""
    rng = np.random.default_rng(seed)
    phi = domain_pattern((n, n), rng=rng, steps=200, scale=scale)
    image = kerr_image(np.tanh(2 * phi / np.abs(phi).mean()))
    return degraded(image, rng, **degrading) if degrading else image


@pytest.mark.parametrize("angle", np.linspace(0, np.pi / 2, 7))
@pytest.mark.parametrize("period", [5, 7.3, 10, 16, 25])
def test_width_of_stripes_is_half_their_period(period, angle):
    for phase in (0.0, 1.1, 2.9):
        width = domain_width(stripes(period, angle, phase), PIXEL)
        assert width == pytest.approx(period * PIXEL / 2, rel=0.01)


@pytest.mark.parametrize("pixel", [2e-9, 15.6e-9, 0.5e-6])
def test_width_scales_with_the_pixel_size(pixel):
    assert domain_width(stripes(9), pixel) == pytest.approx(4.5 * pixel, rel=0.005)


@pytest.mark.parametrize("period", [6, 10, 16, 24])
def test_width_of_square_stripes_is_found_in_noise(period):
    rng, found = np.random.default_rng(2), []
    for angle in np.linspace(0, np.pi, 10):
        image = degraded(stripes(period, angle, sharp=4), rng, noise=0.4, background=0.2)
        found.append(2 * domain_width(image, 1) / period)
    assert np.mean(found) == pytest.approx(1, abs=0.015)
    assert np.std(found) < 0.02


@pytest.mark.parametrize("measure", [domain_width, correlation])
def test_uniform_and_tiny_images_have_no_width_and_no_correlation(measure):
    with pytest.raises(SpinscopeError, match="same everywhere"):
        measure(np.full((32, 32), 0.5), PIXEL)
    with pytest.raises(SpinscopeError, match="at least 8 px"):
        measure(stripes(4, n=7), PIXEL)


@pytest.mark.parametrize("period", [12, 16, 24])
def test_correlation_of_stripes_averaged_over_directions_is_a_bessel_function(period):
    r, found = correlation(stripes(period, n=128), PIXEL)
    want = special.j0(2 * np.pi * r / (period * PIXEL))
    assert r[0] == 0
    assert found[0] == 1
    assert r[-1] == pytest.approx(64 * PIXEL, rel=0.01)
    assert np.abs(found - want).max() < 0.06  # distances are binned by pixels


def test_correlation_of_concentric_rings_is_that_of_stripes_far_from_the_centre():
    """Every distance between two rings is found, whatever the direction."""
    y, x = np.mgrid[-300:-172, -300:-172]  # rings that are nearly straight
    image = 0.5 + np.cos(2 * np.pi * np.hypot(y, x) / 16) / 2
    r, found = correlation(image, 1)
    assert np.abs(found - special.j0(2 * np.pi * r / 16))[:32].max() < 0.06


def test_correlation_is_free_of_white_noise():
    image = labyrinth(3, n=96)
    _, clean = correlation(image, PIXEL)
    _, noisy = correlation(degraded(image, np.random.default_rng(1), noise=0.4), PIXEL)
    assert np.abs(noisy - clean)[1:].max() < 0.06


def test_white_noise_is_measured_beside_domains():
    rng = np.random.default_rng(5)
    for sigma in (0.05, 0.1, 0.3):
        image = labyrinth(1, n=128, scale=2) + sigma * rng.standard_normal((128, 128))
        assert white_noise(image) == pytest.approx(sigma, rel=0.1)
    assert white_noise(labyrinth(1, n=128, scale=2)) < 0.01


@pytest.mark.parametrize(("width", "delta"), [(16, 2.0), (32, 2.0), (32, 3.0), (32, 5.0)])
def test_width_of_domains_and_walls_is_that_of_the_profile(width, delta):
    """Walls tanh(x / Δ) have the width π Δ."""
    x = np.arange(128) + 0.5
    distance = width / 2 - np.abs((x % (2 * width)) - width)
    image = kerr_image(np.broadcast_to(np.tanh(distance / delta), (128, 128)))
    found = signs(image, PIXEL)
    assert found.wall == pytest.approx(np.pi * delta * PIXEL, rel=0.12)
    assert found.width == pytest.approx(width * PIXEL, rel=0.1)
    assert found.minority == pytest.approx(0.5, abs=0.02)
    assert found.residual < 0.05
    assert found.side == 128 * PIXEL


def test_contrast_noise_and_slope_are_those_of_the_drawing():
    rng = np.random.default_rng(4)
    image, x = labyrinth(2, n=96, scale=2), np.linspace(-0.5, 0.5, 96)
    image = 0.3 + 0.4 * image + 0.1 * x + 0.06 * rng.standard_normal(image.shape)
    found = signs(image, PIXEL)
    assert found.contrast == pytest.approx(0.4, rel=0.1)
    assert found.noise * found.contrast == pytest.approx(0.06, rel=0.1)
    assert found.slope * found.contrast == pytest.approx(0.1, rel=0.2)


def test_signs_are_those_of_the_negative_rotated_and_brighter_image():
    image = labyrinth(7, noise=0.1)
    found = signs(image, PIXEL)
    for other in (1 - image, np.rot90(image), 5 + 3 * image):
        got = signs(other, PIXEL)
        for name in ("noise", "slope", "residual", "minority", "width", "wall", "pieces"):
            assert getattr(got, name) == pytest.approx(getattr(found, name), rel=0.02, abs=2e-3)


def test_uniform_image_has_no_contrast():
    assert signs(np.full((32, 32), 0.7), PIXEL).contrast == 0


@pytest.fixture(scope="module")
def trained():
    """Range of labyrinths of widths within 30 %, with little noise and blur."""
    rng = np.random.default_rng(0)
    views = [
        signs(
            labyrinth(
                seed,
                scale=rng.uniform(1, 1.3),
                noise=rng.uniform(0, 0.2),
                blur_px=rng.uniform(0, 0.8),
                background=rng.uniform(0, 0.2),
            ),
            PIXEL,
        )
        for seed in range(120)
    ]
    return trained_range(views)


def words(given):
    return {reason.partition(":")[0] for reason in given}


def test_new_images_of_the_range_are_inside_it(trained):
    rng = np.random.default_rng(1)
    marked = [
        bool(reasons(signs(labyrinth(seed, scale=rng.uniform(1, 1.3), noise=0.1), PIXEL), trained))
        for seed in range(1000, 1060)
    ]
    assert np.mean(marked) <= 0.05


@pytest.mark.parametrize(
    ("reason", "image"),
    [
        ("no domains", np.full((64, 64), 0.4)),
        ("no domains", np.full((64, 64), 1.0)),
        ("contrast", labyrinth(1, noise=2.0)),
        ("contrast", NOISE),
        ("domain width", labyrinth(1, scale=0.5)),
        ("domain width", labyrinth(1, scale=4)),
        ("wall width", labyrinth(1, scale=1.3, blur_px=2.5)),
        ("wall width", (labyrinth(1, scale=1.3) > 0.5).astype(float)),
        ("background", labyrinth(1, background=8)),
        ("saturated", np.clip(labyrinth(1, noise=0.2) + 0.4, 0, 1)),
        ("unequal domains", np.where(np.hypot(*np.mgrid[-32:32, -32:32]) < 6, 0.0, 1.0)),
        (
            "not a domain image",
            ndimage.gaussian_filter(np.random.default_rng(1).random((64, 64)), 2),
        ),
        ("not a domain image", NOISE.cumsum(0).cumsum(1)),
    ],
)
def test_reason_names_what_is_unusual(trained, reason, image):
    given = reasons(signs(image, PIXEL), trained)
    assert reason in words(given)


def test_scale_outside_the_training_is_the_only_reason_for_a_known_pattern(trained):
    found = signs(labyrinth(5, scale=1.1), PIXEL)
    assert reasons(found, trained) == []
    side = found.side
    (given,) = reasons(replace(found, side=2 * side), trained)
    assert given == "scale: the image is 1024 nm wide; the training has 512 nm to 512 nm"
    assert reasons(replace(found, side=1.05 * side), trained) == []
    (given,) = reasons(replace(found, pixels=40), trained)
    assert given == "scale: 512 nm have 40 px; the training has 64 px, of which 75% are needed"


def test_range_is_plain_json(trained):
    assert json.loads(json.dumps(trained)) == trained
    assert trained["pixels"] == 64
    assert trained["sides"] == [pytest.approx(64 * PIXEL)]


def test_limits_follow_the_scale():
    """Each scale has limits of its own, between them they are interpolated."""
    views = [
        replace(signs(labyrinth(seed, scale=scale), PIXEL * scale), side=side)
        for seed in range(30)
        for scale, side in ((1.0, 0.5e-6), (2.0, 1e-6))
    ]
    trained = trained_range(views)
    assert trained["sides"] == pytest.approx([0.5e-6, 1e-6])
    low, high = trained["limits"]["width"]
    assert high[0] < low[1]
    wide = views[1]
    assert reasons(wide, trained) == []
    assert words(reasons(replace(wide, side=0.5e-6), trained)) >= {"domain width"}


def test_views_without_domains_do_not_widen_the_range(trained):
    empty = [signs(np.random.default_rng(k).random((64, 64)), PIXEL) for k in range(20)]
    views = [signs(labyrinth(seed), PIXEL) for seed in range(20)]
    uniform = signs(np.full((64, 64), 0.5), PIXEL)
    assert trained_range([*views, *empty, uniform]) == trained_range(views)
    with pytest.raises(SpinscopeError, match="none of them"):
        trained_range(empty)
