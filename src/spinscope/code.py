"""Digest of the program text that decides a result, so that no result of other code is reused."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

from spinscope.files import digest

_ROOT = Path(__file__).parent


def code_digest(modules: tuple[str, ...], functions: tuple[Callable, ...] = ()) -> str:
    """Sixteen hexadecimal digits of program text; comments, docstrings and layout do not count.

    Parameters
    ----------
    modules : tuple of str
        Modules and packages of spinscope, for example ``("images", "models")``; a package counts
        with all of its modules.
    functions : tuple of callable, optional
        Single functions, for example methods of a family.
    """
    texts = [_text(module) for module in modules]
    return digest([*texts, *(_canonical(_source(function)) for function in functions)])


@functools.cache
def _text(module: str) -> list[str]:
    place = _ROOT / module
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [_canonical(path.read_text()) for path in files]


def _source(function: Callable) -> str:
    """Source of a function; its name for one without a file, such as a builtin."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return repr(getattr(function, "__qualname__", function))


@functools.cache
def _canonical(source: str) -> str:
    """Syntax tree of a source without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
