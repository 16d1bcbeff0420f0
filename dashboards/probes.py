"""Probes of models: frames whose answer is known, and test-time augmentation beside them."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from _probes import (
    GREY,
    LIMITS,
    PUBLISHED,
    augmented_rows,
    colours,
    grey_chart,
    inverted_rows,
    limit_chart,
    limit_rows,
    speckle_chart,
)
from _shared import legend, missing, page
from spinscope.config import project_root
from spinscope.errors import SpinscopeError

FOLDER = "build/study/moke"
PARTS = {
    "probes.json": {"models", "grey", "patch", "speckles", "limits", "limit_at", "inverted"},
    "tta.json": {"rows", "data"},
}
COMMAND = {"probes.json": "spinscope study probes", "tta.json": "spinscope flow run evaluate-tta"}


@st.cache_data(max_entries=4, show_spinner=False)
def read_report(path: str, changed: int) -> dict:
    """A report, read again only when it has changed."""
    name = Path(path).name
    try:
        found = json.loads(Path(path).read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not PARTS[name] <= found.keys():
        raise SpinscopeError(f"{path} must be a report of `{COMMAND[name]}`")
    return found


def report(name: str) -> dict | None:
    """The report of that name, or None where it was not made yet."""
    path = project_root() / FOLDER / name
    return read_report(str(path), path.stat().st_mtime_ns) if path.is_file() else None


def show_probes(found: dict, tta: dict | None) -> None:
    """Curves and tables of the models that are chosen."""
    every = [model["name"] for model in found["models"]]
    with st.sidebar:
        names = st.multiselect("Models", every, every, key="probe models")
    if not names:
        st.info("Choose a model on the left.", icon=":material/info:")
        return
    shades = colours(every)
    size, data = found["settings"], found["data"]
    frames = f"{data['n_images']} labelled frames" if data else "No labelled frames"
    st.caption(
        f"Single passes, no views averaged. {frames} of the validation batches, which "
        f"`bundled:moke-unet` was trained on too; {size['frames']} simulated frames of "
        f"{size['width']}×{size['height']} px at every point."
    )
    legend({**{name: shades[name] for name in names}, PUBLISHED: "black"})
    show_grey(found, names, shades)
    show_inverted_and_views(found, names, tta)
    show_speckles(found, names, shades)
    show_limits(found, names, shades)


def show_grey(found: dict, names: list[str], shades: dict[str, str]) -> None:
    """Grey frames."""
    st.subheader("Grey")
    for column, key in zip(st.columns(2, gap="large"), GREY, strict=True):
        column.altair_chart(grey_chart(found, names, shades, key), width="stretch")
    st.caption(
        "A pixel of a frame without any texture should never be a skyrmion. These networks are "
        "given standardised frames, which leaves nothing of the level of a uniform one (left); "
        "the patch (right) keeps it, relative to the film around."
    )


def show_inverted_and_views(found: dict, names: list[str], tta: dict | None) -> None:
    """Inverted frames, and test-time augmentation beside them."""
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.subheader("Inverted frames")
        if found["inverted"]:
            table = inverted_rows(found, names)
            st.dataframe(table.style.format(precision=3), hide_index=True, width="stretch")
            st.caption(
                "Below 0 a model marks the film between the skyrmions: it goes by brightness. One "
                "that was trained with inversion scores the same twice."
            )
        else:
            st.caption("There were no labelled frames to invert.")
    with right:
        st.subheader("Test-time augmentation")
        if tta is None:
            st.caption(f"Not measured yet: `{COMMAND['tta.json']}`.")
        else:
            table = augmented_rows(tta)
            formats = {"MCC": "{:.4f}", "more, %": "{:+.1f}", "ms": "{:.0f}"}
            st.dataframe(table.style.format(formats, na_rep="–"), hide_index=True, width="stretch")
            st.caption(
                f"{tta['data']['n_images']} validation frames of {labelled(tta)} labelled "
                "skyrmions; more: predicted beyond them; ms: median time a frame."
            )


def labelled(tta: dict) -> str:
    """Labelled skyrmions of the frames, as they are counted in every row."""
    return ", ".join(sorted({str(row["objects_true"]) for row in tta["rows"]}))


def show_speckles(found: dict, names: list[str], shades: dict[str, str]) -> None:
    """Skyrmions that are not there."""
    st.subheader("Made up")
    left, right = st.columns(2, gap="large")
    left.altair_chart(speckle_chart(found, names, shades, "empty"), width="stretch")
    left.caption("Simulated film without a skyrmion: on bare film; dashed: at dust.")
    if found["speckles"]["real"]:
        right.altair_chart(speckle_chart(found, names, shades, "real"), width="stretch")
        right.caption(
            "Labelled frames with noise added: objects that touch no labelled skyrmion; dashed: "
            "specks of at most a quarter of the frame's median skyrmion."
        )


def show_limits(found: dict, names: list[str], shades: dict[str, str]) -> None:
    """Signal-to-noise, contrast and gradient."""
    st.subheader("Limits")
    for column, curve in zip(st.columns(3, gap="medium"), LIMITS, strict=True):
        column.altair_chart(limit_chart(found, names, shades, curve), width="stretch")
    left, right = st.columns(2, gap="large")
    table = limit_rows(found, names)
    left.dataframe(table.style.format(precision=2, na_rep="–"), hide_index=True, width="stretch")
    right.caption(
        f"MCC on simulated skyrmions of 8 to 16 px, and where it falls below {found['enough']} "
        "(diamonds; table, in grey levels). The same patterns and the same noise at every point. "
        "Signal-to-noise: the noise varies. Contrast: the noise goes along with it, so that the "
        "8 bits of the camera and the illumination hide it. Bands: one SD over the frames."
    )


with page(
    "Probes", "What a model makes of frames whose answer is known: grey, inverted, noisy, faint."
):
    probes = report("probes.json")
    if probes is None:
        missing("No model was probed yet.", f"{COMMAND['probes.json']} --model REF")
    else:
        show_probes(probes, report("tta.json"))
