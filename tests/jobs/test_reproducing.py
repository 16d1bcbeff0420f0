"""A training is repeated from its record, and what prevents it is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import discs
from tests.tracking.conftest import THRESHOLD, frames, report, threshold_folder
from tests.tracking.test_backups import cached

from spinscope import cli, families
from spinscope.config import load_params, overridden, profile_names, project_root
from spinscope.datasets import Record, data_hash, write_moke
from spinscope.jobs import reproducing
from spinscope.jobs.reproducing import recorded_settings, reproduce, spread, verdict_text
from spinscope.tracking import (
    lineage,
    open_store,
    parent_run,
    register,
    registry,
    seed_run,
    version,
)
from spinscope.tracking.runs import flatten

REF = "models:/moke-unet/1"


def repository(root: Path) -> None:
    """Commit the code and the settings of this checkout in a folder."""
    checkout = project_root()
    shutil.copytree(checkout / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(checkout / name, root)
    (root / "requirements.lock").write_text("# no package\n")
    git = ["git", "-C", root, "-c", "user.name=Ada", "-c", "user.email=ada@lab.example"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *words], check=True)


@pytest.fixture(scope="module")
def trained(git, tmp_path_factory, fresh_store):
    """A repository of its own with a registered training: (its folder, settings)."""
    root = tmp_path_factory.mktemp("repository") / "project"
    rng = np.random.default_rng(7)
    frames_of = [(Record(f"{k:03d}", k, k // 2), *discs(rng)) for k in range(10)]
    dataset = write_moke(root / "build/data", frames_of)
    shutil.copytree(fresh_store, root / "mlruns")
    repository(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(root))
        settings = ["data.path=build/data", "training.seeds=3", "tracking.experiment=moke-unet"]
        params = load_params("demo", settings, family="moke-unet")
        store, tags = open_store(params.tracking), lineage(params, data_hash(dataset), 2)
        with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
            pass
        register(
            store, THRESHOLD, run.run_id, threshold_folder(root / "build/model"), "moke-unet",
            seed=2, reports={k: report(mcc) for k, mcc in enumerate((0.90, 0.91, 0.92))},
            lineage=tags, validated=True, examples=frames(),
        )  # fmt: skip
    return root, params


@pytest.fixture
def project(trained, monkeypatch):
    """Folder of the repository, which is the project."""
    monkeypatch.setenv("SPINSCOPE_ROOT", str(trained[0]))
    return trained[0]


@pytest.fixture
def tracking(trained, project):
    return trained[1].tracking


@pytest.fixture
def found(tracking):
    return version(open_store(tracking), "moke-unet")


@pytest.fixture
def repeated(monkeypatch, found):
    """Stand-in for the training: scores that differ by so many SDs, and the settings it had."""
    settings = []

    def with_scores(sds: float):
        tags = found.tags

        def train(call, given):
            settings.append(given)
            mean = float(tags["mcc.mean"]) + sds * float(tags["mcc.sd"])
            return {"seeds": [1, 2], "validation": {"mcc.mean": mean}}

        monkeypatch.setattr(reproducing._Call, "train", train)
        return settings

    return with_scores


def test_scores_within_the_spread_are_reproduced(project, tracking, found, repeated):
    settings, said = repeated(1), []
    result = reproduce(tracking, REF, say=said.append)
    assert result.verdict == "reproduced", result.why
    assert "mean MCC 0.9200 of 2 retrained seeds is within" in result.why
    assert "has not changed since" in result.environment
    assert f"train 3 seeds with the code of {found.tags['git.commit'][:10]}" in said[0]
    assert settings[0]["seed"] == 0, "the first seed of the experiment, not that of the version"
    assert settings[0]["training"]["pretrained"] == "bundled:moke-unet-simulated"
    folder = project / "build/reproduce/moke-unet-1"
    assert [path.name for path in folder.iterdir()] == ["report.json"]
    assert json.loads((folder / "report.json").read_text())["verdict"] == "reproduced"
    stored = version(open_store(tracking), "moke-unet").tags
    assert verdict_text(stored) == f"reproduced on {result.when[:10]}: {result.why}"


def test_changed_data_are_the_reason_and_the_dvc_cache_has_the_old(
    project, tracking, found, repeated
):
    data = project / "build/data"
    contents = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file()
    }
    image = next(data.rglob("*.png"))
    pixels = image.read_bytes()
    settings = repeated(0)
    try:
        image.write_bytes(pixels[:-1] + b"\0")
        result = reproduce(tracking, REF)
        assert result.verdict == "not comparable"
        assert f"the data in {data} have changed: their hash is md5:" in result.why
        assert f"trained on {found.tags['data.hash']}, and the DVC cache does not" in result.why
        assert not settings
        (project / ".dvc").mkdir()
        assert cached(project, contents) == found.tags["data.hash"]
        assert reproduce(tracking, REF).verdict == "reproduced"
        assert settings[0]["data"]["path"] == str(project / "build/reproduce/moke-unet-1/data")
    finally:
        image.write_bytes(pixels)
        shutil.rmtree(project / ".dvc", ignore_errors=True)


def test_scores_outside_the_spread_are_not_reproduced(
    project, tracking, repeated, monkeypatch, capsys
):
    repeated(-60)
    monkeypatch.setattr(sys, "argv", ["spinscope", "reproduce", REF])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert "not reproduced, mean MCC" in said.err and "is outside" in said.err
    assert said.out.splitlines()[0].split() == ["recorded", "retrained", "expected"]
    # The history and the table of versions say so.
    open_store(tracking).client.set_registered_model_alias("moke-unet", "lab", "1")
    for words, expected in ((["history", "moke-unet"], "not reproduced on"),
                            (["list"], "not reproduced")):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["spinscope", "registry", *words])
        with pytest.raises(SystemExit):
            cli.main()
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"git.dirty": "true"}, "had changes that were not committed"),
        ({"git.commit": "unknown"}, "outside a git checkout"),
        ({"git.commit": "0" * 40}, "commit 0000000000 is not in the repository"),
        ({"added.from": "bundled:moke-unet"}, "was trained elsewhere and added from bundled"),
        ({"params.digest": "0" * 16}, "settings that the run recorded have the digest"),
        ({"params.profile": "night"}, "the recorded code stops with: profile 'night' must be"),
    ],
)
def test_what_prevents_a_comparison_is_named(
    project, tracking, found, repeated, monkeypatch, changed, reason
):
    repeated(0)
    other = replace(found, tags={**found.tags, **changed})
    monkeypatch.setattr(registry, "find", lambda store, ref: other)
    result = reproduce(tracking, REF)
    assert result.verdict == "not comparable"
    assert reason in result.why


def test_other_packages_need_a_new_environment(project, tracking, repeated):
    repeated(0)
    said = []
    result = reproduce(tracking, REF, fresh=True, say=said.append)
    assert "install the packages of the recorded requirements.lock" in said[0]
    # The lock of this repository names no package.
    assert "the recorded code stops with: ModuleNotFoundError" in result.why
    (place,) = (project / "build/reproduce").glob("environment-*")
    assert (place / "complete").is_file()


def test_one_seed_is_comparable_only_with_its_own_score():
    tags = {"mcc.mean": "0.91234568", "seeds": "4"}
    rows = {
        value: reproducing.compare(tags, {"mcc.mean": value}, ("mcc", "r2"), 1)[0].within
        for value in (0.912345678, 0.9124)
    }
    assert rows == {0.912345678: True, 0.9124: False}


@pytest.mark.parametrize(("seeds", "repeated", "n"), [(3, 3, 1), (5, 2, 1), (4, 4, 3)])
def test_equal_trainings_lie_in_the_spread_at_least_as_often_as_stated(seeds, repeated, n):
    rng, held = np.random.default_rng(0), 0
    for _ in range(3000):
        old, new = (rng.normal(0.9, 0.01, (count, n)) for count in (seeds, repeated))
        held += all(
            low <= mean <= high
            for (low, high), mean in (
                (
                    spread(old[:, k].mean(), old[:, k].std(ddof=1), seeds, repeated, n),
                    new[:, k].mean(),
                )
                for k in range(n)
            )
        )
    assert held / 3000 == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("family", families.names())
def test_logged_parameters_give_the_settings_back(family):
    for profile in profile_names():
        params = load_params(profile, family=family)
        logged = {key: str(value) for key, value in flatten(params.model_dump()).items()}
        settings = recorded_settings({**logged, "seed": "17"}, params.seed)
        text = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        other = load_params("paper" if profile == "demo" else "demo", family=family)
        assert overridden(other, text).digest() == params.digest()
