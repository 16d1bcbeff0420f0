"""The Kerr study on one page: what its parts found, beside what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spinscope.config import Params
from spinscope.errors import SpinscopeError

STUDY = "moke"
TITLE = "Networks on Kerr micrographs"


def moke_study(params: Params, parts: Path, out: Path, *, track: bool = False) -> dict[str, Any]:
    """Write `out/moke.json` and `out/moke.html` of the parts that `parts` holds; returns the JSON.

    Nothing is trained or measured here. The JSON holds the rows and, under `parts`, all that each
    part found: model references and digests, data hashes, seeds and numbers of frames.
    track : whether MLflow also keeps the rows and figures.
    Raises SpinscopeError where no part was made, or one cannot be read.
    """
    from spinscope.studies.kerr import report as moke_report
    from spinscope.studies.report import write_study

    found = {name: part for name in moke_report.PARTS if (part := _read(parts, name))}
    if not found:
        commands = ", ".join(moke_report.PARTS.values())
        raise SpinscopeError(f"{parts} holds no part of the study; make one with {commands}")
    relabelled = _relabelled(params, parts) if "relabelling" in found else {}
    sections = moke_report.sections(found, relabelled)
    page = write_study(
        out,
        STUDY,
        TITLE,
        moke_report.about(found),
        moke_report.findings(found),
        sections,
        {"source": moke_report.SOURCE, "profile": params.profile, "parts": found},
    )
    report = json.loads(page.with_suffix(".json").read_text())
    if track:
        _track(params, report, sections)
    return report


def _read(parts: Path, name: str) -> dict[str, Any] | None:
    from spinscope.studies.kerr.report import PARTS

    path = parts / f"{name}.json"
    if not path.is_file():
        return None
    try:
        part = json.loads(path.read_text())
    except ValueError:
        part = None
    if not isinstance(part, dict) or part.get("kind") != name:
        raise SpinscopeError(f"{path} must be a part of the study that `{PARTS[name]}` wrote")
    return part


def _relabelled(params: Params, parts: Path) -> dict:
    """Figures of the weak relabelling; they need its frames, which may be elsewhere."""
    from spinscope.studies.kerr.relabelling import figures

    try:
        return figures(params, parts)
    except SpinscopeError:
        return {}


def _track(params: Params, report: dict, sections) -> None:
    from spinscope.studies.report import png
    from spinscope.tracking import lineage, open_store, runs

    hashes = {part["data_hash"] for part in report["parts"].values() if "data_hash" in part}
    store = open_store(params.tracking)
    tags = lineage(params, min(hashes, default="unknown"))
    with runs.study_run(store, tags, f"study {STUDY}") as run:
        runs.log_table(run, report["rows"], "study/rows.csv")
        runs.log_json(run, report, f"study/{STUDY}.json")
        for section in sections:
            for number, figure in enumerate(section.figures.values()):
                name = "".join(c if c.isalnum() else "-" for c in section.title.lower())
                runs.log_figure(run, png(figure), f"{name}-{number}.png")
