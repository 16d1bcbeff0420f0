"""What McCray et al. found about networks on Lorentz micrographs, beside what ours do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.studies.lorentz.scores import mean_sd, summary
from spinscope.studies.report import Row, Verdict

SOURCE = "McCray et al., APL Mach. Learn. 2, 026120 (2024)"

PUBLISHED: dict[float, dict[str, float]] = {
    0.0: {"f1": 0.923, "jaccard": 0.861},
    0.1: {"f1": 0.932, "jaccard": 0.874},
    0.5: {"f1": 0.679, "jaccard": 0.551},
}
"""Gaussian noise → scores of their best network trained on 10 000 films, on eight simulated
images."""

WORDS = {"f1": "F1", "jaccard": "Jaccard", "accuracy": "subset accuracy", "mcc": "MCC"}
EIGHT = "their eight images are not at hand"
NO_FIGURES = "the paper's figures for it are not at hand"

HARMLESS = 0.01
"""A change of F1 up to this counts as none."""
FAILS = 0.1
"""A model fails where its F1 falls by more than this."""

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Mapping[float, Rows]]
"""Curve → abscissa → one row an image, as `measure` gives them, the same films in all."""


def findings(
    curves: Mapping[str, Curves],
    pairs: Mapping[str, Mapping[float, Rows]] | None = None,
    *,
    cell_nm: float | None = None,
) -> list[Row]:
    """A row for each published finding and model.

    curves : model → curves; the first model is the one that was trained at −2 mm and 20°.
    pairs : model → noise → rows of the published images that are at hand.
    """
    first = next(iter(curves))
    rows = [*noise_rows(curves[first]["noise"], first), *axis_rows(curves[first], first)]
    for name, of in curves.items():
        rows += score_rows(of["noise"], name)
        if pairs and pairs.get(name):
            rows += pair_rows(pairs[name], name)
        rows += [
            worst_row(of["defocus"], name, "Defocus −1 … −3 mm", "mm", 1),
            worst_row(of["tilt"], name, "Tilt 10 … 30°", "°", 1),
        ]
        if "axis_known" in of:
            rows.append(told_row(of, name))
        rows += size_rows(of["noise"], name, cell_nm)
    return rows


def noise_rows(noise: Mapping[float, Rows], name: str) -> list[Row]:
    """What noise does to F1, film by film."""
    published = {x: PUBLISHED[x]["f1"] for x in PUBLISHED}
    slight, strong = (_change(noise[0.0], noise[x]) for x in (0.1, 0.5))
    return [
        Row(
            f"10 % noise costs nothing: change of F1, {name}",
            round(published[0.1] - published[0.0], 4),
            *_told(slight),
            _verdict(slight.mean() > -HARMLESS),
            f"reproduced where F1 falls by less than {HARMLESS:g}",
        ),
        Row(
            f"50 % noise costs much: change of F1, {name}",
            round(published[0.5] - published[0.0], 4),
            *_told(strong),
            _verdict(strong.mean() < -FAILS),
            f"reproduced where F1 falls by more than {FAILS:g}; a network that was trained on such "
            "noise loses less",
        ),
    ]


def axis_rows(curves: Curves, name: str) -> list[Row]:
    """Whether a network that knows one tilt axis fails at another."""
    change = _change(curves["axis"][0.0], curves["axis"][90.0])
    return [
        Row(
            f"A network trained at one tilt axis fails at others: change of F1 at 90°, {name}",
            "fails",
            *_told(change),
            _verdict(change.mean() < -FAILS),
            f"reproduced where F1 falls by more than {FAILS:g}",
        )
    ]


def told_row(curves: Curves, name: str) -> Row:
    """The axis given: the image is turned, and the mask turned back."""
    at = min(curves["axis_known"], key=lambda x: _mean(curves["axis_known"][x]))
    change = _change(curves["axis_known"][0.0], curves["axis_known"][at])
    return Row(
        f"The tilt axis given: change of F1 at the worst axis ({at:g}°), {name}",
        None,
        *_told(change),
        "not comparable",
        "ours; they tell the network no axis",
    )


def score_rows(noise: Mapping[float, Rows], name: str) -> list[Row]:
    """F1 and Jaccard on our films at the noise of theirs."""
    rows = []
    for x, scores in PUBLISHED.items():
        for score, published in scores.items():
            of = mean_sd([row[score] for row in noise[x]])
            rows.append(
                Row(
                    f"{WORDS[score]}, {_noise(x)}, {name}",
                    published,
                    of["mean"],
                    of["sd"],
                    len(noise[x]),
                    "not comparable",
                    f"{EIGHT}; measured on films of ours",
                )
            )
    return rows


def pair_rows(pairs: Mapping[float, Rows], name: str) -> list[Row]:
    """F1 and Jaccard on the published images that are at hand."""
    rows = []
    for x, scores in PUBLISHED.items():
        if x not in pairs:
            continue
        names = ", ".join(row["film"] for row in pairs[x])
        for score, published in scores.items():
            of = mean_sd([row[score] for row in pairs[x]])
            rows.append(
                Row(
                    f"{WORDS[score]}, {_noise(x)}, published images at hand, {name}",
                    published,
                    of["mean"],
                    of["sd"],
                    len(pairs[x]),
                    "not comparable",
                    f"{EIGHT}; measured on {names}, of the same making",
                )
            )
    return rows


def worst_row(curve: Mapping[float, Rows], name: str, what: str, unit: str, digits: int) -> Row:
    """Lowest F1 of a curve."""
    at = min(curve, key=lambda x: _mean(curve[x]))
    of = mean_sd([row["f1"] for row in curve[at]])
    return Row(
        _minus(f"{what}: lowest F1 (at {at:.{digits}f} {unit})").replace(" °", "°") + f", {name}",
        None,
        of["mean"],
        of["sd"],
        len(curve[at]),
        "not comparable",
        NO_FIGURES,
    )


def size_rows(noise: Mapping[float, Rows], name: str, cell_nm: float | None) -> list[Row]:
    """Mean diameter found, beside the true one."""
    rows = []
    for x in (0.0, 0.5, 1.0):
        size = summary(noise[x], cell_nm)["diameter"]
        true, found, unit = size["true"], size["predicted"], size["unit"]
        if true["mean"] is None:
            continue
        what = f"true: {true['mean']:.1f} ± {true['sd']:.1f}, {true['n']} skyrmions"
        rows.append(
            Row(
                f"Mean diameter in {unit}, {_noise(x)}, {name} ({what})",
                None,
                found["mean"],
                found["sd"],
                found["n"],
                "not comparable",
                NO_FIGURES,
            )
        )
    return rows


def real_row(real: Mapping[str, Any]) -> Row:
    """Count in a real image, beside what the image itself says."""
    estimate = real["estimate"]
    return Row(
        f"Skyrmions in {real['file']}, {real['model']}",
        None,
        real["count_inside"],
        None,
        1,
        "not comparable",
        f"no published count at hand; the image itself says {estimate['count']:.0f} by the ring of "
        f"its spectrum and {estimate['dipoles']} by a filter",
    )


def _change(before: Rows, after: Rows) -> np.ndarray:
    """F1 after less F1 before, film by film."""
    by_film = {row["film"]: row["f1"] for row in before}
    return np.array([row["f1"] - by_film[row["film"]] for row in after])


def _told(change: np.ndarray) -> tuple[float, float | None, int]:
    of = mean_sd(change.tolist())
    return of["mean"], of["sd"], len(change)


def _mean(rows: Rows) -> float:
    return float(np.mean([row["f1"] for row in rows]))


def _verdict(holds: bool) -> Verdict:
    return "reproduced" if holds else "not reproduced"


def _noise(x: float) -> str:
    return f"{100 * x:.0f} % noise" if x else "no added noise"


def _minus(text: str) -> str:
    return text.replace("at -", "at −")
