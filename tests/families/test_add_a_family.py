"""The family of docs/add-a-family.md goes from a dataset to the lab; its code is the page's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import discs

from spinscope import cli, families, jobs
from spinscope.config import load_params
from spinscope.datasets import Record, write_moke
from spinscope.errors import SpinscopeError
from spinscope.jobs.data import split
from spinscope.jobs.evaluating import score
from spinscope.tracking import history, open_store, resolve

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/add-a-family.md").read_text()
BLOCKS = dict(re.findall(r'```\w+ title="(.*?)"\n(.*?)```', PAGE, re.DOTALL))
MODULE, SECTION, LIFE = (
    BLOCKS[title]
    for title in (
        "src/spinscope/families/coverage.py",
        "params.yaml",
        "tests/families/test_add_a_family.py",
    )
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with the page's section in its params.yaml and the page's module as a family."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["families"] |= yaml.safe_load(SECTION)["families"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/coverage.py").write_text(MODULE)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "modules")])
    monkeypatch.delitem(sys.modules, "spinscope.families.coverage", raising=False)
    yield tmp_path
    sys.modules.pop("spinscope.families.coverage", None)


def test_frames_need_not_be_square(project, tmp_path, template_store):
    frames = []
    for source in range(5):
        image, label = discs(np.random.default_rng(source))
        frames.append((Record(f"{source:04d}", source, source), image[:48], label[:48]))
    folder = write_moke(tmp_path / "wide", frames).path
    params = load_params("demo", overrides(folder), family="coverage")
    batches = families.of(params).training_batches(split(params)[1].train, params, seed=0)
    images, targets = next(iter(batches))
    assert images.shape == (4, 48, 64, 1) and targets.shape == (4, 1)


def test_a_missing_section_a_missing_module_and_a_misspelt_name(project):
    with pytest.raises(SpinscopeError, match=r"the sections of families.*did you mean 'coverage'"):
        load_params("demo", family="coverag")
    with pytest.raises(SpinscopeError, match="did you mean 'coverage'"):
        families.get("coverag")
    module = project / "modules/other.py"
    module.write_text("")
    with pytest.raises(SpinscopeError, match=r"other\.py must contain FAMILY"):
        families.get("other")
    module.with_name("another.py").write_text(MODULE)
    with pytest.raises(SpinscopeError, match=r"FAMILY.name \(='coverage'\) must be 'another'"):
        families.get("another")
    for name in ("other", "another"):
        del sys.modules[f"spinscope.families.{name}"]


def test_a_family_without_its_metric_is_refused(project, moke_folder, template_store, tmp_path):
    params = load_params("demo", overrides(moke_folder), family="coverage")
    family = families.of(params)
    with (
        patch.object(type(family), "metrics", lambda *_: []),
        pytest.raises(SpinscopeError, match=r"must contain one with the name.*'mae'"),
    ):
        jobs.train(params, tmp_path / "a")
    with (
        patch.object(type(family), "score", lambda *_, **__: {"mae": 0.1}),
        pytest.raises(SpinscopeError, match="n_images, frame_ms, per_image is missing"),
    ):
        score(params, None, None)
    nameless = {"mae": 0.1, "n_images": 1, "frame_ms": 1, "per_image": [{"mae": 0.1}]}
    with (
        patch.object(type(family), "score", lambda *_, **__: nameless),
        pytest.raises(SpinscopeError, match="every row per_image of score"),
    ):
        score(params, None, None)


def overrides(moke_folder: Path) -> list[str]:
    """Settings of a training that takes seconds."""
    return [
        f"data.path={moke_folder}", "data.train_batches=[0, 1]",
        "data.validation_batches=[2, 3, 4]", "options.channels=4",
        "training.seeds=2", "training.epochs=2", "training.steps_per_epoch=20", "training.batch=4",
    ]  # fmt: skip


def test_the_family_of_the_page_reaches_the_lab(
    project, moke_folder, template_store, tmp_path, monkeypatch, capsys
):
    image, _ = discs(np.random.default_rng(3))
    given = overrides(moke_folder)
    exec(LIFE, {"overrides": given, "out": tmp_path / "train", "image": image})
    params = load_params("demo", given, family="coverage")
    assert [step.to_version for step in history(open_store(params.tracking), "coverage")] == [1]
    # The verbs know no family either.
    words = ["train", "coverage", "--profile", "demo", "--out", str(tmp_path / "train")]
    words += [word for value in given for word in ("--set", value)]
    monkeypatch.setattr(sys, "argv", ["spinscope", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert "MAE" in capsys.readouterr().out
    # MLflow serves it.
    packed = resolve(params.tracking, "models:/coverage@lab").parents[1]
    (answer,) = mlflow.pyfunc.load_model(str(packed)).predict(pd.DataFrame({"image": [image]}))
    assert 0 < answer["output"][0] < 1
    with pytest.raises(SpinscopeError, match="family coverage makes no masks"):
        jobs.segment(params, [next((moke_folder / "images").iterdir())],
                     ["models:/coverage@lab"], tmp_path / "out")  # fmt: skip


def test_an_unknown_option_is_named(project):
    params = load_params("demo", ["options.chanels=3"], family="coverage")
    with pytest.raises(SpinscopeError, match=r"options\.chanels \(=3\).*did you mean 'channels'"):
        families.of(params)


def test_settings_of_no_family_train_nothing(params, tmp_path):
    shared = load_params("demo")
    with pytest.raises(SpinscopeError, match="a family must be named, one of field-fcn, ltem-unet"):
        jobs.train(shared, tmp_path)
