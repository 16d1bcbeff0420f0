"""A recording under review, and the queue of its frames: order, slider, table and progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from components import layout, models
from components.desk import evenly_spaced, order_by_uncertainty
from components.models import Model
from components.recordings import Recording, Treatment
from spinscope.analysis import label_objects
from spinscope.errors import SpinscopeError
from spinscope.inference.rules import DOUBT
from spinscope.reviews.folder import Reviews

AS_RECORDED, UNCERTAIN = "As recorded", "Most uncertain first"
STATUSES = {"accepted": "✓ accepted", "corrected": "✎ corrected", "rejected": "✕ rejected"}
"""Status of a review → text with its sign."""

ROWS = 9
"""Rows of the queue that are shown at a time."""


@dataclass(frozen=True)
class Work:
    """A recording under review, and the model that makes its masks.

    Parameters
    ----------
    recording : Recording
        Frames.
    model : Model or None
        None for the masks of a results folder.
    views : int
        Augmented views that are averaged.
    treatment : Treatment
        Preprocessing of the frames.
    refusal : str, default ""
        Why no review of these masks may be saved; empty where one may.
    maker : Model or None
        Model that made the masks, which gives the probability map; None where it no longer exists.
    """

    recording: Recording
    model: Model | None
    views: int
    treatment: Treatment
    refusal: str = ""
    maker: Model | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that can be painted."""
        if self.model is not None:
            return self.model.classes
        return tuple(self.recording.results.summary["classes"])

    @property
    def origin(self) -> dict[str, str]:
        """Reference (model) and network hash (model_sha256) of the model that made the masks."""
        if self.model is not None:
            return {"model": self.model.ref, "model_sha256": self.model.digest}
        used = self.recording.results.summary["settings"]["models"]
        keys = {"model": "ref", "model_sha256": "sha256"}
        return {key: ", ".join(model[name] for model in used) for key, name in keys.items()}

    @property
    def has_results(self) -> bool:
        """Whether the results folder holds the masks of this network for the unchanged frames."""
        if self.model is None or self.recording.results is None:
            return self.model is None
        stored = Work(self.recording, None, 1, self.treatment).origin["model_sha256"]
        return self.treatment == Treatment() and stored == self.model.digest

    def frame(self, index: int) -> str:
        """Name under which a frame is reviewed."""
        return self.treatment.frame_name(self.recording.names[index])

    def image(self, index: int) -> np.ndarray:
        """Preprocessed image (h, w) in [0, 1]."""
        return self.treatment.applied(self.recording.image(index))

    def mask(self, index: int) -> tuple[np.ndarray, float | None]:
        """Mask of a frame, and its fraction of uncertain pixels where it is known."""
        if self.model is not None:
            return models.segment(self.model, self.image(index), self.views)
        return self.treatment.cropped(self.recording.results.mask(index)), None

    def foreground(self, index: int) -> np.ndarray:
        """Probability (h, w) that a pixel of a frame belongs to any object.

        Raises
        ------
        SpinscopeError
            If the model that made the masks no longer exists.
        """
        if self.maker is None:
            raise SpinscopeError(
                "the model of these masks is not on this machine; choose a model to correct by "
                "clicks"
            )
        return models.foreground(self.maker, self.image(index))

    def uncertainty(self) -> dict[int, float]:
        """Index → fraction of uncertain pixels: of all frames of results, else of a sample."""
        table = getattr(self.recording.results, "frames", None)
        if self.has_results and table is not None and len(table):
            return dict(
                zip(table["frame"].tolist(), table["uncertain_fraction"].tolist(), strict=True)
            )
        if self.model is None:
            return {}
        cache = st.session_state.setdefault("uncertainty", {})
        key = (self.recording.fingerprint, self.model.digest, self.views, self.treatment)
        known = cache.setdefault(key, {})
        if todo := [k for k in evenly_spaced(len(self.recording)) if k not in known]:
            bar = st.progress(0.0)
            for done, index in enumerate(todo, start=1):
                try:
                    known[index] = self.mask(index)[1]
                except SpinscopeError:
                    known[index] = 1.0  # an unreadable frame comes first, so that it is noticed
                bar.progress(done / len(todo), f"Uncertainty of frame {done} of {len(todo)}")
            bar.empty()
        return known


