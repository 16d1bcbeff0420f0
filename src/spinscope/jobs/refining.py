r"""Closed loop from an image to a magnetic parameter: relax films, render them, compare.

Films are relaxed at a few values of the parameter around an estimate and rendered with the field of
view, grey levels, blur and noise of the image. Image and rendered views are described by the same
numbers: estimate of the network, domain width and two-point correlation. Over the rendered views
these numbers are a polynomial of the parameter with Gaussian scatter, which gives the likelihood of
those of the image (a synthetic likelihood), and with a uniform prior over the training range the
posterior of the parameter. As the network's estimate is calibrated by films that are seen as the
image is, its bias at a scale, blur or noise that was not trained is corrected.

References
----------
Wood, Nature 466, 1102 (2010): synthetic likelihood. Price et al., J. Comput. Graph. Stat. 27, 1
(2018): its posterior with few simulations.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from pydantic import ValidationError
from scipy import integrate, ndimage, stats

from spinscope.analysis.domains import correlation, signs
from spinscope.config import Domains, DomainSet
from spinscope.corpora.domains import corpus_header, draw_domain, film_row, relaxed_domains
from spinscope.errors import SpinscopeError
from spinscope.files import digest, kept
from spinscope.physics.domain_images import degraded, kerr_image, view
from spinscope.progress import Progress, no_progress

Measure = Callable[[np.ndarray, float], float]
"""Function of an image (H, W) and its pixel size in m that estimates the parameter in SI units."""

STEPS = 15
"""Intervals between the values of the parameter at which films are relaxed."""
FILMS = 4
"""Films relaxed at each value, fewer where a film is larger than two fields of view."""
_SEED = 20_240_812  # of the films, which no corpus has
_VIEWS = 9  # largest number of views of a film
_ROUNDS = 8
_EDGE = 0.05  # density at an end of the search, relative to its peak, above which it goes on
_FEWEST_SHARE = 0.02  # of the area that each kind of domain covers in a compared view
_BLURS = (0.0, 0.7, 1.5, 2.5, 4.0)  # px
_SAME, _SAME_BLUR = 0.02, 0.2  # differences of grey levels, in units of the contrast, and px
_NOISIEST = 0.7  # largest noise of an image with domains, in units of their contrast
_COMPONENTS = 2  # principal components of the correlation that are compared
_FEWEST = 9  # views from which the scatter cannot be estimated
_GRID = 201


@dataclass(frozen=True)
class FilmBank:
    """Relaxed films at fixed values of a parameter, each relaxed once and then read from a file.

    Parameters
    ----------
    parameter : {"dmi", "ms"}
    settings : Domains
        Material and grid of the films.
    count : int, default 4
        Films at each value.
    folder : Path, optional
        By default `spinscope/films` in the cache folder of the platform.
    """

    parameter: str
    settings: Domains
    count: int = FILMS
    folder: Path = field(default_factory=lambda: user_cache_path("spinscope") / "films")

    @classmethod
    def of_corpus(cls, header: Mapping[str, Any], side: float | None = None) -> FilmBank:
        """Films like those of a corpus.

        Parameters
        ----------
        header : mapping
            Header of a corpus of domain films, as a model stores it.
        side : float, optional
            Field of view in m; the views of a film count as films.

        Raises
        ------
        SpinscopeError
            If it does not describe a corpus of domain films.
        """
        try:
            ranges = DomainSet(**{key: header[key] for key in DomainSet.model_fields})
            ours = {"n": FILMS, "shard_films": FILMS}
            decisive = {key: header[key] for key in Domains.model_fields if key in header}
            settings = Domains(**(decisive | ours), sets={header["parameter"]: ranges})
        except (KeyError, ValidationError) as error:
            raise SpinscopeError(
                "the model does not describe the films that it was trained on, so an estimate "
                "cannot be refined"
            ) from error
        bank = cls(header["parameter"], settings)
        views = 1 if side is None else separate_views(bank.side, side) ** 2
        return replace(bank, count=max(1, FILMS // views))

    @property
    def values(self) -> np.ndarray:
        """Values of the parameter, `STEPS` + 1 over the training range, SI units."""
        return np.linspace(*getattr(self.settings.sets[self.parameter], self.parameter), STEPS + 1)

    @property
    def cell(self) -> float:
        """Edge of a cell, m."""
        return self.settings.cell_nm * 1e-9

    @property
    def side(self) -> float:
        """Side of a film, m."""
        return self.settings.sets[self.parameter].size * self.cell

    def films(self, node: int) -> np.ndarray:
        """Return m_z of the films at the value `node`, (n, H, W) float32 in [-1, 1].

        Films that do not converge or are saturated are left out, as in a corpus.

        Raises
        ------
        SpinscopeError
            If they must be relaxed and the extra ``sim`` is missing.
        """
        files = {}
        for number in range(node * FILMS, node * FILMS + self.count):
            key = {**corpus_header(self.parameter, _SEED, self.settings), "number": number,
                   "value": float(f"{self.values[node]:.6g}")}  # fmt: skip
            files[number] = self.folder / f"{digest(key)}.json", key
        missing = [number for number, (path, _) in files.items() if not path.is_file()]
        relaxed = self._relaxed(missing, float(self.values[node])) if missing else {}
        stored = [kept(*file, lambda n=number: relaxed[n]) for number, file in files.items()]
        found = [
            np.frombuffer(zlib.decompress(base64.b64decode(levels)), np.uint8)
            for levels in stored
            if levels
        ]
        size = self.settings.sets[self.parameter].size
        films = np.array(found, np.float32).reshape(-1, size, size)
        return films * np.float32(2 / 255) - 1

    def _relaxed(self, numbers: Sequence[int], value: float) -> dict[int, str]:
        """Relax films of a value; returns the levels of each as text, empty if it is left out."""
        draws = (
            draw_domain(number, _SEED, self.parameter, self.settings, value=value)
            for number in numbers
        )
        films = {}
        for film in relaxed_domains(draws, self.parameter, self.settings):
            row, m_z = film_row(*film)
            good = row["converged"] and not row["saturated"]
            levels = base64.b64encode(zlib.compress(m_z.tobytes())).decode() if good else ""
            films[row["number"]] = levels
        return films


def separate_views(side: float, view_side: float) -> int:
    """Views of a side that fit beside each other on a film of another side."""
    return max(1, int(side / view_side * (1 + 1e-9)))


@dataclass(frozen=True)
class Residual:
    """Difference between an image and films of one value of the parameter."""

    width: float
    """Domain width of the films over that of the image, minus 1."""
    correlation: float
    """Root mean square of the difference of the two-point correlations."""


@dataclass(frozen=True)
class Refined:
    """Result of the closed loop; the parameter is in SI units, lengths are in m."""

    value: float
    """Mean of the posterior."""
    sd: float
    low: float
    """5 % quantile of the posterior."""
    high: float
    """95 % quantile of the posterior."""
    values: np.ndarray
    """Values of the parameter, (n,)."""
    density: np.ndarray
    """Posterior at `values`, (n,); its integral is 1."""
    before: Residual
    """Residual at the first estimate."""
    after: Residual
    """Residual at `value`."""
    probability: float
    """Probability of a difference as large as that at `value` if the image shows such a film."""
    r: np.ndarray
    """Distances of the correlations, (m,)."""
    curves: Mapping[str, np.ndarray]
    """Two-point correlations (m,) of the image, and of films "before" and "after"."""
    views: Mapping[str, np.ndarray]
    """Compared tile of the image, and most similar views of films "before" and "after"."""
    conditions: Conditions
    """Grey levels, noise and blur of the rendered views."""
    films: int
    """Number of relaxed films."""

    @property
    def summary(self) -> dict[str, Any]:
        """Numbers that JSON can hold, the parameter in SI units."""
        conditions = self.conditions
        return {
            "value": self.value, "sd": self.sd, "interval": [self.low, self.high],
            **{
                f"{name}_residual_{when}": round(getattr(getattr(self, when), name), 4)
                for name in ("width", "correlation")
                for when in ("before", "after")
            },
            "probability": float(f"{self.probability:.3g}"),
            "blur_px": conditions.blur_px,
            "noise": round(conditions.noise, 4),
            "films": self.films,
        }  # fmt: skip


@dataclass(frozen=True)
class Conditions:
    """Grey levels, noise and blur with which films are rendered like an image."""

    low: float
    """Grey level of domains with m_z = -1."""
    high: float
    """Grey level of domains with m_z = +1."""
    noise: float
    """Standard deviation of the noise, grey levels."""
    blur_px: float = 0.0
    """Standard deviation of the blur, px."""

    def like(self, other: Conditions) -> bool:
        """Whether other conditions differ by less than their uncertainty."""
        contrast = self.high - self.low
        differences = (self.low - other.low, self.high - other.high, self.noise - other.noise)
        levels = max(map(abs, differences)) < _SAME * contrast
        return levels and abs(self.blur_px - other.blur_px) < _SAME_BLUR

    def rendered(self, m_z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Image of a view (n, n) of m_z."""
        contrast = self.high - self.low
        image = degraded(
            kerr_image(m_z), rng, blur_px=self.blur_px, noise=self.noise / contrast,
            contrast=contrast,
        )  # fmt: skip
        return np.clip(image + np.float32((self.low + self.high) / 2 - 0.5), 0, 1)


