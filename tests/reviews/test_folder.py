"""Versions of masks: nothing is lost, nothing is overwritten, and corrections become a dataset."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs

from spinscope.datasets import Record, open_dataset, split_by_batch, write_moke
from spinscope.errors import SpinscopeError
from spinscope.images import read_label
from spinscope.reviews import folder as module
from spinscope.reviews.corrected import CORRECTIONS, corrected_dataset
from spinscope.reviews.folder import FORMER_KEYS, Reviews, mask_sha256

BY_ADA = {"who": "Ada", "model": "bundled:moke-unet", "model_sha256": "ab" * 32}


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:
    return discs(np.random.default_rng(1), size=48)


@pytest.fixture
def reviews(tmp_path) -> Reviews:
    return Reviews.open(tmp_path / "reviews" / "film-0123abcd")


def test_a_correction_comes_back_with_who_when_and_what_was_before(reviews, frame):
    image, before = frame
    after = before.copy()
    after[20:30, 20:30] = 1
    review = reviews.add("0007", image, after, status="corrected", before=before, **BY_ADA)
    again = Reviews.open(reviews.folder)
    assert again.latest("0007") == review
    assert (review.version, review.status, review.who) == (1, "corrected", "Ada")
    assert (review.model, review.model_sha256) == ("bundled:moke-unet", "ab" * 32)
    assert datetime.fromisoformat(review.when).utcoffset().total_seconds() == 0
    assert (review.before, review.after) == (mask_sha256(before), mask_sha256(after))
    np.testing.assert_array_equal(again.label(review), after)
    np.testing.assert_array_equal(again.shown(review), before)
    np.testing.assert_allclose(again.image("0007"), image, atol=0.5 / 65535 + 1e-7)


@pytest.mark.parametrize("bits", [8, 16])
def test_pixels_of_8_and_16_bit_are_kept_to_the_last_bit(reviews, frame, bits):
    top = 2**bits - 1
    image = np.round(frame[0] * top).astype(np.float32) / np.float32(top)
    reviews.add("a", image, frame[1], status="accepted", before=frame[1], **BY_ADA)
    np.testing.assert_array_equal(reviews.image("a"), image)


def test_every_word_is_a_new_version_and_no_file_is_ever_changed(reviews, frame):
    image, label = frame
    seen: dict[str, bytes] = {}
    for k, who in enumerate(("Ada", "Emmy", "Ada")):
        mask = label.copy()
        mask[k, :] = 2
        word = BY_ADA | {"who": who}
        reviews.add("7", image, mask, status="corrected", before=label, **word)
        now = _files(reviews.folder)
        assert seen.items() <= now.items()
        seen = now
    assert [(r.version, r.who) for r in reviews.history("7")] == [
        (1, "Ada"),
        (2, "Emmy"),
        (3, "Ada"),
    ]
    assert reviews.latest("7").version == 3
    assert reviews.latest("7", who="Emmy").version == 2
    assert reviews.latest("7", who="Lise") is None
    assert {who: r.version for who, r in reviews.by_reviewer("7").items()} == {"Ada": 3, "Emmy": 2}
    assert len(list((reviews.folder / "images").iterdir())) == 1


def test_looking_creates_nothing(reviews):
    assert reviews.frames() == []
    assert reviews.latest("7") is None
    with pytest.raises(SpinscopeError, match="'7' has no review"):
        reviews.image("7")
    assert not reviews.folder.exists()


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "Film 3, 20 mT (50 %)", "übersicht", "7"])
def test_any_name_of_a_frame(reviews, frame, name):
    reviews.add(name, *frame, status="accepted", before=frame[1], **BY_ADA)
    assert reviews.frames() == [name]
    assert Reviews.open(reviews.folder).latest(name).frame == name
    places = list((reviews.folder / "frames").iterdir())
    assert len(places) == 1
    assert places[0].is_dir()


def test_a_rejected_frame_needs_no_mask(reviews, frame):
    review = reviews.add("7", frame[0], None, status="rejected", before=frame[1], **BY_ADA)
    assert (review.label, review.after) == (None, "")
    with pytest.raises(SpinscopeError, match="rejected; it has no mask"):
        reviews.label(review)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "fine"}, "'fine'.*accepted, corrected, rejected"),
        ({"who": "  "}, "name of its reviewer"),
        ({"label": None}, "that is corrected must be given"),
        ({"label": np.zeros((9, 9), np.uint8)}, r"\(9, 9\).*\(48, 48\)"),
        ({"label": np.full((48, 48), 5, np.uint8)}, "class indices from 0 to 4"),
        ({"label": np.full((48, 48), 0.5)}, "class indices from 0 to 4"),
        ({"image": np.full((48, 48), 2.0)}, r"lie in \[0, 1\]"),
        ({"frame": ""}, "1 to 200 characters"),
        ({"frame": "x" * 300}, "1 to 200 characters"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_writes_nothing(reviews, frame, change, says):
    word = {"frame": "7", "image": frame[0], "label": frame[1], "status": "corrected", **BY_ADA}
    with pytest.raises(SpinscopeError, match=says):
        reviews.add(**(word | {"before": frame[1]} | change))
    assert not reviews.folder.exists()


def test_a_review_of_an_earlier_version_is_read(reviews, frame):
    """Its keys were `who`, `when`, `before`, `after`, `image` and `whole`."""
    written = reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA)
    file = reviews.folder / "frames/7/0001.json"
    content = json.loads(file.read_text())
    assert content["reviewer"] == "Ada"
    assert not {"who", "when", "before", "after", "image", "whole"} & set(content)
    former = {key: name for name, key in FORMER_KEYS.items()}
    file.write_text(json.dumps({former.get(key, key): content[key] for key in content}))
    assert "who" in file.read_text()
    assert Reviews.open(reviews.folder).latest("7") == written


def test_a_damaged_version_is_named(reviews, frame):
    reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA)
    file = reviews.folder / "frames/7/0001.json"
    file.write_text("{")
    with pytest.raises(SpinscopeError, match=r"0001\.json is not a review"):
        Reviews.open(reviews.folder).latest("7")


def test_a_hash_that_no_file_can_be_named_after_is_refused(reviews, frame):
    image, mask = frame
    reviews.add("a", image, mask, status="accepted", before=mask, **BY_ADA)
    (path,) = reviews.folder.glob("frames/a/0001.json")
    stored = json.loads(path.read_text()) | {"shown_mask_sha256": "a" * 300}
    path.unlink()
    path.write_text(json.dumps(stored))
    with pytest.raises(SpinscopeError, match="must be at most 128 hexadecimal digits"):
        Reviews.open(reviews.folder).history("a")


def test_a_copy_beside_the_versions_is_no_version(reviews, frame):
    reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA)
    for name in ("7/0001 (1).json", "8/0002 (Ada's copy).json"):
        file = reviews.folder / "frames" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    assert reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA).version == 2
    assert [r.version for r in Reviews.open(reviews.folder).history("7")] == [1, 2]
    assert reviews.frames() == ["7"]


CROWD = """
import sys
import numpy as np
from spinscope.reviews.folder import Reviews
folder, who, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(len(who))
image = np.full((16, 16), 0.5, np.float32)
print("ready", flush=True)
sys.stdin.readline()
for k in range(n):
    mask = np.zeros((16, 16), np.uint8)
    mask[k % 16, :len(who)] = 1
    Reviews.open(folder).add("7", image, mask, status="corrected", who=who, model="m",
                             model_sha256="", before=np.zeros_like(mask))
