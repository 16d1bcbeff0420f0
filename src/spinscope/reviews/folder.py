"""Folder of reviews of one recording: each review is a new version, none replaces another.

    frames/NAME/0001.json   status, reviewer, time, model and masks of a review
    masks/HASH.png          masks before and after the review, as label files
    images/HASH.png         pixels of the frame at 16 bit, for training on the correction

The file of a version appears whole, under a number that no other process can take. Masks and
images are named by the hash of their pixels and written once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from spinscope.classes import CLASSES
from spinscope.datasets.manifest import pixel_sha256
from spinscope.errors import SpinscopeError
from spinscope.files import partial_file
from spinscope.images import check_image, read_image, read_label, write_image, write_label

REVIEWS = "reviews"
"""Folder of the project that holds the reviews of every recording."""
STATUSES = ("accepted", "corrected", "rejected")

FORMER_KEYS = {
    "who": "reviewer",
    "when": "reviewed_utc",
    "before": "shown_mask_sha256",
    "after": "saved_mask_sha256",
    "image": "image_sha256",
    "whole": "whole_image_sha256",
}
"""Attribute of a `Review`, its key in files of earlier versions → its present key in files."""

_MAX_NAME = 200
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class Review:
    """One version of the review of a frame.

    Attributes
    ----------
    frame : str
        Name of the frame.
    version : int
        Number of the version, from 1.
    status : {"accepted", "corrected", "rejected"}
        Decision of the reviewer.
    who, when : str
        Reviewer, and time in ISO format (UTC).
    model, model_sha256 : str
        Reference of the model that made the mask, and hash of its network.
    before, after : str
        Hashes of the mask shown to the reviewer and of the mask that was saved (`mask_sha256`);
        `after` is empty where a frame was rejected without a mask.
    label : Path or None
        File of the mask that was saved.
    image : str
        Hash of the reviewed pixels (`image_sha256`).
    window : tuple of int or None
        (y0, x0, y1, x1) where a section of the frame was reviewed.
    whole : str
        Hash of the whole frame where a section of it was reviewed.
    treatment : mapping or None
        Image processing before the model and the reviewer saw the frame.
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

    @property
    def frame_sha256(self) -> str:
        """Hash of the whole frame."""
        return self.whole or self.image


def mask_sha256(mask: np.ndarray) -> str:
    """Return the hash of a mask of class indices, from its shape and its values as uint8."""
    return pixel_sha256(np.asarray(mask, dtype=np.uint8))


def image_sha256(image: np.ndarray) -> str:
    """Return the hash of an image in [0, 1], from its pixels at 16 bit."""
    return pixel_sha256(np.round(np.asarray(image) * 65535).astype(np.uint16))


