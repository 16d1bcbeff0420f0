"""Findings of McCray et al. about networks on Lorentz images, beside measurements of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.studies.lorentz.scores import mean_sd, summary
from spinscope.studies.report import Row, judged, noted

SOURCE = "McCray et al., APL Mach. Learn. 2, 026120 (2024)"

PUBLISHED: dict[float, dict[str, float]] = {
    0.0: {"f1": 0.923, "jaccard": 0.861},
    0.1: {"f1": 0.932, "jaccard": 0.874},
    0.5: {"f1": 0.679, "jaccard": 0.551},
}
"""Gaussian noise → scores of their best network, trained on 10 000 films, on eight simulated
images."""

NAMES = {"f1": "F1", "jaccard": "Jaccard", "accuracy": "pixel accuracy", "mcc": "MCC"}
EIGHT = "their eight images are not at hand"
NO_VALUES = "the paper's values are not at hand"

HARMLESS = 0.01
"""Change of F1 up to which it counts as unchanged."""
FAILS = 0.1
"""Fall of F1 above which a model fails."""
FELL = f"reproduced where F1 falls by more than {FAILS:g}"

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Mapping[float, Rows]]
"""Curve → abscissa → rows of `scores.measure`, the same films at every point."""


def findings(
    curves: Mapping[str, Curves],
    pairs: Mapping[str, Mapping[float, Rows]] | None = None,
    *,
    cell_nm: float | None = None,
) -> list[Row]:
    """Rows of the report: published findings for the first model, then scores of every model.

    Parameters
    ----------
    curves : mapping
        Model → curves. The first model is the one trained at −2 mm and 20°.
    pairs : mapping, optional
        Model → noise → rows of the published images that are available.
    cell_nm : float, optional
        Pixel size in nm.
    """
    first = next(iter(curves))
    rows = [*_noise_rows(curves[first]["noise"], first), _axis_row(curves[first], first)]
    for name, own in curves.items():
        noise = own["noise"]
        rows += _score_rows(noise, name, "", f"{EIGHT}; measured on films of ours")
        if found := (pairs or {}).get(name):
            films = ", ".join(row["film"] for row in next(iter(found.values())))
            why = f"{EIGHT}; measured on {films}, of the same making"
            rows += _score_rows(found, name, ", published images at hand", why)
        rows += [
            _worst_row(own["defocus"], name, "Defocus −1 … −3 mm", " mm"),
            _worst_row(own["tilt"], name, "Tilt 10 … 30°", "°"),
        ]
        if "axis_known" in own:
            rows.append(_known_axis_row(own, name))
        rows += _size_rows(noise, name, cell_nm)
    return rows


def real_row(real: Mapping[str, Any]) -> Row:
    """Count in a real image, with the estimates from the image alone.

    Parameters
    ----------
    real : mapping
        Report of the real image.
    """
    estimate = real["estimate"]
    why = (
        f"no published count at hand; estimates without a network: {estimate['count']:.0f} from "
        f"the ring of the spectrum, {estimate['dipoles']} from a filter"
    )
    return noted(f"Skyrmions in {real['file']}, {real['model']}", real["count_inside"], why, 1)


def _noise_rows(noise: Mapping[float, Rows], name: str) -> list[Row]:
    """Change of F1 by slight and by strong noise, film by film."""
    f1 = {x: scores["f1"] for x, scores in PUBLISHED.items()}
    slight, strong = (_change(noise[0.0], noise[x]) for x in (0.1, 0.5))
    return [
        judged(
            f"10 % noise costs nothing: change of F1, {name}",
            round(f1[0.1] - f1[0.0], 4),
            slight,
            slight["mean"] > -HARMLESS,
            f"reproduced where F1 falls by less than {HARMLESS:g}",
        ),
        judged(
            f"50 % noise costs much: change of F1, {name}",
            round(f1[0.5] - f1[0.0], 4),
            strong,
            strong["mean"] < -FAILS,
            f"{FELL}; a network that was trained on such noise loses less",
        ),
    ]


def _axis_row(curves: Curves, name: str) -> Row:
    """Change of F1 of a network that was trained at one tilt axis, at another."""
    change = _change(curves["axis"][0.0], curves["axis"][90.0])
    title = f"A network trained at one tilt axis fails at others: change of F1 at 90°, {name}"
    return judged(title, "fails", change, change["mean"] < -FAILS, FELL)


def _known_axis_row(curves: Curves, name: str) -> Row:
    """Change of F1 at the worst tilt axis where the model receives it and rotates the image."""
    at = _worst(curves["axis_known"])
    change = _change(curves["axis_known"][0.0], curves["axis_known"][at])
    title = f"The tilt axis given: change of F1 at the worst axis ({at:g}°), {name}"
    why = "ours; the published networks receive no axis"
    return noted(title, change["mean"], why, change["n"], change["sd"])


def _score_rows(noise: Mapping[float, Rows], name: str, where: str, why: str) -> list[Row]:
    """F1 and Jaccard at the published levels of noise."""
    rows = []
    for x, scores in PUBLISHED.items():
        for score, published in scores.items() if x in noise else ():
            mean, sd = mean_sd([row[score] for row in noise[x]]).values()
            title = f"{NAMES[score]}, {_noise(x)}{where}, {name}"
            rows.append(noted(title, mean, why, len(noise[x]), sd, published))
    return rows


def _worst_row(curve: Mapping[float, Rows], name: str, what: str, unit: str) -> Row:
    """Lowest F1 of a curve."""
    at = _worst(curve)
    mean, sd = mean_sd([row["f1"] for row in curve[at]]).values()
    place = f"{at:.1f}{unit}".replace("-", "−")
    return noted(f"{what}: lowest F1 (at {place}), {name}", mean, NO_VALUES, len(curve[at]), sd)


def _size_rows(noise: Mapping[float, Rows], name: str, cell_nm: float | None) -> list[Row]:
    """Mean predicted diameter, with the true one in its name."""
    rows = []
    for x in (0.0, 0.5, 1.0):
        size = summary(noise[x], cell_nm)["diameter"]
        true, found = size["true"], size["predicted"]
        if true["mean"] is not None:
            spread = "" if true["sd"] is None else f" ± {true['sd']:.1f}"
            what = f"true: {true['mean']:.1f}{spread}, {true['n']} skyrmions"
            title = f"Mean diameter in {size['unit']}, {_noise(x)}, {name} ({what})"
            rows.append(noted(title, found["mean"], NO_VALUES, found["n"], found["sd"]))
    return rows


def _change(before: Rows, after: Rows) -> dict[str, Any]:
    """Mean, sd and n of the change of F1, film by film."""
    by_film = {row["film"]: row["f1"] for row in before}
    changes = [row["f1"] - by_film[row["film"]] for row in after]
    return {**mean_sd(changes), "n": len(changes)}


def _worst(curve: Mapping[float, Rows]) -> float:
    """Abscissa of the lowest mean F1."""
    return min(curve, key=lambda x: np.mean([row["f1"] for row in curve[x]]))


def _noise(x: float) -> str:
    """Noise in words."""
    return f"{100 * x:.0f} % noise" if x else "no added noise"
