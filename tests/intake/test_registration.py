"""Drift: known shifts are found while domains reverse, at a signal below the noise."""

from __future__ import annotations

import numpy as np
import pytest
from tests.intake.conftest import moved, raw, reversal, structure

from spinscope.errors import SpinscopeError
from spinscope.images import read_image
from spinscope.intake.registration import SIGNIFICANT, Registration, aligned


def series(n: int, snr: float, seed: int, shape=(192, 256)):
    """Frames whose structure and domains have the SD `snr` of the noise, and their drift."""
    rng = np.random.default_rng(seed)
    still, domains = structure(shape, rng), reversal(shape, n, rng)
    drift = rng.uniform(-6, 6, (n, 2))
    drift[0] = 0
    frames = [
        snr * moved(still + m, *d) + rng.standard_normal(shape)
        for m, d in zip(domains, drift, strict=True)
    ]
    return frames, drift


@pytest.mark.parametrize("seed", [1, 2])
def test_shifts_are_found_at_a_signal_of_half_the_noise_while_domains_reverse(seed):
    frames, drift = series(16, 0.5, seed)
    registration = Registration(frames[0], frames[1::2])
    found = [registration.drift(frame) for frame in frames]
    error = np.array([one[:2] for one in found]) - drift
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert np.quantile(np.abs(error), 0.95) < 0.2  # a third of the pixels of a camera frame
    assert min(one.peak for one in found) > SIGNIFICANT


def test_domains_alone_disturb_little():
    frames, drift = series(6, 50.0, 3)
    registration = Registration(frames[0])
    error = np.array([registration.drift(frame)[:2] for frame in frames]) - drift
    assert np.abs(error).max() < 0.02


def test_examples_lower_the_scatter_of_a_noisy_reference():
    frames, drift = series(24, 0.4, 4)
    errors = []
    for examples in ([], frames[1::2]):
        registration = Registration(frames[0], examples)
        error = np.array([registration.drift(frame)[:2] for frame in frames[1:]]) - drift[1:]
        errors.append(np.std(error, axis=0).mean())
    assert errors[1] < 0.8 * errors[0]


def test_a_wall_that_sweeps_over_the_frame_does_not_shift_it():
    rng = np.random.default_rng(5)
    still, x = structure((128, 160), rng), np.arange(160)
    frames = [still + 2 * np.tanh((x - at) / 2) for at in (40, 60, 80, 100, 120)]
    registration = Registration(frames[0], frames[1:])
    for frame in frames:
        assert np.abs(registration.drift(frame)[:2]).max() < 0.02


def test_stripes_of_the_camera_do_not_hold_the_drift_at_zero():
    rng = np.random.default_rng(6)
    still, rows = structure((128, 160), rng), 3 * rng.standard_normal((128, 1))
    registration = Registration(still + rows)
    y, x, _ = registration.drift(moved(still, 4.3, -2.6) + rows)
    assert (y, x) == pytest.approx((4.3, -2.6), abs=0.05)


def test_skyrmions_that_move_do_not_drag_the_drift_along():
    rng = np.random.default_rng(9)
    fine = rng.standard_normal((128, 160))  # as of a reference that all difference images share
    y, x = np.mgrid[:128, :160]
    places, drift = rng.uniform(0, 128, (14, 2)), rng.uniform(-4, 4, (10, 2))
    drift[0] = 0
    frames = []
    for d in drift:
        places = places + rng.normal(0.4, 1, places.shape)
        discs = sum(np.hypot(y - cy, x - cx) < 6 for cy, cx in places)
        frames.append(moved(fine - 4 * discs, *d) + 1.5 * rng.standard_normal(fine.shape))
    registration = Registration(frames[0], frames[1::2])
    error = np.array([registration.drift(frame)[:2] for frame in frames]) - drift
    assert np.abs(error).max() < 0.08


@pytest.mark.moke
def test_shifts_of_published_kerr_frames_are_found(moke):
    rows = [line.split(";") for line in (moke / "table.csv").read_text().split()[1:]]
    rng, errors = np.random.default_rng(0), []
    for source in ("8", "13"):
        names = [name for number, name, _ in rows if number == source][:6]
        drift = rng.uniform(-8, 8, (len(names), 2))
        drift[0] = 0
        inner = (slice(16, -16),) * 2
        frames = [
            moved(read_image(moke / name), *d)[inner] for name, d in zip(names, drift, strict=True)
        ]
        registration = Registration(frames[0], frames[1::2])
        errors += [registration.drift(f)[:2] - d for f, d in zip(frames, drift, strict=True)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.05


def test_large_drift_is_measured_under_a_window_that_follows():
    frames = raw(2, (128, 160), drift=0, noise=0.002, light=0.1).frames.astype(float)
    shifted = np.roll(frames[0], (25, -31), axis=(0, 1))
    y, x, _ = Registration(frames[0]).drift(shifted)
    assert (y, x) == pytest.approx((25, -31), abs=0.05)


def test_noise_has_no_significant_peak():
    rng = np.random.default_rng(7)
    registration = Registration(rng.standard_normal((96, 128)))
    peaks = [registration.drift(rng.standard_normal((96, 128))).peak for _ in range(20)]
    assert max(peaks) < SIGNIFICANT


def test_a_constant_reference_is_refused():
    with pytest.raises(SpinscopeError, match="the reference image is constant"):
        Registration(np.ones((32, 32)))


@pytest.mark.parametrize(("y", "x"), [(0.0, 0.0), (0.5, -0.25), (-3.3, 7.8), (20.0, 31.6)])
def test_alignment_moves_a_frame_back(y, x):
    image = structure((96, 128), np.random.default_rng(8))
    back, (rows, columns) = aligned(moved(image, y, x), y, x)
    assert rows == slice(max(0, int(np.ceil(-y))), min(96, int(np.floor(96 - y))))
    assert columns.stop - columns.start == 128 - int(np.ceil(abs(x)))
    inner = slice(rows.start + 4, rows.stop - 4), slice(columns.start + 4, columns.stop - 4)
    error = (back - image)[inner]
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert back.dtype == np.float32


def test_alignment_keeps_the_mean_of_a_flat_frame():
    back, _ = aligned(np.full((16, 20), 3.0), 0.37, -2.6)
    assert back == pytest.approx(3.0, abs=1e-5)
