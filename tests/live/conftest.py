"""Recordings of dark discs, and a network that finds what is dark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.conftest import discs

from spinscope.inference.predict import Predictor


class Dark:
    """A network that classifies pixels far below the mean as skyrmions."""

    name, precision, streams = "stand-in", "f32", 2

    def __init__(self, level: float = -1.0):
        self.level = level

    def __call__(self, batch):
        logit = np.clip(8 * (self.level - batch[..., 0]), -30, 30)
        dark = 1 / (1 + np.exp(-logit))
        return np.stack([1 - dark, dark, 0 * dark], axis=-1).astype(np.float32)


@pytest.fixture
def predictor() -> Predictor:
    return dark()


def dark(level: float = -1.0) -> Predictor:
    info = {"classes": ["background", "skyrmion", "defect"], "size_multiple": 8}
    return Predictor(Dark(level), info)


@pytest.fixture
def frames() -> np.ndarray:
    """(10, 64, 72) uint16: discs without defects, another set in every frame."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(10):
        image, label = discs(rng, size=72)
        image[label == 2] = 0.6
        made.append(np.round(image[:64] * 65_535))
    return np.stack(made).astype(np.uint16)


@pytest.fixture
def stack(tmp_path: Path, frames: np.ndarray) -> Path:
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", metadata={"axes": "TYX"})
    return path
