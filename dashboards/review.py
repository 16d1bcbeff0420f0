"""Masks under review: painted, accepted, corrected or rejected, and trained on again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

import _retrain
from _desk import (
    REVIEWS,
    Desk,
    act,
    agreement,
    folder_of,
    in_order,
    moved,
    sample,
)
from _editor import check_size, decode_mask, mask_editor
from _objects import choose_range, measured, show_histogram, show_map, typical_diameter
from _pictures import TINTS
from _recordings import Recording, Treatment, choose_recording, choose_treatment
from _shared import Model, choose_model, choose_views, page, refusals, segmented
from spinscope.classes import CLASSES, SKYRMION
from spinscope.config import Params, project_root
from spinscope.datasets.manifest import pixel_sha256
from spinscope.drawing import grey_levels
from spinscope.errors import SpinscopeError
from spinscope.images import to_scheme
from spinscope.inference.predict import DOUBT
from spinscope.reviews.folder import Reviews

AS_RECORDED, UNCERTAIN = "As recorded", "Most uncertain first"
DOUBT_IS = f"Share of pixels whose highest probability is below {DOUBT}"
SIGNS = {"accepted": "✓ accepted", "corrected": "✎ corrected", "rejected": "✕ rejected"}
# Comments, not strings: Streamlit prints what stands alone in the script of a page.
QUEUE = 9  # rows of the queue that are shown at a time


@dataclass(frozen=True)
class Work:
    """What is reviewed, and with which model."""

    recording: Recording
    model: Model | None
    views: int
    treatment: Treatment

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that can be painted."""
        if self.model is not None:
            return self.model.classes
        return tuple(self.recording.results.summary["classes"])

    @property
    def model_said(self) -> tuple[str, str]:
        """Reference and network hash of the model whose masks these are."""
        if self.model is not None:
            return self.model.ref, self.model.digest
        models = self.recording.results.summary["about"]["models"]
        return ", ".join(m["ref"] for m in models), ", ".join(m["sha256"] for m in models)

    def image(self, index: int) -> np.ndarray:
        """(h, w) float32 in [0, 1] as the model sees it."""
        return self.treatment.applied(self.recording.image(index))

    def mask(self, index: int) -> tuple[np.ndarray, float | None]:
        """What the model makes of a frame, and how unsure it is where that is known."""
        if self.model is not None:
            return segmented(self.model, self.image(index), self.views)
        return self.treatment.cropped(self.recording.results.mask(index)), None


def ask_name() -> str:
    """The reviewer; the browser remembers the name."""
    if "reviewer" not in st.session_state:
        st.session_state["reviewer"] = ""
    with st.sidebar:
        return st.text_input("Your name", key="reviewer", placeholder="who reviews").strip()


def uncertainties(work: Work) -> dict[int, float]:
    """Index → share of doubtful pixels: of all frames from results, else of a sample."""
    if work.model is None or _treats_nothing(work):
        table = None if work.recording.results is None else work.recording.results.frames
        if table is not None and len(table):
            return dict(zip(table["frame"].tolist(), table["uncertainty"].tolist(), strict=True))
    if work.model is None:
        return {}
    wanted = sample(len(work.recording))
    kept = st.session_state.setdefault("uncertainties", {})
    key = (work.recording.fingerprint, work.model.digest, work.views, work.treatment)
    known = kept.setdefault(key, {})
    if todo := [index for index in wanted if index not in known]:
        bar = st.progress(0.0)
        for done, index in enumerate(todo, start=1):
            try:
                known[index] = work.mask(index)[1]
            except SpinscopeError:
                known[index] = 1.0  # it cannot be read: a person is told first
            bar.progress(done / len(todo), f"How sure is the model? Frame {done} of {len(todo)}")
        bar.empty()
    return known


def _treats_nothing(work: Work) -> bool:
    """Whether results of the same network were made of the very same pixels."""
    same = work.recording.results is not None and work.model is not None
    if not same or work.treatment != Treatment():
        return False
    return Work(work.recording, None, 1, work.treatment).model_said[1] == work.model.digest


