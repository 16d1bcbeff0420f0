"""Pages of a project with a model of spins: shown by its own metric, offered for no image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.dashboards.conftest import _frames, open_page, text
from tests.jobs.test_field_fcn import project

from spinscope import jobs
from spinscope.config import load_params
from spinscope.datasets.shards import write_corpus


@pytest.fixture(scope="module")
def root(tmp_path_factory, fresh_store, lattice_folder) -> Path:
    """A project with a corpus of Kerr frames, one of lattices, and a promoted field-fcn."""
    root = project(tmp_path_factory.mktemp("spins") / "project")
    shutil.copytree(fresh_store, root / "mlruns")
    corpus = (
        ({"name": r.name, "source": r.source, "batch": r.batch}, np.uint8(255 * image), label)
        for r, image, label in _frames(20, 8)
    )
    write_corpus(root / "build/corpus/kerr", corpus, header={"kind": "kerr", "seed": 8})
    (root / "build/corpus/lattice").symlink_to(lattice_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(root))
        params = load_params(
            "laptop",
            [
                "training.seeds=2", "training.epochs=2", "training.steps_per_epoch=2",
                f"tracking.uri=sqlite:///{root}/mlruns/mlflow.db",
                f"tracking.artifacts={root}/mlruns/artifacts",
            ],
            family="field-fcn",
        )  # fmt: skip
        jobs.train(params, root / "build/train/field-fcn")
        jobs.promote(params, "field-fcn", 1, "first", who="Ada")
    return root


@pytest.fixture
def opened(root, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(root))
    for name in ("SPINSCOPE_PROFILE", "SPINSCOPE_TRACKING_URI", "SPINSCOPE_MOKE"):
        monkeypatch.delenv(name, raising=False)
    return open_page


def test_the_registry_shows_the_energy_error(opened):
    app = opened("registry.py")
    assert not app.exception
    assert not app.error, text(app)
    table = app.dataframe[0].value
    assert 0 < table["energy error"].iloc[0] < 5e-4
    assert "MCC" not in table and "count error" not in table
    gates = next(d.value for d in app.dataframe if "gate" in d.value)
    assert "energy error" in gates["gate"].tolist()
    app.button("check models:/field-fcn/1").click().run()
    assert not app.exception
    assert not app.error, text(app)


def test_seeds_show_small_errors_as_powers_of_ten(opened):
    app = opened("seeds.py")
    assert not app.exception
    assert not app.error, text(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["energy error"].count("e-") == 2
    assert metrics["R² of z"].startswith("1.000")
    table = app.dataframe[0].value
    assert {"energy error", "mean squared error, J²", "R² of x"} <= set(table)
    assert len(app.get("vega_lite_chart")) == 3


@pytest.mark.parametrize(
    "page", ["predictions.py", "compare.py", "sizes.py", "review.py", "likeness.py", "results.py"]
)
def test_a_page_of_masks_offers_no_spins(opened, page):
    app = opened(page)
    assert not app.exception
    options = [str(option) for box in app.selectbox for option in box.options]
    assert not any("field" in option or "lattice" in option for option in options), options
    if page in ("predictions.py", "sizes.py"):
        assert any("kerr" in option for option in options)
        assert any("moke-unet" in option for option in options)
        assert not app.error, text(app)