def conditions_of(tiles: np.ndarray, views: Sequence[np.ndarray], pixel_size: float) -> Conditions:
    """Conditions under which views of films look like the tiles of an image.

    Blur and contrast are those with which the views have the walls and the contrast (`signs`) that
    the tiles have.

    Parameters
    ----------
    tiles : (n, p, p) array
        Tiles in [0, 1] that show domains.
    views : sequence of (p, p) arrays
        m_z of films that show domains about as wide.
    pixel_size : float
        In m.
    """
    wall, seen, noise = _looks(tiles, pixel_size)
    rng, looks = np.random.default_rng(_SEED), []
    for blur in _BLURS:
        trial = Conditions(0.5 - seen / 2, 0.5 + seen / 2, noise * seen, blur)
        looks.append(_looks([trial.rendered(m_z, rng) for m_z in views[:_VIEWS]], pixel_size)[:2])
    walls, contrasts = np.transpose(looks)
    blur = float(np.interp(wall, np.maximum.accumulate(walls), _BLURS))
    contrast = seen**2 / float(np.interp(blur, _BLURS, contrasts))
    middle = float(np.mean([_middle(tile, contrast) for tile in tiles]))
    low, high = middle - contrast / 2, middle + contrast / 2
    return Conditions(low, high, noise * seen, round(blur, 2))


