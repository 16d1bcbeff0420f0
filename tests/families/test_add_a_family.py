"""The family of docs/add-a-family.md goes from a dataset to the lab; its code is the page's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import discs

from spinscope import cli, families, jobs
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
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


def overrides(moke_folder: Path) -> list[str]:
    """Settings of a training that takes seconds."""
    return [
        f"data.path={moke_folder}", "data.train_batches=[0, 1, 3, 4]", "options.channels=4",
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
    with pytest.raises(SpinscopeError, match="a family must be named, one of ltem-unet, moke-unet"):
        jobs.train(shared, tmp_path)
