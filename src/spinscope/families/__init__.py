"""Families of models, one module each: corpus, network, loss, batches, score, gates and rules."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from spinscope.config import Params, suggestion
from spinscope.errors import SpinscopeError
from spinscope.families.base import Family, Gate, Metric, Quantity

__all__ = ["Family", "Gate", "Metric", "Quantity", "get", "names", "of", "of_data", "of_model"]

_SHARED = {"base", "segmentation"}


def names() -> list[str]:
    """Names of the families, sorted: the modules of this package's path."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    return sorted(name.replace("_", "-") for name in modules - _SHARED)


def get(name: str) -> Family:
    """Family of a name: ``FAMILY`` of its module.

    Raises
    ------
    SpinscopeError
        If there is no such family, or its module contains none of this name.
    """
    if name not in names():
        raise SpinscopeError(
            f"family {name!r} must be one of {', '.join(names())}{suggestion(name, names())}"
        )
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    family = getattr(module, "FAMILY", None)
    if not isinstance(family, Family):
        raise SpinscopeError(f"{module.__file__} must contain FAMILY, an object of a Family")
    if family.name != name:
        raise SpinscopeError(f"{module.__file__}: FAMILY.name (={family.name!r}) must be {name!r}")
    return family


def of_model(info: Mapping[str, Any]) -> Family:
    """Family of a model, by the info of its folder; early folders of Kerr models name none.

    Raises
    ------
    SpinscopeError
        If there is no such family here.
    """
    return get(info.get("family", "moke-unet"))


def of_data(folder: Path) -> Family:
    """Family that reads a dataset folder: by the kind of a corpus, else the one of Kerr images."""
    from spinscope.datasets.modality import modality_of_folder

    modality = modality_of_folder(folder)
    known = (family for family in map(get, names()) if family.modality == modality)
    return next(known, None) or get("moke-unet")


def of(params: Params) -> Family:
    """Family that settings were loaded for, its options checked.

    Raises
    ------
    SpinscopeError
        If the settings are those of no family, or an option is unknown.
    """
    if params.family is None:
        raise SpinscopeError(f"a family must be named, one of {', '.join(names())}")
    family = get(params.family)
    family.options(params)
    return family
