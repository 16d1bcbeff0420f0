"""What people say of masks: every word a new version, none over another, none over an original.

A folder of reviews belongs to one recording:

    frames/NAME/0001.json   who said what of a frame, when, of which model's mask
    masks/HASH.png          masks before and after, as label files
    images/HASH.png         the frame's own pixels, 16 bit, so that a correction can be trained on

A version's file comes into being whole, under a number that no other process can take; masks and
images bear the hash of their pixels and are written once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from spinscope.classes import CLASSES
from spinscope.datasets import Dataset, Record, open_dataset, write_moke
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, write_json
from spinscope.images import check_image, read_image, read_label, write_image, write_label

STATUSES = ("accepted", "corrected", "rejected")

CORRECTIONS = "corrections.json"
"""File of a corrected dataset that names where each reviewed label came from."""

_LONGEST_NAME = 200
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class Review:
    """One version: what somebody made of a frame's mask.

    status : accepted, corrected or rejected.   when : ISO time, UTC.
    model, model_sha256 : reference of the model that made the mask, and hash of its network.
    before, after : hash of the mask that the reviewer was shown, and of the one that was left
    (`mask_sha256`); `after` is empty where a frame was rejected without a mask.
    label : file of the mask that was left.   image : hash of the frame (`image_sha256`).
    window : (y0, x0, y1, x1) where only a part of a frame was reviewed; `whole` is then the
    hash of the whole frame.   treatment : what was done to the frame before the model and the
    reviewer saw it, None for nothing.
    """

    frame: str
    version: int
    status: str
    who: str
    when: str
    model: str
    model_sha256: str
    before: str
    after: str
    label: Path | None
    image: str
    window: tuple[int, int, int, int] | None = None
    whole: str = ""
    treatment: Mapping[str, Any] | None = None


def mask_sha256(mask: np.ndarray) -> str:
    """Hash that names a mask of class indices: of its shape and its values as uint8."""
    return pixel_sha256(np.asarray(mask, dtype=np.uint8))


def image_sha256(image: np.ndarray) -> str:
    """Hash that names an image in [0, 1]: of its pixels at 16 bit."""
    return pixel_sha256(np.round(np.asarray(image) * 65535).astype(np.uint16))


@dataclass(frozen=True)
class Reviews:
    """The reviews of one recording, in a folder that the first of them creates."""

    folder: Path
    _read: dict[Path, Review] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path | str) -> Reviews:
        """The reviews that lie in `folder`; a folder that is not there yet holds none."""
        return cls(Path(folder))

    def add(
        self,
        frame: str,
        image: np.ndarray,
        label: np.ndarray | None,
        *,
        status: str,
        who: str,
        model: str,
        model_sha256: str,
        before: np.ndarray | str,
        window: tuple[int, int, int, int] | None = None,
        whole: str = "",
        treatment: Mapping[str, Any] | None = None,
    ) -> Review:
        """Write a new version of a frame's mask; what was there stays as it was.

        image : (H, W) in [0, 1].   label : (H, W) class indices, None only with `rejected`.
        before : the mask that the reviewer was shown, kept as well, or only its hash.
        Raises SpinscopeError for input that does not fit, and where the disk takes no more:
        then there is no new version and nothing is half-written.
        """
        if status not in STATUSES:
            raise SpinscopeError(f"status (={status!r}) must be one of {', '.join(STATUSES)}")
        if not (who := who.strip()):
            raise SpinscopeError("a review needs the name of its reviewer")
        if label is None and status != "rejected":
            raise SpinscopeError(f"frame {frame!r}: a mask that is {status} must be given")
        check_image(image, f"frame {frame!r}")
        for mask in (label, before):
            if isinstance(mask, np.ndarray):
                _check_mask(mask, image.shape, frame)
        place = self.folder / "frames" / _file_name(frame)
        try:
            of_image = self._keep_image(image)
            shown = before if isinstance(before, str) else self._keep_mask(before)
            left = "" if label is None else self._keep_mask(label)
            word = {
                "status": status,
                "who": who,
                "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "model": model,
                "model_sha256": model_sha256,
                "before": shown,
                "after": left,
                "image": of_image,
                "window": None if window is None else [int(side) for side in window],
                "whole": whole,
                "treatment": None if treatment is None else dict(treatment),
            }
            return self._version(_publish(place, json.dumps(word, indent=1) + "\n"), frame)
        except OSError as error:
            raise SpinscopeError(
                f"the review of frame {frame!r} was not saved in {self.folder}: "
                f"{error.strerror or error}; no earlier version was touched"
            ) from error

    def history(self, frame: str) -> list[Review]:
        """All versions of a frame, the first one first."""
        place = self.folder / "frames" / _file_name(frame)
        return [self._version(path, frame) for path in sorted(_versions(place), key=_number)]

    def latest(self, frame: str, who: str | None = None) -> Review | None:
        """The last version of a frame, of anybody or of one reviewer."""
        versions = [r for r in self.history(frame) if who is None or r.who == who]
        return versions[-1] if versions else None

    def by_reviewer(self, frame: str) -> dict[str, Review]:
        """Reviewer → the last version that is theirs."""
        return {review.who: review for review in self.history(frame)}

    def painted(self, review: Review) -> bool:
        """Whether somebody corrected its mask: in this version, or in an earlier one."""
        return any(
            r.status == "corrected" and r.after == review.after
            for r in self.history(review.frame)
            if r.version <= review.version
        )

    def frames(self) -> list[str]:
        """Names of the frames that were reviewed, sorted."""
        versions = _versions(self.folder / "frames", "*/[0-9]*.json")
        return sorted({unquote(path.parent.name) for path in versions})

    def image(self, frame: str) -> np.ndarray:
        """(H, W) float32 of a reviewed frame, at 16 bit.

        Raises SpinscopeError where it was never reviewed.
        """
        review = self.latest(frame)
        if review is None:
            raise SpinscopeError(f"frame {frame!r} has no review in {self.folder}")
        return read_image(self._image_file(review.image))

    def label(self, review: Review) -> np.ndarray:
        """(H, W) uint8 mask that a review left.

        Raises SpinscopeError for a rejected frame without one.
        """
        if review.label is None:
            raise SpinscopeError(
                f"frame {review.frame!r}, version {review.version}, was rejected; it has no mask"
            )
        return read_label(review.label)

    def shown(self, review: Review) -> np.ndarray | None:
        """(H, W) uint8 mask that the reviewer was shown, None where only its hash is known."""
        file = self._mask_file(review.before)
        return read_label(file) if file.is_file() else None

    def _mask_file(self, name: str) -> Path:
        return self.folder / "masks" / f"{name}.png"

    def _image_file(self, name: str) -> Path:
        return self.folder / "images" / f"{name}.png"

    def _keep_mask(self, mask: np.ndarray) -> str:
        name = mask_sha256(mask)
        if not (file := self._mask_file(name)).is_file():
            write_label(file, mask)
        return name

    def _keep_image(self, image: np.ndarray) -> str:
        name = image_sha256(image)
        if not (file := self._image_file(name)).is_file():
            write_image(file, image, bits=16)
        return name

    def _version(self, path: Path, frame: str) -> Review:
        """A version's file is never changed, so it is read once."""
        if path not in self._read:
            try:
                word = json.loads(path.read_text())
                window = word.pop("window")
                self._read[path] = Review(
                    frame=frame,
                    version=int(path.stem),
                    label=self._mask_file(word["after"]) if word["after"] else None,
                    window=None if window is None else tuple(window),
                    **word,
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SpinscopeError(f"{path} is not a review: {error}") from error
        return self._read[path]


def corrected_dataset(reviews: Sequence[Reviews], base: Dataset, out: Path | str) -> Dataset:
    """A dataset in the MOKE layout: `base`, with every frame that people settled.

    A frame counts with its latest review, if that is accepted or corrected. Where it is a frame
    of `base`, or a part of one, it stays in its batch: a corrected frame of the validation batches
    never leaks into training. A mask that somebody painted takes the place of the label in `base`
    (`Reviews.painted`); a model's mask that was accepted as it was is noted, and the label stays.
    One of `base` that was rejected keeps its label.
    Every other frame is new: each folder of reviews is a source of its own, and all of them are
    one batch behind those of `base`, marked `only_training`. The batches of `base` keep their
    numbers, sources and frames. A picture that was reviewed twice counts once, as said last.
    `corrections.json` names who, when, version and model of every review that counts, whether
    it is of a frame of `base` (`in_base`), and whether it took the place of its label (`replaces`).
    Raises SpinscopeError where nothing is accepted or corrected.
    """
    settled = _settled(reviews)
    if not settled:
        where = ", ".join(str(one.folder) for one in reviews) or "no folder"
        raise SpinscopeError(f"no frame is accepted or corrected in {where}")
    depths = {base.depth(index) for index in range(len(base))}
    where: dict[str, list[int]] = {}
    for index in range(len(base)):
        where.setdefault(image_sha256(base.image(index)), []).append(index)

    known: dict[int, list[tuple[Reviews, Review]]] = {}
    new: list[tuple[Reviews, Review]] = []
    for one, review in settled:
        at = where.get(review.whole or review.image, [])
        for index in at:
            known.setdefault(index, []).append((one, review))
        if not at:
            new.append((one, review))
    first = max(base.sources, default=-1) + 1
    batch = max((r.batch for r in base.records if r.batch is not None), default=-1) + 1
    folders = list(dict.fromkeys(one.folder for one, _ in new))
    source_of = {folder: first + k for k, folder in enumerate(folders)}
    taken = {record.name for record in base.records}
    rows: list[dict[str, Any]] = []

    def frames() -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for index, (record, image, label) in enumerate(base):
            for one, review in known.get(index, ()):
                if painted := one.painted(review):
                    label = _with_review(label, one.label(review), review)
                rows.append(_origin(record, one, review, in_base=True, replaces=painted))
            yield record, image, label
        for one, review in new:
            name = _free_name(f"{one.folder.name}-{_file_name(review.frame)}", taken)
            record = Record(name, source_of[one.folder], batch, "only_training")
            rows.append(_origin(record, one, review, in_base=False, replaces=False))
            yield record, read_image(one._image_file(review.image)), one.label(review)

    bits = 16 if new or max(depths, default=8) > 8 else 8
    with atomic_folder(out) as partial:
        write_moke(partial, frames(), bits=bits)
        write_json(
            partial / CORRECTIONS,
            {"base": str(base.path), "base_frames": len(base), "reviewed": rows},
        )
    return open_dataset(out)


def _settled(reviews: Sequence[Reviews]) -> list[tuple[Reviews, Review]]:
    """Accepted and corrected frames of all folders; of one picture's reviews the last one."""
    last: dict[tuple[str, Any], tuple[Reviews, Review]] = {}
    for one in reviews:
        for frame in one.frames():
            review = one.latest(frame)
            # A part of a frame and the whole frame are two pictures.
            key = (review.image, review.window)
            if key not in last or last[key][1].when <= review.when:
                last[key] = one, review
    kept = [pair for pair in last.values() if pair[1].status != "rejected"]
    # Where a part and the whole of a frame were reviewed, the later word is laid over the other.
    return sorted(kept, key=lambda pair: pair[1].when)


def _with_review(label: np.ndarray, reviewed: np.ndarray, review: Review) -> np.ndarray:
    """The label with the reviewed mask in it; classes that no model knows stay."""
    label = label.copy()
    y0, x0, y1, x1 = review.window or (0, 0, *label.shape)
    part = label[y0:y1, x0:x1]
    label[y0:y1, x0:x1] = np.where((reviewed == 0) & (part >= 3), part, reviewed)
    return label


def _origin(
    record: Record, one: Reviews, review: Review, *, in_base: bool, replaces: bool
) -> dict[str, Any]:
    """Where a review in a corrected dataset came from, and what it did there."""
    word = asdict(replace(review, label=None))
    del word["label"]
    return {
        "name": record.name,
        "source": record.source,
        "batch": record.batch,
        "in_base": in_base,
        "replaces": replaces,
        "reviews": str(one.folder),
        **word,
    }


def _free_name(name: str, taken: set[str]) -> str:
    k, free = 1, name
    while free in taken:
        k += 1
        free = f"{name}-{k}"
    taken.add(free)
    return free


def _check_mask(mask: np.ndarray, shape: tuple[int, ...], frame: str) -> None:
    if mask.shape != shape:
        raise SpinscopeError(
            f"frame {frame!r}: the mask is {mask.shape}, its image is {shape}; they must be alike"
        )
    if mask.dtype.kind not in "ui" or (mask.size and int(mask.max()) >= len(CLASSES)):
        raise SpinscopeError(
            f"frame {frame!r}: a mask must hold class indices from 0 to {len(CLASSES) - 1}"
        )


def _file_name(frame: str) -> str:
    """A frame's name as a file name, and back with `unquote`."""
    name = quote(frame, safe=" +,=@()[]{}~")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not frame or len(name) > _LONGEST_NAME:
        raise SpinscopeError(f"frame name {frame!r} must have 1 to {_LONGEST_NAME} characters")
    return name


def _versions(folder: Path, pattern: str = "[0-9]*.json") -> Iterator[Path]:
    """Files of versions; a copy that another program left beside them, `0001 (1).json`, is none."""
    return (path for path in folder.glob(pattern) if path.stem.isdecimal())


def _number(path: Path) -> int:
    return int(path.stem)


def _publish(folder: Path, text: str) -> Path:
    """Put `text` whole into the next free `0001.json`, which no other process takes as well."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".json")
    partial = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        partial.chmod(0o644)
        number = max(map(_number, _versions(folder)), default=0)
        while True:
            number += 1
            target = folder / f"{number:04d}.json"
            with contextlib.suppress(FileExistsError):
                _create(partial, target, text)
                return target
    finally:
        partial.unlink(missing_ok=True)


def _create(written: Path, target: Path, text: str) -> None:
    """Make `target` of a written file; FileExistsError where there is one."""
    try:
        os.link(written, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: the name is taken first, then filled.
        with target.open("x") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                target.unlink()
                raise
