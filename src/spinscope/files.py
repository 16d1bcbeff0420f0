"""Files: atomic writing, checksums, and results that are computed once."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spinscope.errors import SpinscopeError
from spinscope.processes import dead, this_process


def sha256(path: Path | str, chunk: int = 1 << 20) -> str:
    """Hexadecimal SHA-256 of the bytes of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(chunk):
            digest.update(block)
    return digest.hexdigest()


def sha256_folder(folder: Path | str) -> str:
    """SHA-256 over the names and contents of all files below `folder`, in sorted order."""
    folder = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_file(target: Path | str, mode: int = 0o644) -> Iterator[Path]:
    """Yield a path to write to; it is renamed to `target` on success and deleted on an error.

    Parameters
    ----------
    target : Path or str
    mode : int, default 0o644
        Permissions of the finished file.
    """
    target = Path(target)
    partial = partial_file(target)
    try:
        yield partial
        partial.chmod(mode)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: Path | str) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `target` on success and is deleted on an error.

    A previous folder `target` is removed once the new one is complete.
    """
    target = Path(target)
    with partial_folder(target) as partial:
        yield partial
        partial.chmod(0o755)
        if not target.exists():
            partial.replace(target)
        elif not _exchange(partial, target):
            old = Path(_partial_name(target.with_name(f"{target.name}{_OLD}")))
            target.replace(old)
            try:
                partial.replace(target)
            except OSError:
                old.replace(target)
                raise
            _delete(old)


def partial_file(target: Path) -> Path:
    """Create an empty file beside `target`, which the caller renames or deletes.

    Its name holds this process. If the process is killed, the next one that writes to the same
    folder deletes the file.

    Parameters
    ----------
    target : Path
        File that it is to become; its folder is created.
    """
    partial = Path(_partial_name(target))
    partial.touch(0o600, exist_ok=False)
    return partial


@contextlib.contextmanager
def partial_folder(target: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder that is deleted at the end, or by the next process after a kill.

    Parameters
    ----------
    target : Path, optional
        The folder lies beside this path; by default in the folder for temporary files.
    """
    partial = Path(_partial_name(target or Path(tempfile.gettempdir(), "spinscope")))
    partial.mkdir(0o700)
    try:
        yield partial
    finally:
        _delete(partial)


def discard(folder: Path) -> None:
    """Delete a folder; an interruption leaves nothing that looks complete."""
    aside = Path(_partial_name(folder))
    folder.rename(aside)
    _delete(aside)


