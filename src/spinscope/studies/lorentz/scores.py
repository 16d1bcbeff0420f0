r"""Scores of a model on Lorentz images, as published: per image, then averaged.

All models see the same test films at the same imaging conditions, with the same noise pattern per
film, so that their scores are paired.

The published scores are those of scikit-learn on the flattened masks of an image, with skyrmion as
the positive class:

.. math::
   \mathrm{accuracy} = \frac{TP+TN}{N}, \quad
   F_1 = \frac{2TP}{2TP+FP+FN}, \quad \mathrm{Jaccard} = \frac{TP}{TP+FP+FN}.

The Matthews correlation (MCC) is added.

References
----------
McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from scipy import ndimage

from spinscope.analysis import equivalent_diameter, label_objects
from spinscope.classes import SKYRMION
from spinscope.config import Ltem
from spinscope.corpora.ltem import BATCHES
from spinscope.errors import SpinscopeError
from spinscope.evaluation.metrics import confusion, scores
from spinscope.evaluation.objects import size_distance
from spinscope.evaluation.report import spread
from spinscope.images import check_image, to_scheme
from spinscope.physics.film import Film
from spinscope.physics.lorentz import Microscope, lorentz_image
from spinscope.physics.lorentz_label import skyrmion_label
from spinscope.physics.lorentz_noise import grey

SCORES = ("accuracy", "f1", "jaccard", "mcc")
PAIR = ("_LTEM.tif", "_LABEL_th0.98.tif")

Predict = Callable[[np.ndarray, float], np.ndarray]
"""(image (H, W), known tilt axis in degrees, 0 where unknown) → classes."""

Row = dict[str, Any]


class Films(Protocol):
    """Films with one row each, which holds `name`, `number`, `kind` and further columns."""

    rows: Sequence[Row]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Film: ...


@dataclass(frozen=True)
class Point:
    """Imaging conditions of the test films; the defaults are the published ones.

    Parameters
    ----------
    noise : float
        SD of Gaussian noise as a fraction of the mean of the image, which ranges from 0 to 1.
    defocus_mm : float
        Defocus in mm.
    tilt_deg, axis_deg : float
        Tilt and direction of its axis in degrees.
    axis_known : bool
        Whether the model receives the tilt axis.
    clipped : bool
        Whether the noisy image is clipped to [0, 1].
    """

    noise: float = 0.0
    defocus_mm: float = -2.0
    tilt_deg: float = 20.0
    axis_deg: float = 0.0
    axis_known: bool = False
    clipped: bool = False


NOISE = tuple(k / 10 for k in range(11))
DEFOCUS_MM = tuple(-k / 4 for k in range(4, 13))
TILT_DEG = tuple(k / 2 for k in range(20, 61, 5))
AXIS_DEG = tuple(range(0, 181, 15))


def curves(base: Point | None = None) -> dict[str, dict[float, Point]]:
    """Points of all curves: curve → abscissa → point.

    ``noise``, ``clipped``, ``defocus`` and ``tilt`` vary one condition; ``axis`` and
    ``axis_known`` vary the tilt axis, unknown and known to the model.

    Parameters
    ----------
    base : Point, optional
        Conditions that are not varied; the published ones by default.
    """
    base = base or Point()
    return {
        "noise": {x: replace(base, noise=x) for x in NOISE},
        "clipped": {x: replace(base, noise=x, clipped=x > 0) for x in NOISE},
        "defocus": {x: replace(base, defocus_mm=x) for x in DEFOCUS_MM},
        "tilt": {x: replace(base, tilt_deg=x) for x in TILT_DEG},
        "axis": {float(x): replace(base, axis_deg=float(x)) for x in AXIS_DEG},
        "axis_known": {
            float(x): replace(base, axis_deg=float(x), axis_known=x > 0) for x in AXIS_DEG
        },
    }


def points(plan: Mapping[str, Mapping[float, Point]]) -> list[Point]:
    """Distinct points of some curves, in order.

    Parameters
    ----------
    plan : mapping
        Curve → abscissa → point.
    """
    return list(dict.fromkeys(point for curve in plan.values() for point in curve.values()))


@dataclass(frozen=True)
class Specimen:
    """A film with its label (H, W) uint8."""

    name: str
    number: int
    film: Film
    label: np.ndarray


def unseen_films(
    films: Films,
    settings: Ltem,
    *,
    names: Iterable[str] | None = None,
    batches: Sequence[int] | None = None,
    numbers: range | None = None,
) -> list[int]:
    """Indices of films to test on, chosen by names, batches or numbers.

    Parameters
    ----------
    films : Films
        Films of a corpus.
    settings : Ltem
        Section ``ltem``; only its ``film_states`` are used.
    names : iterable of str, optional
        Names of films.
    batches : sequence of int, optional
        Batches of a Lorentz corpus of the same films.
    numbers : range, optional
        Numbers of films in their corpus.

    Raises
    ------
    SpinscopeError
        If no film is left, a name is unknown, or nothing is given.
    """
    chosen = [index for index, row in enumerate(films.rows) if row["kind"] in settings.film_states]
    if names is not None:
        wanted = set(names)
        if missing := wanted - {row["name"] for row in films.rows}:
            raise SpinscopeError(f"film {min(missing)} is not among the {len(films)} films")
        left, rule = [i for i in chosen if films.rows[i]["name"] in wanted], "names"
    elif batches is not None:
        left = [i for source, i in enumerate(chosen) if source % BATCHES in set(batches)]
        rule = f"batches (={list(batches)})"
    elif numbers is not None:
        left = [i for i in chosen if films.rows[i]["number"] in numbers]
        rule = f"numbers (={numbers.start}:{numbers.stop})"
    else:
        raise SpinscopeError("test films must be given by names, batches or numbers")
    if not left:
        raise SpinscopeError(
            f"{rule} leave none of {len(films)} films of the kinds {list(settings.film_states)}"
        )
    return left


def specimens(films: Films, indices: Sequence[int], settings: Ltem) -> list[Specimen]:
    """Films with labels as the settings define them, periodic.

    Parameters
    ----------
    films : Films
        Films of a corpus.
    indices : sequence of int
        Films to take.
    settings : Ltem
        Section ``ltem``.

    Raises
    ------
    SpinscopeError
        If the label of a film cannot be made; the message names it.
    """
    found = []
    for index in indices:
        film, row = films[index], films.rows[index]
        try:
            label = skyrmion_label(
                film.m[..., 2],
                threshold=settings.label_mz,
                erosion=settings.label_erosion_px,
                periodic=True,
            )
        except SpinscopeError as error:
            raise SpinscopeError(f"film {row['name']}: {error}") from error
        found.append(Specimen(row["name"], row["number"], film, label))
    return found


def simulated_image(specimen: Specimen, point: Point, settings: Ltem, seed: int) -> np.ndarray:
    """Lorentz image of a film at some imaging conditions.

    Parameters
    ----------
    specimen : Specimen
        The film.
    point : Point
        Imaging conditions.
    settings : Ltem
        Microscope; of a range of ``mirror_blur_px`` the middle is taken.
    seed : int
        Seed of the noise. The pattern depends on the seed and the film's number only.

    Returns
    -------
    (H, W) float32 array
        Image; without noise from 0 to 1.
    """
    film = specimen.film
    microscope = Microscope(
        voltage=settings.voltage_kv * 1e3,
        defocus=point.defocus_mm * 1e-3,
        cs=settings.cs_um * 1e-6,
        convergence=settings.convergence_mrad * 1e-3,
        defocus_spread=settings.defocus_spread_nm * 1e-9,
    )
    image = lorentz_image(
        film.m,
        film.material.ms if film.ms is None or settings.phase_ms == "mean" else film.ms,
        film.material.thickness,
        film.material.cell,
        microscope,
        tilt=np.radians(point.tilt_deg),
        axis=np.radians(point.axis_deg),
        workers=1,
    )
    if blur := sum(settings.mirror_blur_px) / 2:
        image = ndimage.gaussian_filter(image, blur, mode="reflect")
    rng = np.random.default_rng([seed, specimen.number])
    return noisy(grey(image), point.noise, rng, clipped=point.clipped)


def noisy(
    image: np.ndarray, noise: float, rng: np.random.Generator, *, clipped: bool = False
) -> np.ndarray:
    """Add Gaussian noise with a SD of `noise` times the mean of the image (H, W).

    Parameters
    ----------
    image : (H, W) array
        Image.
    noise : float
        SD of the noise as a fraction of the mean of the image.
    rng : Generator
        Source of random numbers.
    clipped : bool
        Whether the image is clipped to [0, 1].
    """
    if noise:
        sigma = np.float32(noise * image.mean(dtype=np.float64))
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1) if clipped else image


def measure(
    predict: Predict,
    films: Sequence[Specimen],
    point: Point,
    settings: Ltem,
    *,
    seed: int = 0,
    min_px: int = 4,
) -> list[Row]:
    """Score a model on every film at some imaging conditions.

    Parameters
    ----------
    predict : callable
        Model.
    films : sequence of Specimen
        Test films.
    point : Point
        Imaging conditions.
    settings : Ltem
        Microscope.
    seed : int
        Seed of the noise.
    min_px : int
        Smallest area of an object in px.

    Returns
    -------
    list of dict
        `image_scores` of each film, with its name as `film`.
    """
    rows = []
    for specimen in films:
        image = simulated_image(specimen, point, settings, seed)
        found = predict(image, point.axis_deg if point.axis_known else 0.0)
        rows.append({"film": specimen.name, **image_scores(specimen.label, found, min_px)})
    return rows


def image_scores(label: np.ndarray, found: np.ndarray, min_px: int = 4) -> Row:
    """Scores of `SCORES`, objects and diameters of one image.

    Parameters
    ----------
    label, found : (H, W) array
        True and predicted classes.
    min_px : int
        Smallest area of an object in px.

    Returns
    -------
    dict
        Scores; `objects_true` and `objects_predicted`; `true_px` and `predicted_px`, diameters of
        the objects that the border does not cut, rounded to 0.01 px.
    """
    truth, mask = (to_scheme(classes, 2) for classes in (label, found))
    row: Row = scores(confusion(truth, mask, 2))
    for name, classes in (("true", truth), ("predicted", mask)):
        count, px = diameters(classes == SKYRMION, min_px)
        row |= {f"objects_{name}": count, f"{name}_px": [round(float(d), 2) for d in px]}
    return row


def diameters(mask: np.ndarray, min_px: int = 4) -> tuple[int, np.ndarray]:
    """Number of objects of a mask (H, W), and diameters in px of those off its border.

    The size of an object that the border cuts is unknown, so it is only counted.

    Parameters
    ----------
    mask : (H, W) bool array
        Mask.
    min_px : int
        Smallest area of an object in px.
    """
    numbers, areas = label_objects(mask, min_px)
    edge = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    inner = np.ones(len(areas) + 1, dtype=bool)
    inner[edge] = False
    return len(areas), equivalent_diameter(areas[inner[1:]])


def summary(rows: Sequence[Row], cell_nm: float | None = None) -> dict[str, Any]:
    """Means over the images, with sample standard deviations.

    Parameters
    ----------
    rows : sequence of dict
        `image_scores` of each image.
    cell_nm : float, optional
        Pixel size in nm; without it diameters are in px.

    Returns
    -------
    dict
        n, {score: {mean, sd}}, `objects` {true, predicted}, and `diameter` {true, predicted} of
        {n, mean, sd} with `wasserstein` and `unit`.
    """
    scale, unit = (1.0, "px") if cell_nm is None else (cell_nm, "nm")
    sizes = {
        name: scale * np.concatenate([np.asarray(row[f"{name}_px"], float) for row in rows])
        for name in ("true", "predicted")
    }
    return {
        "n": len(rows),
        **{score: mean_sd([row[score] for row in rows]) for score in SCORES},
        "objects": {
            name: sum(row[f"objects_{name}"] for row in rows) for name in ("true", "predicted")
        },
        "diameter": {
            **{name: {"n": len(px), **mean_sd(px.tolist())} for name, px in sizes.items()},
            "wasserstein": size_distance(sizes["true"], sizes["predicted"]),
            "unit": unit,
        },
    }


def mean_sd(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation: None without values, no SD for one value.

    Parameters
    ----------
    values : sequence of float
        Values.
    """
    if not len(values):
        return {"mean": None, "sd": None}
    return {"mean": float(np.mean(values)), "sd": spread(values)}


