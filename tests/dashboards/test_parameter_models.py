"""Pages of a project with a model of magnetic parameters: its own metric, offered for no mask."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.dashboards.conftest import _frames, open_page, text
from tests.jobs.test_parameter_cnn import NAME, project, settings

from spinscope import jobs
from spinscope.config import load_params
from spinscope.datasets.shards import write_corpus


@pytest.fixture(scope="module")
def root(tmp_path_factory, fresh_store, domains_folder) -> Path:
    """A project with a corpus of Kerr frames, one of domain films, and a promoted version."""
    root = project(tmp_path_factory.mktemp("parameters") / "project")
    shutil.copytree(fresh_store, root / "mlruns")
    corpus = (
        ({"name": r.name, "source": r.source, "batch": r.batch}, np.uint8(255 * image), label)
        for r, image, label in _frames(20, 8)
    )
    write_corpus(root / "build/corpus/kerr", corpus, header={"kind": "kerr", "seed": 8})
    (root / "build/corpus/domains").symlink_to(domains_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(root))
        given = [*settings(root, domains_folder)[1:], "training.epochs=2"]
        params = load_params("demo", given, family=NAME)
        jobs.train(params, root / f"build/train/{NAME}")
        jobs.promote(params, NAME, 1, "first", who="Ada")
    return root


@pytest.fixture
def opened(root, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(root))
    for name in ("SPINSCOPE_PROFILE", "SPINSCOPE_TRACKING_URI", "SPINSCOPE_MOKE"):
        monkeypatch.delenv(name, raising=False)
    return open_page


def test_the_registry_shows_error_and_coverage(opened):
    app = opened("registry.py")
    assert not app.exception
    assert not app.error, text(app)
    table = app.dataframe[0].value
    assert table["relative RMSE"].iloc[0] > 0
    assert 0 <= table["coverage"].iloc[0] <= 1
    assert "MCC" not in table and "count error" not in table
    gates = next(d.value for d in app.dataframe if "gate" in d.value)
    assert {"relative RMSE", "coverage of the 90 % interval"} <= set(gates["gate"])
    app.button(f"check models:/{NAME}/1").click().run()
    assert not app.exception
    assert not app.error, text(app)


def test_seeds_show_error_and_coverage(opened):
    app = opened("seeds.py")
    assert not app.exception
    assert not app.error, text(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert {"relative RMSE", "R²", "Coverage of the 90 % interval"} <= set(metrics)
    table = app.dataframe[0].value
    assert {"relative RMSE", "R²", "RMSE, SI units", "bias"} <= set(table)
    # Scores of single scales are in MLflow, not in this table.
    assert not any("scales" in column for column in table)
    assert len(app.get("vega_lite_chart")) == 3


@pytest.mark.parametrize(
    "page", ["predictions.py", "compare.py", "sizes.py", "review.py", "likeness.py", "results.py"]
)
def test_a_page_of_masks_offers_no_model_of_parameters(opened, page):
    app = opened(page)
    assert not app.exception
    options = [str(option) for box in app.selectbox for option in box.options]
    assert not any("parameter" in option or "domains" in option for option in options), options
    if page in ("predictions.py", "sizes.py"):
        assert any("kerr" in option for option in options)
        assert any("moke-unet" in option for option in options)
        assert not app.error, text(app)


def test_a_corpus_of_domains_that_is_typed_is_refused_in_one_sentence(opened, root):
    app = opened("predictions.py")
    app.selectbox("data").set_value("another folder …").run()
    app.text_input("data path").set_value(str(root / "build/corpus/domains")).run()
    assert not app.exception
    (error,) = app.error
    assert "holds domain films, which have no masks" in error.value
