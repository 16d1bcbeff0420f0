"""Backups of a project: store, artifacts, corrections and DVC cache in one checked folder.

    backup.json      time, commit, and SHA-256 and size of every file
    store/mlflow.db  database, of one moment
    store/artifacts/ artifacts of its runs and models
    reviews/         corrections
    dvc/             cache of DVC

Each kind of file is copied in the order opposite to that in which it is written: the database
before the artifacts and a review before its masks. Whatever a copied record names was therefore
complete before it was copied, also while a training or a review goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spinscope import families
from spinscope.config import Tracking, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, digest, provenance, sha256
from spinscope.jobs.cached_data import cache_object, dvc_cache, listed
from spinscope.progress import Progress, no_progress
from spinscope.reviews.folder import REVIEWS
from spinscope.tracking import Store, open_store
from spinscope.tracking.lineage import git_state
from spinscope.tracking.migration import import_store
from spinscope.tracking.promotion import reproduces
from spinscope.tracking.registry import LAB, Version, every, intact, names
from spinscope.tracking.snapshots import DATABASE, detach, restore_database, snapshot
from spinscope.tracking.store import is_local, local_files

RECORD = "backup.json"
FORMAT = 1
STORE, ARTIFACTS, DVC = "store", "store/artifacts", "dvc"
_DATABASE = f"{STORE}/{DATABASE}"
_ATTEMPTS = 5
"""Times that a file is copied at most which changes while it is read."""


def backup(tracking: Tracking, out: Path, *, progress: Progress = no_progress) -> dict[str, Any]:
    """Copy the project's store, artifacts, corrections and DVC cache to a folder.

    Parameters
    ----------
    tracking : Tracking
        The store. A server or another database is copied through its interface.
    out : Path
        New folder, or an earlier backup, which is replaced once the new one is complete.
    progress : callable, optional
        Progress bar over the files.

    Returns
    -------
    dict
        {folder, files, bytes, models, outside}: `models` with one row {ref, aliases, problems} per
        version, `outside` the folders with artifacts outside `tracking.artifacts`, which are not
        part of the backup.

    Raises
    ------
    SpinscopeError
        If there is no store, or `out` holds something else.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and ((out / RECORD).is_file() or not any(out.iterdir()))):
        raise SpinscopeError(f"{out} must be a new folder, an empty one or an earlier backup")
    local = is_local(tracking)
    if local and not (database := local_files(tracking)[0]).is_file():
        raise SpinscopeError(f"there is no store at {database} yet")
    store, root, cache = open_store(tracking), project_root(), dvc_cache(project_root())
    with store.locked("upkeep"), atomic_folder(out) as partial:
        (partial / STORE).mkdir(mode=0o700)
        outside: list[str] = []
        if local:
            database, artifacts = local_files(tracking)
            outside = snapshot(database, artifacts, partial / _DATABASE)
        else:
            _import(tracking, partial / STORE, progress)
            artifacts = partial / ARTIFACTS
        files = {_DATABASE: _entry(partial / _DATABASE)}
        files |= (
            {} if local else {name: _entry(path) for path, name in _named(artifacts, ARTIFACTS)}
        )
        wanted = [
            *(_named(artifacts, ARTIFACTS) if local else ()),
            # A review names masks and images, the listing of a folder the objects of its files.
            *_named(root / REVIEWS, REVIEWS, first="frames"),
            *_named(cache, DVC, first=".dir"),
        ]
        for source, name in progress(wanted, desc="copy", total=len(wanted)):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                files[name] = _copied(source, partial / name)
            except FileNotFoundError:  # a partial file that was renamed or removed meanwhile
                continue
        record = {"format": FORMAT, **provenance(), **git_state(root), "files": files}
        _write_record(partial, record)
        models = _models(partial, set())
        os.sync()
    out.chmod(0o700)
    return {**_size(out, files), "models": models, "outside": outside}


def verify(folder: Path, *, progress: Progress = no_progress) -> dict[str, Any]:
    """Compare every file of a backup with its checksum, and name the models that are touched.

    Parameters
    ----------
    folder : Path
        Backup.
    progress : callable, optional
        Progress bar over the files.

    Returns
    -------
    dict
        {folder, files, bytes, broken, models}: `broken` with one row {file, problem, touches} per
        file, `models` with one row {ref, aliases, problems} per version.

    Raises
    ------
    SpinscopeError
        If the folder is no backup, or its record is damaged.
    """
    folder, files = Path(folder), _record(folder)["files"]
    broken = _broken(folder, files, progress)
    models = [] if _DATABASE in broken else _models(folder, set(broken))
    rows = [
        {"file": name, "problem": problem, "touches": _touched(name, models)}
        for name, problem in broken.items()
    ]
    return {**_size(folder, files), "broken": rows, "models": models}


