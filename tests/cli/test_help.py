"""Help of the command line: every verb, option and argument has one."""

from __future__ import annotations

import click
import pytest
import typer

from spinscope import cli
from spinscope.studies import PARTS

LONGEST = 70


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Words of every verb → its command."""
    if not hasattr(command, "commands"):
        return {path: command}
    found = {}
    for name, child in command.commands.items():
        found |= verbs(child, (*path, name))
    return found


VERBS = verbs(typer.main.get_command(cli.app))


def test_every_verb_is_found():
    names = {" ".join(path) for path in VERBS}
    assert {"data fetch", "corpus ltem", "train", "segment", "registry promote", "study ltem",
            "study table", "flow run", "serve", "demo"} <= names  # fmt: skip
    assert {f"study {name}" for name in PARTS} <= names


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_a_verb_and_its_options_have_help(path):
    command = VERBS[path]
    summary = (command.help or "").strip().splitlines()[0]
    assert summary and len(summary) < LONGEST, summary
    assert summary[0].isupper() and summary.endswith("."), summary
    for parameter in command.params:
        text = parameter.help if parameter.name != "help" else "Show this message."
        assert text and text.strip(), f"{' '.join(path)}: {parameter.name} has no help"
        assert len(text) < LONGEST, text
        assert text.endswith("."), text


def test_groups_have_help():
    for name, child in typer.main.get_command(cli.app).commands.items():
        assert child.help and len(child.help.splitlines()[0]) < LONGEST, name
