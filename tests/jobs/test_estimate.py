"""Estimates of domain images: what is marked, what is refused and what is written."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.conftest import section
from tests.jobs.test_refining import CELL, HIGH, LOW, SIDE, Patterns, biased, image_of, pattern

from spinscope.analysis.domains import signs, trained_range
from spinscope.corpora.domains import corpus_header
from spinscope.errors import SpinscopeError
from spinscope.inference.parameters import Distribution, ReferenceFilms
from spinscope.jobs import estimate as jobs
from spinscope.jobs.estimate import DomainImage, estimated, read_domain_image, with_refinement
from spinscope.jobs.estimate_files import write_estimate
from spinscope.physics.domain_images import kerr_image, view

PIXEL = SIDE / 64


class Network:
    """`biased` as a model of patterns, with an SD of 0.05 mJ/m²."""

    parameter, unit, limits, scales = "dmi", "J/m²", (LOW, HIGH), (375e-9, SIDE)

    def __init__(self):
        rng = np.random.default_rng(3)
        values = np.linspace(LOW, HIGH, 24)
        films = [kerr_image(pattern(value, rng)) for value in values]
        views = [
            signs(kerr_image(view(pattern(value, rng), CELL, side)), side / 64)
            for value in np.linspace(LOW, HIGH, 40)
            for side in self.scales
        ]
        header = corpus_header("dmi", 0, section("domains"))
        self.info = {"trained": trained_range(views), "pixels": 64,
                     "corpus": header}  # fmt: skip
        images = np.stack([np.rint(255 * film[::4, ::4]).astype(np.uint8) for film in films])
        self.films = ReferenceFilms(images, values, 4 * CELL)

    def __call__(self, image, pixel_size):
        value = biased(image, pixel_size) if np.ptp(image) else 0.5e-3
        return Distribution(value, 0.05e-3, value - 0.08e-3, value + 0.08e-3)


@pytest.fixture(scope="module")
def network():
    return Network()


def test_an_image_like_those_of_the_training_is_estimated(network):
    image = image_of(0.5e-3, 2)
    found = estimated(network, DomainImage(image, PIXEL, "a.png"), model="bundled:x")
    assert found.in_range, found.reasons
    summary = found.summary
    assert summary["value"] == pytest.approx(1e3 * biased(image, PIXEL), rel=1e-3)
    assert (summary["unit"], summary["sd"], summary["in_range"]) == ("mJ/m²", 0.05, True)
    assert summary["interval"][0] < summary["value"] < summary["interval"][1]
    assert summary["trained"] == [0.1, 1.0]
    assert summary["field_of_view_nm"] == [750, 750]
    assert "Ms 1500 kA/m" in summary["material"] and "4 nm thick" in summary["material"]
    assert len(summary["nearest"]) == 4
    assert np.ptp(summary["nearest"]) <= 0.9 * 16 / 23
    json.dumps(summary)


ODD = {
    "noise": lambda rng: rng.random((64, 64), np.float32),
    "uniform": lambda rng: np.full((64, 64), 0.5, np.float32),
    "saturated": lambda rng: np.ones((64, 64), np.float32),
    "gradient": lambda rng: np.linspace(0, 1, 64, dtype=np.float32) + np.zeros((64, 1), np.float32),
}


@pytest.mark.parametrize("name", ODD)
def test_an_image_without_domains_has_no_estimate(network, name):
    found = estimated(network, DomainImage(ODD[name](np.random.default_rng(0)), PIXEL))
    assert not found.in_range
    if name in ("uniform", "saturated"):
        assert found.estimate is None and found.summary["value"] is None
        assert with_refinement(found, network, bank=Patterns()).note
    else:
        assert found.estimate is None or found.estimate.high - found.estimate.low == HIGH - LOW


def test_an_image_at_another_scale_has_the_interval_of_the_training(network):
    found = estimated(network, DomainImage(image_of(0.5e-3, 2), PIXEL / 4))
    assert any(reason.startswith("scale") for reason in found.reasons)
    assert (found.estimate.low, found.estimate.high) == (LOW, HIGH)
    assert found.estimate.sd == pytest.approx(0.9e-3 / 12**0.5)
    assert LOW <= found.estimate.mean <= HIGH


def test_a_larger_image_is_judged_by_its_tiles(network):
    film = kerr_image(np.tile(pattern(0.5e-3, np.random.default_rng(5)), (2, 2)))
    found = estimated(network, DomainImage(film[:400, :512], CELL))
    assert not any(reason.startswith("scale") for reason in found.reasons)
    assert found.in_range, found.reasons


def test_pixels_as_large_as_domains_have_no_estimate(network):
    found = estimated(network, DomainImage(image_of(0.5e-3, 2), 100e-9))
    assert found.estimate is None
    assert found.reasons[0].startswith("pixel size: 100 nm")


def test_a_model_without_a_range_marks_every_image(network):
    bare = copy.copy(network)
    bare.info = {key: value for key, value in network.info.items() if key != "trained"}
    found = estimated(bare, DomainImage(image_of(0.5e-3, 2), PIXEL))
    assert not found.in_range and found.summary["interval"] == [0.1, 1.0]


def test_an_estimate_is_refined_and_written(network, tmp_path):
    image = image_of(0.8e-3, 4, noise=0.1)
    found = estimated(network, DomainImage(image, PIXEL, "image.png"))
    refined = with_refinement(found, network, bank=Patterns())
    assert abs(refined.refined.value - 0.8e-3) < abs(found.network.mean - 0.8e-3)
    files = write_estimate(refined, tmp_path / "out")
    assert [path.name for path in files] == [
        "estimate.json", "estimate.png", "refined.png", "posterior.csv",
    ]  # fmt: skip
    stored = json.loads(files[0].read_text())
    assert stored["refined"]["value"] == pytest.approx(0.8, abs=0.06)
    assert stored["refined"]["correlation_residual_after"] < 0.1
    assert "created_utc" in stored
    table = np.loadtxt(files[3], delimiter=",", skiprows=1)
    assert np.trapezoid(table[:, 1], table[:, 0]) == pytest.approx(1, rel=1e-3)
    assert all(min(Image.open(path).size) > 200 for path in files[1:3])


def test_the_pixel_size_of_a_file_is_read_and_overridden(tmp_path):
    pixels = np.rint(255 * image_of(0.5e-3, 0)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, resolution=(100, 100),
                     metadata={"unit": "um"})  # fmt: skip
    given = read_domain_image(tmp_path / "a.tif")
    assert given.pixel_size == pytest.approx(10e-9)
    np.testing.assert_allclose(given.image, pixels / 255, atol=1e-6)
    assert read_domain_image(tmp_path / "a.tif", 7e-9).pixel_size == 7e-9
    assert read_domain_image(pixels, 7e-9).image.shape == (64, 64)


def test_bad_files_are_one_sentence(tmp_path):
    grey = np.zeros((32, 32), np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((9, 32, 32), np.uint8))
    Image.fromarray(grey[:4]).save(tmp_path / "thin.png")
    for name, pixel_size, says in (
        ("grey.png", None, "contains no pixel size"),
        ("colour.png", 1e-8, "must be grayscale"),
        ("stack.tif", 1e-8, "holds 9 frames"),
        ("thin.png", 1e-8, "at least 8"),
        ("none.png", 1e-8, "does not exist"),
        ("grey.png", 1e-12, "pixel size"),
    ):
        with pytest.raises(SpinscopeError, match=says):
            read_domain_image(tmp_path / name, pixel_size)
    with pytest.raises(SpinscopeError, match="one grey level per pixel"):
        read_domain_image(np.zeros((32, 32, 3), np.uint8), 1e-8)


def test_another_family_or_parameter_is_refused(params):
    with pytest.raises(SpinscopeError, match="is of the family field-fcn"):
        jobs.open_parameters(params, "bundled:field-fcn")
    with pytest.raises(SpinscopeError, match="must be one of dmi, ms"):
        jobs.open_parameters(params, None, "ku")
