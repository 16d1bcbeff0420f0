"""Download from a local server that misbehaves."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spinscope.config import Fetch
from spinscope.datasets import open_dataset
from spinscope.datasets.fetch import fetch_moke, link_copy
from spinscope.errors import SpinscopeError

FILE = "public_unet_skyrmion_dataset.zip"


@dataclass
class Zenodo:
    """Record with one file, and the misbehaviour of its server."""

    body: bytes
    shape: str = "legacy"  # of the record: legacy or invenio
    checksum: str | None = None  # else the true one
    stated_size: int | None = None  # in the record, else the true one
    cuts: list[int] = field(default_factory=list)  # bytes after which each answer is cut
    ranges: bool = True
    etag: str = '"one"'
    link: str | None = None  # of the file, else the true one
    lie: int = 0  # added to Content-Length
    chunked: bool = False
    answers: list[int] = field(default_factory=list)  # status codes that come first
    asked: list[str | None] = field(default_factory=list)  # Range of every request for the file
    port: int = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/records"

    def settings(self, **changes) -> Fetch:
        values = {
            "record": "10997175",
            "api": self.api,
            "file": FILE,
            "size": len(self.body),
            "max_unpacked": 10_000_000,
            "retries": 3,
        }
        return Fetch(**(values | changes))

    def record(self) -> dict:
        link = f"/files/{FILE}/content"
        entry = {
            "key": FILE,
            "size": len(self.body) if self.stated_size is None else self.stated_size,
            "checksum": self.checksum or f"md5:{hashlib.md5(self.body).hexdigest()}",
        }
        if self.shape == "invenio":
            entry["links"] = {"self": f"/files/{FILE}", "content": link}
            return {"files": {"enabled": True, "entries": {FILE: entry}}}
        entry["links"] = {"self": self.link or f"http://127.0.0.1:{self.port}{link}"}
        return {"files": [{"key": "readme.txt", "size": 3, "links": {}}, entry]}


def handler(zenodo: Zenodo) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            if self.path == "/api/records/10997175":
                self._send(200, json.dumps(zenodo.record()).encode(), {})
            elif self.path == f"/files/{FILE}/content":
                self._file()
            else:
                self._send(404, b"", {})

        def _file(self) -> None:
            asked = self.headers.get("Range")
            zenodo.asked.append(asked)
            if zenodo.answers:
                self._send(zenodo.answers.pop(0), b"", {})
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            same = self.headers.get("If-Range", zenodo.etag) == zenodo.etag
            headers = {"ETag": zenodo.etag}
            total = len(zenodo.body)
            if asked and zenodo.ranges and same:
                headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                self._send(206, zenodo.body[start:], headers, cut=True)
            else:
                self._send(200, zenodo.body, headers, cut=True)

        def _send(self, code: int, body: bytes, headers: dict, cut: bool = False) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            if cut and zenodo.chunked:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(body) + (zenodo.lie if cut else 0)))
            self.end_headers()
            self.wfile.write(body[: zenodo.cuts.pop(0)] if cut and zenodo.cuts else body)

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[[Zenodo], Zenodo]]:
    running = []

    def start(zenodo: Zenodo) -> Zenodo:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(zenodo))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        zenodo.port = server.server_port
        return zenodo

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def archive(folder: Path, top: str = "public_unet_skyrmion_dataset/") -> bytes:
    """Dataset below `folder` as a zip archive with one top folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(path, top + path.relative_to(folder).as_posix())
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def body(moke_folder: Path) -> bytes:
    return archive(moke_folder)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fetched" / "moke"


def fetch(target: Path, zenodo: Zenodo, **changes) -> Path:
    return fetch_moke(target, zenodo.settings(**changes), backoff=0)


def left_behind(target: Path) -> list[str]:
    """Names beside the target, without its lock, which is kept for the next call."""
    lock = f".{target.name}.lock"
    return sorted(path.name for path in target.parent.iterdir() if path.name != lock)


