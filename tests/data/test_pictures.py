"""Pictures show what is in frame and label, and nothing else."""

from __future__ import annotations

import numpy as np
from PIL import Image

from spinscope.data import COLOURS
from spinscope.data.pictures import overlay, picture_row, write_picture


def test_overlay_tints_only_what_is_labelled():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    label = np.zeros((8, 8), dtype=np.uint8)
    label[2, 3] = 1
    picture = overlay(image, label)
    grey = (picture[..., 0] == picture[..., 1]) & (picture[..., 1] == picture[..., 2])
    assert not grey[2, 3]
    assert grey.sum() == 63


def test_panels_stand_side_by_side(tmp_path):
    label = np.eye(8, dtype=np.uint8)
    write_picture(tmp_path / "row.png", picture_row(np.zeros((8, 8)), [label]), gap=2)
    picture = np.asarray(Image.open(tmp_path / "row.png"))
    assert picture.shape == (8, 18, 3)
    assert (picture[:, 8:10] == 255).all()
    np.testing.assert_array_equal(picture[:, 10:], COLOURS[label])
