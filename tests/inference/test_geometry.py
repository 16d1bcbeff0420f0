"""Rotation and scaling: known points are moved to the right place and back."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.inference.geometry import MAX_PIXELS, Geometry


def spot(shape, y, x, width=3.0):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2)).astype(np.float32)


def centre(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(rows * image).sum(), (columns * image).sum()]) / image.sum()


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("turn", [-120, 0, 30, 45, 90, 137, 180, 270])
def test_the_rotated_line_lies_along_the_columns(turn, scale):
    shape, distance, angle = (80, 100), 20, np.radians(turn)
    y, x = 39.5 + distance * np.sin(angle), 49.5 + distance * np.cos(angle)
    turned = Geometry(turn, scale).apply(spot(shape, y, x))
    assert turned.shape == Geometry(turn, scale).rotated_shape(shape)
    middle = (np.array(turned.shape) - 1) / 2
    y, x = np.mgrid[: turned.shape[0], : turned.shape[1]]
    near = np.hypot(y - middle[0], x - middle[1] - distance * scale) < 12 * scale  # no mirror image
    found = centre(turned * near) - middle
    np.testing.assert_allclose(found, [0, distance * scale], atol=0.15)


@pytest.mark.parametrize(
    "geometry", [Geometry(33), Geometry(90), Geometry(-75, 1.6), Geometry(5, 0.7)]
)
def test_a_rotation_is_undone(geometry):
    shape = (60, 90)
    image = spot(shape, 14, 70, width=5) + 0.5 * spot(shape, 45, 20, width=6)
    turned = geometry.apply(image)
    back = geometry.undo(np.stack([turned, 1 - turned], axis=-1), shape)
    assert back.shape == (*shape, 2)
    np.testing.assert_allclose(back.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(back[..., 0], image, atol=0.05)


def test_quarter_rotations_are_exact():
    image = np.random.default_rng(0).random((5, 8), dtype=np.float32)
    for turn in (-90, 0, 90, 180, 270, 360):
        geometry = Geometry(turn)
        back = geometry.undo(geometry.apply(image)[..., None], image.shape)
        np.testing.assert_array_equal(back[..., 0], image)


@pytest.mark.parametrize("scale", [1 / 16, 0.4, 1.3, 2.0])
@pytest.mark.parametrize("shape", [(40, 61), (5, 9), (1, 7)])
def test_scaling_alone_is_the_bilinear_sampling_of_any_rotation(scale, shape):
    geometry, rng = Geometry(0, scale), np.random.default_rng(2)
    image = rng.random(shape, dtype=np.float32)
    found = geometry.apply(image)
    assert found.shape == geometry.rotated_shape(shape)
    almost = Geometry(1e-9, scale)
    np.testing.assert_allclose(found, almost.apply(image), atol=1e-5)
    values = rng.random((*found.shape, 2), dtype=np.float32)
    np.testing.assert_allclose(geometry.undo(values, shape), almost.undo(values, shape), atol=1e-5)


def test_a_coarser_grid_averages_noise():
    noise = np.random.default_rng(1).normal(size=(128, 128)).astype(np.float32)
    assert Geometry(0, 0.25).apply(noise).std() < 0.5


@pytest.mark.parametrize("values", [(np.nan, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, np.inf)])
def test_an_invalid_angle_or_scale_is_named(values):
    with pytest.raises(SpinscopeError, match=r"(rotate|scale) \(="):
        Geometry(*values)


def test_a_frame_that_becomes_too_large_is_refused():
    with pytest.raises(SpinscopeError, match=str(MAX_PIXELS)):
        Geometry(0, 1000).rotated_shape((512, 672))


@pytest.mark.parametrize("shape", [(32, 48), (33, 46)])
def test_nearest_is_undo_of_a_mask_away_from_its_outline(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.hypot(y - 14, x - 20) < 9
    geometry = Geometry(scale=1 / 4)
    low = geometry.resized(mask.astype(np.float32)) > 0.5
    found = geometry.nearest(low, shape)
    smooth = geometry.undo(low[..., None].astype(np.float32), shape)[..., 0]
    assert found.shape == shape and found.any() and not found.all()
    np.testing.assert_array_equal(found[smooth > 0.75], True)
    np.testing.assert_array_equal(found[smooth < 0.25], False)
