"""Whether a retraining is due: by corrections, or by nights that were out of range."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spinscope.config import Flows, project_root
from spinscope.files import write_json
from spinscope.jobs.nightly import nights
from spinscope.reviews.folder import REVIEWS, Reviews

_STATE = "retrained.json"


@dataclass(frozen=True)
class Due:
    """Corrections and nights since the last retraining, and what follows from them.

    Parameters
    ----------
    corrections : int
        Frames whose mask was corrected.
    nights : int
        Last nights in a row that were out of range.
    reasons : tuple of str
        Thresholds that were reached; empty if no retraining is due.
    """

    corrections: int
    nights: int
    reasons: tuple[str, ...]


def review_folders() -> list[Path]:
    """Folders of reviews of the project, one per recording."""
    return sorted(path.parent for path in (project_root() / REVIEWS).glob("*/frames"))


def due(settings: Flows, folders: Sequence[Path], nightly: Path, out: Path) -> Due:
    """Compare corrections and drift since the last retraining with their thresholds.

    Parameters
    ----------
    settings : Flows
        Thresholds.
    folders : sequence of Path
        Folders of reviews.
    nightly : Path
        Folder of the nightly checks.
    out : Path
        Folder of the retraining, in which `note_retraining` keeps its time.
    """
    since = _last_retraining(out)
    corrections = 0
    for reviews in map(Reviews.open, folders):
        last = (reviews.latest(frame) for frame in reviews.frames())
        corrections += sum(
            review.status == "corrected" and datetime.fromisoformat(review.when) > since
            for review in last
        )
    in_a_row = 0
    for night in reversed(nights(nightly)):
        if datetime.fromisoformat(night["started_utc"]) <= since:
            break
        if night["recordings"]:
            if not night["out_of_range"]:
                break
            in_a_row += 1
    reasons = []
    if corrections >= settings.retrain_corrections:
        reasons.append(f"{corrections} frames were corrected since the last training")
    if in_a_row >= settings.retrain_nights:
        reasons.append(f"{in_a_row} nights in a row were out of range")
    return Due(corrections, in_a_row, tuple(reasons))


def note_retraining(out: Path) -> None:
    """Keep the present time as that of the last retraining.

    Parameters
    ----------
    out : Path
        Folder of the retraining.
    """
    write_json(out / _STATE, {"retrained_utc": datetime.now(UTC).isoformat()})


def _last_retraining(out: Path) -> datetime:
    try:
        return datetime.fromisoformat(json.loads((out / _STATE).read_text())["retrained_utc"])
    except (OSError, ValueError, KeyError, TypeError):
        return datetime.fromtimestamp(0, UTC)
