"""Whether frames are Kerr or Lorentz images, from a corpus header or from drawn skyrmions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.conftest import discs

from spinscope.datasets import open_dataset
from spinscope.datasets.modality import (
    modality_of_folder,
    modality_of_image,
    modality_of_images,
)
from spinscope.errors import SpinscopeError


def dipoles(seed: int, size: int = 192, n: int = 60, angle: float = 0.3) -> np.ndarray:
    """Bright and dark sides of skyrmions in a tilted film, with noise: (size, size) in [0, 1]."""
    rng = np.random.default_rng(seed)
    m = np.zeros((size, size))
    m[tuple(rng.integers(0, size, (n, 2)).T)] = 1
    m = gaussian_filter(m, 5)
    y, x = np.gradient(m)
    image = np.cos(angle) * x + np.sin(angle) * y
    return np.clip(0.5 + 0.25 * image / np.abs(image).max() + rng.normal(0, 0.01, m.shape), 0, 1)


def test_dark_and_bright_discs_are_kerr_images():
    for seed in range(4):
        image, _ = discs(np.random.default_rng(seed), size=192, n=25, radius=6)
        image = image[8:]
        assert modality_of_image(image) == "Kerr"
        assert modality_of_image(1 - image) == "Kerr"


def test_dipoles_along_any_axis_are_lorentz_images():
    for seed, angle in enumerate(np.linspace(0, 2.5, 5)):
        assert modality_of_image(dipoles(seed, angle=angle)) == "Lorentz"


@pytest.mark.parametrize(
    "image",
    [
        np.full((128, 128), 0.4, np.float32),
        np.random.default_rng(0).random((128, 128)),
        dipoles(0)[:64, :64],
    ],
    ids=["uniform", "noise", "small"],
)
def test_an_image_without_a_sign_of_either_is_unknown(image):
    assert modality_of_image(image) is None


def test_most_frames_decide():
    kerr = discs(np.random.default_rng(0), size=192, n=25, radius=6)[0]
    noise = np.random.default_rng(0).random((128, 128))
    assert modality_of_images([kerr, dipoles(0), kerr]) == "Kerr"
    assert modality_of_images([kerr, dipoles(0)]) is None
    assert modality_of_images([noise, noise, noise, kerr]) is None
    assert modality_of_images([]) is None


@pytest.mark.parametrize(
    ("kind", "modality"),
    [("kerr", "Kerr"), ("ltem", "Lorentz"), ("lattice", "Spins"), ("domains", "Domains"),
     ("x", None)],
)  # fmt: skip
def test_a_corpus_has_the_modality_of_its_kind(tmp_path, kind, modality):
    assert modality_of_folder(tmp_path) is None
    (tmp_path / "corpus.json").write_text(json.dumps({"kind": kind, "sha256": {}}))
    assert modality_of_folder(tmp_path) == modality


@pytest.mark.slow
def test_real_kerr_frames_are_kerr_images(moke):
    frames = open_dataset(moke)
    found = [modality_of_image(frames.image(k)) for k in range(0, len(frames), 4)]
    assert found.count("Kerr") >= 0.8 * len(found)
    assert found.count("Lorentz") <= 0.05 * len(found)


@pytest.mark.parametrize(
    ("kind", "held"), [("lattice", "spins"), ("domains", "domain films, which have no masks")]
)
def test_a_corpus_without_masks_is_no_dataset_of_images(tmp_path, kind, held):
    (tmp_path / "corpus.json").write_text(json.dumps({"kind": kind, "sha256": {}}))
    with pytest.raises(SpinscopeError, match=f"holds {held}.*: check it with"):
        open_dataset(tmp_path)