def choose_order(work: Work) -> tuple[list[int], dict[int, float]]:
    """Choose the order of the frames; returns it with the uncertainty of the frames."""

    def chosen() -> None:
        st.session_state["order chosen"] = st.session_state["order"] == UNCERTAIN

    order = st.segmented_control(
        "Order",
        [AS_RECORDED, UNCERTAIN],
        default=AS_RECORDED,
        key="order",
        on_change=chosen,
        width="stretch",
    )
    uncertainty = work.uncertainty() if order == UNCERTAIN else {}
    return order_by_uncertainty(len(work.recording), uncertainty), uncertainty


def position(work: Work) -> dict[str, Any]:
    """Position of this session in the recording, {"index": int}; by default that of the address."""
    positions = st.session_state.setdefault("positions", {})
    key, names = work.recording.fingerprint, work.recording.names
    if key not in positions:
        wanted = st.query_params.get("frame")
        positions[key] = {"index": names.index(wanted) if wanted in names else 0}
    positions[key]["index"] = min(positions[key]["index"], len(names) - 1)
    return positions[key]


def show_slider(work: Work, order: list[int], at: dict[str, Any]) -> None:
    """Show a slider through the frames, in their order and with their names."""
    if len(order) < 2:
        return
    st.session_state["position"] = at["index"]
    answered = st.session_state.get("answered", 0)

    def go() -> None:
        # A slider value from before the last key press of the editor is out of date.
        if st.session_state.get("answered", 0) == answered:
            at["index"] = st.session_state["position"]

    st.select_slider(
        f"Frame, {order.index(at['index']) + 1} of {len(order)}",
        order,
        format_func=work.recording.names.__getitem__,
        key="position",
        on_change=go,
    )


def show_counts(mask: np.ndarray, classes: Sequence[str]) -> None:
    """Show how many objects of each class a mask (H, W) holds, edges and outside left out."""
    counts = {name: len(label_objects(mask == k)[1]) for k, name in enumerate(classes[:3]) if k}
    st.caption(" · ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items()))


def show_queue(
    work: Work,
    reviews: Reviews,
    order: list[int],
    uncertainty: dict[int, float],
    at: dict[str, Any],
) -> None:
    """Show the frames around the current one with their status; a click opens one.

    Parameters
    ----------
    work : Work
        Recording under review.
    reviews : Reviews
        Reviews of the recording.
    order : list of int
        Indices of the frames.
    uncertainty : dict of int to float
        Index → fraction of uncertain pixels.
    at : dict
        Position of the session, which a click changes.
    """
    first = max(0, min(order.index(at["index"]) - 2, len(order) - ROWS))
    rows = order[first : first + ROWS]
    latest = [reviews.latest(work.frame(k)) for k in rows]
    table = pd.DataFrame(
        {
            "": ["▶" if k == at["index"] else "" for k in rows],
            "frame": [work.recording.names[k] for k in rows],
            "uncertain": [100 * uncertainty[k] if k in uncertainty else None for k in rows],
            "status": [STATUSES[review.status] if review else "" for review in latest],
        }
    )

    def go() -> None:
        if chosen := st.session_state[key].selection.cells:
            at["index"] = rows[chosen[0][0]]
            st.session_state["queue clicks"] = st.session_state.get("queue clicks", 0) + 1

    # A new key after each click, because a selected cell cannot be clicked again.
    key = f"queue {st.session_state.get('queue clicks', 0)}"
    layout.table(
        table if uncertainty else table.drop(columns="uncertain"),
        {"uncertain": "{:.2f}"} if uncertainty else None,
        rows=ROWS,
        key=key,
        on_select=go,
        selection_mode="single-cell",
        column_config={
            "": st.column_config.TextColumn(width=26),
            "uncertain": st.column_config.NumberColumn(
                "uncertain, %",
                width=80,
                help=f"Pixels whose highest class probability is below {DOUBT}",
            ),
            "status": st.column_config.TextColumn(width=92),
        },
    )


def show_progress(work: Work, reviews: Reviews) -> None:
    """Show how many frames have been reviewed."""
    names = {work.frame(index) for index in range(len(work.recording))}
    statuses = [reviews.latest(name).status for name in reviews.frames() if name in names]
    counts = [f"{statuses.count(s)} {s}" for s in STATUSES if s in statuses]
    st.progress(
        len(statuses) / len(names),
        f"{len(statuses)} of {len(names)} frames: {', '.join(counts) or 'none reviewed yet'}",
    )
