"""Review of masks: paint, accept, correct or reject them, and retrain with the corrections."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import streamlit as st

from components import choose, guided, images, layout, modality, models, objects
from components.desk import Desk, act, agreement, frame_after, reviews_folder, state_of
from components.editor import check_size, decode_mask, mask_editor
from components.level_panel import show_level
from components.recordings import choose_recording, choose_treatment
from components.retraining_panel import show_retraining
from components.review_queue import (
    STATUSES,
    Work,
    choose_order,
    position,
    show_counts,
    show_progress,
    show_queue,
    show_slider,
)
from spinscope.classes import CLASSES, SKYRMION
from spinscope.datasets.manifest import pixel_sha256
from spinscope.drawing import grey_levels
from spinscope.errors import SpinscopeError
from spinscope.images import to_scheme
from spinscope.reviews.folder import Reviews


def ask_name() -> str:
    """Ask for the name of the reviewer, which the browser stores."""
    st.session_state.setdefault("reviewer", "")
    with st.sidebar:
        return st.text_input("Your name", key="reviewer", placeholder="name in the reviews").strip()


def choose_start(
    work: Work, reviews: Reviews, index: int, who: str
) -> tuple[np.ndarray, bool, str]:
    """Choose the mask to start from: by default the reviewer's last one, else the model's.

    Corrections that were proposed from another frame come before the model's own mask. Returns the
    mask, whether it is such a proposal, and its origin in words.
    """
    frame = work.frame(index)
    options = {"model": "the model's mask"}
    if work.recording.label is not None:
        options["label"] = "the label of the dataset"
    versions = {f"v{r.version}": r for r in reviews.history(frame) if r.label is not None}
    proposed = guided.proposals(work).get(frame)
    if proposed is not None:
        options["proposal"] = f"corrections proposed from {proposed[0]}"
    options |= {name: f"version {r.version}: {r.status} by {r.who}" for name, r in versions.items()}
    # Another reviewer's mask is never the default, so that reviews are independent.
    own = [name for name, review in versions.items() if review.who == who]
    names = list(options)
    first = own[-1] if own else "model" if proposed is None else "proposal"
    chosen = st.selectbox(
        "Start from",
        names,
        names.index(first),
        format_func=options.get,
        key=f"start {frame} {len(names)} {who}",
    )
    if chosen == "proposal":
        mask = proposed[1]
    elif chosen == "label":
        label = to_scheme(work.recording.label(index), len(work.classes))
        mask = work.treatment.cropped(label)
    elif chosen == "model":
        mask = work.mask(index)[0]
    else:
        mask = to_scheme(reviews.label(versions[chosen]), len(work.classes))
    words = options[chosen] if chosen in versions else f"{options[chosen]}, not saved"
    return mask, chosen == "proposal", words


def show_reviews(reviews: Reviews, frame: str) -> None:
    """Show the agreement of every two reviewers, and all reviews of the frame."""
    for one, other, mcc in agreement(reviews, frame):
        st.metric(
            f"{one.who} and {other.who}",
            f"MCC {mcc:.3f}",
            help="Matthews correlation of the skyrmion pixels of their last masks",
        )
    lines = (
        f"v{r.version} {STATUSES[r.status]} by {r.who}, {r.when[:16].replace('T', ' ')} UTC"
        for r in reversed(reviews.history(frame))
    )
    if text := "  \n".join(lines):
        st.caption(text)


def on_action() -> None:
    """Carry out an action of the editor before the page is drawn again."""
    action = st.session_state["editor"].get("action")
    context = st.session_state.get("desk")
    if not action or context is None or action.get("answered") != context["answered"]:
        return
    desk = context["desk"]
    reviewed = bool(desk.reviews.frames())
    if action.get("action") == "propose":
        outcome = guided.propose(desk, context["work"], context["index"], action)
    else:
        outcome = act(desk, action, st.session_state["reviewer"])
    if not reviewed and desk.reviews.frames():
        st.session_state["redraw page"] = True  # the recording can be trained on now
    st.session_state["answered"] = context["answered"] + 1
    st.session_state["notice"] = (
        {"text": outcome.text, "bad": outcome.bad} if outcome.text else None
    )
    context["at"]["index"] = frame_after(
        context["order"], context["index"], outcome.move, context["done"]()
    )


def on_guide() -> None:
    """Answer a click or a scribble before the page is drawn again."""
    request, context = st.session_state["editor"].get("guide"), st.session_state.get("desk")
    if request and context is not None and request.get("id") == context["desk"].identity:
        st.session_state["guided"] = guided.answer(
            context["desk"], context["work"], context["index"], request
        )


def on_who() -> None:
    """Take over the name that the browser stores."""
    name = st.session_state["editor"].get("who")
    if name and not st.session_state["reviewer"]:
        st.session_state["reviewer"] = name
        st.session_state["redraw page"] = True  # the name is shown outside the fragment


def show_objects(desk: Desk, image: np.ndarray) -> list[tuple[int, int]]:
    """Filter the objects by a measured quantity; returns one pixel of each object outside."""
    mask, draft = desk.mask, st.session_state.get("editor", {}).get("draft")
    if draft and draft.get("id") == desk.identity:
        mask = decode_mask(draft["mask"], mask.shape, desk.n_classes)
    found = objects.measure_objects(mask == SKYRMION, image)
    if not len(found):
        st.caption("The mask has no skyrmion.")
        return []
    inside = objects.choose_inside(found, mask.shape)
    outside = [tuple(map(int, seed)) for seed in found.seeds[~inside]]

    def delete() -> None:
        n = time.time()  # another number in each session that the browser takes part in
        st.session_state["command"] = {"id": desk.identity, "n": n, "seeds": outside}

    row = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    row.button(
        "Delete objects outside",
        icon=":material/filter_alt:",
        disabled=not outside,
        on_click=delete,
        help="One step in the editor, which can be undone",
    )
    row.caption(f"{int(inside.sum())} of {len(found)} objects lie within the range.")
    return outside


@st.fragment
def show_desk(work: Work, who: str) -> None:
    """Show the editor with its queue; actions in it do not redraw the rest of the page."""
    if st.session_state.pop("redraw page", False):
        st.rerun()
    with layout.errors_shown():
        show_frame(work, st.session_state.get("reviewer", who).strip())


def show_frame(work: Work, who: str) -> None:
    """Show the queue, the current frame in the editor, and its objects."""
    recording, at = work.recording, position(work)
    reviews = Reviews.open(reviews_folder(recording.name, recording.fingerprint))

    def done() -> set[int]:
        reviewed = {name for name in reviews.frames() if reviews.latest(name, who)}
        return {k for k in range(len(recording)) if work.frame(k) in reviewed}

    middle, side = st.columns([16, 7], gap="medium")
    with side:
        order, uncertainty = choose_order(work)
        if st.session_state.pop("order chosen", False):
            at["index"] = next((k for k in order if k not in done()), order[0])
        show_slider(work, order, at)
        index = at["index"]
        st.query_params["frame"] = recording.names[index]
        show_queue(work, reviews, order, uncertainty, at)
        show_progress(work, reviews)
        frame = work.frame(index)
        start, proposed, words = choose_start(work, reviews, index, who)
        show_counts(start, work.classes)
        show_reviews(reviews, frame)
        show_level(work, reviews, index, reviews.latest(frame, who))
    whole, shown = recording.image(index), work.image(index)
    desk = Desk(
        reviews=reviews,
        frame=frame,
        image=work.treatment.cropped(whole),
        mask=start,
        n_classes=len(work.classes),
        origin={**work.origin, **work.treatment.record(whole)},
        who=who,
        refusal=work.refusal,
        proposed=proposed,
    )
    context: dict[str, Any] = {"desk": desk, "at": at, "index": index, "order": order, "done": done}
    context["work"] = work
    context["answered"] = st.session_state.setdefault("answered", 0)
    st.session_state["desk"] = context
    editor, below = middle.container(), middle.container()
    with below:
        filtering = st.toggle("Filter objects by a measured quantity", key="measure")
        outside = show_objects(desk, shown) if filtering else []
    own = reviews.latest(frame, who)
    guiding = work.maker is not None and st.session_state.get("editor", {}).get("guiding")
    with editor:
        mask_editor(
            grey_levels(shown),
            start,
            key="editor",
            image_key=pixel_sha256(shown),
            foreground=work.foreground(index) if guiding else None,
            outside=outside,
            on_action=on_action,
            on_who=on_who,
            on_guide=on_guide,
            id=desk.identity,
            unnamed=desk.unnamed,
            frame=f"{reviews.folder.name}/{frame}/{who}",
            name=frame,
            state=state_of(own, start, words),
            classes=list(work.classes),
            colours=images.CLASS_COLOURS[: len(work.classes)].tolist(),
            disc=objects.typical_diameter(start == SKYRMION),
            answered=context["answered"],
            who=who,
            notice=st.session_state.get("notice"),
            sync=filtering,
            command=st.session_state.get("command"),
            guided=st.session_state.get("guided"),
        )


with layout.page(
    "Review", "Correct the masks of a model, and retrain it with the corrections."
) as params:
    recording = choose_recording(params)
    if not len(recording):
        raise SpinscopeError(f"{recording.path} holds no frame")
    if st.session_state.get("recording shown", recording.fingerprint) != recording.fingerprint:
        st.query_params.pop("frame", None)  # the frame of another recording
        st.session_state.pop("review model", None)  # the model of the lab, or the bundled one
        st.query_params.pop("review-model", None)
    st.session_state["recording shown"] = recording.fingerprint
    imaging = modality.of_recording(params, recording)
    model = choose.model(
        params,
        "Masks" if recording.results is not None else "Model",
        "review model",
        modality=imaging,
        none=None if recording.results is None else "masks of the results folder",
    )
    views = choose.augmentation() if model is not None else 1
    who = ask_name()
    first = recording.image(0)
    treatment = choose_treatment(recording, first.shape)
    check_size(treatment.cropped(first).shape)
    maker = model if model is not None else models.of_results(params, recording.results)
    choose.warn_if_foreign(maker, imaging)
    work = Work(recording, model, views, treatment, choose.foreign(maker, imaging), maker)
    if work.classes != CLASSES[: len(work.classes)]:
        raise SpinscopeError(
            f"the classes of the model are {', '.join(work.classes)}; masks for review hold "
            f"{', '.join(CLASSES[:3])}"
        )
    show_desk(work, who)
    with st.expander("Retrain with corrections", icon=":material/model_training:"):
        show_retraining(params, work)
