r"""Imaging conditions of a training set, and the limits within which new frames are like it.

Every measure has one number :math:`x_s` per source, the logarithm of a value or the value itself.
The distance of a recording to the training set is

.. math:: d = |x - \mathrm{median}(x_s)| / \sigma

with the root mean square deviation :math:`\sigma` of the sources on the same side of the median.
Every source is left out once and its distance to the others measured. The limit is the distance
that one of ten left-out sources exceeds, or the largest, extended as the tail of a normal
distribution, so that about one of twenty recordings like the training set is out of range in any
of the measures.

Edge width :math:`w` and diameter :math:`D` of the objects separate into scale, blur and object
size. A change of scale multiplies both, blur only the width, another size only the diameter: where
both change in the same direction, the smaller of the two changes is that of the scale, and what is
left is blur or object size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from spinscope.drift.measures import MEASURES, Measure
from spinscope.errors import SpinscopeError

IMAGING = "imaging.json"
"""File of a model folder with the `Reference` of its training set."""
MIN_SOURCES = 5
"""Smallest number of sources from which limits are estimated."""
_CONTRAST = [f"contrast_{axis}" for axis in range(3)]
_SMALLEST = 0.05
"""Smallest deviation of a measure over the sources."""
_FAR = 300.0
"""Larger numbers are no logarithms of a value, and their exponentials overflow."""
_ALARMS = 0.03
"""Fraction of recordings like a training set, known exactly, that may be out of range."""


@dataclass(frozen=True)
class Range:
    """Range of one measure in a training set.

    Parameters
    ----------
    median : float
        Median over the sources.
    low, high : (float, float) or None
        Deviation of the sources below and above the median, and limit of the distance in units of
        it; None for a side without limit.
    """

    median: float
    low: tuple[float, float] | None
    high: tuple[float, float] | None


@dataclass(frozen=True)
class Reference:
    """Imaging conditions of a training set.

    Parameters
    ----------
    sources : int
        Number of sources.
    centre : dict
        Medians of the logarithms of edge width and diameter, and the mean direction of the
        contrast, which separate scale, blur, object size and polarity.
    ranges : dict
        Name of a measure → `Range`; a measure that too few sources have is left out.
    """

    sources: int
    centre: Mapping[str, Any]
    ranges: Mapping[str, Range]

    def to_json(self) -> dict[str, Any]:
        """Value that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Reference:
        """Reference of a value of `to_json`.

        Raises
        ------
        SpinscopeError
            If the value is not one.
        """
        try:
            ranges = {name: _range(**value["ranges"][name]) for name in value["ranges"]}
            centre = {key: float(value["centre"][key]) for key in ("edge_px", "diameter_px")}
            direction = [float(part) for part in value["centre"]["direction"]]
            numbers = [*centre.values(), *direction]
            for one in ranges.values():
                numbers += [one.median, *(one.low or ()), *(one.high or ())]
                if any(
                    side and not (min(side) > 0 and math.prod(side) < _FAR)
                    for side in (one.low, one.high)
                ):
                    raise ValueError
            if len(direction) != 3 or not set(ranges) <= set(MEASURES):
                raise ValueError
            if not all(abs(number) < _FAR for number in numbers):  # false for NaN
                raise ValueError
            return cls(int(value["sources"]), centre | {"direction": direction}, ranges)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise SpinscopeError(
                f"{IMAGING} must hold the medians, spreads and limits of a training set"
            ) from None


@dataclass(frozen=True)
class Judgement:
    """One measure of a recording against a training set.

    Parameters
    ----------
    name, unit : str
        See `Measure`.
    value : float or None
        Value; None if it could not be measured.
    low, high : float or None
        Limits of the value; None where there is none.
    distance, limit : float or None
        Distance to the median of the training set, negative below it, and its limit on this side.
    out : bool
        Whether the value is out of range.
    """

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    distance: float | None
    limit: float | None
    out: bool


def make_reference(sources: Sequence[Mapping[str, float]]) -> Reference:
    """Ranges of a training set, with limits from leaving out one source at a time.

    Parameters
    ----------
    sources : sequence of mappings
        Values of `measure_frame` of every source: medians over its frames.

    Raises
    ------
    SpinscopeError
        If there are fewer than five sources.
    """
    if len(sources) < MIN_SOURCES:
        raise SpinscopeError(
            f"{len(sources)} sources are too few for limits; at least {MIN_SOURCES} are needed"
        )
    centre = _centre(sources)
    left_out = []
    for index in range(len(sources)):
        others = [*sources[:index], *sources[index + 1 :]]
        left_out.append((_centre(others), others, sources[index]))
    ranges = {}
    for name, measure in MEASURES.items():
        known = _known(name, sources, centre)
        if len(known) < MIN_SOURCES:
            continue
        sides: dict[str, tuple[float, float] | None] = {"low": None, "high": None}
        for side in sides:
            if measure.side in (side, "both"):
                distances = [
                    _distance(_coordinates(one, other_centre)[name],
                              _known(name, others, other_centre), side)
                    for other_centre, others, one in left_out
                ]  # fmt: skip
                distances = [distance for distance in distances if math.isfinite(distance)]
                sides[side] = _spread(known, side), _limit(distances)
        ranges[name] = Range(float(np.median(known)), **sides)
    return Reference(len(sources), centre, ranges)


