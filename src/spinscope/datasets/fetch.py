"""Download of the published Kerr images from Zenodo: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spinscope.config import Fetch
from spinscope.datasets.layouts import open_dataset
from spinscope.datasets.moke import TABLE
from spinscope.errors import SpinscopeError
from spinscope.files import exclusive, partial_folder
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import httpx

MAX_MEMBERS = 200_000
"""Limit on the number of files in an archive."""

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
_MIB = 1 << 20
_MAX_PAUSE = 60.0  # seconds
_RETRIED = {408, 425, 429, 500, 502, 503, 504}  # status codes


class _Transient(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True)
class Remote:
    """A file of a record: URL, bytes, and checksum as ``algorithm:hexadecimal``."""

    url: str
    size: int
    checksum: str


@dataclass(frozen=True)
class Partial:
    """An incomplete download, and beside it the ETag of the server's file."""

    path: Path

    @property
    def tag(self) -> Path:
        """File that holds the ETag."""
        return self.path.with_name(self.path.name + ".etag")

    @property
    def length(self) -> int:
        """Bytes that are downloaded."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def remove(self) -> None:
        """Delete the download and its ETag."""
        self.path.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


@exclusive("target")
def fetch_moke(
    target: Path | str,
    settings: Fetch,
    *,
    backoff: float = 1.0,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = no_progress,
) -> Path:
    """Download, verify and unpack the archive of a record; returns the dataset folder `target`.

    A dataset at `target` is left as it is. An archive beside it, brought by DVC, is used. The
    download is ``<target>.zip.part`` until it is complete, and an interrupted one is resumed;
    `target` appears after everything is verified and unpacked.

    Parameters
    ----------
    target : Path
        Folder of the dataset.
    settings : Fetch
        Record, file name, size and limits.
    backoff : float, default 1
        Pause in seconds after the first failed attempt; it doubles up to a minute.
    say : callable
        Prints one sentence about each result.
    progress : callable
        Wraps the MiB of the download and the files of the archive.

    Raises
    ------
    SpinscopeError
        If the record, the download or the archive is not as expected, or the disk is full.
    """
    target = Path(target)
    if _is_dataset(target):
        say(f"{target} is complete and left as it is")
        return target
    part = Partial(target.with_name(target.name + ".zip.part"))
    archive = target.with_name(settings.file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _client() as client:
            remote = _ask_record(client, settings, backoff)
            if archive.is_file():
                say(f"{archive} is used")
            else:
                archive = part.path
                blocks = _download(client, remote, part, settings.retries, backoff)
                total = math.ceil(remote.size / _MIB)
                for _ in progress(blocks, total=total, unit="MiB", desc=settings.file):
                    pass
        try:
            _verify(archive, remote)
            _unpack(archive, target, settings.max_unpacked, progress)
        except SpinscopeError:
            part.remove()  # a bad archive must not be resumed
            raise
    except OSError as error:
        raise SpinscopeError(
            f"{target} could not be written: {error}; what was downloaded is kept in "
            f"{part.path.name}"
        ) from error
    part.remove()
    say(f"{target} holds {len(open_dataset(target))} frames")
    return target


def link_copy(target: Path) -> Path | None:
    """Link a dataset folder to a copy on this machine, so that nothing is downloaded.

    Copies are looked for at $SPINSCOPE_MOKE and, in a temporary folder of `dvc exp run --temp`,
    in the same folder of the project, such as data/moke.

    Parameters
    ----------
    target : Path
        Folder of the dataset; nothing is done if it exists.

    Returns
    -------
    Path or None
        The copy; None if there is none.
    """
    if target.exists():
        return None
    candidates = [Path(named)] if (named := os.environ.get("SPINSCOPE_MOKE")) else []
    for folder in target.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            candidates.append(folder.parents[2] / target.parent.name / target.name)
    copy = next((path.resolve() for path in candidates if (path / TABLE).is_file()), None)
    if copy is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(copy, target_is_directory=True)
    return copy


def _is_dataset(target: Path) -> bool:
    """Whether `target` is a dataset; other files there are an error."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        open_dataset(target)
    except SpinscopeError as error:
        raise SpinscopeError(
            f"{target} is in the way, move it away before fetching: {error}"
        ) from error
    return True


