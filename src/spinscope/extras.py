"""Libraries that only an extra of the package installs, and the sentence where one is missing."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from spinscope.errors import SpinscopeError

_LIBRARIES = {
    "tensorflow": ("training", "TensorFlow", "platform"),
    "keras": ("training", "TensorFlow", "platform"),
    "mlflow": ("the model registry", "MLflow", "platform"),
    "sqlalchemy": ("the model registry", "MLflow", "platform"),
    "prefect": ("a flow", "Prefect", "platform"),
    "optuna": ("the search of settings", "Optuna", "platform"),
    "great_expectations": ("the validation of datasets", "Great Expectations", "platform"),
    "dvc": ("versioned data", "DVC", "platform"),
    "neuralmag": ("the simulation of films", "NeuralMag", "sim"),
    "jax": ("the simulation of films", "JAX", "sim"),
    "numba": ("the simulation of films", "Numba", "sim"),
    "rsciio": ("this file", "RosettaSciIO", "tem"),
    "bioimageio": ("a package of bioimage.io", "bioimageio.spec", "zoo"),
    "onnx": ("a package of bioimage.io", "ONNX", "zoo"),
    "onnxruntime": ("a package of bioimage.io", "ONNX Runtime", "zoo"),
    "tf2onnx": ("a package of bioimage.io", "tf2onnx", "zoo"),
    "xarray": ("the accessor of DataArrays", "xarray", "xarray"),
    "dask": ("work on several machines", "Dask", "cluster"),
    "prefect_dask": ("work on several machines", "Dask", "cluster"),
    "dask_jobqueue": ("work on several machines", "Dask", "cluster"),
}
"""Module → what needs it, its name, extra that installs it."""


class MissingExtra(SpinscopeError):
    """A library is missing that an extra of the package installs."""


@contextlib.contextmanager
def explained(purpose: str | None = None) -> Iterator[None]:
    """Turn the failed import of a library of an extra into one sentence.

    Parameters
    ----------
    purpose : str, optional
        What needs the library; by default what it is for.

    Raises
    ------
    MissingExtra
        In place of the `ModuleNotFoundError` of such a library.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        found = _LIBRARIES.get((error.name or "").partition(".")[0])
        if found is None:
            raise
        default, name, extra = found
        raise MissingExtra(
            f"{purpose or default} needs {name}, which is not installed: "
            f"pip install 'spinscope[{extra}]'"
        ) from error


def installed(module: str) -> bool:
    """Whether a library is installed.

    Parameters
    ----------
    module : str
        Name of its module.
    """
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def require(module: str, purpose: str | None = None) -> None:
    """Refuse work that a library of an extra is missing for, before it begins.

    Parameters
    ----------
    module : str
        Name of the module.
    purpose : str, optional
        What needs the library; by default what it is for.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    if not installed(module):
        with explained(purpose):
            raise ModuleNotFoundError(name=module)
