"""Probes of networks whose answers are known: thresholds, and what they must be found to do."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr
from tests.conftest import discs

from spinscope.classes import DEFECT, SKYRMION
from spinscope.datasets import Record, open_dataset, write_moke
from spinscope.images import standardise
from spinscope.studies.kerr import figures
from spinscope.studies.kerr import probe_curves as probes

SHAPE = (64, 96)


def below(level: float):
    """A network that calls skyrmion what is darker than a level."""
    return lambda image: (image < level).astype(np.uint8)


@pytest.fixture
def frames(tmp_path):
    """Four frames of dark discs with a bright defect."""
    rng = np.random.default_rng(3)
    made = ((Record(f"f{k}", k, 0), *discs(rng)) for k in range(4))
    return open_dataset(write_moke(tmp_path / "moke", made).path)


def test_the_step_of_the_published_network_is_found_again():
    network = below(probes.PUBLISHED_GREY / 255)
    for shares in (probes.uniform_grey(network, SHAPE), probes.patch_grey(network, SHAPE, 0)):
        assert shares[:88] == [1.0] * 88
        assert shares[88:] == [0.0] * 168
        assert probes.grey_limit(shares) == 87.5


def test_standardising_hides_the_level_of_a_uniform_frame_but_not_that_of_a_patch():
    network = lambda image: below(-1)(standardise(image))  # noqa: E731
    uniform = probes.uniform_grey(network, SHAPE)
    assert uniform == [0.0] * 256
    assert probes.grey_limit(uniform) is None
    # A patch that covers the part f of film of SD s lies one SD of the frame below its mean at
    # a depth of s / sqrt(1 - 2 f).
    part = 16 * 16 / (SHAPE[0] * SHAPE[1])
    depth = 255 * probes.OPTICS.noise / np.sqrt(1 - 2 * part)
    assert probes.grey_limit(probes.patch_grey(network, SHAPE, 0)) == pytest.approx(
        128 - depth, abs=1.5
    )


def test_mirrored_grey_levels_are_the_same_to_a_symmetric_network(frames):
    symmetric = probes.inverted(lambda image: (abs(image - 0.5) < 0.15).astype(np.uint8), frames, 3)
    assert symmetric["mcc"] == pytest.approx(symmetric["mcc_inverted"], abs=1e-3)
    dark = probes.inverted(below(0.5), frames, 3)
    assert dark["mcc"] > 0.99
    assert dark["mcc_inverted"] < 0  # the matrix is dark then
    assert dark["n_images"] == 4
    assert dark["per_image"]["as_is"]["mean"] > 0.99
    assert dark["per_image"]["as_is"]["sd"] < 0.01


def test_empty_film_differs_by_its_noise_alone():
    quiet, loud = (list(probes.empty_frames(2, SHAPE, noise, 5)) for noise in (0.02, 0.04))
    again = list(probes.empty_frames(2, SHAPE, 0.02, 5))
    for (a, label), (b, same), (c, _) in zip(quiet, loud, again, strict=True):
        assert not np.any(label == SKYRMION)
        np.testing.assert_array_equal(label, same)
        np.testing.assert_array_equal(a, c)
        film = label == 0
        noise = (b - a)[film]  # a further 0.02, for it is the same noise twice as strong
        assert noise.std() == pytest.approx(0.02, rel=0.05)
    assert not np.array_equal(quiet[0][0], quiet[1][0])


def test_what_is_made_up_on_film_and_at_dust():
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[10:20, 10:20] = DEFECT
    found = np.zeros(SHAPE, dtype=np.uint8)
    found[15:25, 15:25] = found[40:45, 40:45] = found[50:53, 80:83] = found[0, 0] = 1
    image = np.zeros(SHAPE, dtype=np.float32)
    clean = np.zeros(SHAPE, dtype=np.uint8)
    answers = iter((found, clean))
    count = probes.made_up_on(lambda _: next(answers), [(image, label)] * 2, min_px=4)
    assert count == {"film": 1.0, "defects": 0.5}


def test_speckles_are_small_and_alone(tmp_path):
    label = np.zeros((64, 64), dtype=np.uint8)
    label[5:15, 5:15] = label[5:15, 30:40] = 1
    found = np.zeros_like(label)
    found[6:16, 6:16] = 1  # a skyrmion
    found[30:32, 30:32] = found[30, 50] = 1  # specks
    found[45:53, 45:53] = 1  # made up, though no speck
    found[5, 30] = 1  # small, but on a skyrmion
    seen = []

    def network(image):
        seen.append(image)
        return found

    grey = np.full((64, 64), 0.5, dtype=np.float32)
    data = write_moke(tmp_path / "moke", [(Record("a", 0, 0), grey, label)])
    counts = probes.speckles(network, data, 3, 0.0, seed=1)
    assert (counts["speckles"], counts["made_up"]) == (2.0, 3.0)
    assert (counts["objects_true"], counts["objects_predicted"]) == (2, 5)
    assert probes.speckles(network, data, 3, 0.05, seed=1)["mcc"] == counts["mcc"]
    assert seen[0].std() == 0
    assert seen[1].std() == pytest.approx(0.05, rel=0.05)


def test_frames_of_a_pattern_bear_the_same_noise_at_every_optics():
    film = probes.films(1, SHAPE, 2)[0]
    assert 0.02 < np.mean(film.m < 0) < 0.6
    a, label = film.frame(replace(probes.OPTICS, contrast=0.1, noise=0.02))
    b, same = film.frame(replace(probes.OPTICS, contrast=0.1, noise=0.04))
    np.testing.assert_array_equal(label, same)
    np.testing.assert_array_equal(label == SKYRMION, film.m < 0)
    assert (b - a).std() == pytest.approx(0.02, rel=0.05)
    # What is below half a grey level is not seen by a camera of 8 bits.
    flat = replace(probes.OPTICS, level=128 / 255, contrast=0.3 / 255, noise=0, gradient=0)
    assert film.frame(flat)[0].std() == 0


def test_a_curve_varies_one_quantity():
    kept = {"snr": {"noise"}, "contrast": {"contrast", "noise"}, "gradient": {"gradient"}}
    for curve, points in probes.curves().items():
        for x, optics in points.items():
            ours, usual = asdict(optics), asdict(probes.OPTICS)
            assert {key for key in ours if ours[key] != usual[key]} <= kept[curve]
            ratio = optics.contrast / optics.noise
            assert ratio == pytest.approx(x if curve == "snr" else 2.5)


def test_the_limit_of_a_threshold_is_that_of_gaussian_noise():
    """Half way between film and skyrmion a threshold errs on the part Phi(-SNR / 2) of each."""
    films = [replace(f, m=np.where(f.m < 0, -1.0, 1.0)) for f in probes.films(3, (128, 128), 4)]
    share = np.mean([film.m < 0 for film in films])
    optics = replace(probes.OPTICS, blur=0, gradient=0, read=1)
    network = below(optics.level - optics.contrast / 2)

    def exact(ratio: float) -> float:
        wrong = ndtr(-ratio / 2)
        called = share * (1 - wrong) + (1 - share) * wrong
        return (1 - 2 * wrong) * np.sqrt(share * (1 - share) / (called * (1 - called)))

    curve = {}
    for ratio in (2.0, 3.0, 3.5, 4.0, 5.0):
        at = replace(optics, noise=optics.contrast / ratio)
        curve[ratio] = probes.measure(network, (film.frame(at) for film in films))["mcc"]
        assert curve[ratio] == pytest.approx(exact(ratio), abs=0.01)
    assert list(curve.values()) == sorted(curve.values())
    assert probes.limit(curve) == pytest.approx(brentq(lambda x: exact(x) - 0.8, 1, 6), abs=0.05)


def test_contrast_at_one_signal_to_noise_matters_only_to_the_camera():
    """A network that standardises sees the same frame, until 8 bits and illumination hide it."""
    films = probes.films(2, SHAPE, 0)
    network = lambda image: below(-1)(standardise(image))  # noqa: E731
    points = probes.curves()["contrast"].items()
    mcc = {
        x: probes.measure(network, (film.frame(optics) for film in films))["mcc"]
        for x, optics in points
    }
    assert mcc[0.04] == pytest.approx(mcc[0.15], abs=0.02)
    assert mcc[0.15] > 0.5
    assert mcc[0.002] < mcc[0.006] < mcc[0.02]
    assert mcc[0.002] < 0.5 * mcc[0.15]


def test_limits_on_either_side_or_none():
    assert probes.limit({0.0: 0.9, 0.1: 0.9, 0.2: 0.7}) == pytest.approx(0.15)
    assert probes.limit({1.0: 0.7, 2.0: 0.9}) == pytest.approx(1.5)
    assert probes.limit({1.0: 0.85, 2.0: 0.9}) is None
    assert probes.limit({1.0: 0.1, 2.0: 0.7}) is None
    assert probes.limit({1.0: 0.6, 2.0: 0.9, 9.0: 0.6}) == pytest.approx(5 / 3)  # the nearer one


def test_figures_of_a_report_without_labelled_frames():
    rows = [{"x": x, "mcc": {"a": x / 10}, "sd": {"a": 0.1}} for x in (1, 5, 9)]
    report = {
        "models": [{"name": "a"}],
        "published": {"grey": 88},
        "grey": {"a": [0.0] * 256},
        "patch": {"a": [1.0] * 256},
        "inverted": None,
        "speckles": {"empty": [{"x": 0.1, "film": {"a": 1}, "defects": {"a": 0}}], "real": None},
        "limits": dict.fromkeys(("snr", "contrast", "gradient"), rows),
        "limit_at": {"snr": {"a": 8.0}, "contrast": {"a": None}, "gradient": {"a": 8.0}},
        "enough": 0.8,
    }
    drawn = figures.probe_figures(report)
    assert list(drawn) == ["grey", "speckles", "limits"]
    snr, contrast, gradient = drawn["limits"].axes
    np.testing.assert_allclose(snr.lines[0].get_ydata(), [0.1, 0.5, 0.9])
    assert [text.get_text() for text in gradient.get_legend().get_texts()] == ["a: 2.04e+03"]
    assert [text.get_text() for text in contrast.get_legend().get_texts()] == ["a"]
