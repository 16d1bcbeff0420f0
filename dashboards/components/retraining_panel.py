"""Retraining on the review page: start it, follow its log, compare the new model with the old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from components import layout, retraining
from components.desk import reviews_folder
from components.results_folder import review_counts
from components.review_queue import Work
from spinscope.config import Params, project_root
from spinscope.evaluation.report import seen_text
from spinscope.reviews.folder import REVIEWS, Reviews

FRAMES = {
    "held_out": "Corrected frames held back",
    "trained": "Corrected frames trained on",
    "accepted": "Accepted frames",
    "validation": "Validation frames",
}
"""Frames of a report → title."""

NO_EVIDENCE = "accepted"
"""Frames whose labels are masks of a model, so that no difference of scores is shown."""

VISIBLE = 5e-4
"""Smallest difference of two MCCs that is coloured."""

COLUMNS = {
    "name": "frame",
    "review": "review",
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
    if chosen:
        st.caption(_reviewed(chosen))
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
        disabled=work.model is None or bool(work.refusal) or not chosen or running is not None,
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
        _show_epochs(job)
        st.code(job.tail() or "starting …", language=None, height=220)
    elif report is None:
        st.error(
            f"The retraining of {job.about['model']} ended without a report.",
            icon=":material/error:",
        )
        st.code(job.tail(), language=None, height=220)
    else:
        _show_report(report, job)


def _reviewed(folders: Sequence[Path]) -> str:
    """Number of corrected and of accepted frames in folders of reviews, in words."""
    counts = sum((Counter(review_counts(Reviews.open(folder))) for folder in folders), Counter())
    text = f"{counts['corrected']} corrected and {counts['accepted']} accepted frames."
    if not counts["corrected"]:
        text += (
            " Accepted masks are the model's own: without a corrected frame, no score shows "
            "whether the new model is better."
        )
    return text


def _show_epochs(job: retraining.Job) -> None:
    """Show the finished epochs of a retraining, and the remaining time."""
    done, every, left = job.epochs()
    if not every:
        return
    if not done:
        text = f"Epoch 1 of {every}: the remaining time is known after it"
    elif done < every:
        text = f"{done} of {every} epochs, {retraining.in_words(left)} left for the others"
    else:
        text = f"{every} of {every} epochs: both models are being compared"
    st.progress(min(done / every, 1.0), text)


def _relative(path: Path) -> Path:
    return path.relative_to(project_root())


def _show_report(report: dict[str, Any], job: retraining.Job) -> None:
    """Compare the new model with the old one, in total and frame by frame."""
    old, new = report["old"], report["new"]
    shown = [key for key in FRAMES if new.get(key) and old.get(key)]
    for column, key in zip(st.columns(len(FRAMES)), shown, strict=False):
        change = new[key]["mcc"] - old[key]["mcc"]
        evidence = key != NO_EVIDENCE
        column.metric(
            f"{FRAMES[key]} ({new[key]['n_images']})",
            f"MCC {new[key]['mcc']:.3f}",
            f"{change:+.3f} against the old model" if evidence else None,
            delta_color="normal" if abs(change) >= VISIBLE else "off",
            help=None
            if evidence
            else "Agreement of the new model with masks that were accepted as a model made them. "
            "The old model scores about 1 on its own masks, so no difference is shown.",
        )
    st.caption("  \n".join(_seen(report, shown)))
    if summary := report.get("summary", report.get("says")):  # `says` in earlier versions
        st.markdown(summary)
    if report["frames"]:
        rows = [{**row, "review": _review_of(row)} for row in report["frames"]]
        table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
        figures = ["old_mcc", "new_mcc", "gain"]
        table[figures] = table[figures].astype(float)
        gain = table["new_mcc"] - table["old_mcc"]
        table["gain"] = gain.where(table["review"] != "accepted")
        layout.table(table.rename(columns=COLUMNS), {"gain": "{:+.3f}"}, rows=10)
    st.caption(
        f"{old.get('ref', job.about['model'])} → {report.get('registered') or 'not registered'}; "
        f"all files in `{_relative(job.out)}`"
    )


def _seen(report: dict[str, Any], groups: Sequence[str]) -> list[str]:
    """Number of frames that a model was trained on, for the groups that compare the models."""
    return [
        f"{FRAMES[group]}, {which} model: {seen_text(report[which][group])}."
        for group in groups
        if group in ("held_out", "validation")
        for which in ("old", "new")
        if "seen_in_training" in report[which][group]
    ]


def _review_of(row: dict[str, Any]) -> str:
    """Kind of the review of a frame; empty in a report of an earlier version."""
    if "corrected" not in row:
        return ""
    return "corrected" if row["corrected"] else "accepted"