def _client() -> httpx.Client:
    """HTTP client without compression: Content-Length and Range count the bytes of the file."""
    import httpx

    return httpx.Client(timeout=30, follow_redirects=True, headers={"Accept-Encoding": "identity"})


def _ask_record(client: httpx.Client, settings: Fetch, backoff: float) -> Remote:
    """Ask Zenodo's API for the file; both formats of its answer are understood."""
    import httpx

    url, failed = f"{settings.api}/{settings.record}", 0
    while True:
        try:
            response = client.get(url)
            _require_success(response)
            break
        except (httpx.TransportError, _Transient) as error:
            failed = _pause(url, error, failed, settings.retries, backoff)
    try:
        files = response.json()["files"]
        entries = files if isinstance(files, list) else list(files["entries"].values())
        found = {entry["key"]: entry for entry in entries}
        if entry := found.get(settings.file):
            links = entry["links"]
            link = httpx.URL(url).join(links.get("content") or links["self"])
            remote = Remote(str(link), int(entry["size"]), str(entry["checksum"]))
    except (*_DAMAGED, httpx.InvalidURL) as error:
        raise SpinscopeError(f"{url} is not a record of Zenodo: {error!r}") from error
    if not entry:
        raise SpinscopeError(
            f"record {settings.record} holds no {settings.file}, only "
            f"{', '.join(sorted(map(str, found)))}"
        )
    if link.scheme not in ("http", "https") or not link.host:
        raise SpinscopeError(
            f"{url}: the address (={str(link)!r:.80}) must be one of http or https"
        )
    if remote.checksum.partition(":")[0] not in hashlib.algorithms_guaranteed:
        raise SpinscopeError(f"{url}: checksum (={remote.checksum!r}) must read md5:… or sha256:…")
    if remote.size != settings.size:
        raise SpinscopeError(
            f"{settings.file} has {remote.size} bytes in record {settings.record}, "
            f"fetch.size says {settings.size}"
        )
    return remote


def _download(
    client: httpx.Client, remote: Remote, part: Partial, retries: int, backoff: float
) -> Iterator[int]:
    """Complete `part` over as many connections as needed; yield once per MiB.

    Retries are counted since the file last exceeded its earlier length.
    """
    import httpx

    failed, shown, best = 0, 0, part.length
    while part.length != remote.size:
        try:
            for length in _receive(client, remote, part):
                while shown < math.ceil(length / _MIB):
                    shown += 1
                    yield shown
        except (httpx.TransportError, _Transient) as error:
            if part.length > best:
                failed, best = 0, part.length
            failed = _pause(remote.url, error, failed, retries, backoff)


def _receive(client: httpx.Client, remote: Remote, part: Partial) -> Iterator[int]:
    """Append the bytes of one response to `part`, or start it again; yield its length."""
    have, headers = part.length, {}
    if 0 < have < remote.size:
        headers["Range"] = f"bytes={have}-"
        if part.tag.is_file():
            headers["If-Range"] = part.tag.read_text()
    with client.stream("GET", remote.url, headers=headers) as response:
        if response.status_code == 416:
            part.remove()
            raise _Transient("the server refused the range")
        _require_success(response)
        # 206 continues; a server that ignores Range, or whose file changed, answers 200.
        start, promised = _promised(response)
        if response.status_code != 206:
            have = 0
        elif start != have:
            part.remove()
            raise _Transient(f"the server continued at {start}, not at {have}")
        if promised not in (None, remote.size):
            raise SpinscopeError(
                f"{remote.url} promises {promised} bytes, the record says {remote.size}"
            )
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            part.tag.write_text(etag)
        else:
            part.tag.unlink(missing_ok=True)
        with part.path.open("ab" if have else "wb") as file:
            for block in response.iter_raw():
                have += len(block)
                if have > remote.size:
                    raise SpinscopeError(
                        f"{remote.url} sends more than the {remote.size} bytes of the record"
                    )
                file.write(block)
                yield have
    if have < remote.size:
        raise _Transient(f"the answer ended after {have} of {remote.size} bytes")


