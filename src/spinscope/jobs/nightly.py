"""Every night: validate, segment and judge the recordings that arrived in a folder."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import families
from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.drift import Judgement
from spinscope.errors import SpinscopeError
from spinscope.files import exclusive, write_json
from spinscope.jobs.drifting import FRAMES, drift_of, spread_evenly, stored_reference
from spinscope.jobs.recordings import segment
from spinscope.notify import tell
from spinscope.recordings.base import IMAGE, VIDEO
from spinscope.recordings.kinds import SINGLE

if TYPE_CHECKING:
    from spinscope.datasets.validate import Validation

NIGHT = "night.json"
"""File of a folder of one night with its results."""
_RULES = ("image not constant", "plausible size", "plausible depth")
"""Rules of a dataset that also hold for the frames of a recording."""


@exclusive("out")
def nightly_check(
    params: Params,
    folder: Path,
    model_ref: str,
    out: Path,
    *,
    clock: Callable[[], float] = time.time,
    on_frame: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Validate, segment and judge the recordings of a folder that no earlier night has seen.

    A recording that breaks a rule is not segmented. A message is sent where a recording is out of
    range or breaks a rule. An interrupted check is resumed by the next call.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    folder : Path
        Watched folder: every image, stack, video and folder in it is a recording.
    model_ref : str
        Model that segments the recordings and whose training set they are compared with.
    out : Path
        Receives a folder per night, named by its day: `validation/` with the results of Great
        Expectations, `masks/`, and `night.json`, the returned value. Recordings of equal names are
        in `masks-2/` and so on.
    clock : callable, optional
        Time in s.
    on_frame : callable, optional
        See `segment`.

    Returns
    -------
    dict
        `night`, `started_utc`, `folder`, `model`, `recordings` (see `drift`, with `fingerprint` and
        `valid`), `failures` of the validation, `out_of_range` (names of measures), `summary`.

    Raises
    ------
    SpinscopeError
        If the folder is missing, or the model makes no masks or cannot be loaded. A model that
        stores no imaging conditions segments all the same.
    """
    from spinscope.tracking import resolve

    folder = Path(folder)
    if not folder.is_dir():
        raise SpinscopeError(f"{folder}, the folder of new recordings, does not exist")
    place = resolve(params.tracking, model_ref)
    started = datetime.fromtimestamp(clock(), UTC)
    night = _folder_of(out, started.astimezone().strftime("%Y-%m-%d"))
    known = {row["fingerprint"] for one in nights(out) for row in one["recordings"]}
    settled = clock() - params.segment.settle_s
    rows, table = [], []
    for path in _candidates(folder, settled):
        row, frames = _looked_at(path)
        if row["fingerprint"] not in known:
            rows.append(row)
            table += frames
    failures = []
    if rows:
        validation = _validated(folder, table, night / "validation")
        failures = [failure._asdict() for failure in validation.failures]
    broken = {failure["file"] for failure in failures}
    for row in rows:
        row["valid"] = row["file"] not in broken
    good = [row for row in rows if row["valid"]]
    if good:
        _judge(params, folder, good, place, model_ref)
        for number, together in enumerate(_by_name(good), 1):
            segment(
                params,
                [folder / file for file in together],
                [model_ref],
                night / ("masks" if number == 1 else f"masks-{number}"),
                on_frame=on_frame,
            )
    causes = [name for row in good for name in row["out_of_range"]]
    result = {
        "night": night.name,
        "started_utc": started.isoformat(timespec="seconds"),
        "folder": str(folder),
        "model": model_ref,
        "recordings": rows,
        "failures": failures,
        "out_of_range": list(dict.fromkeys(causes)),
    }
    result["summary"] = _summary(result)
    write_json(night / NIGHT, result)
    if causes:
        tell(params.notify, "drift", result["summary"], {"night": result["night"]})
    if failures:
        tell(params.notify, "failure", result["summary"], {"night": result["night"]})
    return result


def nights(out: Path) -> list[dict[str, Any]]:
    """Results of all nights in a folder, the oldest first; damaged ones are left out.

    Parameters
    ----------
    out : Path
        Folder of `nightly_check`.
    """
    found = []
    for path in Path(out).glob(f"*/{NIGHT}"):
        try:
            value = json.loads(path.read_text())
            value["started_utc"], value["out_of_range"]
            for row in value["recordings"]:
                row["file"], row["fingerprint"], row["valid"]
                [Judgement(**one) for one in row.get("measures", ())]
            found.append(value)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return sorted(found, key=lambda one: one["started_utc"])