"""


def test_reviewers_in_several_processes_lose_nothing_of_each_other(tmp_path):
    n, names = 40, ("Ada", "Emmy", "Marietta")
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(tmp_path), who, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in names
    ]
    for one in crowd:
        assert one.stdout.readline() == "ready\n"
    for one in crowd:  # all at once
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in crowd:
        assert one.wait(60) == 0
        one.stdin.close()
        one.stdout.close()
    reviews = Reviews.open(tmp_path)
    history = reviews.history("7")
    assert [r.version for r in history] == list(range(1, len(names) * n + 1))
    for who in names:
        mine = [r for r in history if r.who == who]
        assert len(mine) == n
        rows = [int(np.flatnonzero(reviews.label(r).any(axis=1))[0]) for r in mine]
        assert rows == [k % 16 for k in range(n)]
        assert all(int(reviews.label(r).sum()) == len(who) for r in mine)
    assert not list(tmp_path.rglob(".*"))


FULL = """
import resource, sys
import numpy as np
from spinscope.reviews.folder import Reviews
from spinscope.errors import SpinscopeError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
image = np.random.default_rng(2).random((64, 64)).astype(np.float32)
mask = np.zeros((64, 64), np.uint8)
mask[:9] = 1
try:
    Reviews.open(sys.argv[1]).add("7", image, mask, status="corrected", who="Ada", model="m",
                                  model_sha256="", before=1 - mask)
