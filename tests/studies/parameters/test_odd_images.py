"""Images that must be marked: which there are, and how many the range of a training excludes."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.analysis.domains import reasons, signs, trained_range
from spinscope.config import load_params
from spinscope.physics.domain_images import degraded, kerr_image, view
from spinscope.physics.domains import domain_pattern
from spinscope.studies.parameters.odd_images import (
    KINDS,
    MATERIALS,
    OUTSIDE,
    count_marked,
    not_domains,
    odd_films,
    outside_training,
)

CELL, PIXELS, SCALES = 4e-9, 64, (250e-9, 350e-9, 500e-9)


def film(seed, scale):
    """Periodic labyrinth of domains of 23 nm × scale, m_z (128, 128)."""
    rng = np.random.default_rng(seed)
    phi = domain_pattern((128, 128), rng=rng, steps=60, scale=scale)
    return np.tanh(2 * phi / np.abs(phi).mean())


def views(films, number, seed):
    """Views at random places and scales with noise, and their pixel sizes."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        m_z, side = films[rng.integers(len(films))], rng.choice(SCALES)
        origin = tuple(int(n) for n in rng.integers(m_z.shape))
        image = kerr_image(view(m_z, CELL, side, origin, PIXELS))
        yield degraded(image, rng, noise=rng.uniform(0, 0.2)), side / PIXELS


@pytest.fixture(scope="module")
def odd():
    films = [film(seed, scale) for seed, scale in enumerate(np.linspace(2, 3, 6))]
    others = [film(10 + seed, 0.8) for seed in range(2)]
    kerr = load_params().kerr
    return (
        not_domains(SCALES, PIXELS, kerr),
        outside_training(films, others, CELL, SCALES, PIXELS),
    )


def test_there_are_fifty_images_without_domains_and_fifty_outside(odd):
    for images, kinds in zip(odd, (KINDS, OUTSIDE), strict=True):
        assert len(images) == sum(kinds.values()) == 50
        assert {kind: sum(one.kind == kind for one in images) for kind in kinds} == kinds
        for one in images:
            assert one.image.shape == (PIXELS, PIXELS)
            assert np.isfinite(one.image).all()
            inside = SCALES[0] * 0.999 <= one.pixel_size * PIXELS <= SCALES[-1] * 1.001
            assert inside != (one.kind == "scale")


def test_images_are_a_function_of_the_seed(odd):
    again = not_domains(SCALES, PIXELS, load_params().kerr)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(odd[0], again, strict=True))
    other = not_domains(SCALES, PIXELS, load_params().kerr, seed=1)
    assert not np.array_equal(odd[0][0].image, other[0].image)


def test_odd_images_are_marked_and_unseen_views_are_not(odd):
    rng = np.random.default_rng(1)
    seen = [film(100 + k, rng.uniform(2, 3)) for k in range(14)]
    unseen = [film(200 + k, rng.uniform(2, 3)) for k in range(10)]
    trained = trained_range([signs(image, pixel) for image, pixel in views(seen, 300, 2)])

    def mark(image, pixel_size):
        return reasons(signs(image, pixel_size), trained)

    found = count_marked(mark, [*odd[0], *odd[1]], views(unseen, 100, 3))
    assert found["odd"]["n"] == 100
    assert found["odd"]["marked"] >= 95
    assert found["odd"]["kinds"].keys() == KINDS.keys() | OUTSIDE.keys()
    assert found["views"]["n"] == 100
    assert found["views"]["marked"] <= 5


def test_films_of_larger_ms_lose_their_perpendicular_magnetisation():
    """The stray field exceeds the anisotropy from 0.8 MA/m on: walls cover the film."""
    settings = load_params().domains
    sets = {"ms": settings.sets["ms"].model_copy(update={"size": 64})}
    settings = settings.model_copy(update={"sets": sets, "tolerance": 0.03})
    films = odd_films("ms", settings)
    assert [m_z.shape for m_z in films] == [(64, 64)] * len(MATERIALS["ms"])
    normal = [float(np.abs(m_z).mean()) for m_z in films]
    assert max(normal) < 0.9
    assert normal == sorted(normal, reverse=True)
