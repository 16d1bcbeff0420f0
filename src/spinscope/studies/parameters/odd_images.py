"""Images that a model for magnetic parameters must not estimate without a warning.

Half of them show no domains: noise, text, photographs, uniform and uneven grey, Kerr frames of a
saturated film and of skyrmions. The other half are domains outside the range of the training:
imaging scales, widths of domains, materials, contrast against noise, and overexposed images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from spinscope.config import Domains, Kerr
from spinscope.corpora.domains import Parameter, draw_domain, relaxed_domains
from spinscope.corpora.kerr import draw_defects, draw_optics, kerr_frames
from spinscope.physics.domain_images import degraded, kerr_image, view
from spinscope.physics.kerr import kerr_image as kerr_frame

KINDS = {
    "white noise": 4,
    "correlated noise": 4,
    "text": 8,
    "photograph": 12,
    "uniform": 3,
    "uneven grey": 4,
    "Kerr frame without domains": 8,
    "Kerr frame of skyrmions": 7,
}
"""Number of images of each kind that is not a domain image; 50 in all."""

OUTSIDE = {"scale": 12, "domain width": 12, "material": 8, "contrast": 9, "saturated": 9}
"""Number of domain images of each kind outside the range of the training; 50 in all."""

MATERIALS = {
    "dmi": (1.8e-3, 2.1e-3, 2.4e-3, 2.7e-3),
    "ms": (7.6e5, 7.8e5, 8.0e5, 8.2e5),
}
"""Values of D in J/m² and of Ms in A/m beyond the range of the corpora; two views of each."""

_ODD_CELLS = 256
_PHOTOGRAPHS = (
    "camera",
    "moon",
    "coins",
    "brick",
    "grass",
    "gravel",
    "cell",
    "clock",
    "coffee",
    "chelsea",
    "astronaut",
    "rocket",
)
_SKYRMIONS = ("lattice", "dense", "sparse", "nucleated", "polydisperse")


class OddImage(NamedTuple):
    """Image that must be marked."""

    kind: str
    image: np.ndarray
    """Grey levels, (H, W) float32."""
    pixel_size: float
    """Pixel size that the user gives, m."""


def not_domains(scales: Sequence[float], pixels: int, kerr: Kerr, seed: int = 0) -> list[OddImage]:
    """Images without domains, with pixel sizes inside the range of the training.

    Parameters
    ----------
    scales : sequence of float
        Sides of the training views, m.
    pixels : int
        Side of a view in px, at least 32.
    kerr : Kerr
        Settings of the Kerr frames.
    seed : int, default 0
    """
    rng = np.random.default_rng(seed)
    makers, sizes = _makers(pixels, kerr, seed), [scale / pixels for scale in scales]
    return [
        OddImage(kind, np.asarray(makers[kind](number, rng), np.float32), float(rng.choice(sizes)))
        for kind, count in KINDS.items()
        for number in range(count)
    ]


def _makers(
    n: int, kerr: Kerr, seed: int
) -> dict[str, Callable[[int, np.random.Generator], np.ndarray]]:
    """Function of number and random generator for each kind of image."""
    skyrmions = _skyrmion_frames(n, kerr, seed)
    return {
        "white noise": lambda number, rng: (
            rng.random((n, n)) if number % 2 else np.clip(rng.normal(0.5, 0.15, (n, n)), 0, 1)
        ),
        "correlated noise": lambda number, rng: _scaled(
            ndimage.gaussian_filter(rng.standard_normal((n, n)), 1 + number)
        ),
        "text": lambda number, rng: text(n, 8 + 2 * number, rng),
        "photograph": lambda number, rng: _photograph(_PHOTOGRAPHS[number], n, rng),
        "uniform": lambda number, rng: np.full((n, n), number / 2),
        "uneven grey": _uneven(n),
        "Kerr frame without domains": lambda number, rng: _empty_frame(n, rng),
        "Kerr frame of skyrmions": lambda number, rng: next(skyrmions),
    }


def text(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Lines of random letters, dark on bright or the reverse, (n, n) in [0, 1].

    Parameters
    ----------
    n : int
        Side in px.
    size : int
        Size of the font in px.
    rng : numpy.random.Generator
    """
    page = Image.new("L", (2 * n, 2 * n), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz  ABCDEFGHIKLMNORSTUVW"))
    for y in range(0, 2 * n, round(1.3 * size)):
        draw.text((0, y), "".join(rng.choice(letters, 4 * n // size)), fill=0, font=font)
    first = int(rng.integers(n // 2))
    image = np.asarray(page, np.float32)[first : first + n, :n] / 255
    return image if rng.random() < 0.5 else 1 - image


def _photograph(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Part of a photograph of scikit-image in grey, reduced to n px."""
    import skimage.data

    photograph = np.asarray(getattr(skimage.data, name)(), np.float32)
    grey = photograph.mean(axis=-1) if photograph.ndim == 3 else photograph
    side = int(rng.uniform(0.4, 1) * min(grey.shape))
    y, x = (int(rng.integers(size - side + 1)) for size in grey.shape)
    part = Image.fromarray(grey[y : y + side, x : x + side]).resize((n, n), Image.Resampling.BOX)
    return np.asarray(part) / 255


def _uneven(n: int) -> Callable[[int, np.random.Generator], np.ndarray]:
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    surfaces = (x, x + y, np.exp(-(x**2 + y**2)), x**2 - y**2 + x)

    def uneven(number: int, rng: np.random.Generator) -> np.ndarray:
        noise = 0.03 * (number % 2) * rng.standard_normal((n, n))
        return _scaled(surfaces[number % len(surfaces)]) + noise

    return uneven


def _empty_frame(n: int, rng: np.random.Generator) -> np.ndarray:
    """Kerr frame of a saturated film."""
    optics = draw_optics(rng, diameter=11)
    return kerr_frame(np.ones((n, n)), optics, rng, defects=draw_defects(rng, (n, n)))


def _skyrmion_frames(n: int, kerr: Kerr, seed: int) -> Iterator[np.ndarray]:
    """Kerr frames of skyrmions, as large as the views."""
    settings = kerr.model_copy(
        update={"height": n, "width": n, "frames_per_source": 1, "workers": 1}
    )
    for row, image, _ in kerr_frames(200, seed, settings):
        if row["kind"] in _SKYRMIONS and row["device"] == "film":
            yield image.astype(np.float32) / 255


def _scaled(image: np.ndarray) -> np.ndarray:
    """Image stretched to [0, 1]."""
    return (image - image.min()) / np.ptp(image)


def odd_films(parameter: Parameter, settings: Domains, seed: int = 0) -> list[np.ndarray]:
    """Relaxed films of `MATERIALS`, of at most 256 cells a side: m_z (H, W) of each.

    Parameters
    ----------
    parameter : {"dmi", "ms"}
    settings : Domains
        Size, cells and tolerance.
    seed : int, default 0
    """
    films = settings.sets[parameter]
    small = films.model_copy(update={"size": min(films.size, _ODD_CELLS)})
    settings = settings.model_copy(update={"sets": {**settings.sets, parameter: small}})
    drawn = (
        draw_domain(number, seed, parameter, settings, value=value)
        for number, value in enumerate(MATERIALS[parameter])
    )
    relaxed = relaxed_domains(drawn, parameter, settings)
    found = {film.number: result.m[2] for film, result in relaxed}
    return [found[number] for number in sorted(found)]


def outside_training(
    films: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    cell: float,
    scales: Sequence[float],
    pixels: int,
    seed: int = 0,
) -> list[OddImage]:
    """Domain images outside the range of the training.

    Parameters
    ----------
    films : sequence of (H, W) array
        m_z of films of the range that is trained.
    others : sequence of (H, W) array
        m_z of films of materials outside it; see `odd_films`.
    cell : float
        Edge of a cell, m.
    scales : sequence of float
        Sides of the training views, m.
    pixels : int
        Side of a view in px.
    seed : int, default 0
    """
    rng, n = np.random.default_rng(seed), pixels
    inside = sorted(scales)
    low, high = inside[0], inside[-1]

    def part(m_z: np.ndarray, side: float) -> np.ndarray:
        """Kerr image of a random part; larger parts than the film repeat it."""
        repeats = int(np.ceil(side / (cell * min(m_z.shape)) - 1e-9))
        film = np.tile(m_z, (repeats, repeats))
        origin = tuple(int(size) for size in rng.integers(film.shape))
        return kerr_image(view(film, cell, side, origin, n))

    def scale(number: int) -> tuple[np.ndarray, float]:
        """Larger and smaller parts of a film than were trained."""
        side = high * rng.uniform(1.3, 2.5) if number % 2 else low * rng.uniform(0.3, 0.7)
        return part(films[number % len(films)], side), side / n

    def width(number: int) -> tuple[np.ndarray, float]:
        """Domains finer or coarser than those of the films, at a trained scale."""
        side, factor = (low, 1 / rng.uniform(3, 4)) if number % 2 else (high, rng.uniform(2.5, 4))
        return part(films[number % len(films)], side * factor), side / n

    def material(number: int) -> tuple[np.ndarray, float]:
        """Films of another material, at trained scales no larger than the films."""
        film = others[number % len(others)]
        fitting = [side for side in inside if side <= cell * min(film.shape) * 1.001] or [low]
        side = float(rng.choice(fitting))
        return part(film, side), side / n

    def contrast(number: int) -> tuple[np.ndarray, float]:
        """Domains hidden by noise of four to eight times their contrast."""
        side = float(rng.choice(inside))
        image = part(films[number % len(films)], side)
        return degraded(image, rng, noise=rng.uniform(4, 8), contrast=0.1), side / n

    def saturated(number: int) -> tuple[np.ndarray, float]:
        """Overexposed image: white over half of it at least, domains in the rest."""
        side = float(rng.choice(inside))
        image = degraded(part(films[number % len(films)], side), rng, noise=0.05, contrast=0.4)
        bright = np.linspace(0, rng.uniform(0.8, 1.6), n, dtype=np.float32)[:, None]
        return np.clip(image + bright, 0, 1), side / n

    makers = {
        "scale": scale,
        "domain width": width,
        "material": material,
        "contrast": contrast,
        "saturated": saturated,
    }
    return [
        OddImage(kind, *makers[kind](number))
        for kind, count in OUTSIDE.items()
        for number in range(count)
    ]


def count_marked(
    mark: Callable[[np.ndarray, float], Sequence[str]],
    odd: Iterable[OddImage],
    views: Iterable[tuple[np.ndarray, float]],
) -> dict[str, Any]:
    """Count the odd images and the unseen views that are marked.

    Parameters
    ----------
    mark : callable
        Image (H, W) and pixel size in m → reasons why it is outside the range of a training, each
        a word, a colon and the details; none if it is inside.
    odd : iterable of OddImage
        Images that must be marked.
    views : iterable of ((H, W) array, float)
        Test views with their pixel sizes in m, which must not be marked.

    Returns
    -------
    dict
        `odd` with `n`, `marked` and both by kind in `kinds`; `views` with `n`, `marked` and the
        number of marks by reason in `reasons`.
    """
    kinds: dict[str, dict[str, int]] = {}
    for one in odd:
        kind = kinds.setdefault(one.kind, {"n": 0, "marked": 0})
        kind["n"] += 1
        kind["marked"] += bool(mark(one.image, one.pixel_size))
    found = [mark(image, pixel_size) for image, pixel_size in views]
    words = Counter(word for given in found for word in {r.partition(":")[0] for r in given})
    return {
        "odd": {
            "n": sum(kind["n"] for kind in kinds.values()),
            "marked": sum(kind["marked"] for kind in kinds.values()),
            "kinds": kinds,
        },
        "views": {
            "n": len(found),
            "marked": sum(bool(given) for given in found),
            "reasons": dict(words),
        },
    }