except SpinscopeError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 50, 350])
def test_a_full_disk_leaves_no_incomplete_file(tmp_path, limit):
    """A file size limit makes writes of the mask or of the version fail like a full disk."""
    rng = np.random.default_rng(2)
    image, label = rng.random((64, 64)).astype(np.float32), np.zeros((64, 64), np.uint8)
    reviews = Reviews.open(tmp_path / "r")
    reviews.add("7", image, label, status="accepted", before=label, **BY_ADA)
    before = _files(tmp_path)
    command = [sys.executable, "-c", FULL, str(reviews.folder), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"the review of frame '7' was not saved in {reviews.folder}: ")
    assert done.stdout.count("\n") == 1
    after = _files(tmp_path)
    assert before.items() <= after.items()
    assert not [name for name in after if Path(name).name.startswith(".")]
    assert [r.version for r in reviews.history("7")] == [1]
    left = [tmp_path / name for name in after.keys() - before.keys()]
    assert bool(left) == (limit == 350)
    for file in left:  # a mask that went in is whole
        assert read_label(file).shape == image.shape


def test_a_disk_that_fills_up_at_the_last_moment(reviews, frame, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_space(*_args, **_named):
        raise full

    monkeypatch.setattr(module.os, "link", no_space)
    with pytest.raises(SpinscopeError, match=r"'7' was not saved in .*: No space left on device"):
        reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA)
    assert reviews.history("7") == []
    assert list((reviews.folder / "frames/7").iterdir()) == []
    monkeypatch.undo()
    assert reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA).version == 1


def test_a_file_system_without_hard_links(reviews, frame, monkeypatch):
    def not_here(*_args, **_named):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(module.os, "link", not_here)
    for version in (1, 2):
        review = reviews.add("7", *frame, status="accepted", before=frame[1], **BY_ADA)
        assert review.version == version


