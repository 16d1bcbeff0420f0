"""Published findings, measured with our models; one folder per study."""

from importlib import import_module
from pkgutil import iter_modules

from spinscope.studies.base import Part

PARTS: dict[str, Part] = {
    part.name: part
    for package in iter_modules(__path__)
    if package.ispkg
    for part in import_module(f"{__name__}.{package.name}").PARTS
}
"""Verb of a part → the part, of every study folder."""
