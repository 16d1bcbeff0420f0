"""Manifest: statistics of every frame, or the rule that it breaks."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from spinscope.classes import CLASSES
from spinscope.datasets import Record, open_dataset, write_moke
from spinscope.datasets.manifest import COLUMNS, count_objects, manifest, pixel_sha256
from spinscope.datasets.moke import moke_files
from spinscope.datasets.shards import write_corpus


@pytest.fixture
def one(tmp_path):
    """One frame of 16 x 20 with known values: two skyrmions that touch at a corner."""
    image = np.full((16, 20), 0.4, dtype=np.float32)
    image[0, :10], image[1, :6] = 1, 0
    label = np.zeros((16, 20), dtype=np.uint8)
    label[4:6, 4:6] = label[6:8, 6:8] = 1
    label[12:, 12:] = 1
    label[0, :10], label[15, :5], label[14, :4] = 2, 3, 4
    return write_moke(tmp_path / "one", [(Record("f", 5, 1), image, label)])


def test_every_number_of_a_frame(one):
    (row,) = manifest(one).to_dict("records")
    assert (row["name"], row["image"], row["label"]) == ("f", "images/f.png", "labels/f.png")
    assert (row["source"], row["batch"], row["use"]) == (5, 1, "train_test_val")
    assert (row["height"], row["width"], row["bits"], row["objects"]) == (16, 20, 8, 2)
    assert row["mean"] == pytest.approx((10 + 304 * 0.4) / 320, abs=1e-6)
    assert (row["min"], row["max"], row["clipped"]) == (0, 1, 16 / 320)
    values = np.array([1.0] * 10 + [0] * 6 + [0.4] * 304)
    assert row["std"] == pytest.approx(values.std(), abs=1e-6)
    fractions = {"skyrmion": 40, "defect": 10, "outside": 5, "edge": 4, "background": 261}
    assert {name: row[name] * 320 for name in CLASSES} == pytest.approx(fractions)
    assert pd.isna(row["rule"])
    assert pd.isna(row["error"])


def test_columns_have_their_types_even_where_nothing_could_be_read(one):
    expected = manifest(one).dtypes
    for path in moke_files(one)[0]:
        path.write_bytes(b"")
    table = manifest(one)
    assert list(table.columns) == list(COLUMNS)
    assert (table.dtypes == expected).all()
    assert (table["rule"][0], table["width"].isna()[0]) == ("image readable", True)


def test_rows_follow_the_dataset_and_do_not_depend_on_threads(moke_folder):
    dataset = open_dataset(moke_folder).select(batches=[1, 3])
    tables = [manifest(dataset, workers=workers) for workers in (1, 4)]
    pd.testing.assert_frame_equal(*tables)
    assert list(tables[0]["name"]) == [record.name for record in dataset.records]


def test_one_frame_has_one_hash_whatever_the_encoding(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (16, 16)) / 255
    label = np.zeros((16, 16), dtype=np.uint8)
    hashes = set()
    for bits in (8, 16):
        written = write_moke(tmp_path / str(bits), [(Record("f", 0, 0), image, label)], bits)
        (row,) = manifest(written).to_dict("records")
        assert row["bits"] == bits
        hashes.add(row["image_sha256"])
    levels = np.round(image * 255).astype(np.uint8)
    row = {"name": "f", "source": 0, "batch": 0}
    write_corpus(tmp_path / "c", [(row, levels, label)], header={})
    hashes.add(manifest(open_dataset(tmp_path / "c"))["image_sha256"][0])
    assert len(hashes) == 1


def test_hashes_differ_between_frames():
    zeros = np.zeros((2, 3), dtype=np.uint8)
    same = np.zeros((3, 2), dtype=np.uint8).T
    assert pixel_sha256(zeros) == pixel_sha256(same)
    others = [zeros.reshape(3, 2), zeros.astype(np.int8), zeros + 1]
    assert len({pixel_sha256(array) for array in (zeros, *others)}) == 4
    assert pixel_sha256(zeros) == hashlib.sha256(b"|u1(2, 3)" + bytes(6)).hexdigest()


def test_objects_touch_by_corners_too():
    mask = np.random.default_rng(2).random((40, 40)) < 0.2
    distance = ndimage.distance_transform_cdt(~mask, metric="chessboard")
    assert distance.max() > 1  # else everything would be one object
    seen = np.zeros_like(mask)
    count = 0
    for y, x in np.argwhere(mask):  # flood from each that no earlier flood has reached
        if seen[y, x]:
            continue
        count += 1
        flood = [(y, x)]
        while flood:
            y, x = flood.pop()
            if 0 <= y < 40 and 0 <= x < 40 and mask[y, x] and not seen[y, x]:
                seen[y, x] = True
                flood += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    assert count_objects(mask) == count


def test_errors_do_not_name_the_folder(one):
    moke_files(one)[0][1].unlink()
    table = manifest(one)
    assert (table["rule"][0], table["error"][0]) == ("label present", "labels/f.png is missing")
    moke_files(one)[0][0].write_bytes(b"x")
    assert str(one.path) not in manifest(one)["error"][0]


@pytest.mark.moke
def test_the_real_frames_are_all_read(moke):
    table = manifest(open_dataset(moke))
    assert table["rule"].isna().all()
    assert set(zip(table["height"], table["width"], table["bits"], strict=True)) == {(512, 672, 8)}
    np.testing.assert_allclose(table[list(CLASSES)].sum(axis=1), 1)
