"""Findings of Watanabe et al. beside measurements of ours: one row per claim and network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spinscope.errors import SpinscopeError
from spinscope.studies.parameters.measures import CONDITIONS
from spinscope.studies.parameters.networks import OWN, PUBLISHED
from spinscope.studies.parameters.views import HELD, OTHER, Condition
from spinscope.studies.report import Row, judged, noted
from spinscope.studies.statistics import mean_sd, over_seeds
from spinscope.training.domains import BACKGROUND, BLUR_PX, NOISE

SOURCE = "Watanabe, Nakatani, Awano and Tanabe, arXiv:2408.12181 (2024)"

TRANSFERS = {0.5: False, 1.5: True}
"""Scale of the training in µm → whether its network works at the largest scale, as published."""

TRAINED, UNSEEN = 0.95, 0.90
"""Limits of R² at scales of the training and at others, from which a network works."""
FAILS = 0.5
"""R² below which a network does not work."""
TOLERATED = 2.0
"""RMSE at unseen scales over that at trained ones, up to which a parameter tolerates them."""
MENDED = 1.5
"""RMSE without a scale over that with it, up to which neighbouring scales replace it."""
COVERED = (85.0, 95.0)
"""Limits of the coverage of the 90 % intervals, %."""
MARKED = 95.0
"""Images without a valid estimate that must be marked, %."""
FALSELY = 5.0
"""Test views that may be marked, %."""

_GROUPS = {HELD: "held-back films", OTHER: "films of another seed"}
"""Groups of test films in words."""

TITLES = {"dmi": "D", "ms": "Ms"}
UNITS = {"dmi": ("mJ/m²", 1e3), "ms": ("kA/m", 1e-3)}
"""Unit of a parameter, and its factor from SI units."""

Network = Mapping[str, Any]
"""Configuration of a network with the measurements of its seeds, see `study.summaries`."""


def findings(
    networks: Mapping[str, Network],
    baselines: Mapping[str, Mapping[str, Any]],
    marked: Mapping[str, Any] | None = None,
    refined: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> list[Row]:
    """Rows of the report.

    Parameters
    ----------
    networks : mapping
        Name → network.
    baselines : mapping
        Parameter → scores of the domain width, see `study.summaries`.
    marked : mapping, optional
        Parameter → marked images, see `odd_images.count_marked`.
    refined : mapping, optional
        Parameter → refined estimates, see `closed_loop`.
    """
    rows = [*_one_scale(networks)]
    for parameter in TITLES:
        rows += _several(networks, parameter)
    rows += _left_out(networks)
    for parameter in TITLES:
        rows += _own(networks, baselines, parameter)
    rows += _coverage(networks)
    for parameter, counts in (marked or {}).items():
        rows += _marked(parameter, counts)
    for parameter, films in (refined or {}).items():
        rows += _refined(parameter, films)
    return rows


def chosen(
    networks: Mapping[str, Network], parameter: str, architecture: str
) -> dict[str, Network]:
    """Networks of the settings with a parameter and an architecture, fewest scales first."""
    found = {
        name: one
        for name, one in networks.items()
        if (one["parameter"], one["architecture"], one["given"]) == (parameter, architecture, False)
    }
    return dict(sorted(found.items(), key=lambda item: len(item[1]["scales"])))


def over_scales(networks: Mapping[str, Network], parameter: str, architecture: str) -> Network:
    """The network of several scales that is compared with one of the other architecture."""
    (other,) = {PUBLISHED, OWN} - {architecture}
    theirs = [one["scales"] for one in chosen(networks, parameter, other).values()]
    for one in chosen(networks, parameter, architecture).values():
        if len(one["scales"]) > 1 and one["scales"] in theirs:
            return one
    raise SpinscopeError(f"there are no networks of {parameter} with the same scales")


def _r2(name: str, one: Network, path: Sequence[str], published: str | None, limit: float) -> Row:
    """R² that must be at least a limit."""
    r2 = over_seeds(one["seeds"], *path, "r2")
    return judged(name, published, r2, r2["mean"] >= limit, f"reproduced where it is ≥ {limit:g}")


def _one_scale(networks: Mapping[str, Network]) -> Iterator[Row]:
    """Fig. 2: training at one scale, tests at the same and at the largest scale."""
    for one in chosen(networks, "dmi", PUBLISHED).values():
        if len(one["scales"]) > 1:
            continue
        (scale,) = one["scales"]
        largest = max(float(key) for key in one["seeds"][0]["scores"])
        at = one["labels"][f"{scale:g}"]
        name = f"Fig. 2: D, trained and tested at {at}: R²"
        yield _r2(name, one, ("scores", f"{scale:g}"), "works", TRAINED)
        if scale == largest:
            continue
        name = f"Fig. 2: D, trained at {at}, tested at {one['labels'][f'{largest:g}']}: R²"
        r2 = over_seeds(one["seeds"], "scores", f"{largest:g}", "r2")
        works = TRANSFERS.get(scale)
        if works is None:
            why = "published as a figure only; for comparison with the rows beside it"
            yield noted(name, r2["mean"], why, r2["n"], r2["sd"], "figure")
        elif works:
            yield _r2(name, one, ("scores", f"{largest:g}"), "works", UNSEEN)
        else:
            why = f"reproduced where it is below {FAILS:g}"
            yield judged(name, "fails", r2, r2["mean"] < FAILS, why)


def _several(networks: Mapping[str, Network], parameter: str) -> Iterator[Row]:
    """Figs. 3 and 4: training at several scales, tests at these and at unseen ones."""
    one = over_scales(networks, parameter, PUBLISHED)
    figure, title = {"dmi": "Fig. 3", "ms": "Fig. 4"}[parameter], TITLES[parameter]
    where = f"{figure}: {title}, several scales"
    yield _r2(f"{where}, tested at trained scales: R²", one, ("trained",), "works", TRAINED)
    if parameter == "dmi":
        yield _r2(f"{where}, tested at unseen scales: R²", one, ("unseen",), "works", UNSEEN)
    ratio = mean_sd([seed["unseen"]["rmse"] / seed["trained"]["rmse"] for seed in one["seeds"]])
    tolerates = parameter == "dmi"
    relation = "at most" if tolerates else "above"
    yield judged(
        f"{where}: RMSE at unseen over that at trained scales",
        "tolerated" if tolerates else "not tolerated",
        ratio,
        (ratio["mean"] <= TOLERATED) == tolerates,
        f"reproduced where it is {relation} {TOLERATED:g}, the same limit for D and Ms",
    )


def _left_out(networks: Mapping[str, Network]) -> Iterator[Row]:
    """Fig. 5: a scale is left out, added, or replaced by its neighbours."""
    without = over_scales(networks, "ms", PUBLISHED)
    more = {
        name: one
        for name, one in chosen(networks, "ms", PUBLISHED).items()
        if set(one["scales"]) > set(without["scales"])
    }
    added = next(
        (one for one in more.values() if len(one["scales"]) == len(without["scales"]) + 1), None
    )
    if added is None:
        return
    (scale,) = set(added["scales"]) - set(without["scales"])
    key, at = f"{scale:g}", added["labels"][f"{scale:g}"]
    with_it = over_seeds(added["seeds"], "scores", key, "rmse")["mean"]

    def over_it(one: Network) -> dict[str, Any]:
        return over_seeds(one["seeds"], "scores", key, "rmse", factor=1 / with_it)

    title = f"Fig. 5: Ms at {at}"
    ratio = over_it(without)
    yield judged(
        f"{title}, left out: RMSE over that with it",
        "large",
        ratio,
        ratio["mean"] > TOLERATED,
        f"reproduced where it is above {TOLERATED:g}",
    )
    yield _r2(f"{title}, added: R²", added, ("scores", key), "works", TRAINED)
    for one in more.values():
        if scale in one["scales"]:
            continue
        ratio = over_it(one)
        new = sorted(set(one["scales"]) - set(without["scales"]))
        names = " and ".join(one["labels"][f"{near:g}"] for near in new)
        yield judged(
            f"{title}, neighbours {names} added: RMSE over that with it",
            "mended",
            ratio,
            ratio["mean"] <= MENDED,
            f"reproduced where it is at most {MENDED:g}",
        )


def _own(
    networks: Mapping[str, Network], baselines: Mapping[str, Mapping[str, Any]], parameter: str
) -> Iterator[Row]:
    """Our own network against the published one and the domain width."""
    own, theirs = (over_scales(networks, parameter, kind) for kind in (OWN, PUBLISHED))
    title = f"Own network: {TITLES[parameter]}"
    yield _r2(f"{title}, trained scales: R²", own, ("trained",), None, TRAINED)
    yield _r2(f"{title}, unseen scales: R²", own, ("unseen",), None, UNSEEN)
    others = {
        "the published network": over_seeds(theirs["seeds"], "unseen", "rmse")["mean"],
        "the domain width": baselines[parameter]["pooled"]["unseen"]["rmse"],
    }
    for name, rmse in others.items():
        ratio = over_seeds(own["seeds"], "unseen", "rmse", factor=1 / rmse)
        yield judged(
            f"{title}, unseen scales: RMSE over that of {name}",
            None,
            ratio,
            ratio["mean"] < 1,
            "reproduced where it is below 1",
        )


def coverage_paths(one: Network) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where and under which conditions coverage is measured → its place in the scores of a seed."""
    first = one["seeds"][0]
    yield "trained scales", ("trained",)
    yield "unseen scales", ("unseen",)
    for name in first["groups"]:
        yield _GROUPS[name], ("groups", name)
    for name in first["conditions"]:
        if name != "ideal":
            new = "" if _trained_with(CONDITIONS[name]) else " (not trained)"
            yield f"{name}{new}", ("conditions", name, "all")


