"""Two models on the same frames, object by object."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from components import choose, display, images, layout, modality, models
from components.desk import evenly_spaced
from components.models import Model
from components.recordings import Recording, choose_recording
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Evaluation
from spinscope.errors import SpinscopeError
from spinscope.evaluation.differences import BOTH, ONLY_A, ONLY_B, object_differences
from spinscope.evaluation.metrics import confusion, scores

MOST_FRAMES = 200
DIFFERENCES, SIDE_BY_SIDE = "Differences", "Side by side"
COLUMNS = {
    "found": "found",
    "a_px": "A, px",
    "b_px": "B, px",
    "change_px": "change, px",
    "iou": "IoU",
    "y_px": "row",
    "x_px": "column",
}
FORMATS = {"A, px": "{:.1f}", "B, px": "{:.1f}", "change, px": "{:+.1f}", "IoU": "{:.2f}"}
FORMATS |= {"row": "{:.0f}", "column": "{:.0f}"}
WIDTHS = (60, 52, 52, 80, 48, 48, 62)  # px; all columns fit on a small screen


def masks_of(
    image: np.ndarray, pair: tuple[Model, Model], views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of both models."""
    a, b = (models.segment(model, image, views)[0] for model in pair)
    return a, b


def object_table(a: np.ndarray, b: np.ndarray, settings: Evaluation) -> pd.DataFrame:
    """One row per object of two masks: unmatched objects by size, then pairs by overlap."""
    differences = object_differences(
        a == SKYRMION, b == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    table = pd.DataFrame(differences)
    rank = table["found"].map({ONLY_A: 0, ONLY_B: 1, BOTH: 2})
    then = table["iou"].where(rank == 2, -table["a_px"].fillna(table["b_px"]))
    table = table.assign(rank=rank, then=then).sort_values(["rank", "then"], ignore_index=True)
    return table[list(COLUMNS)].rename(columns=COLUMNS)


def compare_frames(
    recording: Recording,
    indices: list[int],
    pair: tuple[Model, Model],
    views: int,
    settings: Evaluation,
) -> pd.DataFrame:
    """One row per frame, the largest disagreement first; frames that cannot be read are named.

    The table of the last comparison is kept, so that only another choice computes a new one.
    """
    networks = [(model.digest, str(model.folder)) for model in pair]
    key = recording.fingerprint, tuple(indices), *networks, views, settings.model_dump_json()
    last, table, unread = st.session_state.get("compared", (None, None, None))
    if last != key:
        table, unread = _compared(recording, indices, pair, views, settings)
        st.session_state["compared"] = key, table, unread
    for sentence in unread:
        st.warning(sentence, icon=":material/warning:")
    if table.empty:
        raise SpinscopeError(f"{recording.path}: none of {len(indices)} frames can be read")
    return table


def _compared(
    recording: Recording,
    indices: list[int],
    pair: tuple[Model, Model],
    views: int,
    settings: Evaluation,
) -> tuple[pd.DataFrame, list[str]]:
    """Table of `compare_frames`, and one sentence per frame that cannot be read."""
    bar, rows, unread = st.progress(0.0), [], []
    for done, index in enumerate(indices, start=1):
        try:
            a, b = masks_of(recording.image(index), pair, views)
        except SpinscopeError as error:
            unread.append(str(error))
            continue
        pixels, objects = scores(confusion(a, b, len(CLASSES))), object_table(a, b, settings)
        rows.append(
            {
                "index": index,
                "frame": recording.names[index],
                "disagreement": 1 - pixels["jaccard"],
                "MCC": pixels["mcc"],
                "objects A": int(objects["A, px"].notna().sum()),
                "objects B": int(objects["B, px"].notna().sum()),
                **{kind: int((objects["found"] == kind).sum()) for kind in (BOTH, ONLY_A, ONLY_B)},
                "median A, px": objects["A, px"].median(),
                "median B, px": objects["B, px"].median(),
            }
        )
        bar.progress(done / len(indices), f"Frame {done} of {len(indices)}")
    bar.empty()
    table = pd.DataFrame(rows)
    if rows:
        table = table.sort_values(["disagreement", "index"], ascending=[False, True])
    return table, unread


def choose_indices(recording: Recording) -> list[int]:
    """Choose how many frames are compared; they are evenly spaced."""
    most = min(len(recording), MOST_FRAMES)
    if most == 1:
        return [0]
    with st.sidebar:
        count = st.slider("Frames to compare", 1, most, min(12, most), key="compared frames")
    return evenly_spaced(len(recording), count)


def show_frames(table: pd.DataFrame) -> int:
    """Show the table of frames; returns the index of the selected frame, by default the first."""
    diameter = st.column_config.NumberColumn(format="%.1f", help="Median equivalent diameter")
    chosen = st.dataframe(
        table.drop(columns="index"),
        key="frames that differ",
        hide_index=True,
        width="stretch",
        height=layout.table_height(table, 8),
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


def show_masks(image: np.ndarray, a: np.ndarray, b: np.ndarray, objects: pd.DataFrame) -> None:
    """Show both masks side by side, or their differences with the table of objects."""
    kind, opacity, window = display.choose(
        [DIFFERENCES, SIDE_BY_SIDE], DIFFERENCES, with_opacity=SIDE_BY_SIDE, prefix="compare "
    )
    image, a, b = map(window, (image, a, b))
    if kind == SIDE_BY_SIDE:
        tinted = {name: images.tinted(image, m, opacity) for name, m in {"A": a, "B": b}.items()}
        display.side_by_side(tinted)
        layout.legend(images.class_legend(3))
        return
    left, right = st.columns([5, 4], gap="medium")
    with left:
        display.side_by_side({"": images.differences(image, a, b)})
        layout.legend(images.difference_legend("in both", "only A", "only B"))
    widths = {
        name: st.column_config.Column(width=width)
        for name, width in zip(objects, WIDTHS, strict=True)
    }
    with right:
        layout.table(objects, FORMATS, rows=13, column_config=widths)


with layout.page("Comparison", "Two models on the same frames, object by object.") as params:
    recording = choose_recording(params)
    imaging = modality.of_recording(params, recording)
    first = choose.model(params, "Model A", "model", modality=imaging)
    pair = first, choose.model(params, "Model B", "model b", other_than=first)
    views = choose.augmentation()
    if pair[0].digest == pair[1].digest:
        layout.stop("A and B are the same network; choose another model on the left.")
    choose.warn_if_foreign(first, imaging)
    table = compare_frames(recording, choose_indices(recording), pair, views, params.evaluation)
    layout.legend(layout.colours([f"A: {pair[0].ref}", f"B: {pair[1].ref}"]))
    index = show_frames(table)
    image = recording.image(index)
    a, b = masks_of(image, pair, views)
    objects = object_table(a, b, params.evaluation)
    pairs = objects[objects["found"] == BOTH]
    st.subheader(f"Frame {recording.names[index]}")
    layout.metrics(
        {
            "Objects, A / B": " / ".join(str(objects[f"{x}, px"].notna().sum()) for x in "AB"),
            "In both": len(pairs),
            "Only A": int((objects["found"] == ONLY_A).sum()),
            "Only B": int((objects["found"] == ONLY_B).sum()),
            "Mean IoU of pairs": f"{pairs['IoU'].mean():.2f}" if len(pairs) else "–",
            "Diameter, B − A, px": f"{pairs['change, px'].mean():+.2f}" if len(pairs) else "–",
        }
    )
    show_masks(image, a, b, objects)
