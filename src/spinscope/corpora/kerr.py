"""Corpus of simulated Kerr images with exact labels.

A source is one film or device, imaged in a few frames like a video: outline, defects and optics
are fixed, domains fluctuate, noise and drift are new in each frame. The pattern of a device is
that of an unbounded film, cut by the outline. Parameters are drawn from the ranges of real frames
of skyrmion films (docs/kerr-corpus.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from spinscope.classes import OUTSIDE, SKYRMION
from spinscope.config import Kerr
from spinscope.corpora.annotations import FONTS, SIDES, annotate
from spinscope.corpora.writing import Row, log_uniform, ordered, uniform
from spinscope.datasets.shards import write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics import devices, domains
from spinscope.physics.kerr import Defect, KerrOptics, kerr_image, kerr_label
from spinscope.progress import Progress, no_progress

Frame = tuple[Row, np.ndarray, np.ndarray]
"""Row of the manifest, image (H, W) uint8 and label (H, W) uint8."""

GENERATOR = 2
"""Version of the frames; raised when the same seed and settings give other frames."""

BATCHES = 5
PERIOD = 2 * 2.0 / 0.35
"""Period of the stripes in units of length, with the defaults of `physics.domains`."""

DIAMETER = 0.62 * PERIOD
"""Diameter of a skyrmion in a lattice, in units of length."""

FILM_FRACTION = 0.6
"""Fraction of the sources that are films without an edge."""

MIN_SKYRMION_PX = 20
"""A source with fewer skyrmion pixels in a frame is drawn again."""

_ATTEMPTS = 50  # draws of a source
_NOWHERE = (0.0, 0.0)


class Ranges(NamedTuple):
    """How often a kind of pattern is drawn, and from which ranges; see `Pattern`."""

    weight: float
    field: tuple[float, float]
    spacing: tuple[float, float]
    jitter: tuple[float, float]
    steps: int | tuple[int, int]
    disorder: tuple[float, float]
    draw_spacing: Callable[..., float] = uniform


PATTERNS = {
    # Ordered lattice of one size.
    "lattice": Ranges(0.24, (0.10, 0.13), (1.05, 1.45), (0.05, 0.17), 70, (0, 0.015)),
    # Nucleated, few pixels wide.
    "dense": Ranges(0.14, (0.08, 0.115), _NOWHERE, _NOWHERE, (150, 400), (0, 0.01)),
    # Few skyrmions at random places.
    "sparse": Ranges(0.30, (0.12, 0.165), (1.5, 6), (0.15, 0.4), 50, (0, 0.02), log_uniform),
    # Grown from the demagnetised film, disordered.
    "nucleated": Ranges(0.15, (0.10, 0.135), _NOWHERE, _NOWHERE, (120, 320), (0, 0.01)),
    # Many sizes, by disorder of the film.
    "polydisperse": Ranges(0.08, (0.10, 0.14), _NOWHERE, _NOWHERE, 140, (0.02, 0.04)),
    # Skyrmions and elongated domains.
    "mixed": Ranges(0.06, (0.04, 0.10), _NOWHERE, _NOWHERE, (40, 200), (0, 0.02)),
    "labyrinth": Ranges(0.03, (0, 0.03), _NOWHERE, _NOWHERE, (40, 200), (0, 0.02)),
}
"""Ranges of each kind of pattern."""

EMPTY = "empty"
WIDE_PATTERNS = {
    # Large bubbles, often a single one.
    "bubble": Ranges(0.45, (0.10, 0.15), (1.6, 12), (0.15, 0.4), 50, (0, 0.05), log_uniform),
    # Wide domains.
    "stripes": Ranges(0.1, (0, 0.08), _NOWHERE, _NOWHERE, (40, 200), (0, 0.02)),
    # A film without domains.
    EMPTY: Ranges(0.2, _NOWHERE, _NOWHERE, _NOWHERE, 0, _NOWHERE),
    # One of PATTERNS.
    "common": Ranges(0.25, _NOWHERE, _NOWHERE, _NOWHERE, 0, _NOWHERE),
}
"""Kinds of pattern of the sources of a wide range, see `kerr.wide_fraction`."""

MIN_EVIDENCE = 6.0
"""Least contrast of a skyrmion, averaged over its area, in units of the noise of the average."""


@dataclass(frozen=True)
class Pattern:
    """Parameters of the domains of a source."""

    kind: str
    diameter: float
    """Typical diameter of a skyrmion, pixels."""
    field: float
    slope: float
    """Difference of the field between the middle and the border of the frame."""
    disorder: float
    """Standard deviation of the field over the film."""
    spacing: float
    """Distance of the seeds in stripe periods; 0 starts from the demagnetised film."""
    jitter: float
    """Standard deviation of a seed's displacement in lattice constants."""
    steps: int
    """Relaxation steps."""

    @property
    def scale(self) -> float:
        """Pixels per unit of length."""
        return self.diameter / DIAMETER


