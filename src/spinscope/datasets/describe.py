"""Datasets set side by side, so that a physicist can judge how alike simulated and real ones are.

Lengths are pixels, intensities are in [0, 1], as the datasets hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import CLASSES, COLOURS, SKYRMION
from spinscope.datasets.dataset import Dataset
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json
from spinscope.images import standardise
from spinscope.pages import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FRAMES = 200
SAMPLES = 4
_BACKGROUND = CLASSES.index("background")
INTENSITIES = (np.arange(0, 257, 4) - 0.5) / 255  # four levels of 8 bit a bin
FREQUENCIES = np.linspace(0, 0.5, 65)

QUANTITIES = {
    "mean": "mean intensity",
    "std": "standard deviation",
    "clipped": "fraction at 0 or 1",
    "gradient": "slope of a plane fitted to the background",
    "noise": "noise, standard deviation of a pixel",
    "contrast": "skyrmion minus surrounding background",
    "cnr": "contrast to noise ratio of the skyrmions",
    "objects": "skyrmions a frame",
    "density": "skyrmions on 10⁴ pixels of film",
    "diameter": "diameter of a skyrmion of the same area, median",
    "diameter_spread": "standard deviation of the diameters over their mean",
    "neighbour": "distance to the nearest skyrmion, median",
    **{name: f"area fraction: {name}" for name in CLASSES},
}
"""What is measured of every frame, and what it is called."""


@dataclass(frozen=True)
class Portrait:
    """What was measured of one dataset, n frames in all.

    values : quantity → (n,), NaN where a frame has none.   diameters : of every skyrmion.
    histogram : (n, 64) density of intensity.   spectrum : (n, 64) radial power of the standardised
    frame over spatial frequency to 0.5 a pixel.   samples : (image, label) of a few frames.
    """

    values: dict[str, np.ndarray]
    diameters: np.ndarray
    histogram: np.ndarray
    spectrum: np.ndarray
    samples: tuple[tuple[np.ndarray, np.ndarray], ...]


def describe(
    datasets: Mapping[str, Dataset],
    out: Path | str,
    *,
    max_frames: int = MAX_FRAMES,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> dict[str, Any]:
    """Measure every dataset and set them side by side on a page of static HTML.

    datasets : by the name to show; the others are held against the first, which is best the real.
    out : folder for `index.html`, its pictures and `describe.json`, which is returned, too: per
    dataset `n_frames`, `n_sources` and for every quantity mean, p05, p95 and `within`, the fraction
    of frames within the first dataset's 5 to 95 % (0.9 for a perfect likeness).
    At most `max_frames` frames, evenly chosen, are read of each.
    """
    if not datasets or not all(len(dataset) for dataset in datasets.values()):
        raise SpinscopeError("describe needs at least one dataset, each with a frame in it")
    out = Path(out)
    portraits = {
        name: measure_dataset(dataset, max_frames, name=name, progress=progress)
        for name, dataset in datasets.items()
    }
    reference = next(iter(portraits.values()))
    summary = {
        name: {
            "path": datasets[name].path.name,
            "n_frames": len(datasets[name]),
            "n_sources": len(datasets[name].sources),
            "quantities": {
                key: compared(portrait.values[key], reference.values[key]) for key in QUANTITIES
            },
        }
        for name, portrait in portraits.items()
    }
    figures = {
        "samples.png": (_draw_samples(portraits), "Frames drawn evenly from each, with labels."),
        "intensity.png": (_draw_intensity(portraits), "Intensities and power spectra: mean over "
                          "the frames, and where 5 to 95 % of them lie."),
        "distributions.png": (_draw_distributions(portraits), "One value a frame."),
    }  # fmt: skip
    for name, (figure, _) in figures.items():
        with atomic_file(out / name) as partial:
            figure.savefig(partial, format="png", dpi=110)
    with atomic_file(out / "index.html") as partial:
        partial.write_text(_page(summary, {name: text for name, (_, text) in figures.items()}))
    write_json(out / "describe.json", summary)
    return summary


def noise_level(image: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise of a pixel, where `mask` is set.

    .. math:: \\sigma = \\sqrt{\\pi/2} \\; \\langle |I * L| \\rangle / 6,\\quad
              L = (1, -2, 1)^T (1, -2, 1)

    It sees noise that is independent from pixel to pixel, and neither planes nor slow waves.
    NaN where the mask is empty.
    Source: Immerkær, Comput. Vis. Image Underst. 64, 300 (1996).
    """
    from scipy import ndimage

    second = np.array([1.0, -2.0, 1.0])
    curved = ndimage.convolve1d(image.astype(np.float64), second, axis=0, mode="reflect")
    curved = ndimage.convolve1d(curved, second, axis=1, mode="reflect")
    return float(np.sqrt(np.pi / 2) * np.abs(curved[mask]).mean() / 6) if mask.any() else np.nan


