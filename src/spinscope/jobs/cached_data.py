"""Datasets in the cache of DVC, found by the hash that a run or version records."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path, PurePosixPath

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_folder


def dvc_cache(root: Path) -> Path:
    """Folder of the DVC cache of a project, which need not exist.

    Parameters
    ----------
    root : Path
        Folder with `.dvc`; a project without one has an empty cache.
    """
    from dvc.config import Config, ConfigError

    folder = root / ".dvc"
    if not folder.is_dir():
        return folder / "cache"
    try:
        named = Config(str(folder))["cache"].get("dir")
    except ConfigError as error:
        raise SpinscopeError(f"{folder / 'config'} must be readable by DVC: {error}") from error
    return Path(named) if named else folder / "cache"


def cache_object(md5: str) -> str:
    """Path of an object below the cache.

    >>> cache_object("d41d8cd98f00b204e9800998ecf8427e.dir")
    'files/md5/d4/1d8cd98f00b204e9800998ecf8427e.dir'
    """
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def listed(text: str | bytes) -> list[dict[str, str]]:
    """Rows {md5, relpath} of the listing of a folder (an object `.dir`); none if it is no listing.

    Parameters
    ----------
    text : str or bytes
        Contents of the object.
    """
    try:
        rows = json.loads(text)
        named = [(row["md5"], PurePosixPath(row["relpath"])) for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    safe = all(
        isinstance(md5, str)
        and re.fullmatch(r"[0-9a-f]{32}", md5)
        and path.parts
        and not path.is_absolute()
        and ".." not in path.parts
        for md5, path in named
    )
    return rows if safe else []


def cached_dataset(cache: Path, data_hash: str, target: Path) -> str | None:
    """Copy a dataset folder out of the cache; None, or a sentence if the cache does not hold it.

    Parameters
    ----------
    cache : Path
        See `dvc_cache`.
    data_hash : str
        Hash of the dataset, ``md5:….dir``.
    target : Path
        Folder to write; it appears once every file has its checksum.
    """
    wanted = data_hash.removeprefix("md5:")
    listing = cache / cache_object(wanted)
    if not listing.is_file():
        return "the DVC cache does not hold them"
    rows = listed(listing.read_bytes())
    if not rows:
        return f"{listing} is damaged"
    with atomic_folder(target) as folder:
        for row in rows:
            path, source = folder / row["relpath"], cache / cache_object(row["md5"])
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source, path)
            except FileNotFoundError:
                return f"{source} ({row['relpath']}) is missing from the DVC cache"
            with path.open("rb") as file:
                if hashlib.file_digest(file, "md5").hexdigest() != row["md5"]:
                    return f"{source} ({row['relpath']}) is damaged"
    return None


def damaged_objects(root: Path) -> list[Path]:
    """Objects of the DVC cache of a project whose content is not that of their name, sorted.

    DVC itself does not read a cached object again before it uses it.

    Parameters
    ----------
    root : Path
        See `dvc_cache`.
    """
    found = []
    for path in sorted((dvc_cache(root) / "files/md5").glob("[0-9a-f][0-9a-f]/*")):
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        if md5 != path.parent.name + path.name.removesuffix(".dir"):
            found.append(path)
    return found


def fetch_damaged(root: Path) -> list[Path]:
    """Delete the damaged objects of the DVC cache and fetch them from the remote.

    Parameters
    ----------
    root : Path
        Folder of the project.

    Returns
    -------
    list of Path
        The objects that were fetched.

    Raises
    ------
    SpinscopeError
        If the remote does not hold one of them; the sentence names all of these.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    found = damaged_objects(root)
    for path in found:
        path.unlink()
    if found:
        error = ""
        try:
            with Repo(str(root)) as repo:
                repo.fetch()
        except DvcException as failure:
            error = f": {failure}"
        if missing := [str(path) for path in found if not path.is_file()]:
            raise SpinscopeError(
                f"{', '.join(missing)} cannot be fetched from the remote of DVC{error}"
            )
    return found