def _trained_with(condition: Condition) -> bool:
    """Whether views of the training of our own network had conditions like these."""
    return (
        condition.noise <= NOISE
        and condition.blur_px <= BLUR_PX
        and condition.background <= BACKGROUND
        and condition.contrast == 1
        and condition.blocks == 1
    )


def _coverage(networks: Mapping[str, Network]) -> Iterator[Row]:
    """Coverage of the intervals of our own networks."""
    low, high = COVERED
    for parameter, title in TITLES.items():
        one = over_scales(networks, parameter, OWN)
        for name, path in coverage_paths(one):
            found = over_seeds(one["seeds"], *path, "coverage", factor=100)
            yield judged(
                f"Coverage of the 90 % intervals, {title}, {name}, %",
                None,
                found,
                low <= found["mean"] <= high,
                f"reproduced from {low:g} to {high:g} %; own network",
            )


def _marked(parameter: str, marked: Mapping[str, Any]) -> Iterator[Row]:
    """Images without a valid estimate, and test views that are marked."""
    for key, title, holds, why in (
        ("odd", "images without a valid estimate that are marked, %",
         lambda share: share >= MARKED, f"reproduced from {MARKED:g} %"),
        ("views", "unseen test views that are marked, %",
         lambda share: share <= FALSELY, f"reproduced up to {FALSELY:g} %"),
    ):  # fmt: skip
        n, count = marked[key]["n"], marked[key]["marked"]
        share = {"mean": 100 * count / n, "sd": None, "n": n}
        name = f"{TITLES[parameter]}: {title}"
        yield judged(name, None, share, holds(share["mean"]), why)


def _refined(parameter: str, films: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Errors before and after refinement."""
    unit, factor = UNITS[parameter]
    before, after = (
        mean_sd([factor * abs(one[when] - one["true"]) for one in films])
        for when in ("before", "after")
    )
    title = f"Closed loop: {TITLES[parameter]}, mean error"
    yield noted(
        f"{title} of the network, {unit}",
        before["mean"],
        "first estimate, before any film is relaxed",
        before["n"],
        before["sd"],
    )
    yield judged(
        f"{title} after refinement, {unit}",
        None,
        after,
        after["mean"] <= before["mean"],
        "reproduced where it is not larger than before",
    )