def choose_order(work: Work) -> tuple[list[int], dict[int, float]]:
    """The frames in the order in which they are looked at."""
    n = len(work.recording)

    def chosen() -> None:
        st.session_state["order chosen"] = st.session_state["order"] == UNCERTAIN

    how = st.segmented_control(
        "Order",
        [AS_RECORDED, UNCERTAIN],
        default=AS_RECORDED,
        key="order",
        on_change=chosen,
        width="stretch",
    )
    if how != UNCERTAIN:
        return list(range(n)), {}
    unsure = uncertainties(work)
    return in_order(n, unsure), unsure


def place(work: Work) -> dict[str, Any]:
    """What the session knows of its place in this recording."""
    kept = st.session_state.setdefault("places", {})
    key = work.recording.fingerprint
    if key not in kept:
        wanted = st.query_params.get("frame")
        names = work.recording.names
        kept[key] = {"index": names.index(wanted) if wanted in names else 0}
    kept[key]["index"] = min(kept[key]["index"], len(work.recording) - 1)
    return kept[key]


def show_scrubber(order: list[int], at: dict[str, Any]) -> None:
    """A slider through the frames, in their order."""
    if len(order) < 2:
        return
    st.session_state["position"] = order.index(at["index"]) + 1
    turn = st.session_state.get("turn", 0)

    def go() -> None:
        # With a key that is pressed at once, the browser sends the place before the last step.
        if st.session_state.get("turn", 0) == turn:
            at["index"] = order[st.session_state["position"] - 1]

    st.slider(f"Frame, 1 to {len(order)}", 1, len(order), key="position", on_change=go)


def show_queue(
    work: Work, reviews: Reviews, order: list[int], unsure: dict[int, float], at: dict[str, Any]
) -> None:
    """A few frames around this one, with what was said of them; a click opens one."""
    here = order.index(at["index"])
    first = max(0, min(here - 2, len(order) - QUEUE))
    rows = order[first : first + QUEUE]
    said = [reviews.latest(work.treatment.frame_name(work.recording.names[k])) for k in rows]
    table = pd.DataFrame(
        {
            "": ["▶" if k == at["index"] else "" for k in rows],
            "frame": [work.recording.names[k] for k in rows],
            "doubt": [100 * unsure[k] if k in unsure else None for k in rows],
            "said": [SIGNS[r.status] if r else "" for r in said],
        }
    )

    def go() -> None:
        if chosen := st.session_state[key].selection.cells:
            at["index"] = rows[chosen[0][0]]
            st.session_state["queue shown"] = st.session_state.get("queue shown", 0) + 1

    # Another key after each click: a cell that is left selected could not be clicked again.
    key = f"queue {st.session_state.get('queue shown', 0)}"
    columns = ["", "frame", *(["doubt"] if unsure else []), "said"]
    st.dataframe(
        table[columns],
        key=key,
        hide_index=True,
        width="stretch",
        height=35 * (len(rows) + 1) + 3,
        on_select=go,
        selection_mode="single-cell",
        column_config={
            "": st.column_config.TextColumn(width=26),
            "doubt": st.column_config.NumberColumn(
                "doubt, %", format="%.2f", width=66, help=DOUBT_IS
            ),
            "said": st.column_config.TextColumn("status", width=92),
        },
    )


def show_progress(work: Work, reviews: Reviews) -> None:
    """How many frames have somebody's word."""
    names = {work.treatment.frame_name(name) for name in work.recording.names}
    said = [reviews.latest(name).status for name in reviews.frames() if name in names]
    counts = ", ".join(f"{said.count(s)} {s}" for s in SIGNS if s in said) or "none reviewed yet"
    st.progress(len(said) / len(names), f"{len(said)} of {len(names)} frames: {counts}")


