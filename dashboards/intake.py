"""Raw recordings: one frame before and after cleaning, the drift, and the clean recording."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, choose, display, images, layout
from components.recordings import UPLOAD, UPLOADED, upload
from spinscope import jobs
from spinscope.config import Intake, load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.intake.cleaning import Cleaner
from spinscope.intake.pipeline import RECIPE
from spinscope.jobs.cleaning import reference_of
from spinscope.recordings import Recording, RecordingError, open_recording

ANOTHER = "another file or folder …"
REFERENCES = {
    "first": "first frame",
    "mean": "mean of the recording",
    "file": "a file …",
    "none": "none, align only",
}
STRIPES = ["both", "rows", "columns", "none"]
SAMPLED = 40  # frames whose drift is shown before the recording has been cleaned
DOWN, RIGHT = "down", "right"


def choose_raw() -> Path:
    """Choose a raw recording of the project, type the path of one, or upload it."""
    root = project_root()
    known = {
        str(path.relative_to(root)): path
        for folder in ("build/raw", "data/raw")
        for path in sorted((root / folder).glob("*.tif"))
    }
    name = choose.listed_or_typed(
        "Raw recording", list(known), key="raw recording", another=ANOTHER, further=[UPLOAD],
        label="File or folder", placeholder="/data/kerr/2026-11-03/loop.tif",
        help="Frames as the camera took them: a TIFF stack, a video or a folder of images",
    )  # fmt: skip
    if name == UPLOAD:
        return upload("File of raw frames", UPLOADED)
    if not name:
        layout.stop("Type the path of a raw recording on the left.")
    return known.get(name, Path(name).expanduser())


def choose_reference() -> str:
    """Choose the reference: a word of `spinscope intake`, or the path of a file."""
    kind = st.sidebar.selectbox("Reference", list(REFERENCES), format_func=REFERENCES.get)
    if kind != "file":
        return kind
    path = st.sidebar.text_input("File of the reference", placeholder="saturated.tif").strip()
    return path or layout.stop("Type the path of the reference on the left.")


def choose_settings() -> Intake:
    """Settings of intake, from the fields on the left."""
    with st.sidebar.expander("Settings", icon=":material/tune:"):
        average = st.number_input("Raw frames averaged to one", 1, value=1)
        stripes = st.selectbox("Stripes removed", STRIPES)
        order = st.slider("Order of uneven light", 0, 4, 2)
        drift = st.toggle("Remove drift", value=True)
        crop = st.text_input("Region of interest, px", placeholder="y0,x0,y1,x1").strip()
        still = st.text_input(
            "Region without film, px", placeholder="y0,x0,y1,x1",
            help="Its contrast becomes 0: changes of the lamp do not look like magnetisation",
        ).strip()  # fmt: skip
        regions = st.text_input(
            "Named regions, px", placeholder="pad=0,0,40,40; wire=50,0,90,200",
            help="The mean contrast of each gets a column in the table",
        )  # fmt: skip
        applied = st.text_input(
            "Applied to the sample", placeholder="field_mt=30:-30:30; temperature_k=300",
            help="Per frame: one value, FIRST:LAST of a linear sweep, or as many values as frames "
            "with commas between. It overrides the recording's own table",
        )  # fmt: skip
        size = st.number_input("Pixel size, nm", 0.0, help="0: that of the recording")
    given: dict[str, Any] = {"average": average, "stripes": stripes, "light_order": order}
    given |= {"drift": drift, "crop": crop or None, "still": still or None}
    given |= {"regions": pairs("named regions", regions, "NAME=y0,x0,y1,x1")}
    given |= {"applied": pairs("applied", applied, "COLUMN=VALUE")}
    given |= {"pixel_size_nm": size or None}
    return load_params(None, [f"intake.{k}={json.dumps(v)}" for k, v in given.items()]).intake


def pairs(field: str, text: str, rule: str) -> dict[str, str]:
    """Names and values of a field NAME=VALUE; NAME=VALUE."""
    given = [one.split("=", 1) for one in text.split(";") if one.strip()]
    if not all(len(one) == 2 for one in given):
        raise SpinscopeError(f"{field} (={text}) must be {rule}, with ; between")
    return {name.strip(): value.strip() for name, value in given}


def changed(path: Path) -> int:
    """Modification time of a file or folder, 0 where there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


@st.cache_resource(max_entries=4, show_spinner="Fitting to the recording …")
def fitted(path: str, changes: tuple[int, int], settings: str, reference: str) -> Any:
    """Recording, its cleaner, and the contrast that becomes white."""
    recording = open_recording(Path(path))
    cleaner = Cleaner(recording, Intake.model_validate_json(settings), reference_of(reference))
    return recording, cleaner, cleaner.span()


@st.cache_data(max_entries=16, show_spinner="Measuring the drift …")
def sampled_drift(key: str, n: int, _recording: Recording, _cleaner: Cleaner) -> pd.DataFrame:
    """Drift of frames that are spread over a recording: columns frame, down, right."""
    rows = []
    for index in sorted({round(k) for k in np.linspace(0, n - 1, min(n, SAMPLED))}):
        with contextlib.suppress(SpinscopeError, OSError):
            found = _cleaner(_recording.read(index), index).drift
            rows.append((index, found.y, found.x))
    return pd.DataFrame(rows, columns=["frame", DOWN, RIGHT])


