"""The file DAG as DVC reads it: data.dvc, dvc.yaml and the configuration in .dvc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from spinscope.config import load_params
from spinscope.datasets import data_hash, open_dataset

ROOT = Path(__file__).resolve().parents[2]
STAGES = [
    "fetch", "corpus-kerr", "validate", "describe", "train", "evaluate", "views", "probes",
    "study-moke",
]  # fmt: skip
MOKE = "pipelines/moke/dvc.yaml"
MOKE_STAGES = ["ablations", "search", "relabelling", "crossval"]
LTEM = "pipelines/ltem/dvc.yaml"
LTEM_STAGES = ["corpus-films", "corpus-ltem", "train-ltem"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the DAG in a fresh clone."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".dvcignore", ".gitignore", "data.dvc", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for pipeline in (LTEM, MOKE):
        (folder / pipeline).parent.mkdir(parents=True)
        shutil.copy(ROOT / pipeline, folder / pipeline)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "DVC_GLOBAL_CONFIG_DIR": str(folder), "DVC_NO_ANALYTICS": "1"}
    environment |= {"DVC_SYSTEM_CONFIG_DIR": str(folder), "DVC_SITE_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_stage_would_run_in_a_fresh_clone(checkout):
    said = dvc(checkout, "repro", "--dry", "--force")
    assert [name for name in STAGES if f"Running stage '{name}'" in said] == STAGES
    assert said.index("'validate'") < said.index("'train'") < said.index("'evaluate'")
    assert LTEM not in said  # a lab without Lorentz images has nothing to do with them


def test_the_long_parts_of_the_kerr_study_run_only_on_request(checkout):
    said = dvc(checkout, "repro", "--dry", "--force", MOKE)
    assert all(f"Running stage '{MOKE}:{name}'" in said for name in MOKE_STAGES)


def test_the_lorentz_stages_run_only_on_request(checkout):
    said = dvc(checkout, "repro", "--dry", "--force", LTEM)
    places = [said.index(f"Running stage '{LTEM}:{name}'") for name in LTEM_STAGES]
    assert places == sorted(places)
    assert "'train'" not in said


def test_the_graph_joins_data_to_evaluation(checkout):
    edges = dvc(checkout, "dag", "--dot")
    for edge in ('"fetch" -> "validate"', '"validate" -> "train"', '"train" -> "evaluate"'):
        assert edge in edges
    assert '"data.dvc"' in edges


def test_status_names_the_archive_as_absent(checkout):
    assert "data/public_unet_skyrmion_dataset.zip" in dvc(checkout, "status")


def test_stages_read_sections_and_run_verbs_that_exist():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == STAGES
    more = yaml.safe_load((ROOT / LTEM).read_text())["stages"]
    assert list(more) == LTEM_STAGES
    keys = {*load_params().model_dump(), "profiles", "families.moke-unet", "families.ltem-unet"}
    long = yaml.safe_load((ROOT / MOKE).read_text())["stages"]
    assert list(long) == MOKE_STAGES
    for stage in [*stages.values(), *more.values(), *long.values()]:
        assert stage["cmd"].startswith("spinscope ")
        assert set(stage["params"]) <= keys
        assert all(
            (ROOT / path).exists() for path in stage.get("deps", ()) if path.startswith("src/")
        )


def test_evaluation_is_of_the_validation_frames():
    command = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["cmd"]
    batches = ",".join(map(str, load_params().data.validation_batches))
    assert f"--batches {batches} " in command


def test_the_import_is_the_archive_that_fetch_brings():
    imported = yaml.safe_load((ROOT / "data.dvc").read_text())
    settings = load_params().fetch
    assert imported["frozen"]
    assert imported["outs"][0]["path"] == f"data/{settings.file}"
    assert imported["outs"][0]["size"] == imported["deps"][0]["size"] == settings.size
    assert imported["deps"][0]["path"].endswith(f"/{settings.record}/files/{settings.file}")


def test_data_hash_is_dvcs_own(tmp_path, checkout, moke_folder):
    shutil.copytree(moke_folder, checkout / "added")
    dvc(checkout, "add", "-q", "added")
    recorded = yaml.safe_load((checkout / "added.dvc").read_text())["outs"][0]["md5"]
    assert data_hash(open_dataset(moke_folder)) == f"md5:{recorded}"
    (moke_folder / "table.csv").open("a").write("\n")
    assert data_hash(open_dataset(moke_folder)) != f"md5:{recorded}"
