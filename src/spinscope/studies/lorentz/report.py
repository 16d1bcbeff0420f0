"""What the report of the study of Lorentz models says: its words, tables, figures and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spinscope.config import Ltem
from spinscope.studies.lorentz import figures as figures
from spinscope.studies.lorentz.findings import Curves, Rows
from spinscope.studies.lorentz.scores import SCORES, summary
from spinscope.studies.report import Section

if TYPE_CHECKING:
    import numpy as np

    from spinscope.studies.lorentz.real_image import RealImage

SHOWN = (0.0, 0.5, 1.0)
"""Noise at which sizes and pictures are shown."""

Pairs = Mapping[str, Mapping[str, Mapping[float, Rows]]]
"""Model → manner (noise, clipped) → noise → rows of the published images at hand."""

Table = tuple[list[str], list[list]]

_MANNER = {"clipped": ", clipped", "axis_known": ", axis given"}


def about(n: int, chosen: str, models: Sequence[str], settings: Ltem) -> str:
    """What was measured, on which films, and how."""
    parts = [
        "Published: McCray et al., APL Mach. Learn. 2, 026120 (2024): the best of their networks "
        "that were trained on 10 000 films, on eight simulated images.",
        f"Measured on {n} films: {chosen}. All points and models see the same films and, of each "
        f"film, the same pattern of noise. A skyrmion is where m_z is at most "
        f"{level(settings.label_mz)}, eroded by {settings.label_erosion_px} px. "
        f"{settings.voltage_kv:g} kV, Cs {settings.cs_um:g} µm, {settings.convergence_mrad:g} mrad, "
        f"defocus spread {settings.defocus_spread_nm:g} nm; unless varied, defocus −2 mm, tilt 20°, tilt "
        "axis along the rows of pixels.",
        "Subset accuracy, F1 and Jaccard of the skyrmion pixels are those of scikit-learn on the "
        "flattened masks of an image, averaged over the images; each pixel is a sample of one "
        "label, so that the subset accuracy is the share of pixels that are right. SD is that "
        "over the images; that of a change is over its differences film by film. Noise is "
        "Gaussian, its standard deviation a share of the mean of the image, which runs from 0 to "
        "1; “clipped” cuts the noisy image off at 0 and 1.",
    ]
    return "\n\n".join([*parts, *models])


def trained(info: Mapping[str, Any]) -> str:
    """What a model says of the images that it was trained on."""
    corpus = info.get("corpus") or {}
    if "tilt_deg" not in corpus:
        return "It does not say what images it was trained on."
    words = []
    for key, name, unit in (
        ("defocus_mm", "defocus", " mm"),
        ("tilt_deg", "tilt", "°"),
        ("axis_deg", "axis", "°"),
    ):
        low, high = corpus[key]
        words.append(f"{name} {low:g}{unit if low == high else f' … {high:g}{unit}'}")
    words.append(f"skyrmions where m_z is at most {level(corpus['label_mz'])}")
    return f"Trained on {corpus.get('n', '?')} images: {', '.join(words)}."


def level(label_mz: float | str) -> str:
    """The threshold of a label in words.

    >>> level(0.98)
    '0.98'
    """
    return "the triangle level of the film" if label_mz == "triangle" else f"{label_mz:g}"


def sections(
    curves: Mapping[str, Curves],
    pairs: Pairs,
    pictures: Mapping[str, Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]],
    cell_nm: float,
) -> list[Section]:
    """Curves, sizes, one film in pictures (caption → panels), and the published images."""
    caption = "Mean over the films; bands: one SD. "
    parts = []
    for title, key, told in (
        ("Noise", "noise", "Dotted: clipped to [0, 1]. Diamonds: published, on other images."),
        ("Defocus", "defocus", ""),
        ("Tilt", "tilt", ""),
        ("Tilt axis", "axis", "Dotted: the axis is given; the image is turned, the mask back."),
    ):
        figure = figures.curve_figure(curves, key)
        table = curve_table(curves, figures.SHARED.get(key, (key,)))
        parts.append(Section(title, "", {caption + told: figure}, table))
    told = "Diameters of discs of the same area; skyrmions that the border cuts are left out."
    sizes = {told: figures.size_figure(curves, cell_nm)}
    parts.append(Section("Sizes", "", sizes, size_table(curves, cell_nm)))
    drawn = {told: figures.picture_figure(panels) for told, panels in pictures.items()}
    parts.append(Section("One film", "", drawn))
    if any(pairs.values()):
        told = (
            "Images of the same making that come with labels. Noise is added to what an image "
            "bears already. A label threshold that was set by these images makes them no "
            "independent test."
        )
        parts.append(Section("Published images at hand", told, table=pair_table(pairs)))
    return parts


def real_section(name: str, model: str, image: np.ndarray, found: RealImage) -> Section:
    """A real image, what was found in it, and what the picture itself says."""
    report, estimate = found.report, found.report["estimate"]
    lines = [
        ["objects found", report["count"]],
        ["of these, not cut by the first row or column", report["count_inside"]],
        ["count that fits the spacing of the spectrum", estimate["count"]],
        ["places counted by a filter", estimate["dipoles"]],
        ["share of these places that lie in an object", report["found"]],
        ["share of the objects with just one such place", report["single"]],
        ["off the border, of less than half the median diameter", report["small"]],
        ["mean diameter, px", report["diameter_px"]["mean"]],
        ["SD of the diameters, px", report["diameter_px"]["sd"]],
        ["spacing of the objects, px", report["spacing_px"]],
        ["spacing by the spectrum, px", estimate["spacing_px"]],
        ["mean |psi6|", report["psi6"]],
        ["share of doubtful pixels", report["doubt"]],
        ["magnified by", report["scale"]],
        ["tilt axis, degrees", report["axis_deg"]],
    ]
    if "diameter_nm" in report:
        lines += [
            ["mean diameter, nm", report["diameter_nm"]["mean"]],
            ["SD of the diameters, nm", report["diameter_nm"]["sd"]],
            ["spacing, nm", report["spacing_nm"]],
            ["density, 1/µm²", report["density_um2"]],
        ]
    text = (
        f"{name}, read by {model}. There is no label. The count is held against two estimates "
        "without a network: the ring of the power spectrum gives the distance of neighbours in a "
        "triangular lattice; a filter shaped like a tilted skyrmion gives places to count."
    )
    told = "Outlines: what the model finds; dots: places of the filter."
    figure = figures.overlay_figure(image, found.mask, found.places)
    return Section("A real image", text, {told: figure}, (["quantity", "value"], lines))


def numbers(curves: Mapping[str, Curves], pairs: Pairs, cell_nm: float) -> dict[str, Any]:
    """`curves` (a summary a point), `sizes` (diameters in nm by noise in %) and `pairs`."""
    return {
        "curves": {
            name: {
                key: [{"x": x, **summary(curve[x], cell_nm)} for x in sorted(curve)]
                for key, curve in of.items()
            }
            for name, of in curves.items()
        },
        "sizes": {name: _diameters(of["noise"], cell_nm) for name, of in curves.items()},
        "pairs": {
            name: {
                key: [{"x": x, **summary(rows), "per_image": _bare(rows)} for x, rows in of.items()]
                for key, of in manners.items()
            }
            for name, manners in pairs.items()
        },
    }


def curve_table(curves: Mapping[str, Curves], keys: Sequence[str]) -> Table:
    """Scores and counts at every point of some curves."""
    header = ["model", "at", "subset accuracy", "F1", "SD", "Jaccard", "MCC", "skyrmions", "found"]
    rows = []
    for name, of in curves.items():
        for key in keys:
            for x in sorted(of.get(key, {})):
                s = summary(of[key][x])
                means = [s[score]["mean"] for score in SCORES]
                counts = [s["objects"]["true"], s["objects"]["predicted"]]
                told = name + _MANNER.get(key, "")
                rows.append([told, float(x), *means[:2], s["f1"]["sd"], *means[2:], *counts])
    return header, rows


def size_table(curves: Mapping[str, Curves], cell_nm: float) -> Table:
    """Number, mean and spread of the diameters in nm, true and predicted."""
    header = ["model", "noise, %", "skyrmions", "mean, nm", "SD", "found", "mean found, nm", "SD",
              "Wasserstein distance, nm"]  # fmt: skip
    rows = []
    for name, of in curves.items():
        for x in SHOWN:
            size = summary(of["noise"][x], cell_nm)["diameter"]
            parts = [size[which][key] for which in ("true", "predicted")
                     for key in ("n", "mean", "sd")]  # fmt: skip
            rows.append([name, round(100 * x), *parts, size["wasserstein"]])
    return header, rows


def pair_table(pairs: Pairs) -> Table:
    """Scores of every published image at hand, at some noise."""
    header = ["model", "image", "noise, %", "subset accuracy", "F1", "Jaccard", "MCC"]
    rows = []
    for name, manners in pairs.items():
        for manner, of in manners.items():
            for x, images in of.items():
                if x not in (*SHOWN, 0.1) or (manner == "clipped" and not x):
                    continue
                for row in images:
                    told = name + _MANNER.get(manner, "")
                    scores = [row[score] for score in SCORES]
                    rows.append([told, row["film"], round(100 * x), *scores])
    return header, rows


def _diameters(noise: Mapping[float, Rows], cell_nm: float) -> dict[str, dict[str, list[float]]]:
    return {
        f"{100 * x:.0f}": {
            which: [round(cell_nm * px, 2) for row in noise[x] for px in row[f"{which}_px"]]
            for which in ("true", "predicted")
        }
        for x in SHOWN
    }


def _bare(rows: Rows) -> list[dict[str, Any]]:
    """Rows without the lists of diameters."""
    return [{key: v for key, v in row.items() if not key.endswith("_px")} for row in rows]
