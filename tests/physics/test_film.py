"""Materials and films: derived lengths and checks."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, Material

GOOD = {"ms": 2e5, "a_ex": 1.5e-11, "dmi": 1.2e-3}


def test_lengths_of_a_material():
    material = Material(**GOOD)
    assert material.exchange_length == pytest.approx(24.43e-9, rel=1e-3)
    assert material.helix_period == pytest.approx(157.08e-9, rel=1e-4)
    assert Material(ms=2e5, a_ex=1.5e-11, dmi=-1.2e-3).helix_period == material.helix_period
    assert Material(ms=2e5, a_ex=1.5e-11, dmi=0).helix_period == float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ms", 0),
        ("ms", float("nan")),
        ("a_ex", -1e-11),
        ("cell", 0),
        ("thickness", float("inf")),
        ("dmi", float("nan")),
        ("ku", float("inf")),
        ("b_ext", float("nan")),
        ("dmi_kind", "both"),
    ],
)
def test_an_impossible_constant_is_an_error(name, value):
    with pytest.raises(SpinscopeError, match=rf"{name} \(='?{value}"):
        Material(**(GOOD | {name: value}))


def test_a_film_needs_vectors_and_maps_of_its_size():
    m = np.zeros((8, 9, 3), np.float32)
    material = Material(**GOOD)
    assert Film(m, material).shape == (8, 9)
    with pytest.raises(SpinscopeError, match=r"m has shape \(3, 8, 9\)"):
        Film(np.moveaxis(m, -1, 0), material)
    with pytest.raises(SpinscopeError, match=r"ms has shape \(9, 8\)"):
        Film(m, material, ms=np.ones((9, 8), np.float32))
    with pytest.raises(SpinscopeError, match=r"grain has shape \(8, 8\)"):
        Film(m, material, grain=np.zeros((8, 8), np.uint8))
