"""Page of the Kerr study: findings of its parts beside the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spinscope.config import Params, dataset_path
from spinscope.datasets import open_dataset
from spinscope.datasets.describe import measure_dataset
from spinscope.errors import SpinscopeError
from spinscope.studies.base import Job
from spinscope.studies.kerr import ABLATIONS
from spinscope.studies.kerr import report as kerr_report
from spinscope.studies.kerr.report import COMMANDS
from spinscope.studies.report import lines as lines
from spinscope.studies.report import publish

STUDY = "moke"
TITLE = "Networks on Kerr images"


def report(job: Job) -> dict[str, Any]:
    """Write ``OUT/moke.json`` and ``OUT/moke.html`` from the reports of the parts.

    Nothing is trained or measured. The JSON holds the rows and, under `parts`, the report of each
    part: model references and digests, data hashes, seeds and numbers of frames.

    Parameters
    ----------
    job : Job
        Option ``parts``: folder of the parts' reports.

    Raises
    ------
    SpinscopeError
        If no part exists, or one cannot be read.
    """
    folder = Path(job.options["parts"] or ABLATIONS.job(job.params).out)
    parts = {name: part for name in kerr_report.COMMANDS if (part := _read(folder, name))}
    if not parts:
        commands = ", ".join(kerr_report.COMMANDS.values())
        raise SpinscopeError(f"{folder} holds no part of the study; make one with {commands}")
    relabelled = _relabelled(job.params, folder) if "relabelling" in parts else {}
    return publish(
        job,
        STUDY,
        TITLE,
        kerr_report.about(parts),
        kerr_report.findings(parts),
        kerr_report.sections(parts, relabelled),
        {"source": kerr_report.SOURCE, "profile": job.params.profile, "parts": parts},
        data_hash=min(
            (part["data_hash"] for part in parts.values() if "data_hash" in part), default="unknown"
        ),
    )


SHIPPED_PARTS = ("probes", "tta")
"""Parts that a page of the dashboard shows."""

SHIPPED_FRAMES = 40
"""Frames of the dataset whose statistics are shipped."""


def shipped(params: Params, report: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard shows of a report, with the statistics of the settings' dataset.

    Parameters
    ----------
    params : Params
        Settings.
    report : dict
        Report of the study.
    """
    parts = {name: report["parts"][name] for name in SHIPPED_PARTS if name in report["parts"]}
    found = {**report, "parts": {name: _without_frames(part) for name, part in parts.items()}}
    if dataset_path(params).is_dir():
        frames = open_dataset(dataset_path(params))
        found["frames"] = {
            "name": frames.path.name,
            "n_images": len(frames),
            "n_sources": len(frames.sources),
            **measure_dataset(frames, SHIPPED_FRAMES).to_dict(),
        }
    return found


def _without_frames(value: Any) -> Any:
    """Report without the rows of single frames and without paths of this machine."""
    if isinstance(value, dict):
        left_out = ("per_image", "path")
        return {key: _without_frames(one) for key, one in value.items() if key not in left_out}
    return value


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    """Report of a part; None if it does not exist."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    try:
        part = json.loads(path.read_text())
    except ValueError:
        part = None
    if not isinstance(part, dict) or part.get("kind") != name:
        raise SpinscopeError(f"{path} must be a part of the study that `{COMMANDS[name]}` wrote")
    return part


def _relabelled(params: Params, folder: Path) -> dict:
    """Figures of the weak relabelling; none where the frames that they show are missing."""
    from spinscope.studies.kerr.relabelling import figures

    try:
        return figures(params, folder)
    except SpinscopeError:
        return {}