def kerr_frames(n: int, seed: int, settings: Kerr) -> Iterator[Frame]:
    """Yield the frames of a simulated corpus.

    Every source has its own random numbers, spawned from `seed`, and its own pattern: the frames
    do not depend on `settings.workers`.

    Parameters
    ----------
    n : int
        Number of frames.
    seed : int
        Seed of all draws.
    settings : Kerr
        Size of the frames, frames per source, threads.

    Raises
    ------
    SpinscopeError
        If `n` is below 1, or the frames are too small for a skyrmion.
    """
    if n < 1:
        raise SpinscopeError(f"kerr.n (={n}) must be at least 1")
    seeds = np.random.SeedSequence(seed).spawn(-(-n // settings.frames_per_source))
    sources = ordered(lambda job: _source(*job, settings), enumerate(seeds), settings.workers)
    yield from islice((frame for source in sources for frame in source), n)


def corpus_header(seed: int, settings: Kerr) -> dict[str, Any]:
    """Return the header of a corpus; corpora of the same header and `n` are the same."""
    decisive = ("height", "width", "frames_per_source", "bright_fraction", "wide_fraction")
    header = {"kind": "kerr", "generator": GENERATOR, "seed": seed}
    return header | {key: getattr(settings, key) for key in decisive}


def make_kerr_corpus(
    path: Path | str, n: int, seed: int, settings: Kerr, *, progress: Progress = no_progress
) -> Path:
    """Write `n` frames as a packed corpus, the whole folder or nothing; see `kerr_frames`."""
    frames = progress(kerr_frames(n, seed, settings), total=n, desc="kerr frames")
    header = corpus_header(seed, settings)
    return write_corpus(path, frames, header=header, shard_frames=settings.shard_frames)


def draw_pattern(rng: np.random.Generator, *, confined: bool = False) -> Pattern:
    """Draw the pattern of a source; skyrmions in a device (`confined`) are smaller."""
    weights = [ranges.weight for ranges in PATTERNS.values()]
    kind = str(rng.choice(list(PATTERNS), p=weights))
    ranges = PATTERNS[kind]
    diameter = log_uniform(rng, (4.0, 8.0) if kind == "dense" else (4.5, 18 if confined else 30))
    return _drawn(rng, kind, ranges, diameter)


def _drawn(
    rng: np.random.Generator, kind: str, ranges: Ranges, diameter: float, slope: float | None = None
) -> Pattern:
    """Draw the other parameters of a pattern."""
    field = uniform(rng, ranges.field)
    spacing = jitter = 0.0
    if ranges.spacing != _NOWHERE:
        spacing = ranges.draw_spacing(rng, ranges.spacing)
        jitter = uniform(rng, ranges.jitter)
    steps = ranges.steps if isinstance(ranges.steps, int) else int(rng.integers(*ranges.steps))
    disorder = uniform(rng, ranges.disorder)
    if slope is None:
        slope = uniform(rng, (0, 0.04)) if rng.random() < 0.3 else 0.0
    return Pattern(kind, diameter, field, slope, disorder, spacing, jitter, steps)


def draw_wide_pattern(rng: np.random.Generator, *, confined: bool = False) -> Pattern:
    """Draw the pattern of a source of a wide range: large bubbles, nothing, or a common one."""
    weights = [ranges.weight for ranges in WIDE_PATTERNS.values()]
    kind = str(rng.choice(list(WIDE_PATTERNS), p=weights))
    if kind == "common":
        return draw_pattern(rng, confined=confined)
    return _drawn(rng, kind, WIDE_PATTERNS[kind], log_uniform(rng, (14, 90)), slope=0.0)


def draw_optics(rng: np.random.Generator, diameter: float, *, confined: bool = False) -> KerrOptics:
    """Draw the optics of a source; the blur increases with the scale of the image."""
    noise = float(np.clip(np.exp(rng.normal(np.log(0.075), 0.45)), 0.02, 0.18))
    to_noise = float(np.clip(np.exp(rng.normal(np.log(2.3), 0.4)), 1.2, 5.5))
    above = rng.random() < (0.65 if confined else 0.3)
    level = rng.uniform(0.55, 0.84) if above else np.clip(rng.normal(0.495, 0.015), 0.45, 0.54)
    blur = 1.3 * (diameter / 11) ** 0.5 * np.exp(rng.normal(0, 0.25))
    return KerrOptics(
        level=float(level),
        contrast=float(np.clip(noise * to_noise, 0.06, 0.42)),
        blur=float(np.clip(blur, 0.5, 2.6)),
        noise=noise,
        read=uniform(rng, (0.2, 0.8)),
        grain=uniform(rng, (0.3, 0.7)) if rng.random() < 0.12 else 0.0,
        gradient=float(np.clip(np.exp(rng.normal(np.log(0.006), 0.8)), 0.001, 0.04)),
        drift=_draw_drift(rng),
        defocus=uniform(rng, (0.3, 1.2)) if rng.random() < 0.3 else 0.0,
        substrate=uniform(rng, (0.3, 0.9)),
        gain=log_uniform(rng, (1.5, 6.0)),
    )


def draw_wide_optics(rng: np.random.Generator, common: KerrOptics, diameter: float) -> KerrOptics:
    """Widen the optics of a source: low contrast, smooth noise, bands, and very uneven light."""
    contrast = log_uniform(rng, (0.03, 0.35))
    grain = uniform(rng, (0.3, 1.5)) if rng.random() < 0.4 else 0.0
    least = max(0.3, MIN_EVIDENCE * (1 + 2 * grain) / (np.sqrt(np.pi / 4) * diameter))
    return replace(
        common,
        contrast=contrast,
        noise=float(np.clip(contrast / log_uniform(rng, (least, max(6.0, 2 * least))), 0.01, 0.25)),
        level=uniform(rng, (0.45, 0.8)),
        blur=common.blur * log_uniform(rng, (0.7, 2.0)),
        grain=grain,
        gradient=log_uniform(rng, (0.002, 0.1)),
        bands=contrast * uniform(rng, (0.05, 0.6)) if rng.random() < 0.4 else 0.0,
    )


def draw_defects(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Defect, ...]:
    """Draw dust, holes and scratches for a frame of `shape`."""
    height, width = shape
    area = height * width / (512 * 672)
    defects = []
    centre = rng.uniform(0, 1, 2)  # a third of the defects gather around one place
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
                angle=uniform(rng, (0, np.pi)),
                lobes=tuple(rng.normal(0, 0.1, 3).tolist()),
                height=_draw_height(rng),
                soft=uniform(rng, (4, 9)) if out_of_focus else 1.0,
            )
        )
    for _ in range(rng.integers(1, 4) if rng.random() < 0.08 else 0):  # scratches
        defects.append(
            Defect(
                y=uniform(rng, (0, height)),
                x=uniform(rng, (0, width)),
                radius=uniform(rng, (0.6, 1.2)),
                elongation=uniform(rng, (10, 50)),
                angle=uniform(rng, (0, np.pi)),
                height=_draw_height(rng),
            )
        )
    return tuple(defects)


