"""MOKE layout: round trip, and errors of malformed tables by row."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.datasets import Record, data_hash, open_dataset, write_moke
from spinscope.datasets.moke import moke_files
from spinscope.errors import SpinscopeError

IMAGE = np.full((16, 24), 0.5, dtype=np.float32)
LABEL = np.zeros((16, 24), dtype=np.uint8)


def test_round_trip(tmp_path):
    rng = np.random.default_rng(1)
    frames = [
        (Record("a", 3, 0), rng.integers(0, 256, (16, 24)) / 255, rng.integers(0, 5, (16, 24))),
        (Record("b", 7, 2, "only_training"), IMAGE, LABEL),
        (Record("c", 9, None, "unassigned"), IMAGE, LABEL),
    ]
    dataset = write_moke(tmp_path / "d", frames)
    assert dataset.records == tuple(record for record, _, _ in frames)
    assert dataset.sources == (3, 7, 9)
    for (record, image, label), (expected, pixels, classes) in zip(dataset, frames, strict=True):
        assert record == expected
        np.testing.assert_allclose(image, pixels, atol=0.5 / 255)
        np.testing.assert_array_equal(label, classes)
    assert (tmp_path / "d/table.csv").read_text().splitlines()[:2] == [
        "source_id;img_fn;label_fn",
        "3;images/a.png;labels/a.png",
    ]
    assert moke_files(dataset)[1][1] == tmp_path / "d/labels/b.png"


def test_a_byte_order_mark_and_windows_lines_do_not_matter(moke_folder):
    before = open_dataset(moke_folder).records
    for name in ("table.csv", "partition.txt"):
        text = (moke_folder / name).read_text().replace("\n", "\r\n")
        (moke_folder / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_dataset(moke_folder).records == before


def test_selection_keeps_frames_with_their_pixels(moke_folder):
    dataset = open_dataset(moke_folder)
    part = dataset.select(batches=[1], sources=[3])
    assert [record.source for record in part.records] == [3, 3]
    index = next(i for i, record in enumerate(dataset.records) if record == part.records[1])
    np.testing.assert_array_equal(part.image(1), dataset.image(index))
    np.testing.assert_array_equal(part.label(1), dataset.label(index))
    assert moke_files(part)[1] == moke_files(dataset)[index]
    with pytest.raises(SpinscopeError, match="batch 9 must be one of 0, 1, 2, 3, 4"):
        dataset.select(batches=[9])
    with pytest.raises(SpinscopeError, match="source 3 must be one of 0, 1"):
        dataset.select(batches=[0]).select(sources=[3])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "has no column"),
        ("source_id,img_fn,label_fn\n1,a,b\n", "has no column .* ;-separated"),
        ("source_id;img_fn\n1;a\n", "has no column label_fn"),
        ("source_id;img_fn;label_fn\n", "names no image"),
        ("source_id;img_fn;label_fn\n1;a;b\nx;a;b\n", r"row 3: source_id \(='x'\)"),
        ("source_id;img_fn;label_fn\n1;a\n", "row 2: img_fn and label_fn must not be empty"),
        ("source_id;img_fn;label_fn\n1;../a.png;b\n", "row 2: '../a.png' must lie within"),
        ("source_id;img_fn;label_fn\n1;a;/etc/b\n", "row 2: '/etc/b' must lie within"),
    ],
)
def test_a_malformed_table_is_named_by_row(tmp_path, table, says):
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(SpinscopeError, match=says):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("partition", "says"),
    [
        ("train;1\n", "line 1: 'train' must be train_test_val or only_training"),
        ("train_test_val;1\nonly_training;x\n", "line 2: source 'x' must be an integer"),
        ("train_test_val;1;2\ntrain_test_val;3;1\n", "line 2: source 1 stands twice"),
    ],
)
def test_a_malformed_partition_is_named_by_line(moke_folder, partition, says):
    (moke_folder / "partition.txt").write_text(partition)
    with pytest.raises(SpinscopeError, match=says):
        open_dataset(moke_folder)


def test_text_of_another_encoding_is_named(moke_folder):
    (moke_folder / "table.csv").write_bytes(b"source_id;img_fn;label_fn\n1;\xff;b\n")
    with pytest.raises(SpinscopeError, match=r"table\.csv must be readable UTF-8"):
        open_dataset(moke_folder)


def test_sources_outside_the_partition_belong_to_no_batch(moke_folder):
    (moke_folder / "partition.txt").write_text("train_test_val;0\n")
    records = open_dataset(moke_folder).records
    assert {(r.batch, r.use) for r in records if r.source} == {(None, "unassigned")}


def test_other_folders_are_errors(tmp_path):
    with pytest.raises(SpinscopeError, match="does not exist"):
        open_dataset(tmp_path / "none")
    with pytest.raises(SpinscopeError, match=r"neither table\.csv .* nor corpus\.json"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (Record("a", 1, 0), "two frames are named 'a'"),
        (Record("b", 1, 1), "source 1 stands twice"),
        (Record("b", 2, 0, "only_training"), "batch 0 must be either"),
    ],
)
def test_contradicting_frames_leave_the_earlier_dataset(tmp_path, second, says):
    write_moke(tmp_path / "d", [(Record("old", 5, 0), IMAGE, LABEL)])
    frames = [(Record("a", 1, 0), IMAGE, LABEL), (second, IMAGE, LABEL)]
    with pytest.raises(SpinscopeError, match=says):
        write_moke(tmp_path / "d", frames)
    assert [record.name for record in open_dataset(tmp_path / "d").records] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_the_hash_follows_the_content(moke_folder):
    dataset = open_dataset(moke_folder)
    before = data_hash(dataset)
    assert data_hash(dataset) == before
    label = moke_files(dataset)[0][1]
    label.write_bytes(label.read_bytes() + b"\0")
    assert data_hash(dataset) != before


@pytest.mark.moke
def test_the_real_frames_are_the_published_ones(moke):
    dataset = open_dataset(moke)
    assert len(dataset) == 109
    assert {record.batch for record in dataset.records} == {0, 1, 2, 3, 4}
    assert {record.use for record in dataset.records} == {"train_test_val"}
    assert dataset.image(0).shape == dataset.label(0).shape == (512, 672)
