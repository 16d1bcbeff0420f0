"""One frame: its image, its label, the prediction of a model, and their differences."""

from __future__ import annotations

import numpy as np
import streamlit as st

from components import choose, display, images, layout, modality, models
from spinscope.classes import SKYRMION
from spinscope.config import Evaluation
from spinscope.datasets import Dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import match_objects, size_distance
from spinscope.images import to_scheme

SIDE_BY_SIDE, OVERLAY, DIFFERENCES = "Side by side", "Overlay", "Differences"


def choose_frame(frames: Dataset) -> int:
    """Choose a frame by its name, or with the buttons before and after it."""
    names = [f"{record.name} · source {record.source}" for record in frames.records]
    if st.session_state.get("frame") not in names:
        st.session_state["frame"] = names[_most_skyrmions(frames)]

    def step(by: int) -> None:
        index = names.index(st.session_state["frame"])
        st.session_state["frame"] = names[(index + by) % len(names)]

    choice, *sides = st.columns([8, 1, 1], vertical_alignment="bottom")
    choice.selectbox(f"Frame, one of {len(names)}", names, key="frame")
    for side, word, icon, by in zip(
        sides, ("previous", "next"), ("left", "right"), (-1, 1), strict=True
    ):
        side.button(
            "",
            icon=f":material/chevron_{icon}:",
            help=f"{word} frame",
            key=word,
            on_click=step,
            args=(by,),
            width="stretch",
        )
    return names.index(st.session_state["frame"])


def _most_skyrmions(frames: Dataset) -> int:
    """Index of the frame, of the first 24, with the largest fraction of labelled skyrmions."""
    areas = [float((frames.label(k) == SKYRMION).mean()) for k in range(min(24, len(frames)))]
    return int(np.argmax(areas))


def show_scores(label: np.ndarray, mask: np.ndarray, n_classes: int, settings: Evaluation) -> None:
    """Show the scores of this frame, skyrmion against the other classes."""
    pixels = scores(confusion(label, mask, n_classes))
    match = match_objects(
        label == SKYRMION, mask == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    true, predicted = match.true_px, match.predicted_px
    number = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"  # noqa: E731
    median = lambda px: number(np.median(px) if len(px) else None, 1)  # noqa: E731
    layout.metrics(
        {
            "MCC": (f"{pixels['mcc']:.3f}", "Matthews correlation of the skyrmion pixels"),
            "Jaccard": (
                f"{pixels['jaccard']:.3f}",
                "Skyrmion pixels in label and prediction, over those in either",
            ),
            "Skyrmions": (
                f"{len(predicted)} / {len(true)}",
                f"Predicted / labelled, of at least {settings.min_object_px} px",
            ),
            "Precision": (
                number(match.precision, 3),
                f"Fraction of predicted skyrmions matched at IoU {settings.iou:g}",
            ),
            "Recall": (
                number(match.recall, 3),
                f"Fraction of labelled skyrmions matched at IoU {settings.iou:g}",
            ),
            "Diameter, px": (
                f"{median(predicted)} / {median(true)}",
                "Median equivalent diameter, predicted / labelled",
            ),
            "Size distance, px": (
                number(size_distance(true, predicted), 2),
                "Wasserstein distance of the two size distributions",
            ),
        },
        widths=[4, 4, 6, 4, 4, 6, 5],
    )


with layout.page("Predictions", "Prediction of a model and label of the same frame.") as params:
    chosen = choose.dataset(params)
    imaging = modality.of_dataset(params, chosen)
    frames = choose.batches(params, chosen)
    model = choose.model(params, modality=imaging)
    views = choose.augmentation()

    index = choose_frame(frames)
    record, image = frames.records[index], frames.image(index)
    n_classes = len(model.classes)
    label = to_scheme(frames.label(index), n_classes)
    first = st.empty()
    with first.container(), st.spinner("Segmenting …"):
        if not models.ready():  # loading takes seconds, in which the frame can be seen
            label_shown = images.tinted(image, label, 0.45)
            display.side_by_side({"Frame": images.grey(image), "Label": label_shown})
        mask = models.segment(model, image, views, engine="keras")[0]
    first.empty()

    show_scores(label, mask, n_classes, params.evaluation)
    choose.warn_if_foreign(model, imaging)
    choose.warn_if_trained(params, frames, [index])
    kind, opacity, window = display.choose(
        [SIDE_BY_SIDE, OVERLAY, DIFFERENCES], OVERLAY, with_opacity=OVERLAY
    )
    height, width = image.shape
    image, label, mask = map(window, (image, label, mask))
    if kind == SIDE_BY_SIDE:
        shown = {
            "Frame": images.grey(image),
            "Label": images.class_map(label),
            "Prediction": images.class_map(mask),
        }
        colours = images.class_legend(n_classes, background=True)
    elif kind == DIFFERENCES:
        shown = {"Frame": images.grey(image), "Differences": images.differences(image, label, mask)}
        colours = images.difference_legend("in both", "only in the label", "only in the prediction")
    else:
        shown = {
            "Label": images.tinted(image, label, opacity),
            "Prediction": images.tinted(image, mask, opacity),
        }
        colours = images.class_legend(n_classes)
    display.side_by_side(shown)
    layout.legend(colours)

    batch = "" if record.batch is None else f", batch {record.batch}"
    st.caption(
        f"Frame {record.name}, source {record.source}{batch}, {width} × {height} px, "
        f"{frames.depth(index)} bit · model {model.ref}, network {model.digest[:12]}"
    )
