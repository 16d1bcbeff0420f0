"""Settings: params.yaml and the environment as frozen models; an unknown key is an error."""

from __future__ import annotations

import difflib
import functools
import json
import math
import os
import re
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from spinscope.errors import SpinscopeError
from spinscope.files import digest


class Section(BaseModel):
    """Frozen section of settings; an unknown key is an error. params.yaml explains the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _rule(holds: Callable[[float, float], bool], rule: str) -> AfterValidator:
    """Validator of a range [low, high]; `rule` is the sentence of its error."""

    def check(ends: tuple[float, float]) -> tuple[float, float]:
        if not holds(*ends):
            raise ValueError(rule)
        return ends

    return AfterValidator(check)


Finite = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[
    tuple[Finite, Finite],
    _rule(lambda low, high: low <= high, "a range must be [low, high] with low at most high"),
]
"""[low, high], from which a value is drawn uniformly."""
Positive = Annotated[Range, _rule(lambda low, _: low > 0, "both ends must be above 0")]
NotNegative = Annotated[Range, _rule(lambda low, _: low >= 0, "both ends must be at least 0")]
Tilt = Annotated[
    Range, _rule(lambda *ends: max(map(abs, ends)) < 90, "a tilt must be below 90 degrees")
]
Fraction = Annotated[float, Field(ge=0, le=1)]

PIXEL_SIZES_NM = (0.5, 10_000.0)
"""Smallest and largest pixel of a magnetic micrograph in nm: Lorentz to wide-field Kerr images."""


def checked_pixel_size_nm(value: float) -> float:
    """Return a pixel size in nm if a micrograph can have it.

    Raises
    ------
    ValueError
        If it is outside `PIXEL_SIZES_NM`; the sentence names the unit, and what may be meant.
    """
    low, high = PIXEL_SIZES_NM
    if low <= value <= high:
        return value
    meant = value * 1e3 if low <= value * 1e3 <= high else None
    hint = "" if meant is None else f"; if {value:g} µm is meant, give {meant:g}"
    raise ValueError(f"{value:g} nm must be a pixel size from {low:g} to {high:g} nm{hint}")


PixelSize = Annotated[float, AfterValidator(checked_pixel_size_nm)]


class Data(Section):
    path: str
    scheme: Literal[2, 3, 5]
    train_batches: tuple[int, ...]
    validation_batches: tuple[int, ...]
    test_batches: tuple[int, ...]


class Fetch(Section):
    record: str
    api: str
    file: str
    size: int = Field(gt=0)
    max_unpacked: int = Field(gt=0)
    retries: int = Field(ge=0)


class Kerr(Section):
    n: int = Field(gt=0)
    height: int = Field(ge=32)
    width: int = Field(ge=32)
    frames_per_source: int = Field(gt=0)
    shard_frames: int = Field(gt=0)
    workers: int = Field(gt=0)
    bright_fraction: Fraction
    wide_fraction: Fraction


class Films(Section):
    n: int = Field(gt=0)
    height: int = Field(ge=16)
    width: int = Field(ge=16)
    cell_nm: Finite = Field(gt=0)
    thickness_nm: Finite = Field(gt=0)
    ms: Positive
    a_ex: Positive
    dmi: Range
    dmi_kind: Literal["interfacial", "bulk"]
    ku: Range
    b_ext: Range
    grained_fraction: Fraction
    grains: int = Field(ge=2)
    grain_nm: Finite = Field(gt=0)
    grain_spread: float = Field(ge=0, lt=1)
    grain_exchange: Fraction
    periodic_images: int = Field(ge=0)
    initial: Literal["random", "skyrmions"]
    tolerance: Finite = Field(gt=0)
    max_evaluations: int = Field(gt=0)
    shard_films: int = Field(gt=0)


class Lattice(Section):
    n: int = Field(gt=0)
    size: int = Field(ge=16, multiple_of=2)
    dmi: Finite
    dmi_kind: Literal["interfacial", "bulk"]
    field: Finite
    anisotropy: Finite
    temperature: Finite = Field(gt=0)
    sweeps: int = Field(gt=0)
    reflections: int = Field(ge=0)
    alignments: int = Field(ge=0)
    shard_lattices: int = Field(gt=0)
    workers: int = Field(ge=0)


class DomainSet(Section):
    size: int = Field(ge=32, multiple_of=2)
    scales_nm: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    ms: Positive
    a_ex: Positive
    dmi: Range
    ku: Positive
    ku_spread: NotNegative
    friction: Finite = Field(ge=0)


class Domains(Section):
    n: int = Field(gt=0)
    cell_nm: Finite = Field(gt=0)
    thickness_nm: Finite = Field(gt=0)
    dmi_kind: Literal["interfacial", "bulk"]
    sets: dict[Literal["dmi", "ms"], DomainSet]
    pixels: int = Field(ge=32, multiple_of=2)
    tolerance: Finite = Field(gt=0)
    max_evaluations: int = Field(gt=0)
    shard_films: int = Field(gt=0)


class Ltem(Section):
    images_per_film: int = Field(gt=0)
    voltage_kv: Finite = Field(gt=0)
    tilt_deg: Tilt
    axis_deg: Range
    defocus_mm: Range
    cs_um: Finite = Field(ge=0)
    convergence_mrad: Finite = Field(ge=0)
    defocus_spread_nm: Finite = Field(ge=0)
    astigmatism_nm: Range
    label_mz: Annotated[float, Field(gt=-1, lt=1)] | Literal["triangle"]
    label_erosion_px: int = Field(ge=0)
    shift: bool
    rotate: bool
    phase_ms: Literal["map", "mean"]
    mirror_blur_px: NotNegative
    film_states: tuple[Literal["skyrmions", "stripes", "mixed", "uniform", "other"], ...] = Field(
        min_length=1
    )
    shard_frames: int = Field(gt=0)
    workers: int = Field(gt=0)


class Upscale(Section):
    below_px: float = Field(gt=0)
    scale: float = Field(gt=1, le=4)


class Model(Section):
    width: int = Field(ge=1)
    depth: int = Field(ge=1, le=6)
    stem: Literal[1, 2, 4]
    refine: int = Field(ge=0)
    activation: Literal["relu", "prelu", "tanh", "mish"]
    dropout: float = Field(ge=0, lt=1)
    upscale: Upscale | None
    min_peak_probability: float | None = Field(gt=0, lt=1)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return self.stem * 2**self.depth

    @property
    def rules(self) -> dict[str, Any]:
        """Rules of inference: `upscale` and `min_peak_probability`."""
        return self.model_dump(include={"upscale", "min_peak_probability"})

    @property
    def layers(self) -> dict[str, Any]:
        """Settings of the architecture: all but the rules of inference."""
        return self.model_dump(exclude={"upscale", "min_peak_probability"})


class Training(Section):
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)
    batch: int = Field(ge=1)
    crop: int = Field(ge=16)
    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "plateau"]
    keep: Literal["best", "last"]
    ema: float = Field(ge=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: tuple[float, ...] | None
    early_stopping: int = Field(ge=1)
    plateau_patience: int = Field(ge=1)
    pretrained: str | None
    anchor: float = Field(ge=0, lt=1)
    source_balance: Fraction


Symmetry = Literal["square", "axis", "none"]
"""Transforms that keep the kind of an image: quarter turns and mirroring (square), mirroring top to
bottom, which keeps a tilt axis along +x (axis), or none."""


class Augmentation(Section):
    symmetry: Symmetry
    border: Literal["mirror", "wrap"]
    scale: float = Field(ge=0, lt=1)
    shift: bool
    noise: float = Field(ge=0)
    noise_probability: Fraction
    contrast: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0)
    gradient: float = Field(ge=0)
    blur: Fraction
    blur_px: Positive
    invert: bool
    restandardise: bool
    poisson: float = Field(ge=0)
    salt: float = Field(ge=0, lt=1)
    clip: Fraction
    gamma: Positive
    background: float = Field(ge=0)

    @model_validator(mode="after")
    def _detector(self) -> Augmentation:
        """Effects on grey levels in [0, 1] need a crop that is standardised afterwards."""
        neutral = {"poisson": 0, "salt": 0, "clip": 0, "gamma": (1, 1), "background": 0}
        changed = [name for name, value in neutral.items() if getattr(self, name) != value]
        if changed and not self.restandardise:
            value = getattr(self, changed[0])
            raise ValueError(
                f"augmentation.{changed[0]} (={value}) needs augmentation.restandardise: true"
            )
        return self


class Evaluation(Section):
    tta: Literal[1, 2, 3, 8]
    iou: float = Field(ge=0.5, le=1)
    min_object_px: int = Field(ge=1)
    size_bins: int = Field(ge=2)


class Inference(Section):
    engine: Literal["auto", "openvino", "keras"]
    precision: Literal["auto", "bf16", "f32"]
    tile: int = Field(ge=256)
    overlap: int = Field(ge=64)


HALF = "half"
"""Value of `segment.level` for the level of half contrast."""


_MZ = "mz="


def magnetisation(level: float | str | None) -> float | None:
    """Return the m_z of a level that names one, otherwise None.

    Parameters
    ----------
    level : float, str or None
        Value of `segment.level`.

    Raises
    ------
    ValueError
        For an m_z that is no number between -1 and 1.

    Examples
    --------
    >>> magnetisation("mz=0.9"), magnetisation("half"), magnetisation(0.4)
    (0.9, None, None)
    """
    if not isinstance(level, str) or not level.startswith(_MZ):
        return None
    try:
        value = float(level.removeprefix(_MZ))
    except ValueError:
        value = math.nan
    if not -1 < value < 1:
        raise ValueError("m_z must be a number between -1 and 1, as in mz=0.9")
    return value


def _level(level: float | str | None) -> float | str | None:
    """Check a level of the boundary: a probability, a magnetisation, `HALF`, or a file."""
    if isinstance(level, float) and not 0 < level < 1:
        raise ValueError("it must be a probability between 0 and 1")
    named = level == HALF or magnetisation(level) is not None
    if isinstance(level, str) and not named and not level.endswith(".json"):
        raise ValueError(
            f"it must be a number, {HALF}, mz=VALUE, or a .json file of `spinscope calibrate`"
        )
    return level


def _scale(scale: float | str | None) -> float | str | None:
    """Check a scale of the frames."""
    if isinstance(scale, str) and scale != "auto":
        raise ValueError("it must be a factor, auto or null")
    if isinstance(scale, float) and not (0 < scale < math.inf):
        raise ValueError("it must be a factor greater than 0")
    return scale


def _region(value: str) -> str:
    """Check a part of the frames."""
    if not re.fullmatch(r"auto|whole|\d+,\d+,\d+,\d+", value):
        raise ValueError("it must be auto, whole or a crop y0,x0,y1,x1 in px")
    return value


def _box(value: str) -> str:
    """Check a rectangle of the frames."""
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", value):
        raise ValueError("it must be y0,x0,y1,x1 in px")
    return value


Box = Annotated[str, AfterValidator(_box)]
RegionName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Intake(Section):
    operation: Literal["divide", "subtract"]
    average: int = Field(ge=1)
    reference_frames: int = Field(ge=1)
    drift: bool
    max_drift_px: float | None = Field(gt=0)
    light_order: int = Field(ge=0, le=4)
    stripes: Literal["rows", "columns", "both", "none"]
    hot_sd: float | None = Field(gt=0)
    span: float | None = Field(gt=0)
    crop: Box | None
    still: Box | None
    regions: dict[RegionName, Box]
    applied: dict[str, str]
    pixel_size_nm: PixelSize | None
    interval_s: float | None = Field(gt=0)


class Segment(Section):
    tta: Literal[1, 2, 3, 8]
    level: Annotated[float | str | None, AfterValidator(_level)]
    region: Annotated[str, AfterValidator(_region)]
    axis_deg: float | None = Field(allow_inf_nan=False)
    scale: Annotated[float | str | None, AfterValidator(_scale)]
    polarity: Literal["dark", "bright", "auto"]
    workers: int = Field(ge=0)
    chunk_frames: int = Field(ge=1)
    min_px: int = Field(ge=1)
    pixel_size_nm: PixelSize | None
    settle_s: float = Field(ge=0)
    idle_s: float | None = Field(gt=0)


class Measure(Section):
    search_range_px: float | None = Field(gt=0)
    memory: int = Field(ge=0)
    size_ratio: float | None = Field(gt=1)
    subtract_drift: bool
    max_lag: int = Field(ge=1)


class Gates(Section):
    confidence: float = Field(gt=0.5, lt=1)
    metric_limit: float | None
    metric_margin: float | None = Field(ge=0)
    min_precision: float | None
    min_recall: float | None
    object_margin: float | None = Field(ge=0)
    max_count_error: float | None = Field(ge=0)
    count_margin: float | None = Field(ge=0)
    max_size_px: float | None = Field(ge=0)
    size_margin_px: float | None = Field(ge=0)
    min_coverage: float | None = Field(ge=0, le=1)
    max_frame_ratio: float = Field(gt=0)


class Tracking(Section):
    uri: str
    artifacts: str
    experiment: str
    moved_alias: Literal["warn", "refuse"]


def _zone(name: str | None) -> str | None:
    """Check the name of a time zone."""
    if name is not None and name not in zoneinfo.available_timezones():
        raise ValueError("it must be a name such as Europe/Berlin, or null")
    return name


class Flows(Section):
    timezone: Annotated[str | None, AfterValidator(_zone)]
    train_cron: str | None
    evaluate_cron: str | None
    promote_cron: str | None
    corpus_ltem_cron: str | None
    study_cron: str | None
    nightly_folder: str | None
    nightly_cron: str | None
    retrain_cron: str | None
    retrain_corrections: int = Field(ge=1)
    retrain_nights: int = Field(ge=1)
    concurrency: int = Field(ge=1)
    retries: int = Field(ge=0)
    work_pool: Annotated[str | None, Field(min_length=1)]


def _address(url: str | None) -> str | None:
    """Check the address of messages: a URL without a password."""
    if url is None:
        return url
    parts = urlsplit(url)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError("it must be an address such as https://HOST/PATH or mailto://HOST?to=NAME")
    if parts.password:
        raise ValueError("an address with a password belongs in $SPINSCOPE_NOTIFY_URL")
    return url


class Notify(Section):
    url: Annotated[str | None, AfterValidator(_address)]


class Cluster(Section):
    kind: Literal["none", "local", "slurm"]
    workers: int = Field(ge=1)
    cores: int = Field(ge=1)
    memory_gb: float = Field(gt=0, allow_inf_nan=False)
    queue: str | None
    account: str | None
    walltime_h: float = Field(gt=0, allow_inf_nan=False)
    interface: str | None
    directives: tuple[str, ...]
    prologue: tuple[str, ...]


class Serve(Section):
    mlflow_port: int
    prefect_port: int
    dashboard_port: int


Overrides = tuple[str, ...]
"""Settings of a study that override the others, each `section.key=value`."""


class Ablations(Section):
    seeds: int = Field(ge=1)
    master_epochs: int = Field(ge=1)
    base: Overrides


def _database(address: str | None) -> str | None:
    """Check the address of a PostgreSQL database, which must not contain a password."""
    if address is not None:
        form = r"postgresql(\+psycopg2)?://([^:@/?]+@)?[^@/?]*/[^/@?]+"
        if not re.fullmatch(form, address):
            raise ValueError(
                "it must be postgresql://USER@HOST/NAME or null; $PGPASSWORD holds the password"
            )
    return address


class Tuning(Section):
    storage: Annotated[str | None, AfterValidator(_database)]


class Search(Section):
    trials: int = Field(ge=1)
    startup: int = Field(ge=0)
    base: Overrides


class Relabelling(Section):
    labelled_sources: int = Field(ge=1)
    seeds: int = Field(ge=1)
    min_px: int = Field(ge=1)
    base: Overrides
    teacher: Overrides


class Probes(Section):
    frames: int = Field(ge=1)
    height: int = Field(ge=64)
    width: int = Field(ge=64)


class CrossValidation(Section):
    seeds: int = Field(ge=1)
    base: Overrides


Micrometres = Annotated[float, Field(gt=0, le=2.048)]


class ScaledNetwork(Section):
    parameter: Literal["dmi", "ms"]
    architecture: Literal["published", "scaled"]
    scales_um: tuple[Micrometres, ...] = Field(min_length=1)


class ScalesStudy(Section):
    seeds: int = Field(ge=1)
    views: int = Field(ge=1)
    test_scales_um: tuple[Micrometres, ...] = Field(min_length=1)
    networks: dict[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ScaledNetwork]
    base: Overrides


class Params(Section):
    """All settings: params.yaml with a profile, a family and overrides applied."""

    profile: str
    family: str | None
    seed: int
    data: Data
    fetch: Fetch
    kerr: Kerr
    films: Films
    ltem: Ltem
    lattice: Lattice
    domains: Domains
    model: Model
    training: Training
    augmentation: Augmentation
    evaluation: Evaluation
    inference: Inference
    intake: Intake
    segment: Segment
    measure: Measure
    gates: Gates
    tracking: Tracking
    flows: Flows
    notify: Notify
    cluster: Cluster
    serve: Serve
    ablations: Ablations
    tuning: Tuning
    search: Search
    relabelling: Relabelling
    probes: Probes
    cross_validation: CrossValidation
    scales_study: ScalesStudy
    options: dict[str, Any]

    @model_validator(mode="after")
    def _fit_together(self) -> Params:
        """Check rules between sections, which hold for the settings of a family."""
        if self.family is None:
            return self
        multiple, weights = self.model.size_multiple, self.training.class_weights
        if self.training.crop % multiple:
            raise ValueError(
                f"training.crop (={self.training.crop}) must be a multiple of {multiple}, "
                "which is model.stem times 2 to the power of model.depth"
            )
        if weights is not None and len(weights) != self.data.scheme:
            raise ValueError(
                f"training.class_weights (={list(weights)}) must hold {self.data.scheme} numbers, "
                "one a class of data.scheme"
            )
        return self

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the settings that decide the outcome of a training."""
        decisive = {
            "seed", "family", "options", "data", "model", "training", "augmentation", "evaluation",
        }  # fmt: skip
        return digest(self.model_dump(mode="json", include=decisive))


