"""Frames to show: a dataset, a TIFF stack, a video, a folder of images or a results folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from components import choose, layout
from spinscope import recordings
from spinscope.config import Params, project_root
from spinscope.datasets import Dataset, open_dataset
from spinscope.datasets.shards import HEADER
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.recordings import image_of
from spinscope.recordings.base import IMAGE, VIDEO
from spinscope.recordings.kinds import SINGLE
from spinscope.reviews.folder import image_sha256

ANOTHER, UPLOAD = "another file or folder …", "upload a file …"

UPLOADED = sorted(suffix.removeprefix(".") for suffix in IMAGE | VIDEO | SINGLE)
"""Endings of the files that can be uploaded."""

ALL = (0.0, 100.0)
"""Percentiles that clip nothing."""


@dataclass(frozen=True)
class Recording:
    """Frames with names.

    Parameters
    ----------
    name : str
        Name of the file or folder.
    path : Path
        File or folder that holds the frames.
    fingerprint : str
        Hash that changes when the frames do.
    names : tuple of str
        Name of each frame.
    image : callable
        Index → (H, W) float32 image in [0, 1].
    label : callable, optional
        Index → (H, W) uint8 label, for a dataset.
    results : Results, optional
        Masks and measurements, for a results folder.
    """

    name: str
    path: Path
    fingerprint: str
    names: tuple[str, ...]
    image: Callable[[int], np.ndarray]
    label: Callable[[int], np.ndarray] | None = None
    results: Any = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Treatment:
    """Preprocessing of a frame before a model and a reviewer see it.

    Parameters
    ----------
    window : (y0, x0, y1, x1), optional
        Crop in px; by default the whole frame.
    clip : (low, high), default (0, 100)
        Percentiles that become 0 and 1.
    blur : float, default 0
        Standard deviation of a Gaussian in px.
    invert : bool, default False
        Whether bright and dark are exchanged.
    """

    window: tuple[int, int, int, int] | None = None
    clip: tuple[float, float] = ALL
    blur: float = 0.0
    invert: bool = False

    def cropped(self, image: np.ndarray) -> np.ndarray:
        """Window of an (H, W) array.

        Raises
        ------
        SpinscopeError
            If the array is smaller than the crop.
        """
        if self.window is None:
            return image
        y0, x0, y1, x1 = self.window
        height, width = image.shape
        if y1 > height or x1 > width:
            raise SpinscopeError(
                f"a frame of {width}x{height} pixels cannot be cropped to column {x1} and row "
                f"{y1}; change the crop on the left"
            )
        return image[y0:y1, x0:x1]

    def applied(self, image: np.ndarray) -> np.ndarray:
        """Cropped, clipped, blurred and inverted image (h, w) float32 of a whole frame."""
        image = self.cropped(image)
        if self.clip != ALL:
            low, high = np.percentile(image, self.clip)
            image = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
        if self.blur:
            from scipy.ndimage import gaussian_filter

            image = gaussian_filter(image, self.blur)
        return 1 - image if self.invert else image

    def record(self, image: np.ndarray) -> dict[str, Any]:
        """Crop, hash of the whole frame and preprocessing, as keywords of `Reviews.add`."""
        other = {"clip": list(self.clip), "blur": self.blur, "invert": self.invert}
        unchanged = replace(self, window=None) == Treatment()
        return {
            "window": self.window,
            "whole": "" if self.window is None else image_sha256(image),
            "treatment": None if unchanged else other,
        }

    def frame_name(self, name: str) -> str:
        """Name under which a frame, or its crop, is reviewed."""
        if self.window is None:
            return name
        y0, x0, y1, x1 = self.window
        return f"{name} [y {y0}-{y1}, x {x0}-{x1}]"


def choose_recording(params: Params, key: str = "recording") -> Recording:
    """Choose a dataset of the project, type the path of any frames, or upload a file.

    The choice is kept in the address of the page, so that reloading restores it.
    """
    known = choose.datasets(params)
    if key not in st.session_state and key in st.query_params:
        wanted = st.query_params[key]
        st.session_state[key] = wanted if wanted in known else ANOTHER
        if wanted not in known:
            st.session_state[f"{key} path"] = wanted
    path = choose.path(
        params,
        "Frames",
        key,
        another=ANOTHER,
        further=[UPLOAD],
        label="File or folder",
        placeholder="/data/kerr/film-3.tif",
        help="A TIFF stack, a video, a folder of images, a dataset, or a folder written by "
        "`spinscope segment`",
    )
    if path == Path(UPLOAD):
        path = upload("File of frames", UPLOADED)
    st.query_params[key] = next((n for n, folder in known.items() if folder == path), str(path))
    return open_recording(path)


def upload(title: str, endings: Sequence[str]) -> Path:
    """Upload a file; it is stored once, below build/uploads of the project.

    Parameters
    ----------
    title : str
        Label of the field.
    endings : sequence of str
        Endings of the files, without dots.
    """
    with st.sidebar:
        file = st.file_uploader(title, list(endings), key=f"uploaded {title}")
    if file is None:
        layout.stop("Choose a file to upload on the left.")
    content = file.getvalue()
    folder = project_root() / "build/uploads" / hashlib.sha256(content).hexdigest()[:12]
    path = folder / Path(file.name).name
    if not path.is_file():
        with atomic_file(path) as partial:
            partial.write_bytes(content)
    return path


def open_recording(path: Path) -> Recording:
    """Open frames; they are opened again only when the file or folder has changed.

    Raises
    ------
    SpinscopeError
        If the path holds no frames.
    """
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _open(str(path), changed)


@st.cache_resource(max_entries=4, show_spinner="Opening …")
def _open(text: str, changed: int) -> Recording:
    path = Path(text)
    if (path / HEADER).is_file() or (path / "table.csv").is_file():
        return _of_dataset(open_dataset(path))
    if (path / "summary.json").is_file():
        from spinscope.live.results import open_results

        results = open_results(path)
        return _of_recording(results.recording(), results)
    return _of_recording(recordings.open_recording(path))


def _of_dataset(dataset: Dataset) -> Recording:
    table = dataset.path / (HEADER if (dataset.path / HEADER).is_file() else "table.csv")
    names = [record.name for record in dataset.records]
    if len(set(names)) < len(names):
        names = [f"{name}-{index}" for index, name in enumerate(names)]
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    image, label = _one_at_a_time(dataset.image), _one_at_a_time(dataset.label)
    return Recording(dataset.path.name, dataset.path, digest, tuple(names), image, label)


def _of_recording(frames: recordings.Recording, results: Any = None) -> Recording:
    count = frames.n if results is None else min(results.n_frames, frames.n or results.n_frames)
    return Recording(
        frames.name,
        frames.path if results is None else results.folder,
        frames.fingerprint,
        tuple(frames.names(index) for index in range(count)),
        _one_at_a_time(lambda index: image_of(frames.read(index), frames.scale)),
        results=results,
    )


def _one_at_a_time(read: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
    """`read` behind a lock: browser sessions share an open file."""
    lock = threading.Lock()

    def locked(index: int) -> np.ndarray:
        with lock:
            return read(index)

    return locked


def choose_treatment(recording: Recording, shape: tuple[int, int]) -> Treatment:
    """Choose crop, clipping, blur and inversion; another recording starts without any."""
    height, width = shape
    untreated = {"columns": (0, width), "rows": (0, height)}
    untreated |= {"clip": ALL, "blur": 0.0, "invert": False}
    if st.session_state.get("treated") != recording.fingerprint:
        st.session_state["treated"] = recording.fingerprint
        st.session_state.update(untreated)
    for key, value in untreated.items():
        st.session_state.setdefault(key, value)  # dropped when another page is opened
    with st.sidebar.expander("Preprocess the frames", icon=":material/tune:"):
        x0, x1 = st.slider("Columns, px", 0, width, key="columns")
        y0, y1 = st.slider("Rows, px", 0, height, key="rows")
        low, high = st.slider(
            "Clip to percentiles",
            0.0,
            100.0,
            step=0.5,
            key="clip",
            help="Percentiles of the frame's intensities",
        )
        blur = st.slider(
            "Blur, px", 0.0, 5.0, step=0.25, key="blur", help="Standard deviation of a Gaussian"
        )
        invert = st.toggle("Invert", key="invert", help="Exchange bright and dark")
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            key="untreated",
            disabled=all(st.session_state[key] == value for key, value in untreated.items()),
            on_click=lambda: st.session_state.update(untreated),
        )
        st.caption("The model sees the preprocessed frame; reviews store the original pixels.")
    if x1 - x0 < 8 or y1 - y0 < 8:
        st.sidebar.warning("A crop must be at least 8 px wide and high; the whole frame is shown.")
        x0, y0, x1, y1 = 0, 0, width, height
    window = None if (y0, x0, y1, x1) == (0, 0, height, width) else (y0, x0, y1, x1)
    return Treatment(window, (low, high) if high > low else ALL, blur, invert)
