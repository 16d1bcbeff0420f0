"""Tiles leave no seams: their weights add up to one, and the result equals the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinscope.errors import SpinscopeError
from spinscope.images import moments, standardise
from spinscope.inference.predict import Predictor
from spinscope.inference.tiling import Tiling, blend


class Neighbourhood:
    """A network with a small receptive field: pixels darker than their surroundings are class 1."""

    name, precision, streams = "stand-in", "f32", 2

    def __call__(self, batch):
        from scipy.ndimage import uniform_filter

        image = batch[0, ..., 0]
        dark = 1 / (1 + np.exp(image - uniform_filter(image, 9)))
        return np.stack([1 - dark, dark], axis=-1)[None].astype(np.float32)


INFO = {"classes": ["background", "skyrmion"], "size_multiple": 8}


@given(st.integers(8, 500), st.sampled_from([8, 16]), st.integers(4, 16))
def test_weights_add_up_to_one(length, multiple, overlap):
    windows = Tiling(64, overlap).windows(length, multiple)
    total = np.zeros(length)
    for window, weight in zip(windows, blend(windows), strict=True):
        assert window.start % multiple == 0
        assert 0 < window.stop - window.start <= 64
        total[window] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "tta"),
    [((150, 97), 1), ((64, 300), 1), ((201, 64), 1), ((152, 96), 3), ((88, 88), 8)],
)
def test_tiles_are_blended_without_seams(shape, tta):
    """Equal where tiles overlap by more than the receptive field."""
    image = np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)
    whole = Predictor(Neighbourhood(), INFO, Tiling(512, 20))
    tiles = Predictor(Neighbourhood(), INFO, Tiling(80, 20))
    assert not tiles.tiling.fits(shape)
    np.testing.assert_allclose(
        tiles.probabilities(image, tta), whole.probabilities(image, tta), atol=1e-5
    )
    out = np.full(shape, 9, dtype=np.uint8)
    assert tiles.classes(image, tta, out=out) is out
    np.testing.assert_array_equal(out, tiles.probabilities(image, tta).argmax(-1))


def test_bands_hold_one_row_of_tiles():
    """Memory does not grow with the height of the frame."""
    image = np.random.default_rng(0).random((1000, 70)).astype(np.float32)
    bands = list(Predictor(Neighbourhood(), INFO, Tiling(64, 16)).bands(image))
    assert max(band.shape[0] for _, band in bands) <= 64
    assert [rows.start for rows, _ in bands[1:]] == [rows.stop for rows, _ in bands[:-1]]
    assert bands[-1][0].stop == 1000


def test_moments_of_bands_are_those_of_the_whole():
    image = np.random.default_rng(0).integers(0, 65_535, (37, 11)).astype(np.uint16)
    np.testing.assert_allclose(moments(image, rows=5), (image.mean(), image.std()), rtol=1e-6)
    part = standardise(image[3:9], moments(image))
    np.testing.assert_allclose(part, standardise(image)[3:9], atol=1e-5)


@pytest.mark.parametrize("overlap", [0, 17])
def test_an_invalid_overlap_is_refused(overlap):
    with pytest.raises(SpinscopeError, match=rf"tile overlap \(={overlap}\)"):
        Tiling(64, overlap)
