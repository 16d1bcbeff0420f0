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
STAGES = ["fetch", "corpus-kerr", "validate", "describe", "train", "evaluate", "register"]
MOKE = "pipelines/moke/dvc.yaml"
MOKE_STAGES = [
    "views", "probes", "ablations", "search", "relabelling", "crossval", "study-moke",
]  # fmt: skip
LTEM = "pipelines/ltem/dvc.yaml"
LTEM_STAGES = ["corpus-films", "corpus-ltem", "train-ltem", "evaluate-ltem", "register-ltem"]
FIELD = "pipelines/field/dvc.yaml"
FIELD_STAGES = ["corpus-lattice", "train-field", "evaluate-field", "register-field"]
PARAMETERS = "pipelines/parameters/dvc.yaml"
PARAMETERS_STAGES = [
    f"{name}{suffix}"
    for suffix in ("", "-ms")
    for name in ("corpus-domains", "train-parameters", "evaluate-parameters", "register-parameters")
]


@pytest.fixture(scope="module")
def checkout(git: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the DAG in a fresh clone."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".dvcignore", ".gitignore", "data.dvc", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for pipeline in (LTEM, FIELD, PARAMETERS, MOKE):
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
    order = [said.index(f"'{name}'") for name in ("validate", "train", "evaluate", "register")]
    assert order == sorted(order)
    assert LTEM not in said  # a lab without Lorentz images has nothing to do with them
    assert FIELD not in said and PARAMETERS not in said


def test_the_long_parts_of_the_kerr_study_run_only_on_request(checkout):
    said = dvc(checkout, "repro", "--dry", "--force", MOKE)
    assert all(f"Running stage '{MOKE}:{name}'" in said for name in MOKE_STAGES)


@pytest.mark.parametrize(
    ("pipeline", "stages"),
    [(LTEM, LTEM_STAGES), (FIELD, FIELD_STAGES), (PARAMETERS, PARAMETERS_STAGES)],
)
def test_the_stages_of_a_family_run_only_on_request(checkout, pipeline, stages):
    said = dvc(checkout, "repro", "--dry", "--force", pipeline)
    for chain in (stages[:4], stages[4:]) if pipeline == PARAMETERS else (stages,):
        places = [said.index(f"Running stage '{pipeline}:{name}'") for name in chain]
        assert places == sorted(places)
    assert said.count("Running stage") == len(stages)


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
    field = yaml.safe_load((ROOT / FIELD).read_text())["stages"]
    assert list(field) == FIELD_STAGES
    parameters = yaml.safe_load((ROOT / PARAMETERS).read_text())["stages"]
    assert list(parameters) == PARAMETERS_STAGES
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    long = yaml.safe_load((ROOT / MOKE).read_text())["stages"]
    assert list(long) == MOKE_STAGES
    chains = (stages, more, field, parameters, long)
    for stage in [stage for chain in chains for stage in chain.values()]:
        assert stage["cmd"].startswith("spinscope ")
        assert [key for key in stage["params"] if not has(shipped, key)] == []
        assert all(
            (ROOT / path).exists() for path in stage.get("deps", ()) if path.startswith("src/")
        )


def has(settings: dict, key: str) -> bool:
    """Whether nested settings have a key with dots."""
    for part in key.split("."):
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True


def family_of(name: str) -> str | None:
    """Family with settings of its own that a stage of a pipeline belongs to."""
    file, stage = name.split(":")
    if file == PARAMETERS:
        return "parameter-cnn-ms" if stage.endswith("-ms") else "parameter-cnn"
    return {LTEM: "ltem-unet", FIELD: "field-fcn"}.get(file)


def all_stages() -> dict[str, dict]:
    return {
        f"{file}:{name}": stage
        for file in ("dvc.yaml", LTEM, FIELD, PARAMETERS, MOKE)
        for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items()
    }


@pytest.mark.parametrize("name", all_stages())
def test_a_stage_depends_on_the_profiles_of_its_own_sections_alone(name):
    """`profiles` as a whole would repeat every stage for any setting of a profile."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    family = family_of(name)
    listed = all_stages()[name]["params"]
    own = [key for key in listed if key.split(".")[0] not in ("profiles", "families", "profile")]
    over = [f"profiles.{profile}" for profile in shipped["profiles"]]
    if family:
        over += [f"families.{family}", *(f"{profile}.families.{family}" for profile in over)]
    expected = {f"{place}.{key}" for place in over for key in own if has(shipped, f"{place}.{key}")}
    rest = {key for key in listed if key.startswith(("profiles.", "families."))}
    assert rest - {"families.moke-unet"} == expected


def test_a_setting_of_training_does_not_repeat_validation_and_one_of_evaluation_no_training():
    stages = all_stages()
    sections = {
        name: {key.split(".")[-1] for key in stages[f"dvc.yaml:{name}"]["params"]}
        for name in ("validate", "train", "evaluate")
    }
    assert "training" not in sections["validate"] | sections["evaluate"]
    assert "evaluation" not in sections["train"]
    assert "training" in sections["train"]
    assert "evaluation" in sections["evaluate"]


def test_the_default_profile_overrides_no_setting():
    """So that `dvc exp run -S training.learning_rate=…` changes what is trained."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert shipped["profiles"][shipped["profile"]] == {}


def test_metrics_and_plots_are_outputs_of_stages():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert pipeline["metrics"] == ["build/evaluate/moke-unet/metrics.json"]
    plots = [plot for entry in pipeline["plots"] for plot in entry.values()]
    assert {source for plot in plots for source in plot["y"]} == {
        "build/train/moke-unet/curves.csv",
        "build/evaluate/moke-unet/frames.csv",
    }


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
