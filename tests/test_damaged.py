"""Damaged and crafted inputs: each gives one sentence that names the file, and no traceback."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from spinscope.config import load_params, project_root
from spinscope.datasets import fetch, open_dataset
from spinscope.datasets.shards import damaged_files, write_corpus
from spinscope.errors import SpinscopeError
from spinscope.reviews.folder import Reviews
from spinscope.tracking import store


def refuses(sentence: str):
    return pytest.raises(SpinscopeError, match=rf"\A(?!.*\n).*({sentence})")


@pytest.fixture
def corpus(tmp_path) -> Path:
    rows = (
        ({"name": f"{k}", "source": k, "batch": k}, np.zeros((8, 8), "u1"), np.zeros((8, 8), "u1"))
        for k in range(3)
    )
    return write_corpus(tmp_path / "corpus", rows, header={"kind": "kerr", "seed": 1})


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("manifest.csv", b"name,source\n\x8b", "manifest.csv is not a readable table"),
        ("manifest.csv", b"name,source,batch,shard,index\na,1,1,0," + b"9" * 5000, "an integer"),
        ("images-0000.npy", b"\x93NUMPY\x01\x00\x02\x00{'", "0000.npy is missing or damaged"),
        ("images-0000.npy", None, "0000.npy is missing or damaged"),
        ("corpus.json", b"[1]", "header of a corpus"),
        ("corpus.json", b'{"a": ' * 10**5, "header of a corpus"),
        ("corpus.json", b'{"sha256": {"../../x": "0"}}', "header of a corpus"),
    ],
)
def test_a_shard(corpus, name, content, sentence):
    file = corpus / name
    file.write_bytes(content) if content is not None else file.unlink()
    with refuses(sentence):
        damaged_files(corpus)
        open_dataset(corpus).image(0)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 8, 8)), np.zeros(3, "u1"), np.zeros((3, 0, 8), "u1")]
)
def test_a_shard_of_another_kind(corpus, array):
    np.save(corpus / "images-0000.npy", array)
    with refuses("must be unsigned"):
        open_dataset(corpus).image(0)


VALUES = [
    "2020-01-01", "2020-13-45", "!!bool x", "!!binary x", "!!set {a}", "[" * 3000, "1" * 4400,
    "0x" + "f" * 5000, "&a [*a]", "{1: 2}", "'", "!!python/object:os.system x", "-" * 300,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_an_override(value):
    with refuses("the value must be YAML|is not valid"):
        load_params("demo", [f"training.epochs={value}"])


@pytest.mark.parametrize("value", [*VALUES, "{demo: 1}", "{demo: {families: {moke-unet: 1}}}"])
@pytest.mark.parametrize("key", ["training", "profiles", "families"])
def test_a_file_of_settings(tmp_path, key, value):
    path = tmp_path / "params.yaml"
    path.write_text(f"{(project_root() / 'params.yaml').read_text()}\n{key}: {value}\n")
    with refuses("params"):
        load_params("demo", path=path, family="moke-unet")


def test_settings_that_grow_without_end(tmp_path):
    path = tmp_path / "params.yaml"
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]" for k in range(1, 9)]
    path.write_text("\n".join(lines))
    with refuses("at most 16 levels and 20000 values are read"):
        load_params(path=path)


def reviewed(folder: Path) -> Path:
    label = np.zeros((8, 8), "u1")
    Reviews.open(folder).add(
        "a", np.zeros((8, 8)), label, status="accepted", who="A", model="m", model_sha256="0",
        before=label,
    )  # fmt: skip
    return folder / "frames/a/0001.json"


@pytest.mark.parametrize(
    "change",
    [
        {"reviewer": []},
        {"reviewed_utc": 1},
        {"status": "promoted"},
        {"saved_mask_sha256": "../../../etc/passwd"},
        {"image_sha256": "/etc/passwd"},
        {"window": [1, 2]},
        {"window": "abcd"},
        {"treatment": [1]},
        {"unknown": 1},
        1.5,
    ],
    ids=str,
)
def test_a_review(tmp_path, change):
    path = reviewed(tmp_path)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | change if isinstance(change, dict) else change))
    with refuses("0001.json is not a review"):
        Reviews.open(tmp_path).history("a")


@pytest.mark.parametrize(
    "files",
    [
        [{"key": 1}],
        [{"key": "moke.zip", "size": 1e400, "links": {"self": "x"}, "checksum": "md5:0"}],
        [{"key": "moke.zip", "size": 1, "links": {"self": "\0"}, "checksum": "md5:0"}],
        [{"key": "moke.zip", "size": 1, "links": [], "checksum": "md5:0"}],
        {"entries": []},
        [[]],
    ],
    ids=str,
)
def test_the_record_of_an_archive(tmp_path, files, monkeypatch):
    body = json.dumps({"files": files})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    monkeypatch.setattr(fetch, "_client", lambda: httpx.Client(transport=transport))
    settings = load_params("demo").fetch.model_copy(update={"file": "moke.zip", "retries": 0})
    with refuses("is not a record of Zenodo|holds no moke.zip"):
        fetch.fetch_moke(tmp_path / "moke", settings, backoff=0)


def test_a_database_without_its_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    tracking = load_params("demo", ["tracking.uri=postgresql://a:secret@127.0.0.1:1/x"]).tracking
    with refuses(r"pip install spinscope\[server\]") as refusal:
        store.open_store(tracking)
    assert "secret" not in str(refusal.value)
