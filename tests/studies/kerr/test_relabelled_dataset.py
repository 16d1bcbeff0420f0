"""A dataset version names where each label came from, and DVC knows it by the same name."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from tests.datasets.test_dvc import dvc

from spinscope.datasets import data_hash, open_dataset
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.studies.kerr.relabelled_dataset import (
    HAND,
    PROVENANCE,
    kept_value,
    kept_version,
    provenance,
    relabelled_dataset,
    write_dvc,
)

ORIGIN = {"models": [{"seed": 0, "sha256": "ab" * 32}], "min_px": 4, "sources": (1, 2)}


def flipped(base):
    """Labels of the odd frames with their first row a defect."""

    def label_of(index):
        if index % 2 == 0:
            return None
        label = base.label(index).copy()
        label[0] = 2
        return label

    return label_of


def test_frames_labels_and_where_they_came_from(moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    version = relabelled_dataset(base, flipped(base), tmp_path / "v", by="model", origin=ORIGIN)
    assert version.records == base.records
    said = provenance(version.path)
    assert said["base_hash"] == data_hash(base)
    assert said["origin"]["models"] == ORIGIN["models"]
    for index, row in enumerate(said["frames"]):
        np.testing.assert_array_equal(version.image(index), base.image(index))
        before, after = base.label(index), version.label(index)
        assert row["by"] == ("model" if index % 2 else HAND)
        assert (row["before"], row["after"]) == (pixel_sha256(before), pixel_sha256(after))
        assert row["changed_px"] == np.count_nonzero(before != after)
        assert (row["changed_px"] > 0) == bool(index % 2)
    assert str(tmp_path) not in (version.path / PROVENANCE).read_text()


def test_the_same_labels_are_the_same_version(moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    a, b = (
        relabelled_dataset(base, flipped(base), tmp_path / name, by="model", origin=ORIGIN)
        for name in "ab"
    )
    assert data_hash(a) == data_hash(b) != data_hash(base)


def test_a_version_of_a_version_keeps_its_authors(moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    first = relabelled_dataset(base, flipped(base), tmp_path / "1", by="model a")
    new = first.label(0)
    second = relabelled_dataset(first, lambda i: None if i else new, tmp_path / "2", by="model b")
    authors = [row["by"] for row in provenance(second.path)["frames"]]
    assert authors[:4] == ["model b", "model a", HAND, "model a"]


def test_a_version_is_taken_up_only_if_it_is_the_one_asked_for(moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    path, written = tmp_path / "v", []

    def version(*key):
        def write():
            written.append(key)
            relabelled_dataset(base, flipped(base), path, by="model", origin=ORIGIN)
            return len(written)

        return kept_version(path, key, write)

    keys = [(data_hash(base), ORIGIN), ("md5:other.dir", ORIGIN)]
    keys.append((data_hash(base), {**ORIGIN, "min_px": 5}))
    for number, key in enumerate(keys, 1):
        for _ in range(2):
            dataset, value = version(*key)
            assert (dataset.records, value, len(written)) == (base.records, number, number)
    assert kept_value(path) == 3
    shutil.rmtree(path)
    assert version(*keys[-1])[1] == 4
    (path / PROVENANCE).write_text(json.dumps({"frames": []}))
    with pytest.raises(SpinscopeError, match="does not say where its labels came from"):
        provenance(path)


def test_a_label_of_another_size_writes_nothing(moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    with pytest.raises(SpinscopeError, match=r"0000.*\(9, 9\).*\(64, 64\)"):
        relabelled_dataset(base, lambda _: np.zeros((9, 9), np.uint8), tmp_path / "v", by="model")
    assert [path.name for path in tmp_path.iterdir()] == ["moke"]


def test_dvc_knows_the_version_by_the_same_name(git, moke_folder, tmp_path):
    base = open_dataset(moke_folder)
    project = tmp_path / "project"
    version = relabelled_dataset(base, flipped(base), project / "relabelled", by="model")
    ours = yaml.safe_load(write_dvc(version).read_text())
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    dvc(project, "init", "-q")
    (project / "relabelled.dvc").unlink()
    dvc(project, "add", "-q", "relabelled")
    assert yaml.safe_load((project / "relabelled.dvc").read_text()) == ours