@dataclass(frozen=True)
class Reviews:
    """Reviews of one recording, in a folder that the first of them creates."""

    folder: Path
    _cache: dict[Path, Review] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path | str) -> Reviews:
        """Open a folder of reviews; one that does not exist holds none."""
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
        """Write a new version of the review of a frame; earlier versions are kept.

        Parameters
        ----------
        frame : str
            Name of the frame.
        image : (H, W) array
            Reviewed pixels in [0, 1].
        label : (H, W) array or None
            Class indices of the mask to save, None only for a rejected frame.
        status, who, model, model_sha256, window, whole, treatment
            See `Review`.
        before : (H, W) array or str
            Mask shown to the reviewer, which is saved as well, or only its hash.

        Returns
        -------
        Review
            The new version.

        Raises
        ------
        SpinscopeError
            For invalid input, and where the disk is full: then there is no new version and no
            incomplete file.
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
        with self._saving(frame):
            content = {
                "status": status,
                "who": who,
                "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "model": model,
                "model_sha256": model_sha256,
                "image": self._save_image(image),
                "before": before if isinstance(before, str) else self._save_mask(before),
                "after": "" if label is None else self._save_mask(label),
                "window": None if window is None else [int(side) for side in window],
                "whole": whole,
                "treatment": None if treatment is None else dict(treatment),
            }
            return self._write(frame, content)

    def take(self, other: Reviews, review: Review) -> Review:
        """Write a review of another folder as a new version, with its reviewer and time.

        Parameters
        ----------
        other : Reviews
            Folder of the review.
        review : Review
            One of its versions.

        Raises
        ------
        SpinscopeError
            Where the disk is full: then there is no new version and no incomplete file.
        """
        content = dict(vars(review))
        for name in ("frame", "version", "label"):
            del content[name]
        with self._saving(review.frame):
            self._save_image(other.image(review))
            for name in (review.before, review.after):
                if (file := other._file("masks", name)).is_file():
                    self._save_mask(read_label(file))
            return self._write(review.frame, content)

    @contextlib.contextmanager
    def _saving(self, frame: str) -> Iterator[None]:
        """Refuse a name that does not fit first, and name the frame where it cannot be saved."""
        self._versions(frame)
        try:
            yield
        except OSError as error:
            raise SpinscopeError(
                f"the review of frame {frame!r} was not saved in {self.folder}: "
                f"{error.strerror or error}; no earlier version was touched"
            ) from error

    def _write(self, frame: str, content: Mapping[str, Any]) -> Review:
        """Write the attributes of a review as the next version of a frame."""
        text = json.dumps(present_keys(content), indent=1) + "\n"
        return self._read(_publish(self._versions(frame), text), frame)

    def history(self, frame: str) -> list[Review]:
        """Return all versions of the review of a frame, the first one first."""
        return [self._read(path, frame) for path in _numbered(self._versions(frame))]

    def latest(self, frame: str, who: str | None = None) -> Review | None:
        """Return the last version of a frame, by anybody or by one reviewer."""
        versions = [r for r in self.history(frame) if who is None or r.who == who]
        return versions[-1] if versions else None

    def by_reviewer(self, frame: str) -> dict[str, Review]:
        """Return the last version of each reviewer."""
        return {review.who: review for review in self.history(frame)}

    def was_corrected(self, review: Review) -> bool:
        """Whether the mask of a review was corrected, in this version or an earlier one."""
        return any(
            r.status == "corrected" and r.after == review.after
            for r in self.history(review.frame)
            if r.version <= review.version
        )

    def frames(self) -> list[str]:
        """Return the names of the reviewed frames, sorted."""
        folders = (self.folder / "frames").glob("*")
        return sorted(unquote(path.name) for path in folders if _numbered(path))

    def image(self, frame: str | Review) -> np.ndarray:
        """Return the reviewed pixels of a frame or of one review, (H, W) float32 at 16 bit.

        Raises
        ------
        SpinscopeError
            For a frame without a review.
        """
        review = frame if isinstance(frame, Review) else self.latest(frame)
        if review is None:
            raise SpinscopeError(f"frame {frame!r} has no review in {self.folder}")
        return read_image(self._file("images", review.image))

    def label(self, review: Review) -> np.ndarray:
        """Return the mask that a review saved, (H, W) uint8.

        Raises
        ------
        SpinscopeError
            For a frame that was rejected without a mask.
        """
        if review.label is None:
            raise SpinscopeError(
                f"frame {review.frame!r}, version {review.version}, was rejected; it has no mask"
            )
        return read_label(review.label)

    def shown(self, review: Review) -> np.ndarray | None:
        """Return the mask shown to the reviewer, None where only its hash is known."""
        file = self._file("masks", review.before)
        return read_label(file) if file.is_file() else None

    def _versions(self, frame: str) -> Path:
        """Folder of the versions of a frame."""
        return self.folder / "frames" / file_name(frame)

    def _file(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.png"

    def _save_mask(self, mask: np.ndarray) -> str:
        name = mask_sha256(mask)
        if not (file := self._file("masks", name)).is_file():
            write_label(file, mask)
        return name

    def _save_image(self, image: np.ndarray) -> str:
        name = image_sha256(image)
        if not (file := self._file("images", name)).is_file():
            write_image(file, image, bits=16)
        return name

    def _read(self, path: Path, frame: str) -> Review:
        """Read a version, once: its file never changes."""
        if path not in self._cache:
            try:
                stored = json.loads(path.read_text())
                _check_stored(stored)
                attribute = {key: name for name, key in FORMER_KEYS.items()}
                content = {attribute.get(key, key): value for key, value in stored.items()}
                window = content.pop("window")
                self._cache[path] = Review(
                    frame=frame,
                    version=int(path.stem),
                    label=self._file("masks", content["after"]) if content["after"] else None,
                    window=None if window is None else tuple(window),
                    **content,
                )
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise SpinscopeError(f"{path} is not a review: {error}") from error
        return self._cache[path]


def _check_stored(stored: Any) -> None:
    """Raise ValueError or TypeError for a content of a review that this program cannot write."""
    if not isinstance(stored, dict):
        raise TypeError("it must be a JSON object")
    present = present_keys(stored)
    for key, value in present.items():
        if key not in ("window", "treatment") and not isinstance(value, str):
            raise TypeError(f"{key} (={value!r:.80}) must be text")
    if present["status"] not in STATUSES:
        raise ValueError(
            f"status (={present['status']!r:.80}) must be one of {', '.join(STATUSES)}"
        )
    for key in ("shown_mask_sha256", "saved_mask_sha256", "image_sha256", "whole_image_sha256"):
        if not re.fullmatch("[0-9a-f]{0,128}", value := present.get(key, "")):
            raise ValueError(f"{key} (={value!r:.80}) must be at most 128 hexadecimal digits")
    window = present.get("window")
    if window is not None and not (
        isinstance(window, list) and len(window) == 4 and all(type(side) is int for side in window)
    ):
        raise ValueError(f"window (={window!r:.80}) must be four integers or null")
    if not isinstance(present.get("treatment"), dict | None):
        raise TypeError("treatment must be an object or null")


def present_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a review under their keys in files."""
    return {FORMER_KEYS.get(name, name): value for name, value in content.items()}


