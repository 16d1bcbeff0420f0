"""Previews: colours of films, and their arrangement."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spinscope.config import load_params
from spinscope.corpora.lattice import make_lattice_corpus, open_lattices
from spinscope.corpora.preview import preview_films, preview_lattices
from spinscope.drawing import film_colours
from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, Material

MATERIAL = Material(ms=2e5, a_ex=1.5e-11, dmi=1.2e-3)


def film(*m: float) -> Film:
    return Film(np.broadcast_to(np.float32(m), (32, 48, 3)).copy(), MATERIAL)


def test_colours_show_the_direction():
    colours = film_colours(np.array([[[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0]]]))[0]
    assert colours.tolist() == [[255] * 3, [0] * 3, [255, 0, 0], [0, 255, 255]]
    down, up = film_colours(np.array([[[0, 1, 0], [0, -1, 0]]]))[0].astype(int)
    assert np.abs(down + up - 255).max() <= 1  # opposite directions, opposite colours
    half = film_colours(np.array([[[0.6, 0, 0.8]]]))[0, 0]
    assert half[0] == 255
    assert half[1] == half[2] > 128
    only_z = film_colours(np.array([[[0, 0, 0.5], [0, 0, 0], [0, 0, -0.5]]]))[0]
    assert only_z.tolist() == [[191] * 3, [128] * 3, [64] * 3]


def test_a_preview_shows_films_side_by_side(tmp_path):
    films = [film(0, 0, 1), film(1, 0, 0), film(0, 0, -1)]
    path = preview_films(films, tmp_path / "films.png", columns=2, width=200)
    image = np.asarray(Image.open(path).convert("RGB"))
    assert image.shape == (134, 200, 3)
    centres = [image[y, x].tolist() for y, x in ((33, 50), (33, 150), (100, 50), (100, 150))]
    assert centres == [[255] * 3, [255, 0, 0], [0] * 3, [255] * 3]
    assert preview_films(films, tmp_path / "one.png", n=1, width=100).stat().st_size > 0
    with pytest.raises(SpinscopeError, match="at least one item"):
        preview_films([], tmp_path / "none.png")


def test_a_preview_shows_lattices(tmp_path):
    settings = load_params(None, ["lattice.n=2", "lattice.size=16", "lattice.sweeps=5"]).lattice
    lattices = open_lattices(make_lattice_corpus(tmp_path / "c", 0, settings))
    path = preview_lattices(lattices, tmp_path / "lattices.png", width=72)
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert image.shape == (36, 72, 3)
    expected = np.repeat(np.repeat(film_colours(lattices.image(1)), 2, 0), 2, 1)
    assert np.abs(image[2:-2, 38:-2] - expected).mean() < 12  # 128 colours
