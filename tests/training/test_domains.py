"""Training examples of magnetic parameters."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.physics.domain_images import kerr_image, view
from spinscope.training.domains import FilmViews, degraded_as_trained

CELL = 4e-9


def films(n=3, size=64):
    rng = np.random.default_rng(0)
    return FilmViews(
        rng.integers(0, 256, (n, size, size)).astype(np.uint8),
        np.array([0.0, 0.4, 1.0])[:n],
        CELL,
        (64 * CELL, 32 * CELL),
        32,
    )


def test_an_example_is_a_rotated_view_of_the_film_whose_value_it_has():
    source = films()
    for seed in range(6):
        image, scale, value = source.example(np.random.default_rng(seed), varied=False)
        index = int(np.abs(source.values - value).argmin())
        m_z = source.films[index].astype(np.float32) * np.float32(2 / 255) - 1
        views = (kerr_image(view(m_z, CELL, scale, o, 32)) for o in np.ndindex(64, 64))
        assert any(np.array_equal(np.rot90(v, k), image) for v in views for k in range(4))


def test_examples_are_a_function_of_the_seed_and_cover_films_and_scales():
    source = films()
    drawn = [source.example(np.random.default_rng(n), varied=True) for n in range(60)]
    again = [source.example(np.random.default_rng(n), varied=True) for n in range(60)]
    for (a, *rest), (b, *same) in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(a, b)
        assert rest == same
    assert {scale for _, scale, _ in drawn} == set(source.scales)
    assert len({float(value) for *_, value in drawn}) == 3


def test_degraded_examples_have_noise_or_blur_and_others_are_clean():
    image = np.full((32, 32), 0.5, np.float32)
    spread = [degraded_as_trained(image, np.random.default_rng(n)).std() for n in range(20)]
    assert max(spread) > 0.15 and min(spread) < 0.1
    source = films()
    clean = 0
    for n in range(100):
        a, *_ = source.example(np.random.default_rng(n), varied=False)
        b, *_ = source.example(np.random.default_rng(n), varied=True)
        clean += any(np.allclose(np.sort(one.ravel()), np.sort(b.ravel())) for one in (a, 1 - a))
    assert 35 < clean < 65  # 50 of 100


def test_a_part_of_a_view_is_a_view_at_a_smaller_scale():
    rng = np.random.default_rng(0)
    x = np.arange(128) * 4e-9
    stripes = np.rint(127.5 + 127.5 * np.sin(2 * np.pi * x / 64e-9)) * np.ones((128, 1))
    source = FilmViews(stripes.astype(np.uint8)[None], np.array([0.5]), 4e-9, (256e-9, 512e-9), 64)
    drawn = [source.example(rng, varied=False, zoom=1.0) for _ in range(40)]
    sides = np.array([scale for _, scale, _ in drawn])
    assert sides.min() >= 256e-9 * 0.99 and len(np.unique(sides)) > 10
    for image, scale, _ in drawn:
        spectrum = np.abs(np.fft.fft2(image - image.mean(), s=(1024, 1024)))[0:512, 0:512]
        peak = np.hypot(*np.unravel_index(spectrum.argmax(), spectrum.shape)) / 1024 * 64
        assert scale / peak == pytest.approx(64e-9, rel=0.07)
