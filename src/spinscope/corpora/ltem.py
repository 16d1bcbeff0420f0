"""Corpus of simulated Lorentz images with exact labels, made from relaxed films.

A source is one film, imaged under a few imaging conditions (tilt, defocus ...). Each image shows
the periodic film shifted, rotated and mirrored. Images are free of noise, which the training adds;
their grey levels run from the darkest to the brightest pixel, as published.

References
----------
McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from spinscope.config import Ltem
from spinscope.corpora.writing import Row, ordered, short, uniform
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, rotated
from spinscope.physics.lorentz import Microscope, lorentz_image
from spinscope.physics.lorentz_label import skyrmion_label
from spinscope.progress import Progress, no_progress

Frame = tuple[Row, np.ndarray, np.ndarray]
"""Row of the manifest, image (H, W) uint16 and label (H, W) uint8."""

GENERATOR = 1
"""Version of the images; raised when the same films, seed and settings give other images."""

BATCHES = 10


class Films(Protocol):
    """Films, each with a row that holds at least `name` and `kind`."""

    rows: Sequence[Row]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Film: ...


def ltem_images(films: Films, seed: int, settings: Ltem) -> Iterator[Frame]:
    """Yield the images of all films whose state is one of `settings.film_states`.

    The draws of a film depend on the seed and its index only, not on the number of films or
    threads.

    Parameters
    ----------
    films : Films
        Relaxed films.
    seed : int
        Seed of all draws.
    settings : Ltem
        Microscope, ranges of the imaging conditions, label.

    Raises
    ------
    SpinscopeError
        If no film has one of the states, or a film has no skyrmion or an image no contrast.
    """
    chosen = _chosen(films, settings)
    items = ((source, index, films[index]) for source, index in enumerate(chosen))

    def images(item: tuple[int, int, Film]) -> list[Frame]:
        source, index, film = item
        rng = np.random.default_rng([seed, index])
        return _images(film, films.rows[index], source, index, rng, settings)

    yield from (frame for source in ordered(images, items, settings.workers) for frame in source)


def make_ltem_corpus(
    path: Path | str, films: Films, seed: int, settings: Ltem, *, progress: Progress = no_progress
) -> Path:
    """Write all images of the films as a packed corpus, the whole folder or nothing.

    The parameters are those of `ltem_images`; `progress` wraps the images.
    """
    total = len(_chosen(films, settings)) * settings.images_per_film
    frames = progress(ltem_images(films, seed, settings), total=total, desc="Lorentz images")
    header = corpus_header(films, seed, settings)
    return write_corpus(path, frames, header=header, shard_frames=settings.shard_frames)


def corpus_header(films: Films, seed: int, settings: Ltem) -> dict[str, Any]:
    """Return the header of a corpus; corpora of the same header are the same."""
    rows = json.dumps(list(films.rows), sort_keys=True, default=str)
    first = films[_chosen(films, settings)[0]].material
    return {
        "kind": "ltem",
        "cell_nm": short(first.cell * 1e9),
        "generator": GENERATOR,
        "seed": seed,
        "films": hashlib.sha256(rows.encode()).hexdigest(),
        **settings.model_dump(mode="json", exclude={"workers", "shard_frames"}),
    }


def _chosen(films: Films, settings: Ltem) -> list[int]:
    """Indices of the films whose state is asked for."""
    chosen = [index for index, row in enumerate(films.rows) if row["kind"] in settings.film_states]
    if not chosen:
        raise SpinscopeError(
            f"none of {len(films)} films is of the kinds that ltem.film_states "
            f"(={list(settings.film_states)}) names"
        )
    return chosen


def _images(
    film: Film, film_row: Row, source: int, index: int, rng: np.random.Generator, settings: Ltem
) -> list[Frame]:
    """All images of one film."""
    computed: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}  # by conditions and orientation
    frames = []
    for number in range(settings.images_per_film):
        conditions = _draw_conditions(rng, settings)
        quarters, mirrored = _draw_orientation(film, rng) if settings.rotate else (0, False)
        key = (quarters, mirrored, *conditions.values())
        if key not in computed:
            oriented = rotated(film, quarters, mirrored)
            image = _image(oriented, conditions, settings)
            computed[key] = image, _label(oriented, film_row, settings)
        (image, label), shift = computed[key], (0, 0)
        blur = uniform(rng, settings.mirror_blur_px)
        if settings.shift:
            shift = tuple(int(rng.integers(side)) for side in film.shape)
            image, label = (np.roll(array, shift, axis=(0, 1)) for array in (image, label))
        if blur:
            image = ndimage.gaussian_filter(image, blur, mode="reflect")
        row = {
            "name": f"{index:05d}-{number:02d}",
            "source": source,
            "batch": source % BATCHES,
            "film": film_row["name"],
            "kind": film_row["kind"],
            **asdict(film.material),
            "grains": film.grain is not None,
            "voltage_kv": settings.voltage_kv,
            **conditions,
            "quarters": quarters,
            "mirrored": mirrored,
            "blur_px": blur,
            "roll_y": shift[0],
            "roll_x": shift[1],
        }
        row = {key: short(value) for key, value in row.items()}
        frames.append((row, _levels(image, film_row), label))
    return frames


def _label(film: Film, film_row: Row, settings: Ltem) -> np.ndarray:
    """Label of a film; an error names the film."""
    try:
        return skyrmion_label(
            film.m[..., 2],
            threshold=settings.label_mz,
            erosion=settings.label_erosion_px,
            periodic=True,
        )
    except SpinscopeError as error:
        raise SpinscopeError(f"film {film_row['name']}: {error}") from error


def _draw_orientation(film: Film, rng: np.random.Generator) -> tuple[int, bool]:
    """Quarter turns and mirror image, of those with the energy of the film."""
    square, mirror = film.shape[0] == film.shape[1], film.material.dmi_kind == "interfacial"
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    return quarters, bool(rng.integers(2)) and mirror


def _draw_conditions(rng: np.random.Generator, settings: Ltem) -> dict[str, float]:
    """Imaging conditions of one image."""
    drawn = {
        name: uniform(rng, getattr(settings, name))
        for name in ("tilt_deg", "axis_deg", "defocus_mm", "astigmatism_nm")
    }
    angle = rng.uniform(0, 180)
    return drawn | {"astigmatism_deg": angle if drawn["astigmatism_nm"] else 0.0}


def _image(film: Film, conditions: dict[str, float], settings: Ltem) -> np.ndarray:
    """Lorentz image of a film, (H, W) float32."""
    microscope = Microscope(
        voltage=settings.voltage_kv * 1e3,
        defocus=conditions["defocus_mm"] * 1e-3,
        cs=settings.cs_um * 1e-6,
        convergence=settings.convergence_mrad * 1e-3,
        defocus_spread=settings.defocus_spread_nm * 1e-9,
        astigmatism=conditions["astigmatism_nm"] * 1e-9,
        astigmatism_angle=np.radians(conditions["astigmatism_deg"]),
    )
    material = film.material
    return lorentz_image(
        film.m,
        material.ms if film.ms is None or settings.phase_ms == "mean" else film.ms,
        material.thickness,
        material.cell,
        microscope,
        tilt=np.radians(conditions["tilt_deg"]),
        axis=np.radians(conditions["axis_deg"]),
        workers=1,
    )


def _levels(image: np.ndarray, film_row: Row) -> np.ndarray:
    """Grey levels of 16 bit, from the darkest to the brightest pixel."""
    low, high = float(image.min()), float(image.max())
    if not high > low:
        raise SpinscopeError(
            f"film {film_row['name']}: its image shows nothing, it is {low:g} everywhere"
        )
    return np.round((image - low) * (65535 / (high - low))).astype(np.uint16)