def judge(values: Mapping[str, float], reference: Reference) -> list[Judgement]:
    """Compare the imaging conditions of a recording with those of a training set.

    Parameters
    ----------
    values : mapping
        Values of `measure_frame`: medians over the frames of the recording.
    reference : Reference
        Training set.
    """
    coordinates, judged = _coordinates(values, reference.centre), []
    for name, known in reference.ranges.items():
        measure, value = MEASURES[name], coordinates[name]
        low, high = (
            side and _natural(measure, known.median + sign * side[0] * side[1])
            for sign, side in ((-1, known.low), (1, known.high))
        )
        shown = distance = limit = None
        if math.isfinite(value):
            shown, deviation = _natural(measure, value), value - known.median
            side = known.low if deviation < 0 else known.high
            if side:
                distance, limit = deviation / side[0], side[1]
        out = distance is not None and abs(distance) > limit
        judged.append(Judgement(name, measure.unit, shown, low, high, distance, limit, out))
    return judged


def sentence(judged: Sequence[Judgement]) -> str:
    """The answer in words.

    >>> sentence([Judgement("blur", "px", 7.0, None, 4.0, 6.0, 3.0, True)])
    'out of range: blur'
    >>> sentence([])
    'in range'
    """
    names = [one.name for one in judged if one.out]
    return f"out of range: {', '.join(names)}" if names else "in range"


def _range(median: float, low: Any, high: Any) -> Range:
    """Range of numbers that were read from a file."""
    sides = [side and (float(side[0]), float(side[1])) for side in (low, high)]
    return Range(float(median), *sides)


def _known(
    name: str, sources: Sequence[Mapping[str, float]], centre: Mapping[str, Any]
) -> np.ndarray:
    """Numbers of the sources that have the measure."""
    values = np.array([_coordinates(one, centre)[name] for one in sources])
    return values[np.isfinite(values)]


def _deviations(values: np.ndarray, median: float, side: str) -> np.ndarray:
    """Deviations from the median, positive on a side."""
    return (values - median) * (-1 if side == "low" else 1)


def _spread(values: np.ndarray, side: str) -> float:
    """Root mean square deviation of the values on a side of the median."""
    deviations = _deviations(values, float(np.median(values)), side)
    return max(float(np.sqrt(np.mean(deviations[deviations >= 0] ** 2))), _SMALLEST)


def _distance(value: float, others: np.ndarray, side: str) -> float:
    """Distance of a left-out source to the others, negative on the other side."""
    if not len(others):
        return math.nan
    deviation = _deviations(np.array(value), float(np.median(others)), side)
    return float(deviation) / _spread(others, side)


def _limit(distances: Sequence[float]) -> float:
    """Limit from the distances of the sources that were left out."""
    ordered, normal = sorted(distances), NormalDist()
    wanted = normal.inv_cdf(1 - _ALARMS / len(MEASURES))
    extended = [
        ordered[-rank] / normal.inv_cdf(1 - rank / (len(ordered) + 1))
        for rank in {1, max(len(ordered) // 10, 1)}
    ]
    return wanted * max(1.0, min(extended))


def _natural(measure: Measure, value: float) -> float:
    return math.exp(value) if measure.logarithmic else value


def _logarithm(value: float) -> float:
    return math.log(value) if value > 0 else (math.nan if value != value else math.log(1e-3))


def _centre(sources: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Centre of the lengths and the direction of the contrast; see `Reference`."""
    centre: dict[str, Any] = {}
    for name in ("edge_px", "diameter_px"):
        values = np.array([_logarithm(one[name]) for one in sources])
        values = values[np.isfinite(values)]
        centre[name] = float(np.median(values)) if len(values) else 0.0
    contrast = np.array([[one[key] for key in _CONTRAST] for one in sources], dtype=float)
    contrast = contrast[np.isfinite(contrast).all(axis=1)]
    direction = np.median(contrast, axis=0) if len(contrast) else np.zeros(3)
    length = float(np.linalg.norm(direction))
    centre["direction"] = [float(part) for part in direction / (length or 1.0)]
    return centre


def _coordinates(values: Mapping[str, float], centre: Mapping[str, Any]) -> dict[str, float]:
    """Number of each measure that is compared; NaN where it could not be measured."""
    width, diameter = (
        _logarithm(values[name]) - centre[name] for name in ("edge_px", "diameter_px")
    )
    common = 0.0
    if not math.isfinite(width + diameter):
        common = math.nan
    elif width * diameter > 0:
        common = math.copysign(min(abs(width), abs(diameter)), width)
    contrast = np.array([values[key] for key in _CONTRAST], dtype=float)
    return {
        **{name: _logarithm(values[name]) for name in ("noise", "contrast", "gradient")},
        "blur": width - common + centre["edge_px"],
        "scale": common,
        "polarity": float(contrast @ np.array(centre["direction"]) / np.linalg.norm(contrast)),
        "object size": diameter - common + centre["diameter_px"],
    }
