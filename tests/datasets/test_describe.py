"""Statistics of frames with known values, and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from spinscope.datasets import open_dataset
from spinscope.datasets.describe import (
    QUANTITIES,
    describe,
    measure_frame,
    noise_level,
    radial_spectrum,
)
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError


def grid_of_discs(
    noise: float, contrast: float = -0.2, radius: float = 6, pitch: int = 32, tilt: float = 0.0
):
    """Image and label of discs on a square grid on a tilted background, 256 x 256."""
    y, x = np.mgrid[:256, :256]
    inside = np.hypot((y % pitch) - pitch / 2, (x % pitch) - pitch / 2) <= radius
    image = 0.5 + contrast * inside + tilt * (x / 256 - 0.5)
    image = image + np.random.default_rng(1).normal(0, noise, image.shape)
    return image.astype(np.float32), inside.astype(np.uint8)


def test_a_drawn_frame_is_measured_as_drawn():
    image, label = grid_of_discs(noise=0.05)
    values, diameters = measure_frame(image, label)
    assert set(values) == set(QUANTITIES)
    area = label[:32, :32].sum()
    assert values["noise"] == pytest.approx(0.05, rel=0.02)
    assert values["contrast"] == pytest.approx(-0.2, abs=0.003)
    assert values["cnr"] == pytest.approx(4, rel=0.03)
    assert values["objects"] == len(diameters) == 64
    assert values["density"] == pytest.approx(1e4 * 64 / 256**2)
    np.testing.assert_allclose(diameters, 2 * np.sqrt(area / np.pi))
    assert values["diameter_spread"] == pytest.approx(0, abs=1e-6)
    assert values["neighbour"] == pytest.approx(32)
    assert values["skyrmion"] == pytest.approx(area / 32**2)
    assert values["gradient"] == pytest.approx(0, abs=0.003)


def test_a_tilt_changes_the_slope_but_not_noise_or_contrast():
    image, label = grid_of_discs(noise=0.02, tilt=0.3)
    values, _ = measure_frame(image, label)
    assert values["gradient"] == pytest.approx(0.3, rel=0.02)
    assert values["noise"] == pytest.approx(0.02, rel=0.03)
    assert values["contrast"] == pytest.approx(-0.2, abs=0.003)


def test_a_frame_without_skyrmions_or_film_has_no_contrast():
    image = np.random.default_rng(2).random((64, 64), dtype=np.float32)
    values, diameters = measure_frame(image, np.zeros((64, 64), dtype=np.uint8))
    assert np.isnan([values["contrast"], values["diameter"], values["neighbour"]]).all()
    assert (values["objects"], len(diameters)) == (0, 0)
    values, _ = measure_frame(image, np.full((64, 64), 3, dtype=np.uint8))
    assert np.isnan([values["noise"], values["density"], values["gradient"]]).all()


def test_noise_is_measured_and_slow_waves_are_not():
    y, x = np.mgrid[:200, :200]
    everywhere = np.ones((200, 200), dtype=bool)
    waves = 0.3 * np.sin(2 * np.pi * x / 100) * np.cos(2 * np.pi * y / 80)
    noise = np.random.default_rng(3).normal(0, 0.03, waves.shape)
    assert noise_level(waves, everywhere) < 2e-5
    assert noise_level(waves + noise, everywhere) == pytest.approx(0.03, rel=0.02)
    assert np.isnan(noise_level(noise, ~everywhere))


def test_a_wave_has_its_frequency_and_white_noise_is_flat():
    x = np.arange(256)
    wave = np.broadcast_to(np.sin(2 * np.pi * 0.125 * x), (128, 256)).astype(np.float32)
    spectrum = radial_spectrum(wave)
    assert spectrum.shape == (64,)
    assert np.argmax(spectrum) in (15, 16)  # 0.125 is the border of two rings
    noise = np.random.default_rng(4).normal(size=(16, 256, 256)).astype(np.float32)
    white = np.mean([radial_spectrum(frame) for frame in noise], axis=0)
    assert white[8:].mean() == pytest.approx(1, abs=0.03)
    assert np.abs(white[8:] - 1).max() < 0.15


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def corpus(tmp_path):
    def frames():
        rng = np.random.default_rng(5)
        for k in range(6):
            label = np.zeros((48, 80), dtype=np.uint8)
            label[10:20, 10:20] = 1
            image = rng.integers(0, 256, label.shape).astype(np.uint8)
            yield {"name": f"f{k}", "source": k // 2, "batch": 0}, image, label

    return open_dataset(write_corpus(tmp_path / "corpus", frames(), header={}))


def test_two_datasets_are_compared(moke_folder, corpus, tmp_path):
    out = tmp_path / "out"
    summary = describe({"real": open_dataset(moke_folder), "<sim>": corpus}, out)
    page = (out / "index.html").read_text()
    links = Links(page).found
    assert len(links) == 3
    for link in links:
        assert Image.open(out / link).width > 1000
    assert "http" not in page
    assert "&lt;sim&gt;" in page
    assert "<sim>" not in page
    assert json.loads((out / "describe.json").read_text()) == summary
    real, sim = summary["real"], summary["<sim>"]
    assert (real["n_frames"], real["n_sources"], sim["n_frames"]) == (20, 10, 6)
    assert set(real["quantities"]) == set(QUANTITIES)
    assert sim["quantities"]["objects"] == {"mean": 1, "p05": 1, "p95": 1, "within": 0}
    assert sim["quantities"]["neighbour"]["mean"] is None
    assert real["quantities"]["noise"]["within"] == pytest.approx(0.9)
    for row in re.findall(r"<tr>(.*?)</tr>", page)[1:]:
        assert row.count("<td") == 1 + 3 + 4


def test_one_dataset_is_described_alone_and_few_frames_suffice(corpus, tmp_path):
    summary = describe({"only": corpus}, tmp_path / "out", max_frames=2)
    assert summary["only"]["n_frames"] == 6
    assert "within" not in (tmp_path / "out/index.html").read_text().lower()


def test_nothing_to_describe_is_an_error(tmp_path):
    with pytest.raises(SpinscopeError, match="at least one dataset"):
        describe({}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.moke
def test_the_real_frames_are_dark_skyrmions_in_noise(moke, tmp_path):
    dataset = open_dataset(moke).select(batches=[2])
    quantities = describe({"real": dataset}, tmp_path / "out", max_frames=10)["real"]["quantities"]
    assert quantities["contrast"]["p95"] < -0.05
    assert 1 < quantities["cnr"]["mean"] < 5
