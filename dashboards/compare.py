"""Two models on the same frames, object by object."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from components.choices import (
    Model,
    choose_augmentation,
    choose_skyrmion_model,
    model_refs,
    open_model,
)
from components.desk import evenly_spaced
from components.display import choose_display, show_images
from components.images import class_legend, difference_legend, differences, tinted
from components.layout import PALETTE, legend, page, show_metrics, show_table, stop
from components.masks import segment
from components.recordings import Recording, choose_recording
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Evaluation, Params
from spinscope.errors import SpinscopeError
from spinscope.evaluation.differences import BOTH, ONLY_A, ONLY_B, object_differences
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import match_objects

MOST_FRAMES = 200
DIFFERENCES, SIDE_BY_SIDE = "Differences", "Side by side"
WIDTHS = {"found": 60, "A, px": 52, "B, px": 52, "change, px": 80, "IoU": 48, "row": 48}
WIDTHS |= {"column": 62}  # all columns of the table of objects fit on a small screen


def masks_of(
    image: np.ndarray, models: tuple[Model, Model], views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of both models."""
    first, second = (segment(model, image, views)[0] for model in models)
    return first, second


def difference_row(a: np.ndarray, b: np.ndarray, settings: Evaluation) -> dict:
    """Differences between two masks of a frame; disagreement is 1 - Jaccard index."""
    match = match_objects(
        a == SKYRMION, b == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    pixels = scores(confusion(a, b, len(CLASSES)))
    sides = {"A": match.true_px, "B": match.predicted_px}
    return {
        "disagreement": 1 - pixels["jaccard"],
        "MCC": pixels["mcc"],
        "both": match.matched,
        **{f"only {side}": len(px) - match.matched for side, px in sides.items()},
        **{
            f"median {side}, px": float(np.median(px)) if len(px) else None
            for side, px in sides.items()
        },
    }


def compare_frames(
    recording: Recording,
    indices: list[int],
    models: tuple[Model, Model],
    views: int,
    settings: Evaluation,
) -> pd.DataFrame:
    """One row per frame, the largest disagreement first; frames that cannot be read are named."""
    bar, rows, unread = st.progress(0.0), [], []
    for done, index in enumerate(indices, start=1):
        try:
            image = recording.image(index)
        except SpinscopeError as error:
            unread.append(str(error))
            continue
        row = difference_row(*masks_of(image, models, views), settings)
        rows.append({"index": index, "frame": recording.names[index], **row})
        bar.progress(done / len(indices), f"Frame {done} of {len(indices)}")
    bar.empty()
    for sentence in unread:
        st.warning(sentence, icon=":material/warning:")
    if not rows:
        raise SpinscopeError(f"{recording.path}: none of {len(indices)} frames can be read")
    return pd.DataFrame(rows).sort_values(["disagreement", "index"], ascending=[False, True])


def preselect_other(params: Params, first: Model) -> None:
    """Preselect a model B whose network is not that of A, among the first few models."""
    if "model b" not in st.session_state:
        for ref in list(model_refs(params))[:6]:
            if open_model(params, ref).digest != first.digest:
                st.session_state["model b"] = ref
                return


def choose_indices(recording: Recording) -> list[int]:
    """Choose how many frames are compared; they are evenly spaced."""
    most = min(len(recording), MOST_FRAMES)
    if most == 1:
        return [0]
    with st.sidebar:
        count = st.slider("Frames to compare", 1, most, min(12, most), key="compared frames")
    return evenly_spaced(len(recording), count)


def show_frames(table: pd.DataFrame) -> int:
    """Show the table of frames; returns the index of the frame that is chosen, at first the top."""
    diameter = st.column_config.NumberColumn(format="%.1f", help="Median equivalent diameter")
    chosen = st.dataframe(
        table.drop(columns="index"),
        key="frames that differ",
        hide_index=True,
        width="stretch",
        height=35 * (min(len(table), 8) + 1) + 3,
        on_select="rerun",
        selection_mode="single-cell",
        column_config={
            "disagreement": st.column_config.ProgressColumn(
                format="percent",
                min_value=0,
                max_value=max(float(table["disagreement"].max()), 1e-6),
                help="1 - Jaccard index of the skyrmion pixels of A and B",
            ),
            "MCC": st.column_config.NumberColumn(format="%.3f", help="MCC of A against B"),
            "median A, px": diameter,
            "median B, px": diameter,
        },
    ).selection.cells
    row = chosen[0][0] if chosen else 0
    return int(table["index"].iloc[row if row < len(table) else 0])


def object_table(a: np.ndarray, b: np.ndarray, settings: Evaluation) -> pd.DataFrame:
    """One row per object: unmatched objects by size, then pairs by overlap."""
    objects = object_differences(
        a == SKYRMION, b == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    names = {"y_px": "row", "x_px": "column", "a_px": "A, px", "b_px": "B, px"}
    names |= {"change_px": "change, px", "iou": "IoU"}
    table = pd.DataFrame(objects).rename(columns=names)
    rank = table["found"].map({ONLY_A: 0, ONLY_B: 1, BOTH: 2})
    then = table["IoU"].where(rank == 2, -table["A, px"].fillna(table["B, px"]))
    table = table.assign(rank=rank, then=then).sort_values(["rank", "then"])
    return table[list(WIDTHS)].reset_index(drop=True)


def show_masks(image: np.ndarray, a: np.ndarray, b: np.ndarray, objects: pd.DataFrame) -> None:
    """Show both masks side by side, or their differences with the table of objects."""
    display, opacity, window = choose_display(
        [DIFFERENCES, SIDE_BY_SIDE], DIFFERENCES, with_opacity=SIDE_BY_SIDE, prefix="compare "
    )
    image, a, b = map(window, (image, a, b))
    if display == SIDE_BY_SIDE:
        show_images({"A": tinted(image, a, opacity), "B": tinted(image, b, opacity)})
        legend(class_legend(3))
        return
    left, right = st.columns([5, 4], gap="medium")
    with left:
        show_images({"": differences(image, a, b)})
        legend(difference_legend("in both", "only A", "only B"))
    formats = dict.fromkeys(("A, px", "B, px"), "{:.1f}") | dict.fromkeys(
        ("row", "column"), "{:.0f}"
    )
    with right:
        show_table(
            objects,
            {**formats, "change, px": "{:+.1f}", "IoU": "{:.2f}"},
            rows=13,
            column_config={
                name: st.column_config.Column(width=width) for name, width in WIDTHS.items()
            },
        )


with page("Comparison", "Two models on the same frames, object by object.") as params:
    recording = choose_recording(params)
    first = choose_skyrmion_model(params, "Model A", "model")
    preselect_other(params, first)
    second = choose_skyrmion_model(params, "Model B", "model b")
    views = choose_augmentation()
    if first.digest == second.digest:
        stop("A and B are the same network; choose another model on the left.")
    models, settings = (first, second), params.evaluation
    table = compare_frames(recording, choose_indices(recording), models, views, settings)
    legend({f"A: {first.ref}": PALETTE[0], f"B: {second.ref}": PALETTE[1]})
    index = show_frames(table)
    image = recording.image(index)
    a, b = masks_of(image, models, views)
    objects = object_table(a, b, settings)
    pairs = objects[objects["found"] == BOTH]
    st.subheader(f"Frame {recording.names[index]}")
    show_metrics(
        {
            "In both": len(pairs),
            "Only A": int((objects["found"] == ONLY_A).sum()),
            "Only B": int((objects["found"] == ONLY_B).sum()),
            "Mean IoU of pairs": f"{pairs['IoU'].mean():.2f}" if len(pairs) else "–",
            "Diameter, B − A, px": f"{pairs['change, px'].mean():+.2f}" if len(pairs) else "–",
        }
    )
    show_masks(image, a, b, objects)
