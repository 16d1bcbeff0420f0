"""Fit of the boundary level to the frame that was corrected."""

from __future__ import annotations

import shlex
from dataclasses import replace

import streamlit as st

from components import models
from components.recordings import Treatment
from components.results_folder import shown
from components.review_queue import Work
from spinscope.reviews.folder import Review, Reviews


def show_level(work: Work, reviews: Reviews, index: int, own: Review | None) -> None:
    """Offer to fit the boundary level to the reviewer's mask of a frame, if it was corrected.

    Parameters
    ----------
    work : Work
        Recording under review.
    reviews : Reviews
        Reviews of the recording.
    index : int
        Index of the frame.
    own : Review or None
        Last review of the frame by this reviewer.
    """
    plain = replace(work.treatment, window=None) == Treatment()  # `segment` does not preprocess
    if work.model is None or not plain or own is None or own.label is None:
        return
    if not reviews.was_corrected(own):
        return
    path = reviews.folder / "level.json"
    if st.button(
        "Fit the boundary level",
        icon=":material/contrast:",
        help="Find the probability at which the model's mask agrees best with your correction",
    ):
        image, label = work.image(index), reviews.label(own)
        fitted = models.fit_level(work.model, image, label, work.views, path)
        st.metric("Boundary level", f"{fitted['level']:.2f}")
        results = work.recording.results
        known = None if results is None else results.summary["recording"]["path"]
        words = ["spinscope", "segment", str(known or work.recording.path)]
        words += ["--model", work.model.ref, "--level", str(shown(path))]
        words += ["--tta", str(work.views)] if work.views > 1 else []
        st.caption(
            f"MCC {fitted['mcc']:.3f}, {fitted['mcc_most_probable']:.3f} with the most probable "
            "class. Segment the recording with it:"
        )
        st.code(shlex.join(words), wrap_lines=True)
