"""Comparison of datasets: statistics of simulated and real frames on one page.

Lengths are in pixels, intensities in [0, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.classes import BACKGROUND, CLASSES, COLOURS, SKYRMION
from spinscope.datasets.dataset import Dataset
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, exclusive, write_json
from spinscope.images import standardise
from spinscope.pages import render
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FRAMES = 200
SAMPLES = 4

INTENSITIES = (np.arange(0, 257, 4) - 0.5) / 255
"""Edges of the bins of intensity, four grey levels of 8 bit each."""

FREQUENCIES = np.linspace(0, 0.5, 65)
"""Edges of the bins of spatial frequency, cycles per pixel."""

QUANTITIES = {
    "mean": "mean intensity",
    "std": "standard deviation",
    "clipped": "fraction at 0 or 1",
    "gradient": "slope of a plane fitted to the background",
    "noise": "noise, standard deviation of a pixel",
    "contrast": "skyrmion minus surrounding background",
    "cnr": "contrast to noise ratio of the skyrmions",
    "objects": "skyrmions per frame",
    "density": "skyrmions per 10⁴ pixels of film",
    "diameter": "diameter of a skyrmion of the same area, median",
    "diameter_spread": "standard deviation of the diameters over their mean",
    "neighbour": "distance to the nearest skyrmion, median",
    **{name: f"area fraction: {name}" for name in CLASSES},
}
"""Quantities measured on every frame, and their titles."""

CAPTIONS = {
    "samples.png": "Frames chosen evenly from each dataset, with labels.",
    "intensity.png": "Intensities and power spectra: mean over the frames, and range from the 5 % "
    "to the 95 % quantile.",
    "distributions.png": "One value per frame.",
}
"""Figures of the page and their captions."""


@dataclass(frozen=True)
class Portrait:
    """Statistics of n frames of a dataset."""

    values: dict[str, np.ndarray]
    """Quantity → (n,) values, NaN where a frame has none."""
    diameters: np.ndarray
    """Diameter of every skyrmion."""
    histogram: np.ndarray
    """Density of the intensity, (n, 64)."""
    spectrum: np.ndarray
    """Radial power spectrum of the standardised frames, (n, 64)."""
    samples: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Image and label of a few frames."""

    def to_dict(self) -> dict[str, Any]:
        """Statistics as lists, without samples and single skyrmions; NaN where a frame has none."""
        return {
            "values": {key: array.tolist() for key, array in self.values.items()},
            "histogram": self.histogram.tolist(),
            "spectrum": self.spectrum.tolist(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Portrait:
        """Statistics that `to_dict` gave; None counts as NaN."""
        array = functools.partial(np.array, dtype=float)
        return cls(
            values={key: array(values) for key, values in stored["values"].items()},
            diameters=np.empty(0),
            histogram=array(stored["histogram"]),
            spectrum=array(stored["spectrum"]),
            samples=(),
        )


@exclusive("out")
def describe(
    datasets: Mapping[str, Dataset],
    out: Path | str,
    *,
    max_frames: int = MAX_FRAMES,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure datasets and compare them on a static HTML page.

    Parameters
    ----------
    datasets : mapping
        Datasets by the name to show. The others are compared with the first, best the real one.
    out : Path
        Folder for index.html, its figures and describe.json.
    max_frames : int, default 200
        Frames read of each dataset at most, evenly chosen.
    progress : callable
        Wraps the frames.

    Returns
    -------
    dict
        Contents of describe.json: per dataset ``n_frames``, ``n_sources`` and, per quantity, the
        values of `compared` with the first dataset.

    Raises
    ------
    SpinscopeError
        If there is no dataset, or one without frames.
    """
    if not datasets or not all(len(dataset) for dataset in datasets.values()):
        raise SpinscopeError("describe needs at least one dataset, each with a frame in it")
    out = Path(out)
    portraits = {
        name: measure_dataset(dataset, max_frames, name=name, progress=progress)
        for name, dataset in datasets.items()
    }
    reference = next(iter(portraits.values())).values
    summary = {
        name: {
            "path": datasets[name].path.name,
            "n_frames": len(datasets[name]),
            "n_sources": len(datasets[name].sources),
            "quantities": {
                key: compared(portrait.values[key], reference[key]) for key in QUANTITIES
            },
        }
        for name, portrait in portraits.items()
    }
    for name, draw in zip(
        CAPTIONS, (_draw_samples, _draw_intensity, _draw_distributions), strict=True
    ):
        with atomic_file(out / name) as partial:
            draw(portraits).savefig(partial, format="png", dpi=110)
    with atomic_file(out / "index.html") as partial:
        partial.write_text(_page(summary))
    write_json(out / "describe.json", summary)
    return summary


def noise_level(image: np.ndarray, mask: np.ndarray) -> float:
    r"""Estimate the noise of an image from its second differences (Immerkær's method).

    .. math:: \sigma = \sqrt{\pi/2} \; \langle |I * L| \rangle / 6,\quad
              L = (1, -2, 1)^T (1, -2, 1)

    The estimate is insensitive to planes and slow waves.

    Parameters
    ----------
    image : (H, W) array
        Intensity with noise that is independent from pixel to pixel.
    mask : (H, W) bool array
        Pixels to average over.

    Returns
    -------
    float
        Standard deviation of a pixel; NaN for an empty mask.

    References
    ----------
    Immerkær, Comput. Vis. Image Underst. 64, 300 (1996).
    """
    from scipy import ndimage

    second = np.array([1.0, -2.0, 1.0])
    curved = ndimage.convolve1d(image.astype(np.float64), second, axis=0, mode="reflect")
    curved = ndimage.convolve1d(curved, second, axis=1, mode="reflect")
    return float(np.sqrt(np.pi / 2) * np.abs(curved[mask]).mean() / 6) if mask.any() else np.nan


def radial_spectrum(image: np.ndarray) -> np.ndarray:
    """Radial power spectrum of a standardised image under a Hann window.

    Parameters
    ----------
    image : (H, W) array
        Intensity.

    Returns
    -------
    (64,) array
        Power in the bins of `FREQUENCIES`; 1 for white noise of unit variance.
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
    """Measure the `QUANTITIES` of a frame and the diameters of its skyrmions.

    Parameters
    ----------
    image : (H, W) array
        Intensity in [0, 1].
    label : (H, W) uint8 array
        Class indices.

    Returns
    -------
    dict, (n,) array
        Value of each quantity, NaN if the frame has none; diameters in pixels.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree

    mask = label == SKYRMION
    film = mask | (label == BACKGROUND)
    # Background away from all borders, beyond the blur of a domain wall.
    clear = ndimage.binary_erosion(label == BACKGROUND, iterations=2)
    near = ndimage.binary_dilation(mask, iterations=8) & clear
    core = ndimage.binary_erosion(mask, iterations=1)
    core = core if core.any() else mask
    noise = noise_level(image, clear)
    contrast = image[core].mean() - image[near].mean() if mask.any() and near.any() else np.nan

    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    diameters = 2 * np.sqrt(np.bincount(regions.ravel(), minlength=count + 1)[1:] / np.pi)
    neighbour = np.nan
    if count > 1:
        centres = np.array(ndimage.center_of_mass(mask, regions, np.arange(1, count + 1)))
        neighbour = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    y, x = (grid / max(image.shape) for grid in np.mgrid[: image.shape[0], : image.shape[1]])
    values = {
        "mean": image.mean(),
        "std": image.std(),
        "clipped": ((image <= 0) | (image >= 1)).mean(),
        "gradient": _slope(image[clear], y[clear], x[clear]),
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
    """Slope of the plane fitted to values at points (y, x), by normal equations."""
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
    progress: Progress = no_progress,
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
    """Indices of at most `at_most` of n frames, evenly spaced.

    >>> _evenly(10, 3)
    [1, 5, 8]
    """
    k = min(n, at_most)
    return [int((i + 0.5) * n / k) for i in range(k)]


def compared(values: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """Compare the values of a quantity with those of a reference; NaN are ignored.

    Returns
    -------
    dict
        ``mean``, ``p05`` and ``p95`` of the values, and ``within``, the fraction of them between
        the 5 % and 95 % quantiles of the reference (0.9 for the same distribution). None without
        values.
    """
    values, reference = (v[np.isfinite(v)] for v in (values, reference))
    if not len(values):
        return dict.fromkeys(("mean", "p05", "p95", "within"))
    p05, p95 = np.percentile(values, [5, 95])
    within = None
    if len(reference):
        low, high = np.percentile(reference, [5, 95])
        within = float(((values >= low) & (values <= high)).mean())
    return {"mean": float(values.mean()), "p05": float(p05), "p95": float(p95), "within": within}


def _figure(width: float, height: float) -> Figure:
    """Figure without a window, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _draw_samples(portraits: Mapping[str, Portrait]) -> Figure:
    """Sample frames of each dataset above their labels."""
    figure = _figure(3.2 * SAMPLES, 5.0 * len(portraits))
    panels = np.atleast_1d(figure.subfigures(len(portraits), 1))
    for panel, (name, portrait) in zip(panels, portraits.items(), strict=True):
        panel.suptitle(name)
        axes = panel.subplots(2, SAMPLES, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for (above, below), (image, label) in zip(axes.T, portrait.samples, strict=False):
            above.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
            below.imshow(COLOURS[label], interpolation="nearest")
    return figure


def _draw_intensity(portraits: Mapping[str, Portrait]) -> Figure:
    """Histogram of the intensity and power spectrum of each dataset."""
    figure = _figure(12, 4.2)
    left, right = figure.subplots(1, 2)
    for number, (name, portrait) in enumerate(portraits.items()):
        _draw_band(left, INTENSITIES, portrait.histogram, name, f"C{number}")
        _draw_band(right, FREQUENCIES, portrait.spectrum, name, f"C{number}")
    left.set(xlabel="intensity", ylabel="density", xlim=(0, 1), ylim=(0, None))
    right.set(xlabel="spatial frequency (1/pixel)", ylabel="power", yscale="log", xlim=(0, 0.5))
    left.legend(frameon=False)
    return figure


def band(edges: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Mean of a curve over the frames and its 5 to 95 % range, at bins with any finite value.

    Parameters
    ----------
    edges : (n + 1,) array
        Edges of the bins.
    rows : (frames, n) array
        Curve of each frame; NaN where it is not defined.

    Returns
    -------
    dict of (m,) arrays
        Middle of the bins `x`, mean `y`, and the limits `low` and `high`.
    """
    finite = np.isfinite(rows).any(axis=0)
    rows = rows[:, finite]
    low, high = np.nanpercentile(rows, [5, 95], axis=0)
    middle = ((edges[:-1] + edges[1:]) / 2)[finite]
    return {"x": middle, "y": np.nanmean(rows, axis=0), "low": low, "high": high}


def _draw_band(ax: Any, edges: np.ndarray, rows: np.ndarray, name: str, colour: str) -> None:
    """Mean over the rows, and range from the 5 % to the 95 % quantile."""
    curve = band(edges, rows)
    ax.fill_between(curve["x"], curve["low"], curve["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(curve["x"], curve["y"], color=colour, label=name)


def _draw_distributions(portraits: Mapping[str, Portrait]) -> Figure:
    """Histograms of every quantity, and of the diameters of all skyrmions."""
    panels = {
        **{title: [p.values[key] for p in portraits.values()] for key, title in QUANTITIES.items()},
        "diameter of every skyrmion": [portrait.diameters for portrait in portraits.values()],
    }
    columns = 4
    rows = -(-len(panels) // columns)
    figure = _figure(3.3 * columns, 2.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, values) in zip(axes, panels.items(), strict=False):
        values = [v[np.isfinite(v)] for v in values]
        everything = np.concatenate(values)
        low, high = np.percentile(everything, [0, 99]) if len(everything) else (0, 1)
        edges = np.linspace(low, high if high > low else low + 1e-3, 25)
        for number, (name, v) in enumerate(zip(portraits, values, strict=True)):
            # Fractions of the frames, so that datasets of different lengths are comparable.
            weights = np.full(len(v), 1 / max(len(v), 1))
            ax.hist(np.clip(v, *edges[[0, -1]]), edges, weights=weights, histtype="stepfilled",
                    alpha=0.45, color=f"C{number}", label=name)  # fmt: skip
        ax.set_title(title, fontsize=8)
        ax.locator_params(nbins=5)
        ax.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _number(value: float | None) -> str:
    """Three significant digits, or a dash for a missing value."""
    return "–" if value is None else f"{float(f'{value:.3g}'):g}"


def _page(summary: Mapping[str, Any]) -> str:
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
        figures=CAPTIONS,
        header=header,
        rows=rows,
        number=_number,
    )
