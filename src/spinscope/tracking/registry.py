"""The model registry: numbered versions of model folders, with their measured numbers as tags."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.config import Tracking, project_root
from spinscope.errors import SpinscopeError, SpinscopeWarning
from spinscope.families import Family
from spinscope.files import atomic_folder, digest, partial_folder, sha256, sha256_folder
from spinscope.models.store import NETWORK
from spinscope.tracking.lineage import installed
from spinscope.tracking.runs import numbers, over_seeds
from spinscope.tracking.store import Store, open_store, pages, reachable

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.entities.model_registry import ModelVersion

LAB = "lab"
RECORD = "promotion."
"""Prefix of the tags of a registered name that record the moves of `lab`."""
_MODEL, _PREDICTIONS = "model", "predictions.npz"
_NAME = re.compile(r"[\w.-]+")
_FILES = "files.sha256"
"""Tag with the SHA-256 of all files of the model folder; earlier releases set none."""
_OF_SOME = ("count_error", "coverage")
"""Numbers of the reports of some families that the table of versions repeats."""
VERDICT = "reproduced"
"""Tag with the verdict of a repeated training; `reproduced.why` and others explain it."""
_MAX_DESCRIPTION = 5000
_SERVING = (
    *("keras", "tensorflow-cpu", "tensorflow", "openvino", "mlflow", "numpy", "pandas", "scipy"),
    *("pyarrow", "pillow", "tifffile", "imagecodecs", "av", "pydantic", "pyyaml", "psutil"),
    *("filelock", "platformdirs"),
)
"""Packages that a served model needs besides the code that is stored with it."""


@dataclass(frozen=True)
class Version:
    """One registered version of a model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    card: str

    @property
    def ref(self) -> str:
        """Reference of this version, independent of aliases."""
        return f"models:/{self.name}/{self.version}"

    def number(self, key: str) -> float | None:
        """Value of a tag as a number; None without one."""
        try:
            return float(self.tags[key])
        except (KeyError, ValueError):
            return None


def register(
    store: Store,
    family: Family,
    run_id: str,
    folder: Path | str,
    name: str,
    *,
    seed: int,
    reports: Mapping[int, Mapping[str, Any]],
    lineage: Mapping[str, str],
    validated: bool,
    examples: Sequence[np.ndarray],
) -> Version:
    """Register the model folder of one seed as a new version; it appears once it is complete.

    Parameters
    ----------
    store : Store
    family : Family
        Numbers that become tags, and how the model is applied.
    run_id : str
        Run that trained or measured the model.
    folder : Path
        Model folder.
    name : str
        Registered name.
    seed : int
        Seed of the model.
    reports : mapping
        Seed → evaluation report, of every seed. Mean and SD become tags of the version, and so do
        the numbers of `seed`.
    lineage : mapping
        Further tags: `lineage.lineage` and the evidence of the reports.
    validated : bool
        Whether the data passed validation.
    examples : sequence of arrays
        A few inputs; the model's outputs are stored with the version.

    Raises
    ------
    SpinscopeError
        If `seed` has no report or `examples` is empty, or the store fails.
    """
    from mlflow.entities import LoggedModelOutput

    if seed not in reports:
        raise SpinscopeError(f"reports hold seeds {sorted(reports)}; seed {seed} must be one")
    if not examples:
        raise SpinscopeError(f"model {name!r}: examples must hold at least one frame")
    client = store.client
    with partial_folder() as temporary:
        # Of a copy, so that another process cannot change the folder meanwhile.
        copy = Path(shutil.copytree(folder, temporary / _MODEL))
        card = (copy / "card.md").read_text() if (copy / "card.md").is_file() else ""
        tags = {
            **lineage,
            "network.sha256": sha256(copy / NETWORK),
            _FILES: sha256_folder(copy),
            "seed": str(seed),
            "seeds": ",".join(map(str, sorted(reports))),
            "data.validated": str(validated).lower(),
            **_measured(family, reports, seed),
        }
        if lineage.get("network.sha256", tags["network.sha256"]) != tags["network.sha256"]:
            raise SpinscopeError(f"model {name!r}: the network of {folder} is not the scored one")
        outputs = predictions(family, copy, examples)
        with reachable(store.uri):
            run = client.get_run(run_id)
            logged = client.create_logged_model(
                store.experiment_id,
                name=name,
                source_run_id=run_id,
                model_type=family.name,
                params=run.data.params,
            )
            packed = _pack(temporary, family, examples, outputs, run_id, logged.model_id)
            client.log_model_artifacts(logged.model_id, str(packed))
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_batch(run_id, metrics=_model_metrics(run, logged.model_id, reports[seed]))
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
            _create_name(store, name)
            created = client.create_model_version(
                name,
                source=logged.artifact_location,
                run_id=run_id,
                tags=tags,
                description=card[:_MAX_DESCRIPTION],
                await_creation_for=0,
                model_id=logged.model_id,
            )
            # A server links the logged model to its version; the client of a database does not.
            link = json.dumps([{"name": name, "version": str(created.version)}])
            client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    return version(store, name, int(created.version))


