"""``spinscope registry``: registered models and their promotion."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from spinscope.cli.shared import (
    NO_REASON,
    Answer,
    Reason,
    Settings,
    group,
    option,
    show_progress,
    table_answer,
    verb,
)
from spinscope.errors import SpinscopeError

app = group("Manage registered models and their promotion.")
Name = Annotated[str, typer.Argument(help="Registered name.")]
Version = Annotated[str, typer.Argument(help="models:/NAME@ALIAS or models:/NAME/VERSION.")]


@verb(app, "list")
def list_versions(
    settings: Settings,
    name: Annotated[str | None, typer.Argument(help="Registered name (all).")] = None,
) -> Answer:
    """List registered versions, newest first."""
    from spinscope.tracking import open_store, versions

    table = versions(open_store(settings.load().tracking), name)
    return table_answer(table, "no model is registered yet")


@verb(app)
def compare(settings: Settings, a: Version, b: Version) -> Answer:
    """Compare the parameters and metrics of two versions."""
    from spinscope.tracking import compare, open_store
    from spinscope.tracking.registry import find

    store = open_store(settings.load().tracking)
    return table_answer(compare(find(store, a), find(store, b)), "the two do not differ")


@verb(app, as_json=False)
def add(
    settings: Settings,
    model: Annotated[
        str, typer.Argument(help="bundled:NAME, a model folder or an evaluated training.")
    ],
    name: option(str, "Registered name (tracking.experiment).") = None,
) -> Answer:
    """Register a model trained elsewhere, with its validation scores."""
    from spinscope import families, jobs
    from spinscope.evaluation import seen_text

    params = settings.load(jobs.family_of_addition(settings.tracking, model))
    version = jobs.add(params, model, name or params.tracking.experiment)
    metric = families.of(params).metric
    value = version.number(f"{metric.name}.mean")
    seen = {key: version.tags.get(key) for key in ("seen_in_training", "n_images")}
    lines = [f"{version.ref}: {metric.title} {value:{metric.form}} on the validation frames"]
    return Answer([*lines, seen_text(seen)])


@verb(app)
def promote(
    settings: Settings,
    name: Name,
    version: option(int, "Version number (the newest).") = None,
    reason: Reason = NO_REASON,
    override_gates: option(str, "Promote although gates fail, for this reason.") = None,
) -> Answer:
    """Promote a version to the lab if it passes every gate."""
    from spinscope import jobs
    from spinscope.tracking import PromotionRefused

    params = settings.load(jobs.family_of_version(settings.tracking, name, version))
    try:
        promotion = jobs.promote(params, name, version, reason, override_gates=override_gates)
    except PromotionRefused as refused:
        print("\n".join(gate_lines(refused.gates)), file=sys.stderr)
        raise
    done = f"{promotion.ref} is version {promotion.to_version}"
    return Answer([*gate_lines(promotion.gates), done], asdict(promotion))


@verb(app, as_json=False)
def rollback(settings: Settings, name: Name, reason: Reason = NO_REASON) -> Answer:
    """Roll the lab back to the previous version."""
    from spinscope.notify import tell
    from spinscope.tracking import open_store, rollback

    params = settings.load()
    step = rollback(open_store(params.tracking), name, reason=reason)
    text = f"{step.ref} is version {step.to_version} again, rolled back by {step.who}: {reason}"
    tell(params.notify, "promotion", text, {"promotion": asdict(step)})
    return Answer([f"{step.ref} is version {step.to_version} again (was {step.from_version})"])


@verb(app)
def history(
    settings: Settings,
    name: Name,
    gates: Annotated[
        bool, typer.Option("--gates", help="Show the gates of each promotion.")
    ] = False,
) -> Answer:
    """List promotions with their versions, reasons and limits."""
    from spinscope.jobs.reproducing import verdict_text
    from spinscope.tracking import MOVED, history, open_store
    from spinscope.tracking.registry import every

    store = open_store(settings.load().tracking)
    steps = history(store, name)
    verdicts = {version.version: verdict_text(version.tags) for version in every(store, name)}
    lines = []
    for step in steps:
        before = "none" if step.from_version is None else step.from_version
        when = step.when or "unknown time"
        line = f"{when:<27}{step.who:<12}{step.action:<25}{before} -> {step.to_version}"
        line += f"  policy {step.policy or 'unknown'}  {step.reason}"
        if step.override:
            line += f"  GATES OVERRIDDEN: {step.override}"
        unusual = step.override or step.action == MOVED
        lines.append(typer.style(line, fg="red") if unusual and sys.stdout.isatty() else line)
        if verdict := verdicts.get(step.to_version):
            lines.append(f"    {verdict}")
        if gates:
            lines += [f"    {text}" for text in gate_lines(step.gates)]
    empty = [f"{name} has not been promoted yet"]
    return Answer(
        lines or empty,
        [{**asdict(step), "reproduced": verdicts.get(step.to_version, "")} for step in steps],
    )


@verb(app)
def prune(
    settings: Settings,
    days: option(float, "Leave out what is younger, days (1).") = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> Answer:
    """List what no version or run needs, and free its space with --yes."""
    from spinscope.tracking.pruning import prune

    rows = prune(settings.tracking, days=1 if days is None else days, free=yes)
    if not rows:
        return Answer(["every artifact is needed by a version or a run"], [])
    lines = [f"{row.bytes / 1e6:>9.1f} MB  {row.id:<36}{row.name:<24}{row.why}" for row in rows]
    total = f"{sum(row.bytes for row in rows) / 1e6:>9.1f} MB"
    lines.append(f"{total}  {'freed' if yes else 'to free with --yes'}")
    return Answer(lines, [{**asdict(row), "folder": str(row.folder)} for row in rows])


@verb(app, "import")
def import_store(
    settings: Settings,
    source: Annotated[
        str, typer.Argument(help="Folder with mlflow.db, SQLite file or address of a store.")
    ],
    rename: option(list[str], "OLD=NEW: registered name in the target, repeatable.") = (),
) -> Answer:
    """Copy all runs and models of another store into tracking.uri."""
    from spinscope.tracking.migration import import_store

    names = dict(pair.partition("=")[::2] for pair in rename)
    if not all(names.values()):
        raise SpinscopeError(f"--rename (={list(rename)}) must be OLD=NEW")
    counts = import_store(settings.load().tracking, source, rename=names, progress=show_progress)
    lines = [f"{'':<18}{'source':>10}{'target':>10}"]
    lines += [f"{count.kind:<18}{count.source:>10}{count.target:>10}" for count in counts]
    return Answer(lines, [asdict(count) for count in counts])


@verb(app, as_json=False)
def grant(
    settings: Settings,
    user: Annotated[str, typer.Argument(help="Name of an existing user of the server.")],
    role: Annotated[str, typer.Argument(help="reader, trainer or curator.")],
) -> Answer:
    """Give a user of the server a role: who writes runs, who promotes."""
    from spinscope.tracking.roles import grant

    grant(settings.load().tracking, user, role)
    return Answer([f"{user} is {role}"])


def gate_lines(gates) -> list[str]:
    """Table of promotion gates.

    Parameters
    ----------
    gates : sequence of Gate
        Gates of a promotion.
    """

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    def ends(gate) -> str:
        return "" if gate.low is None else f"[{number(gate.low)}, {number(gate.high)}]"

    return [
        f"{'pass' if gate.passed else 'FAIL'}  {gate.name:<36}{number(gate.measured):>10}"
        f"{ends(gate):>22}{number(gate.limit):>8}  {gate.rule}"
        for gate in gates
    ]
