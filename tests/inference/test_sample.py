"""What software draws into frames is left out, and no film is."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from tests.live.conftest import Dark, dark

from spinscope import families
from spinscope.classes import CLASSES, OUTSIDE, SKYRMION
from spinscope.corpora.annotations import FONTS, SIDES, annotate, font
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.inference.predict import Predictor
from spinscope.inference.sample import (
    Part,
    SampleRegion,
    recording_region,
    sample_region,
    segment_sample,
)
from spinscope.physics.kerr import Defect, KerrOptics, kerr_image

SHAPE = (240, 320)


def film(seed: int, *, snr: float = 1.0, noise: float = 0.06, dtype=np.uint8) -> np.ndarray:
    """Kerr frame of discs and defects, with a contrast of `snr` times the noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    m = np.ones(SHAPE, dtype=np.float32)
    for _ in range(15):
        m[np.hypot(y - rng.uniform(0, SHAPE[0]), x - rng.uniform(0, SHAPE[1])) < 9] = -1
    defects = [
        Defect(rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1]), rng.uniform(1, 6))
        for _ in range(8)
    ]
    image = kerr_image(m, KerrOptics(noise=noise, contrast=snr * noise), rng, defects=defects)
    return np.round(image * np.iinfo(dtype).max).astype(dtype)


