"""The registry: model folders under a name and a number, with what they were measured to do."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope import families
from spinscope.config import Tracking, project_root
from spinscope.errors import SpinscopeError
from spinscope.families import Family
from spinscope.files import atomic_folder
from spinscope.tracking.runs import numbers, over_seeds
from spinscope.tracking.store import Store, digest, open_store, reachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

LAB = "lab"
_MODEL, _PREDICTIONS = "model", "predictions.npz"
_MAX_DESCRIPTION = 5000


@dataclass(frozen=True)
class Version:
    """One registered version: what it is called, where it comes from and its tags."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    card: str

    @property
    def ref(self) -> str:
        """The reference that opens this version for ever."""
        return f"models:/{self.name}/{self.version}"

    def number(self, key: str) -> float | None:
        """A tag as a number, None where there is none."""
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
    measured_on: str,
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
        Further tags (`lineage.lineage`).
    measured_on : str
        Name of the frames and settings of the reports (`lineage.measured_on`).
    validated : bool
        Whether the data passed validation.
    examples : sequence of arrays
        A few inputs; the model's outputs are stored with the version.

    Raises
    ------
    SpinscopeError
        If `seed` has no report or `examples` is empty, or the store fails.
    """
    folder = Path(folder)
    if seed not in reports:
        raise SpinscopeError(f"reports hold seeds {sorted(reports)}; seed {seed} must be one")
    if not examples:
        raise SpinscopeError(f"model {name!r}: examples must hold at least one frame")
    card = (folder / "card.md").read_text() if (folder / "card.md").is_file() else ""
    tags = {
        **lineage,
        "seed": str(seed),
        "seeds": ",".join(map(str, sorted(reports))),
        "data.validated": str(validated).lower(),
        "measured_on": measured_on,
        **_measured(family, reports, seed),
    }
    outputs = predictions(family, folder, examples)
    client = store.client
    with tempfile.TemporaryDirectory() as temporary, reachable(store.uri):
        logged = client.create_logged_model(
            store.experiment_id, name=name, source_run_id=run_id, model_type=family.name
        )
        packed = _pack(Path(temporary), family, folder, examples, outputs, run_id, logged.model_id)
        client.log_model_artifacts(logged.model_id, str(packed))
        client.finalize_logged_model(logged.model_id, "READY")
        _create_name(store, name)
        created = client.create_model_version(
            name,
            source=logged.artifact_location,
            run_id=run_id,
            tags=tags,
            description=card[:_MAX_DESCRIPTION],
            await_creation_for=0,  # it is there at once, but for a cloud's registry
            model_id=logged.model_id,
        )
    return version(store, name, int(created.version))


def predictions(family: Family, folder: Path, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of the model of a folder for some images, without augmented views."""
    predictor = family.predictor(folder)
    return [np.asarray(family.predict(predictor, image)) for image in images]


def names(store: Store) -> list[str]:
    """Registered model names, sorted."""
    with reachable(store.uri):
        return sorted(model.name for model in store.client.search_registered_models())


def version(store: Store, name: str, number: int | None = None) -> Version:
    """A version by its number, or the newest.

    Raises SpinscopeError for an unknown name or number, listing those that exist.
    """
    found = _versions(store, name)
    if number is None:
        return found[0]
    for candidate in found:
        if candidate.version == number:
            return candidate
    exist = ", ".join(str(v.version) for v in reversed(found))
    raise SpinscopeError(f"model {name!r} has no version {number}; there are: {exist}")


def current(store: Store, name: str, alias: str = LAB) -> Version | None:
    """The version that an alias points to, None where the alias is not set."""
    return next((v for v in _versions(store, name) if alias in v.aliases), None)


def find(store: Store, model_ref: str) -> Version:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names.

    Raises SpinscopeError, naming what exists, where there is none.
    """
    match = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model_ref)
    if not match:
        raise SpinscopeError(
            f"model {model_ref!r} must be models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    name, alias, number = match.groups()
    if number:
        return version(store, name, int(number))
    if found := current(store, name, alias):
        return found
    aliases = sorted({alias for v in _versions(store, name) for alias in v.aliases})
    raise SpinscopeError(
        f"model {name!r} has no alias {alias!r}; aliases are: {', '.join(aliases) or 'none'}"
    )


def resolve(store: Store | Tracking, model_ref: str) -> Path:
    """Model folder on this machine of any model reference.

    `models:/NAME@ALIAS` and `models:/NAME/VERSION` are looked up in the registry (which is only
    then opened, where settings are given); `bundled:NAME` and folders need none.
    Raises SpinscopeError for an unknown reference, naming what exists.
    """
    if not model_ref.startswith("models:"):
        from spinscope.models.store import resolve_local

        return resolve_local(model_ref)
    store = store if isinstance(store, Store) else open_store(store)
    return version_folder(store, find(store, model_ref))


def version_folder(store: Store, of: Version) -> Path:
    """Model folder of a version; what a server keeps is fetched once to build/models."""
    return _artifacts(store, of) / _MODEL


def tag(store: Store, of: Version, tags: Mapping[str, Any]) -> None:
    """Add tags to a version, as text."""
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
        # Versions that were registered before there were other families hold `classes_I`.
        kind = "output" if "output_0" in arrays else "classes"
        return [(arrays[f"image_{i}"], arrays[f"{kind}_{i}"]) for i in range(count)]


def versions(store: Store, name: str | None = None):
    """Table of the registered versions, newest first: one row a version of `name`, or of all."""
    import pandas as pd

    rows = [
        {
            "name": v.name,
            "version": v.version,
            "aliases": ", ".join(v.aliases),
            **_headline(v),
            "seeds": len(v.tags["seeds"].split(",")) if "seeds" in v.tags else 0,
            "count_error": v.number("count_error"),
            "frame_ms": v.number("frame_ms"),
            "validated": v.tags.get("data.validated") == "true",
            "data": v.tags.get("data.hash", ""),
            "commit": v.tags.get("git.commit", "")[:10],
            "dirty": v.tags.get("git.dirty", ""),
            "run_id": v.run_id,
        }
        for model in ([name] if name else names(store))
        for v in _versions(store, model)
    ]
    return pd.DataFrame(rows)


def _headline(v: Version) -> dict[str, float | None]:
    """Mean and SD of the family's metric; empty for a family that is not installed."""
    try:
        metric = families.of_model(v.tags).metric.name
    except SpinscopeError:
        return {}
    return {metric: v.number(f"{metric}.mean"), f"{metric}_sd": v.number(f"{metric}.sd")}