@pytest.mark.parametrize("shape", ["legacy", "invenio"])
@pytest.mark.parametrize("top", ["", "public_unet_skyrmion_dataset/"])
def test_fetches_what_was_published(serve, moke_folder, target, shape, top):
    zenodo = serve(Zenodo(archive(moke_folder, top), shape=shape))
    fetched = open_dataset(fetch(target, zenodo))
    published = open_dataset(moke_folder)
    assert fetched.records == published.records
    assert all((fetched.image(i) == published.image(i)).all() for i in range(len(published)))
    assert left_behind(target) == ["moke"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_every_byte_is_shown(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000, 70_000]))
    seen = {}

    def progress(items, total, desc, **_):
        seen[desc] = [total, 0]
        for item in items:
            seen[desc][1] += 1
            yield item

    fetch_moke(target, zenodo.settings(), backoff=0, progress=progress)
    assert set(seen) == {FILE, "unpack"}
    assert all(total == count > 0 for total, count in seen.values())


def test_cut_connections_are_resumed_where_they_ended(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000, 500, 20_000]))
    fetch(target, zenodo)
    assert zenodo.asked == [None, "bytes=1000-", "bytes=1500-", "bytes=21500-"]


def test_an_end_without_length_is_resumed(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000], chunked=True))
    fetch(target, zenodo)
    assert zenodo.asked == [None, "bytes=1000-"]


def test_retries_are_counted_from_the_last_progress(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000, 0, 1000, 0, 1000]))
    fetch(target, zenodo, retries=2)
    assert len(zenodo.asked) == 6


def test_given_up_after_the_retries_and_resumed_by_the_next_call(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000, 0, 0, 0]))
    with pytest.raises(SpinscopeError, match="given up after 4 attempts"):
        fetch(target, zenodo)
    assert left_behind(target) == ["moke.zip.part", "moke.zip.part.etag"]
    fetch(target, zenodo)
    assert zenodo.asked[-1] == "bytes=1000-"
    assert left_behind(target) == ["moke"]


def test_a_server_that_ignores_ranges_restarts_cleanly(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[5000], ranges=False))
    fetch(target, zenodo)
    assert zenodo.asked == [None, "bytes=5000-"]


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[5000] * 99, ranges=False))
    with pytest.raises(SpinscopeError, match="given up"):
        fetch(target, zenodo)
    assert len(zenodo.asked) == 4


def test_a_changed_file_is_not_appended_to_the_old_download(serve, body, target):
    zenodo = serve(Zenodo(bytes(len(body)), cuts=[1000, 0, 0, 0]))
    with pytest.raises(SpinscopeError, match="given up"):
        fetch(target, zenodo)
    zenodo.body, zenodo.etag = body, '"two"'
    fetch(target, zenodo)
    assert zenodo.asked[-1] == "bytes=1000-"  # and If-Range made the server send all of it


@pytest.mark.parametrize("lie", [-100, 100])
def test_a_wrong_length_is_an_error(serve, body, target, lie):
    zenodo = serve(Zenodo(body, lie=lie))
    with pytest.raises(SpinscopeError, match=f"promises {len(body) + lie} .* says {len(body)}"):
        fetch(target, zenodo)
    assert not target.exists()


def test_more_bytes_than_the_record_says(serve, body, target):
    zenodo = serve(Zenodo(body + b"more", stated_size=len(body), chunked=True))
    with pytest.raises(SpinscopeError, match=f"sends more than the {len(body)} bytes"):
        fetch(target, zenodo, size=len(body))
    assert not target.exists()


def test_a_record_of_another_size_is_refused_before_anything_is_downloaded(serve, body, target):
    zenodo = serve(Zenodo(body))
    with pytest.raises(SpinscopeError, match=f"has {len(body)} bytes .* fetch.size says 7"):
        fetch(target, zenodo, size=7)
    assert zenodo.asked == []


def test_a_corrupt_archive_names_both_checksums_and_the_next_call_starts_anew(serve, body, target):
    true = hashlib.md5(body).hexdigest()
    zenodo = serve(Zenodo(body[:-1] + b"x", checksum=f"md5:{true}"))
    found = hashlib.md5(zenodo.body).hexdigest()
    with pytest.raises(SpinscopeError, match=f"md5 {found}, the record says {true}"):
        fetch(target, zenodo)
    assert left_behind(target) == []
    zenodo.body = body
    fetch(target, zenodo)
    assert zenodo.asked == [None, None]


