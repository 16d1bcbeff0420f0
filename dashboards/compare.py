"""Two models on the same frames: which objects both find, which only one, and how sizes change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from _desk import sample
from _pictures import AGREE, IN_A, IN_B, TINTS, css, cut, enlarged, one_or_both, tinted
from _recordings import Recording, choose_recording
from _shared import (
    COLOURS,
    Model,
    choose_model,
    choose_views,
    legend,
    model_refs,
    open_model,
    page,
    segmented,
)
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.evaluation.differences import BOTH, ONLY_A, ONLY_B, object_differences
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import match_objects

FRAMES = "compared frames"
WIDTHS = {"found": 60, "A, px": 52, "B, px": 52, "change, px": 80, "IoU": 48, "row": 48}
WIDTHS |= {"column": 62}  # of the table of objects: all are seen on a small screen


def row(name: str, a: np.ndarray, b: np.ndarray, params: Params) -> dict:
    """How two masks of a frame differ; `disagreement` is 1 - Jaccard of the skyrmion pixels."""
    settings = params.evaluation
    match = match_objects(
        a == SKYRMION, b == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    of_pixels = scores(confusion(a, b, len(CLASSES)))
    return {
        "frame": name,
        "disagreement": 1 - of_pixels["jaccard"],
        "MCC": of_pixels["mcc"],
        "both": match.matched,
        "only A": len(match.true_px) - match.matched,
        "only B": len(match.predicted_px) - match.matched,
        "median A, px": float(np.median(match.true_px)) if len(match.true_px) else None,
        "median B, px": float(np.median(match.predicted_px)) if len(match.predicted_px) else None,
    }


def compared(
    recording: Recording,
    indices: list[int],
    models: tuple[Model, Model],
    views: int,
    params: Params,
) -> pd.DataFrame:
    """One row a frame, those that differ most first; `index` is that of the frame."""
    bar, rows, unread = st.progress(0.0), [], []
    for done, index in enumerate(indices, start=1):
        try:
            image = recording.image(index)
        except SpinscopeError as error:
            unread.append(str(error))
            continue
        a, b = (segmented(model, image, views)[0] for model in models)
        rows.append({"index": index, **row(recording.names[index], a, b, params)})
        bar.progress(done / len(indices), f"Frame {done} of {len(indices)}")
    bar.empty()
    for sentence in unread:
        st.warning(sentence, icon=":material/warning:")
    if not rows:
        raise SpinscopeError(f"{recording.path}: none of {len(indices)} frames can be read")
    return pd.DataFrame(rows).sort_values(["disagreement", "index"], ascending=[False, True])


def prefer_another(params: Params, first: Model) -> None:
    """Model B is at first one of another network than A, where one is found soon."""
    if "model b" not in st.session_state:
        for ref in list(model_refs(params))[:6]:
            if open_model(params, ref).digest != first.digest:
                st.session_state["model b"] = ref
                return


def choose_indices(recording: Recording) -> list[int]:
    """Frames to compare: evenly spread, as many as is wished."""
    n = len(recording)
    most = min(n, 200)
    if most == 1:
        return [0]
    with st.sidebar:
        count = st.slider("Frames to compare", 1, most, min(12, most), key=FRAMES)
    return sample(n, count)


def show_frames(table: pd.DataFrame) -> int:
    """The table of frames; returns the index of the one that is chosen, else of the first."""
    shown = table.drop(columns="index")
    chosen = st.dataframe(
        shown,
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
            "MCC": st.column_config.NumberColumn(format="%.3f", help="Of A against B"),
            "median A, px": st.column_config.NumberColumn(format="%.1f", help="Diameter"),
            "median B, px": st.column_config.NumberColumn(format="%.1f", help="Diameter"),
        },
    ).selection.cells
    row = chosen[0][0] if chosen else 0
    return int(table["index"].iloc[row if row < len(table) else 0])


def show_pictures(image: np.ndarray, a: np.ndarray, b: np.ndarray, rows: pd.DataFrame) -> None:
    """Both masks and where they differ, at one place and enlargement."""
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom", gap="large")
    how = left.segmented_control(
        "View", ["Differences", "Side by side"], default="Differences", key="compare how"
    )
    zoom = right.select_slider("Zoom", [1, 2, 4, 8], key="compare zoom")
    opacity = middle.slider(
        "Opacity, %", 0, 100, 45, 5, key="compare opacity", disabled=how != "Side by side"
    )
    x = y = 0.5
    if zoom > 1:
        across, down = st.columns(2)
        x = across.slider("Across, %", 0, 100, 50, key="compare x") / 100
        y = down.slider("Down, %", 0, 100, 50, key="compare y") / 100
    parts = [cut(array, zoom, x, y) for array in (image, a, b)]
    if how == "Side by side":
        columns = st.columns(2)
        for column, name, mask in zip(columns, "AB", parts[1:], strict=True):
            column.image(
                enlarged(tinted(parts[0], mask, opacity / 100)), caption=name, width="stretch"
            )
        legend({name: css(TINTS[k]) for k, name in enumerate(CLASSES[:3]) if k})
        return
    picture, table = st.columns([5, 4], gap="medium")
    with picture:
        st.image(
            enlarged(one_or_both(parts[0], *(part == SKYRMION for part in parts[1:]))),
            width="stretch",
        )
        legend({"in both": css(AGREE), "only A": css(IN_A), "only B": css(IN_B)})
    with table:
        show_objects(rows)


def show_objects(rows: pd.DataFrame) -> None:
    """Objects of this frame, those that only one model finds first."""
    lengths = dict.fromkeys(("A, px", "B, px"), "{:.1f}")
    places = dict.fromkeys(("row", "column"), "{:.0f}")
    st.dataframe(
        rows.style.format(
            {**lengths, **places, "change, px": "{:+.1f}", "IoU": "{:.2f}"}, na_rep="–"
        ),
        hide_index=True,
        width="stretch",
        height=35 * (min(len(rows), 13) + 1) + 3,
        column_config={
            name: st.column_config.Column(width=width) for name, width in WIDTHS.items()
        },
    )


def objects(a: np.ndarray, b: np.ndarray, params: Params) -> pd.DataFrame:
    """One row an object: unpaired ones first, the largest before, then the worst pairs."""
    settings = params.evaluation
    found = object_differences(
        a == SKYRMION, b == SKYRMION, iou=settings.iou, min_px=settings.min_object_px
    )
    table = pd.DataFrame(found).rename(
        columns={
            "y_px": "row",
            "x_px": "column",
            "a_px": "A, px",
            "b_px": "B, px",
            "change_px": "change, px",
            "iou": "IoU",
        }
    )
    rank = table["found"].map({ONLY_A: 0, ONLY_B: 1, BOTH: 2})
    size = table["A, px"].fillna(table["B, px"])
    then = table["IoU"].where(rank == 2, -size)
    table = table.assign(rank=rank, then=then).sort_values(["rank", "then"])
    columns = ["found", "A, px", "B, px", "change, px", "IoU", "row", "column"]
    return table[columns].reset_index(drop=True)


with page("Comparison", "Two models on the same frames, object by object.") as params:
    recording = choose_recording(params)
    first = choose_model(params, "Model A", "model")
    prefer_another(params, first)
    second = choose_model(params, "Model B", "model b")
    views = choose_views()
    if first.digest == second.digest:
        st.info("A and B are the same network; choose another on the left.", icon=":material/info:")
        st.stop()
    for model in (first, second):
        if "skyrmion" not in model.classes:
            raise SpinscopeError(f"model {model.ref} tells {', '.join(model.classes)}, no skyrmion")
    table = compared(recording, choose_indices(recording), (first, second), views, params)
    legend({f"A: {first.ref}": COLOURS["a"], f"B: {second.ref}": COLOURS["b"]})
    index = show_frames(table)
    image = recording.image(index)
    a, b = (segmented(model, image, views)[0] for model in (first, second))
    rows = objects(a, b, params)
    pairs = rows[rows["found"] == BOTH]
    figures = {
        "In both": len(pairs),
        "Only A": int((rows["found"] == ONLY_A).sum()),
        "Only B": int((rows["found"] == ONLY_B).sum()),
        "Mean IoU of pairs": f"{pairs['IoU'].mean():.2f}" if len(pairs) else "–",
        "Diameter, B − A, px": f"{pairs['change, px'].mean():+.2f}" if len(pairs) else "–",
    }
    st.subheader(f"Frame {recording.names[index]}")
    for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(name, value)
    show_pictures(image, a, b, rows)
