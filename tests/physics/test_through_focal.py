"""Through-focal series: known displacements and a known induction come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from tests.physics.test_tie import COHERENT, MS, PIXEL, THICKNESS, VOLTAGE, error, film

from spinscope.errors import SpinscopeError
from spinscope.physics import through_focal, tie
from spinscope.physics.lorentz import image, magnetic_phase

DEFOCUS = 1e-4
CUT = 24
SHIFTS = np.array([[3.4, -5.7], [0, 0], [-6.3, 2.2]])


def series(defocus, shifts, structure=0.1, noise=0.0, n=256):
    """Images of two skyrmions in the middle of a grainy film, and their phase."""
    rng = np.random.default_rng(2)
    m = np.zeros((n, n, 3))
    m[..., 2] = 1
    m[n // 4 : n // 4 + 128, n // 4 : n // 4 + 128] = film()
    phase = magnetic_phase(m, MS, THICKNESS, PIXEL).astype(np.float64)
    grains = ndimage.gaussian_filter(rng.normal(size=(n, n)), 3, mode="wrap")
    amplitude = 1 + structure / 2 * grains / grains.std()
    images = []
    for z, shift in zip(defocus, shifts, strict=True):
        seen = image(phase, PIXEL, replace(COHERENT, defocus=z), amplitude=amplitude)
        moved = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(seen.astype(float)), shift)).real
        moved += noise * rng.normal(size=moved.shape)
        images.append(moved[CUT:-CUT, CUT:-CUT])
    return images, phase[CUT:-CUT, CUT:-CUT]


@pytest.mark.parametrize("defocus", [5e-5, 1e-4, 4e-4])
@pytest.mark.parametrize("noise", [0, 0.02])
def test_displacements_are_recovered_within_a_tenth_of_a_pixel(defocus, noise):
    images, _ = series((-defocus, 0, defocus), SHIFTS, noise=noise)
    found = through_focal.align(images, (-defocus, 0, defocus))
    assert found.focus_aligned
    assert np.abs(found.shifts - SHIFTS).max() < 0.1


def test_opposite_contrast_of_a_film_without_structure_is_aligned():
    images, _ = series((-2e-4, 0, 2e-4), SHIFTS, structure=0)
    found = through_focal.align(images, (-2e-4, 0, 2e-4))
    assert not found.focus_aligned
    between = found.shifts[2] - found.shifts[0]
    assert np.abs(between - (SHIFTS[2] - SHIFTS[0])).max() < 0.5
    np.testing.assert_allclose(found.shifts[1], 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_induction_is_recovered(order):
    defocus = (-DEFOCUS, 0, DEFOCUS)
    images, true = series(defocus, SHIFTS)
    images, defocus = [images[k] for k in order], [defocus[k] for k in order]
    found = through_focal.align(images, defocus)
    phase = through_focal.series_phase(found.images, defocus, PIXEL, VOLTAGE, mirrored=True)
    assert phase.shape == found.images.shape[1:]
    true = true[found.rows, found.columns]
    got = np.array(tie.integrated_induction(phase, PIXEL, periodic=False))
    expected = np.array(tie.integrated_induction(true, PIXEL, periodic=False))
    assert error(got, expected) < 0.1
    loose = through_focal.series_phase(
        np.stack([one[16:-16, 16:-16] for one in images]), defocus, PIXEL, VOLTAGE, mirrored=True
    )
    off = np.array(tie.integrated_induction(loose, PIXEL, periodic=False))
    there = np.array(tie.integrated_induction(
        series((0,), [(0, 0)])[1][16:-16, 16:-16], PIXEL, periodic=False
    ))  # fmt: skip
    assert error(off, there) > 2 * error(got, expected)


def test_the_slope_of_five_images_gives_the_phase():
    defocus = (-2e-4, -1e-4, 0, 1e-4, 2e-4)
    images, true = series(defocus, np.zeros((5, 2)), structure=0)
    phase = through_focal.series_phase(np.stack(images), defocus, PIXEL, VOLTAGE, mirrored=True)
    assert error(phase, true) < 0.1


@pytest.mark.parametrize(
    ("defocus", "match"),
    [
        ((-1e-4, 1e-4), "2 values of defocus must be one per image, of 3"),
        ((0, 1e-4, 2e-4), "must be 0 for one image, and negative"),
        ((-1e-4, 1e-5, 1e-4), "must be 0 for one image"),
        ((-1e-4, 0, 0), "different numbers"),
        ((-1e-4, 0, np.nan), "different numbers"),
    ],
)
def test_defocus_that_does_not_fit_is_refused(defocus, match):
    with pytest.raises(SpinscopeError, match=match):
        through_focal.align(np.ones((3, 16, 16)), defocus)


def test_images_that_do_not_fit_are_refused():
    defocus = (-1e-4, 0, 1e-4)
    with pytest.raises(SpinscopeError, match="images of 16x16, 16x16, 16x18 pixels must be of one"):
        through_focal.align([np.ones((16, 16)), np.ones((16, 16)), np.ones((16, 18))], defocus)
    with pytest.raises(SpinscopeError, match="at defocus 0 µm must be finite and of positive mean"):
        through_focal.align([np.ones((16, 16)), np.zeros((16, 16)), np.ones((16, 16))], defocus)
    noise = np.random.default_rng(0).random((3, 128, 128))
    with pytest.raises(SpinscopeError, match="show nothing in common"):
        through_focal.align(noise, defocus)
