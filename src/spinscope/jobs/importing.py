"""Import masks of other programs: results folders for review, and a dataset for training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope.classes import CLASSES, OUTSIDE
from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder, sha256, sha256_folder, write_json
from spinscope.jobs.recordings import check_names, draw_first
from spinscope.recordings import Recording, RecordingError, image_of, open_recording

if TYPE_CHECKING:
    import numpy as np

    from spinscope.analysis.imports import Masks
    from spinscope.datasets import Record

DATASET = "dataset"
"""Name of the dataset in the output folder."""

ORIGIN = "import.json"
"""File of the dataset that names the files of masks and recordings."""


@dataclass
class Import:
    """Masks of one recording, checked.

    Attributes
    ----------
    file : Path
        File of the masks.
    recording : Recording
        Their frames.
    masks : Masks
        Frame → function that draws its mask.
    merged : int
        Objects that touch another one of their class and count with it as one.
    classes : int
        Number of classes.
    """

    file: Path
    recording: Recording
    masks: Masks
    merged: int = 0
    classes: int = OUTSIDE

    @property
    def origin(self) -> dict[str, str]:
        """File of the masks with its hash, and the recording."""
        digest = sha256_folder(self.file) if self.file.is_dir() else sha256(self.file)
        return {
            "masks": str(self.file),
            "masks_sha256": digest,
            "recording": str(self.recording.path),
        }

    @property
    def notes(self) -> list[str]:
        """What the user should know about the masks, one sentence each."""
        notes = []
        if self.merged:
            notes.append(
                f"{self.file}: objects that touch another of their class: {self.merged}, counted "
                "with it as one; leave a pixel of background between objects to count them apart"
            )
        if without := self.recording.n - len(self.masks):
            notes.append(
                f"{self.file}: {without} of {self.recording.n} frames have no mask and are left "
                "out; with --empty they are frames without objects"
            )
        return notes


def import_masks(
    params: Params,
    masks: Sequence[Path],
    frames: Sequence[Path],
    out: Path,
    *,
    object_class: str | None = None,
    class_indices: bool = False,
    overlap: bool = False,
    empty: bool = False,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Import masks that other programs made, see `analysis.imports.open_masks`.

    Every mask is drawn and checked before anything is written.

    Parameters
    ----------
    params : Params
        Settings; `segment.pixel_size_nm` overrides the metadata of the recordings.
    masks, frames : sequence of Path
        Files of masks, and the recording of each.
    out : Path
        Output folder: a results folder `NAME` per recording, which can be reviewed, measured and
        exported, and the dataset `dataset` of all frames with masks. Each recording is a source and
        a batch of its own, in this order.
    object_class : str, optional
        Class of objects whose file names none, by default "skyrmion".
    class_indices : bool
        Whether the pixels of label images are class indices instead of object numbers.
    overlap : bool
        Whether later objects are drawn over earlier ones; overlapping ones are refused otherwise.
    empty : bool
        Whether frames without a mask are frames without objects; they are left out otherwise.
    on_frame : callable, optional
        Called with name, number of frames done and number of frames.

    Returns
    -------
    dict
        `dataset` and number of its `images`; `recordings`, each with `file`, `folder`, `frames`,
        `masks` (frames with one), `objects` (skyrmions) and `notes`.

    Raises
    ------
    SpinscopeError
        For masks that cannot be read or do not fit their frames; nothing is written then.
    """
    name = CLASSES[_class_of(object_class)]
    if len(masks) != len(frames) or not masks:
        raise SpinscopeError(
            f"{len(masks)} files of masks and {len(frames)} recordings are given; each file needs "
            "its recording: repeat --frames in the same order"
        )
    dataset = out / DATASET
    if dataset.exists() and not (dataset / ORIGIN).is_file():
        raise SpinscopeError(f"{dataset} exists and was not imported; choose another --out")
    size = params.segment.pixel_size_nm
    with contextlib.ExitStack() as stack:
        recordings = []
        for path in frames:
            recording = open_recording(path, pixel_size=size and size * 1e-9)
            recordings.append(stack.enter_context(contextlib.closing(recording)))
        check_names(recordings)
        if DATASET in {recording.name for recording in recordings}:
            raise SpinscopeError(
                f"a recording is named {DATASET}, as the folder of the dataset; rename it"
            )
        imports = [
            checked(
                file,
                recording,
                object_class=object_class,
                class_indices=class_indices,
                overlap=overlap,
                empty=empty,
            )
            for file, recording in zip(masks, recordings, strict=True)
        ]
        rows = [_write_results(one, out, on_frame) for one in imports]
        with atomic_folder(dataset) as partial:
            written = _write_dataset(partial, imports)
            write_json(partial / ORIGIN, {"class": name, "from": [one.origin for one in imports]})
    return {"dataset": str(dataset), "images": written, "recordings": rows}