def choose_start(work: Work, reviews: Reviews, index: int, who: str) -> np.ndarray:
    """The mask that is shown first: the reviewer's own last one, else the model's."""
    frame = work.treatment.frame_name(work.recording.names[index])
    options = {"model": "the model's mask"}
    if work.recording.label is not None:
        options["label"] = "the label of the dataset"
    versions = {}
    for review in reviews.history(frame):
        if review.label is not None:
            versions[f"v{review.version}"] = review
            options[f"v{review.version}"] = (
                f"version {review.version}: {review.status} by {review.who}"
            )
    mine = [name for name, review in versions.items() if review.who == who]
    names = list(options)
    # Another reviewer's mask is not the default: two opinions are to be independent.
    first = names.index(mine[-1]) if mine else 0
    chosen = st.selectbox(
        "Start from", names, first, format_func=options.get, key=f"start {frame} {len(names)} {who}"
    )
    if chosen == "label":
        label = to_scheme(work.recording.label(index), len(work.classes))
        return work.treatment.cropped(label)
    if chosen != "model":
        return to_scheme(reviews.label(versions[chosen]), len(work.classes))
    return work.mask(index)[0]


def show_agreement(reviews: Reviews, frame: str) -> None:
    """How well two people agree, and everything that was said of the frame."""
    for one, other, mcc in agreement(reviews, frame):
        st.metric(
            f"{one.who} and {other.who}",
            f"MCC {mcc:.3f}",
            help="Matthews correlation of the skyrmion pixels of their last masks",
        )
    history = reviews.history(frame)
    if history:
        lines = (
            f"v{r.version} {SIGNS[r.status]} by {r.who}, {r.when[:16].replace('T', ' ')} UTC"
            for r in reversed(history)
        )
        st.caption("  \n".join(lines))


def on_action() -> None:
    """The editor asks for something: done before the page is drawn again."""
    action = st.session_state["editor"].get("action")
    context = st.session_state.get("desk")
    if not action or context is None or action.get("turn") != context["turn"]:
        return
    known = bool(context["desk"].reviews.frames())
    outcome = act(context["desk"], action, st.session_state["reviewer"])
    if not known and context["desk"].reviews.frames():
        st.session_state["whole page"] = True  # the recording can be trained on now
    st.session_state["turn"] = context["turn"] + 1
    st.session_state["notice"] = (
        {"text": outcome.text, "bad": outcome.bad} if outcome.text else None
    )
    context["at"]["index"] = moved(
        context["order"], context["index"], outcome.move, context["done"]()
    )


def on_who() -> None:
    """The browser remembers who sits before it."""
    name = st.session_state["editor"].get("who")
    if name and not st.session_state["reviewer"]:
        st.session_state["reviewer"] = name
        st.session_state["whole page"] = True  # the name stands outside of the fragment


def show_objects(desk: Desk, image: np.ndarray) -> list[tuple[int, int]]:
    """Filter the objects by what was measured; returns a pixel of each that lies outside."""
    mask, draft = desk.mask, st.session_state.get("editor", {}).get("draft")
    if draft and draft.get("id") == desk.identity:
        mask = decode_mask(draft["mask"], mask.shape, desk.n_classes)
    objects = measured(mask == SKYRMION, image)
    if not len(objects):
        st.caption("The mask holds no skyrmion.")
        return []
    quantity, inside = choose_range(objects)
    left, right = st.columns(2, gap="large")
    with left:
        show_histogram(objects, quantity, inside)
    with right:
        show_map(objects, quantity, inside, mask.shape)
    outside = [tuple(map(int, seed)) for seed in objects.seeds[~inside]]

    def delete() -> None:
        count = st.session_state.get("commands", 0) + 1
        st.session_state["commands"] = count
        st.session_state["command"] = {"id": desk.identity, "n": count, "seeds": outside}

    row = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    row.button(
        "Delete those outside",
        icon=":material/filter_alt:",
        disabled=not outside,
        on_click=delete,
        help="One step in the editor: it can be undone",
    )
    row.caption(f"{int(inside.sum())} of {len(objects)} objects lie within the range.")
    return outside


@st.fragment
def show_desk(work: Work, who: str) -> None:
    """The editor with its queue; what is done here does not draw the rest of the page again."""
    if st.session_state.pop("whole page", False):
        st.rerun()
    with refusals():
        _desk(work, st.session_state.get("reviewer", who).strip())


