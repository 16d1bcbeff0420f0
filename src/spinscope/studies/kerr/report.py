"""The page of the Kerr study: findings beside the published ones, and a section a part.

Every function takes the parts that were made, as their jobs write them: `ablations`, `search`,
`relabelling`, `tta`, `probes` and `crossval`.
Source: Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spinscope.evaluation.figures import size_distribution
from spinscope.studies.kerr import ablation_figures, probe_figures
from spinscope.studies.kerr import ablation_table as ablations
from spinscope.studies.kerr.cross_validation_scores import COUNT_ERROR
from spinscope.studies.report import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = Mapping[str, Any]
Parts = Mapping[str, Part]

PARTS: dict[str, str] = {
    "ablations": "spinscope study ablate",
    "search": "spinscope study search",
    "relabelling": "spinscope study relabel",
    "tta": "spinscope study views",
    "probes": "spinscope study probes",
    "crossval": "spinscope study crossval",
}
"""Part → the command that makes it."""

SOURCE = "Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024)"
PUBLISHED_COUNTS = (45707, 45779)
"""Labelled and predicted skyrmions of their Fig. 6."""


def about(parts: Parts) -> str:
    """What the page is, and what it lacks."""
    text = (
        f"What {SOURCE}, found with Kerr micrographs, measured again. Frames are those that each "
        "part names, of the published 2960 or fewer, and networks and trainings are as the "
        "settings say: differences between networks are compared and not their scores."
    )
    missing = [f"{name} ({command})" for name, command in PARTS.items() if name not in parts]
    return text + (f"\n\nNot made yet: {', '.join(missing)}." if missing else "")


def findings(parts: Parts) -> list[Row]:
    """A row a published finding, and those that only we could measure."""
    makers: dict[str, Callable[[Part], list[Row]]] = {
        "ablations": _ablation_rows,
        "relabelling": _relabelling_rows,
        "tta": _view_rows,
        "probes": _probe_rows,
        "crossval": _crossval_rows,
    }
    return [row for name, rows in makers.items() if name in parts for row in rows(parts[name])]


def sections(parts: Parts, relabelled: Mapping[str, Figure] | None = None) -> list[Section]:
    """A section a part.   relabelled : figures of the weak relabelling, which need its frames."""
    found = []
    if part := parts.get("ablations"):
        found += _ablation_sections(part)
    if part := parts.get("search"):
        found.append(_search_section(part))
    if part := parts.get("relabelling"):
        found.append(_relabelling_section(part, relabelled or {}))
    if part := parts.get("tta"):
        found.append(_view_section(part))
    if part := parts.get("probes"):
        found.append(_probe_section(part))
    if part := parts.get("crossval"):
        found += _crossval_sections(part)
    return found


def _ablation_rows(part: Part) -> list[Row]:
    rows = ablations.findings(part)
    words = {"benchmark": "benchmark", "master": "master model"}
    for name, text in words.items():
        for split in ("train", "validation", "test"):
            if score := part["master"][name].get(split):
                rows.append(
                    Row(
                        f"MCC, {text}, {split} frames",
                        None,
                        score["mean"],
                        score["sd"],
                        len(score["mcc"]),
                        "not comparable",
                        "Fig. 5 shows curves of other frames",
                    )
                )
    return rows


def _relabelling_rows(part: Part) -> list[Row]:
    defects, difference = part["defects"], part["difference"]
    alone = "the paper had no true labels to measure it with"
    shares = [
        Row(
            f"{what} of the recovered defects, objects that touch",
            None,
            defects[what],
            None,
            defects["n_images"],
            "not comparable",
            alone,
        )
        for what in ("precision", "recall")
    ]
    says = "within" if part["within"] else "not within"
    return [
        *shares,
        Row(
            "MCC, weak labels less true labels",
            None,
            difference["mean"],
            difference["sd"] if len(part["seeds"]) > 1 else None,
            len(part["seeds"]),
            "not comparable",
            f"{alone}; {says} {part['bound']:g}, what weak labels may cost",
        ),
    ]


def _view_rows(part: Part) -> list[Row]:
    rows, plain = [], {row["model"]: row["mcc"] for row in part["rows"] if row["views"] == 1}
    for row in part["rows"]:
        if row["views"] > 1 and row["model"] in plain:
            rows.append(
                Row(
                    f"MCC gained by {row['views']} views, {row['model']}",
                    None,
                    row["mcc"] - plain[row["model"]],
                    None,
                    row["n_images"],
                    "not comparable",
                    "no figure of theirs is at hand for these frames",
                )
            )
    return rows


def _probe_rows(part: Part) -> list[Row]:
    why = (
        "these networks see every frame at zero mean and unit SD, a uniform one as zeros at any "
        "level; the published network sees raw levels"
    )
    rows = [
        Row(
            f"grey level below which a uniform frame is called skyrmion, {name}",
            part["published"]["grey"],
            limit["uniform"],
            None,
            256,
            "not comparable",
            why,
        )
        for name, limit in part["grey_limit"].items()
    ]
    rows += [
        Row(
            f"grey level below which a patch in film of grey 128 is called skyrmion, {name}",
            part["published"]["grey"],
            limit["patch"],
            None,
            256,
            "not comparable",
            "published of uniform frames; of a patch the film around it shows the level",
        )
        for name, limit in part["grey_limit"].items()
        if limit["patch"] is not None
    ]
    for step in part["speckles"]["empty"][:1]:
        rows += [
            Row(
                f"objects made up a frame without skyrmions, noise SD {step['x']:g}, {name}",
                None,
                count,
                None,
                part["settings"]["frames"],
                "not comparable",
                "the paper tells of speckles without a number",
            )
            for name, count in step["film"].items()
        ]
    for name, found in (part["inverted"] or {}).items():
        rows.append(
            Row(
                f"MCC on inverted frames, {name}",
                None,
                found["mcc_inverted"],
                None,
                found["n_images"],
                "not comparable",
                f"Figs. 3 and 7 show pictures; as they are the frames give {found['mcc']:.4f}",
            )
        )
    return rows


def _crossval_rows(part: Part) -> list[Row]:
    rows = []
    labelled, predicted = PUBLISHED_COUNTS
    for views, found in part["views"].items():
        suffix = "one view" if views == "1" else f"{views} views"
        count = found["count_error"]
        rows.append(
            Row(
                f"MCC, each batch left out, {suffix}",
                None,
                found["mcc"]["mean"],
                _sd(found["mcc"]),
                found["n_images"],
                "not comparable",
                f"the paper split its frames otherwise; {_seeds(found)}",
            )
        )
        good = abs(count["mean"]) <= COUNT_ERROR
        rows.append(
            Row(
                f"predicted over labelled skyrmions - 1, {suffix}",
                predicted / labelled - 1,
                count["mean"],
                _sd(count),
                found["n_images"],
                "reproduced" if good else "not reproduced",
                f"Fig. 6: {labelled} labelled, {predicted} predicted; here "
                f"{found['objects']['true']} and {found['objects']['predicted']}; a difference "
                f"within {100 * COUNT_ERROR:g} % counts as the same",
            )
        )
    return rows


def _ablation_sections(part: Part) -> list[Section]:
    header = ("factor", "MCC", "SD", "published", "SD", "difference", "p", "p, Holm", "seeds")
    rows = [
        (
            row["factor"],
            row["mean"],
            row["sd"],
            row["published"] and row["published"]["mean"],
            row["published"] and row["published"]["sd"],
            row["difference"] and row["difference"]["mean"],
            row["p"],
            row["p_holm"],
            len(row["seeds"]),
        )
        for row in part["rows"]
    ]
    images, master = part["n_images"], part["master"]
    return [
        Section(
            "One factor at a time (Table I)",
            f"{images['train']} frames to train on, {images['validation']} to validate; "
            f"{part['epochs']} epochs. Differences from the three-class default are paired over "
            "the seeds (Student's t), their p corrected for all factors (Holm). Settings: "
            f"{', '.join(part['base'])}.",
            {"MCC over the seeds, and as published.": ablation_figures.table_figure(part)},
            (header, rows),
        ),
        Section(
            "The master model (Fig. 5)",
            f"All that helps ({master['rule']}): "
            f"{', '.join(master['factors']) or 'nothing, the default stays'}.",
            {
                "MCC on frames of the training, of validation and of test.": (
                    ablation_figures.generalisation_figure(part)
                )
            },
        ),
    ]


def _search_section(part: Part) -> Section:
    front = [trial for trial in part["trials"] if trial["number"] in part["front"]]
    names = list(front[0]["params"]) if front else []
    states = {trial["state"] for trial in part["trials"]}
    counts = (f"{sum(t['state'] == s for t in part['trials'])} {s.lower()}" for s in sorted(states))
    return Section(
        "Free search: MCC against frame time",
        f"{len(part['trials'])} trials: {', '.join(counts)}. The front holds the networks that no "
        "other beats in both.",
        {"Validation MCC and time of a frame of 512×672.": ablation_figures.pareto_figure(part)},
        (
            ("trial", "MCC", "ms a frame", *names),
            [
                (t["number"], t["mcc"], t["frame_ms"], *(t["params"][name] for name in names))
                for t in sorted(front, key=lambda trial: trial["frame_ms"])
            ],
        ),
    )


def _relabelling_section(part: Part, figures: Mapping[str, Figure]) -> Section:
    kinds = list(part["mcc"])
    return Section(
        "Weak relabelling",
        f"Defects of sources {', '.join(map(str, part['sources']))} ({part['rule']}) taught those "
        f"of {part['defects']['n_images']} frames whose own were hidden. Versions: true "
        f"{part['data_hash']}, hidden {part['hidden_hash']}, weak {part['weak_hash']}.",
        figures,
        (
            ("seed", *(f"MCC, {kind} labels" for kind in kinds)),
            [
                (seed, *(part["mcc"][kind][k] for kind in kinds))
                for k, seed in enumerate(part["seeds"])
            ],
        ),
    )


def _view_section(part: Part) -> Section:
    columns = ("model", "views", "mcc", "objects_true", "objects_predicted", "frame_ms")
    header = ("model", "views", "MCC", "labelled", "predicted", "ms a frame")
    return Section(
        "Test-time augmentation",
        f"{part['data']['n_images']} frames, data {part['data']['hash']}.",
        table=(header, [tuple(row[column] for column in columns) for row in part["rows"]]),
    )


def _probe_section(part: Part) -> Section:
    captions = {
        "grey": "Share of pixels called skyrmion against the grey level (Fig. 3c).",
        "inverted": "MCC on frames as they are and with grey levels mirrored (Figs. 3, 7).",
        "speckles": "Objects made up on frames without skyrmions, and specks on labelled ones.",
        "limits": "MCC on simulated frames of which one quantity varies (Supplement A).",
    }
    drawn = probe_figures.figures(part)
    limits = [
        (curve, name, limit) for curve, of in part["limit_at"].items() for name, limit in of.items()
    ]
    return Section(
        "Probes",
        f"Models: {', '.join(_named(model) for model in part['models'])}.",
        {captions.get(name, name): figure for name, figure in drawn.items()},
        ((f"limit: MCC of {part['enough']:g} at", "model", "value"), limits),
    )


def _crossval_sections(part: Part) -> list[Section]:
    views, found = max(part["views"].items(), key=lambda item: int(item[0]))
    keys = ("n_images", "mcc", "objects_true", "objects_predicted")
    header = ("frames", "MCC", "labelled", "predicted")
    shas = ", ".join(
        f"seed {t['seed']} without batch {t['batch']}: {t['sha256'][:12]}"
        for t in part["trainings"]
    )
    return [
        Section(
            "Each batch left out",
            f"Networks that never saw a frame's batch, {views} views averaged; {_seeds(found)}. "
            f"Pooled MCC {found['mcc']['mean']:.4f}, mean of the sources "
            f"{found['source_mcc']['mean']:.4f}. "
            f"Data {part['data_hash']}; networks {shas}.",
            table=(
                ("batch", "sources", *header),
                [
                    (row["batch"], row["sources"], *(row[key] for key in keys))
                    for row in found["batches"]
                ],
            ),
        ),
        Section(
            "Sizes (Fig. 6)",
            f"{found['objects']['true']} labelled and {found['objects']['predicted']} predicted "
            "skyrmions; each frame's distribution is normalised to one, then averaged.",
            {"Labelled and predicted sizes.": size_distribution(found)},
            (
                ("source", *header),
                [(row["source"], *(row[key] for key in keys)) for row in found["sources"]],
            ),
        ),
    ]


def _sd(over_seeds: Mapping[str, Any]) -> float | None:
    """That of a single seed is unknown."""
    return over_seeds["sd"] if len(over_seeds["values"]) > 1 else None


def _seeds(found: Part) -> str:
    """Over how many seeds means and SD of a cross-validation are."""
    n = len(found["seeds"])
    return "one seed" if n == 1 else f"means and SD are over {n} seeds"


def _named(model: Any) -> str:
    """A model as the page names it, with its digest."""
    if isinstance(model, Mapping):
        return f"{model['name']} ({model['ref']}, {model['sha256'][:12]})"
    return str(model)