def checked(
    file: Path,
    recording: Recording,
    *,
    object_class: str | None = None,
    class_indices: bool = False,
    overlap: bool = False,
    empty: bool = False,
) -> Import:
    """Open the masks of a recording and draw each of them once.

    Parameters
    ----------
    file : Path
        File or folder of masks.
    recording : Recording
        Frames of the masks.
    object_class, class_indices, overlap, empty
        See `import_masks`.

    Returns
    -------
    Import
        The masks.

    Raises
    ------
    SpinscopeError
        For masks that cannot be read or do not fit their frames.
    """
    import numpy as np

    from spinscope.analysis import label_objects
    from spinscope.analysis.imports import Drawn, Target, open_masks

    names = [recording.names(k) for k in range(recording.n)]
    class_ = _class_of(object_class)
    target = Target(recording.path, recording.shape, names, recording.name, class_, overlap)
    found = Import(file, recording, open_masks(file, target, class_indices))
    if empty:
        for k in range(recording.n):
            found.masks.setdefault(k, lambda: Drawn(np.zeros(recording.shape, np.uint8), 0))
    for draw in found.masks.values():
        drawn = draw()
        found.classes = max(found.classes, int(drawn.label.max()) + 1)
        if drawn.objects > 0:
            classes = np.unique(drawn.label)
            apart = sum(len(label_objects(drawn.label == k)[1]) for k in classes[classes > 0])
            found.merged += max(drawn.objects - apart, 0)
    if found.classes > OUTSIDE:
        found.classes = len(CLASSES)
    return found


def _class_of(name: str | None) -> int:
    """Index of a class of objects, by default that of skyrmions."""
    found = (name or CLASSES[1]).strip().lower()
    if found not in CLASSES[1:]:
        raise SpinscopeError(f"--class {name!r} must be one of {', '.join(CLASSES[1:])}")
    return CLASSES.index(found)


def _write_results(
    one: Import, out: Path, on_frame: Callable[[str, int, int | None], None] | None
) -> dict[str, Any]:
    """Measure the masks of a recording into its results folder."""
    from spinscope.live.given import GivenMasks
    from spinscope.live.pipeline import segment_recording

    recording = one.recording
    labels = {k: (lambda draw=draw: draw().label) for k, draw in one.masks.items()}
    results = segment_recording(
        recording,
        GivenMasks(labels, CLASSES[: one.classes], f"it has no mask in {one.file}"),
        out / recording.name,
        settings={
            "models": [{"ref": f"imported:{one.file.name}", "sha256": one.origin["masks_sha256"]}],
            "tta": 1,
            "min_px": 1,
            "masks": sorted(one.masks),
            "classes": one.classes,
        },
        on_frame=on_frame and (lambda done: on_frame(recording.name, done, recording.n)),
        warnings=None,
    )
    with contextlib.suppress(RecordingError, OSError):
        draw_first(recording.read(0), results.mask(0), results)
    return {
        "file": str(recording.path),
        "folder": str(results.folder),
        "frames": results.n_frames,
        "masks": len(one.masks),
        "objects": results.summary["statistics"]["objects"],
        "notes": one.notes,
    }


def _write_dataset(folder: Path, imports: Sequence[Import]) -> int:
    """Write the frames with masks as a dataset, and return their number."""
    from spinscope.datasets import Record, write_moke

    def frames() -> Iterator[tuple[Record, np.ndarray, np.ndarray]]:
        for source, one in enumerate(imports):
            recording = one.recording
            for k in sorted(one.masks):
                try:
                    raw = recording.read(k)
                except (RecordingError, OSError):  # named in the summary of the results
                    continue
                name = recording.names(k)
                if name != recording.name:
                    name = f"{recording.name}-{name}"
                image = image_of(raw, recording.scale)
                yield Record(name, source, source), image, one.masks[k]().label

    deep = any(one.recording.scale != 255 for one in imports)
    return len(write_moke(folder, frames(), bits=16 if deep else 8))
