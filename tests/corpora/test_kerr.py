"""Kerr corpus: reproducible, complete, and similar to real frames."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from spinscope.config import load_params
from spinscope.corpora.kerr import GENERATOR, kerr_frames, make_kerr_corpus
from spinscope.corpora.preview import preview_frames
from spinscope.datasets import open_dataset, split_by_batch
from spinscope.datasets.shards import damaged_files, read_header
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder

SMALL = load_params("demo").kerr.model_copy(
    update={"height": 96, "width": 128, "frames_per_source": 2, "shard_frames": 4, "workers": 1}
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_kerr_corpus(tmp_path_factory.mktemp("kerr") / "corpus", 11, 5, SMALL)


def test_same_seed_gives_the_same_bytes_with_any_workers(corpus, tmp_path):
    threaded = SMALL.model_copy(update={"workers": 3})
    again = make_kerr_corpus(tmp_path / "again", 11, 5, threaded)
    assert sha256_folder(again) == sha256_folder(corpus)
    other = make_kerr_corpus(tmp_path / "other", 11, 6, SMALL)
    assert sha256_folder(other) != sha256_folder(corpus)


def test_corpus_opens_as_a_dataset_and_splits_by_source(corpus):
    assert not damaged_files(corpus)
    assert read_header(corpus)["generator"] == GENERATOR
    dataset = open_dataset(corpus)
    assert len(dataset) == 11
    assert dataset.sources == tuple(range(6))
    assert all(record.batch == record.source % 5 for record in dataset.records)
    splits = split_by_batch(dataset, train=[0, 1, 3, 4], validation=[2])
    assert splits.validation.sources == (2,)
    assert len({record.name for record in dataset.records}) == 11


def test_a_longer_corpus_begins_with_the_shorter():
    short, long = (list(kerr_frames(n, 3, SMALL)) for n in (3, 6))
    for (row, image, label), (row2, image2, label2) in zip(short, long[:3], strict=True):
        assert row == row2
        assert np.array_equal(image, image2)
        assert np.array_equal(label, label2)


def test_every_frame_holds_a_skyrmion_and_rows_hold_the_parameters():
    for row, image, label in kerr_frames(24, 1, SMALL):
        assert image.shape == label.shape == (96, 128)
        assert image.dtype == label.dtype == np.uint8
        assert np.sum(label == 1) >= 20
        assert label.max() <= 4
        assert {"kind", "device", "diameter_px", "contrast", "noise"} <= set(row)
        assert ((label == 3) | (label == 4)).any() == (row["device"] != "film")


def test_skyrmions_are_darker_than_the_film_by_the_contrast():
    ratios = []
    for row, image, label in kerr_frames(24, 2, SMALL):
        if row["diameter_px"] < 10:
            continue
        core = ndimage.binary_erosion(label == 1, iterations=3)
        film = ndimage.binary_erosion(label == 0, iterations=3)
        if core.sum() > 60:
            step = (image[film].mean() - image[core].mean()) / 255
            ratios.append(step / row["contrast"])
    assert len(ratios) > 4
    assert np.median(ratios) == pytest.approx(1, abs=0.2)


def test_polarity_follows_the_setting():
    reversed_ = SMALL.model_copy(update={"bright_fraction": 1.0})
    assert all(row["contrast"] < 0 for row, _, _ in kerr_frames(4, 2, reversed_))
    assert all(row["contrast"] > 0 for row, _, _ in kerr_frames(4, 2, SMALL))


def test_frames_of_a_source_share_its_defects_and_not_its_noise():
    frames = list(kerr_frames(20, 7, SMALL))
    for (row, image, label), (row2, image2, label2) in zip(frames[::2], frames[1::2], strict=True):
        assert row["source"] == row2["source"]
        assert row["contrast"] == row2["contrast"]
        assert not np.array_equal(image, image2)
        both = np.sum((label == 2) & (label2 == 2))
        assert both >= 0.3 * np.sum(label == 2)


def test_an_interrupted_corpus_leaves_no_files(tmp_path):
    def break_off(items, **_):
        yield next(iter(items))
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        make_kerr_corpus(tmp_path / "corpus", 4, 0, SMALL, progress=break_off)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_frames(tmp_path):
    seen = []

    def count(items, **about):
        seen.append(about["total"])
        for item in items:
            seen.append(item[0]["name"])
            yield item

    make_kerr_corpus(tmp_path / "corpus", 3, 0, SMALL, progress=count)
    assert seen == [3, "00000-00", "00000-01", "00001-00"]


def test_preview_is_an_image_of_frames_over_labels(corpus, tmp_path):
    path = preview_frames(open_dataset(corpus), tmp_path / "preview.png", columns=4, width=512)
    with Image.open(path) as image:
        assert image.size == (512, 3 * 2 * 96)
        colours = {tuple(rgb) for rgb in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


def test_no_frames_are_an_error():
    with pytest.raises(SpinscopeError, match=r"kerr.n \(=0\)"):
        next(kerr_frames(0, 0, SMALL))


@pytest.mark.moke
def test_ranges_cover_the_real_frames(moke):
    """Contrast to noise, noise and skyrmion size of real frames are in the simulated range."""
    real = open_dataset(moke)
    firsts = [next(i for i, r in enumerate(real.records) if r.source == s) for s in real.sources]
    size = SMALL.model_copy(update={"height": 256, "width": 336, "frames_per_source": 1})
    simulated = [measure(image / 255, label) for _, image, label in kerr_frames(60, 0, size)]
    low, high = np.nanpercentile(simulated, [1, 99], axis=0)
    values = np.array([measure(real.image(i), real.label(i)) for i in firsts])
    inside = np.mean((values > low) & (values < high), axis=0)
    assert np.all(inside > 0.85), inside


def measure(image, label):
    """Contrast to noise, noise, median skyrmion diameter, level of the film."""
    film = ndimage.binary_erosion(label == 0, iterations=3)
    core = ndimage.binary_erosion(label == 1)
    noise = (image - ndimage.gaussian_filter(image, 3))[film].std()
    regions, _ = ndimage.label(label == 1)
    areas = np.bincount(regions.ravel())[1:]
    step = np.median(image[film]) - np.median(image[core])
    diameter = 2 * np.sqrt(np.median(areas[areas > 4]) / np.pi)
    return step / noise, noise, diameter, np.median(image[film])


def test_wide_sources_have_bubbles_empty_films_and_bars(tmp_path):
    wide = SMALL.model_copy(update={"wide_fraction": 1.0, "frames_per_source": 1})
    path = make_kerr_corpus(tmp_path / "wide", 40, 1, wide)
    dataset = open_dataset(path)
    frames = list(kerr_frames(40, 1, wide))
    kinds = {row["kind"] for row, _, _ in frames}
    assert {"bubble", "empty"} <= kinds
    for record, (row, image, label) in zip(dataset.records, frames, strict=True):
        without = row["kind"] == "empty"
        assert (record.use == "only_training") == without
        assert np.any(label == 1) != without
        assert record.batch == (0 if without else record.source % 5)
        if row["device"] == "film" and np.any(label == 3):  # drawn by software
            assert {0, 255} & {int(level) for level in image[label == 3]}
    drawn = [row for row, _, label in frames if row["device"] == "film" and np.any(label == 3)]
    assert drawn
    assert max(row["bands"] for row, _, _ in frames) > 0


def test_frames_of_a_wide_source_have_at_least_the_contrast_that_shows_a_skyrmion():
    wide = SMALL.model_copy(update={"wide_fraction": 1.0, "frames_per_source": 1})
    for row, _, _ in kerr_frames(40, 2, wide):
        if row["kind"] == "bubble":
            over_noise = row["contrast"] / row["noise"]
            assert over_noise * np.sqrt(np.pi / 4) * row["diameter_px"] > 5.9
