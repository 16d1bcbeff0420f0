"""The published Kerr micrographs, fetched from Zenodo: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import math
import re
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spinscope.config import Fetch
from spinscope.datasets.dataset import open_dataset
from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import httpx

MAX_MEMBERS = 200_000
"""An archive with more files than this is refused."""

_MIB = 1 << 20
_PAUSE_AT_MOST = 60.0
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Remote:
    """A file of a record: where it is, how long, and its checksum as `algorithm:hexadecimal`."""

    url: str
    size: int
    checksum: str


def fetch_moke(
    target: Path | str,
    settings: Fetch,
    *,
    backoff: float = 1.0,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Path:
    """Download, verify and unpack the archive that `settings` names; the dataset is `target`.

    A dataset that stands at `target` is left alone. An archive that stands beside it under its own
    name, brought by DVC, is used. The download lies in `<target>.zip.part` until it is whole; an
    interrupted one is taken up where it ended, and nothing appears at `target` before everything
    is verified and unpacked.

    backoff : seconds of the first pause after a failed attempt; it doubles up to a minute.
    say : told what was found and done.
    Raises SpinscopeError, naming what was found and what was expected.
    """
    target = Path(target)
    if _stands(target):
        say(f"{target} is complete and left as it is")
        return target
    part = target.with_name(target.name + ".zip.part")
    brought = target.with_name(settings.file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _client() as client:
            remote = _ask_record(client, settings, backoff)
            if brought.is_file():
                say(f"{brought} is used")
            else:
                blocks = _download(client, remote, part, settings.retries, backoff)
                total = math.ceil(remote.size / _MIB)
                for _ in progress(blocks, total=total, unit="MiB", desc=settings.file):
                    pass
        archive = brought if brought.is_file() else part
        try:
            _verify(archive, remote)
            _unpack(archive, target, settings.max_unpacked, progress)
        except SpinscopeError:
            _forget(part)  # a bad archive must not be taken up again
            raise
    except OSError as error:
        raise SpinscopeError(
            f"{target} could not be written: {error}; what was downloaded is kept in {part.name}"
        ) from error
    _forget(part)
    say(f"{target} holds {len(open_dataset(target))} frames")
    return target


def _stands(target: Path) -> bool:
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
    import httpx

    # No compression on the way: Content-Length and Range count the bytes of the file.
    return httpx.Client(timeout=30, follow_redirects=True, headers={"Accept-Encoding": "identity"})


def _ask_record(client: httpx.Client, settings: Fetch, backoff: float) -> Remote:
    """Ask the Zenodo API for the file; both shapes of its answer are understood."""
    import httpx

    url = f"{settings.api}/{settings.record}"
    failed = 0
    while True:
        try:
            response = client.get(url)
            _require_success(response)
            break
        except (httpx.TransportError, _Passing) as error:
            failed = _pause(url, error, failed, settings.retries, backoff)
    try:
        files = response.json()["files"]
        entries = files if isinstance(files, list) else list(files["entries"].values())
        found = {entry["key"]: entry for entry in entries}
        if entry := found.get(settings.file):
            links = entry["links"]
            link = httpx.URL(url).join(links.get("content") or links["self"])
            remote = Remote(str(link), int(entry["size"]), str(entry["checksum"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpinscopeError(f"{url} is not a record of Zenodo: {error!r}") from error
    if not entry:
        raise SpinscopeError(
            f"record {settings.record} holds no {settings.file}, only {', '.join(sorted(found))}"
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
    client: httpx.Client, remote: Remote, part: Path, retries: int, backoff: float
) -> Iterator[int]:
    """Bring `part` to its full length over as many connections as that takes.

    Yields once a MiB. Retries are counted since the file last grew beyond what it had been.
    """
    import httpx

    failed, shown, best = 0, 0, _length(part)
    while _length(part) != remote.size:
        try:
            for length in _receive(client, remote, part):
                while shown < math.ceil(length / _MIB):
                    shown += 1
                    yield shown
        except (httpx.TransportError, _Passing) as error:
            if (length := _length(part)) > best:
                failed, best = 0, length
            failed = _pause(remote.url, error, failed, retries, backoff)


def _receive(client: httpx.Client, remote: Remote, part: Path) -> Iterator[int]:
    """Append what one answer brings to `part`, or begin it anew; yield its growing length."""
    tag = _tag(part)
    have = _length(part)
    headers = {}
    if 0 < have < remote.size:
        headers["Range"] = f"bytes={have}-"
        if tag.is_file():
            headers["If-Range"] = tag.read_text()
    with client.stream("GET", remote.url, headers=headers) as response:
        if response.status_code == 416:
            _forget(part)
            raise _Passing("the server refused the range")
        _require_success(response)
        # 206 continues; a server that ignores Range, or whose file changed, answers 200.
        continued = response.status_code == 206
        start, promised = _promised(response)
        if continued and start != have:
            _forget(part)
            raise _Passing(f"the server continued at {start}, not at {have}")
        if promised is not None and promised != remote.size:
            raise SpinscopeError(
                f"{remote.url} promises {promised} bytes, the record says {remote.size}"
            )
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            tag.write_text(etag)
        else:
            tag.unlink(missing_ok=True)
        length = have if continued else 0
        with part.open("ab" if continued else "wb") as file:
            for block in response.iter_raw():
                length += len(block)
                if length > remote.size:
                    raise SpinscopeError(
                        f"{remote.url} sends more than the {remote.size} bytes of the record"
                    )
                file.write(block)
                yield length
    if length < remote.size:
        raise _Passing(f"the answer ended after {length} of {remote.size} bytes")


def _promised(response: httpx.Response) -> tuple[int, int | None]:
    """First byte of an answer, and the length of the whole file, where the server states it."""
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code == 206 and stated:
        return int(stated[1]), None if stated[2] == "*" else int(stated[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() and response.status_code == 200 else None


def _verify(archive: Path, remote: Remote) -> None:
    if (size := _length(archive)) != remote.size:
        raise SpinscopeError(f"{archive} has {size} bytes, the record says {remote.size}")
    algorithm, _, expected = remote.checksum.partition(":")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise SpinscopeError(f"{archive} has {algorithm} {found}, the record says {expected}")


def _unpack(archive: Path, target: Path, limit: int, progress: Callable[..., Iterable]) -> None:
    """Unpack beside `target`, see that it is a dataset, then rename it there.

    Raises SpinscopeError for what is not a sound archive of a dataset, OSError where the disk is.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        folder = Path(scratch, "unpacked")
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
        except Exception as error:  # zipfile raises many kinds on damaged archives
            raise SpinscopeError(f"{archive} is not a sound zip archive: {error}") from error
        folder = _dataset_in(folder)
        open_dataset(folder)
        if target.exists():
            target.rmdir()  # it is empty: _stands has looked
        folder.replace(target)


