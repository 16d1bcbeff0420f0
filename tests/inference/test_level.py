"""The boundary of skyrmions at a level of their probability, and the level of half contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.conftest import section

from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.inference.level import (
    LEVEL_SD,
    MIN_IOU,
    expit,
    half_contrast_level,
    level_of_mz,
    logit,
    with_peaks,
)
from spinscope.inference.predict import Ensemble, Predictor
from spinscope.inference.rules import drop_low_peaks, most_probable
from spinscope.inference.tiling import Tiling
from spinscope.live.frame import measure_frame
from spinscope.models.store import model_info, save_model
from spinscope.models.unet import unet

CENTRES = np.mgrid[30:256:50, 30:256:50].reshape(2, -1).T + np.random.default_rng(8).random((25, 2))
RADIUS, STEEPNESS = 11.0, 1.1
"""Radius of the discs in px, and logits per px across their boundary."""


def outside_px(shift: float = 0.0) -> np.ndarray:
    """Distance (256, 256) from the boundary of the nearest disc, which lies `shift` px further."""
    y, x = np.mgrid[:256, :256]
    return np.min([np.hypot(y - cy, x - cx) for cy, cx in CENTRES], axis=0) - RADIUS - shift


def probability(shift: float = 0.0) -> np.ndarray:
    """Probability that falls evenly across the boundary, in logits, and is 1/2 at `shift` px."""
    return expit_array(-STEEPNESS * outside_px(shift))


def expit_array(values: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(values, -20, 20)))).astype(np.float32)


class Known:
    """A network that answers with a given probability of skyrmion."""

    name, precision, streams = "stand-in", "f32", 1

    def __init__(self, p: np.ndarray):
        self.p = p

    def __call__(self, batch):
        return np.stack([1 - self.p, self.p, 0 * self.p], axis=-1)[None]


def network(p: np.ndarray, **info) -> Predictor:
    known = {"classes": ["background", "skyrmion", "defect"], "size_multiple": 8}
    return Predictor(Known(p), known | info)


IMAGE = np.random.default_rng(0).random((256, 256)).astype(np.float32)


def test_without_a_level_the_most_probable_class_counts():
    p = np.random.default_rng(1).random((256, 256)).astype(np.float32)
    plain = network(p)
    expected = most_probable(np.stack([1 - p, p, 0 * p], axis=-1))[0]
    np.testing.assert_array_equal(plain.classes(IMAGE), expected)
    masks = [plain.with_level(level).classes(IMAGE) for level in (0.2, 0.5, 0.8)]
    for mask, level in zip(masks, (0.2, 0.5, 0.8), strict=True):
        np.testing.assert_array_equal(mask == 1, p >= np.float32(level))
    np.testing.assert_array_equal(plain.with_level(0.3).with_level(None).classes(IMAGE), expected)


@pytest.mark.parametrize("level", [0.1, 0.35, 0.8])
def test_a_level_moves_the_boundary_by_its_logit(level):
    """Discs become wider by ln((1 - level) / level) / steepness on each side."""
    found = measure_frame(IMAGE, network(probability()).with_level(level)).objects
    width = 2 * (RADIUS + np.log((1 - level) / level) / STEEPNESS)
    assert len(found["diameter_px"]) == len(CENTRES)
    np.testing.assert_allclose(found["diameter_px"], width, rtol=0.02)


@pytest.mark.parametrize("level", [None, 0.3])
@pytest.mark.parametrize("tiling", [Tiling(), Tiling(128, 32)])
def test_the_uncertainty_of_a_boundary_is_its_shift_by_one_standard_deviation(level, tiling):
    class Pixelwise(Known):
        """Each pixel decides for itself, so that tiles make no difference."""

        def __call__(self, batch):
            answer = Known(
                expit_array(-STEEPNESS * (batch[0, ..., 0] * image.std() + image.mean()))
            )
            return answer(batch)

    image = np.clip(outside_px(), -6, 6).astype(np.float32)
    predictor = replace(network(image), engine=Pixelwise(image), tiling=tiling, level=level)
    found = measure_frame(image, predictor)
    sd = found.objects["diameter_px_sd_boundary"]
    assert len(sd) == len(CENTRES)
    np.testing.assert_allclose(sd, 2 * LEVEL_SD / STEEPNESS, rtol=0.3)
    assert sd.mean() == pytest.approx(2 * LEVEL_SD / STEEPNESS, rel=0.08)
    assert found.row["diameter_px_mean_sd_boundary"] == pytest.approx(sd.mean())
    higher = expit((0 if level is None else np.log(0.3 / 0.7)) + LEVEL_SD)
    smaller = measure_frame(image, replace(predictor, level=higher))
    lost = found.row["area_fraction"] - smaller.row["area_fraction"]
    assert found.row["area_fraction_sd_boundary"] == pytest.approx(lost)


def test_an_ensemble_keeps_its_level():
    p = probability()
    both = Ensemble.of([network(p), network(np.roll(p, 3, axis=1))]).with_level(0.25)
    expected = (p + np.roll(p, 3, axis=1)) / 2 >= 0.25
    np.testing.assert_array_equal(both.classes(IMAGE) == 1, expected)
    assert both.with_geometry(scale=1.0).level == 0.25


def test_a_model_may_store_its_level(tmp_path):
    """The level of `model.json` holds unless another one is asked for."""
    config = section("model", width=4, depth=2, stem=2, refine=2)
    plain = unet(config, 2, seed=1)
    info = {"classes": ["background", "skyrmion"], "size_multiple": config.size_multiple}
    save_model(tmp_path / "plain", plain, info, "# plain\n")
    save_model(tmp_path / "own", plain, info | {"level": 0.3}, "# own\n")
    image = np.random.default_rng(3).random((32, 32))
    ours, own = Predictor.load(tmp_path / "plain"), Predictor.load(tmp_path / "own")
    assert (ours.level, own.level) == (None, 0.3)
    mask = own.classes(image)
    np.testing.assert_array_equal(mask, ours.with_level(0.3).classes(image))
    np.testing.assert_array_equal(mask == 1, ours.probabilities(image)[..., 1] >= 0.3)
    np.testing.assert_array_equal(own.with_level(None).classes(image), ours.classes(image))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.2, float("nan")])
def test_a_level_must_be_a_probability(level):
    with pytest.raises(SpinscopeError, match=r"level \(=.*\) must be a probability between"):
        network(probability()).with_level(level)


def test_objects_with_low_peaks_count_at_no_level():
    """Every level of the filtered probability is the mask that the rule makes at that level."""
    rng = np.random.default_rng(2)
    p = gaussian_filter(rng.random((128, 128)), 2)
    p = ((p - p.min()) / (p.max() - p.min())).astype(np.float32)
    filtered = with_peaks(p, 0.75)
    dropped = 0
    for level in (0.3, 0.5, 0.6, 0.7, 0.9):
        mask = (p >= level).astype(np.uint8)
        drop_low_peaks(mask, p, 0.75)
        np.testing.assert_array_equal(filtered >= level, mask == 1)
        dropped += np.count_nonzero((p >= level) & (mask == 0))
    assert dropped > 100
    ruled = network(np.pad(p, (0, 128)), min_peak_probability=0.75).with_level(0.5)
    np.testing.assert_array_equal(ruled.classes(IMAGE)[:128, :128] == 1, filtered >= 0.5)


@pytest.mark.parametrize("contrast", [0.2, -0.2])
@pytest.mark.parametrize("noise", [0.02, 0.6])  # down to a third of the noise of a pixel
@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.5])
def test_half_contrast_is_recovered(shift, noise, contrast):
    """A network that draws the boundary elsewhere is corrected, for either polarity."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:256, :256]
    frames = []
    for _ in range(4 if noise > 0.1 else 1):
        film = 0.5 + 1e-3 * y - 5e-4 * x
        image = film + contrast * gaussian_filter((outside_px() <= 0).astype(float), 2)
        frames.append((image + noise * rng.normal(size=image.shape), probability(shift)))
    level = half_contrast_level(frames)
    offset = np.log(level / (1 - level)) / STEEPNESS - shift  # px between both boundaries
    assert abs(offset) < (0.4 if noise < 0.1 else 0.8)


