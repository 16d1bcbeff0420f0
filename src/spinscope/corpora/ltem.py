"""A corpus of simulated Lorentz micrographs with exact labels, made from relaxed films.

A source is one film, seen in a few views: each shifts the periodic film, turns and mirrors it, and
draws tilt, defocus and what else is given as a range. The images bear no noise: the training draws
that anew for every view. As published, the grey levels of an image run from its darkest to its
brightest pixel.
Source: McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from spinscope.config import Ltem
from spinscope.corpora.ordered import ordered
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, turned
from spinscope.physics.lorentz import Microscope, lorentz_image
from spinscope.physics.lorentz_label import skyrmion_label

Row = dict[str, Any]
Frame = tuple[Row, np.ndarray, np.ndarray]

GENERATOR = 1  # raise it whenever the same films, seed and settings give other images
BATCHES = 10


class Films(Protocol):
    """Films with a row each: `name`, `kind` and what else is known of it."""

    rows: Sequence[Row]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Film: ...


def ltem_images(films: Films, seed: int, settings: Ltem) -> Iterator[Frame]:
    """Yield (row, image (H, W) uint16, label (H, W) uint8) of every view of the films.

    Films whose state is none of `settings.film_states` are left out. What is drawn for a film depends on
    `seed` and its place among the films only: not on how many there are, nor on the threads.
    Raises SpinscopeError where no film is left, or where a film has no skyrmion by the label's
    threshold.
    """
    chosen = _chosen(films, settings)
    items = ((source, index, films[index]) for source, index in enumerate(chosen))

    def views(item: tuple[int, int, Film]) -> list[Frame]:
        source, index, film = item
        rng = np.random.default_rng([seed, index])
        return _views(film, films.rows[index], source, index, rng, settings)

    yield from (frame for source in ordered(views, items, settings.workers) for frame in source)


def make_ltem_corpus(
    path: Path | str,
    films: Films,
    seed: int,
    settings: Ltem,
    *,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Path:
    """Write all views of the films as a packed corpus in the folder `path`, whole or not at all.

    The same films, `seed` and settings give the same bytes.
    """
    total = len(_chosen(films, settings)) * settings.images_per_film
    frames = progress(ltem_images(films, seed, settings), total=total, desc="Lorentz images")
    header = corpus_header(films, seed, settings)
    return write_corpus(path, frames, header=header, shard_frames=settings.shard_frames)


def corpus_header(films: Films, seed: int, settings: Ltem) -> dict[str, Any]:
    """What a corpus of these films, seed and settings says of itself: equal where it is equal."""
    told = json.dumps(list(films.rows), sort_keys=True, default=str)
    first = films[_chosen(films, settings)[0]].material
    return {
        "kind": "ltem",
        "cell_nm": _short(first.cell * 1e9),
        "generator": GENERATOR,
        "seed": seed,
        "films": hashlib.sha256(told.encode()).hexdigest(),
        **settings.model_dump(mode="json", exclude={"workers", "shard_frames"}),
    }


def _chosen(films: Films, settings: Ltem) -> list[int]:
    chosen = [index for index, row in enumerate(films.rows) if row["kind"] in settings.film_states]
    if not chosen:
        raise SpinscopeError(
            f"none of {len(films)} films is of the kinds that ltem.film_states "
            f"(={list(settings.film_states)}) names"
        )
    return chosen


def _views(
    film: Film, about: Row, source: int, index: int, rng: np.random.Generator, settings: Ltem
) -> list[Frame]:
    """All views of one film."""
    material = film.material
    pictures: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}  # views that are alike share one
    frames = []
    for view in range(settings.images_per_film):
        seen = _draw(rng, settings)
        quarters, mirrored = _draw_turn(film, rng) if settings.rotate else (0, False)
        key = (quarters, mirrored, *seen.values())
        if key not in pictures:
            laid = turned(film, quarters, mirrored)
            pictures[key] = _picture(laid, seen, settings), _label(laid, about, settings)
        (picture, shown), shift = pictures[key], (0, 0)
        blur = _uniform(rng, settings.mirror_blur_px)
        if settings.shift:
            shift = tuple(int(rng.integers(side)) for side in film.shape)
            picture, shown = (np.roll(array, shift, axis=(0, 1)) for array in (picture, shown))
        if blur:
            picture = ndimage.gaussian_filter(picture, blur, mode="reflect")
        row = {
            "name": f"{index:05d}-{view:02d}",
            "source": source,
            "batch": source % BATCHES,
            "film": about["name"],
            "kind": about["kind"],
            **{key: _short(value) for key, value in asdict(material).items()},
            "grains": film.grain is not None,
            "voltage_kv": settings.voltage_kv,
            **{key: _short(value) for key, value in seen.items()},
            "quarters": quarters,
            "mirrored": mirrored,
            "blur_px": _short(blur),
            "roll_y": shift[0],
            "roll_x": shift[1],
        }
        frames.append((row, _levels(picture, about), shown))
    return frames


def _label(film: Film, about: Row, settings: Ltem) -> np.ndarray:
    try:
        return skyrmion_label(
            film.m[..., 2],
            threshold=settings.label_mz,
            erosion=settings.label_erosion_px,
            periodic=True,
        )
    except SpinscopeError as error:
        raise SpinscopeError(f"film {about['name']}: {error}") from error


def _draw_turn(film: Film, rng: np.random.Generator) -> tuple[int, bool]:
    """Quarter turns, and whether mirrored: one of the films that the same constants allow."""
    square, mirror = film.shape[0] == film.shape[1], film.material.dmi_kind == "interfacial"
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    return quarters, bool(rng.integers(2)) and mirror


def _draw(rng: np.random.Generator, settings: Ltem) -> dict[str, float]:
    """How a view is imaged."""
    drawn = {
        name: _uniform(rng, getattr(settings, name))
        for name in ("tilt_deg", "axis_deg", "defocus_mm", "astigmatism_nm")
    }
    angle = rng.uniform(0, 180)
    return drawn | {"astigmatism_deg": angle if drawn["astigmatism_nm"] else 0.0}


def _picture(film: Film, seen: dict[str, float], settings: Ltem) -> np.ndarray:
    microscope = Microscope(
        voltage=settings.voltage_kv * 1e3,
        defocus=seen["defocus_mm"] * 1e-3,
        cs=settings.cs_um * 1e-6,
        coherence=settings.convergence_mrad * 1e-3,
        spread=settings.defocus_spread_nm * 1e-9,
        astigmatism=seen["astigmatism_nm"] * 1e-9,
        astigmatism_angle=np.radians(seen["astigmatism_deg"]),
    )
    material = film.material
    return lorentz_image(
        film.m,
        material.ms if film.ms is None or settings.phase_ms == "mean" else film.ms,
        material.thickness,
        material.cell,
        microscope,
        tilt=np.radians(seen["tilt_deg"]),
        axis=np.radians(seen["axis_deg"]),
        workers=1,
    )


def _levels(picture: np.ndarray, about: Row) -> np.ndarray:
    """Grey levels of 16 bit, from the darkest to the brightest pixel."""
    low, high = float(picture.min()), float(picture.max())
    if not high > low:
        raise SpinscopeError(
            f"film {about['name']}: its image shows nothing, it is {low:g} everywhere"
        )
    return np.round((picture - low) * (65535 / (high - low))).astype(np.uint16)


def _uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    return float(rng.uniform(*between))


def _short(value: Any) -> Any:
    """Six digits of a number, which tell all that was drawn."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