def _extract(
    file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int, limit: int
) -> int:
    """Write one member below `folder`; return how many bytes may still be written."""
    where = f"{file.filename}: {member.filename!r}"
    name = PurePosixPath(member.filename)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.filename
    if unsafe or not name.parts or ":" in name.parts[0]:
        raise SpinscopeError(f"{where} leaves the folder")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SpinscopeError(f"{where} is a link or a device; only files and folders are unpacked")
    path = folder / name
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return left
    path.parent.mkdir(parents=True, exist_ok=True)
    with file.open(member) as source, path.open("xb") as sink:
        while block := source.read(_MIB):  # counted here: a header may lie
            left -= len(block)
            if left < 0:
                raise SpinscopeError(f"{where}: more than {limit} bytes unpacked in all")
            sink.write(block)
    return left


def _dataset_in(folder: Path) -> Path:
    """The folder itself, or the one folder in it that looks like a dataset."""
    inner = [path.parent for path in sorted(folder.glob("*/table.csv"))]
    return inner[0] if len(inner) == 1 and not (folder / "table.csv").exists() else folder


class _Passing(Exception):
    """A failure that another attempt may not meet."""


def _require_success(response: httpx.Response) -> None:
    if response.status_code in _TRY_AGAIN:
        raise _Passing(f"the server answered {response.status_code}")
    if response.status_code not in (200, 206):
        raise SpinscopeError(f"{response.url} answered {response.status_code}")


def _pause(url: str, error: Exception, failed: int, retries: int, backoff: float) -> int:
    """Wait before the next attempt; return the count of those that failed."""
    if failed >= retries:
        raise SpinscopeError(f"{url} was given up after {failed + 1} attempts: {error}") from error
    time.sleep(min(_PAUSE_AT_MOST, backoff * 2**failed))
    return failed + 1


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
