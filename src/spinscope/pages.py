"""HTML pages from Jinja2 templates; a page is one file without scripts, fonts or network access."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return a page of `spinscope/templates`.

    Parameters
    ----------
    template : str
        Name of the template, for example ``"validation.html"``. Templates extend ``base.html``
        and import the macros of ``parts.html``: `table`, `figure` and `paragraphs`.
    **values
        Values of the template. Text is escaped; a missing value is an error.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    """Environment of all templates."""
    return Environment(
        loader=PackageLoader("spinscope"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
