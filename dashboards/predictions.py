"""One frame: the image, its label and a model's prediction, and where the two differ."""

from __future__ import annotations

import numpy as np
import streamlit as st

from _pictures import (
    class_legend,
    class_map,
    cut,
    difference_legend,
    differences,
    enlarged,
    frame,
    tinted,
)
from _shared import (
    choose_dataset,
    choose_frames,
    choose_model,
    choose_views,
    legend,
    page,
    predicted,
    seen_in_training,
)
from spinscope.classes import SKYRMION
from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import match_objects, size_distance
from spinscope.images import to_scheme


def choose_frame(frames: Dataset) -> int:
    """Index of a frame, chosen by its name or by stepping on."""
    names = [f"{record.name} · source {record.source}" for record in frames.records]
    if st.session_state.get("frame") not in names:
        st.session_state["frame"] = names[0]

    def step(by: int) -> None:
        at = names.index(st.session_state["frame"])
        st.session_state["frame"] = names[(at + by) % len(names)]

    choice, back, on = st.columns([8, 1, 1], vertical_alignment="bottom")
    choice.selectbox(f"Frame, one of {len(names)}", names, key="frame")
    back.button(
        "",
        icon=":material/chevron_left:",
        help="previous frame",
        key="back",
        on_click=step,
        args=(-1,),
        width="stretch",
    )
    on.button(
        "",
        icon=":material/chevron_right:",
        help="next frame",
        key="on",
        on_click=step,
        args=(1,),
        width="stretch",
    )
    return names.index(st.session_state["frame"])


def show_scores(label: np.ndarray, found: np.ndarray, n_classes: int, params: Params) -> None:
    """Scores of this frame, skyrmion against the rest."""
    of_pixels = scores(confusion(label, found, n_classes))
    settings = params.evaluation
    match = match_objects(
        label == SKYRMION, found == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    distance = size_distance(match.true_px, match.predicted_px)
    medians = [
        f"{np.median(px):.1f}" if len(px) else "–" for px in (match.true_px, match.predicted_px)
    ]
    share = lambda value: "–" if value is None else f"{value:.3f}"  # noqa: E731
    figures = (
        ("MCC", f"{of_pixels['mcc']:.3f}", "Matthews correlation of skyrmion pixels with the rest"),
        ("Jaccard", f"{of_pixels['jaccard']:.3f}", "Skyrmion pixels in both over those in either"),
        (
            "Skyrmions",
            f"{len(match.predicted_px)} / {len(match.true_px)}",
            f"Predicted / labelled, from {settings.min_object_px} px up",
        ),
        (
            "Precision",
            share(match.precision),
            f"Predicted skyrmions matched at IoU {settings.iou:g}",
        ),
        ("Recall", share(match.recall), f"Labelled skyrmions matched at IoU {settings.iou:g}"),
        (
            "Diameter, px",
            f"{medians[1]} / {medians[0]}",
            "Median of predicted / labelled: of the disc of the same area",
        ),
        (
            "Size distance, px",
            "–" if distance is None else f"{distance:.2f}",
            "Wasserstein distance of the two size distributions",
        ),
    )
    widths = [4, 4, 6, 4, 4, 6, 5]
    for column, (name, value, text) in zip(st.columns(widths), figures, strict=True):
        column.metric(name, value, help=text)


with page("Predictions", "What a model sees in a frame, beside what a person labelled.") as params:
    dataset = choose_dataset(params)
    frames = choose_frames(params, dataset)
    model = choose_model(params)
    views = choose_views()

    index = choose_frame(frames)
    record, image = frames.records[index], frames.image(index)
    n_classes = len(model.classes)
    label = to_scheme(frames.label(index), n_classes)
    found = predicted(model, image, views)

    show_scores(label, found, n_classes, params)
    if seen_in_training(params, frames, index):
        st.warning(
            "The settings train on this frame: its scores flatter a model made with them.",
            icon=":material/school:",
        )

    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom", gap="large")
    how = left.segmented_control(
        "View", ["Side by side", "Overlay", "Differences"], default="Overlay", key="how"
    )
    opacity = middle.slider("Opacity, %", 0, 100, 45, 5, key="opacity", disabled=how != "Overlay")
    zoom = right.select_slider("Zoom", [1, 2, 4, 8], key="zoom")
    x = y = 0.5
    if zoom > 1:
        across, down = st.columns(2)
        x = across.slider("Across, %", 0, 100, 50, key="x") / 100
        y = down.slider("Down, %", 0, 100, 50, key="y") / 100
    image, label, found = (cut(array, zoom, x, y) for array in (image, label, found))

    if how == "Side by side":
        panels = {"Frame": frame(image), "Label": class_map(label), "Prediction": class_map(found)}
        colours = class_legend(n_classes)
    elif how == "Differences":
        panels = {"Frame": frame(image), "Differences": differences(image, label, found)}
        colours = difference_legend()
    else:
        panels = {
            "Label": tinted(image, label, opacity / 100),
            "Prediction": tinted(image, found, opacity / 100),
        }
        colours = {
            name: rgb for name, rgb in class_legend(n_classes).items() if name != "background"
        }
    for column, (name, picture) in zip(st.columns(len(panels)), panels.items(), strict=True):
        column.image(enlarged(picture), caption=name, width="stretch")
    legend(colours)

    batch = "" if record.batch is None else f", batch {record.batch}"
    height, width = frames.image(index).shape
    st.caption(
        f"Frame {record.name}, source {record.source}{batch}, {width} × {height} px, "
        f"{frames.depth(index)} bit · model {model.ref}, network {model.digest[:12]}"
    )
