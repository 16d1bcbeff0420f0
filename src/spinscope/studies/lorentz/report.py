"""Text, tables, figures and numbers of the Lorentz study's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.config import Ltem
from spinscope.studies.lorentz import figures
from spinscope.studies.lorentz.figures import SUFFIX
from spinscope.studies.lorentz.findings import NAMES, SOURCE, Curves, Rows
from spinscope.studies.lorentz.real_image import RealImage
from spinscope.studies.lorentz.scores import SCORES, summary
from spinscope.studies.report import Section

SHOWN = (0.0, 0.5, 1.0)
"""Noise at which sizes are shown."""

Pairs = Mapping[str, Mapping[str, Mapping[float, Rows]]]
"""Model → curve (noise, clipped) → noise → rows of the published images that are available."""

Table = tuple[list[str], list[list]]


def about(n: int, chosen: str, models: Sequence[str], settings: Ltem) -> str:
    """Introduction of the page: films, imaging conditions, scores and models.

    Parameters
    ----------
    n : int
        Number of films.
    chosen : str
        Rule that chose the films, in words.
    models : sequence of str
        Description of each model.
    settings : Ltem
        Section ``ltem``.
    """
    return "\n\n".join(
        [
            f"Published: {SOURCE}: the best of their networks that were trained on 10 000 films, "
            "on eight simulated images.",
            f"Measured on {n} films: {chosen}. All points and models use the same films with the "
            "same noise pattern per film. A pixel is a skyrmion where m_z is at most "
            f"{level(settings.label_mz)}, eroded by {settings.label_erosion_px} px. "
            f"{settings.voltage_kv:g} kV, Cs {settings.cs_um:g} µm, convergence semi-angle "
            f"{settings.convergence_mrad:g} mrad, defocus spread {settings.defocus_spread_nm:g} "
            "nm; unless varied, defocus −2 mm, tilt 20°, tilt axis along the rows of pixels.",
            "Pixel accuracy, F1 and Jaccard of the skyrmion pixels are those of scikit-learn on "
            "the flattened masks of an image, averaged over the images; their subset accuracy is "
            "the pixel accuracy. SD is over the images; that of a change is over its differences "
            "film by film. Noise is Gaussian; its SD is a fraction of the mean of the image, which "
            "ranges from 0 to 1; “clipped” limits the noisy image to 0 and 1.",
            *models,
        ]
    )


def trained(info: Mapping[str, Any]) -> str:
    """Imaging conditions that a model was trained on, from its description.

    Parameters
    ----------
    info : mapping
        Description of the model.
    """
    corpus = info.get("corpus") or {}
    if "tilt_deg" not in corpus:
        return "Its description does not name the images it was trained on."
    conditions = []
    for key, name, unit in (
        ("defocus_mm", "defocus", " mm"),
        ("tilt_deg", "tilt", "°"),
        ("axis_deg", "axis", "°"),
    ):
        low, high = corpus[key]
        conditions.append(f"{name} {low:g}{unit if low == high else f' … {high:g}{unit}'}")
    conditions.append(f"skyrmions where m_z is at most {level(corpus['label_mz'])}")
    return f"Trained on {corpus.get('n', '?')} images: {', '.join(conditions)}."


def level(label_mz: float | str) -> str:
    """Threshold of a label in words.

    Parameters
    ----------
    label_mz : float or str
        Threshold of m_z, or ``triangle``.

    Examples
    --------
    >>> level(0.98)
    '0.98'
    """
    return "the triangle level of the film" if label_mz == "triangle" else f"{label_mz:g}"


def sections(
    curves: Mapping[str, Curves],
    pairs: Pairs,
    images: Mapping[str, Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]],
    cell_nm: float,
) -> list[Section]:
    """Sections with the curves, sizes, images of one film, and the published images.

    Parameters
    ----------
    curves : mapping
        Model → curves.
    pairs : mapping
        Model → curve → noise → rows of the published images.
    images : mapping
        Caption → panels of `figures.image_figure`.
    cell_nm : float
        Pixel size in nm.
    """
    found = []
    for title, key, note in (
        ("Noise", "noise", "Dotted: clipped to [0, 1]. Diamonds: published, on other images."),
        ("Defocus", "defocus", ""),
        ("Tilt", "tilt", ""),
        ("Tilt axis", "axis", "Dotted: the axis is given, so that image and mask are rotated."),
    ):
        drawn = {f"Mean over the films; bands: one SD. {note}": figures.curve_figure(curves, key)}
        table = _curve_table(curves, figures.SHARED.get(key, (key,)))
        found.append(Section(title, "", drawn, table))
    caption = "Diameters of discs of the same area, without skyrmions that the border cuts."
    sizes = {caption: figures.size_figure(curves, cell_nm)}
    found.append(Section("Sizes", "", sizes, _size_table(curves, cell_nm)))
    drawn = {caption: figures.image_figure(panels) for caption, panels in images.items()}
    found.append(Section("One film", "", drawn))
    if any(pairs.values()):
        text = (
            "Images of the same making that are published with labels. Noise is added to the noise "
            "of the image. If the label threshold was set by these images, they are no independent "
            "test."
        )
        found.append(Section("Published images at hand", text, table=_pair_table(pairs)))
    return found


def real_section(name: str, model: str, image: np.ndarray, found: RealImage) -> Section:
    """Section of a real image: outlines, counts and sizes, and the estimates without a network.

    Parameters
    ----------
    name : str
        Name of the image.
    model : str
        Name of the model.
    image : (H, W) array
        Image.
    found : RealImage
        Result of the model.
    """
    report, estimate, px = found.report, found.report["estimate"], found.report["diameter_px"]
    rows = {
        "objects found": report["count"],
        "of these, not cut by the first row or column": report["count_inside"],
        "count that fits the spacing of the spectrum": estimate["count"],
        "places counted by a filter": estimate["dipoles"],
        "fraction of these places inside an object": report["found"],
        "fraction of the objects with exactly one such place": report["single"],
        "off the border, with less than half the median diameter": report["small"],
        "mean diameter, px": px["mean"],
        "SD of the diameters, px": px["sd"],
        "spacing of the objects, px": report["spacing_px"],
        "spacing from the spectrum, px": estimate["spacing_px"],
        "mean |psi6|": report["psi6"],
        "fraction of doubtful pixels": report["doubt"],
        "scale": report["scale"],
        "tilt axis, degrees": report["axis_deg"],
    }
    if "diameter_nm" in report:
        rows |= {
            "mean diameter, nm": report["diameter_nm"]["mean"],
            "SD of the diameters, nm": report["diameter_nm"]["sd"],
            "spacing, nm": report["spacing_nm"],
            "density, 1/µm²": report["density_um2"],
        }
    text = (
        f"{name}, segmented by {model}. There is no label. The count is compared with two "
        "estimates without a network: the ring of the power spectrum gives the distance of "
        "neighbours in a triangular lattice; a filter shaped like a tilted skyrmion gives places "
        "to count."
    )
    figure = figures.overlay_figure(image, found.mask, found.places)
    caption = "Outlines: objects of the model; dots: places of the filter."
    table = (["quantity", "value"], [list(row) for row in rows.items()])
    return Section("A real image", text, {caption: figure}, table)


def numbers(curves: Mapping[str, Curves], pairs: Pairs, cell_nm: float) -> dict[str, Any]:
    """Numbers of the report's JSON.

    Parameters
    ----------
    curves : mapping
        Model → curves.
    pairs : mapping
        Model → curve → noise → rows of the published images.
    cell_nm : float
        Pixel size in nm.

    Returns
    -------
    dict
        `curves` (a summary per point), `sizes` (diameters in nm by noise in %) and `pairs`.
    """
    return {
        "curves": {
            name: {
                key: [{"x": x, **summary(curve[x], cell_nm)} for x in sorted(curve)]
                for key, curve in own.items()
            }
            for name, own in curves.items()
        },
        "sizes": {name: _diameters(own["noise"], cell_nm) for name, own in curves.items()},
        "pairs": {
            name: {
                key: [
                    {"x": x, **summary(rows), "per_image": _without_diameters(rows)}
                    for x, rows in curve.items()
                ]
                for key, curve in own.items()
            }
            for name, own in pairs.items()
        },
    }


def _curve_table(curves: Mapping[str, Curves], keys: Sequence[str]) -> Table:
    """Scores and counts at every point of some curves."""
    header = ["model", "at", NAMES["accuracy"], "F1", "SD", "Jaccard", "MCC", "skyrmions", "found"]
    rows = []
    for name, own in curves.items():
        for key in keys:
            for x in sorted(own.get(key, {})):
                s = summary(own[key][x])
                means = [s[score]["mean"] for score in SCORES]
                counts = [s["objects"]["true"], s["objects"]["predicted"]]
                model = name + SUFFIX.get(key, "")
                rows.append([model, float(x), *means[:2], s["f1"]["sd"], *means[2:], *counts])
    return header, rows


def _size_table(curves: Mapping[str, Curves], cell_nm: float) -> Table:
    """Number, mean and SD of the true and predicted diameters in nm."""
    header = ["model", "noise, %", "skyrmions", "mean, nm", "SD", "found", "mean found, nm", "SD",
              "Wasserstein distance, nm"]  # fmt: skip
    rows = []
    for name, own in curves.items():
        for x in SHOWN:
            size = summary(own["noise"][x], cell_nm)["diameter"]
            cells = [size[w][key] for w in ("true", "predicted") for key in ("n", "mean", "sd")]
            rows.append([name, round(100 * x), *cells, size["wasserstein"]])
    return header, rows


def _pair_table(pairs: Pairs) -> Table:
    """Scores of the published images at some levels of noise."""
    header = ["model", "image", "noise, %", NAMES["accuracy"], "F1", "Jaccard", "MCC"]
    rows = [
        [name + SUFFIX.get(key, ""), row["film"], round(100 * x), *(row[s] for s in SCORES)]
        for name, own in pairs.items()
        for key, curve in own.items()
        for x, images in curve.items()
        if x in (*SHOWN, 0.1) and not (key == "clipped" and not x)
        for row in images
    ]
    return header, rows


def _diameters(noise: Mapping[float, Rows], cell_nm: float) -> dict[str, dict[str, list[float]]]:
    """Diameters in nm, true and predicted, by noise in %."""
    return {
        f"{100 * x:.0f}": {
            which: [round(cell_nm * px, 2) for row in noise[x] for px in row[f"{which}_px"]]
            for which in ("true", "predicted")
        }
        for x in SHOWN
    }


def _without_diameters(rows: Rows) -> list[dict[str, Any]]:
    """Rows without the lists of diameters."""
    return [{key: v for key, v in row.items() if not key.endswith("_px")} for row in rows]
