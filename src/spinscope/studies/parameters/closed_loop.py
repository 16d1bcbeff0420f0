"""A network as a laboratory uses it: marks of images, and estimates refined by relaxed films."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spinscope.inference.parameters import ParameterPredictor
from spinscope.jobs.estimate import DomainImage, estimated, with_refinement
from spinscope.studies.base import Job
from spinscope.studies.parameters.networks import Network
from spinscope.studies.parameters.views import Films


def chosen(films: Films, n: int) -> list[int]:
    """Numbers of test films whose constants are spread evenly over their range.

    Parameters
    ----------
    films : Films
        Test films.
    n : int
        Largest number of films.
    """
    order = np.argsort(films.values, kind="stable")
    count = min(n, len(order))
    return [int(order[(2 * k + 1) * len(order) // (2 * count)]) for k in range(count)]


def marks(predictor: ParameterPredictor) -> Callable[[np.ndarray, float], Sequence[str]]:
    """Function of an image and its pixel size in m that returns why its estimate is not valid.

    Parameters
    ----------
    predictor : ParameterPredictor
        Loaded network.
    """

    def mark(image: np.ndarray, pixel_size: float) -> Sequence[str]:
        return estimated(predictor, DomainImage(np.asarray(image, np.float32), pixel_size)).reasons

    return mark


def refined(job: Job, network: Network, films: Films, number: int, width: float) -> dict[str, Any]:
    """Estimate of a view of one film before and after refinement.

    Parameters
    ----------
    job : Job
        Call of the part.
    network : Network
        Network that estimates.
    films : Films
        Test films.
    number : int
        Number of the film.
    width : float
        Side of the view, m.

    Returns
    -------
    dict
        `film`, `true`, `before` and `after` with `sd`, `low` and `high` in SI units; domain width
        of relaxed films over that of the image, minus 1, and difference of the two-point
        correlations, each before and after; `films`, the number of relaxed films.
    """
    predictor, film = network.load(job), films.films[number]
    view = next(one for one in films.views(width, 1) if one.film == number)
    given = DomainImage(np.asarray(view.image, np.float32), view.pixel_size, film.name)
    found = with_refinement(estimated(predictor, given), predictor)
    first, last = found.network, found.refined
    row = {"film": f"{film.name}, {film.group}", "true": film.value, "before": first.mean,
           "sd_before": first.sd, "in_range": found.in_range}  # fmt: skip
    if last is None:
        return {**row, "after": first.mean, "low": first.low, "high": first.high, "films": 0}
    return {
        **row,
        "after": last.value,
        "sd": last.sd,
        "low": last.low,
        "high": last.high,
        "width_before": last.before.width,
        "width_after": last.after.width,
        "correlation_before": last.before.correlation,
        "correlation_after": last.after.correlation,
        "films": last.films,
    }
