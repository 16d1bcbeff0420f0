"""Libraries that only an extra of the package installs, and the sentence where one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from spinscope.errors import SpinscopeError

_LIBRARIES = {
    "tensorflow": ("training", "TensorFlow", "platform"),
    "keras": ("training", "TensorFlow", "platform"),
    "mlflow": ("the model registry", "MLflow", "platform"),
    "sqlalchemy": ("the model registry", "SQLAlchemy", "platform"),
    "fastapi": ("the model registry", "FastAPI", "platform"),
    "prefect": ("flows", "Prefect", "platform"),
    "optuna": ("the search of settings", "Optuna", "platform"),
    "great_expectations": ("the validation of datasets", "Great Expectations", "platform"),
    "dvc": ("versioned data", "DVC", "platform"),
    "neuralmag": ("the simulation of films", "NeuralMag", "sim"),
    "jax": ("the simulation of films", "JAX", "sim"),
    "numba": ("the simulation of films", "Numba", "sim"),
    "rsciio": ("files of Gatan, TIA and TVIPS", "RosettaSciIO", "tem"),
    "prefect_dask": ("work on several machines", "prefect-dask", "cluster"),
    "dask_jobqueue": ("work on several machines", "dask-jobqueue", "cluster"),
    "psycopg2": ("a store in PostgreSQL", "psycopg2", "server"),
    "boto3": ("a store in S3", "boto3", "server"),
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
