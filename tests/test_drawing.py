"""Overlays, panels and colours of frames and labels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from spinscope.classes import COLOURS
from spinscope.drawing import (
    colour_legend,
    colour_wheel,
    label_panels,
    overlay,
    write_panels,
)


def test_overlay_tints_only_what_is_labelled():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    label = np.zeros((8, 8), dtype=np.uint8)
    label[2, 3] = 1
    picture = overlay(image, label)
    grey = (picture[..., 0] == picture[..., 1]) & (picture[..., 1] == picture[..., 2])
    assert not grey[2, 3]
    assert grey.sum() == 63


def test_panels_are_written_side_by_side(tmp_path):
    label = np.eye(8, dtype=np.uint8)
    write_panels(tmp_path / "row.png", label_panels(np.zeros((8, 8)), [label]), gap=2)
    picture = np.asarray(Image.open(tmp_path / "row.png"))
    assert picture.shape == (8, 18, 3)
    assert (picture[:, 8:10] == 255).all()
    np.testing.assert_array_equal(picture[:, 10:], COLOURS[label])


def test_colour_wheel_shows_direction_and_strength():
    by = np.array([[0.0, 0.0, 0.0, 0.0], [2.0, -2.0, 0.0, 1.0]])
    bx = np.array([[2.0, -2.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    right, left, none, weak = colour_wheel(by, bx)[0].tolist()
    assert right == [255, 0, 0]
    assert left == [0, 255, 255]
    assert none == [0, 0, 0]
    assert weak == [128, 0, 0]
    down, up = colour_wheel(by, bx)[1, :2].tolist()
    assert down == [128, 255, 0]
    assert up == [128, 0, 255]
    assert colour_wheel(by, bx, strongest=1.0)[0, 3].tolist() == [255, 0, 0]
    assert not colour_wheel(0 * by, 0 * bx).any()


def test_colour_legend_points_outwards():
    legend = colour_legend(65)
    assert legend.shape == (65, 65, 3)
    assert legend[32, 32].tolist() == [0, 0, 0]
    assert legend[0, 0].tolist() == [255, 255, 255]
    right, down = legend[32, 62].astype(int), legend[62, 32].astype(int)
    assert right[0] > 220 and right[1:].max() == 0
    assert down[1] > 220 and down[2] == 0