def test_transient_errors_are_retried(serve, body, target):
    zenodo = serve(Zenodo(body, answers=[503, 429, 500]))
    assert len(open_dataset(fetch(target, zenodo))) == 20


def test_a_server_that_stays_down_is_an_error(serve, body, target):
    zenodo = serve(Zenodo(body, answers=[503] * 99))
    with pytest.raises(SpinscopeError, match=r"given up after 4 attempts: .* 503"):
        fetch(target, zenodo)


def test_404_is_not_retried(serve, body, target):
    zenodo = serve(Zenodo(body, answers=[404]))
    with pytest.raises(SpinscopeError, match="answered 404"):
        fetch(target, zenodo)
    assert len(zenodo.asked) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"record": "1"}, "answered 404"),
        ({"file": "other.zip"}, f"holds no other.zip, only .*{FILE}"),
        ({"api": "http://127.0.0.1:9/api"}, "given up after 4 attempts"),
    ],
)
def test_a_wrong_setting_is_named(serve, body, target, changes, says):
    zenodo = serve(Zenodo(body))
    with pytest.raises(SpinscopeError, match=says):
        fetch(target, zenodo, **changes)


def test_a_record_without_a_checksum_is_refused(serve, body, target):
    zenodo = serve(Zenodo(body, checksum="none"))
    with pytest.raises(SpinscopeError, match="checksum"):
        fetch(target, zenodo)


@pytest.mark.parametrize("link", ["https:///moke.zip", "ftp://127.0.0.1/moke.zip", "file:///x"])
def test_a_record_whose_file_is_at_no_web_address_is_refused(serve, body, target, link):
    zenodo = serve(Zenodo(body, link=link))
    with pytest.raises(SpinscopeError, match=r"address .* must be one of http"):
        fetch(target, zenodo)


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "a\\..\\out.txt"])
def test_no_name_leaves_the_folder(serve, target, tmp_path, name):
    zenodo = serve(Zenodo(zipped(**{name: b"x"})))
    with pytest.raises(SpinscopeError, match="leaves the folder"):
        fetch(target, zenodo)
    assert left_behind(target) == []
    assert not list(tmp_path.rglob("out.txt"))


def test_no_symlink_is_unpacked(serve, target):
    link = zipfile.ZipInfo("images")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(link, "/etc")
        file.writestr("images/passwd", b"x")
    with pytest.raises(SpinscopeError, match="is a link"):
        fetch(target, serve(Zenodo(buffer.getvalue())))
    assert left_behind(target) == []


def test_a_bomb_is_stopped_while_it_is_written(serve, target):
    zenodo = serve(Zenodo(zipped(**{"a.png": bytes(600_000), "b.png": bytes(600_000)})))
    with pytest.raises(SpinscopeError, match="more than 1000000 bytes unpacked"):
        fetch(target, zenodo, max_unpacked=1_000_000)
    assert left_behind(target) == []


def test_a_bomb_with_a_false_header_is_stopped(serve, target):
    size = 600_000
    body = zipped(**{"a.png": bytes(size)}).replace(size.to_bytes(4, "little"), b"\x01\0\0\0")
    with pytest.raises(SpinscopeError, match="not a sound zip archive"):
        fetch(target, serve(Zenodo(body)))
    assert left_behind(target) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_name_is_refused(serve, target):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("table.csv", b"one")
        file.writestr("table.csv", b"two")
    with pytest.raises(SpinscopeError, match="holds a name twice"):
        fetch(target, serve(Zenodo(buffer.getvalue())))


def test_an_archive_that_is_none(serve, target):
    with pytest.raises(SpinscopeError, match="not a sound zip archive"):
        fetch(target, serve(Zenodo(b"not a zip")))


def test_an_archive_without_a_dataset(serve, target):
    with pytest.raises(SpinscopeError, match=r"neither table\.csv"):
        fetch(target, serve(Zenodo(zipped(**{"readme.txt": b"x"}))))
    assert left_behind(target) == []


