"""Clean raw recordings, and apply the recipe of a clean one again."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Intake, Params
from spinscope.errors import SpinscopeError
from spinscope.files import sha256, sha256_folder
from spinscope.jobs.recordings import check_names
from spinscope.recordings import Recording


def clean_recordings(
    params: Params,
    paths: Sequence[Path],
    out: Path,
    reference: str = "first",
    *,
    drift: Path | None = None,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> list[dict[str, Any]]:
    """Clean raw recordings into a folder.

    Parameters
    ----------
    params : Params
        Settings; those of `intake` count.
    paths : sequence of Path
        Raw recordings: stacks, videos, folders of images; all are opened before the first is read.
    out : Path
        Folder of `NAME.tif`, `NAME.csv` and `NAME.intake.json` per recording.
    reference : str
        File or folder of the reference, "first", "first:N", "mean" or "none".
    drift : Path, optional
        Table of a clean recording whose drift is applied again.
    on_frame : callable, optional
        Called with name, number of frames done and number of frames.

    Returns
    -------
    list of dict
        One per recording: `file`, `frames`, `shape_px`, `pixel_size_nm`, `interval_s`, `span`,
        `drift`, `hot_pixels`, `clipped_fraction`, `lost` (frames that could not be used), `recipe`
        (its file), and `error` where the recording was not cleaned to its end.

    Raises
    ------
    SpinscopeError
        For recordings that cannot be opened, and input that does not fit.
    """
    from spinscope.intake.pipeline import RECIPE, Stopped, clean_recording, read_recipe
    from spinscope.recordings import open_recording

    recordings = []
    for path in paths:
        with contextlib.closing(open_recording(path)) as recording:
            recordings.append(recording)
    if not recordings:
        raise SpinscopeError("intake needs at least one raw recording, or --recipe FILE")
    check_names(recordings)
    against = reference_of(reference)
    known = None if drift is None else read_drift(drift)
    rows = []
    for recording in recordings:
        name, row = recording.name, {}
        with contextlib.closing(recording):
            try:
                clean_recording(
                    recording,
                    out,
                    params.intake,
                    against,
                    drift=known,
                    on_frame=on_frame and (lambda done, r=recording: on_frame(r.name, done, r.n)),
                )
            except Stopped as stopped:  # the recordings after it are cleaned all the same
                row["error"] = str(stopped)
        recipe = read_recipe(out / f"{name}{RECIPE}")
        with contextlib.closing(open_recording(out / f"{name}.tif")) as clean:
            rows.append(
                {
                    "file": str(clean.path),
                    "frames": clean.n,
                    "shape_px": list(clean.shape),
                    "pixel_size_nm": clean.pixel_size and float(f"{clean.pixel_size * 1e9:.6g}"),
                    "interval_s": clean.interval,
                    "span": recipe["settings"]["span"],
                    **{key: recipe[key] for key in ("drift", "hot_pixels", "clipped_fraction")},
                    "lost": recipe["lost"],
                    "recipe": str(out / f"{name}{RECIPE}"),
                    **row,
                }
            )
    return rows


def reference_of(text: str) -> Recording | str | None:
    """Open a reference: a file or folder, "first", "first:N", "mean", or None for "none"."""
    from spinscope.intake.cleaning import FIRST
    from spinscope.recordings import open_recording

    if text == "none":
        return None
    if text == "mean" or re.fullmatch(FIRST, text):
        return text
    if not Path(text).exists():
        raise SpinscopeError(
            f"--reference {text} must be an existing file, first, first:N, mean or none"
        )
    return open_recording(Path(text))


def read_drift(path: Path) -> np.ndarray:
    """Drift (n, 2) of the frames in the table of a clean recording, px.

    Raises
    ------
    SpinscopeError
        Where the table cannot be read or lacks the drift of a frame.
    """
    import pandas as pd

    from spinscope.intake.pipeline import DRIFT

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SpinscopeError(f"{path} is not a readable table: {error}") from error
    if missing := [name for name in DRIFT if name not in table]:
        raise SpinscopeError(f"{path} must have the columns {', '.join(DRIFT)}; {missing[0]} lacks")
    drift = table[DRIFT].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    # A frame that was lost has no drift; it is lost again, or takes that of the frame before.
    drift = pd.DataFrame(drift).ffill().bfill().to_numpy()
    if not np.isfinite(drift).all():
        raise SpinscopeError(f"{path}: drift must be numbers")
    return drift


def applied_recipe(path: Path, reference: str | None = None) -> tuple[Intake, str, Path]:
    """Settings, reference and raw recording of a stored recipe.

    Parameters
    ----------
    path : Path
        File `NAME.intake.json`.
    reference : str, optional
        Reference in place of that of the recipe.

    Returns
    -------
    Intake
        Settings, with the span that was found.
    str
        File of the reference, "first", "first:N", "mean" or "none".
    Path
        Raw recording.

    Raises
    ------
    SpinscopeError
        Where the file is no recipe, or its reference has changed.
    """
    from spinscope.intake.pipeline import read_recipe

    recipe = read_recipe(path)
    settings, raw = Intake.model_validate(recipe["settings"]), Path(recipe["raw"]["file"])
    kind, file = recipe["reference"]["kind"], recipe["reference"]["file"]
    if reference is not None or kind != "file":
        return settings, reference or kind, raw
    if not Path(file).exists():
        raise SpinscopeError(f"{path}: its reference {file} does not exist; give --reference")
    found = sha256_folder(file) if Path(file).is_dir() else sha256(file)
    if found != recipe["reference"]["sha256"]:
        raise SpinscopeError(
            f"{path}: its reference {file} has changed since; name it with --reference to use it "
            "all the same"
        )
    return settings, file, raw
