"""Rows of the study: verdicts follow the numbers, and what cannot be compared says why."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.studies.lorentz.figures import (
    agreement,
    curve_figure,
    image_figure,
    overlay_figure,
    size_figure,
)
from spinscope.studies.lorentz.findings import PUBLISHED, findings
from spinscope.studies.lorentz.scores import curves, points
from spinscope.studies.report import png


def rows(f1: float, films: int = 5):
    rng = np.random.default_rng(0)
    return [
        {"film": f"film-{k}", "f1": f1 + 0.01 * rng.normal(), "jaccard": f1 / (2 - f1),
         "accuracy": 0.9, "mcc": f1, "objects_true": 3, "objects_predicted": 3,
         "true_px": [20.0, 22.0], "predicted_px": [21.0 * f1] if f1 else []}
        for k in range(films)
    ]  # fmt: skip


def model(noise_50: float, axis_90: float, told: bool = True):
    """Curves of a model that loses this much at strong noise and at another axis."""
    made = {}
    for name, curve in curves().items():
        if name == "axis_known" and not told:
            continue
        value = dict.fromkeys(curve, 0.95)
        if name in ("noise", "clipped"):
            value = {x: float(np.interp(x, (0, 0.1, 0.5, 1), (0.95, 0.95, noise_50, noise_50 / 2)))
                     for x in curve}  # fmt: skip
        if name == "axis":
            value = {x: float(np.interp(x, (0, 90, 180), (0.95, axis_90, axis_90))) for x in curve}
        made[name] = {x: rows(f1) for x, f1 in value.items()}
    return made


def named(found, beginning: str):
    return next(row for row in found if row.name.startswith(beginning))


def test_every_point_is_planned():
    assert len(points(curves())) > 50


def test_verdicts_follow_the_numbers():
    weak = findings({"weak": model(0.6, 0.2)}, cell_nm=3.0)
    strong = findings({"strong": model(0.93, 0.94)}, cell_nm=3.0)
    for beginning, of_weak, of_strong in (
        ("10 % noise costs nothing", "reproduced", "reproduced"),
        ("50 % noise costs much", "reproduced", "not reproduced"),
        ("A network trained at one tilt axis", "reproduced", "not reproduced"),
    ):
        assert named(weak, beginning).verdict == of_weak
        assert named(strong, beginning).verdict == of_strong
    change = named(weak, "50 % noise costs much")
    assert change.published == pytest.approx(0.679 - 0.923)
    assert change.measured == pytest.approx(0.6 - 0.95)
    assert change.sd == pytest.approx(0, abs=1e-9)  # film by film: the spread of films drops out
    assert change.n == 5


def test_what_cannot_be_compared_says_why_and_bears_both_numbers():
    pairs = {"a": {x: rows(0.9, films=2) for x in PUBLISHED}}
    found = findings({"a": model(0.9, 0.9), "b": model(0.8, 0.8, told=False)}, pairs, cell_nm=3.0)
    row = named(found, "Jaccard, 50 % noise, a")
    assert (row.published, row.n, row.verdict) == (0.551, 5, "not comparable")
    assert row.measured == pytest.approx(0.9 / 1.1)
    assert "eight images are not at hand" in row.why
    assert "film-0, film-1" in named(found, "F1, no added noise, published images").why
    told = [row.name for row in found if row.name.startswith("The tilt axis given")]
    assert len(told) == 1  # the other model knows no axis
    size = named(found, "Mean diameter in nm, no added noise, a (true: 63.0 ± 3.2, 10")
    assert size.measured == pytest.approx(3 * 21 * 0.95)
    assert len({row.name for row in found}) == len(found)


def test_figures_are_drawn():
    models = {"a": model(0.9, 0.5), "b": model(0.0, 0.4, told=False)}
    for curve in ("noise", "defocus", "tilt", "axis"):
        figure = curve_figure(models, curve)
        labels = figure.axes[0].get_legend_handles_labels()[1]
        assert ("published, eight images" in labels) == (curve == "noise")
        assert ("a, axis given" in labels) == (curve == "axis")
    assert "none" in size_figure(models, 3.0).axes[2].get_legend_handles_labels()[1][2]
    image = np.random.default_rng(0).random((32, 32))
    mask = (image > 0.5).astype(np.uint8)
    for figure in (image_figure([("a", image, mask, mask)] * 3),
                   overlay_figure(image, mask, np.array([[3.0, 4.0]]))):  # fmt: skip
        assert png(figure, dpi=40).startswith(b"\x89PNG")


def test_colours_tell_found_missed_and_made_up():
    label, found = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]])
    assert len({tuple(rgb) for rgb in agreement(label, found)[0]}) == 4
