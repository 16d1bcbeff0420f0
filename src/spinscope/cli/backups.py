"""``spinscope backup`` and ``spinscope restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spinscope.cli.shared import Answer, Settings, show_progress, verb
from spinscope.errors import SpinscopeError

app = typer.Typer()


@verb(app)
def backup(
    settings: Settings,
    out: Annotated[Path, typer.Argument(help="New folder, or an earlier backup.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the backup in the folder instead.")
    ] = False,
) -> Answer:
    """Back up store, artifacts, corrections and DVC cache, or check one."""
    from spinscope import backups

    if not verify:
        done = backups.backup(settings.tracking, out, progress=show_progress)
        lines = [f"{_size(done)} copied to {out}"]
        lines += [f"not part of the backup: artifacts in {place}" for place in done["outside"]]
        return Answer([*lines, *_models(done["models"])], done)
    found = backups.verify(out, progress=show_progress)
    broken, models = found["broken"], found["models"]
    touched = [row["ref"] for row in models if row["problems"]]
    if not broken and not touched:
        return Answer([f"{_size(found)} of {out} have their checksums", *_models(models)], found)
    lines = [f"BROKEN  {row['file']} {row['problem']} ({row['touches']})" for row in broken]
    sentence = f"{len(broken)} of {found['files']} files of {out} are broken"
    if models or not broken:
        sentence += f"; models touched: {', '.join(touched) or 'none'}"
    else:
        sentence += ", the store among them; models touched: all"
    return Answer([*lines, *_models(models)], found, SpinscopeError(sentence))


@verb(app)
def restore(
    settings: Settings,
    folder: Annotated[Path, typer.Argument(help="Backup.")],
    partly: Annotated[
        bool, typer.Option("--partly", help="Restore the intact files of a damaged backup.")
    ] = False,
) -> Answer:
    """Restore a backup into a project without a store; check models."""
    from spinscope import backups

    done = backups.restore(settings.tracking, folder, partly=partly, progress=show_progress)
    lines, failed = [f"{_size(done)} restored to {done['folder']}"], []
    for row in done["models"]:
        if row["passed"]:
            what = f"reproduces its stored predictions (difference {row['difference']:.2g})"
        else:
            what = f"FAILS: {row['rule']}"
            failed.append(row["ref"])
        lines.append(f"{row['ref']} (version {row['version']}) {what}")
    error = SpinscopeError(f"not as they were: {', '.join(failed)}") if failed else None
    return Answer(lines, done, error)


def _size(done: dict[str, Any]) -> str:
    return f"{done['files']} files ({done['bytes'] / 1e6:.1f} MB)"


def _models(rows: list[dict[str, Any]]) -> list[str]:
    """Number of intact versions, and a line per version that is not."""
    problems = [
        f"{', '.join([row['ref'], *(f'@{alias}' for alias in row['aliases'])])}: {problem}"
        for row in rows
        for problem in row["problems"]
    ]
    intact = sum(not row["problems"] for row in rows)
    return [*problems, f"{intact} of {len(rows)} model versions are intact"]
