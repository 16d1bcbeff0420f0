"""Files and folders appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spinscope import files
from spinscope.errors import SpinscopeError
from spinscope.files import (
    atomic_file,
    atomic_folder,
    exclusive,
    kept,
    locked,
    sha256,
    sha256_folder,
    write_json,
)


def test_a_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("one")
        assert not (tmp_path / "new/a.txt").exists()
    assert (tmp_path / "new/a.txt").read_text() == "one"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="No space left"), atomic_file(tmp_path / "a.txt"):  # noqa: SIM117
        with open("/dev/full", "w") as full:  # noqa: PTH123
            full.write("x")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "d") as partial:
            (partial / content).write_text(content)
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    with atomic_folder(tmp_path / "d") as partial:
        (partial / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "d") as partial:
        (partial / "b").write_text("half")
        raise KeyboardInterrupt
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


_WRITES = """
import os, signal, sys
from pathlib import Path
from spinscope.files import {kind}, partial_folder
with {kind}(Path(sys.argv[1], "new")) as partial, partial_folder() as scratch:
    print(partial, scratch, flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def _writer(kind: str, folder: Path, number: str) -> tuple[subprocess.Popen, list[Path]]:
    """A process that sends itself a signal while it writes, and its partial files."""
    command = [sys.executable, "-c", _WRITES.format(kind=kind), str(folder), number]
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    return process, [Path(name) for name in process.stdout.readline().split()]


@pytest.mark.parametrize("kind", ["atomic_file", "atomic_folder"])
def test_the_next_call_removes_what_killed_processes_left(tmp_path, kind):
    stopped, alive = _writer(kind, tmp_path, "SIGSTOP")
    process, left = _writer(kind, tmp_path, "SIGKILL")
    process.wait()
    host, rest = left[0].name.split("-", 1)
    elsewhere = tmp_path / f"{host}elsewhere-{rest}"
    elsewhere.touch()
    try:
        assert set(tmp_path.iterdir()) == {*left, *alive, elsewhere}
        assert _writer(kind, tmp_path, "SIGCONT")[0].wait() == 0
        assert set(tmp_path.iterdir()) == {*alive, elsewhere, tmp_path / "new"}
    finally:
        stopped.kill()
        stopped.wait()


def test_a_kill_between_two_renames_leaves_the_old_folder(tmp_path, monkeypatch):
    """Without an exchange in one step the old folder is renamed first."""
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    with atomic_folder(tmp_path / "d") as partial:
        (partial / "a").write_text("old")
    with atomic_folder(tmp_path / "d") as partial:
        (partial / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert (tmp_path / "d/a").read_text() == "new"
    dead = files._partial_name(tmp_path / "d.old").replace(f"-{os.getpid()}-", "-999999999-")
    (tmp_path / "d").rename(dead)
    assert files.remove_partial(tmp_path) == []
    assert (tmp_path / "d/a").read_text() == "new"


def test_a_folder_is_exchanged_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert files._exchange(tmp_path / "a", tmp_path / "b") == (sys.platform == "linux")
    assert (tmp_path / "a/b").exists() == (sys.platform == "linux")


def test_a_link_to_a_folder_is_replaced_and_its_folder_kept(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link") as partial:
        (partial / "a").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}
    assert (tmp_path / "link/a").is_file() and not any((tmp_path / "real").iterdir())


def test_json_that_cannot_be_written_leaves_the_old(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_checksums_follow_names_and_contents(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"abc")
    # The SHA-256 of "abc", FIPS 180-4.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "d/a") == known
    before = sha256_folder(tmp_path / "d")
    (tmp_path / "d/a").rename(tmp_path / "d/b")
    assert sha256_folder(tmp_path / "d") != before


def test_a_result_is_computed_once_per_key(tmp_path):
    calls = []

    def make(value):
        calls.append(value)
        return {"value": value}

    path = tmp_path / "points/a.json"
    assert kept(path, {"seed": 1}, lambda: make(1)) == {"value": 1}
    assert kept(path, {"seed": 1}, lambda: make(2)) == {"value": 1}
    assert kept(path, {"seed": 2}, lambda: make(3)) == {"value": 3}
    path.write_text("cut off {")
    assert kept(path, {"seed": 2}, lambda: make(4)) == {"value": 4}
    assert calls == [1, 3, 4]


def test_a_result_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        kept(tmp_path / "a.json", 1, lambda: 1 / 0)
    assert not list(tmp_path.iterdir())


_HOLD = """
import sys
from spinscope.files import locked
sys.argv = ["/bin/spinscope", "train", "moke-unet", "--set", "tracking.uri=postgresql://u:s3cret@h"]
with locked({folder!r}):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `out`."""
    code = _HOLD.format(folder=str(tmp_path / "out"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_in_use_is_refused_at_once_and_names_its_user(holder, tmp_path):
    written = []

    @exclusive("out")
    def job(params, out):
        written.append(out)

    refusal = rf"out is in use by process {holder.pid} on \S+ \(spinscope train moke-unet\), since"
    with pytest.raises(SpinscopeError, match=refusal) as refused:
        job(1, out=tmp_path / "out")
    assert "choose another output folder" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert not written
    job(1, tmp_path / "other")
    assert written == [tmp_path / "other"]


def test_a_killed_process_frees_its_folder(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "out"), locked(tmp_path / "out"):  # again in the same thread
        pass


def test_a_job_that_waits_starts_when_the_folder_is_free(holder, tmp_path):
    said = []

    def waiting(sentence):
        said.append(sentence)
        holder.stdin.close()

    with locked(tmp_path / "out", waiting=waiting, poll_s=0.01):
        holder.wait(10)
    assert "; waiting until it ends" in said[0]


def test_two_threads_do_not_share_a_folder(tmp_path):
    refused = []

    def other():
        try:
            with locked(tmp_path / "out"):
                pass
        except SpinscopeError as error:
            refused.append(error)

    with locked(tmp_path / "out"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