def radial_spectrum(image: np.ndarray) -> np.ndarray:
    """Power of the standardised frame over spatial frequency, in 64 rings up to 0.5 a pixel.

    With a Hann window; white noise of unit variance has power 1 in every ring.
    """
    from scipy import fft

    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(fft.rfft2(standardise(image) * window)) ** 2 / (window**2).sum()
    radius = np.hypot(fft.fftfreq(image.shape[0])[:, None], fft.rfftfreq(image.shape[1])[None, :])
    ring = (radius * 128).astype(int).ravel()
    total = np.bincount(ring, power.ravel(), minlength=64)[:64]
    count = np.bincount(ring, minlength=64)[:64]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def measure_frame(image: np.ndarray, label: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """The `QUANTITIES` of one frame, and the diameters of its skyrmions."""
    from scipy import ndimage
    from scipy.spatial import cKDTree

    mask = label == SKYRMION
    film = mask | (label == _BACKGROUND)
    # Background away from every border, where the blur of a wall does not reach.
    clear = ndimage.binary_erosion(label == _BACKGROUND, iterations=2)
    near = ndimage.binary_dilation(mask, iterations=8) & clear
    core = ndimage.binary_erosion(mask, iterations=1)
    core = core if core.any() else mask
    noise = noise_level(image, clear)
    contrast = image[core].mean() - image[near].mean() if mask.any() and near.any() else np.nan

    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    indices = np.arange(1, count + 1)
    diameters = 2 * np.sqrt(np.bincount(regions.ravel(), minlength=count + 1)[1:] / np.pi)
    neighbour = np.nan
    if count > 1:
        centres = np.array(ndimage.center_of_mass(mask, regions, indices))
        neighbour = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    y, x = (grid / max(image.shape) for grid in np.mgrid[: image.shape[0], : image.shape[1]])
    slope = _slope(image[clear], y[clear], x[clear])
    values = {
        "mean": image.mean(),
        "std": image.std(),
        "clipped": ((image <= 0) | (image >= 1)).mean(),
        "gradient": slope,
        "noise": noise,
        "contrast": contrast,
        "cnr": abs(contrast) / noise if noise > 0 else np.nan,
        "objects": count,
        "density": 1e4 * count / film.sum() if film.any() else np.nan,
        "diameter": np.median(diameters) if count else np.nan,
        "diameter_spread": diameters.std() / diameters.mean() if count else np.nan,
        "neighbour": neighbour,
        **{name: (label == index).mean() for index, name in enumerate(CLASSES)},
    }
    return {key: float(value) for key, value in values.items()}, diameters


def _slope(values: np.ndarray, y: np.ndarray, x: np.ndarray) -> float:
    """Steepness of the plane fitted to the values, by its normal equations; NaN without a plane."""
    if len(values) < 3:
        return np.nan
    centred = np.stack([y - y.mean(), x - x.mean()])
    slopes = np.linalg.pinv(centred @ centred.T) @ (centred @ (values - values.mean()))
    return float(np.hypot(*slopes))


def measure_dataset(
    dataset: Dataset,
    max_frames: int = MAX_FRAMES,
    *,
    name: str = "frames",
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Portrait:
    """Measure at most `max_frames` frames of a dataset, evenly chosen."""
    chosen = _evenly(len(dataset), max_frames)

    def measured(index: int) -> tuple:
        image, label = dataset.image(index), dataset.label(index)
        histogram, _ = np.histogram(image, INTENSITIES, density=True)
        return *measure_frame(image, label), histogram, radial_spectrum(image)

    with ThreadPoolExecutor(2) as pool:
        results = list(progress(pool.map(measured, chosen), total=len(chosen), desc=name))
    values, diameters, histograms, spectra = zip(*results, strict=True)
    return Portrait(
        values={key: np.array([value[key] for value in values]) for key in QUANTITIES},
        diameters=np.concatenate(diameters),
        histogram=np.stack(histograms),
        spectrum=np.stack(spectra),
        samples=tuple((dataset.image(i), dataset.label(i)) for i in _evenly(len(dataset), SAMPLES)),
    )


def _evenly(n: int, at_most: int) -> list[int]:
    """Indices of at most `at_most` of n frames, evenly spread.

    >>> _evenly(10, 3)
    [1, 5, 8]
    """
    k = min(n, at_most)
    return [int((i + 0.5) * n / k) for i in range(k)]


def compared(values: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """Mean, p05 and p95 of finite values, and the fraction `within` the reference's 5 to 95 %.

    None where there are no values.
    """
    values, reference = (v[np.isfinite(v)] for v in (values, reference))
    if not len(values):
        return {"mean": None, "p05": None, "p95": None, "within": None}
    p05, p95 = np.percentile(values, [5, 95])
    within = None
    if len(reference):
        low, high = np.percentile(reference, [5, 95])
        within = float(((values >= low) & (values <= high)).mean())
    return {"mean": float(values.mean()), "p05": float(p05), "p95": float(p95), "within": within}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_samples(portraits: Mapping[str, Portrait]) -> Figure:
    figure = _figure(3.2 * SAMPLES, 5.0 * len(portraits))
    parts = np.atleast_1d(figure.subfigures(len(portraits), 1))
    for part, (name, portrait) in zip(parts, portraits.items(), strict=True):
        part.suptitle(name)
        axes = part.subplots(2, SAMPLES, squeeze=False)
        for column in axes.T:
            for ax in column:
                ax.set_axis_off()
        for column, (image, label) in zip(axes.T, portrait.samples, strict=False):
            column[0].imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
            column[1].imshow(COLOURS[label], interpolation="nearest")
    return figure


def _draw_intensity(portraits: Mapping[str, Portrait]) -> Figure:
    figure = _figure(12, 4.2)
    left, right = figure.subplots(1, 2)
    for number, (name, portrait) in enumerate(portraits.items()):
        _band(left, INTENSITIES, portrait.histogram, name, f"C{number}")
        _band(right, FREQUENCIES, portrait.spectrum, name, f"C{number}")
    left.set(xlabel="intensity", ylabel="density", xlim=(0, 1), ylim=(0, None))
    right.set(xlabel="spatial frequency (1/pixel)", ylabel="power", yscale="log", xlim=(0, 0.5))
    left.legend(frameon=False)
    return figure


def _band(ax: Any, edges: np.ndarray, rows: np.ndarray, name: str, colour: str) -> None:
    seen = np.isfinite(rows).any(axis=0)
    middle, rows = ((edges[:-1] + edges[1:]) / 2)[seen], rows[:, seen]
    low, high = np.nanpercentile(rows, [5, 95], axis=0)
    ax.fill_between(middle, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(middle, np.nanmean(rows, axis=0), color=colour, label=name)


def _draw_distributions(portraits: Mapping[str, Portrait]) -> Figure:
    panels = {
        **{key: {n: p.values[key] for n, p in portraits.items()} for key in QUANTITIES},
        "diameters": {name: portrait.diameters for name, portrait in portraits.items()},
    }
    titles = {**QUANTITIES, "diameters": "diameter of every skyrmion"}
    columns = 4
    rows = -(-len(panels) // columns)
    figure = _figure(3.3 * columns, 2.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (key, values) in zip(axes, panels.items(), strict=False):
        finite = {name: v[np.isfinite(v)] for name, v in values.items()}
        everything = np.concatenate(list(finite.values()))
        low, high = np.percentile(everything, [0, 99]) if len(everything) else (0, 1)
        edges = np.linspace(low, high if high > low else low + 1e-3, 25)
        for number, (name, v) in enumerate(finite.items()):
            # Fractions of the frames, so that datasets of different lengths compare.
            weights = np.full(len(v), 1 / max(len(v), 1))
            ax.hist(np.clip(v, *edges[[0, -1]]), edges, weights=weights, histtype="stepfilled",
                    alpha=0.45, color=f"C{number}", label=name)  # fmt: skip
        ax.set_title(titles[key], fontsize=8)
        ax.locator_params(nbins=5)
        ax.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _number(value: float | None) -> str:
    """Three significant digits, or a dash for a missing value."""
    return "–" if value is None else f"{float(f'{value:.3g}'):g}"


def _page(summary: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """The page: samples, distributions and a table of the quantities."""
    header, rows = ["quantity"], [[title] for title in QUANTITIES.values()]
    for number, (name, measured) in enumerate(summary.items()):
        header += [f"{name}: mean", "5 %", "95 %"] + ["within %"] * bool(number)
        for row, cell in zip(rows, measured["quantities"].values(), strict=True):
            row += [cell["mean"], cell["p05"], cell["p95"]]
            if number:
                row.append(cell["within"] and 100 * cell["within"])
    return render(
        "description.html",
        title=" and ".join(summary),
        summary=summary,
        figures=figures,
        header=header,
        rows=rows,
        number=_number,
    )
