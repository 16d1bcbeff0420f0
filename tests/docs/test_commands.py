"""What the documentation names exists: commands, options, settings, modules."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from spinscope.cli import app
from spinscope.config import load_params

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/notebooks/*.ipynb")),
    *sorted(ROOT.glob("models/*/card.md")),
]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
NO_SETTINGS = {"training.json", "data.dvc", "data.hash", "data.labels", "films.json", "section.key"}
NO_SETTINGS |= {"lattice.csv", "lattice.parquet"}


def text(page: Path) -> str:
    return page.read_text().replace("\\n", "\n") if page.suffix == ".ipynb" else page.read_text()


def commands(page: Path) -> list[list[str]]:
    """The words of every `spinscope` command in the code of a page."""
    fenced = r"^```\n(.*?)^```"
    indented = r"((?:^    spinscope .*\n)(?:^    .*\n)*)"
    blocks = re.findall(f"{fenced}|{indented}", text(page), re.DOTALL | re.MULTILINE)
    code = re.sub(r"\\\n\s*", " ", "\n".join(a + b for a, b in blocks))
    lines = re.findall(r"^(?:\s|[A-Z_]+=\S+ )*(spinscope [a-z].*)$", code, re.MULTILINE)
    lines += re.findall(r"`(spinscope [a-z][^`]*)`", text(page).replace("\n", " "))
    return [shlex.split(re.split(r"  +| #", line)[0])[1:] for line in lines]


@EACH_PAGE
def test_commands_and_options_exist(page):
    for words in commands(page):
        command, rest = typer.main.get_command(app), words
        while rest and hasattr(command, "commands"):
            assert rest[0] in command.commands, f"spinscope {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        if "ignore_unknown_options" not in command.context_settings:  # else: options of a flow
            known = {name for option in command.params for name in option.opts}
            named = {word.split("=")[0] for word in rest if word.startswith("--")}
            assert named <= known, f"spinscope {' '.join(words)}"


@EACH_PAGE
def test_settings_exist(page):
    params = load_params().model_dump()
    sections = {name: fields for name, fields in params.items() if isinstance(fields, dict)}
    families = yaml.safe_load((ROOT / "params.yaml").read_text())["families"]
    options = {key for family in families.values() for key in family.get("options", ())}
    sections |= {"families": families, "options": options}
    named = set(re.findall(r"--set ([a-z_]+\.[a-z_.]+)=", text(page)))
    if page.stem != "benchmarks":  # its names are results
        named |= set(re.findall(r"`([a-z_]+\.[a-z_-]+)(?:=[^`]*|: [^`]*)?`", text(page)))
    for section, key in (name.split(".") for name in named - NO_SETTINGS):
        assert section not in sections or key in sections[section], f"{section}.{key}"


@EACH_PAGE
def test_modules_and_names_exist(page):
    for module, names in re.findall(r"from (spinscope[\w.]*) import ([\w, ]+)", text(page)):
        for name in names.split(","):
            assert resolves(f"{module}.{name.strip()}"), f"{module}.{name}"
    for dotted in re.findall(r"`(spinscope(?:\.\w+)+)[(`]", text(page)):
        assert resolves(dotted), dotted


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module or an attribute of one."""
    module, _, name = dotted.rpartition(".")
    if importlib.util.find_spec(module) is None:
        return False
    return hasattr(importlib.import_module(module), name) or bool(importlib.util.find_spec(dotted))
