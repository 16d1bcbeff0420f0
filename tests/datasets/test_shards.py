"""Packed corpora: round trip, reproducible bytes, and damage."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinscope.datasets import open_dataset
from spinscope.datasets.shards import damaged_files, read_header, write_corpus
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder


def frames(n: int, dtype=np.uint8, seed: int = 1):
    rng = np.random.default_rng(seed)
    for k in range(n):
        image = rng.integers(0, np.iinfo(dtype).max, (12, 16), endpoint=True, dtype=dtype)
        label = rng.integers(0, 5, (12, 16)).astype(np.uint8)
        yield {"name": f"f{k}", "source": k // 2, "batch": k // 4, "kind": "test"}, image, label


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SpinscopeError, match="holds other files"):
        write_corpus(tmp_path, frames(1), header={})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_round_trip(tmp_path, dtype):
    write_corpus(tmp_path / "c", frames(5, dtype), header={"seed": 1}, shard_frames=2)
    dataset = open_dataset(tmp_path / "c")
    assert sorted(p.name for p in (tmp_path / "c").glob("images-*")) == [
        f"images-000{k}.npy" for k in range(3)
    ]
    for (record, image, label), (row, levels, classes) in zip(
        dataset, frames(5, dtype), strict=True
    ):
        assert (record.name, record.source, record.batch) == (
            row["name"], row["source"], row["batch"],
        )  # fmt: skip
        np.testing.assert_array_equal(image, levels.astype(np.float32) / np.iinfo(dtype).max)
        np.testing.assert_array_equal(label, classes)
    assert dataset.depth(0) == np.iinfo(dtype).bits
    assert dataset.names(4) == ("images-0002.npy", "labels-0002.npy")
    header = read_header(tmp_path / "c")
    assert (header["seed"], header["n"]) == (1, 5)
    assert not damaged_files(tmp_path / "c")


def test_the_same_frames_give_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_corpus(tmp_path / name, frames(5, seed=seed), header={"seed": 1}, shard_frames=2)
    assert sha256_folder(tmp_path / "a") == sha256_folder(tmp_path / "b")
    assert sha256_folder(tmp_path / "a") != sha256_folder(tmp_path / "c")


def test_a_flipped_bit_is_found(tmp_path):
    corpus = write_corpus(tmp_path / "c", frames(4), header={}, shard_frames=2)
    shard = corpus / "labels-0001.npy"
    body = bytearray(shard.read_bytes())
    body[-1] ^= 1
    shard.write_bytes(body)
    damage = damaged_files(corpus)
    assert list(damage) == ["labels-0001.npy"]
    assert damage["labels-0001.npy"].startswith("has sha256")


def test_a_missing_or_short_shard_is_named(tmp_path):
    corpus = write_corpus(tmp_path / "c", frames(4), header={}, shard_frames=2)
    shard = corpus / "images-0001.npy"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(SpinscopeError, match=r"images-0001\.npy is missing or damaged"):
        open_dataset(corpus).image(2)
    shard.unlink()
    with pytest.raises(SpinscopeError, match=r"images-0001\.npy is missing or damaged"):
        open_dataset(corpus).image(2)
    assert damaged_files(corpus) == {"images-0001.npy": "is missing"}


def test_a_shard_never_runs_pickled_code(tmp_path):
    corpus = write_corpus(tmp_path / "c", frames(2), header={})
    np.save(corpus / "images-0000.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(SpinscopeError, match="damaged"):
        open_dataset(corpus).image(0)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("name,source\na,1\n", "must hold rows with name, source"),
        ("name,source,batch,shard,index\n", "must hold rows"),
        ("name,source,batch,shard,index\na,x,0,0,0\n", r"row 2: source \(='x'\)"),
        ("name,source,batch,shard,index\na,1,0,0,9\n", r"images-0000\.npy holds no frame 9"),
    ],
)
def test_a_malformed_manifest_is_named(tmp_path, manifest, says):
    corpus = write_corpus(tmp_path / "c", frames(2), header={})
    (corpus / "manifest.csv").write_text(manifest)
    with pytest.raises(SpinscopeError, match=says):
        open_dataset(corpus).image(0)


def test_a_malformed_header_is_an_error(tmp_path):
    corpus = write_corpus(tmp_path / "c", frames(2), header={})
    for text in ("{", json.dumps({"n": 2}), "[]"):
        (corpus / "corpus.json").write_text(text)
        with pytest.raises(SpinscopeError, match=r"corpus\.json must be the header"):
            read_header(corpus)


def failing():
    yield from frames(3)
    raise RuntimeError("no more")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (failing(), RuntimeError),
        (iter(()), SpinscopeError),
        (
            [(row, image[: 12 - k], label) for k, (row, image, label) in enumerate(frames(2))],
            SpinscopeError,
        ),
    ],
)
def test_a_corpus_that_fails_leaves_the_earlier_one(tmp_path, bad, error):
    write_corpus(tmp_path / "c", frames(2), header={"seed": 1})
    with pytest.raises(error):
        write_corpus(tmp_path / "c", bad, header={"seed": 2})
    assert not damaged_files(tmp_path / "c")
    assert read_header(tmp_path / "c")["seed"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
