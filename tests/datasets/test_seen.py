"""Frames that a model was trained on, found again under rotation, mirroring and another depth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.conftest import discs

from spinscope.datasets import Record, open_dataset, write_moke
from spinscope.datasets.seen import (
    FRAMES,
    TrainingFrames,
    corpus_name,
    frame_hash,
    read_frames,
    training_frames,
)
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError


def frames(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    for k in range(n):
        image, label = discs(rng)
        yield Record(f"{seed}{k:02d}", k, k % 2), image[:48], label[:48]


def test_a_hash_is_that_of_all_orientations_and_of_no_other_image():
    (_, image, _), (_, other, _) = frames(2)
    copies = [np.rot90(side, k) for side in (image, image[::-1]) for k in range(4)]
    assert {frame_hash(copy) for copy in copies} == {frame_hash(image)}
    assert frame_hash(other) != frame_hash(image)
    eight = np.round(image * 255) / 255
    assert frame_hash(np.round(eight * 65535) / 65535) == frame_hash(eight)
    assert frame_hash(image.reshape(64, 48)) != frame_hash(image)


def test_a_dataset_contains_the_frames_it_was_trained_on(tmp_path):
    mine = write_moke(tmp_path / "mine", frames(4))
    mixed = [*frames(2, seed=1), *((r, image[:, ::-1], label) for r, image, label in frames(1))]
    other = write_moke(tmp_path / "other", mixed)
    trained = training_frames(mine)
    assert trained.contains(mine) == [True] * 4
    assert sorted(trained.contains(other)) == [False, False, True]
    assert TrainingFrames().contains(other) == [False] * 3


def test_another_image_of_a_simulated_source_was_seen(tmp_path):
    """The same film at another tilt has other pixels."""

    def corpus(name, seed, image_seed):
        rows = (
            ({"name": r.name, "source": r.source, "batch": r.batch}, np.uint8(255 * image), label)
            for r, image, label in frames(4, image_seed)
        )
        header = {"kind": "ltem", "generator": 1, "seed": seed}
        return open_dataset(write_corpus(tmp_path / name, rows, header=header))

    trained = training_frames(corpus("a", 0, 0).select([0]))
    assert trained.contains(corpus("b", 0, 5)) == [True, False, True, False]
    assert trained.contains(corpus("c", 1, 5)) == [False] * 4
    assert corpus_name(corpus("c", 1, 5)) == "ltem 1 seed 1"


def test_the_list_survives_the_model_folder(tmp_path):
    one = TrainingFrames(frozenset({"a", "b"}), {"kerr 2 seed 0": frozenset({1, 2})})
    two = TrainingFrames(frozenset({"c"}), {"kerr 2 seed 0": frozenset({7})})
    (tmp_path / FRAMES).write_text(json.dumps((one | two).to_json()))
    assert read_frames(tmp_path) == TrainingFrames(
        frozenset("abc"), {"kerr 2 seed 0": frozenset({1, 2, 7})}
    )
    assert read_frames(tmp_path / "elsewhere") is None
    (tmp_path / FRAMES).write_text("[]")
    with pytest.raises(SpinscopeError, match=r"training_frames\.json must list the frames"):
        read_frames(tmp_path)


def test_the_bundled_networks_know_their_frames(moke):
    from spinscope.models.store import model_info, resolve_local

    dataset = open_dataset(moke).select([2])
    for name, seen in (("moke-unet", True), ("moke-unet-simulated", False), ("ltem-unet", False)):
        folder = resolve_local(f"bundled:{name}")
        model_info(folder)  # the list is under the checksums
        assert set(read_frames(folder).contains(dataset)) == {seen}
