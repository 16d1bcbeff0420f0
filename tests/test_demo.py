"""The demo, smaller still: it says what the README promises."""

from __future__ import annotations

import shutil

import pytest
from tests.jobs.test_reproducing import repository

from spinscope.config import bundled_models, load_params
from spinscope.demo import demo
from spinscope.jobs.reproducing import reproduce
from spinscope.live.results import open_results
from spinscope.tracking import open_store


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_demo_ends_with_table_picture_reference_and_command(
    git, tmp_path, fresh_store, monkeypatch, request
):
    models = bundled_models()
    shutil.copytree(fresh_store, tmp_path / "mlruns")
    shutil.copytree(models, tmp_path / "models")
    repository(tmp_path)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    params = load_params(
        "demo",
        [
            "evaluation.tta=2",
            "training.seeds=2",
            "training.epochs=1",
            "training.steps_per_epoch=2",
            "training.batch=2",
            "training.crop=32",
            "training.learning_rate=1e-5",
        ],
        family="moke-unet",
    )
    said: list[str] = []
    lines = demo(params, say=said.append)
    text = "\n".join(lines)
    assert "mean ± SD over 2 seeds" in text
    assert "test-time augmentation" in text
    assert "models:/moke-unet-demo@lab (version 1)" in text
    assert "make serve" in lines[-1]
    assert (tmp_path / "build/demo/picture.png").is_file()
    results = open_results(tmp_path / "build/demo/segment/recording")
    assert results.n_frames == 8
    assert results.summary["recording"]["pixel_size_nm"] == pytest.approx(100)
    assert (results.folder / "tracks.csv").is_file()
    assert [line.split("] ")[1].split()[0] for line in said] == [
        "simulate", "validate", "promote", "segment",
    ]  # fmt: skip
    again = reproduce(params.tracking, "models:/moke-unet-demo@lab")
    assert again.verdict == "reproduced", again.why
    mcc = again.scores[0]
    # The same seeds on the same machine: the same scores.
    assert mcc.retrained == pytest.approx(mcc.recorded, abs=1e-3)
    known = open_store(params.tracking).client
    runs = known.search_runs([e.experiment_id for e in known.search_experiments()])
    assert len(runs) == 3, "the repeated training is recorded in a store of its own"


def test_the_demo_continues_a_bundled_model_through_the_gates_as_shipped():
    shipped, demo_params = load_params("laptop"), load_params("demo", family="moke-unet")
    assert demo_params.training.pretrained == "bundled:moke-unet-simulated"
    assert demo_params.gates == shipped.gates
