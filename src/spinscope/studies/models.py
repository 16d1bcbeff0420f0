"""Models that a study measures, named on the command line as REF or NAME=REF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.inference.predict import Predictor
from spinscope.jobs.evaluating import predictor
from spinscope.models.store import NETWORK
from spinscope.tracking import resolve


@dataclass(frozen=True)
class Subject:
    """A model of a study.

    Parameters
    ----------
    name, ref : str
        Its name in the report and its reference.
    sha256 : str
        Digest of the network's file.
    predictor : Predictor
        The loaded network.
    views : int
        Augmented views that a prediction averages.
    """

    name: str
    ref: str
    sha256: str
    predictor: Predictor
    views: int

    @property
    def knows_axis(self) -> bool:
        """Whether it was trained for one tilt axis, so that images of another can be rotated."""
        return "axis_deg" in self.predictor.info

    def predict(self, image: np.ndarray, axis_deg: float = 0.0) -> np.ndarray:
        """Classes (H, W) of an image; one with a tilt axis other than 0 degrees is rotated.

        Parameters
        ----------
        image : (H, W) array
            Image.
        axis_deg : float
            Tilt axis in degrees.
        """
        return self._oriented(axis_deg or None, None).classes(image, self.views)

    def segment(self, image: np.ndarray, axis_deg: float, scale: float) -> tuple[np.ndarray, float]:
        """Classes (H, W) of an image seen at a scale, and the fraction of doubtful pixels.

        Parameters
        ----------
        image : (H, W) array
            Image.
        axis_deg : float
            Tilt axis in degrees.
        scale : float
            Ratio between network and image pixels.
        """
        return self._oriented(axis_deg, scale).segment(image, self.views)

    def _oriented(self, axis_deg: float | None, scale: float | None) -> Predictor:
        """Predictor that rotates and scales images."""
        return self.predictor.with_geometry(axis_deg if self.knows_axis else None, scale)

    def about(self, *keys: str) -> dict[str, Any]:
        """Name, reference, digest and some entries of the model's description.

        Parameters
        ----------
        *keys : str
            Entries of the description.
        """
        info = {key: self.predictor.info.get(key) for key in keys}
        return {"name": self.name, "ref": self.ref, "sha256": self.sha256, **info}


def named_refs(given: Sequence[str]) -> list[tuple[str, str]]:
    """Names and references of models.

    Parameters
    ----------
    given : sequence of str
        REF or NAME=REF each; a model without a name has that of its reference.

    Raises
    ------
    SpinscopeError
        If two have the same name.
    """
    found: dict[str, str] = {}
    for text in given:
        named = re.fullmatch(r"([\w .-]+)=(.+)", text)
        name, ref = named.groups() if named and not Path(text).exists() else (text, text)
        if name in found:
            raise SpinscopeError(f"two models are named {name!r}; name them as --model NAME=REF")
        found[name] = ref
    return list(found.items())


def subject(params: Params, given: str) -> Subject:
    """Model of a reference REF, or of NAME=REF.

    Parameters
    ----------
    params : Params
        Settings.
    given : str
        REF or NAME=REF.
    """
    ((name, ref),) = named_refs([given])
    digest = sha256(resolve(params.tracking, ref) / NETWORK)
    return Subject(name, ref, digest, predictor(params, ref), params.evaluation.tta)


def subjects(params: Params, given: Sequence[str]) -> list[Subject]:
    """Models of a study.

    Parameters
    ----------
    params : Params
        Settings.
    given : sequence of str
        REF or NAME=REF each.

    Raises
    ------
    SpinscopeError
        If there is none, or two have the same name.
    """
    if not given:
        raise SpinscopeError("a study needs at least one --model")
    named_refs(given)  # two of the same name fail before anything is loaded
    return [subject(params, one) for one in given]
