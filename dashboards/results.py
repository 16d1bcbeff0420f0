"""A results folder of `spinscope segment`: frames, sizes, lattice, tracks, reviews and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, choose, images, layout, results_folder
from components.results_folder import Opened
from spinscope.classes import OUTSIDE, SKYRMION
from spinscope.config import Params

MAX_TRACKS = 300  # longest tracks, which are drawn


def choose_folder() -> Path:
    """Choose a results folder of the project, or type the path of one."""
    if chosen := st.session_state.pop("results next", None):
        st.session_state["results"] = chosen
    known = results_folder.known()
    if "results" not in st.session_state and (wanted := st.query_params.get("results")):
        st.session_state["results"] = wanted if wanted in known else choose.ANOTHER
        st.session_state["results path"] = wanted
    name = choose.listed_or_typed(
        "Results folder",
        known,
        key="results",
        placeholder="masks/film-3",
        help="A folder that `spinscope segment` wrote",
    )
    if not name:
        if not known:
            layout.missing(
                "There is no results folder yet: type the path of one on the left, or segment a "
                "recording.",
                "spinscope segment FILE",
            )
        layout.stop("Type the path of a results folder on the left.")
    st.query_params["results"] = name
    return results_folder.path_of(name)


def show_frame(opened: Opened) -> None:
    """Show one frame with its mask, and the table of its objects."""
    names = opened.names
    index = 0
    if len(names) > 1:
        left, right = st.columns([3, 1], vertical_alignment="bottom", gap="large")
        name = left.select_slider("Frame", names, key=f"frame of {opened.results.folder}")
        index = names.index(name)
        opacity = right.slider("Opacity, %", 0, 100, 45, 5, key="results opacity") / 100
    else:
        opacity = st.slider("Opacity, %", 0, 100, 45, 5, key="results opacity") / 100
    mask, image = opened.results.mask(index), opened.image(index)
    objects = opened.objects[opened.objects["frame"] == index]
    left, right = st.columns(2, gap="large")
    with left:
        shown = images.class_map(mask) if image is None else images.tinted(image, mask, opacity)
        st.image(images.enlarged(shown), caption=names[index], width="stretch")
        layout.legend(images.class_legend(len(opened.classes), background=image is None))
        if image is None:
            st.caption(f"The recording cannot be read, only its masks: {opened.problem}")
    with right:
        area = 100 * (mask == SKYRMION).sum() / max((mask < OUTSIDE).sum(), 1)
        layout.metrics({"Skyrmions": str(len(objects)), "Area": f"{area:.2f} %"})
        hidden = ("frame", "name")
        columns = [
            column
            for column in objects
            if column not in hidden and not column.endswith(opened.other_units)
        ]
        layout.table(objects[columns], precision=2, rows=12)
    for warning in opened.results.summary.get("warnings", []):
        st.warning(warning)
    for part in opened.results.summary.get("left_out", []):
        st.caption(
            f"Left out: {part['kind']}, rows {part['y0']} to {part['y1'] - 1}, "
            f"columns {part['x0']} to {part['x1'] - 1} ({part['reason']})"
        )
    st.caption(
        f"{mask.shape[1]} × {mask.shape[0]} px. All objects of all frames are in "
        f"`{results_folder.shown(opened.results.folder)}/objects.csv`."
    )


def _per_frame(opened: Opened) -> tuple[str, str]:
    """Number of skyrmions per frame with its systematic SD, and an explanation."""
    text = f"{len(opened.objects) / opened.results.n_frames:.1f}"
    sd = opened.results.summary["statistics"].get("objects_per_frame_sd_detection")
    return (
        text if sd is None else f"{text} ± {sd:.1f}",
        "Mean over the frames ± systematic SD, from objects of low probability that may be none",
    )


def show_sizes(opened: Opened) -> None:
    """Show the distribution of the diameters, and number and size over the frames."""
    unit, column = opened.unit, f"diameter_{opened.unit}"
    objects = opened.objects
    diameters = objects[column].to_numpy()
    spread = f" ± {diameters.std(ddof=1):.2f}" if len(diameters) > 1 else ""
    figures = {
        "Skyrmions": f"{len(objects)}",
        "Per frame": _per_frame(opened),
        f"Diameter, {unit}": (
            f"{diameters.mean():.2f}{spread}",
            "Mean ± SD over the objects; the equivalent diameter is that of the disc of the "
            "same area",
        ),
    }
    if f"{column}_sd_boundary" in objects:
        figures[f"Boundary, {unit}"] = (
            f"± {objects[f'{column}_sd_boundary'].mean():.2f}",
            "Systematic SD of the mean diameter, from where the boundary of the skyrmions is drawn",
        )
    layout.metrics(figures)
    largest = 1.05 * np.percentile(diameters, 99.5)
    colours = {"objects": layout.PALETTE[0]}
    table = charts.histogram({"objects": diameters}, np.linspace(0, largest, 41))
    x = alt.X("value:Q", title=f"equivalent diameter, {unit}", scale=alt.Scale(nice=False))
    y = charts.percent("fraction of the skyrmions")
    chart = charts.steps(table, colours, x, y, filled=["objects"])
    if opened.results.n_frames == 1:
        st.altair_chart(chart, width="stretch")
        return
    left, right = st.columns(2, gap="large")
    left.altair_chart(chart, width="stretch")
    by_frame = objects.groupby("frame")[column]
    frames = pd.DataFrame(
        {
            "skyrmions": by_frame.size().reindex(range(opened.results.n_frames), fill_value=0),
            f"mean diameter, {unit}": by_frame.mean().reindex(range(opened.results.n_frames)),
        }
    )
    for title in frames:
        right.altair_chart(line_chart(frames.index, frames[title], "frame", title, 150))


def line_chart(x: Any, y: Any, x_title: str, y_title: str, height: int = 280) -> alt.Chart:
    """One curve."""
    table = pd.DataFrame({"x": np.asarray(x), "y": np.asarray(y)})
    return (
        alt.Chart(table)
        .mark_line(color=layout.PALETTE[0], strokeWidth=1.5)
        .encode(
            alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False)),
            alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=False)),
        )
        .properties(height=height)
    )


def show_measurements(params: Params, opened: Opened) -> None:
    """Show lattice and tracks where they were measured, and a button that measures them."""
    folder = opened.results.folder
    measured = results_folder.figures(folder, opened.other_units)
    pressed = st.button(
        "Measure lattice and tracks" if measured is None else "Measure again",
        icon=":material/straighten:",
        help=f"Runs `spinscope measure` with the profile {params.profile}; the tables are written "
        "into the results folder",
    )
    if pressed:
        from spinscope import jobs

        with st.spinner("Measuring …"):
            jobs.measure(params, folder)
        st.rerun()
    if measured is None:
        st.caption("Neighbours, lattice order, tracks and diffusion are not measured yet.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        layout.table(measured, rows=14)
    with right:
        if (g := results_folder.table(folder, "pair_correlation")) is not None:
            st.altair_chart(
                line_chart(g["r_px"], g["g"], "distance, px", "pair correlation g(r)", 200)
            )
        if (msd := results_folder.table(folder, "msd")) is not None:
            lag = msd.columns[0]
            st.altair_chart(line_chart(msd[lag], msd["msd_px2"], "lag, frames", "MSD, px²", 200))
            st.caption("MSD: mean squared displacement of the skyrmions along their tracks.")
    if (tracks := results_folder.table(folder, "tracks")) is not None:
        show_tracks(tracks, opened.shape)


def show_tracks(tracks: pd.DataFrame, shape: tuple[int, int]) -> None:
    """Draw the longest tracks on the outline of the frame."""
    longest = tracks["track"].value_counts().head(MAX_TRACKS).index
    shown = tracks[tracks["track"].isin(longest)][["track", "frame", "x_px", "y_px"]]
    axes = {
        "x": alt.X("x_px:Q", title="column, px", scale=alt.Scale(domain=[0, shape[1]])),
        "y": alt.Y("y_px:Q", title="row, px", scale=alt.Scale(domain=[shape[0], 0])),
    }
    lines = (
        alt.Chart(shown)
        .mark_line(strokeWidth=1.2)
        .encode(
            **axes,
            order="frame:Q",
            detail="track:N",
            color=alt.Color("track:N", legend=None),
            tooltip=["track", "frame"],
        )
    )
    st.altair_chart(lines.properties(height=420), width="stretch")
    every = tracks["track"].nunique()
    number = f"the {MAX_TRACKS} longest of {every}" if every > MAX_TRACKS else f"all {every}"
    st.caption(f"Positions of the skyrmions over the frames: {number} tracks.")


def show_reviews(opened: Opened) -> None:
    """Show the reviews of the recording, and measure it again with the reviewed masks."""
    folder = opened.results.folder
    used = opened.results.summary["settings"].get("reviews")
    if used:
        st.caption(
            f"These masks hold the reviews of {len(used['frames'])} frames from "
            f"`{results_folder.shown(Path(used['folder']))}`."
        )
    if st.button("Review these masks", icon=":material/brush:"):
        st.session_state["recording"] = choose.ANOTHER
        st.session_state["recording path"] = str(folder)
        st.switch_page("review.py")
    reviews = opened.reviews
    counts = results_folder.review_counts(reviews) if reviews is not None else {}
    if not counts:
        st.caption("No frame of this recording has been reviewed yet.")
        return
    text = ", ".join(f"{n} {status}" for status, n in counts.items())
    st.caption(f"Reviews in `{results_folder.shown(reviews.folder)}`: {text}.")
    pressed = st.button(
        "Measure with the reviewed masks",
        icon=":material/restart_alt:",
        type="primary",
        disabled=not counts.keys() & {"accepted", "corrected"},
        help="Writes a new results folder; accepted and corrected masks replace those of the model",
    )
    if pressed:
        from spinscope.reviews.remeasured import remeasure

        bar, n = st.progress(0.0), opened.results.n_frames
        new = remeasure(
            folder,
            reviews.folder,
            on_frame=lambda done: bar.progress(done / n, f"Frame {done} of {n}"),
        )
        st.session_state["results next"] = results_folder.name_of(new.folder)
        st.rerun()
    st.caption(
        "A rejected frame keeps the model's mask. Measured and exported like any results folder."
    )


def show_export(opened: Opened) -> None:
    """Export the masks in the formats of other programs, and offer the tables."""
    from spinscope.analysis.exports import SUFFIXES

    folder = opened.results.folder
    formats = results_folder.FORMATS
    kinds = st.multiselect(
        "Formats", list(SUFFIXES), ["csv"], format_func=lambda k: formats.get(k, k), key="kinds"
    )
    if st.button("Export", icon=":material/download:", disabled=not kinds):
        from spinscope import jobs

        with st.spinner("Writing …"):
            written = jobs.export(folder, kinds)
        for path in written.values():
            st.markdown(f"`{results_folder.shown(path)}`")
    for name in ("objects.csv", "frames.csv", "summary.json"):
        if (path := folder / name).is_file() and path.stat().st_size < results_folder.MAX_DOWNLOAD:
            st.download_button(name, path.read_bytes(), f"{folder.name}-{name}", key=name)


with layout.page("Results", "Masks and measurements of a segmented recording.") as params:
    opened = results_folder.open_folder(choose_folder())
    summary = opened.results.summary
    models = ", ".join(model["ref"] for model in summary["settings"]["models"])
    known = summary["recording"]
    st.caption(
        f"Recording `{known['name']}`, {opened.results.n_frames} "
        f"frame{'s' * (opened.results.n_frames != 1)} · model {models}"
        + (f" · stopped early: {summary['error']}" if summary["error"] else "")
    )
    if len(opened.units) > 1:
        with st.sidebar:
            unit = st.segmented_control("Lengths in", opened.units, default="px", key="unit")
        opened = opened.in_unit(unit or "px")
    names = ["Frames", "Sizes", "Lattice and tracks", "Reviews", "Export"]
    frames, sizes, lattice, reviews, export = st.tabs(names)
    for tab, show, arguments in (
        (frames, show_frame, (opened,)),
        (sizes, show_sizes, (opened,)),
        (lattice, show_measurements, (params, opened)),
        (reviews, show_reviews, (opened,)),
        (export, show_export, (opened,)),
    ):
        with tab, layout.errors_shown():
            if show is not show_frame and show is not show_reviews and not len(opened.objects):
                st.caption("No skyrmion was found in this recording.")
            else:
                show(*arguments)