def predictions(family: Family, folder: Path, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of the model of a folder for some images, without augmented views.

    Parameters
    ----------
    family : Family
    folder : Path
        Model folder.
    images : sequence of arrays
    """
    predictor = family.predictor(folder)
    return [np.asarray(family.predict(predictor, image)) for image in images]


def names(store: Store) -> list[str]:
    """Registered names that have a version, sorted.

    Names that other programs gave and no reference can contain are left out.
    """
    with reachable(store.uri):
        models = pages(store.client.search_registered_models)
    return sorted(m.name for m in models if m.latest_versions and _NAME.fullmatch(m.name))


def version(store: Store, name: str, number: int | None = None) -> Version:
    """A version by its number, by default the newest.

    Raises
    ------
    SpinscopeError
        If the name or number is unknown; the sentence lists those that exist.
    """
    from mlflow.exceptions import MlflowException

    _check_name(name)
    with reachable(store.uri):
        if not number:
            newest = store.client.search_model_versions(
                f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
            )
            number = int(newest[0].version) if newest else 0
        try:
            found = store.client.get_model_version(name, str(number))
            return _version(found, found.aliases)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    exist = ", ".join(str(one.version) for one in reversed(every(store, name)))
    raise SpinscopeError(f"model {name!r} has no version {number}; there are: {exist}")


def intact(store: Store, of: Version) -> str | None:
    """None if the stored model is the registered one, else a sentence with both checksums."""
    try:
        folder = version_folder(store, of)
        stored = {"network": ("network.sha256", sha256(folder / NETWORK)),
                  "model folder": (_FILES, sha256_folder(folder))}  # fmt: skip
    except (SpinscopeError, OSError) as error:
        return f"the network of {of.ref} cannot be read: {error}"
    for what, (tag_, found) in stored.items():
        if (registered := of.tags.get(tag_, found)) != found:
            return (
                f"the stored {what} of {of.ref} has sha256 {found[:12]}, "
                f"{registered[:12]} was registered"
            )
    return None


def current(store: Store, name: str, alias: str = LAB) -> Version | None:
    """Version that an alias points to; None if the alias is not set.

    Parameters
    ----------
    store : Store
    name : str
        Registered name.
    alias : str, default "lab"
    """
    _check_name(name)
    with reachable(store.uri):
        registered = pages(store.client.search_registered_models, f"name = '{name}'")
    if not registered:
        every(store, name)  # says what is registered
    number = registered[0].aliases.get(alias)
    return None if number is None else version(store, name, int(number))


def moved_outside(store: Store, name: str) -> tuple[int | None, int] | None:
    """Versions of the last recorded promotion and of `lab`, if they differ; else None.

    They differ where the alias was moved by another program than spinscope, around the gates.
    """
    lab = current(store, name)
    if lab is None:
        return None
    recorded, possible = None, {None}
    for _, record in move_records(store, name):
        if record["state"] == "done":
            recorded, possible = record["to_version"], {record["to_version"]}
        elif record["state"] == "begun":  # it may have taken effect or not
            possible.add(record["to_version"])
    return None if lab.version in possible else (recorded, lab.version)


def move_records(store: Store, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Tags of a registered name that record moves of `lab`, oldest first: (key, record)."""
    with reachable(store.uri):
        tags = store.client.get_registered_model(name).tags
    return [(key, json.loads(tags[key])) for key in sorted(tags) if key.startswith(RECORD)]


def _check_moved(store: Store, lab: Version) -> None:
    """Warn about a `lab` that was moved around the gates, or refuse it."""
    moved = moved_outside(store, lab.name)
    if moved is None:
        return
    recorded = "no version" if moved[0] is None else f"version {moved[0]}"
    sentence = (
        f"models:/{lab.name}@{LAB} points to version {moved[1]}, but {recorded} was promoted last: "
        "the alias was moved around the gates"
    )
    if store.moved_alias == "refuse":
        raise SpinscopeError(f"{sentence}; tracking.moved_alias refuses to use it")
    warnings.warn(sentence, SpinscopeWarning, stacklevel=3)


def find(store: Store, model_ref: str) -> Version:
    """Version of a reference `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises
    ------
    SpinscopeError
        If there is none (the sentence lists what exists), or `lab` was moved around the gates and
        `tracking.moved_alias` is "refuse".
    """
    match = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model_ref)
    if not match:
        raise SpinscopeError(
            f"model {model_ref!r} must be models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    name, alias, number = match.groups()
    if number:
        return version(store, name, int(number))
    if version_at := current(store, name, alias):
        if alias == LAB:
            _check_moved(store, version_at)
        return version_at
    aliases = sorted({alias for v in every(store, name) for alias in v.aliases})
    raise SpinscopeError(
        f"model {name!r} has no alias {alias!r}; aliases are: {', '.join(aliases) or 'none'}"
    )


def resolve(store: Store | Tracking, model_ref: str) -> Path:
    """Model folder of a reference, on this machine.

    Parameters
    ----------
    store : Store or Tracking
        Only references that begin with `models:` need the registry, which is opened for them.
    model_ref : str
        `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `bundled:NAME` or a folder.

    Raises
    ------
    SpinscopeError
        If the reference is unknown (the sentence lists what exists), or the stored model is not
        the registered one.
    """
    if not model_ref.startswith("models:"):
        from spinscope.models.store import resolve_local

        return resolve_local(model_ref)
    store = store if isinstance(store, Store) else open_store(store)
    found = find(store, model_ref)
    if problem := intact(store, found):
        raise SpinscopeError(problem)
    return version_folder(store, found)


def version_folder(store: Store, of: Version) -> Path:
    """Model folder of a version; one of a server is downloaded once to build/models."""
    return _artifacts(store, of) / _MODEL


def tag(store: Store, of: Version, tags: Mapping[str, Any]) -> None:
    """Add tags to a version.

    Parameters
    ----------
    store : Store
    of : Version
    tags : mapping
        Name → value, which is stored as text.
    """
    with reachable(store.uri):
        for key, value in tags.items():
            store.client.set_model_version_tag(of.name, str(of.version), key, str(value))


def stored_predictions(store: Store, of: Version) -> list[tuple[np.ndarray, np.ndarray]]:
    """Example inputs and the outputs of the model at its registration."""
    path = _artifacts(store, of) / _PREDICTIONS
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as arrays:
        count = len(arrays.files) // 2
        # Versions of earlier releases contain `classes_I`.
        kind = "output" if "output_0" in arrays else "classes"
        return [(arrays[f"image_{i}"], arrays[f"{kind}_{i}"]) for i in range(count)]


def versions(store: Store, name: str | None = None):
    """Table of the registered versions of a name, or of all, newest first."""
    import pandas as pd

    rows = [
        {
            "name": v.name,
            "version": v.version,
            "aliases": ", ".join(v.aliases),
            **_headline(v),
            "seeds": len(v.tags["seeds"].split(",")) if "seeds" in v.tags else 0,
            "seen_in_training": _whole(v.number("seen_in_training")),
            **{key: v.number(key) for key in _OF_SOME},
            "frame_ms": v.number("frame_ms"),
            "validated": v.tags.get("data.validated") == "true",
            "data": v.tags.get("data.hash", ""),
            "commit": v.tags.get("git.commit", "")[:10],
            "dirty": v.tags.get("git.dirty", ""),
            "reproduced": v.tags.get(VERDICT),
            "run_id": v.run_id,
        }
        for model in ([name] if name else names(store))
        for v in every(store, model)
    ]
    table = pd.DataFrame(rows)
    return table.astype({"seen_in_training": "Int64"}) if len(table) else table


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _headline(v: Version) -> dict[str, float | None]:
    """Mean and SD of the family's metric; empty for a family that is not installed."""
    try:
        metric = families.of_model(v.tags).metric.name
    except SpinscopeError:
        return {}
    return {metric: v.number(f"{metric}.mean"), f"{metric}_sd": v.number(f"{metric}.sd")}


def compare(a: Version, b: Version):
    """Table of the tags in which two versions differ.

    Columns are the key, the reference of `a`, that of `b`, and the change of a number.
    """
    import pandas as pd

    rows = []
    for key in sorted({*a.tags, *b.tags}):
        values, numbers = (a.tags.get(key, ""), b.tags.get(key, "")), (a.number(key), b.number(key))
        if values[0] != values[1]:
            rows.append((key, *values, None if None in numbers else numbers[1] - numbers[0]))
    return pd.DataFrame(rows, columns=["key", a.ref, b.ref, "change"])


def same_version(store: Store, name: str, tags: Mapping[str, str]) -> Version | None:
    """The newest version of a name, if network, settings, data and scores are those of `tags`.

    Parameters
    ----------
    store : Store
    name : str
        Registered name.
    tags : mapping
        Holds `network.sha256`, `params.digest`, `data.hash` and `evidence.KEY` of the scores.
    """
    if name not in names(store):
        return None
    newest = version(store, name)
    same = ["params.digest", "data.hash", "network.sha256"]
    same += [key for key in tags if key.startswith("evidence.")]
    return newest if all(newest.tags.get(key) == tags[key] for key in same) else None


def _measured(family: Family, reports: Mapping[int, Mapping[str, Any]], seed: int) -> dict:
    """Tags of the measured numbers: mean and SD over the seeds, and the numbers of `seed`."""
    summarised = {family.metric.name, *family.summarised}
    summary = {
        key: value
        for key, value in over_seeds(reports).items()
        if key.rpartition(".")[0] in summarised
    }
    measured = {**numbers(reports[seed]), **summary, **family.facts(reports[seed])}
    return {key: f"{value:.8g}" for key, value in measured.items()}


def _model_metrics(run: Run, model_id: str, report: Mapping[str, Any]) -> list[Metric]:
    """Numbers of a report as metrics of a logged model, on the validation frames of its run.

    A number that differs from the run's own is dated before it, so that the run keeps its own.
    """
    from mlflow.entities import Metric

    uses = ((given.dataset, tag.value) for given in run.inputs.dataset_inputs for tag in given.tags)
    frames = next((dataset for dataset, use in uses if use == "validation"), None)
    own = run.data.metrics
    return [
        Metric(
            f"validation.{key}",
            value,
            run.info.start_time - (own.get(f"validation.{key}", value) != value),
            step=0,
            model_id=model_id,
            dataset_name=frames and frames.name,
            dataset_digest=frames and frames.digest,
            run_id=run.info.run_id,
        )
        for key, value in numbers(report).items()
        if math.isfinite(value)
    ]


def _pack(
    temporary: Path,
    family: Family,
    images: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    run_id: str,
    model_id: str,
) -> Path:
    """Write the MLflow model beside a copy of the model folder."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    code = temporary / "spinscope"
    package = Path(families.__file__).parents[1]
    shutil.copytree(package, code, ignore=shutil.ignore_patterns("__pycache__", "_bundled"))
    model = Model(artifact_path="model", run_id=run_id, model_id=model_id)
    # `mlflow.keras.load_model` finds the network in the model folder.
    model.add_flavor(
        "keras",
        data=f"artifacts/{_MODEL}",
        keras_version=installed(["keras"])["keras"],
        keras_backend="tensorflow",
        save_exported_model=False,
    )
    arrays = {f"image_{i}": image for i, image in enumerate(images)}
    arrays |= {f"output_{i}": output for i, output in enumerate(outputs)}
    np.savez_compressed(temporary / _PREDICTIONS, **arrays)
    save_model(
        temporary / "packed",
        python_model=str(Path(__file__).with_name("served.py")),
        artifacts={
            "model": str(temporary / _MODEL),
            "predictions": str(temporary / _PREDICTIONS),
        },
        signature=_signature(family),
        input_example=_request(family, images[0]),
        code_paths=[str(code)],
        pip_requirements=[f"{name}=={v}" for name, v in installed(_SERVING).items()],
        mlflow_model=model,
    )
    return temporary / "packed"


def _signature(family: Family):
    """Columns and parameters of the requests to a served model, and of its answers."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    types = {int: "long", float: "double", str: "string"}
    options = [
        ParamSpec(name, types[type(default)], default)
        for name, default in family.answer_options.items()
    ]
    columns = (*family.answer_columns, "model")
    return ModelSignature(
        inputs=Schema([_input_column(family)]),
        outputs=Schema([ColSpec(AnyType(), column) for column in columns]),
        params=ParamSchema(options) if options else None,
    )


def _input_column(family: Family):
    """Column of a request: the file of an image, or spins as nested lists or a NumPy file."""
    from mlflow.types import ColSpec
    from mlflow.types.schema import AnyType

    return ColSpec("binary", "image") if family.input == "image" else ColSpec(AnyType(), "spins")


def _request(family: Family, example: np.ndarray):
    """Request with a corner of an example, and its parameters where the family names some.

    An image is an 8-bit PNG; spins are lists.
    """
    import pandas as pd
    from PIL import Image

    if family.input == "spins":
        return pd.DataFrame({"spins": [example[:16, :16].round(4).tolist()]})
    buffer = io.BytesIO()
    corner = np.round(example[:32, :32] * 255).astype(np.uint8)
    Image.fromarray(corner).save(buffer, format="PNG")
    request = pd.DataFrame({"image": [buffer.getvalue()]})
    return (request, dict(family.answer_example)) if family.answer_example else request


def _create_name(store: Store, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def every(store: Store, name: str) -> list[Version]:
    """All versions of a name, newest first."""
    _check_name(name)
    with reachable(store.uri):
        entities = pages(store.client.search_model_versions, f"name = '{name}'")
        # A search does not return the aliases of a version.
        aliases = store.client.get_registered_model(name).aliases if entities else {}
    if not entities:
        exist = ", ".join(names(store)) or "none"
        raise SpinscopeError(f"model {name!r} is not registered; registered are: {exist}")
    found = [
        _version(entity, (a for a, n in aliases.items() if int(n) == int(entity.version)))
        for entity in entities
    ]
    return sorted(found, key=lambda version: -version.version)


def _version(entity: ModelVersion, aliases: Iterable[str]) -> Version:
    """Version of an entity of MLflow."""
    return Version(
        entity.name,
        int(entity.version),
        entity.run_id or "",
        tuple(sorted(aliases)),
        dict(entity.tags),
        entity.description or "",
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SpinscopeError(f"model name {name!r} must be letters, digits, '-', '_' and '.'")


def _artifacts(store: Store, of: Version) -> Path:
    """Folder on this machine with the artifacts of `_pack`."""
    from mlflow.artifacts import download_artifacts

    with reachable(store.uri):
        place = store.client.get_model_version_download_uri(of.name, str(of.version))
        if place.startswith(("/", "file://")):
            folder = Path(place.removeprefix("file://"))
        else:
            cache = project_root() / "build/models" / digest(f"{store.uri} {place}")
            folder = cache / of.name / str(of.version)
            if not folder.is_dir():
                with atomic_folder(folder) as partial:
                    download_artifacts(
                        artifact_uri=place, dst_path=str(partial), tracking_uri=store.uri
                    )
            # A download puts the folder into another one of the same name.
            folder = next(folder.rglob("MLmodel"), folder / "MLmodel").parent
    artifacts = folder / "artifacts"
    if not (artifacts / _MODEL).is_dir():
        raise SpinscopeError(f"{of.ref}: {artifacts / _MODEL} is missing from the artifact store")
    return artifacts
