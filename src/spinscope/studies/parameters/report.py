"""Text, tables and sections of the report on magnetic parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spinscope.config import Params
from spinscope.studies.parameters import figures
from spinscope.studies.parameters.findings import (
    COVERED,
    SOURCE,
    TITLES,
    UNITS,
    Network,
    chosen,
    coverage_paths,
    over_scales,
)
from spinscope.studies.parameters.measures import CONDITIONS, DEGREE
from spinscope.studies.parameters.networks import OWN, PUBLISHED, scale_label, shrunk, side
from spinscope.studies.parameters.views import Films
from spinscope.studies.report import Section
from spinscope.studies.statistics import over_seeds

Tables = Mapping[str, Sequence[Mapping[str, Any]]]
"""Name of a network → estimates of each seed by scale."""

RIVAL = "Data-Driven Estimation of the interfacial DMI with Machine Learning, arXiv:2603.28812"

_PEERS = [
    (SOURCE, "D and Ms from domain images at other scales than those of the training",
     "the paper that is reproduced; no public code"),
    (RIVAL, "interfacial D from single bubble domains, under noise, pixelation and inhomogeneity",
     "only its abstract could be read: its conditions are met in kind, not in number"),
    ("Kwon et al., Sci. Adv. 6, eabb0872 (2020)",
     "exchange, DMI, anisotropy and dipolar constants from spin configurations",
     "one scale; all constants at once"),
    ("Wang et al., Adv. Sci. 7, 2000566 (2020)",
     "exchange, DMI and anisotropy from an image, then properties by simulation",
     "one scale; closes the loop to the experiment, as Closed loop does here"),
]  # fmt: skip


def about(params: Params, tests: Mapping[str, Films], networks: Mapping[str, Network]) -> str:
    """Introduction of the page: films, scales, networks and the limits of every claim."""
    sizes = [_sizes(params, parameter) for parameter in TITLES]
    counts = [
        f"{TITLES[parameter]}: {len(films.films)} test films that no network was trained on "
        f"({_counted(films)}), {films.n} views each at every scale."
        for parameter, films in tests.items()
    ]
    weights = {one["architecture"]: one["seeds"][0]["parameters"] for one in networks.values()}
    kinds = (
        f"The published network ({weights.get(PUBLISHED, '?')} weights) sees pixels only. Our own "
        f"({weights.get(OWN, '?')} weights) is told the pixel size and returns a distribution. "
        f"Every configuration is trained with {params.scales_study.seeds} seeds; means and SD are "
        "over the seeds."
    )
    return "\n\n".join(
        [
            f"Published: {SOURCE}. No code, weights or images are public.",
            " ".join([*sizes, f"A view has {tests['dmi'].pixels}² px (published: 128²)."]),
            *counts,
            kinds,
            "Every claim holds for the constants of these films only: one thickness, one exchange "
            "constant, one anisotropy with its pinning, a demagnetised state and one constant that "
            "varies. A film with other constants has other domains at the same D or Ms.",
        ]
    )


def sections(
    networks: Mapping[str, Network],
    baselines: Mapping[str, Mapping[str, Any]],
    tables: Tables,
    tests: Mapping[str, Films],
    params: Params,
) -> list[Section]:
    """Sections of the page.

    Parameters
    ----------
    networks : mapping
        Name → network with the scores of its seeds.
    baselines : mapping
        Parameter → scores of the domain width.
    tables : mapping
        Estimates of the networks.
    tests : mapping
        Parameter → test films.
    params : Params
        Settings.
    """
    return [
        _views(tests, params),
        _one_scale(networks, tables, tests["dmi"]),
        *(_several(networks, tables, tests[parameter]) for parameter in TITLES),
        _left_out(networks, tables, tests["ms"]),
        *(_side_by_side(networks, baselines, parameter) for parameter in TITLES),
        _coverage(networks),
    ]


def marked_section(marked: Mapping[str, Mapping[str, Any]]) -> Section:
    """Section of the images of which no estimate is valid.

    Parameters
    ----------
    marked : mapping
        Parameter → result of `odd_images.count_marked`.
    """
    header = ["parameter", "images", "n", "marked"]
    rows: list[list[Any]] = []
    for parameter, counts in marked.items():
        title = TITLES[parameter]
        rows += [
            [title, kind, one["n"], one["marked"]] for kind, one in counts["odd"]["kinds"].items()
        ]
        rows.append([title, "all of these", counts["odd"]["n"], counts["odd"]["marked"]])
        rows.append([title, "unseen test views", counts["views"]["n"], counts["views"]["marked"]])
    text = (
        "Images that show no domains, or domains outside the range of the training, and test views "
        "of unseen films at the scales of the training, which must not be marked. A mark names its "
        "reason: scale, contrast, domain width, no domains, not a domain image."
    )
    return Section("Images without a valid estimate", text, table=(header, rows))


def refined_section(parameter: str, films: Sequence[Mapping[str, Any]]) -> Section:
    """Section of the closed loop.

    Parameters
    ----------
    parameter : str
        "dmi" or "ms".
    films : sequence of mapping
        Results of `closed_loop.refined`.
    """
    title, (unit, factor) = TITLES[parameter], UNITS[parameter]
    header = [
        "film", f"true, {unit}", "network", "refined", "90 % interval", "width before, %",
        "after", "correlation before", "after", "films",
    ]  # fmt: skip
    rows = []
    for one in films:
        residuals: list[Any] = [None] * 4
        if "width_before" in one:
            residuals = [
                100 * one["width_before"],
                100 * one["width_after"],
                one["correlation_before"],
                one["correlation_after"],
            ]
        interval = f"{factor * one['low']:.4g} – {factor * one['high']:.4g}"
        values = [float(f"{factor * one[key]:.4g}") for key in ("true", "before", "after")]
        rows.append([one["film"], *values, interval, *residuals, one["films"]])
    text = (
        "Films are relaxed at and around the estimate, seen at the scale and with the contrast of "
        "the image, and compared with it. Width: domain width of the films over that of the image, "
        "minus 1. Correlation: root mean square difference of the two-point correlations."
    )
    drawn = {
        f"Error before and after refinement of {len(films)} films.": (
            figures.refined_figure(parameter, films)
        )
    }
    return Section(f"Closed loop: {title}", text, drawn, (header, rows))


def related() -> Section:
    """Section of the peers, the last one."""
    return Section("Related work", table=(["source", "what it estimates", "relation"], _PEERS))


def _counted(films: Films) -> str:
    """Number of films of each group in words."""
    groups = [film.group for film in films.films]
    return ", ".join(f"{groups.count(name)} {name}" for name in dict.fromkeys(groups))


def _sizes(params: Params, parameter: str) -> str:
    """Size of the films of a parameter in words."""
    size, cell, factor = (
        params.domains.sets[parameter].size, params.domains.cell_nm, shrunk(params, parameter)
    )  # fmt: skip
    text = f"Films of {TITLES[parameter]}: {size}² cells of {cell:g} nm, {size * cell / 1e3:g} µm"
    if factor == 1:
        return f"{text}, as published."
    return (
        f"{text} (published: 512², 2.048 µm); every scale is {factor:g} times the published one, "
        "which names it, with ours in brackets."
    )


def _views(tests: Mapping[str, Films], params: Params) -> Section:
    drawn = {}
    for parameter, films in tests.items():
        widths = {
            scale_label(scale, params, parameter): side(scale, params, parameter)
            for scale in params.scales_study.test_scales_um
        }
        caption = f"{TITLES[parameter]}: smallest and largest value of the test films."
        drawn[caption] = figures.view_figure(films, widths)
    text = "Views of one film at every scale, as the networks see them: m_z, averaged over a pixel."
    return Section("Views", text, drawn)


def _one_scale(networks: Mapping[str, Network], tables: Tables, films: Films) -> Section:
    some = {
        name: one
        for name, one in chosen(networks, "dmi", PUBLISHED).items()
        if len(one["scales"]) == 1
    }
    panels = {}
    for name, one in some.items():
        (scale,) = one["scales"]
        largest = max(one["seeds"][0]["scores"], key=float)
        for test in dict.fromkeys((f"{scale:g}", largest)):
            title = f"trained at {scale:g}, tested at {test} µm"
            panels[title] = [seed[test] for seed in tables[name]]
    text = (
        "The published network for D, trained at one scale, tested at all. A pattern at another "
        "scale looks like a film with wider or narrower domains."
    )
    return Section(
        "Fig. 2: trained at one scale",
        text,
        {
            "R² of the training scale (row) at every test scale; frames: scale of the training.": (
                figures.matrix_figure({_named(name, one): one for name, one in some.items()})
            ),
            "Estimated against true D; bars: SD over the seeds.": (
                figures.scatter_figure(panels, films)
            ),
        },
        _by_scale(some, "dmi"),
    )


def _several(networks: Mapping[str, Network], tables: Tables, films: Films) -> Section:
    parameter = films.parameter
    pair = _pair(networks, parameter)
    published = next(name for name, one in pair.items() if one["architecture"] == PUBLISHED)
    panels = {
        f"{scale} µm{', trained' if float(scale) in pair[published]['scales'] else ''}": [
            seed[scale] for seed in tables[published]
        ]
        for scale in pair[published]["seeds"][0]["scores"]
    }
    title = TITLES[parameter]
    figure = {"dmi": "Fig. 3", "ms": "Fig. 4"}[parameter]
    return Section(
        f"{figure}: {title}, trained at several scales",
        f"Networks for {title}, trained at {_listed(pair[published])}.",
        {
            "R² at every test scale; frames: scales of the training.": figures.matrix_figure(
                {_named(name, one): one for name, one in pair.items()}
            ),
            f"Published network, estimated against true {title}.": figures.scatter_figure(
                panels, films
            ),
        },
        _by_scale(pair, parameter),
    )


def _left_out(networks: Mapping[str, Network], tables: Tables, films: Films) -> Section:
    some = {
        name: one
        for name, one in chosen(networks, "ms", PUBLISHED).items()
        if len(one["scales"]) > 1
    }
    base = over_scales(networks, "ms", PUBLISHED)
    extra = {
        scale for one in some.values() for scale in one["scales"] if scale not in base["scales"]
    }
    panels = {
        f"{name}, at {scale:g} µm": [seed[f"{scale:g}"] for seed in tables[name]]
        for scale in sorted(extra)
        for name in some
    }
    drawn = {
        "R² at every test scale; frames: scales of the training.": figures.matrix_figure(
            {_named(name, one): one for name, one in some.items()}
        )
    }
    if panels:
        drawn["Estimated against true Ms at the scales that only some networks saw."] = (
            figures.scatter_figure(panels, films)
        )
    text = "A scale is left out of the training, added, or replaced by its neighbours."
    return Section("Fig. 5: a scale left out", text, drawn, _by_scale(some, "ms"))


def _side_by_side(
    networks: Mapping[str, Network], baselines: Mapping[str, Mapping[str, Any]], parameter: str
) -> Section:
    """Published network, own network and domain width in one table."""
    title, (unit, factor) = TITLES[parameter], UNITS[parameter]
    pair = _pair(networks, parameter)
    given = {
        name: one
        for name, one in networks.items()
        if one["given"] and one["parameter"] == parameter
    }
    methods = {_method(one): one for one in pair.values()} | {
        f"model {name}": one for name, one in given.items()
    }
    methods["domain width, all scales together"] = {"seeds": [baselines[parameter]["pooled"]]}
    methods["domain width, each scale"] = {"seeds": [baselines[parameter]["each"]]}
    header = ["method", f"RMSE trained, {unit}", f"RMSE unseen, {unit}", "R² trained", "R² unseen"]
    names = [name for name in CONDITIONS if name != "ideal"]
    header += [f"RMSE, {name}" for name in names]
    rows = []
    for name, one in methods.items():
        cells: list[Any] = [name]
        for key, scaled in (("rmse", factor), ("r2", 1.0)):
            cells += [
                over_seeds(one["seeds"], part, key, factor=scaled)["mean"]
                if one["seeds"][0][part]
                else None
                for part in ("trained", "unseen")
            ]
        for condition in names:
            known = one["seeds"][0]["conditions"]
            path = ("conditions", condition, "all", "rmse")
            cells.append(over_seeds(one["seeds"], *path, factor=factor)["mean"] if known else None)
        rows.append(cells)
    text = (
        f"Domain width: a polynomial of degree {DEGREE} in the logarithm of the domain width from "
        "the Fourier spectrum, fitted to views of the training films, either of the trained scales "
        "together or of each scale for itself; the latter has no unseen scales. Noise and "
        f"background are in units of the contrast. {RIVAL}, estimates D of single bubbles under "
        "noise, pixelation and sample inhomogeneity; only its abstract could be read. Its "
        "conditions are similar to the columns of noise and blocks of pixels. Its images show "
        "single bubbles, ours whole domain patterns, so the numbers cannot be compared."
    )
    return Section(
        f"Side by side: {title}",
        text,
        {
            "RMSE against the scale of the test views; dotted: scales of the training.": (
                figures.error_figure(methods, parameter, next(iter(pair.values()))["scales"])
            )
        },
        (header, rows),
    )


def _coverage(networks: Mapping[str, Network]) -> Section:
    """Coverage and half width of the intervals."""
    shown = {
        f"{TITLES[parameter]}, {_method(one)}": (parameter, one)
        for parameter in TITLES
        for one in _pair(networks, parameter).values()
    }
    header = ["network", "where", "coverage, %", "half width", "views"]
    rows = []
    for name, (parameter, one) in shown.items():
        unit, factor = UNITS[parameter]
        for where, path in coverage_paths(one):
            found = over_seeds(one["seeds"], *path, "coverage", factor=100)
            half = over_seeds(one["seeds"], *path, "half_width", factor=factor)["mean"]
            n = over_seeds(one["seeds"], *path, "n")["mean"]
            rows.append([name, where, found["mean"], f"{half:.3g} {unit}", int(n)])
    low, high = COVERED
    text = (
        "Fraction of the true values within the 90 % interval, and its mean half width. Green: "
        f"{low:g} to {high:g} %."
    )
    drawn = {
        "Coverage by scale and under imaging conditions.": figures.coverage_figure(
            {name: one for name, (_, one) in shown.items()}
        )
    }
    return Section("Coverage of the intervals", text, drawn, (header, rows))


def _pair(networks: Mapping[str, Network], parameter: str) -> dict[str, Network]:
    """The two networks of several scales that are compared, by name."""
    both = [over_scales(networks, parameter, kind) for kind in (PUBLISHED, OWN)]
    names = {id(one): name for name, one in networks.items()}
    return {names[id(one)]: one for one in both}


def _method(one: Network) -> str:
    """Architecture in words."""
    return {PUBLISHED: "published network", OWN: "own network"}[one["architecture"]]


def _named(name: str, one: Network) -> str:
    """Name of a network and its scales."""
    return f"{name}: {', '.join(f'{scale:g}' for scale in one['scales'])}"


def _listed(one: Network) -> str:
    """Scales of a network in words."""
    return ", ".join(one["labels"][f"{scale:g}"] for scale in one["scales"])


def _by_scale(some: Mapping[str, Network], parameter: str) -> tuple[list[str], list[list[Any]]]:
    """Table of R² and RMSE of networks at every scale."""
    unit, factor = UNITS[parameter]
    header = ["network", "trained at", "tested at", "R²", "SD", f"RMSE, {unit}", "SD", "views"]
    rows = []
    for name, one in some.items():
        for scale in one["seeds"][0]["scores"]:
            r2 = over_seeds(one["seeds"], "scores", scale, "r2")
            rmse = over_seeds(one["seeds"], "scores", scale, "rmse", factor=factor)
            n = one["seeds"][0]["scores"][scale]["n"]
            at = ", ".join(f"{value:g}" for value in one["scales"])
            label = one["labels"][scale]
            rows.append([name, at, label, r2["mean"], r2["sd"], rmse["mean"], rmse["sd"], n])
    return header, rows
