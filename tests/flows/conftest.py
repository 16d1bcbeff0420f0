"""A Prefect of the tests' own, and settings as another process is given them."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spinscope.config import project_root

FLOWS = project_root() / "flows"


@pytest.fixture(scope="package")
def prefect(tmp_path_factory):
    """A Prefect database and server of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("prefect")
        patch.setenv("PREFECT_HOME", str(home))
        patch.setenv("PREFECT_LOCAL_STORAGE_PATH", str(home / "storage"))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.syspath_prepend(str(FLOWS))
        from prefect.settings import (
            PREFECT_LOCAL_STORAGE_PATH,
            PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
            temporary_settings,
        )
        from prefect.testing.utilities import prefect_test_harness

        settings = {
            PREFECT_LOCAL_STORAGE_PATH: home / "storage",
            PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",  # a task is run without its flow
        }
        with prefect_test_harness(server_startup_timeout=180), temporary_settings(settings):
            yield


@pytest.fixture
def run_as_main(monkeypatch, capsys) -> Callable[..., str]:
    """Run a file of the flows with words, as `python flows/FILE WORDS` does; what it prints."""
    monkeypatch.syspath_prepend(str(FLOWS))

    def run(file: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [file, *words])
        capsys.readouterr()
        try:
            runpy.run_path(str(FLOWS / file), run_name="__main__")
        except SystemExit as end:
            assert not end.code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def settings_of(params) -> list[str]:
    """The overrides that make the profile `demo` into `params`, for another process."""
    sections = ("data", "model", "training", "tracking", "evaluation", "inference")
    pairs = []
    for section in sections:
        for key, value in getattr(params, section).model_dump(mode="json").items():
            pairs.append(f"{section}.{key}={json.dumps(value)}")
    return pairs


def written(out: Path) -> dict[str, int]:
    """Time at which the network of each seed was written."""
    return {str(path): path.stat().st_mtime_ns for path in out.glob("**/seed-*/model/model.keras")}