def _draw_height(rng: np.random.Generator) -> float:
    """Reflectivity of a defect less that of the film."""
    return float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0))


def _draw_drift(rng: np.random.Generator) -> tuple[float, float]:
    """Drift (y, x) of the reference frame in pixels."""
    length, angle = min(0.25 + rng.exponential(0.35), 2.0), rng.uniform(0, 2 * np.pi)
    return float(length * np.sin(angle)), float(length * np.cos(angle))


def _source(number: int, seed: np.random.SeedSequence, settings: Kerr) -> list[Frame]:
    """All frames of one source; a source is drawn until every frame holds a skyrmion."""
    rng = np.random.default_rng(seed)
    for _ in range(_ATTEMPTS):
        frames = _draw_source(number, rng, settings)
        if all(
            row["kind"] == EMPTY or np.sum(label == SKYRMION) >= MIN_SKYRMION_PX
            for row, _, label in frames
        ):
            return frames
    raise SpinscopeError(
        f"kerr frames of {settings.height} x {settings.width} pixels hold no skyrmion in "
        f"{_ATTEMPTS} attempts; they must be larger"
    )


def _draw_source(number: int, rng: np.random.Generator, settings: Kerr) -> list[Frame]:
    """Frames of a source as it is drawn, with or without skyrmions."""
    shape = settings.height, settings.width
    kind = "film" if rng.random() < FILM_FRACTION else str(rng.choice(list(devices.DEVICES)))
    confined = kind != "film"
    wide = settings.wide_fraction > 0 and rng.random() < settings.wide_fraction
    pattern = (draw_wide_pattern if wide else draw_pattern)(rng, confined=confined)
    optics = draw_optics(rng, pattern.diameter, confined=confined)
    if wide:
        optics = draw_wide_optics(rng, optics, pattern.diameter)
    if rng.random() < settings.bright_fraction:  # opposite polarity: mirror the grey levels
        optics = replace(optics, level=1 - optics.level, contrast=-optics.contrast)
    device, edge_width = None, 0.0
    if confined:
        device = devices.draw_device(kind, shape, rng)
        edge_width = uniform(rng, (1.5, 12))
    defects = draw_defects(rng, shape)
    field, phi, frames = _field_map(pattern, shape, rng), None, []
    for frame in range(settings.frames_per_source):
        if pattern.kind == EMPTY:
            m = np.ones(shape, dtype=np.float32)
        else:
            phi = _next_pattern(phi, pattern, field, shape, rng)
            m = _without_specks(domains.coverage(phi), pattern.diameter)
        if frame:
            optics = replace(optics, drift=_draw_drift(rng))
        image = kerr_image(m, optics, rng, device=device, defects=defects)
        label = kerr_label(
            m, device=device, edge_width=edge_width, defects=defects, drift=optics.drift
        )
        row = _row(number, frame, kind, pattern, optics, len(defects))
        if settings.wide_fraction:
            row["use"] = "only_training" if pattern.kind == EMPTY else "train_test_val"
        image = np.round(image * 255).astype(np.uint8)
        if wide and rng.random() < 0.2:
            image = _annotated(image, label, rng)
        frames.append((row, image, label))
    return frames