def project_root() -> Path:
    """Folder of params.yaml: $SPINSCOPE_ROOT, the current folder, or the checkout."""
    if named := os.environ.get("SPINSCOPE_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    return next((p for p in (here, checkout) if (p / "params.yaml").is_file()), here)


def _bundled(relative: str) -> Path:
    """Path of a shipped file in the project, else in the installed package.

    A folder without params.yaml is no project: a folder `models` in it is the user's own.
    """
    root = project_root()
    own = (root / "params.yaml").is_file() and (root / relative).exists()
    return (root if own else Path(__file__).parent / "_bundled") / relative


def bundled_models() -> Path:
    """Folder of the pretrained models that are shipped with the code."""
    return _bundled("models")


def shipped_results(name: str) -> Path:
    """File of the results of a study that are shipped with the code; it may not exist."""
    return _bundled(f"docs/results/{name}.json")


def moke_path() -> Path:
    """Folder of the published Kerr images: $SPINSCOPE_MOKE, else data/moke of the project."""
    return Path(os.environ.get("SPINSCOPE_MOKE") or project_root() / "data/moke")


def notify_url(settings: Notify) -> str | None:
    """Address of messages: $SPINSCOPE_NOTIFY_URL, else the setting; None for no messages.

    An address of the environment may hold a password or token; it is not logged with the settings.
    """
    return os.environ.get("SPINSCOPE_NOTIFY_URL") or settings.url


def ltem_path() -> Path:
    """Folder of published Lorentz images: $SPINSCOPE_LTEM, else data/ltem of the project."""
    return Path(os.environ.get("SPINSCOPE_LTEM") or project_root() / "data/ltem")


RENAMED = {
    "model": {"magnify": "upscale", "peak": "min_peak_probability"},
    "model.upscale": {"zoom": "scale"},
    "ltem": {
        "views": "images_per_film", "kinds": "film_states", "roll": "shift", "turn": "rotate",
        "coherence_mrad": "convergence_mrad", "spread_nm": "defocus_spread_nm",
    },
    "films": {
        "images": "periodic_images", "evaluations": "max_evaluations",
        "grained": "grained_fraction",
    },
    "kerr": {"bright": "bright_fraction"},
    "measure": {"reach_px": "search_range_px", "drift": "subtract_drift"},
    "segment": {"part": "chunk_frames", "zoom": "scale"},
    "augmentation": {"noise_chance": "noise_probability"},
    "gates": {"min_mcc": "metric_limit"},
}  # fmt: skip
"""Section → former name of a key → its name. The former names are read for one release."""

_MAX_DEPTH, _MAX_VALUES = 16, 20_000
"""Levels and values that are read from a YAML text."""

REMOVED = {
    "training": {"weight_decay", "plateau_factor"},
    "gates": {"reproduce_tolerance", "mcc_spread", "metric_spread", "max_frame_ms"},
}
"""Section → keys that are constants now. They are ignored for one release."""


def renamed(settings: Mapping[str, Any], section: str = "", *, hint: bool = False) -> dict:
    """Settings with former names of keys replaced by the present ones.

    Parameters
    ----------
    settings : mapping
        Nested settings.
    section : str, default ""
        Where `settings` belongs, keys joined by dots; "" for all sections.
    hint : bool, default False
        Print every former name and the present one to stderr, once per process.
    """
    result = {}
    for key, value in settings.items():
        name = RENAMED.get(section, {}).get(key, key)
        removed = key in REMOVED.get(section, ())
        if hint and (removed or name != key):
            _hint(f"{section}.{key}", None if removed else f"{section}.{name}")
        if removed:
            continue
        if isinstance(value, Mapping):
            value = renamed(value, f"{section}.{name}".lstrip("."), hint=hint)
        result[name] = value
    return result


@functools.cache
def _hint(old: str, new: str | None) -> None:
    fate = f"is now {new}; the old name will go" if new else "is gone and ignored; remove it"
    print(f"hint: the setting {old} {fate}", file=sys.stderr)


def load_params(
    profile: str | None = None,
    overrides: Sequence[str] = (),
    path: Path | str | None = None,
    family: str | None = None,
    inherited: bool = True,
) -> Params:
    """Read params.yaml and apply a profile, a family and single overrides to it, in this order.

    Parameters
    ----------
    profile : str, optional
        By default $SPINSCOPE_PROFILE, else the profile that the file names.
    overrides : sequence of str
        ``section.key=value`` each; those of $SPINSCOPE_SET, a JSON list, are applied before them.
    path : Path, optional
        Another file than the project's.
    family : str, optional
        Family of models whose settings, those of the profile included, are applied; without one
        the shared settings are returned.
    inherited : bool, default True
        Whether overrides of $SPINSCOPE_SET are applied.

    Raises
    ------
    SpinscopeError
        If a profile, family, key or value is unknown or not valid.
    """
    path = Path(path or _bundled("params.yaml"))
    try:
        raw = _yaml(path.read_text())
    except (OSError, ValueError) as error:
        raise SpinscopeError(f"{path} must be a readable YAML file: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("profiles"), dict):
        raise SpinscopeError(f"{path} must hold sections of settings and their profiles")
    profiles = raw.pop("profiles")
    families = _section(raw.pop("families", None), f"{path}: families", of_sections=True)
    name = profile or os.environ.get("SPINSCOPE_PROFILE") or raw.get("profile")
    if not isinstance(name, str) or name not in profiles:
        raise SpinscopeError(f"profile {name!r} must be one of {', '.join(sorted(profiles))}")
    chosen = dict(_section(profiles[name], f"{path}: profile {name}"))
    own = _section(
        chosen.pop("families", None), f"{path}: profile {name}: families", of_sections=True
    )
    for place, wanted in (("", {family} - {None}), (f"profile {name}: ", own)):
        if unknown := set(wanted) - set(families):
            name = min(unknown)
            raise SpinscopeError(
                f"{place}family {name!r} must be one of {', '.join(families)}, the sections of "
                f"families in {path.name}{suggestion(name, families)}"
            )
    layers = [raw, chosen, families.get(family), own.get(family)]
    if any("gates" in (layer or {}) for layer in (chosen, *own.values())):
        raise SpinscopeError(
            f"profile {name}: gates must not depend on the profile; set them in the section gates, "
            "or in that of a family"
        )
    settings: dict[str, Any] = {"options": {}}
    for layer in layers:
        settings = _merged(settings, renamed(layer or {}, hint=True))
    settings |= {"profile": name, "family": family}
    if uri := os.environ.get("SPINSCOPE_TRACKING_URI"):
        overrides = [*overrides, f"tracking.uri={json.dumps(uri)}"]
    return _overridden(settings, [*(_inherited_overrides() if inherited else ()), *overrides])


def _merged(settings: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Settings with the values of a layer, at every depth."""
    out = dict(settings)
    for key, value in layer.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def project_params(params: Params) -> Params:
    """Settings of the project's params.yaml with the profile and family of `params`, no overrides.

    Gates are judged by them, not by overrides of the command line.
    """
    return load_params(params.profile, family=params.family, inherited=False)


def _yaml(text: str) -> Any:
    """Value of a YAML text; ValueError of one line for all that PyYAML raises."""
    try:
        value = yaml.safe_load(text)
        _check_plain(value)
        return value
    except (
        *(yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error


def _check_plain(value: Any) -> None:
    """Refuse values that no setting has: dates, sets, bytes, and what is too deep, long or big."""
    left, count = [(value, 0)], 0
    while left:
        one, depth = left.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_VALUES:
            raise ValueError(f"at most {_MAX_DEPTH} levels and {_MAX_VALUES} values are read")
        if isinstance(one, dict):
            if wrong := [key for key in one if not isinstance(key, str)]:
                raise ValueError(f"key {wrong[0]!r:.80} must be a text")
            left += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list):
            left += [(inner, depth + 1) for inner in one]
        elif isinstance(one, int) and abs(one) >= 2**63:
            raise ValueError("a number must fit in 64 bits")
        elif not isinstance(one, str | int | float | None):
            raise ValueError(f"{one!r:.80} must be a number, text, list or section")


def _section(value: Any, where: str, *, of_sections: bool = False) -> dict[str, Any]:
    """Section of settings, empty where it is null; with `of_sections`, a section of sections."""
    if not isinstance(value, dict | None):
        raise SpinscopeError(f"{where} (={value!r:.80}) must be a section of settings")
    if of_sections:
        for name, one in (value or {}).items():
            _section(one, f"{where}.{name}")
    return value or {}


def profile_names(path: Path | str | None = None) -> list[str]:
    """Names of the profiles of params.yaml, the one that applies by default first.

    Parameters
    ----------
    path : Path, optional
        Another file than the project's.
    """
    default = load_params(path=path).profile
    names = _yaml(Path(path or _bundled("params.yaml")).read_text())["profiles"]
    return [default, *(name for name in names if name != default)]


def bundled_flows() -> Path:
    """Folder of the Prefect flows: those of the checkout, else those of the installed package."""
    return _programs("flows/serve.py")


def bundled_dashboards() -> Path:
    """Folder of the dashboard: that of the checkout, else that of the installed package."""
    return _programs("dashboards/app.py")


def _programs(main: str) -> Path:
    """Folder that contains a program, in the checkout or in the installed package."""
    own = project_root() / main
    return (own if own.is_file() else Path(__file__).parent / "_bundled" / main).parent


def overridden(params: Params, overrides: Sequence[str]) -> Params:
    """Settings with single values replaced, each ``section.key=value``.

    Raises
    ------
    SpinscopeError
        If a key or value is unknown or not valid.
    """
    return _overridden(params.model_dump(mode="json"), overrides)


def _overridden(settings: dict[str, Any], overrides: Sequence[str]) -> Params:
    for override in overrides:
        _override(settings, override)
    try:
        return Params.model_validate(settings)
    except ValidationError as error:
        raise SpinscopeError(f"params: {first_error(error, Params)}") from error


def first_error(error: ValidationError, model: type[BaseModel], section: str = "") -> str:
    """Sentence about the first error of settings: key, value, rule and a similar key.

    Parameters
    ----------
    error : ValidationError
    model : type
        Model that was validated.
    section : str, default ""
        Prefix of the key, if the model is one section.
    """
    errors = error.errors()
    # An unknown key explains a missing one.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    if first["type"] == "value_error" and isinstance(first.get("input"), dict):
        return str(first["ctx"]["error"])  # a rule over several settings, which it names
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    *parents, key = map(str, first["loc"])
    where = ".".join(filter(None, (section, *parents, key)))
    value = re.sub(r"://[^\s'\"]*@", "://", repr(first.get("input")))  # without a password
    sentence = f"{where} (={value}) is not valid: "
    if first["type"] != "extra_forbidden":
        return sentence + first["msg"].removeprefix("Value error, ")
    root = model
    for parent in parents:
        annotation = model.model_fields[parent].annotation
        model = next(kind for kind in (*get_args(annotation), annotation) if kind)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return f"{sentence}there is no such setting"
    similar = suggestion(key, model.model_fields) or suggestion(where, _keys(root))
    return f"{sentence}there is no such setting{similar}"


def check_stored(path: Path, content: Any, model: type[BaseModel]) -> None:
    """Refuse the content of a stored file that a model does not describe.

    Parameters
    ----------
    path : Path
        File, which the message names.
    content : any
        Parsed content of the file.
    model : type
        Model of the content.

    Raises
    ------
    SpinscopeError
        With file, key, value and rule.
    """
    try:
        model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise SpinscopeError(f"{path} must have a key {where}") from error
        rule = first["msg"].removeprefix("Value error, ")
        raise SpinscopeError(f"{path}: {where} (={first['input']!r:.80}): {rule}") from error


def _keys(model: type[BaseModel]) -> list[str]:
    """Keys of the sections of settings, joined by dots."""
    return [
        f"{section}.{key}"
        for section, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields
    ]


def suggestion(word: str, known: Iterable[str]) -> str:
    """End of a sentence that names the most similar of the known words; empty without one."""
    known = list(known)
    similar = [one for one in known if one.endswith(f".{word}")]
    similar = similar or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {' or '.join(map(repr, similar))}?" if similar else ""


def settings_environment(params: Params, overrides: Sequence[str] = ()) -> dict[str, str]:
    """Environment variables with which `load_params` returns the same settings in another process.

    Unlike a command line, they do not show the password of a database to other users.

    Parameters
    ----------
    params : Params
    overrides : sequence of str
        Those that `params` was loaded with, without those of the environment.
    """
    return {
        "SPINSCOPE_PROFILE": params.profile,
        "SPINSCOPE_SET": json.dumps([*_inherited_overrides(), *overrides]),
    }


def _inherited_overrides() -> list[str]:
    text = os.environ.get("SPINSCOPE_SET") or "[]"
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SpinscopeError("SPINSCOPE_SET must be a JSON list of section.key=value")
    return values


def _override(settings: dict[str, Any], override: str) -> None:
    """Replace one value of nested settings."""
    key, separator, text = override.partition("=")
    *sections, last = key.split(".")
    if not separator or not last:
        raise SpinscopeError(f"--set {override!r} must read section.key=value")
    if key == "family":
        raise SpinscopeError(f"--set {override!r}: a family is chosen by `spinscope train FAMILY`")
    if key == "profile":
        raise SpinscopeError(f"--set {override!r}: a profile is chosen with --profile")
    try:
        layer = _yaml(text)
    except ValueError as error:
        raise SpinscopeError(f"--set {override!r:.200}: the value must be YAML: {error}") from error
    for name in (last, *reversed(sections)):
        layer = {name: layer}
    layer = renamed(layer, hint=True)
    for _ in sections:
        ((section, layer),) = layer.items()
        known = [name for name, value in settings.items() if isinstance(value, dict)]
        if section not in known:
            raise SpinscopeError(
                f"--set {override!r}: there is no section {section!r}{suggestion(section, known)}"
            )
        settings = settings[section]
    settings.update(layer)


def dataset_path(params: Params) -> Path:
    """Folder of the dataset that the settings name, absolute."""
    return moke_path() if params.data.path == "auto" else project_root() / params.data.path
