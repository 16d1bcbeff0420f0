"""OpenVINO agrees with Keras, from a model folder or a cache, and is refused otherwise."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import section

from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.inference import engine
from spinscope.inference.engine import KerasEngine, agreement, export, exported, open_engine
from spinscope.inference.predict import Predictor
from spinscope.models.store import CHECK, EXPORT, save_model, write_sums
from spinscope.models.unet import unet

CONFIG = section("model", width=4, depth=2, stem=2, refine=2)
INFO = {"classes": ["background", "skyrmion", "defect"], "size_multiple": CONFIG.size_multiple}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with its export, like a registered version."""
    folder = save_model(
        tmp_path_factory.mktemp("models") / "small", unet(CONFIG, 3, seed=1), INFO, "# small\n"
    )
    export(folder, folder)
    write_sums(folder)
    return folder


@pytest.mark.parametrize("shape", [(32, 48), (50, 37)])
def test_openvino_gives_what_keras_gives(folder, shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    keras = Predictor.load(folder)
    fast = Predictor.load(folder, "openvino", "f32")
    assert (keras.engine.name, fast.engine.name) == ("keras", "openvino")
    np.testing.assert_allclose(
        fast.probabilities(image, 3), keras.probabilities(image, 3), atol=1e-4
    )


def test_the_export_stores_its_agreement(folder):
    kept = json.loads((folder / CHECK).read_text())["agreement"]
    assert kept["f32"] >= 0.999
    assert set(kept) == set(engine.precisions())


@pytest.fixture
def bare(folder, tmp_path):
    """A model folder without an export."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.keras", "model.json"):
        (bare / name).write_bytes((folder / name).read_bytes())
    write_sums(bare)
    return bare


def _pretend_bf16(monkeypatch):
    """Let the processor compute in bf16, whatever it can; an engine is then only its precision."""
    monkeypatch.setattr(engine, "precisions", lambda: ("f32", "bf16"))
    monkeypatch.setattr(engine, "OpenVinoEngine", lambda network, precision, streams=1: precision)


def _converted(monkeypatch, cache, **fractions):
    """Let Keras have converted the network to `cache`, with these agreements."""
    monkeypatch.setattr(engine, "network_graph", lambda _: None)
    monkeypatch.setattr(engine, "exported", lambda _: cache / EXPORT)
    (cache / CHECK).write_text(json.dumps({"agreement": fractions}))


def test_auto_avoids_a_precision_that_disagrees(bare, tmp_path, monkeypatch):
    _pretend_bf16(monkeypatch)
    for share, chosen in ((0.9995, "bf16"), (0.998, "f32")):
        _converted(monkeypatch, tmp_path, f32=1.0, bf16=share)
        assert open_engine(bare)[0] == chosen


def test_bf16_that_was_never_measured_is_not_used(bare, tmp_path, monkeypatch):
    _pretend_bf16(monkeypatch)
    _converted(monkeypatch, tmp_path, f32=1.0)
    assert open_engine(bare)[0] == "f32"


def test_the_precision_of_a_graph_is_measured_once(bare, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "user_cache_path", lambda name: tmp_path / "cache" / name)
    _pretend_bf16(monkeypatch)
    measured = []

    def share(a, b, info):
        measured.append((a, b))
        return 0.9995

    monkeypatch.setattr(engine, "agreement", share)
    assert [open_engine(bare)[0] for _ in range(2)] == ["bf16", "bf16"]
    assert measured == [("f32", "f32"), ("f32", "bf16")]


def test_an_export_that_disagrees_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "agreement", lambda *_: 0.98)
    with pytest.raises(SpinscopeError, match=r"agrees with Keras on 98\.00 % of the pixels"):
        export(folder, tmp_path)


def test_keras_computes_what_openvino_cannot(bare, monkeypatch):
    def fails(_):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(engine, "network_graph", lambda _: None)
    monkeypatch.setattr(engine, "exported", fails)
    with pytest.warns(UserWarning, match="no such operation"):
        assert open_engine(bare)[0].name == "keras"
    with pytest.raises(RuntimeError):
        open_engine(bare, "openvino")


def test_agreement_counts_pixels():
    ones = lambda batch: np.broadcast_to([0.0, 1.0, 0.0], (*batch.shape[:3], 3))  # noqa: E731

    def half(batch):
        found = ones(batch).copy()
        found[:, :, : batch.shape[2] // 2] = [1.0, 0.0, 0.0]
        return found

    assert agreement(ones, ones, INFO) == 1
    assert agreement(ones, half, INFO) == pytest.approx(0.5)


def test_another_network_is_converted_once(bare, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(engine, "user_cache_path", lambda name: tmp_path / "cache" / name)
    first = exported(bare)
    assert first.is_relative_to(tmp_path / "cache/spinscope/engines")
    assert not list(here.iterdir())  # nothing appears where the program is called from
    changed = first.stat().st_mtime_ns
    assert exported(bare).stat().st_mtime_ns == changed


def test_without_openvino_keras_computes(folder, monkeypatch):
    monkeypatch.setattr(engine, "has_openvino", lambda: False)
    assert open_engine(folder)[0].name == "keras"
    with pytest.raises(SpinscopeError, match="'openvino' must be installed"):
        open_engine(folder, "openvino")


@pytest.mark.moke
@pytest.mark.slow
def test_the_bundled_model_segments_real_frames_as_keras_does(moke):
    """OpenVINO agrees with Keras on each class, with an MCC within 0.002."""
    from spinscope.datasets import open_dataset
    from spinscope.evaluation.metrics import confusion, scores
    from spinscope.images import to_scheme

    frames = open_dataset(moke).select(batches=[2])
    chosen = range(0, len(frames), 5)
    labels = [to_scheme(frames.label(i), 3) for i in chosen]
    mccs, found = [], []
    for name in ("keras", "openvino"):
        predictor = Predictor.load(bundled_models() / "moke-unet", name)
        found.append([predictor.classes(frames.image(i)) for i in chosen])
        pooled = sum(confusion(y, x, 3) for y, x in zip(labels, found[-1], strict=True))
        mccs.append(scores(pooled)["mcc"])
    assert min(np.mean(a == b) for a, b in zip(*found, strict=True)) >= 0.999
    assert min(mccs) > 0.8
    assert abs(mccs[0] - mccs[1]) < 0.002


FIRST_USE = """
import os, sys, threading
import numpy as np
from spinscope.inference.engine import OpenVinoEngine

sys.setswitchinterval(1e-6)
engine, start = OpenVinoEngine(sys.argv[1], "f32", 4), threading.Barrier(4)

def first():
    start.wait()
    engine(np.zeros((1, 32, 32, 1), np.float32))

threads = [threading.Thread(target=first, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_may_use_an_engine_first_at_the_same_time(folder):
    """Without care, one process in five blocked for ever."""
    for _ in range(12):
        words = [sys.executable, "-c", FIRST_USE, str(folder / EXPORT)]
        subprocess.run(words, check=True, timeout=30)


def test_many_engines_in_one_process_give_no_warning(caplog):
    frame = np.zeros((1, 32, 32, 1))
    for seed in range(8):
        KerasEngine(unet(CONFIG, 3, seed=seed))(frame)
    assert not caplog.records