def _promised(response: httpx.Response) -> tuple[int, int | None]:
    """First byte of a response, and the length of the whole file if the server states it."""
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code == 206 and stated:
        return int(stated[1]), None if stated[2] == "*" else int(stated[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() and response.status_code == 200 else None


def _verify(archive: Path, remote: Remote) -> None:
    """Compare size and checksum of the archive with the record."""
    if (size := archive.stat().st_size) != remote.size:
        raise SpinscopeError(f"{archive} has {size} bytes, the record says {remote.size}")
    algorithm, _, expected = remote.checksum.partition(":")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise SpinscopeError(f"{archive} has {algorithm} {found}, the record says {expected}")


def _unpack(archive: Path, target: Path, limit: int, progress: Progress) -> None:
    """Unpack beside `target`, check that the result is a dataset, then rename it."""
    with partial_folder(target) as scratch:
        folder = scratch / "unpacked"
        folder.mkdir()
        try:
            with zipfile.ZipFile(archive) as file:
                members = file.infolist()
                if len(members) > MAX_MEMBERS:
                    raise SpinscopeError(f"{archive} holds over {MAX_MEMBERS} files")
                left = limit
                for member in progress(members, total=len(members), desc="unpack"):
                    left = _extract(file, member, folder, left, limit)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise SpinscopeError(f"{archive} holds a name twice: {error.filename}") from error
        except (SpinscopeError, OSError):
            raise
        except Exception as error:  # zipfile raises many types on damaged archives
            raise SpinscopeError(f"{archive} is not a sound zip archive: {error}") from error
        inner = [path.parent for path in folder.glob("*/table.csv")]
        if len(inner) == 1 and not (folder / "table.csv").exists():
            (folder,) = inner
        open_dataset(folder)
        if target.exists():
            target.rmdir()  # `_is_dataset` has checked that it is empty
        folder.replace(target)


def _extract(
    file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int, limit: int
) -> int:
    """Write one member below `folder`; return how many bytes may still be written."""
    place = f"{file.filename}: {member.filename!r}"
    name = PurePosixPath(member.filename)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.filename
    if unsafe or not name.parts or ":" in name.parts[0]:
        raise SpinscopeError(f"{place} leaves the folder")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SpinscopeError(f"{place} is a link or a device; only files and folders are unpacked")
    path = folder / name
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return left
    path.parent.mkdir(parents=True, exist_ok=True)
    with file.open(member) as source, path.open("xb") as sink:
        while block := source.read(_MIB):  # counted here: the header may be false
            left -= len(block)
            if left < 0:
                raise SpinscopeError(f"{place}: more than {limit} bytes unpacked in all")
            sink.write(block)
    return left


def _require_success(response: httpx.Response) -> None:
    """Raise unless a response is a success."""
    if response.status_code in _RETRIED:
        raise _Transient(f"the server answered {response.status_code}")
    if response.status_code not in (200, 206):
        raise SpinscopeError(f"{response.url} answered {response.status_code}")


def _pause(url: str, error: Exception, failed: int, retries: int, backoff: float) -> int:
    """Wait before the next attempt; return the number of failed ones."""
    if failed >= retries:
        raise SpinscopeError(f"{url} was given up after {failed + 1} attempts: {error}") from error
    time.sleep(min(_MAX_PAUSE, backoff * 2**failed))
    return failed + 1