def test_a_complete_dataset_is_left_unchanged(moke_folder):
    said = []
    unreachable = Zenodo(b"").settings(size=1)
    before = (moke_folder / "table.csv").stat().st_mtime_ns
    assert fetch_moke(moke_folder, unreachable, say=said.append) == moke_folder
    assert said == [f"{moke_folder} is complete and left as it is"]
    assert (moke_folder / "table.csv").stat().st_mtime_ns == before


def test_other_files_are_not_replaced(serve, body, target):
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(SpinscopeError, match="is in the way"):
        fetch(target, serve(Zenodo(body)))
    assert (target / "thesis.txt").read_text() == "mine"


def test_an_empty_folder_is_filled(serve, body, target):
    target.mkdir(parents=True)
    assert len(open_dataset(fetch(target, serve(Zenodo(body))))) == 20


def test_an_archive_that_dvc_brought_is_used_and_kept(serve, body, target):
    target.parent.mkdir(parents=True)
    target.with_name(FILE).write_bytes(body)
    zenodo = serve(Zenodo(body))
    fetch(target, zenodo)
    assert zenodo.asked == []
    assert left_behind(target) == ["moke", FILE]


def test_a_damaged_archive_that_dvc_brought_is_named_and_kept(serve, body, target):
    target.parent.mkdir(parents=True)
    target.with_name(FILE).write_bytes(body[:-1] + b"x")
    with pytest.raises(SpinscopeError, match=f"{FILE} has md5"):
        fetch(target, serve(Zenodo(body)))
    assert left_behind(target) == [FILE]


FULL_DISK = """
import resource, signal, sys
from spinscope.config import Fetch
from spinscope.datasets.fetch import fetch_moke
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    fetch_moke(sys.argv[1], Fetch.model_validate_json(sys.argv[2]), backoff=0)
except ValueError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("while_unpacking", [False, True])
def test_a_full_disk_keeps_the_download_and_the_next_call_resumes_it(
    serve, moke_folder, target, while_unpacking
):
    """A limit on the size of a file replaces a full disk: writing beyond it fails."""
    (moke_folder / "notes.txt").write_bytes(bytes(500_000))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(p for p in moke_folder.rglob("*") if p.is_file()):
            file.write(path, path.relative_to(moke_folder).as_posix())
    zenodo = serve(Zenodo(buffer.getvalue()))
    size = len(zenodo.body)
    limit = size + 1000 if while_unpacking else size // 2
    assert limit < 500_000
    command = [sys.executable, "-c", FULL_DISK, str(target)]
    command += [zenodo.settings().model_dump_json(), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 1, done.stderr
    assert "SpinscopeError" in done.stderr
    assert "could not be written" in done.stderr
    assert "moke.zip.part" in left_behind(target)
    assert not target.exists()
    assert set(left_behind(target)) <= {"moke.zip.part", "moke.zip.part.etag"}
    fetch(target, zenodo)
    assert len(open_dataset(target)) == 20
    assert zenodo.asked == ([None] if while_unpacking else [None, f"bytes={limit}-"])


def test_an_interruption_keeps_only_the_download(serve, body, target):
    zenodo = serve(Zenodo(body, cuts=[1000]))

    def interrupt(items, **_):
        next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_moke(target, zenodo.settings(), backoff=0, progress=interrupt)
    assert set(left_behind(target)) == {"moke.zip.part", "moke.zip.part.etag"}
    fetch(target, zenodo)
    assert zenodo.asked[-1] == "bytes=1000-"


def test_a_copy_on_this_machine_is_linked(tmp_path, moke_folder, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_MOKE", str(moke_folder))
    target = tmp_path / "project/data/moke"
    assert link_copy(target) == moke_folder.resolve()
    assert len(open_dataset(target)) == 20
    assert link_copy(target) is None  # it exists


def test_a_temporary_experiment_of_dvc_links_the_images_of_the_project(
    tmp_path, moke_folder, monkeypatch
):
    monkeypatch.delenv("SPINSCOPE_MOKE", raising=False)
    target = tmp_path / ".dvc/tmp/exps/standalone/tmp1abc/data/moke"
    assert link_copy(target) is None
    (tmp_path / "data").mkdir()
    moke_folder.rename(tmp_path / "data/moke")
    assert link_copy(target) == (tmp_path / "data/moke").resolve()
    assert len(open_dataset(target)) == 20
