"""Page of the Kerr study: rows beside the published values, and one section per part.

Every function takes the reports of the parts that exist by their names: ``ablations``, ``search``,
``relabelling``, ``tta``, ``probes`` and ``crossval``.

References
----------
Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spinscope.evaluation.figures import size_distribution
from spinscope.studies.kerr import ablation_table, figures
from spinscope.studies.kerr.cross_validation_scores import COUNT_ERROR
from spinscope.studies.report import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def about(parts: Parts) -> str:
    """Introduction of the page, with the parts that are missing."""
    text = (
        f"Findings of {SOURCE} on Kerr images, measured again. The frames are named by each part, "
        "at most the published 2960. Networks and trainings follow the settings, so differences "
        "between networks are compared, not their scores."
    )
    missing = [f"{name} ({command})" for name, command in COMMANDS.items() if name not in parts]
    return text + (f"\n\nNot made yet: {', '.join(missing)}." if missing else "")


def findings(parts: Parts) -> list[Row]:
    """Rows of all parts, published or measured here only."""
    makers: dict[str, Callable[[Part], list[Row]]] = {
        "ablations": _ablation_rows,
        "relabelling": _relabelling_rows,
        "tta": _tta_rows,
        "probes": _probe_rows,
        "crossval": _crossval_rows,
    }
    return [row for name, rows in makers.items() if name in parts for row in rows(parts[name])]


def sections(parts: Parts, relabelled: Mapping[str, Figure] | None = None) -> list[Section]:
    """Sections of all parts; `relabelled` are figures of the relabelling by their captions."""
    makers: dict[str, Callable[[Part], list[Section]]] = {
        "ablations": _ablation_sections,
        "search": _search_sections,
        "relabelling": lambda part: _relabelling_sections(part, relabelled or {}),
        "tta": _tta_sections,
        "probes": _probe_sections,
        "crossval": _crossval_sections,
    }
    return [one for name, make in makers.items() if name in parts for one in make(parts[name])]


def _ablation_rows(part: Part) -> list[Row]:
    """Factors of Table I, then benchmark and master model on every split."""
    scores = [
        (f"MCC, {text}, {split} frames", part["master"][name].get(split))
        for name, text in (("benchmark", "benchmark"), ("master", "master model"))
        for split in ("train", "validation", "test")
    ]
    why = "Fig. 5 shows curves of other frames"
    return [
        *ablation_table.findings(part),
        *(
            Row.not_comparable(name, score["mean"], why, sd=score["sd"], n=len(score["mcc"]))
            for name, score in scores
            if score
        ),
    ]


def _relabelling_rows(part: Part) -> list[Row]:
    """Precision and recall of the recovered defects, and the cost of weak labels."""
    defects, difference, n = part["defects"], part["difference"], len(part["seeds"])
    why = "the paper had no true labels to measure it with"
    within = "within" if part["within"] else "not within"
    return [
        *(
            Row.not_comparable(
                f"{what} of the recovered defects, objects that touch",
                defects[what],
                why,
                n=defects["n_images"],
            )
            for what in ("precision", "recall")
        ),
        Row.not_comparable(
            "MCC, weak labels less true labels",
            difference["mean"],
            f"{why}; {within} the allowed loss of {part['bound']:g}",
            sd=difference["sd"] if n > 1 else None,
            n=n,
        ),
    ]


def _tta_rows(part: Part) -> list[Row]:
    """MCC gained by test-time augmentation."""
    single = {row["model"]: row["mcc"] for row in part["rows"] if row["views"] == 1}
    why = "no published value of these frames is available"
    return [
        Row.not_comparable(
            f"MCC gained by {row['views']} views, {row['model']}",
            row["mcc"] - single[row["model"]],
            why,
            n=row["n_images"],
        )
        for row in part["rows"]
        if row["views"] > 1 and row["model"] in single
    ]


def _probe_rows(part: Part) -> list[Row]:
    """Grey limits, false objects at the lowest noise, and MCC on inverted frames."""
    reasons = {
        "uniform": (
            "a uniform frame",
            "these networks read every frame at zero mean and unit SD, a uniform one as zeros at "
            "any level; the published network reads raw levels",
        ),
        "patch": (
            "a patch in film of grey 128",
            "published for uniform frames; the film around a patch shows its level",
        ),
    }
    rows = [
        Row.not_comparable(
            f"grey level below which {what} is called skyrmion, {name}",
            limit[key],
            why,
            n=256,
            published=part["published"]["grey"],
        )
        for key, (what, why) in reasons.items()
        for name, limit in part["grey_limit"].items()
        if key == "uniform" or limit[key] is not None
    ]
    rows += [
        Row.not_comparable(
            f"false objects per frame without skyrmions, noise SD {step['x']:g}, {name}",
            count,
            "the paper reports speckles without a number",
            n=part["settings"]["frames"],
        )
        for step in part["speckles"]["empty"][:1]
        for name, count in step["film"].items()
    ]
    rows += [
        Row.not_comparable(
            f"MCC on inverted frames, {name}",
            found["mcc_inverted"],
            f"Figs. 3 and 7 show images only; the original frames give {found['mcc']:.4f}",
            n=found["n_images"],
        )
        for name, found in (part["inverted"] or {}).items()
    ]
    return rows


def _crossval_rows(part: Part) -> list[Row]:
    """Pooled MCC and count without and with test-time augmentation."""
    rows = []
    labelled, predicted = PUBLISHED_COUNTS
    for views, found in part["views"].items():
        suffix = "one view" if views == "1" else f"{views} views"
        mcc, count, n = found["mcc"], found["count_error"], found["n_images"]
        rows.append(
            Row.not_comparable(
                f"MCC, each batch left out, {suffix}",
                mcc["mean"],
                f"the paper split its frames otherwise; {_seeds(found)}",
                sd=_sd(mcc),
                n=n,
            )
        )
        rows.append(
            Row.judged(
                f"predicted over labelled skyrmions - 1, {suffix}",
                predicted / labelled - 1,
                {"mean": count["mean"], "sd": _sd(count), "n": n},
                abs(count["mean"]) <= COUNT_ERROR,
                f"Fig. 6: {labelled} labelled, {predicted} predicted; here "
                f"{found['objects']['true']} and {found['objects']['predicted']}; a difference "
                f"within {100 * COUNT_ERROR:g} % counts as the same",
            )
        )
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
    generalisation = "MCC on training, validation and test frames."
    return [
        Section(
            "One factor at a time (Table I)",
            f"{images['train']} frames to train on, {images['validation']} to validate; "
            f"{part['epochs']} epochs. Differences from the three-class default are paired over "
            "the seeds (Student's t), their p corrected for all factors (Holm). Settings: "
            f"{', '.join(part['base'])}.",
            {"MCC over the seeds, measured and published.": figures.table_figure(part)},
            (header, rows),
        ),
        Section(
            "The master model (Fig. 5)",
            f"All factors that help ({master['rule']}): "
            f"{', '.join(master['factors']) or 'none, the default network'}.",
            {generalisation: figures.generalisation_figure(part)},
        ),
    ]


def _search_sections(part: Part) -> list[Section]:
    """Pareto front of the search."""
    front = [trial for trial in part["trials"] if trial["number"] in part["front"]]
    names = list(front[0]["params"]) if front else []
    states = {trial["state"] for trial in part["trials"]}
    counts = (f"{sum(t['state'] == s for t in part['trials'])} {s.lower()}" for s in sorted(states))
    rows = [
        (t["number"], t["mcc"], t["frame_ms"], *(t["params"][name] for name in names))
        for t in sorted(front, key=lambda trial: trial["frame_ms"])
    ]
    return [
        Section(
            "Free search: MCC against time per frame",
            f"{len(part['trials'])} trials: {', '.join(counts)}. No other network is better in "
            "both aims than one of the Pareto front.",
            {"Validation MCC and time per frame of 512×672.": figures.pareto_figure(part)},
            (("trial", "MCC", "ms per frame", *names), rows),
        )
    ]


def _relabelling_sections(part: Part, drawn: Mapping[str, Figure]) -> list[Section]:
    """MCC of the students."""
    header = ("seed", *(f"MCC, {kind} labels" for kind in part["mcc"]))
    return [
        Section(
            "Weak relabelling",
            f"Networks trained on the defects of sources {', '.join(map(str, part['sources']))} "
            f"({part['rule']}) labelled those of {part['defects']['n_images']} frames whose own "
            f"were hidden. Versions: true {part['data_hash']}, hidden {part['hidden_hash']}, weak "
            f"{part['weak_hash']}.",
            drawn,
            (header, list(zip(part["seeds"], *part["mcc"].values(), strict=True))),
        )
    ]


def _tta_sections(part: Part) -> list[Section]:
    """Scores and time with test-time augmentation."""
    columns = ("model", "views", "mcc", "objects_true", "objects_predicted", "frame_ms")
    header = ("model", "views", "MCC", "labelled", "predicted", "ms per frame")
    return [
        Section(
            "Test-time augmentation",
            f"{part['data']['n_images']} frames, data {part['data']['hash']}.",
            table=(header, [tuple(row[column] for column in columns) for row in part["rows"]]),
        )
    ]


def _probe_sections(part: Part) -> list[Section]:
    """Figures of the probes and the limits of the models."""
    captions = {
        "grey": "Fraction of pixels called skyrmion against the grey level (Fig. 3c).",
        "inverted": "MCC on original and on inverted frames (Figs. 3, 7).",
        "speckles": "False objects on frames without skyrmions, and speckles on labelled ones.",
        "limits": "MCC on simulated frames with one quantity varied (Supplement A).",
    }
    limits = [
        (curve, name, limit)
        for curve, by_name in part["limit_at"].items()
        for name, limit in by_name.items()
    ]
    models = (f"{m['name']} ({m['ref']}, {m['sha256'][:12]})" for m in part["models"])
    return [
        Section(
            "Probes",
            f"Models: {', '.join(models)}.",
            {captions[name]: figure for name, figure in figures.probe_figures(part).items()},
            ((f"limit: MCC of {part['enough']:g} at", "model", "value"), limits),
        )
    ]


def _crossval_sections(part: Part) -> list[Section]:
    """Scores by batch and by source."""
    views, found = max(part["views"].items(), key=lambda item: int(item[0]))
    keys = ("n_images", "mcc", "objects_true", "objects_predicted")
    header = ("frames", "MCC", "labelled", "predicted")
    networks = ", ".join(
        f"seed {t['seed']} without batch {t['batch']}: {t['sha256'][:12]}"
        for t in part["trainings"]
    )

    def table(kind: str, *first: str) -> tuple:
        rows = [[row[key] for key in (*first, *keys)] for row in found[kind]]
        return (*first, *header), rows

    return [
        Section(
            "Each batch left out",
            f"Networks that never saw a frame's batch, {views} views averaged; {_seeds(found)}. "
            f"Pooled MCC {found['mcc']['mean']:.4f}, mean of the sources "
            f"{found['source_mcc']['mean']:.4f}. Data {part['data_hash']}; networks {networks}.",
            table=table("batches", "batch", "sources"),
        ),
        Section(
            "Sizes (Fig. 6)",
            f"{found['objects']['true']} labelled and {found['objects']['predicted']} predicted "
            "skyrmions; the distribution of each frame is normalised to one, then averaged.",
            {"Labelled and predicted sizes.": size_distribution(found)},
            table("sources", "source"),
        ),
    ]


def _sd(over_seeds: Mapping[str, Any]) -> float | None:
    """Standard deviation over seeds; None for a single seed."""
    return over_seeds["sd"] if len(over_seeds["values"]) > 1 else None


def _seeds(found: Part) -> str:
    """Number of seeds of a cross-validation, in words."""
    n = len(found["seeds"])
    return "one seed" if n == 1 else f"means and SD are over {n} seeds"