def _annotated(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image with an information bar, lettering or a scale bar, whose pixels are outside."""
    drawn = annotate(
        image,
        rng,
        side=str(rng.choice(SIDES)) if rng.random() < 0.5 else None,
        text=bool(rng.random() < 0.5),
        scale_bar=bool(rng.random() < 0.5),
        bright_ink=bool(rng.random() < 0.7),
        font_name=str(rng.choice(FONTS)),
        size=min(int(rng.integers(12, 28)), min(image.shape) // 18),
    )
    label[drawn.drawn] = OUTSIDE
    return drawn.image


def _field_map(
    pattern: Pattern, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray | float:
    """External field at every pixel, with a gradient and the disorder of the film."""
    field: np.ndarray | float = pattern.field
    if pattern.slope:
        angle = rng.uniform(0, 2 * np.pi)
        y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
        field = field + pattern.slope * (y * np.sin(angle) + x * np.cos(angle))
    if pattern.disorder:
        # On a coarse grid: the disorder varies over some domain walls.
        grid = tuple(min(n, max(8, int(n / (2 * pattern.scale)))) for n in shape)
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
    """First pattern of a source, or the next one: `phi` after fluctuations and relaxation."""
    initial, noise, steps = None, 0.1, pattern.steps
    if phi is not None:
        initial, noise, steps = phi, 0.5, 15
    elif pattern.spacing:
        spacing = pattern.spacing * PERIOD * pattern.scale
        seeded = domains.seeded_film(
            shape, spacing=spacing, radius=pattern.diameter / 2, jitter=pattern.jitter, rng=rng
        )
        initial, noise = np.float32(0.6) * seeded, 0.02
    return domains.domain_pattern(
        shape, field=field, steps=steps, rng=rng, scale=pattern.scale, initial=initial, noise=noise
    )


def _without_specks(m: np.ndarray, diameter: float) -> np.ndarray:
    """Magnetisation without collapsing domains, those below a tenth of a skyrmion's area."""
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
    """Manifest row of a frame: source, batch and drawn parameters."""
    drawn = {"diameter_px": pattern.diameter, "field": pattern.field, **asdict(optics)}
    drawn["drift_px"] = float(np.hypot(*drawn.pop("drift")))
    return {
        "name": f"{number:05d}-{frame:02d}",
        "source": number,
        "batch": 0 if pattern.kind == EMPTY else number % BATCHES,
        "kind": pattern.kind,
        "device": device,
        "defects": defects,
        **{key: round(value, 4) for key, value in drawn.items()},
    }
