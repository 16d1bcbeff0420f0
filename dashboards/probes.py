"""Probes of models: frames whose correct mask is known, and test-time augmentation."""

from __future__ import annotations

from typing import Any

import streamlit as st

from components import layout, probe_report
from spinscope.config import project_root

FOLDER = "build/study/moke"
PROBE_KEYS = ("models", "grey", "patch", "speckles", "limits", "limit_at", "inverted")
PROBE, AUGMENT = "spinscope study probes", "spinscope flow run evaluate-tta"


def show_probes(report: dict[str, Any], augmented: dict[str, Any] | None) -> None:
    """Show charts and tables of the models that are chosen."""
    models = [model["name"] for model in report["models"]]
    with st.sidebar:
        names = st.multiselect("Models", models, models, key="probe models")
    if not names:
        layout.stop("Choose a model on the left.")
    colours = {name: rgb for name, rgb in layout.colours(models).items() if name in names}
    settings, data = report["settings"], report["data"]
    frames = f"{data['n_images']} labelled frames" if data else "No labelled frames"
    st.caption(
        f"Without test-time augmentation. {frames} of the validation batches (`bundled:moke-unet` "
        f"was also trained on them); {settings['frames']} simulated frames of "
        f"{settings['width']}×{settings['height']} px at every point."
    )
    layout.legend({**colours, probe_report.PUBLISHED: "black"})
    show_grey(report, colours)
    left, right = st.columns([1, 1], gap="large")
    with left:
        show_inverted(report, names)
    with right:
        show_augmentation(augmented)
    show_false_objects(report, colours)
    show_limits(report, colours)


def show_grey(report: dict[str, Any], colours: dict[str, str]) -> None:
    """Show the response to uniform grey levels."""
    st.subheader("Grey frames")
    for column, key in zip(st.columns(2, gap="large"), probe_report.GREY_FRAMES, strict=True):
        column.altair_chart(probe_report.grey_chart(report, colours, key), width="stretch")
    st.caption(
        "No pixel of a frame without texture is a skyrmion. The networks receive standardised "
        "frames, in which the grey level of a uniform frame is lost (left); that of a patch is "
        "kept relative to the surrounding film (right)."
    )


def show_inverted(report: dict[str, Any], names: list[str]) -> None:
    """Show the scores on inverted frames."""
    st.subheader("Inverted frames")
    if not report["inverted"]:
        st.caption("There were no labelled frames to invert.")
        return
    layout.table(probe_report.inverted_table(report, names))
    st.caption(
        "Below 0, a model marks the film between the skyrmions, because it relies on brightness. "
        "A model that was trained with inversion has the same score twice."
    )


def show_augmentation(report: dict[str, Any] | None) -> None:
    """Show the gain and the cost of test-time augmentation."""
    st.subheader("Test-time augmentation")
    if report is None:
        st.caption(f"Not measured yet: `{AUGMENT}`.")
        return
    formats = {"MCC": "{:.4f}", "excess, %": "{:+.1f}", "ms": "{:.0f}"}
    layout.table(probe_report.augmentation_table(report), formats)
    labelled = ", ".join(sorted({str(row["objects_true"]) for row in report["rows"]}))
    st.caption(
        f"{report['data']['n_images']} validation frames with {labelled} labelled skyrmions. "
        "Excess: predicted over labelled skyrmions, minus 1. ms: median time per frame."
    )


def show_false_objects(report: dict[str, Any], colours: dict[str, str]) -> None:
    """Show the number of false skyrmions against the noise."""
    st.subheader("False skyrmions")
    left, right = st.columns(2, gap="large")
    left.altair_chart(probe_report.false_object_chart(report, colours, "empty"), width="stretch")
    left.caption("Simulated film without skyrmions. Solid: on bare film. Dashed: at dust.")
    if report["speckles"]["real"]:
        right.altair_chart(
            probe_report.false_object_chart(report, colours, "real"), width="stretch"
        )
        right.caption(
            "Labelled frames with added noise. Solid: objects that touch no labelled skyrmion. "
            "Dashed: those of at most a quarter of the median skyrmion area of the frame."
        )


def show_limits(report: dict[str, Any], colours: dict[str, str]) -> None:
    """Show the limits in signal-to-noise ratio, contrast and illumination gradient."""
    st.subheader("Limits")
    for column, curve in zip(st.columns(3, gap="medium"), probe_report.LIMITS, strict=True):
        column.altair_chart(probe_report.limit_chart(report, colours, curve), width="stretch")
    left, right = st.columns(2, gap="large")
    with left:
        layout.table(probe_report.limit_table(report, colours), precision=2)
    right.caption(
        f"MCC on simulated skyrmions of 8 to 16 px. The limit of a model is where its MCC falls "
        f"below {report['enough']} (diamonds; table, in grey levels). Skyrmions and noise patterns "
        "are the same at every point. Signal-to-noise ratio: the noise varies. Contrast: the "
        "noise is proportional to the contrast, so that quantisation to 8 bits and illumination "
        "limit it. Bands: one SD over the frames."
    )


with layout.page(
    "Probes", "Response of models to frames whose correct mask is known: grey, inverted, noisy."
):
    folder = project_root() / FOLDER
    probes = layout.read_report(folder / "probes.json", PROBE_KEYS, PROBE)
    augmented = layout.read_report(folder / "tta.json", ("rows", "data"), AUGMENT)
    if probes is None:
        parts = (layout.shipped_results("moke", f"{PROBE} --model REF") or {}).get("parts", {})
        probes, augmented = parts.get("probes"), augmented or parts.get("tta")
    if probes is None:
        layout.missing("No model has been probed yet.", f"{PROBE} --model REF")
    show_probes(probes, augmented)
