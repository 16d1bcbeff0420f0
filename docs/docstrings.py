"""Prepare docstrings for the API reference: fence doctests, render formulas as MathML."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

import griffe
from latex2mathml.converter import convert

MATH = re.compile(r"^( *)\.\. math::[ ]*(.*(?:\n\1[ ]+\S.*|\n(?=\n\1 +\S))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
DOCTEST = re.compile(r"(?:^[ ]*>>> .*\n?(?:^[ ]*\S.*\n?)*\n?)+", re.MULTILINE)


def markdown(text: str) -> str:
    """Replace reST formulas by MathML and put doctests into code fences."""
    text = MATH.sub(lambda m: "\n" + mathml(m[2], "block") + "\n", text)
    text = INLINE.sub(lambda m: mathml(m[1], "inline"), text)
    head, section, examples = text.partition("\nExamples\n")
    return (
        DOCTEST.sub(lambda m: f"```pycon\n{dedent(m[0]).strip()}\n```\n\n", head)
        + section
        + examples
    )


def mathml(formula: str, display: str) -> str:
    """Convert a LaTeX formula to MathML on one line."""
    return " ".join(convert(" ".join(formula.split()), display=display).split())


class Docstrings(griffe.Extension):
    """Prepare every docstring of the package while griffe loads it."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