def restore(
    tracking: Tracking, folder: Path, *, partly: bool = False, progress: Progress = no_progress
) -> dict[str, Any]:
    """Copy a backup into a project without a store, and check the promoted models.

    Nothing is overwritten. An interrupted restore is resumed by the same call.

    Parameters
    ----------
    tracking : Tracking
        Where the store is restored to. A server gets the runs and models through its interface,
        with new ids for runs.
    folder : Path
        Backup.
    partly : bool, default False
        Restore the intact files of a damaged backup.
    progress : callable, optional
        Progress bar over the files.

    Returns
    -------
    dict
        {folder, files, bytes, models}: `models` with one row {ref, version, passed, rule,
        difference} per promoted model, which is applied to its stored example frames.

    Raises
    ------
    SpinscopeError
        If the backup is damaged, or another file is where one of the backup belongs.
    """
    folder, files = Path(folder), _record(Path(folder))["files"]
    root, local = project_root(), is_local(tracking)
    broken = _broken(folder, files, progress)
    if _DATABASE in broken or (broken and not partly):
        name, problem = next(iter(broken.items()))
        raise SpinscopeError(
            f"{folder} is damaged in {len(broken)} of {len(files)} files, {name}: {problem}; "
            "`spinscope backup --verify` lists them"
        )
    places = {REVIEWS: root / REVIEWS, DVC: dvc_cache(root)}
    if local:
        database, places[ARTIFACTS] = local_files(tracking)
        if database.exists():
            raise SpinscopeError(f"{database} exists; restore into a project without a store")
    targets = {
        name: places[kind] / name.removeprefix(f"{kind}/")
        for name in files.keys() - broken.keys()
        for kind in places
        if name.startswith(f"{kind}/")
    }
    missing = []
    for name, target in targets.items():
        if not target.exists():
            missing.append(name)
        elif sha256(target) != files[name]["sha256"]:
            raise SpinscopeError(f"{target} exists and differs from the backup; move it away")
    for name in progress(sorted(missing), desc="restore", total=len(missing)):
        target = targets[name]
        with atomic_file(target, 0o444 if name.startswith(f"{DVC}/") else 0o644) as partial:
            _copied(folder / name, partial)
    # The database comes last: without it the restore is not finished.
    if local:
        restore_database(folder / _DATABASE, database, places[ARTIFACTS])
    else:
        with _opened(folder) as (store, _):
            import_store(tracking, store.uri, progress=progress)
    return {**_size(root, files), "models": _promoted(open_store(tracking))}


def _import(tracking: Tracking, home: Path, progress: Progress) -> None:
    """Copy the runs and models of a server to a store in the folder of a backup."""
    database, artifacts = home / DATABASE, home / "artifacts"
    own = {"uri": f"sqlite:///{database}", "artifacts": str(artifacts)}
    import_store(tracking.model_copy(update=own), tracking.uri, progress=progress)
    detach(database, artifacts)


def _named(folder: Path, prefix: str, first: str = "") -> list[tuple[Path, str]]:
    """(file, name in the backup) of a folder; files whose path contains `first` come first.

    Hidden files are locks and partial files. The files to come first are listed before the others,
    so that what they name is found as well.
    """

    def found() -> Iterator[tuple[Path, str]]:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and not path.name.startswith("."):
                yield path, f"{prefix}/{path.relative_to(folder).as_posix()}"

    if not first:
        return list(found())
    early = [row for row in found() if first in row[1].removeprefix(prefix)]
    return [*early, *(row for row in found() if first not in row[1].removeprefix(prefix))]


def _copied(source: Path, target: Path) -> dict[str, Any]:
    """Copy a file and return {sha256, size} of the copy; one that changes meanwhile is repeated."""
    for _ in range(_ATTEMPTS):
        before = source.stat()
        checksum = hashlib.sha256()
        with source.open("rb") as read, target.open("wb") as write:
            while block := read.read(1 << 20):
                checksum.update(block)
                write.write(block)
        after = source.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            break
    return {"sha256": checksum.hexdigest(), "size": target.stat().st_size}


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path), "size": path.stat().st_size}


def _size(folder: Path, files: dict[str, dict]) -> dict[str, Any]:
    total = sum(entry["size"] for entry in files.values())
    return {"folder": str(folder), "files": len(files), "bytes": total}


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps({**record, "digest": digest(record)}, indent=0, sort_keys=True)
    (folder / RECORD).write_text(f"{text}\n")


