"""Progress of a training, read from its folder without Keras."""

from __future__ import annotations

import json
from pathlib import Path


def finished_epochs(folder: Path | str) -> tuple[int, float]:
    """Number of finished epochs of a training in its folder, and the seconds that they took.

    Parameters
    ----------
    folder : Path
        Folder of `training.fit.fit`; it may be written at the same time.

    Returns
    -------
    int, float
        Zero before the first checkpoint.
    """
    folder = Path(folder)
    result, history = _read(folder / "result.json"), _read(folder / "history.json")
    if result and history:
        return max(map(len, history.values())), result["seconds"]
    state = _read(folder / "backup/state.json")
    return (state["epoch"], state["seconds"]) if state else (0, 0.0)


def _read(path: Path) -> dict | None:
    """Content of a JSON file; None where it does not exist or is being replaced."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