def fractions(image: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Fraction of the drawn pixels that is left out, and of the film that is kept."""
    left_out = sample_region(image).left_out
    return left_out[drawn].mean(), 1 - left_out[~drawn].mean()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("bright_ink", [True, False])
def test_a_bar_is_left_out_exactly(side, bright_ink, dtype):
    rng = np.random.default_rng(SIDES.index(side))
    name = FONTS[SIDES.index(side)]
    frame = annotate(
        film(1, snr=0.3, dtype=dtype), rng, side=side, bright_ink=bright_ink, font_name=name
    )
    region = sample_region(frame.image)
    np.testing.assert_array_equal(region.left_out, frame.bar)
    assert [part.kind for part in region.parts] == ["information bar"]
    assert side in region.parts[0].reason
    np.testing.assert_array_equal(frame.bar[region.window], False)


def test_a_bar_of_a_compressed_or_a_float_frame_is_left_out():
    rng = np.random.default_rng(0)
    frame = annotate(film(2), rng, side="bottom")
    rough = frame.image.astype(np.int16) + rng.integers(-1, 2, SHAPE)
    rough = np.clip(rough, 0, 255).astype(np.uint8)
    for image in (rough, (frame.image / 255).astype(np.float32)):
        np.testing.assert_array_equal(sample_region(image).left_out, frame.bar)


@pytest.mark.parametrize("quality", [95, 85])
@pytest.mark.parametrize("side", SIDES)
def test_a_bar_of_a_jpeg_frame_is_left_out(side, quality):
    frame = annotate(film(2, noise=0.02), np.random.default_rng(0), side=side)
    file = io.BytesIO()
    Image.fromarray(frame.image).save(file, "JPEG", quality=quality)
    left_out = sample_region(np.asarray(Image.open(file))).left_out
    assert (left_out != frame.bar).mean() < 0.01


@pytest.mark.parametrize("noise", [0.002, 0.005])
def test_a_bar_of_a_frame_with_little_noise_is_left_out(noise):
    frame = annotate(film(2, noise=noise, snr=3), np.random.default_rng(0), side="left")
    np.testing.assert_array_equal(sample_region(frame.image).left_out, frame.bar)


@pytest.mark.parametrize("size", [14, 18, 24])
@pytest.mark.parametrize("name", ["DejaVuSans", "DejaVuSansMono", "DejaVuSerif"])
@pytest.mark.parametrize("antialias", [True, False])
def test_lettering_over_the_film_is_left_out(name, size, antialias):
    rng = np.random.default_rng(size)
    bright = size != 18
    frame = annotate(
        film(3, snr=0.3), rng, text=True, font_name=name, size=size, antialias=antialias,
        bright_ink=bright,
    )  # fmt: skip
    removed, kept = fractions(frame.image, frame.drawn)
    assert removed > 0.97
    # The words lie in a rectangle, whose film is left out with them.
    assert (
        kept > 1 - 1.3 * size * (np.ptp(np.flatnonzero(frame.ink.any(axis=0))) + 9) / film(3).size
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bright", [True, False])
def test_a_scale_bar_with_its_length_is_left_out(bright, dtype):
    frame = annotate(
        film(4, dtype=dtype), np.random.default_rng(1), scale_bar=True, bright_ink=bright, size=18
    )
    removed, kept = fractions(frame.image, frame.drawn)
    assert removed > 0.97 and kept > 0.97
    assert {part.kind for part in sample_region(frame.image).parts} == {"scale bar", "lettering"}


def test_lettering_in_clipped_noise_is_left_out():
    frame = annotate(
        film(5, snr=0.3, noise=0.15), np.random.default_rng(2), side="bottom", text=True,
        size=24, antialias=False,
    )  # fmt: skip
    removed, kept = fractions(frame.image, frame.drawn)
    assert removed > 0.97 and kept > 0.9


def noisy(kind: str) -> np.ndarray:
    """Frame without anything drawn, (H, W) uint8."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = rng.normal(0, 12, SHAPE)
    patterns = {
        "noise": noise,
        "white noise": rng.integers(0, 256, SHAPE) - 128,
        "rows": 40 * np.sign(np.sin(y / 6)) + noise,
        "columns": 40 * np.sign(np.sin(x / 9)) + noise,
        "labyrinth": 40 * np.sign(ndimage.gaussian_filter(noise, 5)) + noise,
        "one stripe": 60 * (y > 200) + noise,
        "saturated": 110 + 2 * noise,
        "half saturated": 170 * (x > 150) - 40 + noise,
        "gradient": 200 * (y / SHAPE[0]) - 100 + noise,
        "speckles": 120 * (ndimage.gaussian_filter(noise, 2) > 4) + noise,
    }
    return np.clip(patterns[kind] + 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "kind",
    ["noise", "white noise", "rows", "columns", "labyrinth", "one stripe", "saturated",
     "half saturated", "gradient", "speckles"],
)  # fmt: skip
def test_no_film_is_left_out(kind):
    assert sample_region(noisy(kind)).parts == ()


def test_images_without_noise_are_whole():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for image in (np.zeros(SHAPE), np.hypot(y - 50, x - 60) < 20, y < 100, x.astype(float)):
        assert sample_region(image.astype(np.float32)).parts == ()


def test_no_film_of_simulated_and_real_frames_is_left_out(moke):
    frames = [film(seed, snr=snr) for seed, snr in ((1, 0.3), (2, 1), (3, 3))]
    dataset = open_dataset(moke)
    real = (np.round(dataset.image(k) * 255).astype(np.uint8) for k in range(len(dataset)))
    for frame in [*frames, *real]:
        assert sample_region(frame).parts == ()


def test_frames_agree_on_a_bar_and_the_largest_extent_of_lettering():
    rng = np.random.default_rng(3)
    short, long = Part("lettering", "", 4, 4, 20, 80), Part("lettering", "", 4, 4, 20, 90)
    assert short.overlaps(long) and short.joined(long).x1 == 90
    frames = [annotate(film(k), rng, side="top", size=10 + k) for k in range(3)]
    region = recording_region(SHAPE, [frame.image for frame in frames])
    np.testing.assert_array_equal(region.left_out, np.any([f.bar for f in frames], axis=0))
    # What a single frame shows does not count.
    images = [frames[0].image, film(1), film(2)]
    assert recording_region(SHAPE, images).parts == ()
    assert recording_region(SHAPE, images[:1]).parts
    assert recording_region(SHAPE, images[:1], "whole").parts == ()
    assert recording_region(SHAPE, []).parts == ()


def test_a_crop_is_the_window():
    region = recording_region(SHAPE, [], "10,20,200,300")
    assert region.window == (slice(10, 200), slice(20, 300))
    assert np.count_nonzero(~region.left_out) == 190 * 280
    assert SampleRegion.crop(SHAPE, "0,0,240,320").parts == ()
    for text in ("0,0,241,320", "5,0,5,320"):
        with pytest.raises(SpinscopeError, match=r"must be y0,x0,y1,x1 in frames of 320x240"):
            SampleRegion.crop(SHAPE, text)


def test_a_map_of_a_crop_keeps_its_values():
    region = SampleRegion.crop(SHAPE, "10,20,200,300")
    found = np.random.default_rng(0).random((190, 280)).astype(np.float16)
    whole = region.expanded(found, 0)
    np.testing.assert_array_equal(whole[region.window], found)
    assert not whole[region.left_out].any()


def test_the_network_sees_the_sample_alone():
    image = film(6, snr=4)
    frame = annotate(image, np.random.default_rng(4), side="bottom")
    region = sample_region(frame.image)
    mask, doubt, views, rim = segment_sample(dark(-2), frame.image, region=region)
    expected, doubt_of_film, _, rim_of_film = dark(-2).segment_views(image[region.window])
    np.testing.assert_array_equal(mask[region.window], expected)
    assert doubt == doubt_of_film and views == []
    np.testing.assert_array_equal(rim[region.window], rim_of_film)
    assert (mask[frame.bar] == OUTSIDE).all()
    assert np.count_nonzero(expected == SKYRMION) > 300
    whole, *_ = segment_sample(dark(-2), frame.image)
    assert (whole[frame.bar] == SKYRMION).any()


def test_lettering_is_hidden_from_the_network():
    frame = annotate(film(7), np.random.default_rng(5), text=True, size=18)
    seen = []

    class Watched(Dark):
        def __call__(self, batch):
            seen.append(batch)
            return super().__call__(batch)

    region = sample_region(frame.image)
    mask, _, views, _ = segment_sample(Predictor(Watched(), dark().info), frame.image, 8, region)
    assert (mask[region.left_out] == OUTSIDE).all() and len(views) == 8
    assert np.ptp(seen[0][0, : SHAPE[0], : SHAPE[1], 0][region.left_out]) == 0


def test_unknown_fonts_and_sides_are_refused():
    with pytest.raises(SpinscopeError, match="font"):
        font("Comic", 12)
    with pytest.raises(SpinscopeError, match="side"):
        annotate(film(1), np.random.default_rng(0), side="middle")


def test_answers_leave_bars_out():
    frame = annotate(film(6, snr=4), np.random.default_rng(4), side="bottom")
    image = (frame.image / 255).astype(np.float32)
    family = families.get("moke-unet")
    answer = family.answers(dark(-2), dict(family.answer_options))(image, None)
    assert answer["classes"] == list(CLASSES)
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))
    np.testing.assert_array_equal(mask == OUTSIDE, frame.bar)
    bar = np.argmax(frame.bar.any(axis=1))
    assert answer["objects"] and all(row["y1_px"] <= bar for row in answer["objects"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_small_and_coarse_images_leave_a_sample(dtype):
    rng = np.random.default_rng(11)
    for levels in (1, 2, 4, 256):
        for shape in ((8, 8), (9, 40), (33, 24)):
            image = rng.integers(0, levels, shape).astype(dtype)
            image[: shape[0] // 3] = 0
            region = sample_region(image)
            assert not region.left_out.all()
            assert region.expanded(np.zeros_like(region.sample(image), np.uint8)).shape == shape
