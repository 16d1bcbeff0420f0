"""The documentation: the site builds offline, its notebooks run, its facts match the code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def load(name: str):
    """Import a script of the folder docs."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site. Every warning is an error: broken links, anchors, pages without a place."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="((?:https?:)?//[^"]*)"')
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert {url for page in pages for url in loaded.findall(page.read_text())} == set()


def test_the_reference_documents_the_public_functions(site):
    import spinscope

    page = (site / "api/spinscope.html").read_text()
    for name in spinscope.__all__:
        assert f'id="spinscope.api.{name}"' in page


def test_formulas_and_examples_are_rendered():
    markdown = load("docstrings").markdown
    text = "Phase.\n\n.. math:: a = \\frac{1}{2}\n   + b\n\n>>> 1 + 1\n2\n\nMore :math:`c`.\n"
    page = markdown(text)
    assert page.count("<math") == 2
    assert "math::" not in page
    assert "```pycon\n>>> 1 + 1\n2\n```" in page


def test_the_drawing_of_the_layers_follows_the_contract():
    layers = load("layers")
    assert layers.SVG.read_text() == layers.drawing(layers.layers()), "run: python docs/layers.py"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(DOCS.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(path):
    load("execute").executed(path)


@pytest.mark.parametrize("path", sorted(DOCS.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_with_small_outputs_of_one_run(path):
    assert path.stat().st_size < 200_000
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    source = (ROOT / "src/spinscope/__init__.py").read_text()
    assert citation["version"] == project["version"]
    assert f'__version__ = "{project["version"]}"' in source
    assert citation["license"] == project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_outside_the_site_exist(page):
    text = re.sub(r"`[^`]*`", "", (ROOT / page).read_text())
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), target


def test_every_make_target_is_documented():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in phony[1].split() if f"`make {target}`" not in text] == ["setup"]
    assert "make setup" in text


def test_the_changelog_lists_every_renamed_setting_and_modules_that_exist():
    from spinscope.config import RENAMED

    text = (ROOT / "CHANGELOG.md").read_text()
    for section, keys in RENAMED.items():
        for old, new in keys.items():
            if "." not in section:
                assert re.search(rf"`{section}\.{old}\b.*`{section}\.{new}\b", text), old
    modules = text[text.index("#### Modules") : text.index("#### Classes")]
    for row in re.findall(r"^\| `.*\| (`spinscope.*) \|$", modules, re.MULTILINE):
        first, *others = re.findall(r"`([\w.]+)`", row)
        package = first.rpartition(".")[0]
        for name in (first, *(o if o.startswith("spinscope") else package + o for o in others)):
            assert importlib.util.find_spec(name), name