def _looks(images: Sequence[np.ndarray], pixel_size: float) -> tuple[float, float, float]:
    """Mean width of the walls in m, contrast, and noise in units of it."""
    found = [signs(image, pixel_size) for image in images]
    return tuple(
        float(np.mean([getattr(s, k) for s in found])) for k in ("wall", "contrast", "noise")
    )


def _middle(image: np.ndarray, contrast: float) -> float:
    """Grey level between two kinds of domains, from their shares of the area."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image.astype(np.float64), 1)
    return float(image.mean() - contrast * (np.mean(smooth > threshold_otsu(smooth)) - 0.5))


def refine(
    tiles: np.ndarray,
    pixel_size: float,
    estimate: tuple[float, float],
    measure: Measure,
    bank: FilmBank,
    *,
    progress: Progress = no_progress,
) -> Refined:
    """Refine an estimate of a magnetic parameter by films that are relaxed at and around it.

    The search starts with at least five values, up to two SD on either side of the estimate. While
    the posterior at an end of these values is not small, it continues beyond that end.

    Parameters
    ----------
    tiles : (n, p, p) array
        Square tiles of an image in [0, 1], no larger than a film.
    pixel_size : float
        In m.
    estimate : (float, float)
        Value and SD, SI units.
    measure : callable
        Estimate of the network.
    bank : FilmBank
        Films.
    progress : callable, optional
        Wraps the values of the parameter at which films are relaxed.

    Raises
    ------
    SpinscopeError
        If the tiles show no domains, or films must be relaxed and the extra ``sim`` is missing.
    """
    loop = _Loop(tiles, pixel_size, measure, bank)
    values = bank.values
    step = values[1] - values[0]
    centre = int(np.clip(np.rint((estimate[0] - values[0]) / step), 2, STEPS - 2))
    reach = int(np.clip(np.ceil(2 * estimate[1] / step), 2, 4))
    wanted, likely = range(centre - reach, centre + reach + 1), estimate[0]
    for _ in range(_ROUNDS):
        wanted = [node for node in wanted if 0 <= node <= STEPS and node not in loop.nodes]
        if not wanted:
            break
        for node in progress(wanted, desc="films", unit="value"):
            loop.add(node)
        loop.render(likely)
        grid, density = loop.posterior()
        likely = float(grid[density.argmax()])
        left, right = (bool(density[end] > _EDGE * density.max()) for end in (0, -1))
        first, last = min(loop.nodes), max(loop.nodes)
        wanted = [first - 2, first - 1] * left + [last + 1, last + 2] * right
    loop.render(likely)
    return loop.result(estimate[0])


class _Loop:
    """Films compared with an image so far."""

    def __init__(self, tiles: np.ndarray, pixel_size: float, measure: Measure, bank: FilmBank):
        self.pixel_size, self.measure, self.bank = pixel_size, measure, bank
        self.side = tiles.shape[1] * pixel_size
        self.films = 0
        self.conditions: Conditions | None = None
        self.nodes: dict[int, list[np.ndarray]] = {}
        """m_z of the views of the films at each value."""
        self.rows: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
        """Value, numbers, correlation and image of each rendered view that shows domains."""
        described = [(tile, self.described(tile)) for tile in tiles]
        self.tiles = np.array([tile for tile, found in described if found is not None])
        if not len(self.tiles):
            raise SpinscopeError("the image shows no domains; films cannot be compared with it")
        numbers, curves = zip(*(found for _, found in described if found), strict=True)
        self.numbers, self.curve = np.mean(numbers, axis=0), np.mean(curves, axis=0)
        self.count = len(self.tiles)
        self.r = correlation(tiles[0], pixel_size)[0]

    def described(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Numbers (network, log domain width) and correlation of an image; None without domains."""
        found = signs(image, self.pixel_size)
        if not found.contrast or found.minority < _FEWEST_SHARE or found.noise > _NOISIEST:
            return None
        numbers = np.array([self.measure(image, self.pixel_size), np.log(found.width)])
        return numbers, correlation(image, self.pixel_size)[1]

    def add(self, node: int) -> None:
        """Read or relax the films at the value `node`."""
        rng = np.random.default_rng([_SEED, node])
        films = self.bank.films(node)
        self.films += len(films)
        views = [one for film in films for one in self.views(film, rng)]
        share = [float(np.mean(m_z > 0)) for m_z in views]
        self.nodes[node] = [
            m_z
            for m_z, up in zip(views, share, strict=True)
            if _FEWEST_SHARE <= up <= 1 - _FEWEST_SHARE
        ]

    def render(self, value: float) -> None:
        """Render all films under the conditions of the image, which films of `value` reveal."""
        full = [node for node, views in self.nodes.items() if views]
        if not full:
            raise SpinscopeError("no relaxed film has domains, so the estimate cannot be refined")
        near = min(full, key=lambda node: abs(self.bank.values[node] - value))
        conditions = conditions_of(self.tiles, self.nodes[near], self.pixel_size)
        if self.conditions is None or not self.conditions.like(conditions):
            self.conditions, self.rows = conditions, []
        rendered = {row[0] for row in self.rows}
        for node in self.nodes.keys() - rendered:
            rng = np.random.default_rng([_SEED, node, 1])
            for m_z in self.nodes[node]:
                image = self.conditions.rendered(m_z, rng)
                if (found := self.described(image)) is not None:
                    self.rows.append((node, *found, image))

    def views(self, film: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Separate parts of a film with the field of view of the tiles, m_z."""
        per_side = separate_views(self.bank.side, self.side)
        start = rng.integers(film.shape[0], size=2)
        places = np.arange(per_side) * film.shape[0] // per_side
        origins = [(int(start[0] + y), int(start[1] + x)) for y in places for x in places]
        chosen = rng.permutation(len(origins))[:_VIEWS]
        pixels = self.tiles.shape[1]
        return [view(film, self.bank.cell, self.side, origins[k], pixels) for k in chosen]

    def _samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (n,), numbers (n, d) and correlations (n, m) of all rendered views."""
        if len(self.rows) <= _FEWEST:
            raise SpinscopeError(
                f"only {len(self.rows)} views of the relaxed films show domains at the scale of "
                f"the image; more than {_FEWEST} are needed to refine an estimate"
            )
        nodes, numbers, curves = (
            np.array(column) for column in list(zip(*self.rows, strict=True))[:3]
        )
        return self.bank.values[nodes], numbers, curves

    def _design(self, values: np.ndarray) -> np.ndarray:
        """Powers of the parameter, (n, degree + 1)."""
        known = self.bank.values[sorted(self.nodes)]
        scaled = (np.asarray(values) - known.mean()) / max(np.ptp(known), 1e-300) * 2
        return np.vander(scaled, 3 if len(known) > 3 else 2, increasing=True)

    def _grid(self) -> np.ndarray:
        """Values of the parameter at which the posterior is computed."""
        values = self.bank.values[[min(self.nodes), max(self.nodes)]]
        return np.linspace(*values, _GRID)

    def difference(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Squared difference of the image and films of `values`, in units of their scatter.

        Returns
        -------
        squares, scale : (n,) array
            Squared difference with the covariance of one view, and variance of the difference in
            units of this covariance.
        degrees, numbers : int
            Degrees of freedom of the covariance, and count of the compared numbers.
        """
        known, numbers, curves = self._samples()
        mean = curves.mean(axis=0)
        axes = np.linalg.svd(curves - mean, full_matrices=False)[2][:_COMPONENTS]
        numbers = np.hstack([numbers, (curves - mean) @ axes.T])
        image = np.hstack([self.numbers, (self.curve - mean) @ axes.T])
        design = self._design(known)
        inverse = np.linalg.inv(design.T @ design)
        coefficients = inverse @ design.T @ numbers
        rest = numbers - design @ coefficients
        degrees = len(known) - design.shape[1] - numbers.shape[1] + 1
        covariance = rest.T @ rest / degrees
        at = self._design(values)
        off = image - at @ coefficients
        squares = (off @ np.linalg.pinv(covariance, hermitian=True) * off).sum(axis=1)
        scale = 1 / self.count + (at @ inverse * at).sum(axis=1)
        return squares, scale, degrees, numbers.shape[1]

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of the parameter and their posterior density."""
        values = self._grid()
        squares, scale, degrees, count = self.difference(values)
        log = -0.5 * count * np.log(scale) - 0.5 * (degrees + count) * np.log1p(
            squares / scale / degrees
        )
        density = np.exp(log - log.max())
        return values, density / np.trapezoid(density, values)

    def result(self, first: float) -> Refined:
        """Posterior, and residuals at the first estimate and at the refined one."""
        values, density = self.posterior()
        cumulative = integrate.cumulative_trapezoid(density, values, initial=0)
        cumulative /= cumulative[-1]
        mean = float(np.trapezoid(density * values, values))
        variance = float(np.trapezoid(density * (values - mean) ** 2, values))
        low, high = np.interp((0.05, 0.95), cumulative, values)
        known, numbers, curves = self._samples()
        design = self._design(known)
        fitted = np.linalg.lstsq(design, np.column_stack([numbers[:, 1], curves]), rcond=None)[0]
        at = self._design(np.clip([first, mean], values[0], values[-1])) @ fitted
        residuals = [
            Residual(
                float(np.exp(one[0] - self.numbers[1])) - 1,
                float(np.sqrt(np.mean((one[1:] - self.curve) ** 2))),
            )
            for one in at
        ]
        squares, scale, degrees, count = self.difference(np.array([mean]))
        probability = stats.f.sf(squares[0] / scale[0] / count, count, degrees)
        tile = self.tiles[0]
        return Refined(
            mean, float(np.sqrt(variance)), float(low), float(high), values, density,
            *residuals, float(probability), self.r,
            {"image": self.curve, "before": at[0, 1:], "after": at[1, 1:]},
            {"image": tile, "before": self._nearest(first), "after": self._nearest(mean)},
            self.conditions, self.films,
        )  # fmt: skip

    def _nearest(self, value: float) -> np.ndarray:
        """Rendered view of a film near a value whose correlation is most like the image's."""
        node = min((row[0] for row in self.rows), key=lambda n: abs(self.bank.values[n] - value))
        rows = [row for row in self.rows if row[0] == node]
        return min(rows, key=lambda row: np.sum((row[2] - self.curve) ** 2))[3]