def _folder_of(out: Path, day: str) -> Path:
    """Folder of the next check of a day: the first that holds no finished one."""
    number = 1
    while True:
        folder = out / (day if number == 1 else f"{day}-{number}")
        if not (folder / NIGHT).is_file():
            return folder
        number += 1


def _judge(
    params: Params, folder: Path, rows: Sequence[dict[str, Any]], model: Path, model_ref: str
) -> None:
    """Add the drift reports of recordings to their rows, or why there is none."""
    family = families.of(params)
    try:
        reference = stored_reference(model, model_ref)
    except SpinscopeError as error:
        for row in rows:
            row |= {"sentence": f"not measured: {error}", "out_of_range": []}
        return
    predictor = family.predictor(model, params)
    for row in rows:
        with contextlib.closing(_opened(folder / row["file"])) as recording:
            row |= drift_of(recording, family, predictor, reference) | {"file": row["file"]}


def _by_name(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Files in groups without equal names, since a results folder has the name of its recording."""
    groups: list[dict[str, str]] = []
    for row in rows:
        name = Path(row["file"]).stem
        group = next((group for group in groups if name not in group), None)
        if group is None:
            groups.append(group := {})
        group[name] = row["file"]
    return [list(group.values()) for group in groups]


def _candidates(folder: Path, settled: float) -> list[Path]:
    """Recordings of a folder that have not been changed since a time."""
    found = []
    for path in sorted(folder.iterdir()):
        read = path.is_dir() or path.suffix.lower() in IMAGE | VIDEO | SINGLE
        if path.name.startswith(".") or not read:
            continue
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            files = [path, *path.iterdir()] if path.is_dir() else [path]
            if max(one.stat().st_mtime for one in files) <= settled:
                found.append(path)
    return found


def _opened(path: Path):
    from spinscope.recordings import open_recording

    return open_recording(path)


def _looked_at(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Row of a recording, and those of its frames in the manifest."""
    import numpy as np

    from spinscope.recordings import image_of
    from spinscope.recordings.base import fingerprint

    frame = {"image": path.name, "label": "", "use": "nightly", "rule": None, "error": None}
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    row = {"file": path.name, "fingerprint": fingerprint(files) if files else path.name}
    frames = []
    try:
        with contextlib.closing(_opened(path)) as recording:
            row["fingerprint"] = recording.fingerprint
            bits = {255: 8, 1: 32}.get(recording.scale, 16)
            for index in spread_evenly(range(recording.n or 1), FRAMES):
                image = image_of(recording.read(index), recording.scale)
                height, width = image.shape
                frames.append(
                    frame | {"name": f"{path.name} {recording.names(index)}", "bits": bits,
                             "height": height, "width": width,
                             "std": float(np.std(image, dtype=np.float64))}
                )  # fmt: skip
    except (SpinscopeError, OSError) as error:
        text = str(error).replace(f"{path.parent}/", "")
        frames.append(frame | {"name": path.name, "rule": "recording readable", "error": text})
    return row, frames


def _validated(folder: Path, table: Sequence[dict[str, Any]], out: Path) -> Validation:
    """Check the frames of recordings with Great Expectations."""
    import pandas as pd

    from spinscope.datasets.validate import RULES, checked, read_rule

    rules = [read_rule("recording readable", "image")]
    rules += [rule for rule in RULES if rule.name in _RULES]
    columns = {"height": "Int64", "width": "Int64", "bits": "Int64", "std": "float64"}
    texts = ["name", "image", "label", "use", "rule", "error"]
    frames = pd.DataFrame(list(table), columns=[*texts, *columns])
    frames = frames.astype({**dict.fromkeys(texts, "str"), **columns})
    return checked(Dataset(folder, (), None, ()), frames, rules, out)


def _summary(result: dict[str, Any]) -> str:
    """The result of a night in one sentence."""
    rows = result["recordings"]
    out = [row for row in rows if row.get("out_of_range")]
    invalid = [row["file"] for row in rows if not row["valid"]]
    parts = [f"{len(rows)} new recordings"]
    if out:
        parts.append(f"{len(out)} out of range: {', '.join(result['out_of_range'])}")
    if invalid:
        shown = ", ".join(invalid[:3]) + (" and others" if len(invalid) > 3 else "")
        parts.append(f"{len(invalid)} not valid ({shown})")
    if rows and len(parts) == 1:
        parts.append("all in range")
    return f"Intake {result['night']}: {'; '.join(parts)}"