def _base(tmp_path: Path):
    """Four frames of two sources, two batches; the label names outside and edge as well."""
    rng = np.random.default_rng(3)
    frames = []
    for k in range(4):
        image, label = discs(rng, size=48)
        label[-4:] = 3
        image = np.round(image * 255).astype(np.float32) / np.float32(255)
        frames.append((Record(f"b{k}", k // 2, k // 2), image, label))
    return write_moke(tmp_path / "base", frames)


def test_each_folder_of_reviews_is_a_source_of_one_new_batch(tmp_path):
    base = _base(tmp_path)
    rng = np.random.default_rng(4)
    stacks = [Reviews.open(tmp_path / name) for name in ("film-1", "film-2")]
    said: dict[str, np.ndarray] = {}
    for one, names in zip(stacks, (("0", "1", "2", "3"), ("0",)), strict=True):
        for name in names:
            image, label = discs(rng, size=32)
            one.add(name, image, label, status="corrected", before=np.zeros_like(label), **BY_ADA)
            said[f"{one.folder.name}-{name}"] = label
    image, label = stacks[0].image("1"), stacks[0].label(stacks[0].latest("1"))
    stacks[0].add("1", image, None, status="rejected", before=label, **BY_ADA)
    stacks[0].add("2", image, 1 - (label == 1), status="rejected", before=label, **BY_ADA)
    stacks[0].add("2", image, label, status="accepted", before=label, **(BY_ADA | {"who": "Emmy"}))
    said["film-1-2"] = label
    del said["film-1-1"]

    made = corrected_dataset(stacks, base, tmp_path / "out")
    assert made.records[:4] == base.records
    for index in range(4):
        np.testing.assert_array_equal(made.image(index), base.image(index))
        np.testing.assert_array_equal(made.label(index), base.label(index))
    new = {r.name: (r.source, r.batch, r.use) for r in made.records[4:]}
    assert new == {
        "film-1-0": (2, 2, "only_training"),
        "film-1-2": (2, 2, "only_training"),
        "film-1-3": (2, 2, "only_training"),
        "film-2-0": (3, 2, "only_training"),
    }
    for index in range(4, len(made)):
        np.testing.assert_array_equal(made.label(index), said[made.records[index].name])
    rows = {
        r["name"]: r for r in json.loads((tmp_path / "out" / CORRECTIONS).read_text())["reviewed"]
    }
    assert rows.keys() == new.keys()
    assert rows["film-1-2"]["reviewer"] == "Emmy"
    assert rows["film-1-2"]["version"] == 3
    assert rows["film-1-2"]["saved_mask_sha256"] == mask_sha256(label)
    # It can be trained on, and can not be asked for validation.
    parts = split_by_batch(made, [0, 2], [1])
    assert len(parts.train) == 6
    with pytest.raises(SpinscopeError, match="only_training"):
        split_by_batch(made, [0, 1], [2])


def test_a_corrected_frame_of_the_base_stays_in_its_batch(tmp_path):
    """Otherwise a validation frame would be trained on."""
    base = _base(tmp_path)
    reviews = Reviews.open(tmp_path / "base-1")
    label = np.where(base.label(3) == 3, 0, base.label(3)).astype(np.uint8)
    label[10:20, 10:20] = 1
    reviews.add("b3", base.image(3), label, status="corrected", before="", **BY_ADA)
    part = (8, 4, 24, 36)
    y0, x0, y1, x1 = part
    reviews.add(
        "b0 part",
        base.image(0)[y0:y1, x0:x1],
        np.ones((16, 32), np.uint8),
        status="corrected",
        before="",
        window=part,
        whole=module.image_sha256(base.image(0)),
        **BY_ADA,
    )
    made = corrected_dataset([reviews], base, tmp_path / "out")
    assert made.records == base.records
    expected = np.where(base.label(3) == 3, 3, label)  # what no model knows stays
    np.testing.assert_array_equal(made.label(3), expected)
    np.testing.assert_array_equal(made.label(1), base.label(1))
    first = base.label(0)
    first[8:24, 4:36] = 1
    np.testing.assert_array_equal(made.label(0), first)
    rows = json.loads((tmp_path / "out" / CORRECTIONS).read_text())["reviewed"]
    assert [(r["name"], r["replaces"], r["batch"]) for r in rows] == [
        ("b0", True, 0),
        ("b3", True, 1),
    ]


def test_an_uncorrected_mask_replaces_no_label(tmp_path):
    """An accepted mask of a model does not replace the label made by a person."""
    base = _base(tmp_path)
    reviews = Reviews.open(tmp_path / "base-1")
    model = np.zeros((48, 48), np.uint8)
    hers = model.copy()
    hers[10:20, 10:20] = 1

    def say(name: str, index: int, mask: np.ndarray, before: np.ndarray, status: str) -> None:
        reviews.add(name, base.image(index), mask, status=status, before=before, **BY_ADA)

    say("b0", 0, model, model, "accepted")
    say("b1", 1, hers, model, "corrected")
    say("b1", 1, hers, hers, "accepted")  # what was painted, accepted once more
    say("b3", 3, hers, model, "corrected")
    say("b3", 3, model, model, "accepted")  # the last word
    made = corrected_dataset([reviews], base, tmp_path / "out")
    for index in (0, 2, 3):
        np.testing.assert_array_equal(made.label(index), base.label(index))
    np.testing.assert_array_equal(made.label(1) == 1, hers == 1)
    rows = json.loads((tmp_path / "out" / CORRECTIONS).read_text())["reviewed"]
    said = {r["name"]: (r["status"], r["in_base"], r["replaces"]) for r in rows}
    assert said == {
        "b0": ("accepted", True, False),
        "b1": ("accepted", True, True),
        "b3": ("accepted", True, False),
    }


def test_an_image_reviewed_in_two_folders_counts_once(tmp_path):
    base = _base(tmp_path)
    image, label = discs(np.random.default_rng(5), size=32)
    a, b = (Reviews.open(tmp_path / name) for name in ("a", "b"))
    a.add("0", image, label, status="accepted", before=label, **BY_ADA)
    b.add("x", image, np.ones_like(label), status="corrected", before=label, **BY_ADA)
    made = corrected_dataset([a, b], base, tmp_path / "out")
    assert [r.name for r in made.records[4:]] == ["b-x"]
    assert made.label(4).all()


def test_nothing_accepted_is_an_error_and_leaves_no_folder(tmp_path):
    base = _base(tmp_path)
    reviews = Reviews.open(tmp_path / "r")
    reviews.add("b0", base.image(0), None, status="rejected", before="", **BY_ADA)
    with pytest.raises(SpinscopeError, match=r"no frame is accepted or corrected in .*/r$"):
        corrected_dataset([reviews], base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_can_be_corrected_again(tmp_path):
    """A corrected dataset can be the base of the next one."""
    base = _base(tmp_path)
    image, label = discs(np.random.default_rng(5), size=32)
    reviews = Reviews.open(tmp_path / "a")
    reviews.add("0", image, label, status="accepted", before=label, **BY_ADA)
    once = corrected_dataset([reviews], base, tmp_path / "once")
    twice = corrected_dataset([reviews], open_dataset(once.path), tmp_path / "twice")
    assert twice.records == tuple(replace(r) for r in once.records)
