"""Retraining on the review page: start it, follow its log, compare the new model with the old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from components import layout, retraining
from components.desk import REVIEWS, reviews_folder
from components.review_queue import Work
from spinscope.config import Params, project_root

FRAMES = {
    "held_out": "Corrected frames held back",
    "trained": "Corrected frames trained on",
    "validation": "Validation frames",
}
"""Frames of a report → title."""

COLUMNS = {
    "name": "frame",
    "use": "used for",
    "old_mcc": "old MCC",
    "new_mcc": "new MCC",
    "gain": "gain",
}


def show_retraining(params: Params, work: Work) -> None:
    """Start a training with corrections, and show its progress and result."""
    own = reviews_folder(work.recording.name, work.recording.fingerprint)
    folders = sorted(p.parent for p in (project_root() / REVIEWS).glob("*/frames"))
    if not folders:
        st.caption("No frame has been reviewed yet.")
        return
    chosen = st.multiselect(
        "Reviews to train on",
        folders,
        [own] if own in folders else [],
        format_func=lambda path: path.name,
        key=f"train on, at {own.name}{'' if own in folders else ', not reviewed'}",
    )
    jobs = retraining.jobs()
    running = next((job for job in jobs if job.running), None)
    left, middle, right = st.columns([1, 1, 3], vertical_alignment="bottom", gap="medium")
    seeds = left.number_input(
        "Seeds", 1, 20, 1, key="retrain seeds", help="Number of networks; the best one is kept"
    )
    epochs = middle.number_input("Epochs", 1, 1000, 3, key="retrain epochs")
    pressed = right.button(
        "Retrain with corrections",
        icon=":material/model_training:",
        type="primary",
        disabled=work.model is None or not chosen or running is not None,
        help=f"Runs `spinscope flow run retrain` with the profile {params.profile}",
    )
    if work.model is None:
        st.caption("Choose a model on the left to train from.")
    elif running is None:
        st.caption(retraining.expected_duration(params, seeds, epochs))
    if pressed:
        with layout.errors_shown():  # one may have been started from another page
            retraining.start(params, chosen, work.model.ref, seeds, epochs)
            st.rerun()  # disables the button
    if jobs:
        job = running or jobs[0]
        st.fragment(_show_job, run_every=3 if running else None)(job, running is not None)


def _show_job(job: retraining.Job, was_running: bool) -> None:
    """Show the log of a retraining while it runs, then its result."""
    running, report = job.running, job.report
    if was_running and not running:
        st.rerun()  # ends the regular updates
    if running:
        left, right = st.columns([6, 1], vertical_alignment="center")
        left.caption(f"Retraining {job.about['model']}; log in `{_relative(job.log)}`")
        right.button("Stop", icon=":material/stop:", on_click=job.stop, width="stretch")
        st.code(job.tail() or "starting …", language=None, height=220)
    elif report is None:
        st.error(
            f"The retraining of {job.about['model']} ended without a report.",
            icon=":material/error:",
        )
        st.code(job.tail(), language=None, height=220)
    else:
        _show_report(report, job)


def _relative(path: Path) -> Path:
    return path.relative_to(project_root())


def _show_report(report: dict[str, Any], job: retraining.Job) -> None:
    """Compare the new model with the old one, in total and frame by frame."""
    old, new = report["old"], report["new"]
    shown = [key for key in FRAMES if new.get(key) and old.get(key)]
    for column, key in zip(st.columns(len(FRAMES)), shown, strict=False):
        column.metric(
            f"{FRAMES[key]} ({new[key]['n_images']})",
            f"MCC {new[key]['mcc']:.3f}",
            f"{new[key]['mcc'] - old[key]['mcc']:+.3f} against the old model",
        )
    if summary := report.get("summary", report.get("says")):  # `says` in earlier versions
        st.markdown(summary)
    if report["frames"]:
        table = pd.DataFrame(report["frames"]).reindex(columns=list(COLUMNS))
        figures = list(COLUMNS)[2:]
        table[figures] = table[figures].astype(float)
        table["gain"] = table["new_mcc"] - table["old_mcc"]
        layout.table(table.rename(columns=COLUMNS), {"gain": "{:+.3f}"}, rows=10)
    st.caption(
        f"{old.get('ref', job.about['model'])} → {report.get('registered') or 'not registered'}; "
        f"all files in `{_relative(job.out)}`"
    )
