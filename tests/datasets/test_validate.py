"""Validation: each rule is broken once and reported with the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinscope.datasets import Dataset, open_dataset, split_by_batch
from spinscope.datasets.moke import moke_files
from spinscope.datasets.shards import write_corpus
from spinscope.datasets.validate import RULES, require_valid, validate
from spinscope.errors import SpinscopeError
from spinscope.images import write_image, write_label

SPLITS = {"train": [0, 1, 2, 3], "validation": [4]}


def label_of(shape: tuple[int, int]) -> np.ndarray:
    label = np.zeros(shape, dtype=np.uint8)
    label[3:6, 3:6] = 1
    return label


def remove_image(image: Path, label: Path) -> None:
    image.unlink()


def truncate_image(image: Path, label: Path) -> None:
    image.write_bytes(image.read_bytes()[:1500])


def colour_image(image: Path, label: Path) -> None:
    Image.open(image).convert("RGB").save(image)


def remove_label(image: Path, label: Path) -> None:
    label.unlink()


def truncate_label(image: Path, label: Path) -> None:
    label.write_bytes(label.read_bytes()[:200])


def paint_label(image: Path, label: Path) -> None:
    image = Image.open(label)
    image.putpixel((9, 7), (255, 0, 255))
    image.save(label)


def crop_label(image: Path, label: Path) -> None:
    Image.open(label).crop((0, 0, 60, 64)).save(label)


def empty_mask(image: Path, label: Path) -> None:
    write_label(label, np.zeros((64, 64), dtype=np.uint8))


def flat_image(image: Path, label: Path) -> None:
    write_image(image, np.full((64, 64), 0.3))


def tiny(image: Path, label: Path) -> None:
    write_image(image, np.random.default_rng(1).random((20, 64)))
    write_label(label, label_of((20, 64)))


def duplicate(image: Path, label: Path) -> None:
    # The pixels of a frame of another split, at another depth.
    levels = np.asarray(Image.open(image.with_name("0080.png"))).astype(np.uint16)
    Image.fromarray(levels * 257).save(image)


BROKEN = [
    (remove_image, "images", "image present", "is missing"),
    (truncate_image, "images", "image readable", "is truncated"),
    (colour_image, "images", "image readable", "must be grayscale"),
    (remove_label, "labels", "label present", "is missing"),
    (truncate_label, "labels", "label readable", "is truncated"),
    (paint_label, "labels", "known colours", "colour (255, 0, 255) at (y=7, x=9)"),
    (crop_label, "labels", "same size", "is 60x64, its image is 64x64"),
    (empty_mask, "labels", "mask not empty", "no skyrmion pixel"),
    (flat_image, "images", "image not constant", "must be at least 0.002"),
    (tiny, "images", "plausible size", "64x20 pixels"),
    (duplicate, "images", "no duplicate across splits", "images/0080.png of validation"),
]


def test_every_broken_file_is_named_with_its_rule_and_no_other(moke_folder):
    """One frame is broken for every rule; frame 0080 is the twin of the duplicate."""
    files = moke_files(open_dataset(moke_folder))
    expected = {}
    for (image, label), (breaks, folder, rule, says) in zip(files, BROKEN, strict=False):
        breaks(image, label)
        expected[f"{folder}/{image.name}", rule] = says
    twin = f"images/{files[len(BROKEN) - 1][0].name} of train"
    expected["images/0080.png", "no duplicate across splits"] = twin
    validation = validate(open_dataset(moke_folder), SPLITS)
    assert not validation.ok
    found = {(f.file, f.rule): f.detail for f in validation.failures}
    assert set(found) == set(expected)
    assert [key for key, says in expected.items() if says not in found[key]] == []
    with pytest.raises(SpinscopeError, match=r"images/0000\.png \(image present\): is missing"):
        require_valid(validation)


def packed(folder: Path, **changes) -> Dataset:
    """Corpus of four frames; `changes` replace image, label or source of frame 2."""
    rng = np.random.default_rng(1)

    def frames():
        for k in range(4):
            row = {"name": f"f{k}", "source": k, "batch": k // 2}
            image, label = rng.integers(0, 256, (64, 64)).astype(np.uint8), label_of((64, 64))
            if k == 2:
                row["source"] = changes.get("source", 2)
                image, label = changes.get("image", image), changes.get("label", label)
            yield row, image, label

    return open_dataset(write_corpus(folder, frames(), header={}, shard_frames=1))


@pytest.mark.parametrize(
    ("changes", "file", "rule", "says"),
    [
        (
            {"label": np.zeros((64, 64), np.uint8)},
            "labels-0002.npy", "mask not empty", "frame f2: it holds no skyrmion",
        ),
        (
            {"label": np.full((64, 64), 7, np.uint8)},
            "labels-0002.npy", "known colours", "frame f2: class 7 must be below 5",
        ),
        (
            {"image": np.full((64, 64), 80, np.uint8)},
            "images-0002.npy", "image not constant", "frame f2: its standard deviation",
        ),
        (
            {"label": label_of((64, 60))},
            "labels-0002.npy", "same size", "frame f2: is 60x64, its image is 64x64",
        ),
    ],
)  # fmt: skip
def test_a_packed_frame_is_named_with_its_shard(tmp_path, changes, file, rule, says):
    (failure,) = validate(packed(tmp_path / "c", **changes), {"train": [0, 1]}).failures
    assert (failure.file, failure.rule) == (file, rule)
    assert says in failure.detail


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_damaged_shard_is_named(tmp_path, kind):
    corpus = packed(tmp_path / "c")
    shard = corpus.path / f"{kind}s-0002.npy"
    body = bytearray(shard.read_bytes())
    body[-1] ^= 1
    shard.write_bytes(body)
    (failure,) = validate(corpus).failures
    assert (failure.file, failure.rule) == (shard.name, f"{kind} intact")
    assert "has sha256" in failure.detail


def test_a_source_in_two_splits_is_named(tmp_path):
    corpus = packed(tmp_path / "c", source=0)  # frame 2 of batch 1 now is of source 0 of batch 0
    failures = validate(corpus, {"train": [0], "validation": [1]}).failures
    assert [(f.file, f.rule) for f in failures] == [
        ("images-0000.npy", "source in one split"),
        ("images-0002.npy", "source in one split"),
    ]
    assert "its source 0 is in train+validation" in failures[0].detail


def test_a_batch_in_two_splits_is_named(moke_folder):
    failures = validate(open_dataset(moke_folder), {"train": [0, 1], "validation": [1]}).failures
    assert {f.file for f in failures} == {f"images/00{s}{k}.png" for s in (2, 3) for k in (0, 1)}
    assert {f.rule for f in failures} == {"source in one split"}


def test_a_depth_that_no_camera_has_is_named(tmp_path):
    image = np.random.default_rng(1).integers(0, 2**32, (64, 64), dtype=np.uint32)
    label = label_of((64, 64))
    frames = [({"name": "f", "source": 0, "batch": 0}, image.astype(np.uint64), label)]
    failures = validate(open_dataset(write_corpus(tmp_path / "c", frames, header={}))).failures
    assert ("images-0000.npy", "plausible depth") in [(f.file, f.rule) for f in failures]


def test_only_training_sources_may_lack_skyrmions(moke_folder):
    dataset = open_dataset(moke_folder)
    write_label(moke_files(dataset)[0][1], np.zeros((64, 64), dtype=np.uint8))
    text = (moke_folder / "partition.txt").read_text()
    (moke_folder / "partition.txt").write_text(
        text.replace("train_test_val;0;", "only_training;0;")
    )
    assert validate(open_dataset(moke_folder), SPLITS).ok


def test_twins_in_one_split_or_in_none_break_no_rule(moke_folder):
    images = [image for image, _ in moke_files(open_dataset(moke_folder))]
    shutil.copy(images[0], images[5])
    dataset = open_dataset(moke_folder)
    assert validate(dataset, SPLITS).ok
    assert validate(dataset, {"train": [1]}).ok
    assert validate(dataset).ok


def test_every_rule_is_broken_in_some_test():
    broken = {rule for _, _, rule, _ in BROKEN}
    elsewhere = {"image intact", "label intact", "source in one split", "plausible depth"}
    assert {rule.name for rule in RULES} == broken | elsewhere


def test_a_sound_dataset_is_valid(moke_folder, tmp_path):
    dataset = open_dataset(moke_folder)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    validation = validate(dataset, split_by_batch(dataset, *SPLITS.values()), out)
    assert validation.ok
    assert (validation.failures, validation.n_images) == ((), 20)
    require_valid(validation)
    assert validation.report == out / "index.html"
    assert "moke is valid" in validation.report.read_text()
    assert "holds" in validation.report.read_text()
    assert json.loads((out / "validation.json").read_text()) == {
        "ok": True, "n_images": 20, "failures": [],
    }  # fmt: skip
    assert set(validation.manifest["splits"]) == {"train", "validation"}
    assert len((out / "manifest.csv").read_text().splitlines()) == 21
    assert (out / "thesis.txt").read_text() == "mine"


def test_the_report_names_the_failure_and_links_to_the_data_docs(moke_folder, tmp_path):
    moke_files(open_dataset(moke_folder))[3][1].unlink()
    for _ in range(2):  # a second time over the first
        validation = validate(open_dataset(moke_folder), SPLITS, tmp_path / "out")
    page = validation.report.read_text()
    assert "moke is not valid" in page
    assert "labels/0011.png" in page
    (link,) = (part for part in page.split('"') if part.startswith("data_docs/validations"))
    docs = (tmp_path / "out" / link).read_text()
    assert "labels/0011.png" in docs
    assert str(tmp_path) not in page + docs
    stored = json.loads((tmp_path / "out/validation.json").read_text())
    assert stored["failures"] == [
        {"file": "labels/0011.png", "rule": "label present", "detail": "is missing"}
    ]


def test_the_manifest_does_not_depend_on_the_folder(moke_folder, tmp_path):
    moke_files(open_dataset(moke_folder))[0][0].write_bytes(b"x")
    shutil.copytree(moke_folder, tmp_path / "elsewhere")
    tables = []
    for folder in (moke_folder, tmp_path / "elsewhere"):
        validate(open_dataset(folder), SPLITS, tmp_path / "out")
        tables.append((tmp_path / "out/manifest.csv").read_bytes())
    assert tables[0] == tables[1]


def test_many_failures_are_counted(moke_folder):
    dataset = open_dataset(moke_folder)
    for _, label in moke_files(dataset)[:5]:
        label.unlink()
    with pytest.raises(SpinscopeError, match=r"5 times: .*; and 2 more$"):
        require_valid(validate(dataset))


def test_an_unknown_batch_is_an_error(moke_folder):
    with pytest.raises(SpinscopeError, match="batch 9 must be one of"):
        validate(open_dataset(moke_folder), {"train": [9]})


@pytest.mark.moke
def test_the_real_frames_are_valid(moke):
    validation = validate(open_dataset(moke), {"train": [0, 1, 3, 4], "validation": [2]})
    assert validation.failures == ()
    assert validation.n_images == 109