def show_frame(recording: Recording, cleaner: Cleaner, span: float) -> None:
    """Show one frame as the camera took it, and after all steps."""
    index = 0
    if recording.n > 1:
        last = recording.n - 1
        index = st.slider("Frame", 0, last, last // 2, key=f"raw frame of {recording.path}")
    raw = recording.read(index)
    try:
        clean = cleaner(raw, index)
    except (RecordingError, SpinscopeError) as error:
        st.warning(str(error), icon=":material/warning:")
        display.side_by_side({"Before": images.grey(raw / np.float32(recording.scale))})
        return
    levels, clipped = cleaner.mapped(clean.contrast, span)
    means = cleaner.means(clean.contrast, clean.inside)
    shown: dict[str, Any] = {
        "Drift, px": (
            f"{clean.drift.y:.2f} down, {clean.drift.x:.2f} right", "Against the reference"
        ),
        "Mean contrast": (f"{means['intensity']:.5f}", "Of the region of interest"),
        "White at contrast": (f"{span:g}", f"{clipped:.2%} of the pixels are clipped"),
        "Hot pixels": f"{cleaner.hot_pixels}",
    }  # fmt: skip
    layout.metrics(shown, widths=[5, 3, 3, 2])
    before = images.grey(raw[cleaner.crop] / np.float32(recording.scale))
    grey = (levels >> 8).astype(np.uint8)[..., None].repeat(3, axis=-1)
    display.side_by_side({"Before": before, "After": grey})
    if cleaner.reference is not None:
        st.caption("After: no change is mid-grey, in all frames alike.")


def curves(table: pd.DataFrame, columns: dict[str, str], title: str, points: bool) -> None:
    """Show columns of a table (column → name) against the frame."""
    colours = layout.colours(columns.values())
    layout.legend(colours)
    rows = pd.concat(
        pd.DataFrame({"name": name, "x": table["frame"], "y": table[column]})
        for column, name in columns.items()
    )
    x, y = alt.X("x:Q", title="frame"), alt.Y("y:Q", title=title, scale=alt.Scale(zero=False))
    chart = charts.curves(rows.dropna(), colours, x, y, points=points)
    st.altair_chart(chart, width="stretch")


def run(path: Path, settings: Intake, reference: str, out: Path) -> None:
    """Clean the recording, and show how many frames are done."""
    bar = st.progress(0.0, "Reading …")

    def on_frame(name: str, done: int, total: int | None) -> None:
        bar.progress(min(done / max(total or done, 1), 1.0), f"Frame {done} of {total}")

    params = load_params().model_copy(update={"intake": settings})
    try:
        (row,) = jobs.clean_recordings(params, [path], out, reference, on_frame=on_frame)
    finally:
        bar.empty()
    st.session_state["cleaned"] = str(path), row


def show_result(row: dict[str, Any]) -> None:
    """Show what a clean recording holds: table of the frames, files, next step."""
    file = Path(row["file"])
    if "error" in row:
        st.error(row["error"], icon=":material/error:")
    for lost in row["lost"]:
        st.warning(f"Black frame: {lost['error']}", icon=":material/warning:")
    table = pd.read_csv(file.with_suffix(".csv"))
    left, right = st.columns(2, gap="large")
    with left:
        curves(table, {"drift_y_px": DOWN, "drift_x_px": RIGHT}, "drift, px", False)
    with right:
        named = [column for column in table if column.startswith("intensity")]
        names = {column: column.removeprefix("intensity_") for column in named}
        curves(table, names, "mean contrast", len(table) < 60)
    layout.table(table, precision=5, rows=8)
    size = row["pixel_size_nm"]
    st.caption(
        f"{row['frames']} frames of {row['shape_px'][1]} × {row['shape_px'][0]} px, "
        + ("pixel size unknown" if size is None else f"pixels of {size:g} nm")
        + f". Written: `{file}`, its table `{file.stem}.csv` and recipe `{file.stem}{RECIPE}`. "
        f"Next: `spinscope segment {file}`."
    )


ABOUT = "Raw camera frames before and after background, drift, light and stripes are removed."
with layout.page("Intake", ABOUT):
    path = choose_raw()
    reference = choose_reference()
    settings = choose_settings()
    key = settings.model_dump_json()
    changes = changed(path), changed(Path(reference))
    recording, cleaner, span = fitted(str(path), changes, key, reference)
    show_frame(recording, cleaner, span)
    st.subheader("Drift")
    if settings.drift and recording.n > 1:
        digest = f"{recording.fingerprint} {key} {reference} {changes}"
        drift = sampled_drift(digest, recording.n, recording, cleaner)
        curves(drift, {DOWN: DOWN, RIGHT: RIGHT}, "drift, px", True)
    else:
        st.caption("Drift is not removed.")
    out = project_root() / "build/clean"
    st.subheader("Clean recording")
    if st.button("Clean the recording", icon=":material/cleaning_services:", key="clean"):
        run(path, settings, reference, out)
    last, row = st.session_state.get("cleaned", (None, None))
    if last == str(path):
        show_result(row)
    else:
        st.caption(f"It will be written to `{out}`; the raw recording is only read.")