def test_half_contrast_needs_contrast():
    rng = np.random.default_rng(6)
    grey = rng.normal(size=(256, 256))
    assert half_contrast_level([(grey, probability())]) is None
    assert half_contrast_level([(grey, np.zeros((256, 256), np.float32))]) is None
    assert half_contrast_level([]) is None


MZ_ROWS = [
    {"m_z": 0.0, "level": 0.95, "sd_logits": 0.1, "iou": 0.2, "diameter": 1.0},
    {"m_z": 0.8, "level": 0.8, "sd_logits": 0.4, "iou": MIN_IOU, "diameter": 0.95},
    {"m_z": 0.9, "level": 0.4, "sd_logits": 0.6, "iou": 0.9, "diameter": 1.02},
    {"m_z": 0.98, "level": 0.1, "sd_logits": 0.6, "iou": 0.8, "diameter": 0.7},
]


def test_the_level_of_a_magnetisation_is_interpolated():
    info = {"mz_levels": {"rows": MZ_ROWS[::-1]}}  # in any order
    assert level_of_mz(info, 0.9) == pytest.approx((0.4, 0.6))
    level, sd = level_of_mz(info, 0.85)
    assert logit(level) == pytest.approx((logit(0.8) + logit(0.4)) / 2)
    assert sd == pytest.approx(0.5)
    for m_z, shown in (
        (0.4, r"IoU of 0\.4\d and 0\.9\d"),
        (0.98, r"IoU of 0\.80 and 0\.70"),
        (-0.5, "IoU of 0.20 and"),
    ):
        says = rf"mz={m_z}\): m_z must be between 0\.8 and 0\.9 for this model; .* {shown}"
        with pytest.raises(SpinscopeError, match=says):
            level_of_mz(info, m_z)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({}, "has no levels of m_z; `spinscope calibrate --films`"),
        ({"mz_levels": {"rows": MZ_ROWS[:1]}}, "m_z must be left out"),
        ({"mz_levels": {"rows": []}}, r"mz_levels\.rows of the model is not valid"),
        ({"mz_levels": {"rows": [MZ_ROWS[0] | {"level": 1.2}]}}, r"mz_levels\.rows\.0\.level"),
        ({"mz_levels": 3}, "mz_levels.* of the model is not valid"),
    ],
)
def test_a_model_without_the_level_says_why(info, says):
    with pytest.raises(SpinscopeError, match=says):
        level_of_mz(info, 0.9)


@pytest.mark.parametrize("name", ["ltem-unet", "ltem-unet-published"])
def test_bundled_lorentz_models_have_levels_of_m_z(name):
    info = model_info(bundled_models() / name)
    levels, sds = zip(*(level_of_mz(info, m_z) for m_z in (0.9, 0.93, 0.95, 0.96)), strict=True)
    assert list(levels) == sorted(set(levels), reverse=True)
    assert all(0.03 < level < 0.95 for level in levels) and all(0.1 < sd < 2 for sd in sds)
    with pytest.raises(SpinscopeError, match=r"mz=0\): m_z must be between 0\.\d+ and 0\.\d+"):
        level_of_mz(info, 0.0)
