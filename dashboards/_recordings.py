"""Frames to look at, wherever they lie: a dataset, a stack, a video, a folder, a results folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from _shared import ANOTHER, datasets, missing
from spinscope import recordings
from spinscope.config import Params
from spinscope.datasets import Dataset, open_dataset
from spinscope.datasets.shards import HEADER
from spinscope.errors import SpinscopeError
from spinscope.recordings import image_of
from spinscope.reviews.folder import image_sha256

WHOLE = (0.0, 100.0)
"""Percentiles that clip nothing."""


@dataclass(frozen=True)
class Recording:
    """Frames with names. `fingerprint` changes when they do; `results` were computed of them."""

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
    """What is done to a frame before a model sees it: crop, clip, blur, invert.

    window : (y0, x0, y1, x1), None for the whole frame.   clip : percentiles that become 0 and 1.
    blur : standard deviation of a Gaussian, px.
    """

    window: tuple[int, int, int, int] | None = None
    clip: tuple[float, float] = WHOLE
    blur: float = 0.0
    invert: bool = False

    def cropped(self, image: np.ndarray) -> np.ndarray:
        """The part of (H, W) pixels that is looked at."""
        if self.window is None:
            return image
        y0, x0, y1, x1 = self.window
        height, width = image.shape
        if y1 > height or x1 > width:
            raise SpinscopeError(
                f"a frame of {width}x{height} pixels has no part up to column {x1} and row {y1}; "
                "change the crop on the left"
            )
        return image[y0:y1, x0:x1]

    def applied(self, image: np.ndarray) -> np.ndarray:
        """(h, w) float32 in [0, 1] of a whole frame."""
        image = self.cropped(image)
        if self.clip != WHOLE:
            low, high = np.percentile(image, self.clip)
            image = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
        if self.blur:
            from scipy.ndimage import gaussian_filter

            image = gaussian_filter(image, self.blur)
        return 1 - image if self.invert else image

    @property
    def said(self) -> dict[str, Any] | None:
        """What a review tells of it beside the crop; None where nothing is done."""
        if replace(self, window=None) == Treatment():
            return None
        return {"clip": list(self.clip), "blur": self.blur, "invert": self.invert}

    def frame_name(self, name: str) -> str:
        """Name under which a frame, or this part of it, is reviewed."""
        if self.window is None:
            return name
        y0, x0, y1, x1 = self.window
        return f"{name} [y {y0}-{y1}, x {x0}-{x1}]"

    def whole(self, image: np.ndarray) -> str:
        """Hash of the whole frame where only a part of it is reviewed."""
        return "" if self.window is None else image_sha256(image)


def choose_recording(params: Params, key: str = "recording") -> Recording:
    """A dataset of the project, or anything that holds frames and whose path is typed in."""
    known = datasets(params)
    _from_address(key, known)
    options = [*known, ANOTHER]
    with st.sidebar:
        if st.session_state.get(key) not in (None, *options):
            del st.session_state[key]
        name = st.selectbox("Frames", options, key=key)
        typed = ""
        if name == ANOTHER:
            typed = st.text_input(
                "Path",
                key=f"{key} path",
                placeholder="/data/kerr/film-3.tif",
                help="A TIFF stack, a video, a folder of images, a dataset, or a folder that "
                "`spinscope segment` wrote",
            ).strip()
    if name != ANOTHER:
        st.query_params[key] = name
        return open_recording(known[name])
    if not typed:
        if not known:
            missing(
                "There are no frames here yet; type the path of a stack, a video or a folder on "
                "the left, or simulate some.",
                "spinscope corpus kerr",
            )
        st.info(
            "Type the path of a stack, a video or a folder on the left.", icon=":material/info:"
        )
        st.stop()
    st.query_params[key] = typed
    return open_recording(Path(typed).expanduser())


def _from_address(key: str, known: dict[str, Path]) -> None:
    """What the page's address names, where nothing was chosen: so a reload keeps the place."""
    if key in st.session_state or key not in st.query_params:
        return
    wanted = st.query_params[key]
    st.session_state[key] = wanted if wanted in known else ANOTHER
    if wanted not in known:
        st.session_state[f"{key} path"] = wanted


def open_recording(path: Path) -> Recording:
    """Open whatever holds frames; it is opened again only when it has changed.

    Raises SpinscopeError where it holds none.
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
        return _of_stream(results.recording(), results)
    return _of_stream(recordings.open_recording(path))


def _of_dataset(dataset: Dataset) -> Recording:
    table = dataset.path / (HEADER if (dataset.path / HEADER).is_file() else "table.csv")
    names = [record.name for record in dataset.records]
    if len(set(names)) < len(names):
        names = [f"{name}-{index}" for index, name in enumerate(names)]
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    image, label = _one_at_a_time(dataset.image), _one_at_a_time(dataset.label)
    return Recording(dataset.path.name, dataset.path, digest, tuple(names), image, label)


def _of_stream(stream, results=None) -> Recording:
    count = stream.n if results is None else min(results.n, stream.n or results.n)
    return Recording(
        stream.name,
        stream.path if results is None else results.folder,
        stream.fingerprint,
        tuple(stream.names(index) for index in range(count)),
        _one_at_a_time(lambda index: image_of(stream.read(index), stream.scale)),
        results=results,
    )


def _one_at_a_time(read: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
    """The sessions share an opened file, and read it in turn."""
    lock = threading.Lock()

    def locked(index: int) -> np.ndarray:
        with lock:
            return read(index)

    return locked


def choose_treatment(recording: Recording, shape: tuple[int, int]) -> Treatment:
    """Crop, clip, blur and invert, on the left; another recording starts without."""
    height, width = shape
    nothing = {"columns": (0, width), "rows": (0, height)}
    nothing |= {"clip": WHOLE, "blur": 0.0, "invert": False}
    if st.session_state.get("treated") != recording.fingerprint:
        st.session_state["treated"] = recording.fingerprint
        st.session_state.update(nothing)
    for key, value in nothing.items():
        st.session_state.setdefault(key, value)  # forgotten when another page is opened
    with st.sidebar.expander("Treat the frames", icon=":material/tune:"):
        x0, x1 = st.slider("Columns, px", 0, width, key="columns")
        y0, y1 = st.slider("Rows, px", 0, height, key="rows")
        low, high = st.slider(
            "Clip to percentiles", 0.0, 100.0, step=0.5, key="clip", help="Of the frame's pixels"
        )
        blur = st.slider("Blur, px", 0.0, 5.0, step=0.25, key="blur", help="Gaussian, SD")
        invert = st.toggle("Invert", key="invert")
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            key="untreated",
            disabled=all(st.session_state[key] == value for key, value in nothing.items()),
            on_click=lambda: st.session_state.update(nothing),
        )
        st.caption("The model sees what you see; what is saved are the frame's own pixels.")
    if x1 - x0 < 8 or y1 - y0 < 8:
        st.sidebar.warning("A crop must be at least 8 px wide and high; the whole frame is shown.")
        x0, y0, x1, y1 = 0, 0, width, height
    window = None if (y0, x0, y1, x1) == (0, 0, height, width) else (y0, x0, y1, x1)
    clip = (low, high) if high > low else WHOLE
    return Treatment(window, clip, blur, invert)
