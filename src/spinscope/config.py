"""params.yaml and the environment, read once into frozen models; an unknown key is an error."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _rising(range_: tuple[float, float]) -> tuple[float, float]:
    low, high = range_
    if not low <= high:  # a NaN is not
        raise ValueError("a range must be [low, high] with low at most high")
    return range_


def _where(rule: Callable[[float], bool], says: str) -> AfterValidator:
    """Rule that both ends of a range must follow."""

    def check(range_: tuple[float, float]) -> tuple[float, float]:
        if not all(map(rule, range_)):
            raise ValueError(says)
        return range_

    return AfterValidator(check)


Finite = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[tuple[Finite, Finite], AfterValidator(_rising)]
"""[low, high]; a value is drawn uniformly between them, and is `low` where they are equal."""
Positive = Annotated[Range, _where(lambda end: end > 0, "both ends must be above 0")]
NotNegative = Annotated[Range, _where(lambda end: end >= 0, "both ends must be at least 0")]
Tilt = Annotated[Range, _where(lambda end: abs(end) < 90, "a tilt must be below 90 degrees")]


class Data(_Section):
    path: str = "auto"
    scheme: Literal[2, 3, 5] = 3
    train_batches: tuple[int, ...] = (0, 1, 3, 4)
    validation_batches: tuple[int, ...] = (2,)
    test_batches: tuple[int, ...] = ()


class Fetch(_Section):
    record: str
    api: str
    file: str
    size: int = Field(gt=0)
    max_unpacked: int = Field(gt=0)
    retries: int = Field(ge=0)


class Kerr(_Section):
    n: int = Field(gt=0)
    height: int = Field(ge=32)
    width: int = Field(ge=32)
    frames_per_source: int = Field(gt=0)
    shard_frames: int = Field(gt=0)
    workers: int = Field(gt=0)
    bright_fraction: float = Field(default=0.0, ge=0, le=1)


class Films(_Section):
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
    grained_fraction: float = Field(ge=0, le=1)
    grains: int = Field(ge=2)
    grain_nm: Finite = Field(gt=0)
    grain_spread: float = Field(ge=0, lt=1)
    grain_exchange: float = Field(ge=0, le=1)
    periodic_images: int = Field(ge=0)
    initial: Literal["random", "skyrmions"]
    tolerance: Finite = Field(gt=0)
    max_evaluations: int = Field(gt=0)
    batch: int = Field(gt=0)
    shard_films: int = Field(gt=0)


class Ltem(_Section):
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


class Upscale(_Section):
    below_px: float = Field(gt=0)
    scale: float = Field(gt=1, le=4)


class Model(_Section):
    width: int = Field(default=16, ge=1)
    depth: int = Field(default=4, ge=1, le=6)
    stem: Literal[1, 2, 4] = 1
    refine: int = Field(default=0, ge=0)
    activation: Literal["relu", "prelu", "tanh", "mish"] = "relu"
    dropout: float = Field(default=0.05, ge=0, lt=1)
    upscale: Upscale | None = None
    min_peak_probability: float | None = Field(default=None, gt=0, lt=1)

    @property
    def size_multiple(self) -> int:
        """Height and width that the network reads must be multiples of this many pixels."""
        return self.stem * 2**self.depth

    @property
    def rules(self) -> dict[str, Any]:
        """How the network is applied: `upscale` and `min_peak_probability`."""
        return self.model_dump(include={"upscale", "min_peak_probability"})

    @property
    def layers(self) -> dict[str, Any]:
        """What the network is made of: all the rest."""
        return self.model_dump(exclude={"upscale", "min_peak_probability"})


class Training(_Section):
    seeds: int = Field(default=5, ge=1)
    epochs: int = Field(default=15, ge=1)
    steps_per_epoch: int = Field(default=100, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=256, ge=16)
    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: Literal["cosine", "plateau"] = "cosine"
    keep: Literal["best", "last"] = "best"
    weight_decay: float = Field(default=1e-4, ge=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    class_weights: tuple[float, ...] | None = None
    early_stopping: int = Field(default=50, ge=1)
    plateau_patience: int = Field(default=5, ge=1)
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    pretrained: str | None = None
    anchor: float = Field(default=0.0, ge=0, lt=1)
    source_balance: float = Field(default=0.5, ge=0, le=1)


Symmetry = Literal["square", "axis", "none"]
"""Views of an image that are images of the same kind: turned by quarters and mirrored, mirrored
top to bottom only (a tilt axis along the columns' direction keeps its place), or none."""


class Augmentation(_Section):
    symmetry: Symmetry = "square"
    border: Literal["mirror", "wrap"] = "mirror"
    scale: float = Field(default=0.2, ge=0, lt=1)
    shift: bool = True
    noise: float = Field(default=0.4, ge=0)
    noise_probability: float = Field(default=0.5, ge=0, le=1)
    contrast: float = Field(default=0.3, ge=0, lt=1)
    brightness: float = Field(default=0.6, ge=0)
    gradient: float = Field(default=0.5, ge=0)
    blur: float = Field(default=0.3, ge=0, le=1)
    blur_px: Positive = (0.3, 1.2)
    invert: bool = False
    restandardise: bool = False
    poisson: float = Field(default=0.0, ge=0)
    salt: float = Field(default=0.0, ge=0, lt=1)
    clip: float = Field(default=0.0, ge=0, le=1)
    gamma: Positive = (1.0, 1.0)
    background: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _detector(self) -> Augmentation:
        """What needs grey levels in [0, 1] needs a view that is standardised afterwards."""
        neutral = {"poisson": 0, "salt": 0, "clip": 0, "gamma": (1, 1), "background": 0}
        changed = [name for name, value in neutral.items() if getattr(self, name) != value]
        if changed and not self.restandardise:
            value = getattr(self, changed[0])
            raise ValueError(
                f"augmentation.{changed[0]} (={value}) needs augmentation.restandardise: true"
            )
        return self


class Evaluation(_Section):
    tta: Literal[1, 2, 3, 8] = 8
    iou: float = Field(default=0.5, ge=0.5, le=1)
    min_object_px: int = Field(default=4, ge=1)
    size_bins: int = Field(default=32, ge=2)


class Inference(_Section):
    engine: Literal["auto", "openvino", "keras"]
    precision: Literal["auto", "bf16", "f32"]
    tile: int = Field(ge=256)
    overlap: int = Field(ge=64)


class Segment(_Section):
    tta: Literal[1, 2, 3, 8]
    axis_deg: float | None = Field(allow_inf_nan=False)
    scale: float | None = Field(gt=0, allow_inf_nan=False)
    workers: int = Field(ge=0)
    chunk_frames: int = Field(ge=1)
    min_px: int = Field(ge=1)
    pixel_size_nm: float | None = Field(gt=0, allow_inf_nan=False)
    settle_s: float = Field(ge=0)
    idle_s: float | None = Field(gt=0)


class Measure(_Section):
    search_range_px: float | None = Field(gt=0)
    memory: int = Field(ge=0)
    size_ratio: float | None = Field(gt=1)
    subtract_drift: bool
    max_lag: int = Field(ge=1)


class Gates(_Section):
    mcc_spread: float = Field(ge=0)
    min_mcc: float
    max_count_error: float = Field(ge=0)
    max_frame_ms: float = Field(gt=0)
    reproduce_tolerance: float = Field(ge=0)


class Tracking(_Section):
    uri: str
    artifacts: str
    experiment: str


class Flows(_Section):
    train_cron: str | None
    evaluate_cron: str | None
    promote_cron: str | None
    corpus_ltem_cron: str | None
    study_cron: str | None
    concurrency: int = Field(ge=1)
    retries: int = Field(ge=0)


class Serve(_Section):
    mlflow_port: int
    prefect_port: int
    dashboard_port: int


Overrides = tuple[str, ...]
"""Settings that a study lays over the others, each `section.key=value`."""


class Ablations(_Section):
    seeds: int = Field(ge=1)
    master_epochs: int = Field(ge=1)
    base: Overrides


class Search(_Section):
    trials: int = Field(ge=1)
    startup: int = Field(ge=0)
    base: Overrides


class Relabelling(_Section):
    labelled_sources: int = Field(ge=1)
    seeds: int = Field(ge=1)
    min_px: int = Field(ge=1)
    base: Overrides
    teacher: Overrides


class Probes(_Section):
    frames: int = Field(ge=1)
    height: int = Field(ge=64)
    width: int = Field(ge=64)


class CrossValidation(_Section):
    seeds: int = Field(ge=1)
    base: Overrides


class Params(_Section):
    """All settings of one run: params.yaml with its profile, family and overrides applied."""

    profile: str
    family: str
    seed: int
    data: Data
    fetch: Fetch
    kerr: Kerr
    films: Films
    ltem: Ltem
    model: Model
    training: Training
    augmentation: Augmentation
    evaluation: Evaluation
    inference: Inference
    segment: Segment
    measure: Measure
    gates: Gates
    tracking: Tracking
    flows: Flows
    serve: Serve
    ablations: Ablations
    search: Search
    relabelling: Relabelling
    probes: Probes
    cross_validation: CrossValidation

    @model_validator(mode="after")
    def _fit_together(self) -> Params:
        """Settings of different sections that hold only together."""
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
        """Sixteen hexadecimal digits that name what decides the outcome of a training.

        Ports, schedules and the like may change without a training being another.
        """
        decisive = {"seed", "family", "data", "model", "training", "augmentation", "evaluation"}
        text = json.dumps(self.model_dump(mode="json", include=decisive), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


DEFAULT_FAMILY = "moke-unet"


def project_root() -> Path:
    """Folder that holds params.yaml: $SPINSCOPE_ROOT, the current folder, or the checkout."""
    if named := os.environ.get("SPINSCOPE_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    return next((p for p in (here, checkout) if (p / "params.yaml").is_file()), here)


def _bundled(relative: str) -> Path:
    """A shipped file: of the checkout, or of the installed package."""
    in_root = project_root() / relative
    return in_root if in_root.exists() else Path(__file__).parent / "_bundled" / relative


def bundled_models() -> Path:
    """Folder of the pretrained models that come with the code."""
    return _bundled("models")


def moke_path() -> Path:
    """Folder of the real Kerr micrographs: $SPINSCOPE_MOKE, else data/moke of the project."""
    named = os.environ.get("SPINSCOPE_MOKE")
    return Path(named) if named else project_root() / "data" / "moke"


def ltem_path() -> Path:
    """Folder of published Lorentz micrographs: $SPINSCOPE_LTEM, else data/ltem of the project."""
    named = os.environ.get("SPINSCOPE_LTEM")
    return Path(named) if named else project_root() / "data" / "ltem"


def load_params(
    profile: str | None = None,
    overrides: tuple[str, ...] | list[str] = (),
    path: Path | str | None = None,
    family: str = DEFAULT_FAMILY,
) -> Params:
    """Read params.yaml and lay over it a profile, the family, what the profile says of the family,
    then `section.key=value` overrides.

    $SPINSCOPE_PROFILE names the profile where the caller names none; the overrides of
    $SPINSCOPE_SET, a JSON list, go before the caller's own (`settings_environment`).
    Raises SpinscopeError for an unknown profile, family, key or value, naming it.
    """
    path = Path(path or _bundled("params.yaml"))
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpinscopeError(f"{path} must be a readable YAML file: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("profiles"), dict):
        raise SpinscopeError(f"{path} must hold sections of settings and their profiles")
    profiles = raw.pop("profiles")
    name = profile or os.environ.get("SPINSCOPE_PROFILE") or raw.get("profile")
    if name not in profiles:
        raise SpinscopeError(f"profile {name!r} must be one of {', '.join(sorted(profiles))}")
    families, chosen = raw.pop("families", None) or {}, dict(profiles[name] or {})
    if family not in families:
        raise SpinscopeError(f"family {family!r} must be one of {', '.join(families)}")
    own = chosen.pop("families", None) or {}
    if unknown := set(own) - set(families):
        raise SpinscopeError(
            f"profile {name}: family {min(unknown)!r} must be one of {', '.join(families)}"
        )
    raw |= {"profile": name, "family": family}
    for layer in (chosen, families[family], own.get(family)):
        _lay_over(raw, layer or {})
    for override in (*_inherited_overrides(), *overrides):
        _override(raw, override)
    if uri := os.environ.get("SPINSCOPE_TRACKING_URI"):
        raw["tracking"] = {**(raw.get("tracking") or {}), "uri": uri}
    return _validated(raw)


def overridden(params: Params, overrides: Sequence[str]) -> Params:
    """`params` with values of its own laid over it, each `section.key=value`.

    Raises SpinscopeError as `load_params` does.
    """
    raw = params.model_dump(mode="json")
    for override in overrides:
        _override(raw, override)
    return _validated(raw)


def _validated(raw: dict[str, Any]) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "value_error" and isinstance(first.get("input"), dict):
            # A rule of ours over several settings, which it names.
            raise SpinscopeError(f"params: {first['ctx']['error']}") from error
        given = first.get("input")
        raise SpinscopeError(
            f"params: {where} (={given!r}) is not valid: {first['msg']}"
        ) from error


def _lay_over(raw: dict[str, Any], layer: dict[str, Any]) -> None:
    """Set the values of `layer` in `raw`, section by section."""
    for section, values in layer.items():
        if isinstance(values, dict):
            values = {**(raw.get(section) or {}), **values}
        raw[section] = values


def tracking_of(profile: str | None, overrides: Sequence[str]) -> Tracking:
    """Where models are kept, before it is known of which family the settings are to be.

    Raises SpinscopeError for settings that no family can have.
    """
    families = yaml.safe_load(_bundled("params.yaml").read_text())["families"]
    for family in families:
        with contextlib.suppress(SpinscopeError):
            load_params(profile, overrides, family=family)
            break
    else:
        load_params(profile, overrides)  # says what is wrong
    where = [override for override in overrides if override.startswith("tracking.")]
    return load_params(profile, where).tracking


def settings_environment(params: Params, overrides: Sequence[str] = ()) -> dict[str, str]:
    """Environment in which `load_params` gives `params` again, and any other profile likewise.

    overrides : those that `params` was loaded with, beside the ones of the environment.
    They may hold the password of a database, which a command line would show to everyone.
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


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    *sections, last = key.split(".")
    if not separator or not last:
        raise SpinscopeError(f"--set {override!r} must read section.key=value")
    if key == "family":
        raise SpinscopeError(f"--set {override!r}: a family is chosen by `spinscope train FAMILY`")
    if key == "profile":
        raise SpinscopeError(f"--set {override!r}: a profile is chosen with --profile")
    target = raw
    for section in sections:
        if not isinstance(target.get(section), dict):
            raise SpinscopeError(f"--set {override!r}: there is no section {section!r}")
        target = target[section]
    try:
        target[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpinscopeError(f"--set {override!r}: the value must be YAML") from error


def dataset_path(params: Params) -> Path:
    """Folder of the dataset that `params` names, absolute."""
    if params.data.path == "auto":
        return moke_path()
    path = Path(params.data.path)
    return path if path.is_absolute() else project_root() / path
