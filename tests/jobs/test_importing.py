"""Imported masks are measured, reviewed and trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tests.analysis.test_imports import roi_set, square
from tests.conftest import discs

from spinscope import jobs
from spinscope.analysis import label_objects
from spinscope.config import load_params, overridden
from spinscope.datasets import open_dataset
from spinscope.errors import SpinscopeError
from spinscope.live.results import open_results
from spinscope.reviews.folder import Reviews
from spinscope.reviews.remeasured import remeasure


@pytest.fixture
def films(tmp_path):
    """Two recordings of 4 frames and the object numbers of each, by name."""
    rng = np.random.default_rng(5)
    made = {}
    for name in ("film-a", "film-b"):
        frames = [discs(rng) for _ in range(4)]
        levels = np.stack([np.round(image * 65_535) for image, _ in frames]).astype(np.uint16)
        numbers = np.stack([label_objects(label == 1)[0] for _, label in frames])
        tifffile.imwrite(tmp_path / f"{name}.tif", levels, photometric="minisblack")
        tifffile.imwrite(tmp_path / f"{name}-labels.tif", numbers, photometric="minisblack")
        made[name] = numbers
    return made


def files(folder, *names: str, masks: str = "-labels.tif"):
    return [folder / f"{name}{masks}" for name in names], [folder / f"{name}.tif" for name in names]


def imported(folder, *names: str, **options) -> dict:
    params = load_params("demo", ["segment.pixel_size_nm=200"])
    return jobs.import_masks(params, *files(folder, *names), folder / "out", **options)


def test_masks_become_a_dataset_and_results(films, tmp_path):
    found = imported(tmp_path, "film-a", "film-b")
    assert found["images"] == 8
    dataset = open_dataset(found["dataset"])
    assert [(record.name, record.source, record.batch) for record in dataset.records[3:5]] == [
        ("film-a-0003", 0, 0),
        ("film-b-0000", 1, 1),
    ]
    for k, (_, image, label) in enumerate(dataset):
        name, frame = ("film-a", "film-b")[k // 4], k % 4
        np.testing.assert_array_equal(label, films[name][frame] > 0)
        raw = tifffile.imread(tmp_path / f"{name}.tif")[frame]
        np.testing.assert_allclose(image * 65_535, raw, atol=0.01)
    for row, numbers in zip(found["recordings"], films.values(), strict=True):
        results = open_results(row["folder"])
        assert results.pixel_size == pytest.approx(200e-9)
        assert len(results.objects) == row["objects"] == sum(frame.max() for frame in numbers)
        for mask, frame in zip(results.masks(), numbers, strict=True):
            np.testing.assert_array_equal(mask, frame > 0)
    origin = json.loads((tmp_path / "out/dataset/import.json").read_text())
    assert [row["masks"] for row in origin["from"]] == [
        str(tmp_path / f"{name}-labels.tif") for name in films
    ]
    assert imported(tmp_path, "film-a", "film-b") == found  # again: the same results


def test_frames_without_a_mask_are_left_out_or_empty(films, tmp_path):
    roi_set(tmp_path / "film-a.zip", square("x", 8, 8, position=2))
    given = files(tmp_path, "film-a", masks=".zip")
    found = jobs.import_masks(load_params("demo"), *given, tmp_path / "one")
    (row,) = found["recordings"]
    assert (row["masks"], row["frames"], row["objects"], found["images"]) == (1, 4, 1, 1)
    assert "3 of 4 frames have no mask and are left out" in row["notes"][0]
    results = open_results(row["folder"])
    assert [one["frame"] for one in results.summary["unreadable"]] == [0, 1, 3]
    assert results.frames["area_fraction"].notna().tolist() == [False, False, True, False]
    found = jobs.import_masks(load_params("demo"), *given, tmp_path / "all", empty=True)
    assert (found["images"], found["recordings"][0]["notes"]) == (4, [])


def test_objects_that_touch_are_counted(films, tmp_path):
    labels = np.zeros_like(films["film-a"])
    labels[0, 4:10, 4:10], labels[0, 10:16, 4:10], labels[0, 30:33, 30:33] = 1, 2, 3
    tifffile.imwrite(tmp_path / "film-a-labels.tif", labels, photometric="minisblack")
    (row,) = imported(tmp_path, "film-a")["recordings"]
    assert row["objects"] == 2
    assert "objects that touch another of their class: 1, counted" in row["notes"][0]


def test_a_stack_that_is_stored_as_colours_is_named(films, tmp_path):
    tifffile.imwrite(tmp_path / "film-a-labels.tif", films["film-a"])  # four planes: colours
    with pytest.raises(SpinscopeError, match="in grey levels and not as colours"):
        imported(tmp_path, "film-a")


def test_nothing_is_written_where_a_mask_does_not_fit(films, tmp_path):
    labels = films["film-b"].astype(np.float32)
    labels[3, 0, 0] = 0.5  # the last mask of the last recording
    tifffile.imwrite(tmp_path / "film-b-labels.tif", labels, photometric="minisblack")
    with pytest.raises(SpinscopeError, match="values of mask 3 span 0 to"):
        imported(tmp_path, "film-a", "film-b")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SpinscopeError, match="each file needs its recording: repeat --frames"):
        jobs.import_masks(load_params("demo"), *files(tmp_path, "film-a")[:1], [], tmp_path / "out")
    with pytest.raises(SpinscopeError, match="--class 'bubble' must be one of skyrmion"):
        imported(tmp_path, "film-a", object_class="bubble")
    (tmp_path / "out/dataset").mkdir(parents=True)
    with pytest.raises(SpinscopeError, match="exists and was not imported"):
        imported(tmp_path, "film-a")


def test_imported_masks_are_reviewed_and_measured_again(films, tmp_path):
    """As the page does it: a correction of the imported mask is a version of the frame."""
    (row,) = imported(tmp_path, "film-a")["recordings"]
    results = open_results(row["folder"])
    recording, mask = results.recording(), results.mask(2)
    corrected = mask.copy()
    corrected[:10] = 0
    made = results.summary["settings"]["models"][0]
    reviews = Reviews.open(tmp_path / "reviews")
    image = recording.read(2) / np.float32(recording.scale)
    reviews.add(
        recording.names(2), image, corrected, status="corrected", who="A", model=made["ref"],
        model_sha256=made["sha256"], before=mask,
    )  # fmt: skip
    again = remeasure(results.folder, reviews.folder)
    np.testing.assert_array_equal(again.mask(2), corrected)
    np.testing.assert_array_equal(again.mask(1), results.mask(1))


@pytest.mark.slow
def test_a_network_is_trained_on_imported_masks(films, params, tmp_path):
    found = imported(tmp_path, "film-a", "film-b")
    small = overridden(
        params,
        [
            f"data.path={found['dataset']}",
            "data.train_batches=[0]",
            "data.validation_batches=[1]",
            "data.test_batches=[]",
            "training.seeds=1",
        ],
    )
    report = jobs.train(small, tmp_path / "trained", steps=["train", "evaluate"])
    assert report["n_images"] == 4
    assert report["seeds"][0]["mcc"] == report["validation"]["mcc.mean"]