def _desk(work: Work, who: str) -> None:
    recording, at = work.recording, place(work)
    reviews = Reviews.open(folder_of(recording.name, recording.fingerprint))

    def done() -> set[int]:
        mine = {name for name in reviews.frames() if reviews.latest(name, who)}
        names = enumerate(recording.names)
        return {k for k, name in names if work.treatment.frame_name(name) in mine}

    middle, side = st.columns([16, 7], gap="medium")
    with side:
        order, unsure = choose_order(work)
        if st.session_state.pop("order chosen", False):
            at["index"] = next((index for index in order if index not in done()), order[0])
        show_scrubber(order, at)
        index = at["index"]
        st.query_params["frame"] = recording.names[index]
        show_queue(work, reviews, order, unsure, at)
        show_progress(work, reviews)
        frame = work.treatment.frame_name(recording.names[index])
        start = choose_start(work, reviews, index, who)
        show_agreement(reviews, frame)
    whole = recording.image(index)
    shown = work.image(index)
    model, digest = work.model_said
    desk = Desk(
        reviews=reviews,
        frame=frame,
        image=work.treatment.cropped(whole),
        mask=start,
        n_classes=len(work.classes),
        model=model,
        model_sha256=digest,
        window=work.treatment.window,
        whole=work.treatment.whole(whole),
        who=who,
        treatment=work.treatment.said,
    )
    turn = st.session_state.setdefault("turn", 0)
    st.session_state["desk"] = {
        "desk": desk, "turn": turn, "at": at, "index": index, "order": order, "done": done
    }  # fmt: skip
    mine = reviews.latest(frame, who)
    editor, below = middle.container(), middle.container()
    with below:
        measures = st.toggle("Filter objects by what is measured", key="measure")
        outside = show_objects(desk, shown) if measures else []
    with editor:
        mask_editor(
            grey_levels(shown),
            start,
            key="editor",
            identity=desk.identity,
            unnamed=desk.unnamed,
            frame=f"{reviews.folder.name}/{frame}/{who}",
            picture_key=pixel_sha256(shown),
            name=frame,
            state=f"{mine.status}, version {mine.version}" if mine else "not reviewed by you",
            classes=work.classes,
            colours=TINTS,
            disc=typical_diameter(start == SKYRMION),
            turn=turn,
            who=who,
            notice=st.session_state.get("notice"),
            sync=measures,
            outside=outside,
            command=st.session_state.get("command"),
            on_action=on_action,
            on_who=on_who,
        )


def review_folders() -> list[Path]:
    """Folders of reviews of this project."""
    return sorted(p.parent for p in (project_root() / REVIEWS).glob("*/frames"))


def show_retrain(params: Params, work: Work) -> None:
    """Start a training with the corrections, and see what came of it."""
    mine = folder_of(work.recording.name, work.recording.fingerprint)
    folders = review_folders()
    if not folders:
        st.caption("Nothing is reviewed yet.")
        return
    chosen = st.multiselect(
        "Reviews to train on",
        folders,
        [mine] if mine in folders else [],
        format_func=lambda path: path.name,
        key=f"train on, at {mine.name}{'' if mine in folders else ', not reviewed'}",
    )
    every = _retrain.jobs()
    running = next((job for job in every if job.running), None)
    left, middle, right = st.columns([1, 1, 3], vertical_alignment="bottom", gap="medium")
    seeds = left.number_input(
        "Seeds", 1, 20, 1, key="retrain seeds", help="Networks that are trained; the best is kept"
    )
    epochs = middle.number_input("Epochs", 1, 1000, 3, key="retrain epochs")
    pressed = right.button(
        "Retrain with corrections",
        icon=":material/model_training:",
        type="primary",
        disabled=work.model is None or not chosen or running is not None,
        help=f"spinscope flow run retrain, profile {params.profile}",
    )
    if work.model is None:
        st.caption("Choose a model on the left to train from.")
    elif running is None:
        st.caption(_retrain.expected(params, seeds, epochs))
    if pressed:
        with refusals():  # another page may have started one meanwhile
            _retrain.start(params, chosen, work.model.ref, seeds, epochs)
            st.rerun()  # the button rests while it runs
    if every:
        job = running or every[0]
        st.fragment(show_job, run_every=3 if running else None)(job, running is not None)


