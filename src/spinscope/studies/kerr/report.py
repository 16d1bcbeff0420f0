"""Page of the Kerr study: rows beside the published values, and one section per part.

Every function takes the reports of the parts that exist by their names: ``ablations``, ``search``,
``relabelling``, ``tta``, ``probes`` and ``crossval``.

References
----------
Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from spinscope.evaluation.figures import size_distribution
from spinscope.studies.kerr import ablation_table, figures
from spinscope.studies.kerr.cross_validation_scores import COUNT_ERROR
from spinscope.studies.report import Row, Section, judged, noted

Part = Mapping[str, Any]
Parts = Mapping[str, Part]

COMMANDS: dict[str, str] = {
    "ablations": "spinscope study ablate",
    "search": "spinscope study search",
    "relabelling": "spinscope study relabel",
    "tta": "spinscope study views",
    "probes": "spinscope study probes",
    "crossval": "spinscope study crossval",
}
"""Part → command that makes it."""

SOURCE = "Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024)"
PUBLISHED_COUNTS = (45707, 45779)
"""Labelled and predicted skyrmions of Fig. 6."""

GREY_LIMITS = {
    "uniform": (
        "a uniform frame",
        "these networks read every frame at zero mean and unit SD, a uniform one as zeros at any "
        "level; the published network reads raw levels",
    ),
    "patch": (
        "a patch in film of grey 128",
        "published for uniform frames; the film around a patch shows its level",
    ),
}
"""Probe → its frame, and why its limit is not comparable."""


def about(parts: Parts) -> str:
    """Introduction of the page, with the parts that are missing.

    Parameters
    ----------
    parts : mapping
        Name of each part that exists → its report.
    """
    text = (
        f"Findings of {SOURCE} on Kerr images, measured again. The frames are named by each part, "
        "at most the published 2960. Networks and trainings follow the settings, so differences "
        "between networks are compared, not their scores."
    )
    missing = [f"{name} ({command})" for name, command in COMMANDS.items() if name not in parts]
    return text + (f"\n\nNot made yet: {', '.join(missing)}." if missing else "")


def findings(parts: Parts) -> list[Row]:
    """Rows of all parts, published or measured here only.

    Parameters
    ----------
    parts : mapping
        Name of each part that exists → its report.
    """
    return [row for name, (rows, _) in MAKERS.items() if name in parts for row in rows(parts[name])]


def sections(parts: Parts, relabelled: Mapping[str, Figure] | None = None) -> list[Section]:
    """Sections of all parts; `relabelled` are figures of the relabelling by their captions.

    Parameters
    ----------
    parts : mapping
        Name of each part that exists → its report.
    relabelled : mapping, optional
        Figures of the relabelling by their captions.
    """
    found = []
    for name, (_, make) in MAKERS.items():
        if name in parts:
            figures = (relabelled or {},) if name == "relabelling" else ()
            found += make(parts[name], *figures)
    return found


def _ablation_rows(part: Part) -> list[Row]:
    """Factors of Table I, then benchmark and master model on every split."""
    rows, why = ablation_table.findings(part), "Fig. 5 shows curves of other frames"
    for name, text in (("benchmark", "benchmark"), ("master", "master model")):
        for split in ("train", "validation", "test"):
            if score := part["master"][name].get(split):
                title, n = f"MCC, {text}, {split} frames", len(score["mcc"])
                rows.append(noted(title, score["mean"], why, n, score["sd"]))
    return rows


def _relabelling_rows(part: Part) -> list[Row]:
    """Precision and recall of the recovered defects, and the cost of weak labels."""
    defects, difference, n = part["defects"], part["difference"], len(part["seeds"])
    why, what = "the paper had no true labels to measure it with", "of the recovered defects"
    rows = [
        noted(f"{key} {what}, objects that touch", defects[key], why, defects["n_images"])
        for key in ("precision", "recall")
    ]
    why += f"; {'within' if part['within'] else 'not within'} the allowed loss of {part['bound']:g}"
    sd = difference["sd"]
    return [*rows, noted("MCC, weak labels less true labels", difference["mean"], why, n, sd)]


def _tta_rows(part: Part) -> list[Row]:
    """MCC gained by test-time augmentation."""
    single = {row["model"]: row["mcc"] for row in part["rows"] if row["views"] == 1}
    why = "no published value of these frames is available"
    rows = []
    for row in part["rows"]:
        if row["views"] > 1 and (model := row["model"]) in single:
            title, gained = (
                f"MCC gained by {row['views']} views, {model}",
                row["mcc"] - single[model],
            )
            rows.append(noted(title, gained, why, row["n_images"]))
    return rows


def _probe_rows(part: Part) -> list[Row]:
    """Grey limits, false objects at the lowest noise, and MCC on inverted frames."""
    published, rows = part["published"]["grey"], []
    for key, (what, why) in GREY_LIMITS.items():
        for name, limit in part["grey_limit"].items():
            if key == "uniform" or limit[key] is not None:
                title = f"grey level below which {what} is called skyrmion, {name}"
                rows.append(noted(title, limit[key], why, 256, published=published))
    lowest, why = part["speckles"]["empty"][0], "the paper reports speckles without a number"
    for name, count in lowest["film"].items():
        title = f"false objects per frame without skyrmions, noise SD {lowest['x']:g}, {name}"
        rows.append(noted(title, count, why, part["settings"]["frames"]))
    for name, found in (part["inverted"] or {}).items():
        why = f"Figs. 3 and 7 show images only; the original frames give {found['mcc']:.4f}"
        title = f"MCC on inverted frames, {name}"
        rows.append(noted(title, found["mcc_inverted"], why, found["n_images"]))
    return rows


def _crossval_rows(part: Part) -> list[Row]:
    """Pooled MCC and count without and with test-time augmentation."""
    rows = []
    labelled, predicted = PUBLISHED_COUNTS
    for views, found in part["views"].items():
        suffix = "one view" if views == "1" else f"{views} views"
        mcc, count, n, objects = (found[k] for k in ("mcc", "count_error", "n_images", "objects"))
        title = f"MCC, each batch left out, {suffix}"
        why = f"the paper split its frames otherwise; {_seeds(found)}"
        rows.append(noted(title, mcc["mean"], why, n, _sd(mcc)))
        why = (
            f"Fig. 6: {labelled} labelled, {predicted} predicted; here {objects['true']} and "
            f"{objects['predicted']}; a difference within {100 * COUNT_ERROR:g} % counts as the "
            "same"
        )
        title = f"predicted over labelled skyrmions - 1, {suffix}"
        measured = {"mean": count["mean"], "sd": _sd(count), "n": n}
        holds = abs(count["mean"]) <= COUNT_ERROR
        rows.append(judged(title, predicted / labelled - 1, measured, holds, why))
    return rows


def _ablation_sections(part: Part) -> list[Section]:
    """Table I and the master model."""
    header = ("factor", "MCC", "SD", "published", "SD", "difference", "p", "p, Holm", "seeds")
    none = {"mean": None, "sd": None}
    rows = []
    for row in part["rows"]:
        published, difference = row["published"] or none, row["difference"] or none
        cells = (row["factor"], row["mean"], row["sd"], published["mean"], published["sd"])
        rows.append((*cells, difference["mean"], row["p"], row["p_holm"], len(row["seeds"])))
    images, master = part["n_images"], part["master"]
    text = (
        f"{images['train']} frames to train on, {images['validation']} to validate; "
        f"{part['epochs']} epochs. Differences from the three-class default are paired over the "
        "seeds (Student's t), their p corrected for all factors (Holm). Settings: "
        f"{', '.join(part['base'])}."
    )
    table = {"MCC over the seeds, measured and published.": figures.table_figure(part)}
    splits = {"MCC on training, validation and test frames.": figures.generalisation_figure(part)}
    helpful = ", ".join(master["factors"]) or "none, the default network"
    return [
        Section("One factor at a time (Table I)", text, table, (header, rows)),
        Section(
            "The master model (Fig. 5)", f"Factors that help ({master['rule']}): {helpful}.", splits
        ),
    ]


def _search_sections(part: Part) -> list[Section]:
    """Pareto front of the search."""
    trials, states = part["trials"], Counter(trial["state"] for trial in part["trials"])
    front = [trial for trial in trials if trial["number"] in part["front"]]
    front.sort(key=lambda trial: trial["frame_ms"])
    names = list(front[0]["params"]) if front else []
    rows = [
        (t["number"], t["mcc"], t["frame_ms"], *(t["params"][name] for name in names))
        for t in front
    ]
    text = (
        f"{len(trials)} trials: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}."
        " No other network is better in both aims than one of the Pareto front."
    )
    drawn = {"Validation MCC and time per frame of 512×672.": figures.pareto_figure(part)}
    table = (("trial", "MCC", "ms per frame", *names), rows)
    return [Section("Free search: MCC against time per frame", text, drawn, table)]


def _relabelling_sections(part: Part, drawn: Mapping[str, Figure]) -> list[Section]:
    """MCC of the students."""
    text = (
        f"Networks trained on the defects of sources {', '.join(map(str, part['sources']))} "
        f"({part['rule']}) labelled those of {part['defects']['n_images']} frames whose own were "
        f"hidden. Versions: true {part['data_hash']}, hidden {part['hidden_hash']}, weak "
        f"{part['weak_hash']}."
    )
    header = ("seed", *(f"MCC, {kind} labels" for kind in part["mcc"]))
    rows = list(zip(part["seeds"], *part["mcc"].values(), strict=True))
    return [Section("Weak relabelling", text, drawn, (header, rows))]


def _tta_sections(part: Part) -> list[Section]:
    """Scores and time with test-time augmentation."""
    columns = ("model", "views", "mcc", "objects_true", "objects_predicted", "frame_ms")
    header = ("model", "views", "MCC", "labelled", "predicted", "ms per frame")
    rows = [tuple(row[column] for column in columns) for row in part["rows"]]
    text = f"{part['data']['n_images']} frames, data {part['data']['hash']}."
    return [Section("Test-time augmentation", text, table=(header, rows))]


def _probe_sections(part: Part) -> list[Section]:
    """Figures of the probes and the limits of the models."""
    captions = {
        "grey": "Fraction of pixels called skyrmion against the grey level (Fig. 3c).",
        "inverted": "MCC on original and on inverted frames (Figs. 3, 7).",
        "speckles": "False objects on frames without skyrmions, and speckles on labelled ones.",
        "limits": "MCC on simulated frames with one quantity varied (Supplement A).",
    }
    drawn = {captions[name]: figure for name, figure in figures.probe_figures(part).items()}
    limits = part["limit_at"].items()
    rows = [(curve, name, at) for curve, by_name in limits for name, at in by_name.items()]
    models = (f"{m['name']} ({m['ref']}, {m['sha256'][:12]})" for m in part["models"])
    table = ((f"limit: MCC of {part['enough']:g} at", "model", "value"), rows)
    return [Section("Probes", f"Models: {', '.join(models)}.", drawn, table)]


def _crossval_sections(part: Part) -> list[Section]:
    """Scores by batch and by source."""
    views, found = max(part["views"].items(), key=lambda item: int(item[0]))
    keys = ("n_images", "mcc", "objects_true", "objects_predicted")
    networks = ", ".join(
        f"seed {t['seed']} without batch {t['batch']}: {t['sha256'][:12]}"
        for t in part["trainings"]
    )

    def table(kind: str, *first: str) -> tuple:
        rows = [[row[key] for key in (*first, *keys)] for row in found[kind]]
        return (*first, "frames", "MCC", "labelled", "predicted"), rows

    batches = (
        f"Networks that never saw a frame's batch, {views} views averaged; {_seeds(found)}. "
        f"Pooled MCC {found['mcc']['mean']:.4f}, mean of the sources "
        f"{found['source_mcc']['mean']:.4f}. Data {part['data_hash']}; networks {networks}."
    )
    sizes = (
        f"{found['objects']['true']} labelled and {found['objects']['predicted']} predicted "
        "skyrmions; the distribution of each frame is normalised to one, then averaged."
    )
    drawn = {"Labelled and predicted sizes.": size_distribution(found)}
    return [
        Section("Each batch left out", batches, table=table("batches", "batch", "sources")),
        Section("Sizes (Fig. 6)", sizes, drawn, table("sources", "source")),
    ]


def _sd(over_seeds: Mapping[str, Any]) -> float | None:
    """Standard deviation over seeds; None for a single seed."""
    return over_seeds["sd"] if len(over_seeds["values"]) > 1 else None


def _seeds(found: Part) -> str:
    """Number of seeds of a cross-validation, in words."""
    n = len(found["seeds"])
    return "one seed" if n == 1 else f"means and SD are over {n} seeds"


MAKERS: dict[str, tuple[Callable[..., list[Row]], Callable[..., list[Section]]]] = {
    "ablations": (_ablation_rows, _ablation_sections),
    "search": (lambda _: [], _search_sections),
    "relabelling": (_relabelling_rows, _relabelling_sections),
    "tta": (_tta_rows, _tta_sections),
    "probes": (_probe_rows, _probe_sections),
    "crossval": (_crossval_rows, _crossval_sections),
}
"""Part → functions that make its rows and its sections."""
