"""A corpus of simulated Kerr micrographs with exact labels.

A source is one film or device, seen in a few frames like a video: its outline, its defects and its
imaging stay, its domains move on, noise and drift are new. The pattern of a device is that of a
film without an edge, cut by the device's outline. All parameters are drawn over the ranges that
real frames of skyrmion films were seen to span (docs/kerr-corpus.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from spinscope.classes import COLOURS, SKYRMION
from spinscope.config import Kerr
from spinscope.corpora.ordered import ordered
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file
from spinscope.physics import devices, domains
from spinscope.physics.kerr import Defect, KerrOptics, kerr_image, kerr_label

Row = dict[str, Any]
Frame = tuple[Row, np.ndarray, np.ndarray]

GENERATOR = 2  # raise it whenever the same seed and settings give other frames
BATCHES = 5
_GREYS = 40  # levels in a preview: noise does not compress
_ATTEMPTS = 50  # films drawn before a source is given up
PERIOD = 2 * 2.0 / 0.35  # of the stripes, in units of length, with the defaults of domains
DIAMETER = 0.62 * PERIOD  # of a skyrmion in a lattice, in units of length

# How often each pattern is drawn.
PATTERNS = {
    "lattice": 0.24,  # ordered, of one size
    "dense": 0.14,  # nucleated, few pixels wide
    "sparse": 0.30,  # few, placed at random
    "nucleated": 0.15,  # grown from the demagnetised film: disordered
    "polydisperse": 0.08,  # of many sizes, by disorder of the film
    "mixed": 0.06,  # skyrmions and elongated domains
    "labyrinth": 0.03,
}
FILM = 0.6  # part of the sources that are a film without an edge


@dataclass(frozen=True)
class Pattern:
    """What decides the domains of a source; lengths in pixels."""

    kind: str
    diameter: float  # of a typical skyrmion
    field: float
    slope: float  # field difference from the middle to the border of the frame
    disorder: float  # standard deviation of the field from place to place
    spacing: float  # of the seeds, in stripe periods; 0 starts from the demagnetised film
    jitter: float
    steps: int

    @property
    def scale(self) -> float:
        """Pixels a unit of length."""
        return self.diameter / DIAMETER


def kerr_frames(n: int, seed: int, settings: Kerr) -> Iterator[Frame]:
    """Yield `n` frames (row, image (H, W) uint8, label (H, W) uint8) of a simulated corpus.

    Every source has a random stream of its own, spawned from `seed`: the frames do not depend on
    `settings.workers`. No two sources share a pattern.
    """
    if n < 1:
        raise SpinscopeError(f"kerr.n (={n}) must be at least 1")
    streams = np.random.SeedSequence(seed).spawn(-(-n // settings.frames_per_source))
    sources = ordered(lambda job: _source(*job, settings), enumerate(streams), settings.workers)
    yield from islice((frame for source in sources for frame in source), n)


def make_kerr_corpus(
    path: Path | str,
    n: int,
    seed: int,
    settings: Kerr,
    *,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Path:
    """Write `n` frames as a packed corpus in the folder `path`, whole or not at all.

    The same `n`, `seed` and frame size give the same bytes.
    """
    header = {
        "kind": "kerr",
        "generator": GENERATOR,
        "seed": seed,
        "height": settings.height,
        "width": settings.width,
        "frames_per_source": settings.frames_per_source,
        "bright_fraction": settings.bright_fraction,
    }
    frames = progress(kerr_frames(n, seed, settings), total=n, desc="kerr frames")
    return write_corpus(path, frames, header=header, shard_frames=settings.shard_frames)


def preview(dataset: Dataset, path: Path | str, *, columns: int = 4, width: int = 1000) -> Path:
    """Draw the frames of `dataset`, each with its label below it, as one picture of `width`."""
    from PIL import Image

    if not len(dataset):
        raise SpinscopeError(f"{dataset.path} must hold at least one frame to draw")
    palette = np.concatenate([np.repeat(np.linspace(0, 255, _GREYS), 3).reshape(-1, 3), COLOURS])
    tiles = []
    for _, image, label in dataset:
        size = width // columns, round(image.shape[0] * width / columns / image.shape[1])
        small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
        grey = np.round(np.asarray(small) * (_GREYS - 1)).astype(np.uint8)
        colour = Image.fromarray(label).resize(size, Image.Resampling.NEAREST)
        tiles.append(np.concatenate([grey, np.asarray(colour) + np.uint8(_GREYS)]))
    tiles += [np.full_like(tiles[0], _GREYS - 1)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    picture = Image.fromarray(np.concatenate(rows))
    picture.putpalette(np.round(palette).astype(np.uint8).tobytes())
    with atomic_file(path) as partial:
        picture.save(partial, format="PNG", optimize=True)
    return Path(path)


def _source(number: int, stream: np.random.SeedSequence, settings: Kerr) -> list[Frame]:
    """All frames of one source."""
    rng = np.random.default_rng(stream)
    shape = settings.height, settings.width
    for _ in range(_ATTEMPTS):
        device_kind = "film" if rng.random() < FILM else str(rng.choice(list(devices.DEVICES)))
        pattern = draw_pattern(rng, confined=device_kind != "film")
        optics = draw_optics(rng, pattern.diameter, confined=device_kind != "film")
        if (
            rng.random() < settings.bright_fraction
        ):  # the other polarity: grey levels mirrored about 1/2
            optics = replace(optics, level=1 - optics.level, contrast=-optics.contrast)
        device, edge_width = None, 0.0
        if device_kind != "film":
            device = devices.draw_device(device_kind, shape, rng)
            edge_width = float(rng.uniform(1.5, 12))
        defects = draw_defects(rng, shape)
        frames = []
        phi, field = None, _field_map(pattern, shape, rng)
        for frame in range(settings.frames_per_source):
            phi = _next_pattern(phi, pattern, field, shape, rng)
            m = _without_specks(domains.coverage(phi), pattern.diameter)
            seen = replace(optics, drift=_draw_drift(rng)) if frame else optics
            image = kerr_image(m, seen, rng, device=device, defects=defects)
            label = kerr_label(
                m, device=device, edge_width=edge_width, defects=defects, drift=seen.drift
            )
            row = _row(number, frame, device_kind, pattern, seen, len(defects))
            frames.append((row, np.round(image * 255).astype(np.uint8), label))
        # A label without a skyrmion teaches nothing; such a source is drawn again.
        if all(np.count_nonzero(label == SKYRMION) >= 20 for _, _, label in frames):
            return frames
    raise SpinscopeError(
        f"kerr frames of {shape[0]} x {shape[1]} pixels hold no skyrmion in {_ATTEMPTS} attempts; "
        "they must be larger"
    )


def draw_pattern(rng: np.random.Generator, *, confined: bool = False) -> Pattern:
    """Draw what decides the domains of a source."""
    kind = str(rng.choice(list(PATTERNS), p=list(PATTERNS.values())))
    smallest, largest = (4.0, 8.0) if kind == "dense" else (4.5, 18 if confined else 30)
    diameter = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    field, spacing, jitter, steps, disorder = {
        "lattice": lambda: (
            rng.uniform(0.1, 0.13), rng.uniform(1.05, 1.45), rng.uniform(0.05, 0.17), 70,
            rng.uniform(0, 0.015),
        ),
        "dense": lambda: (
            rng.uniform(0.08, 0.115), 0.0, 0.0, int(rng.integers(150, 400)), rng.uniform(0, 0.01),
        ),
        "sparse": lambda: (
            rng.uniform(0.12, 0.165), np.exp(rng.uniform(np.log(1.5), np.log(6))),
            rng.uniform(0.15, 0.4), 50, rng.uniform(0, 0.02),
        ),
        "nucleated": lambda: (
            rng.uniform(0.1, 0.135), 0.0, 0.0, int(rng.integers(120, 320)), rng.uniform(0, 0.01),
        ),
        "polydisperse": lambda: (
            rng.uniform(0.10, 0.14), 0.0, 0.0, 140, rng.uniform(0.02, 0.04),
        ),
        "mixed": lambda: (
            rng.uniform(0.04, 0.10), 0.0, 0.0, int(rng.integers(40, 200)), rng.uniform(0, 0.02),
        ),
        "labyrinth": lambda: (
            rng.uniform(0, 0.03), 0.0, 0.0, int(rng.integers(40, 200)), rng.uniform(0, 0.02),
        ),
    }[kind]()  # fmt: skip
    slope = rng.uniform(0, 0.04) if rng.random() < 0.3 else 0.0
    return Pattern(kind, diameter, float(field), float(slope), float(disorder), float(spacing),
                   float(jitter), steps)  # fmt: skip


def draw_optics(rng: np.random.Generator, diameter: float, *, confined: bool = False) -> KerrOptics:
    """Draw how a source is imaged; the blur goes with the magnification."""
    noise = float(np.clip(np.exp(rng.normal(np.log(0.075), 0.45)), 0.02, 0.18))
    to_noise = float(np.clip(np.exp(rng.normal(np.log(2.3), 0.4)), 1.2, 5.5))
    contrast = float(np.clip(noise * to_noise, 0.06, 0.42))
    above = rng.random() < (0.65 if confined else 0.3)
    level = rng.uniform(0.55, 0.84) if above else np.clip(rng.normal(0.495, 0.015), 0.45, 0.54)
    blur = 1.3 * (diameter / 11) ** 0.5 * np.exp(rng.normal(0, 0.25))
    return KerrOptics(
        level=float(level),
        contrast=contrast,
        blur=float(np.clip(blur, 0.5, 2.6)),
        noise=noise,
        read=float(rng.uniform(0.2, 0.8)),
        grain=float(rng.uniform(0.3, 0.7)) if rng.random() < 0.12 else 0.0,
        gradient=float(np.clip(np.exp(rng.normal(np.log(0.006), 0.8)), 0.001, 0.04)),
        drift=_draw_drift(rng),
        defocus=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.3 else 0.0,
        substrate=float(rng.uniform(0.3, 0.9)),
        gain=float(np.exp(rng.uniform(np.log(1.5), np.log(6.0)))),
    )


def draw_defects(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Defect, ...]:
    """Draw dust, holes and scratches for a frame of `shape`."""
    area = shape[0] * shape[1] / (512 * 672)
    height, width = shape
    defects = []
    centre = rng.uniform(0, 1, 2)  # some gather about a place
    for _ in range(rng.poisson(area * np.exp(rng.normal(np.log(4), 0.9)))):
        gathered = rng.random() < 0.3
        y, x = np.clip(rng.normal(centre, 0.1), 0, 1) if gathered else rng.uniform(0, 1, 2)
        out_of_focus = rng.random() < 0.04
        radius = rng.uniform(6, 14) if out_of_focus else np.exp(rng.normal(np.log(2.0), 0.6))
        defects.append(
            Defect(
                y=float(y * height),
                x=float(x * width),
                radius=float(np.clip(radius, 1.0, 14)),
                elongation=float(1 + rng.exponential(0.5)),
                angle=float(rng.uniform(0, np.pi)),
                lobes=tuple(float(a) for a in rng.normal(0, 0.1, 3)),
                height=float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)),
                soft=float(rng.uniform(4, 9)) if out_of_focus else 1.0,
            )
        )
    for _ in range(rng.integers(1, 4) if rng.random() < 0.08 else 0):  # scratches
        defects.append(
            Defect(
                y=float(rng.uniform(0, height)),
                x=float(rng.uniform(0, width)),
                radius=float(rng.uniform(0.6, 1.2)),
                elongation=float(rng.uniform(10, 50)),
                angle=float(rng.uniform(0, np.pi)),
                height=float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)),
            )
        )
    return tuple(defects)


def _draw_drift(rng: np.random.Generator) -> tuple[float, float]:
    length, angle = 0.25 + rng.exponential(0.35), rng.uniform(0, 2 * np.pi)
    length = min(length, 2.0)
    return float(length * np.sin(angle)), float(length * np.cos(angle))


def _field_map(
    pattern: Pattern, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray | float:
    """External field at every pixel: with a gradient and the disorder of the film."""
    field: np.ndarray | float = pattern.field
    if pattern.slope:
        angle = rng.uniform(0, 2 * np.pi)
        y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
        field = field + pattern.slope * (y * np.sin(angle) + x * np.cos(angle))
    if pattern.disorder:
        # Drawn on a coarse grid: it varies over some domain walls.
        grid = tuple(max(8, int(n / (2 * pattern.scale))) for n in shape)
        grid = tuple(min(g, n) for g, n in zip(grid, shape, strict=True))
        rough = ndimage.gaussian_filter(rng.standard_normal(grid, dtype=np.float32), 2, mode="wrap")
        field = field + domains.resample(rough * (pattern.disorder / rough.std()), shape)
    return field


def _next_pattern(
    phi: np.ndarray | None,
    pattern: Pattern,
    field: np.ndarray | float,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """The first pattern of a source, or the one after `phi`: it fluctuates and relaxes again."""
    if phi is not None:
        return domains.domain_pattern(
            shape,
            field=field,
            steps=15,
            rng=rng,
            scale=pattern.scale,
            initial=phi,
            noise=0.5,
        )
    initial, noise = None, 0.1
    if pattern.spacing:
        spacing = pattern.spacing * PERIOD * pattern.scale
        seeded = domains.seeded_film(
            shape, spacing=spacing, radius=pattern.diameter / 2, jitter=pattern.jitter, rng=rng
        )
        initial, noise = np.float32(0.6) * seeded, 0.02
    return domains.domain_pattern(
        shape, field=field, steps=pattern.steps, rng=rng, scale=pattern.scale, initial=initial,
        noise=noise,
    )  # fmt: skip


def _without_specks(m: np.ndarray, diameter: float) -> np.ndarray:
    """Magnetisation without domains below a tenth of a skyrmion's area: they are collapsing."""
    regions, count = ndimage.label(m < 0)
    if not count:
        return m
    small = np.bincount(regions.ravel()) < max(6.0, 0.1 * np.pi / 4 * diameter**2)
    small[0] = False
    if not small.any():
        return m
    return np.where(ndimage.binary_dilation(small[regions]), np.float32(1), m)


def _row(
    number: int, frame: int, device: str, pattern: Pattern, optics: KerrOptics, defects: int
) -> Row:
    """Manifest row of a frame: where it belongs and what was drawn for it."""
    drawn = asdict(optics)
    drift = np.hypot(*drawn.pop("drift"))
    values = {
        "diameter_px": pattern.diameter,
        "field": pattern.field,
        **drawn,
        "drift_px": float(drift),
    }
    return {
        "name": f"{number:05d}-{frame:02d}",
        "source": number,
        "batch": number % BATCHES,
        "kind": pattern.kind,
        "device": device,
        "defects": defects,
        **{key: round(value, 4) for key, value in values.items()},
    }