def _short(path: Path) -> Path:
    return path.relative_to(project_root())


def show_job(job: _retrain.Job, was_running: bool) -> None:
    """The last retraining: its log while it runs, then new against old."""
    running, report = job.running, job.report
    if was_running and not running:
        st.rerun()  # no need to look again every few seconds
    if running:
        left, right = st.columns([6, 1], vertical_alignment="center")
        left.caption(f"Training {job.about['model']} again; log in `{_short(job.log)}`")
        right.button("Stop", icon=":material/stop:", on_click=job.stop, width="stretch")
        st.code(job.tail() or "starting …", language=None, height=220)
    elif report is None:
        st.error(
            f"The retraining of {job.about['model']} ended without a report.",
            icon=":material/error:",
        )
        st.code(job.tail(), language=None, height=220)
    else:
        show_report(report, job)


PARTS = {
    "held_out": "Corrected frames held back",
    "trained": "Corrected frames trained on",
    "validation": "Validation frames",
}


def show_report(report: dict[str, Any], job: _retrain.Job) -> None:
    """New model against old: on the corrected frames, on those that were held back, and beyond."""
    parts = [part for part in PARTS if report["new"].get(part) and report["old"].get(part)]
    for column, part in zip(st.columns(len(PARTS)), parts, strict=False):
        old, new = (report[which][part] for which in ("old", "new"))
        column.metric(
            f"{PARTS[part]} ({new['n_images']})",
            f"MCC {new['mcc']:.3f}",
            f"{new['mcc'] - old['mcc']:+.3f} against the old model",
        )
    if report.get("says"):
        st.markdown(report["says"])
    frames = pd.DataFrame(report["frames"])
    if len(frames):
        if {"old_mcc", "new_mcc"} <= set(frames):
            frames["gain"] = frames["new_mcc"] - frames["old_mcc"]
        names = {
            "name": "frame",
            "use": "used for",
            "old_mcc": "old MCC",
            "new_mcc": "new MCC",
            "gain": "gain",
            "reviewers_mcc": "reviewers among themselves",
        }
        table = frames[[key for key in names if key in frames]].rename(columns=names)
        figures = [name for name in table if name not in ("frame", "used for")]
        table[figures] = table[figures].astype(float)
        styles = {name: "{:+.3f}" if name == "gain" else "{:.3f}" for name in figures}
        st.dataframe(
            table.style.format(styles, na_rep="–"),
            hide_index=True,
            width="stretch",
            height=35 * (min(len(table), 10) + 1) + 3,
        )
    registered = report.get("registered")
    st.caption(
        f"{report['old'].get('ref', job.about['model'])} → {registered or 'not registered'}; "
        f"everything in `{_short(job.folder / 'out')}`"
    )


with page(
    "Review", "Masks as a person sees them: correct what is wrong, and train on it."
) as params:
    recording = choose_recording(params)
    if not len(recording):
        raise SpinscopeError(f"{recording.path} holds no frame")
    if st.session_state.get("recording shown", recording.fingerprint) != recording.fingerprint:
        st.query_params.pop("frame", None)  # it was one of another recording
        st.session_state["review model"] = None  # the first of those that it may have
    st.session_state["recording shown"] = recording.fingerprint
    model = choose_model(
        params,
        "Model of the masks" if recording.results is not None else "Model",
        "review model",
        none=None if recording.results is None else "the folder's own masks",
    )
    views = choose_views() if model is not None else 1
    who = ask_name()
    first = recording.image(0)
    treatment = choose_treatment(recording, first.shape)
    check_size(treatment.cropped(first).shape)
    work = Work(recording, model, views, treatment)
    if work.classes != CLASSES[: len(work.classes)]:
        raise SpinscopeError(
            f"model {work.model_said[0]} tells {', '.join(work.classes)}; masks for review hold "
            f"{', '.join(CLASSES[:3])}"
        )
    show_desk(work, who)
    with st.expander("Retrain with corrections", icon=":material/model_training:"):
        show_retrain(params, work)