def _check_mask(mask: np.ndarray, shape: tuple[int, ...], frame: str) -> None:
    """Refuse a mask of another shape than its image, or with unknown classes."""
    if mask.shape != shape:
        raise SpinscopeError(
            f"frame {frame!r}: the mask is {mask.shape}, its image is {shape}; they must be alike"
        )
    if mask.dtype.kind not in "ui" or (mask.size and int(mask.max()) >= len(CLASSES)):
        raise SpinscopeError(
            f"frame {frame!r}: a mask must hold class indices from 0 to {len(CLASSES) - 1}"
        )


def file_name(frame: str) -> str:
    """Return a file name for a frame; `unquote` inverts it."""
    name = quote(frame, safe=" +,=@()[]{}~")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not frame or len(name) > _MAX_NAME:
        raise SpinscopeError(f"frame name {frame!r} must have 1 to {_MAX_NAME} characters")
    return name


def _numbered(folder: Path) -> list[Path]:
    """Files of versions by number, without copies that other programs make ("0001 (1).json")."""
    paths = (path for path in folder.glob("[0-9]*.json") if path.stem.isdecimal())
    return sorted(paths, key=lambda path: int(path.stem))


def _publish(folder: Path, text: str) -> Path:
    """Write `text` whole to the next free `0001.json`, a number that no other process takes."""
    partial = partial_file(folder / "0000.json")
    try:
        partial.write_text(text)
        partial.chmod(0o644)
        number = int(_numbered(folder)[-1].stem) if _numbered(folder) else 0
        while True:
            number += 1
            target = folder / f"{number:04d}.json"
            with contextlib.suppress(FileExistsError):
                _create(partial, target, text)
                return target
    finally:
        partial.unlink(missing_ok=True)


def _create(written: Path, target: Path, text: str) -> None:
    """Give a written file the name `target`; raise FileExistsError where that is taken."""
    try:
        os.link(written, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links the name is taken first, then the file is filled.
        with target.open("x") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                target.unlink()
                raise
