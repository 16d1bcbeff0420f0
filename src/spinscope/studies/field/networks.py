"""Networks of the study: a training counts with all of its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.models.store import NETWORK, SUMS, model_info
from spinscope.studies.field.measures import Field
from spinscope.studies.models import named_refs
from spinscope.tracking import resolve


@dataclass(frozen=True)
class Network:
    """One trained network of the study.

    Parameters
    ----------
    name : str
        Name of its training in the report.
    ref : str
        Reference of the model.
    """

    name: str
    ref: str

    def __str__(self) -> str:
        return f"{self.name} {self.ref}"

    def folder(self, params: Params) -> Path:
        """Model folder on this machine."""
        return resolve(params.tracking, self.ref)

    def about(self, params: Params) -> dict[str, Any]:
        """Entry of the report: seed, architecture, number of weights, digest and training data.

        Raises
        ------
        SpinscopeError
            If the model is of another family.
        """
        folder = self.folder(params)
        info = model_info(folder)
        if info.get("family") != params.family:
            raise SpinscopeError(
                f"model {self.ref} is of the family {info.get('family')!r}; this study needs "
                f"networks of {params.family}"
            )
        keys = ("seed", "architecture", "parameters", "data_hash")
        known = {key: info.get(key) for key in keys}
        corpus = info.get("corpus") or {}
        return {**known, "sha256": sha256(folder / NETWORK), "trained_on": corpus.get("n")}

    def field(self, params: Params) -> Field:
        """Load the network."""
        from spinscope.inference.field import FieldPredictor

        return Field(FieldPredictor.load(self.folder(params)))


def networks(given: Sequence[str]) -> list[Network]:
    """Networks of the study in order.

    Parameters
    ----------
    given : sequence of str
        REF or NAME=REF each; the folder of a training stands for the networks of its seeds.

    Raises
    ------
    SpinscopeError
        If there is none, two have the same name, or a training has no finished seed.
    """
    if not given:
        raise SpinscopeError("a study needs at least one --model")
    return [Network(name, one) for name, ref in named_refs(given) for one in _seeds(ref)]


def _seeds(ref: str) -> list[str]:
    """References of the networks of a training; a reference of one model is returned as it is."""
    folder = Path(ref)
    if not folder.is_dir() or (folder / SUMS).is_file():
        return [ref]
    seeds = [path.parent for path in folder.glob(f"seed-*/model/{SUMS}")]
    if not seeds:
        raise SpinscopeError(f"{folder} must be a model folder, or that of a training with seeds")
    return [str(path) for path in sorted(seeds, key=lambda path: int(path.parent.name[5:]))]
