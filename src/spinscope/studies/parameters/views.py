"""Test views of films that no network was trained on, at every scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spinscope.datasets import Dataset, data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import digest
from spinscope.jobs.data import split
from spinscope.physics.domain_images import degraded, kerr_image, view
from spinscope.studies.base import Job
from spinscope.studies.parameters.networks import corpus, settings, side, trained

HELD, OTHER = "held back", "another seed"
"""Groups of test films: those of the corpus of the training, and those of another seed."""


@dataclass(frozen=True)
class Film:
    """One film and the constant that is estimated, SI units; its magnetisation is read when used.

    Parameters
    ----------
    name, group : str
        Its number, and `HELD` or `OTHER`.
    value : float
        The constant.
    dataset : Dataset
        Dataset of its views.
    place : int
        One of its views.
    """

    name: str
    group: str
    value: float
    dataset: Dataset
    place: int

    @property
    def m_z(self) -> np.ndarray:
        """Normal component of the magnetisation, (H, W)."""
        return self.dataset.store.film(self.dataset.rows[self.place])


@dataclass(frozen=True)
class View:
    """Image of a film at a scale; `film` counts the films."""

    film: int
    image: np.ndarray
    pixel_size: float


@dataclass(frozen=True)
class Films:
    """Films of one parameter.

    Parameters
    ----------
    parameter : str
        "dmi" or "ms".
    films : tuple of Film
        The films.
    cell : float
        Edge of a cell, m.
    pixels, n, seed : int
        Side of a view in px, views per film and scale, and seed of their places.
    digest : str
        Digest of films and views.
    """

    parameter: str
    films: tuple[Film, ...]
    cell: float
    pixels: int
    n: int
    seed: int
    digest: str

    @cached_property
    def values(self) -> np.ndarray:
        """Constant of each film, SI units."""
        return np.array([film.value for film in self.films])

    def views(self, width: float, n: int | None = None) -> Iterator[View]:
        """Views at random places, film by film; the same in every call.

        Parameters
        ----------
        width : float
            Side of a view, m.
        n : int, optional
            Views per film.
        """
        for number, film in enumerate(self.films):
            rng, m_z = np.random.default_rng([self.seed, number, round(width * 1e12)]), film.m_z
            for _ in range(n or self.n):
                origin = tuple(int(place) for place in rng.integers(m_z.shape))
                image = kerr_image(view(m_z, self.cell, width, origin, self.pixels))
                yield View(number, image, width / self.pixels)


@dataclass(frozen=True)
class Condition:
    """What a microscope adds to an ideal view.

    Parameters
    ----------
    noise : float
        Standard deviation of white noise, in units of the contrast.
    blur_px : float
        Standard deviation of a Gaussian blur, px.
    contrast : float
        Difference of the grey levels of up and down.
    background : float
        Height of a slope across the image, in units of the contrast.
    blocks : int
        Side of the blocks of pixels that have one grey level.
    """

    noise: float = 0.0
    blur_px: float = 0.0
    contrast: float = 1.0
    background: float = 0.0
    blocks: int = 1

    def applied(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Image under these conditions."""
        if self.blocks > 1:
            image = pixelated(image, self.blocks)
        return degraded(
            image,
            rng,
            blur_px=self.blur_px,
            noise=self.noise,
            contrast=self.contrast,
            background=self.background,
        )


def pixelated(image: np.ndarray, blocks: int) -> np.ndarray:
    """Image whose blocks of pixels have their mean grey level; pixels and their size are kept.

    Parameters
    ----------
    image : (H, W) array
        Image whose sides are multiples of `blocks`.
    blocks : int
        Side of a block in px.
    """
    height, width = (side // blocks for side in image.shape)
    means = image.reshape(height, blocks, width, blocks).mean((1, 3))
    return means.repeat(blocks, 0).repeat(blocks, 1)


def unseen_films(job: Job, parameter: str) -> Films:
    """Films of the test batches, and all films of another seed where there is such a corpus.

    Parameters
    ----------
    job : Job
        Call of the part.
    parameter : str
        "dmi" or "ms".

    Raises
    ------
    SpinscopeError
        If the settings name no test batches.
    """
    dataset, held = _split(job, parameter, "test")
    found, hashes = _films(held, HELD), [data_hash(dataset)]
    other = corpus(job, parameter, tests=True)
    if other.is_dir():
        from spinscope.corpora.domains import open_domains

        others = open_domains(other)
        found += _films(others, OTHER)
        hashes.append(data_hash(others))
    return _collected(job, parameter, dataset, found, hashes)


def training_films(job: Job, parameter: str) -> Films:
    """Films of the training batches, for a baseline that is no network."""
    dataset, train = _split(job, parameter, "train")
    return _collected(job, parameter, dataset, _films(train, "training"), [data_hash(dataset)])


def _split(job: Job, parameter: str, name: str) -> tuple[Dataset, Dataset]:
    """Corpus of a parameter and one of its splits."""
    network = next((one for one in trained(job.params) if one.parameter == parameter), None)
    if network is None:
        raise SpinscopeError(f"scales_study.networks must hold a network of {parameter}")
    dataset, splits = split(settings(job, network))
    if (found := getattr(splits, name)) is None:
        raise SpinscopeError("data.test_batches must name a batch: the study needs test films")
    return dataset, found


def _films(dataset: Dataset, group: str) -> list[Film]:
    """Films of a dataset of views, each once."""
    first: dict[int, int] = {}
    for place, record in enumerate(dataset.records):
        first.setdefault(record.source, place)
    return [
        Film(f"{source:05d}", group, float(dataset.label(place)[0]), dataset, place)
        for source, place in first.items()
    ]


def _collected(
    job: Job, parameter: str, dataset: Dataset, films: Sequence[Film], hashes: Sequence[str]
) -> Films:
    store, n = dataset.store, job.params.scales_study.views
    key = digest([parameter, list(hashes), len(films), n, store.pixels, job.params.seed])
    return Films(parameter, tuple(films), store.cell, store.pixels, n, job.params.seed, key)


def scales(job: Job, parameter: str) -> dict[float, float]:
    """Test scales: µm of the published films → side of our views, m."""
    params = job.params
    return {scale: side(scale, params, parameter) for scale in params.scales_study.test_scales_um}