@dataclass(frozen=True)
class Pair:
    """Published image in [0, 1] and its label, both (H, W)."""

    name: str
    image: np.ndarray
    label: np.ndarray


def published_pairs(folder: Path) -> list[Pair]:
    """Pairs of a folder: ``NAME_LTEM.tif`` in [0, 1] and ``NAME_LABEL_th0.98.tif`` of 0 and 1.

    Parameters
    ----------
    folder : Path
        Folder of the published images; a stack of one page counts as an image.

    Returns
    -------
    list of Pair
        Pairs in the order of their names.

    Raises
    ------
    SpinscopeError
        If a label is missing, differs in size or has other values.
    """
    pairs = []
    for path in sorted(Path(folder).glob(f"*{PAIR[0]}")):
        name = path.name.removesuffix(PAIR[0])
        partner = path.with_name(name + PAIR[1])
        if not partner.is_file():
            raise SpinscopeError(f"{path} has no label: {partner.name} is missing")
        image = check_image(_page(path).astype(np.float32), path)
        label = _page(partner)
        if label.shape != image.shape or not np.isin(label, (0, 1)).all():
            raise SpinscopeError(
                f"{partner} must be {image.shape[1]}x{image.shape[0]} pixels of 0 or 1, "
                f"not {label.shape[-1]}x{label.shape[0]} of {label.min():g} to {label.max():g}"
            )
        pairs.append(Pair(name, image, label.astype(np.uint8)))
    return pairs