def _delete(path: Path) -> None:
    """Delete a folder, or the file or link in its place, as far as possible."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


_PARTIAL = re.compile(r"\.(.+)-(\d+)-([\d.]+(?:@[0-9a-f]+)?)~[0-9a-f]{8}\.(.+)", re.DOTALL)
"""Name of a partial file or folder: machine, number and start of its process, final name."""
_OLD = ".old"
_SWEEP_SECONDS = 60.0
_swept: dict[str, float] = {}


def _partial_name(target: Path) -> str:
    """A new partial name beside `target`; what killed processes left there is deleted."""
    folder = Path(os.path.abspath(target.parent))  # noqa: PTH100  (a link keeps its own name)
    folder.mkdir(parents=True, exist_ok=True)
    now = time.monotonic()
    if now - _swept.get(str(folder), -math.inf) > _SWEEP_SECONDS:
        _swept[str(folder)] = now
        remove_partial(folder)
    process = this_process().replace(" ", "-")
    return str(target.with_name(f".{process}~{secrets.token_hex(4)}.{target.name}"))


def remove_partial(folder: Path) -> list[Path]:
    """Delete the partial files and folders that processes of this machine left when killed.

    Those of processes that run, and of other machines, are kept.

    Parameters
    ----------
    folder : Path
        Only directly inside of it.

    Returns
    -------
    list of Path
        What was deleted.
    """
    removed = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PARTIAL.fullmatch(entry.name)
            if match is None or not dead(" ".join(match.groups()[:3])):
                continue
            path, final = Path(entry.path), Path(folder, match[4].removesuffix(_OLD))
            if match[4].endswith(_OLD) and entry.is_dir() and not final.exists():
                path.rename(final)  # killed between the two renames of `atomic_folder`
            else:
                _delete(path)
                removed.append(path)
    return removed


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and rename(here, names[0], here, names[1], exchange) == 0


def make_private(path: Path) -> None:
    """Let only its owner use a file or folder; one of another user keeps its permissions."""
    with contextlib.suppress(PermissionError):
        path.chmod(path.stat().st_mode & 0o700)


@contextlib.contextmanager
def locked(
    folder: Path | str, *, waiting: Callable[[str], None] | None = None, poll_s: float = 1.0
) -> Iterator[None]:
    """Keep other processes and threads from writing to an output folder inside the block.

    The lock is the file `.NAME.lock` beside the folder, so that the folder can be replaced. It
    names its holder, can be taken again by the thread that holds it, and ends with the process.

    Parameters
    ----------
    folder : Path
        Output folder; it need not exist.
    waiting : callable, optional
        Receives a sentence if the folder is in use, after which the call waits until it is free.
    poll_s : float, default 1
        Time between two attempts while waiting, s.

    Raises
    ------
    SpinscopeError
        If the folder is in use and the call does not wait.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (a link keeps its own name)
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0, is_singleton=True)
    first = not lock.is_locked
    try:
        lock.acquire()
    except Timeout:
        used = f"{folder} is in use by {_holder(path)}"
        if waiting is None:
            raise SpinscopeError(
                f"{used}; wait until it ends, or choose another output folder"
            ) from None
        waiting(f"{used}; waiting until it ends")
        lock.acquire(timeout=-1, poll_interval=poll_s)
    try:
        if first:
            path.write_text(_this_program())
        yield
    finally:
        lock.release()


def exclusive(*names: str) -> Callable[[Callable], Callable]:
    """Decorator: the output folder in an argument is `locked` during a call.

    Parameters
    ----------
    *names : str
        Names of arguments; the first that is given counts.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            with locked(next(given[name] for name in names if given.get(name) is not None)):
                return function(*args, **kwargs)

        return call

    return decorate


def _this_program() -> str:
    """This process in words. Options are left out, since they may contain a password."""
    words = [Path(sys.argv[0] or "python").name]
    for word in sys.argv[1:4]:
        if word.startswith("-") or "=" in word:
            break
        words.append(word)
    since = datetime.now().strftime("%Y-%m-%d %H:%M")
    return f"process {os.getpid()} on {socket.gethostname()} ({' '.join(words)}), since {since}"


def _holder(path: Path) -> str:
    """Process that holds a lock, in words."""
    try:
        return path.read_text().strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"


def write_json(target: Path | str, value: Any) -> Path:
    """Write `value` as indented JSON, whole or not at all."""
    target = Path(target)
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with atomic_file(target) as partial:
        partial.write_text(text)
    return target


def provenance() -> dict[str, str]:
    """Version of spinscope and present time (UTC), for the head of a summary or table."""
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    version = sys.modules["spinscope"].__version__  # imported: this module is part of it
    return {"spinscope_version": version, "created_utc": f"{now.isoformat()}Z"}


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of a value that JSON can hold; equal values have equal digits."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept(path: Path | str, key: Any, make: Callable[[], Any]) -> Any:
    """Result of `make()`, computed once for a key and then read from a file.

    Parameters
    ----------
    path : Path
        JSON file that holds the result together with the digest of its key.
    key : any value that JSON can hold
        Everything that the result depends on: data, model, settings, version of the measure.
    make : callable
        Returns the result, a value that JSON can hold. Called only where `path` holds no result
        of this key. A result of another key is removed before the call.
    """
    path, name = Path(path), digest(key)
    try:
        stored = json.loads(path.read_text())
        if stored["key"] == name:
            return stored["value"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    path.unlink(missing_ok=True)
    value = make()
    write_json(path, {"key": name, "value": value})
    return value
