"""A magnetic parameter of a film, estimated from an image of its domains."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from components import charts, display, domains, images, layout, models, spins
from components.domains import Given
from spinscope.analysis.domains import signs
from spinscope.inference.parameters import SHOWN, ParameterPredictor
from spinscope.jobs import estimate as jobs
from spinscope.jobs.estimate import Estimated
from spinscope.jobs.refining import Refined

TITLES = {"dmi": "DMI constant D", "ms": "Saturation magnetisation Ms"}
ESTIMATE, REFINED, TRUE, FILMS = "estimate", "refined", "true value", "training films"
COLOURS = {ESTIMATE: layout.PALETTE[0], REFINED: layout.PALETTE[1], TRUE: "black"}
COLOURS |= {FILMS: layout.GREY}
IMPROBABLE = 0.01  # probability of the residual below which films do not look like the image


def estimated(model: models.Model, predictor: ParameterPredictor, given: Given) -> Estimated:
    """Estimate of an image, computed once per model and image."""
    image = given.image
    key = model.digest, str(model.folder), spins.digest(image.image), image.pixel_size, image.name
    return _estimated(*key, predictor, given, model.ref)


@st.cache_data(max_entries=32, show_spinner="Estimating …")
def _estimated(
    digest: str,
    folder: str,
    pixels: str,
    pixel_size: float,
    name: str,
    _predictor: ParameterPredictor,
    _given: Given,
    _ref: str,
) -> Estimated:
    return jobs.estimated(_predictor, _given.image, model=_ref)


def in_unit(found: Estimated, value: float) -> float:
    """Value of the parameter in the unit that is shown."""
    return value * SHOWN[found.parameter][2]


def interval(found: Estimated, low: float, high: float) -> str:
    """Ends of an interval with three significant digits."""
    return f"{in_unit(found, low):.3g} to {in_unit(found, high):.3g}"


def show_verdict(found: Estimated) -> None:
    """Show whether the model was trained on images like this one, and if not, why."""
    if found.in_range:
        st.success(
            "The image is in the range of the training images.", icon=":material/check_circle:"
        )
        return
    known = found.estimate is not None
    text = (
        "**The image is outside the range of the training images.** The error of the estimate is "
        "unknown; its interval is the range of the training."
        if known
        else "**No estimate.** The network was not trained on images like this one."
    )
    lines = "".join(f"\n- {reason}" for reason in found.reasons)
    st.warning(f"{text}\n{lines}", icon=":material/warning:")


def show_numbers(found: Estimated, given: Given) -> None:
    """Show the estimate with its interval, the true value, and the width of the domains."""
    symbol, unit, _ = SHOWN[found.parameter]
    known, further = found.estimate, {}
    estimate: dict[str, Any] = {f"{symbol}, {unit}": "–"}
    if known is not None:
        value = domains.with_sd(in_unit(found, known.mean), in_unit(found, known.sd))
        estimate = {
            f"{symbol}, {unit}": (value, "Estimate ± standard deviation"),
            f"90 % interval, {unit}": interval(found, known.low, known.high),
        }
    if given.true is not None:
        about = "Of the simulated film" + ", which was in the training of the model" * given.seen
        further[f"True {symbol}, {unit}"] = f"{in_unit(found, given.true):.3g}", about
    if found.signs.width:
        about = "Mean width of a domain: area per length of the walls"
        further["Domain width, nm"] = f"{found.signs.width * 1e9:.0f}", about
    layout.metrics(estimate)
    if further:
        layout.metrics(further)
    if given.seen:
        st.caption("The model was trained on this film; its error on other films is larger.")


@st.cache_data(max_entries=8, show_spinner=False)
def film_table(digest: str, folder: str, _predictor: ParameterPredictor) -> pd.DataFrame:
    """Parameter in SI units and domain width in nm of the training films in a model folder."""
    if not domains.has_films(_predictor):
        return pd.DataFrame(columns=["x", "y"])
    films = _predictor.films
    widths = [signs(image / np.float32(255), films.pixel_size).width for image in films.images]
    return pd.DataFrame({"x": films.values, "y": 1e9 * np.array(widths)})


def show_range(found: Estimated, given: Given, films: pd.DataFrame) -> None:
    """Show the estimate with its interval among the training films, by width of the domains."""
    symbol, unit, factor = SHOWN[found.parameter]
    table, width = films.assign(x=films["x"] * factor), found.signs.width * 1e9
    low, high = (in_unit(found, end) for end in found.limits)
    span, widths = 0.05 * (high - low), [*table["y"], width]
    titles = {"x:Q": f"{symbol}, {unit}", "y:Q": "domain width, nm"}
    x = alt.X(
        "x:Q", title=titles["x:Q"],
        scale=alt.Scale(domain=[low - span, high + span], nice=False),
    )  # fmt: skip
    limits = [0.95 * min(widths), 1.05 * max(widths)]
    y = alt.Y("y:Q", title=titles["y:Q"], scale=alt.Scale(domain=limits, nice=False))
    tooltip = [alt.Tooltip(key, format=".3~f", title=title) for key, title in titles.items()]
    points = alt.Chart(table).mark_circle(size=36, opacity=0.6, color=COLOURS[FILMS])
    layers, shown = [points.encode(x, y, tooltip=tooltip)], [FILMS] * bool(len(table))
    estimates = {}
    if (one := found.estimate) is not None:
        estimates[ESTIMATE] = one.mean, one.low, one.high
    if (one := found.refined) is not None:
        estimates[REFINED] = one.value, one.low, one.high
    for place, (name, numbers) in enumerate(estimates.items()):
        row = dict(zip(("x", "low", "high"), (in_unit(found, n) for n in numbers), strict=True))
        base = alt.Chart(pd.DataFrame([row | {"y": width}])).encode(y=y)
        marks = {"color": COLOURS[name], "yOffset": 10 * place, "clip": True}
        bar = base.mark_rule(strokeWidth=3, **marks)
        layers.append(bar.encode(alt.X("low:Q"), alt.X2("high:Q")))
        value = base.mark_point(shape="diamond", filled=True, size=120, opacity=1, **marks)
        layers.append(value.encode(alt.X("x:Q"), tooltip=tooltip))
        shown.append(name)
    if given.true is not None:
        layers.append(true_rule(found, given))
        shown.append(TRUE)
    layout.legend({name: COLOURS[name] for name in shown})
    st.altair_chart(alt.layer(*layers).properties(height=260), width="stretch")


def true_rule(found: Estimated, given: Given) -> alt.Chart:
    """Dashed line at the true value."""
    row = pd.DataFrame({"x": [in_unit(found, given.true)]})
    return alt.Chart(row).mark_rule(strokeDash=[4, 4]).encode(alt.X("x:Q"))


def show_nearest(found: Estimated) -> None:
    """Show the training films that are most like the image."""
    if not found.nearest:
        return
    st.subheader("Nearest training films")
    symbol, unit, _ = SHOWN[found.parameter]
    for column, film in zip(st.columns(len(found.nearest)), found.nearest, strict=True):
        column.image(
            images.with_scale_bar(images.grey(film.image), film.pixel_size),
            caption=f"{symbol} = {in_unit(found, film.value):.3g} {unit}", width="stretch",
        )  # fmt: skip
    st.caption(
        "Those with the nearest domain width among films with a parameter near the estimate."
    )


def shown_progress(items: Iterable, *, unit: str = "step", **_: Any) -> Iterator:
    """Yield items, and show how many are done and how long the rest takes."""
    items, begun = list(items), time.perf_counter()
    bar = st.progress(0.0)
    for done, item in enumerate(items):
        text = f"{unit.capitalize()} {done + 1} of {len(items)}"
        if done:
            seconds = (time.perf_counter() - begun) / done * (len(items) - done)
            text += f", {seconds:.0f} s left"
        bar.progress(done / len(items), text)
        yield item
    bar.empty()


def refined(model: models.Model, predictor: ParameterPredictor, found: Estimated) -> Estimated:
    """Estimate with the outcome of the closed loop, where it was asked for."""
    image = found.given
    key = model.digest, str(model.folder), spins.digest(image.image), image.pixel_size
    last, result = st.session_state.get("refined parameter", (None, None))
    if last == key:
        return result
    st.caption(
        "Films of the model's material are relaxed at and around the estimate, and rendered with "
        "the field of view, contrast, noise and blur of the image. This takes minutes at first; "
        "relaxed films are kept for other images."
    )
    if not st.button("Refine", icon=":material/autorenew:", key="refine"):
        return found
    result = jobs.with_refinement(found, predictor, progress=shown_progress)
    st.session_state["refined parameter"] = key, result
    st.rerun()


def show_refined(found: Estimated, one: Refined, given: Given) -> None:
    """Show the refined estimate, its posterior, and films beside the image."""
    symbol, unit, _ = SHOWN[found.parameter]
    shown: dict[str, Any] = {
        f"Refined {symbol}, {unit}": (
            domains.with_sd(in_unit(found, one.value), in_unit(found, one.sd)),
            "Mean of the posterior ± standard deviation",
        ),
        f"90 % interval, {unit}": interval(found, one.low, one.high),
        "Width residual": (
            f"{one.before.width:+.1%} → {one.after.width:+.1%}",
            "Domain width of the films relative to that of the image, before and after",
        ),
        "Correlation residual": (
            f"{one.before.correlation:.3f} → {one.after.correlation:.3f}",
            "Root mean square difference of the two-point correlations, before and after",
        ),
    }
    layout.metrics(shown)
    if one.probability < IMPROBABLE:
        st.warning(
            f"No film of this material looks like the image (probability {one.probability:.2g}): "
            "the refined value is not reliable.",
            icon=":material/warning:",
        )
    first = np.clip(found.network.mean, *found.limits)
    before, after = (f"{in_unit(found, value):.3g}" for value in (first, one.value))
    titles = {
        "image": "Image",
        "before": f"Film at the estimate, {symbol} = {before} {unit}",
        "after": f"Film at the refined estimate, {symbol} = {after} {unit}",
    }
    display.side_by_side({title: images.grey(one.views[key]) for key, title in titles.items()})
    left, right = st.columns(2, gap="large")
    with left:
        show_posterior(found, one, given)
    with right:
        show_correlations(one)


def show_posterior(found: Estimated, one: Refined, given: Given) -> None:
    """Show the posterior of the parameter beside the distribution of the estimate.

    The estimate of an image outside the range of the training is distributed uniformly.
    """
    symbol, unit, factor = SHOWN[found.parameter]
    mean, sd = found.network.mean, found.network.sd
    values = np.linspace(*found.limits, 201)
    if found.in_range:
        density = np.exp(-0.5 * ((values - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    else:
        density = np.full(len(values), 1 / np.ptp(found.limits))
    curves = {ESTIMATE: (values, density), REFINED: (one.values, one.density)}
    table = pd.concat(
        [
            pd.DataFrame({"name": name, "x": x * factor, "y": y / factor})
            for name, (x, y) in curves.items()
        ]
    )
    x = alt.X("x:Q", title=f"{symbol}, {unit}", scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("y:Q", title=f"probability density, 1/({unit})")
    shown = {name: COLOURS[name] for name in curves}
    chart = charts.curves(table, shown, x, y, points=False)
    if given.true is not None:
        chart = chart + true_rule(found, given)
        shown[TRUE] = COLOURS[TRUE]
    layout.legend(shown)
    st.altair_chart(chart, width="stretch")


def show_correlations(one: Refined) -> None:
    """Show the two-point correlations of the image and of the films."""
    names = {"image": "image", "before": "films at the estimate", "after": "films, refined"}
    colours = {names["image"]: "black", names["before"]: COLOURS[ESTIMATE]}
    colours |= {names["after"]: COLOURS[REFINED]}
    table = pd.concat(
        [
            pd.DataFrame({"name": name, "x": one.r * 1e9, "y": one.curves[key]})
            for key, name in names.items()
        ]
    )
    layout.legend(colours)
    x, y = alt.X("x:Q", title="distance, nm"), alt.Y("y:Q", title="two-point correlation")
    st.altair_chart(charts.curves(table, colours, x, y, points=False), width="stretch")


ABOUT = "D or Ms of a magnetic film, from an image of its domains."
with layout.page("Parameters", ABOUT) as params:
    parameter = st.segmented_control(
        "Parameter", list(TITLES), default="dmi", format_func=TITLES.get, key="parameter"
    )
    parameter = parameter or "dmi"
    model = domains.choose_model(params, parameter)
    predictor = models.parameter_predictor(params, model)
    if predictor.parameter != parameter:
        raise layout.SpinscopeError(
            f"model {model.ref} estimates {SHOWN[predictor.parameter][0]}; choose it above"
        )
    given = domains.choose_image(model, predictor)
    found = estimated(model, predictor, given)
    st.caption(f"The estimate holds for {found.material}.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        height, width = (1e9 * side for side in found.given.field_of_view)
        st.image(
            images.with_scale_bar(images.grey(given.image.image), given.image.pixel_size),
            caption=f"{Path(given.image.name).name}: {width:.0f} × {height:.0f} nm, pixels of "
            f"{given.image.pixel_size * 1e9:.3g} nm",
            width="stretch",
        )
    with right:
        show_verdict(found)
        show_numbers(found, given)
        plot = st.container()
    if found.estimate is not None:
        st.subheader("Comparison with relaxed films")
        with layout.errors_shown():
            found = refined(model, predictor, found)
        if found.refined is not None:
            show_refined(found, found.refined, given)
        with plot:
            show_range(found, given, film_table(model.digest, str(model.folder), predictor))
    show_nearest(found)
    st.download_button(
        "estimate.json", json.dumps(found.summary, indent=1), "estimate.json",
        icon=":material/download:",
    )  # fmt: skip