def _record(folder: Path) -> dict[str, Any]:
    """Record of a backup, with its own digest verified."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text())
        stored = record.pop("digest")
        files = record["files"]
        sound = all({"sha256", "size"} <= entry.keys() for entry in files.values())
        safe = not any(Path(name).is_absolute() or ".." in Path(name).parts for name in files)
    except FileNotFoundError:
        raise SpinscopeError(f"{folder} is no backup: it holds no {RECORD}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpinscopeError(f"{path} is damaged: the other files cannot be checked") from None
    if stored != digest(record) or not (sound and safe):
        raise SpinscopeError(f"{path} is damaged: the other files cannot be checked")
    if record["format"] != FORMAT:
        raise SpinscopeError(f"{path}: format (={record['format']}) must be {FORMAT}")
    return record


def _broken(folder: Path, files: dict[str, dict], progress: Progress) -> dict[str, str]:
    """Name of every file that is missing or has another checksum → the problem in words."""
    broken = {}
    for name, entry in progress(sorted(files.items()), desc="verify", total=len(files)):
        path = folder / name
        try:
            found = sha256(path)
        except OSError as error:
            broken[name] = "is missing" if not path.exists() else f"cannot be read: {error}"
            continue
        if found != entry["sha256"]:
            broken[name] = f"has sha256 {found[:12]}, {entry['sha256'][:12]} was recorded"
    return broken


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[tuple[Store, Path]]:
    """The store of a backup and its artifact folder, opened on a copy of the database."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary).resolve()
        artifacts = home / "artifacts"
        artifacts.symlink_to((folder / ARTIFACTS).resolve())
        restore_database(folder / _DATABASE, home / DATABASE, artifacts)
        uri = f"sqlite:///{home / DATABASE}"
        yield (
            open_store(
                Tracking(
                    uri=uri, artifacts=str(artifacts), experiment="Default", moved_alias="warn"
                )
            ),
            artifacts,
        )


def _models(folder: Path, broken: set[str]) -> list[dict[str, Any]]:
    """One row {ref, aliases, problems} per registered version of a backup."""
    data = _broken_datasets(folder, broken)
    corrections = {name.split("/")[1] for name in broken if name.startswith(f"{REVIEWS}/")}
    rows = []
    try:
        with _opened(folder) as (store, artifacts):
            for version in (v for name in names(store) for v in every(store, name)):
                place = _place(store, version, artifacts)
                problems = [f"{name} is broken" for name in sorted(broken) if _within(name, place)]
                if not problems and (problem := intact(store, version)):
                    problems = [problem.replace(str(artifacts), ARTIFACTS)]
                if (hash_ := version.tags.get("data.hash")) in data:
                    problems.append(f"its data {hash_} are broken in the DVC cache")
                used = set(version.tags.get("retrain.reviews", "").split(","))
                problems += [f"its corrections {n} are broken" for n in sorted(used & corrections)]
                row = {"ref": version.ref, "aliases": list(version.aliases), "problems": problems}
                rows.append(row)
    except sqlite3.Error as error:
        raise SpinscopeError(f"{folder / _DATABASE} is not a readable store: {error}") from error
    return rows


def _place(store: Store, version: Version, artifacts: Path) -> str:
    """Folder of a version within a backup, with a slash at its end; empty if it is elsewhere."""
    uri = store.client.get_model_version_download_uri(version.name, str(version.version))
    path = Path(uri.removeprefix("file://"))
    inside = path.is_relative_to(artifacts)
    return f"{ARTIFACTS}/{path.relative_to(artifacts).as_posix()}/" if inside else ""


def _within(name: str, place: str) -> bool:
    return bool(place) and name.startswith(place)


def _broken_datasets(folder: Path, broken: set[str]) -> set[str]:
    """Hashes (``md5:….dir``) of the datasets in the DVC cache of a backup with a broken file."""
    if not any(name.startswith(f"{DVC}/") for name in broken):
        return set()
    hashes = set()
    for listing in (folder / DVC / "files/md5").glob("*/*.dir"):
        md5 = f"{listing.parent.name}{listing.name}"
        objects: Iterable[str] = (row["md5"] for row in listed(listing.read_bytes()))
        if any(f"{DVC}/{cache_object(one)}" in broken for one in (md5, *objects)):
            hashes.add(f"md5:{md5}")
    # A listing that is missing altogether.
    parts = (name.split("/")[-2:] for name in broken if name.endswith(".dir"))
    return hashes | {f"md5:{''.join(part)}" for part in parts}


def _touched(name: str, models: list[dict]) -> str:
    """What a broken file belongs to, in words."""
    if name == _DATABASE:
        return "every run and model"
    refs = [row["ref"] for row in models if any(name in problem for problem in row["problems"])]
    if name.startswith(f"{REVIEWS}/"):
        return f"corrections of {name.split('/')[1]}"
    if name.startswith(f"{DVC}/"):
        return "data in the DVC cache"
    return ", ".join(refs) or "a run that no version is of"


def _promoted(store: Store) -> list[dict[str, Any]]:
    """Gate `reproduces` of every version of the lab."""
    rows = []
    for name in names(store):
        for version in every(store, name):
            if LAB not in version.aliases:
                continue
            row = {"ref": f"models:/{name}@{LAB}", "version": version.version, "difference": None}
            if problem := intact(store, version):
                rows.append({**row, "passed": False, "rule": problem})
                continue
            try:
                gate = reproduces(store, families.of_model(version.tags), version)
            except SpinscopeError as error:  # a family that is not installed
                rows.append({**row, "passed": False, "rule": str(error)})
                continue
            rows.append(
                {**row, "passed": gate.passed, "rule": gate.rule, "difference": gate.measured}
            )
    return rows
