"""Kerr image formation: optics are recovered from the image, and labels are exact."""

from dataclasses import replace

import numpy as np
import pytest

from spinscope.errors import SpinscopeError
from spinscope.physics import Defect, KerrOptics, devices, domains, kerr_image, kerr_label

STILL = KerrOptics(drift=(0.0, 0.0), gradient=0.0)
SHAPE = (96, 128)


def disc_film(radius=12.0):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return domains.coverage((np.hypot(y - 48, x - 64) - radius).astype(np.float32))


def rng():
    return np.random.default_rng(0)


def test_levels_are_those_of_the_optics():
    optics = replace(STILL, noise=0.0, level=0.6, contrast=0.2)
    image = kerr_image(disc_film(), optics, rng())
    assert image[10, 10] == pytest.approx(0.6, abs=1e-5)
    assert image[48, 64] == pytest.approx(0.4, abs=1e-4)


def test_negative_contrast_makes_bright_skyrmions():
    image = kerr_image(disc_film(), replace(STILL, noise=0.0, contrast=-0.2), rng())
    assert image[48, 64] > image[10, 10] + 0.19


def test_blur_keeps_the_sum_and_widens_the_wall():
    optics = replace(STILL, noise=0.0)
    sharp, soft = (kerr_image(disc_film(), replace(optics, blur=b), rng()) for b in (0.5, 3.0))
    assert np.sum(sharp - 0.5) == pytest.approx(np.sum(soft - 0.5), rel=1e-3)
    steepest = [np.abs(np.diff(image[48])).max() for image in (sharp, soft)]
    # A step of height c blurred by sigma has the slope c / (sigma sqrt(2 pi)).
    assert steepest[1] == pytest.approx(0.15 / (3 * np.sqrt(2 * np.pi)), rel=0.1)
    assert steepest[0] > 2 * steepest[1]


@pytest.mark.parametrize("grain", [0.0, 0.8])
def test_noise_has_its_standard_deviation_and_correlation(grain):
    flat = np.ones(SHAPE, dtype=np.float32)
    image = kerr_image(flat, replace(STILL, noise=0.05, grain=grain), rng())
    assert image.std() == pytest.approx(0.05, rel=0.03)
    residual = image - image.mean()
    neighbours = np.mean(residual[:, 1:] * residual[:, :-1]) / residual.var()
    # White noise, or the autocorrelation exp(-1 / (4 grain^2)) of Gaussian grain.
    expected = np.exp(-1 / (4 * grain**2)) if grain else 0
    assert neighbours == pytest.approx(expected, abs=0.05)


def test_shot_noise_is_less_on_the_darker_substrate():
    flat = np.ones(SHAPE, dtype=np.float32)
    device = devices.polygon(SHAPE, [(-9, -9), (-9, 64), (200, 64), (200, -9)])
    optics = replace(STILL, noise=0.05, read=0.0, substrate=0.25)
    image = kerr_image(flat, optics, rng(), device=device)
    assert image[:, 80:].std() / image[:, :50].std() == pytest.approx(0.5, rel=0.05)


def test_uneven_illumination_has_its_standard_deviation():
    flat = np.ones(SHAPE, dtype=np.float32)
    image = kerr_image(flat, replace(STILL, noise=0.0, gradient=0.03), rng())
    assert image.std() == pytest.approx(0.03, rel=0.01)
    assert np.abs(np.diff(image, axis=1)).max() < 0.01


def test_a_defect_leaves_a_pair_of_rims_only_with_drift():
    flat = np.ones(SHAPE, dtype=np.float32)
    defect = Defect(y=48, x=64, radius=6, height=1.0)
    optics = replace(STILL, noise=0.0, level=0.5)
    assert np.ptp(kerr_image(flat, optics, rng(), defects=[defect])) < 1e-3
    shadow = kerr_image(flat, replace(optics, drift=(0.0, 1.0)), rng(), defects=[defect])
    # The reference moved to +x: bright where the grain is only now, dark where it only was.
    assert shadow[48, 58] == 1.0
    assert shadow[48, 70] == 0.0
    assert np.sum(shadow - 0.5) == pytest.approx(0, abs=0.05)


def test_device_is_grey_outside_and_its_edge_shows_the_drift():
    device = devices.disc(SHAPE, 48, 64, 30)
    flat = np.ones(SHAPE, dtype=np.float32)
    optics = replace(STILL, noise=0.0, level=0.7, drift=(0.0, 0.5))
    image = kerr_image(flat, optics, rng(), device=device)
    assert image[5, 5] == pytest.approx(0.5, abs=1e-5)
    assert image[48, 64] == pytest.approx(0.7, abs=1e-5)
    still = kerr_image(flat, replace(optics, drift=(0.0, 0.0)), rng(), device=device)
    edge = image - still
    assert edge[48, 34] > 0.05
    assert edge[48, 94] < -0.05


def test_labels_are_exact_in_all_five_classes():
    device = devices.polygon(SHAPE, [(-50, 20), (-50, 500), (150, 500), (150, 20)])
    grain = Defect(y=48, x=70, radius=3)
    label = kerr_label(disc_film(12), device=device, edge_width=6, defects=[grain])
    assert set(np.unique(label)) == {0, 1, 2, 3, 4}
    assert np.all(label[:, :17] == 3)
    assert np.all(label[:, 17:24] == 4)
    assert label[48, 70] == 2  # a defect goes before the skyrmion it lies on
    assert label[48, 58] == 1
    assert label[5, 100] == 0
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    assert np.array_equal(kerr_label(disc_film(12)) == 1, np.hypot(y - 48, x - 64) < 12)


def test_defect_is_labelled_where_it_is_and_where_it_was():
    film, grain = np.ones(SHAPE, dtype=np.float32), Defect(y=40, x=60, radius=4)
    label = kerr_label(film, defects=[grain], drift=(0.0, 8.0))
    assert label[40, 60] == label[40, 68] == 2
    assert np.sum(label == 2) < 2 * np.pi * 6**2


def test_scratch_is_long_along_its_angle():
    scratch = Defect(y=48, x=64, radius=1.0, elongation=30, angle=0.0)
    label = kerr_label(np.ones(SHAPE, dtype=np.float32), defects=[scratch])
    ys, xs = np.nonzero(label)
    assert np.ptp(xs) > 55
    assert np.ptp(ys) < 6


def test_defects_over_the_border_are_cut():
    film = np.ones(SHAPE, dtype=np.float32)
    corner = [Defect(y=-2, x=-2, radius=6), Defect(y=300, x=300, radius=3)]
    label = kerr_label(film, defects=corner)
    assert label[0, 0] == 2
    assert kerr_image(film, STILL, rng(), defects=corner).shape == SHAPE


@pytest.mark.parametrize("bad", [{"noise": -0.1}, {"blur": -1.0}, {"read": 1.5}])
def test_impossible_optics_are_errors(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(SpinscopeError, match=rf"{name} \(={value}\)"):
        KerrOptics(**bad)
