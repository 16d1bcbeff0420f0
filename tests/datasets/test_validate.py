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
    coloured = Image.open(image).convert("RGB")
    coloured.putpixel((0, 0), (255, 0, 0))
    coloured.save(image)


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
    pixels = np.random.default_rng(1).uniform(0.3, 1, (20, 64))
    write_image(image, pixels - 0.3 * label_of((20, 64)))
    write_label(label, label_of((20, 64)))


def duplicate(image: Path, label: Path) -> None:
    # The pixels of a frame of another split, at another depth.
    for file, folder in ((image, "images"), (label, "labels")):
        shutil.copy(file.parents[1] / folder / "0080.png", file)
    levels = np.asarray(Image.open(image)).astype(np.uint16)
    Image.fromarray(levels * 257).save(image)


def mirror_copy(image: Path, label: Path) -> None:
    # A frame of another split, mirrored, one grey level brighter.
    for file, folder in ((image, "images"), (label, "labels")):
        copy = np.asarray(Image.open(file.parents[1] / folder / "0081.png"))[:, ::-1]
        Image.fromarray(copy if file is label else np.minimum(copy, 254) + 1).save(file)


def borrow_label(image: Path, label: Path) -> None:
    shutil.copy(label.with_name("0090.png"), label)


def move_label(image: Path, label: Path) -> None:
    Image.fromarray(np.roll(np.asarray(Image.open(label)), 24, axis=1)).save(label)


def invert(image: Path, label: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)


def swap_labels(image: Path, label: Path) -> None:
    other = label.with_name("0091.png")
    first, second = label.read_bytes(), other.read_bytes()
    label.write_bytes(second)
    other.write_bytes(first)


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
    (duplicate, "images", "no duplicate across splits", "a copy of images/0080.png of validation"),
]

DISAGREEING = [
    (mirror_copy, "images", "no duplicate across splits", "images/0081.png of validation (mirror"),
    (borrow_label, "labels", "label of its own frame", "it equals labels/0090.png, which fits"),
    (move_label, "labels", "label fits its image", "its correlation with the image is 0."),
    (invert, "images", "contrast of one sign", "its contrast is inverted: 80% of the sources"),
    (swap_labels, "labels", "label of its own frame", "the image fits labels/0091.png better"),
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


PARTNERS = {
    mirror_copy: [("images/0081.png", "images/0040.png of train (mirror")],
    swap_labels: [("labels/0091.png", "the image fits labels/0040.png better")],
}
"""The other file that an error breaks, and why."""


@pytest.mark.parametrize(("breaks", "folder", "rule", "says"), DISAGREEING)
def test_an_image_and_a_label_that_disagree_are_named(moke_folder, breaks, folder, rule, says):
    image, label = moke_files(open_dataset(moke_folder))[8]
    breaks(image, label)
    expected = dict([(f"{folder}/0040.png", says), *PARTNERS.get(breaks, ())])
    failures = validate(open_dataset(moke_folder), SPLITS).failures
    assert {f.rule for f in failures} == {rule}
    found = {f.file: f.detail for f in failures}
    assert set(found) == set(expected)
    assert [file for file, says in expected.items() if says not in found[file]] == []


def test_a_training_that_inverts_its_crops_accepts_both_signs(moke_folder):
    invert(*moke_files(open_dataset(moke_folder))[8])
    assert validate(open_dataset(moke_folder), SPLITS, either_contrast=True).ok


def test_exact_labels_of_a_simulated_corpus_are_not_judged(tmp_path):
    label = np.roll(label_of((64, 64)), 20, axis=0)
    assert not validate(packed(tmp_path / "a", label=label), {"train": [0, 1]}).ok
    simulated = packed(tmp_path / "b", {"kind": "kerr"}, label=label)
    assert validate(simulated, {"train": [0, 1]}).ok


def packed(folder: Path, header: dict | None = None, **changes) -> Dataset:
    """Corpus of four frames; `changes` replace image, label or source of frame 2."""
    rng = np.random.default_rng(1)

    def frames():
        for k in range(4):
            row = {"name": f"f{k}", "source": k, "batch": k // 2}
            label = label_of((64, 64))
            image = (rng.integers(60, 256, label.shape) - 60 * label).astype(np.uint8)
            if k == 2:
                row["source"] = changes.get("source", 2)
                image, label = changes.get("image", image), changes.get("label", label)
            yield row, image, label

    return open_dataset(write_corpus(folder, frames(), header=header or {}, shard_frames=1))


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
    files = moke_files(open_dataset(moke_folder))
    for one, other in zip(files[0], files[5], strict=True):
        shutil.copy(one, other)
    dataset = open_dataset(moke_folder)
    assert validate(dataset, SPLITS).ok
    assert validate(dataset, {"train": [1]}).ok
    assert validate(dataset).ok


def test_every_rule_is_broken_in_some_test():
    broken = {rule for _, _, rule, _ in [*BROKEN, *DISAGREEING]}
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
@pytest.mark.parametrize(
    ("error", "rule", "broken"),
    [
        ("one level", "no duplicate across splits", {"images/000056.png", "images/000000.png"}),
        ("mirror", "no duplicate across splits", {"images/000056.png", "images/000000.png"}),
        ("swap", "label of its own frame", {"labels/000026.png", "labels/000027.png"}),
        ("other source", "label of its own frame", {"labels/000000.png"}),
        ("invert", "contrast of one sign", {"images/000000.png"}),
    ],
)
def test_errors_in_the_real_frames_are_named(moke, tmp_path, error, rule, broken):
    """Frame 000000 is of training, 000056 of validation; 000026 and 000027 of one video."""
    kept = [0, 1, 6, 7, 16, 26, 27, 28, 56, 57, 66, 67, 93, 113]
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for k in kept:
            shutil.copyfile(moke / part / f"{k:06d}.png", tmp_path / part / f"{k:06d}.png")
    head, *rows = (moke / "table.csv").read_text().splitlines()
    rows = [row for row in rows if any(f"images/{k:06d}.png" in row for k in kept)]
    (tmp_path / "table.csv").write_text("\n".join([head, *rows]))
    shutil.copyfile(moke / "partition.txt", tmp_path / "partition.txt")
    images, labels = tmp_path / "images", tmp_path / "labels"
    if error in ("one level", "mirror"):
        for part, added in ((images, 1), (labels, 0)):
            pixels = np.asarray(Image.open(part / "000056.png"))
            pixels = pixels[::-1] if error == "mirror" else np.clip(pixels, 0, 255 - added) + added
            Image.fromarray(pixels.astype(np.uint8)).save(part / "000000.png")
    elif error == "swap":
        one, other = (labels / name for name in ("000026.png", "000027.png"))
        first = one.read_bytes()
        shutil.copyfile(other, one)
        other.write_bytes(first)
    elif error == "other source":
        shutil.copyfile(labels / "000001.png", labels / "000000.png")
    else:
        invert(images / "000000.png", labels / "000000.png")
    found = validate(open_dataset(tmp_path), {"train": [0, 1, 3, 4], "validation": [2]}).failures
    assert {(f.file, f.rule) for f in found} == {(file, rule) for file in broken}


@pytest.mark.moke
def test_the_real_frames_are_valid(moke):
    validation = validate(open_dataset(moke), {"train": [0, 1, 3, 4], "validation": [2]})
    assert validation.failures == ()
    assert validation.n_images == 109