def measure_pairs(
    predict: Predict,
    pairs: Sequence[Pair],
    noise: float,
    *,
    clipped: bool = False,
    seed: int = 0,
    min_px: int = 4,
) -> list[Row]:
    """Score a model on published images with added noise.

    Parameters
    ----------
    predict : callable
        Model.
    pairs : sequence of Pair
        Images and labels.
    noise : float
        SD of the added noise as a fraction of the mean; the images are noisy already.
    clipped : bool
        Clip the noisy image to [0, 1].
    seed : int
        Seed of the noise.
    min_px : int
        Smallest area of an object in px.

    Returns
    -------
    list of dict
        `image_scores` of each image, with its name as `film`.
    """
    rows = []
    for number, pair in enumerate(pairs):
        rng = np.random.default_rng([seed, number])
        image = noisy(pair.image, noise, rng, clipped=clipped)
        found = predict(image, 0.0)
        rows.append({"film": pair.name, **image_scores(pair.label, found, min_px)})
    return rows


def _page(path: Path) -> np.ndarray:
    """Pixels (H, W) of a TIFF file."""
    try:
        pixels = tifffile.imread(path)
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise SpinscopeError(f"{path} is not a readable TIFF: {error}") from error
    pixels = pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels
    if pixels.ndim != 2:
        raise SpinscopeError(f"{path}: pixels must be (H, W), not of shape {pixels.shape}")
    return pixels