def compare(a: Version, b: Version):
    """Table of what two versions differ in or were measured to do: columns key, a, b, change."""
    import pandas as pd

    rows = []
    for key in sorted({*a.tags, *b.tags}):
        left, right = a.tags.get(key, ""), b.tags.get(key, "")
        if left == right:
            continue
        numbers = a.number(key), b.number(key)
        change = None if None in numbers else numbers[1] - numbers[0]
        rows.append({"key": key, a.ref: left, b.ref: right, "change": change})
    return pd.DataFrame(rows, columns=["key", a.ref, b.ref, "change"])


def same_version(store: Store, name: str, tags: Mapping[str, str]) -> Version | None:
    """The newest version of a name, if network, settings and data are those of `tags`."""
    if name not in names(store):
        return None
    newest = version(store, name)
    same = ("network.sha256", "params.digest", "data.hash")
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


def _pack(
    temporary: Path,
    family: Family,
    folder: Path,
    images: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    run_id: str,
    model_id: str,
) -> Path:
    """Write the MLflow model: model folder, stored predictions, signature, code, requirements."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    shutil.copytree(folder, temporary / _MODEL)
    arrays = {f"image_{i}": image for i, image in enumerate(images)}
    arrays |= {f"output_{i}": output for i, output in enumerate(outputs)}
    np.savez_compressed(temporary / _PREDICTIONS, **arrays)
    with warnings.catch_warnings():
        # MLflow would rather infer the signature that is given here.
        warnings.filterwarnings("ignore", message=".*Add type hints")
        save_model(
            temporary / "packed",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={
                "model": str(temporary / _MODEL),
                "predictions": str(temporary / _PREDICTIONS),
            },
            signature=_signature(family),
            input_example=_request(images[0][:32, :32]),
            pip_requirements=_requirements(),
            mlflow_model=Model(artifact_path="model", run_id=run_id, model_id=model_id),
        )
    return temporary / "packed"


def _signature(family: Family):
    """Columns and parameters of the requests to a served model, and of its answers."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array

    def kind(name: str):
        if name.startswith("["):
            return Array(kind(name.strip("[]")))
        return AnyType() if name == "any" else name

    answer = {**family.answer_columns, "model": "string"}
    types = {int: "long", float: "double", str: "string"}
    options = [
        ParamSpec(name, types[type(default)], default)
        for name, default in family.answer_options.items()
    ]
    return ModelSignature(
        inputs=Schema([ColSpec("binary", "image")]),
        outputs=Schema([ColSpec(kind(name), column) for column, name in answer.items()]),
        params=ParamSchema(options) if options else None,
    )


def _request(image: np.ndarray):
    """The table that asks for the mask of one image (H, W), as a PNG of 8 bit."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(buffer, format="PNG")
    return pd.DataFrame({"image": [buffer.getvalue()]})


def _requirements() -> list[str]:
    """Pinned packages of the environment that the model was made in; not guessed by MLflow."""
    wanted = ("spinscope", "keras", "tensorflow-cpu", "tensorflow", "openvino", "numpy", "mlflow")
    pinned = []
    for package in wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):
            pinned.append(f"{package}=={metadata.version(package)}")
    return pinned


def _create_name(store: Store, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _versions(store: Store, name: str) -> list[Version]:
    """All versions of a name, newest first."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise SpinscopeError(f"model name {name!r} must be letters, digits, '-', '_' and '.'")
    found, token = [], None
    with reachable(store.uri):
        while True:
            page = store.client.search_model_versions(f"name = '{name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
        aliases = _aliases(store, name) if found else {}
    if not found:
        exist = ", ".join(names(store)) or "none"
        raise SpinscopeError(f"model {name!r} is not registered; registered are: {exist}")
    return sorted((_entity(v, aliases) for v in found), key=lambda v: -v.version)


def _aliases(store: Store, name: str) -> dict[str, int]:
    """Alias → version number; a search of versions does not tell them."""
    return {
        alias: int(number)
        for alias, number in store.client.get_registered_model(name).aliases.items()
    }


def _entity(found: ModelVersion, aliases: Mapping[str, int]) -> Version:
    number = int(found.version)
    return Version(
        found.name,
        number,
        found.run_id or "",
        tuple(sorted(alias for alias, target in aliases.items() if target == number)),
        dict(found.tags),
        found.description or "",
    )


def _artifacts(store: Store, of: Version) -> Path:
    """Folder on this machine with what `_pack` stored as artifacts."""
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
            # A server gives the folder below another of its own name.
            folder = next(folder.rglob("MLmodel"), folder / "MLmodel").parent
    artifacts = folder / "artifacts"
    if not (artifacts / _MODEL).is_dir():
        raise SpinscopeError(f"{of.ref}: {artifacts / _MODEL} is missing from the artifact store")
    return artifacts
