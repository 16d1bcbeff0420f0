"""The structure of the code: no private name crosses a module, no import runs in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest
from tests.conftest import LONGEST, TESTS

from spinscope.config import project_root

CODE = sorted(
    path
    for folder in ("src", "flows", "dashboards", "benchmarks")
    for path in (project_root() / folder).rglob("*.py")
)


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(project_root())))
def test_no_private_name_of_another_module_is_used(path: Path):
    tree = ast.parse(path.read_text())
    modules, found = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spinscope"):
            modules |= {alias.asname or alias.name for alias in node.names}
            found += [alias.name for alias in node.names if private(alias.name)]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and private(node.attr)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        ):
            found.append(f"{node.value.id}.{node.attr}")
    assert not found


def test_imports_run_in_no_circle():
    graph = grimp.build_graph("spinscope")
    waiting = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while leaves := [module for module, imports in waiting.items() if not imports & waiting.keys()]:
        for module in leaves:
            del waiting[module]
    assert not waiting


def test_the_tests_that_start_first_exist():
    assert [name for name in LONGEST if not (TESTS / name).exists()] == []
