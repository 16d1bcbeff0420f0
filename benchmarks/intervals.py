"""Whether the stated 90 % intervals of number, mean diameter and area fraction hold the labels.

`bundled:moke-unet-simulated`, which is trained on simulated frames only, segments the published
Kerr frames, one view each, so that the intervals are those of the systematic uncertainties. An
error of a source is covered if it is below 1.645 standard deviations. The widths of the intervals
are fitted (maximum likelihood) to all other sources (`coverage.*`) and to the sources of all other
batches (`coverage.*_batch`); the peer is the coverage with the widths that the program uses.
"""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
from scipy.optimize import minimize

from _rows import row
from spinscope.analysis.shapes import measure
from spinscope.analysis.uncertainty import COUNT_SD, SHALLOW_SD, frame_quantities, shallow
from spinscope.classes import SKYRMION
from spinscope.config import bundled_models, load_params, moke_path
from spinscope.datasets import open_dataset
from spinscope.inference.predict import Predictor

Z90 = 1.645


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    batches, sources = of_sources()
    names = list(sources)
    quantities = {  # errors, parts of their standard deviations, widths that the program uses
        "objects": (("shallow", "objects"), (SHALLOW_SD, COUNT_SD)),
        "diameter_px_mean": (("diameter_px_mean_sd_boundary",), (1.0,)),
        "area_fraction": (("area_fraction_sd_boundary",), (1.0,)),
    }
    rows = {}
    for quantity, (parts, widths) in quantities.items():
        error = np.array([one[f"{quantity}_error"] for one in sources.values()])
        sd = np.array([[one[part] for part in parts] for one in sources.values()])
        used = np.mean(covered(error, sd, np.array(widths)))
        for end, groups in (("", np.array(names)), ("_batch", np.array(batches))):
            held = np.zeros(len(error), dtype=bool)
            for group in np.unique(groups):
                out = groups == group
                held[out] = covered(error[out], sd[out], fitted(error[~out], sd[~out]))
            rows[f"coverage.{quantity}{end}"] = row(
                held.mean(),
                "fraction",
                used,
                widths=np.round(fitted(error, sd), 3).tolist(),
                missed=np.array(names)[~held].tolist(),
            )
    return rows


def of_sources() -> tuple[list[int], dict[int, dict[str, float]]]:
    """Batch of each source, and its errors and stated uncertainties, mean over its frames."""
    predictor = Predictor.load(bundled_models() / "moke-unet-simulated", "auto")
    min_px, frames, batch = load_params("laptop").segment.min_px, defaultdict(list), {}
    for record, image, label in open_dataset(moke_path()):
        found = predictor.segment_views(image)
        objects = measure(found.mask == SKYRMION, min_px=min_px, rim=found.rim)
        true = frame_quantities(measure(label == SKYRMION, min_px=min_px), label.shape)
        stated = frame_quantities(objects, label.shape)
        errors = {f"{name}_error": stated[name] - true[name] for name in true}
        frames[record.source].append(stated | errors | {"shallow": shallow(objects)})
        batch[record.source] = record.batch
    means = {
        source: {name: float(np.mean([one[name] for one in rows])) for name in rows[0]}
        for source, rows in frames.items()
    }
    return [batch[source] for source in means], means


def covered(error: np.ndarray, sd: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Whether each error (n,) is covered, with parts (n, k) of its deviation and widths (k,)."""
    return np.abs(error) < Z90 * np.sqrt((widths * sd) ** 2 @ np.ones(sd.shape[1]))


def fitted(error: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Widths (k,) of the largest likelihood of normally distributed errors."""

    def loss(logarithms: np.ndarray) -> float:
        variance = np.sum((np.exp(logarithms) * sd) ** 2, axis=1) + 1e-12
        return float(np.sum(np.log(variance) + error**2 / variance))

    start = np.log([0.7, 0.02][: sd.shape[1]])
    return np.exp(minimize(loss, start, method="Nelder-Mead").x)


if __name__ == "__main__":
    print(json.dumps(main()))
