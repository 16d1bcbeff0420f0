"""Images with narrow objects are upscaled; others take no longer."""

import numpy as np
import pytest

from spinscope.inference.predict import Predictor
from spinscope.inference.rules import Upscale, object_width
from spinscope.inference.tiling import Tiling
from spinscope.live.frame import measure_frame


class Threshold:
    """A network that classifies dark pixels as skyrmions and records the shapes of its inputs."""

    streams = 1

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        self.seen.append(batch.shape[1:3])
        dark = (batch[..., 0] < 0).astype(np.float32)
        return np.stack([1 - dark, dark], axis=-1)


INFO = {"classes": ["background", "skyrmion"], "size_multiple": 4}
RULE = {"upscale": {"below_px": 7.0, "scale": 2.0}}


def discs(diameter: float, spacing: int, shape=(96, 128)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    centred = [(axis + spacing / 2) % spacing - spacing / 2 for axis in (y, x)]
    return np.where(np.hypot(*centred) < diameter / 2, 0.2, 0.8).astype(np.float32)


def predictor(rule, **options) -> tuple[Predictor, Threshold]:
    engine = Threshold()
    return Predictor(engine, INFO | rule, **options), engine


@pytest.mark.parametrize("diameter", [5.0, 9.0, 16.0])
def test_width_is_the_diameter_of_discs(diameter):
    assert object_width(discs(diameter, 32) < 0.5) == pytest.approx(diameter, rel=0.12)


def test_an_empty_mask_is_not_narrow():
    assert object_width(np.zeros((8, 8), bool)) == np.inf


@pytest.mark.parametrize(
    ("image", "rule", "largest"),
    [
        (discs(5, 12), RULE, (192, 256)),
        (discs(5, 12), {}, (96, 128)),
        (discs(12, 24), RULE, (96, 128)),
        (np.where(np.arange(96 * 128).reshape(96, 128) % 997 == 5, 0.2, 0.8), RULE, (96, 128)),
    ],
    ids=["narrow", "no rule", "wide", "few specks"],
)
def test_only_images_with_many_narrow_objects_are_upscaled(image, rule, largest):
    found, engine = predictor(rule)
    mask = found.classes(image.astype(np.float32))
    assert max(engine.seen) == largest
    assert mask.shape == image.shape
    assert np.mean(mask != (image < 0.5)) < 0.06


def test_a_requested_scale_overrides_the_rule():
    from spinscope.inference.geometry import Geometry

    found, engine = predictor(RULE, geometry=Geometry(0.0, 1.5))
    found.classes(discs(5, 12))
    assert set(engine.seen) == {(144, 192)}


def test_views_of_an_upscaled_image_agree_and_large_ones_are_tiled():
    image = discs(5, 12, (240, 272))
    whole, seen = predictor(RULE, tiling=Tiling(1024, 128))
    tiled, parts = predictor(RULE, tiling=Tiling(256, 64))
    one, other = (found.probabilities(image, 8) for found in (whole, tiled))
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert max(parts.seen) < max(seen.seen)


def test_the_rule_is_read_from_the_model():
    assert Upscale.of(RULE) == Upscale(7.0, 2.0)
    assert Upscale.of({}) is None
    assert Upscale.of({"upscale": None}) is None


def test_objects_with_low_peak_probability_are_dropped_on_every_path():
    certain = np.zeros((32, 32), np.float32)
    certain[4:10, 4:10], certain[20:26, 20:26] = 0.6, 0.7
    certain[22, 22] = 0.9  # one certain pixel keeps the whole object

    class Given(Threshold):
        def __call__(self, batch):
            return np.stack([1 - certain, certain], axis=-1)[None]

    for rule, kept in (
        ({}, [36, 36]),
        ({"min_peak_probability": 0.75}, [36]),
        ({"min_peak_probability": 0.95}, []),
    ):
        found = Predictor(Given(), INFO | rule)
        areas = [np.count_nonzero(found.classes(certain)[part]) for part in (
            np.s_[:16, :16], np.s_[16:, 16:])]  # fmt: skip
        assert sorted(area for area in areas if area) == kept
        assert np.array_equal(found.segment(certain)[0], found.classes(certain))
        assert np.array_equal(measure_frame(certain, found).mask, found.classes(certain))
