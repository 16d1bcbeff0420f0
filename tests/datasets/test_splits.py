"""Splits have no common source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinscope.datasets import Dataset, Record, open_dataset, split_by_batch
from spinscope.datasets.splits import check_disjoint
from spinscope.errors import SpinscopeError


def dataset(batch_of_source: list[int], frames: int = 2, use: str = "train_test_val") -> Dataset:
    records = tuple(
        Record(f"{source}-{k}", source, batch, use)
        for source, batch in enumerate(batch_of_source)
        for k in range(frames)
    )
    return Dataset(Path("none"), records, None, tuple(range(len(records))))


batches = st.lists(st.integers(0, 4), max_size=4)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), batches, batches, batches)
def test_no_source_is_ever_in_two_splits(batch_of_source, train, validation, test):
    whole = dataset(batch_of_source)
    try:
        splits = split_by_batch(whole, train, validation, test)
    except SpinscopeError:
        asked = [set(train), set(validation), set(test)]
        overlap = any(a & b for i, a in enumerate(asked) for b in asked[:i])
        absent = not set().union(*asked) <= set(batch_of_source)
        assert overlap or absent or not train or not validation
        return
    parts = list(splits.named().values())
    sources = [set(part.sources) for part in parts]
    assert sum(map(len, sources)) == len(set().union(*sources))
    # and every frame of the batches that were asked for is in a split, once
    rows = sorted(row for part in parts for row in part.rows)
    wanted = {*train, *validation, *test}
    assert rows == [i for i, record in enumerate(whole.records) if record.batch in wanted]


def test_batches_that_overlap_are_refused(moke_folder):
    with pytest.raises(SpinscopeError, match="source 2 is in train and in validation"):
        split_by_batch(open_dataset(moke_folder), [0, 1], [1])
    with pytest.raises(SpinscopeError, match="is in validation and in test"):
        split_by_batch(open_dataset(moke_folder), [0], [1], [1])


def test_a_missing_batch_names_the_setting_and_the_dataset(moke_folder):
    with pytest.raises(SpinscopeError, match=r"data\.validation_batches \(=\[7\]\): batch 7 must "):
        split_by_batch(open_dataset(moke_folder), [0], [7])
    with pytest.raises(SpinscopeError, match=r"one of 0, the batches of none; a single batch"):
        split_by_batch(dataset([0, 0]), [0], [1])


def test_a_split_without_batches_is_refused(moke_folder):
    with pytest.raises(SpinscopeError, match=r"data\.validation_batches must name a batch"):
        split_by_batch(open_dataset(moke_folder), [0], [])


def test_only_training_sources_only_train():
    whole = dataset([0, 1], use="only_training")
    with pytest.raises(SpinscopeError, match="source 1 is only_training"):
        split_by_batch(whole, [0], [1])


def test_a_source_of_two_batches_is_refused():
    first, second = dataset([0, 1]), dataset([1, 0])
    with pytest.raises(SpinscopeError, match="splits are by source"):
        check_disjoint({"a": first, "b": second})


@pytest.mark.moke
def test_the_real_splits_share_no_source(moke):
    splits = split_by_batch(open_dataset(moke), [0, 1, 3, 4], [2])
    assert not set(splits.train.sources) & set(splits.validation.sources)
    assert len(splits.train) + len(splits.validation) == 109
