"""Scale, polarity and level of a served answer, and those that are not valid."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from tests.inference.test_conditions import bubble

from spinscope import families
from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.inference.level import level_of_mz
from spinscope.inference.predict import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(bundled_models() / "moke-unet-simulated", "auto", "f32")


def asked(predictor: Predictor, image: np.ndarray, family: str = "moke-unet", **options) -> dict:
    """Answer with some options, the others at their defaults."""
    family = families.get(family)
    return family.answers(predictor, {**family.answer_options, **options})(image, None)


def area(answer: dict) -> int:
    """Pixels of skyrmions in the mask of an answer."""
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))
    return int(np.count_nonzero(mask == 1))


def test_scale_and_polarity_are_found_or_given(predictor):
    image, truth = bubble(200)
    image = np.float32(1 - image)
    plain = asked(predictor, image)
    assert (plain["scale"], plain["polarity"]) == (None, "dark")
    found = asked(predictor, image, scale="auto", polarity="auto")
    assert found["polarity"] == "bright" and found["scale"] in (1 / 4, 1 / 8)
    assert len(found["objects"]) == 1
    assert area(found) == pytest.approx(truth.sum(), rel=0.05)
    given = asked(predictor, image, scale=str(found["scale"]), polarity="bright")
    assert given["scale"] == found["scale"]
    assert area(given) == pytest.approx(area(found), rel=1e-2)


def test_the_level_moves_the_boundary(predictor):
    image, _ = bubble(200)
    image = np.float32(image)
    wide, narrow = (asked(predictor, image, scale="0.125", level=p) for p in ("0.1", "0.9"))
    assert (wide["level"], narrow["level"]) == (0.1, 0.9)
    assert area(wide) > 1.01 * area(narrow) > 0
    half = asked(predictor, image, scale="0.125", level="half")
    assert 0 < half["level"] < 1
    assert asked(predictor, image)["level"] is None


def test_lorentz_images_are_taken_as_they_are():
    lorentz = Predictor.load(bundled_models() / "ltem-unet", "auto", "f32")
    image = np.random.default_rng(1).random((64, 64), np.float32)
    answer = asked(lorentz, image, "ltem-unet", scale="auto", polarity="auto")
    assert (answer["scale"], answer["polarity"], answer["level"]) == (None, "dark", 0.4)
    with pytest.raises(SpinscopeError, match=r"half.* must be left out for Lorentz images"):
        asked(lorentz, image, "ltem-unet", level="half")
    at = asked(lorentz, image, "ltem-unet", level="mz=0.95")
    assert at["level"] == level_of_mz(lorentz.info, 0.95)[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": "big"}, r"scale \(='big'\) must be auto, null or a number between 0 and 4"),
        ({"scale": "5"}, r"scale \(='5'\) must be auto"),
        ({"scale": "nan"}, r"scale \(='nan'\) must be auto"),
        ({"level": "/etc/level.json"}, r"level \(='/etc/level.json'\) must be half, null or"),
        ({"level": "1"}, r"level \(='1'\) must be half, null or a number between 0 and 1"),
        ({"level": "mz=2"}, r"level \(='mz=2'\): m_z must be a number between -1 and 1"),
        ({"level": "mz=0.9"}, r"level \(=mz=0.9\) must be a probability for this model"),
        ({"polarity": "grey"}, r"polarity \(='grey'\) must be one of dark, bright, auto"),
    ],
)
def test_an_option_that_is_not_valid_is_named(predictor, options, says):
    with pytest.raises(SpinscopeError, match=says):
        asked(predictor, np.zeros((16, 16), np.float32), **options)


def test_a_scale_must_not_make_an_image_too_large(predictor):
    with pytest.raises(SpinscopeError, match=r"scale .=4. makes 2100x2000 pixels more than"):
        asked(predictor, np.zeros((2000, 2100), np.float32), scale="4")
