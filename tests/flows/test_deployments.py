"""Deployments: what the page that starts a flow shows, refuses and schedules."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import threading
import zipfile

import pytest
from tests.flows.conftest import FLOWS

from spinscope.config import load_params, project_root
from spinscope.errors import SpinscopeError
from spinscope.files import locked


@pytest.fixture
def deployments(prefect, monkeypatch):
    """Deployment of every flow by its name."""

    def of(*overrides: str) -> dict:
        monkeypatch.delitem(sys.modules, "serve", raising=False)
        flows = load_params(overrides=overrides).flows
        return {one.name: one for one in importlib.import_module("serve").deployments(flows)}

    return of


def parameters(deployment) -> dict:
    return deployment._parameter_openapi_schema.model_dump()["properties"]


def test_the_form_explains_itself(deployments):
    found = deployments()
    for deployment in found.values():
        assert deployment.description and deployment.tags
        for name, schema in parameters(deployment).items():
            assert schema.get("description"), f"{deployment.name}: {name}"
    form = parameters(found["train-seeds"])
    assert set(form["profile"]["enum"]) == {"demo", "laptop", "paper"}
    assert form["profile"]["default"] == "laptop"
    assert {"moke-unet", "ltem-unet"} <= set(form["family"]["enum"])
    for name in ("seeds", "epochs"):
        assert form[name]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert form["out"]["anyOf"][0] == {"type": "string", "format": "path"}
    assert parameters(found["retrain"])["reviews"]["type"] == "array"
    assert parameters(found["search"])["workers"]["type"] == "integer"


def test_no_form_overrides_the_gates(deployments):
    form = parameters(deployments()["promote"])
    assert set(form) == {"name", "version", "reason", "profile", "overrides"}


def test_settings_of_a_flow_change_no_limit_of_the_gates(prefect, monkeypatch):
    from spinscope import jobs

    monkeypatch.setattr(jobs, "family_of_version", lambda *_: "moke-unet")
    promote = importlib.import_module("promote").promote
    with pytest.raises(SpinscopeError, match=r"gates\.min_recall.* limits of promotion are"):
        promote(profile="demo", overrides=["gates.min_recall=0"])


@pytest.mark.parametrize(
    "given",
    [
        {"overrides": ["tracking.uri=http://attacker.example"]},
        {"overrides": ["tracking={uri: http://attacker.example}"]},
        {"overrides": ["data.path=/home"]},
        {"overrides": ["data={path: /home}"]},
        {"overrides": ["fetch.api=http://attacker.example"]},
        {"overrides": ["notify.url=http://attacker.example"]},
        {"overrides": ["flows.nightly_folder=/home"]},
        {"overrides": ["seed=1", "gates.min_recall=0"]},
        {"out": "/home/other"},
        {"out": "build/../../other"},
        {"data": "/home/other"},
    ],
)
def test_a_deployment_uses_the_store_and_the_folders_of_the_project(prefect, monkeypatch, given):
    """Also where it is started through the interface of the server, as pages do."""
    from prefect.runtime import deployment

    train = importlib.import_module("train_seeds")
    monkeypatch.setattr(deployment, "get_id", lambda: "a deployment", raising=False)
    monkeypatch.setattr(train, "train_in_tasks", lambda *_: pytest.fail("was started"))
    with pytest.raises(SpinscopeError, match="spinscope flow run"):
        train.train_seeds(profile="demo", **given)


def test_a_deployment_keeps_other_settings(monkeypatch):
    check = importlib.import_module("_arguments").check_deployed
    check({"overrides": ["training.epochs=1", "data.scheme=3"], "out": "build/here", "data": None})
    check({"out": project_root() / "build/x", "films": "build/films"})


def test_schedules_have_a_time_zone(deployments):
    (planned,) = deployments("flows.timezone=Europe/Berlin")["train-seeds"].schedules
    assert (planned.schedule.cron, planned.schedule.timezone) == ("0 2 * * 6", "Europe/Berlin")
    (planned,) = deployments()["train-seeds"].schedules
    assert planned.schedule.timezone
    with pytest.raises(SpinscopeError, match="Berlin"):
        load_params(overrides=["flows.timezone=Berlin"])


@pytest.mark.parametrize("given", [{"profile": "nosuch"}, {"seeds": "many"}, {"overrides": ["x"]}])
def test_a_wrong_value_is_refused_when_it_is_entered(deployments, given):
    from prefect import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    deployment = deployments()["train-seeds"].apply()
    with (
        get_client(sync_client=True) as client,
        pytest.raises(PrefectHTTPStatusError, match=next(iter(given.values()))[0]),
    ):
        client.create_flow_run_from_deployment(deployment, parameters=given)


def test_a_wrong_profile_ends_the_command_at_once():
    done = subprocess.run(
        [sys.executable, str(FLOWS / "train_seeds.py"), "--profile", "nosuch"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "invalid choice: 'nosuch'" in done.stderr


def test_runs_of_ended_processes_are_marked_as_crashed(prefect, monkeypatch, receiver):
    from prefect import flow, get_client, task
    from prefect.states import Running

    arguments = importlib.import_module("_arguments")

    @task
    def seed():
        pass

    @flow
    def training():
        arguments.begin()
        seed()

    state = training(return_state=True)
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        assert run.labels[arguments.PROCESS]
        client.set_flow_run_state(run_id, Running(), force=True)
    assert asyncio.run(arguments.end_stale_runs()) == 0  # this process lives
    monkeypatch.setattr(arguments, "dead", lambda process: True)
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", receiver[0])
    assert asyncio.run(arguments.end_stale_runs()) == 1
    (message,) = receiver[1]
    assert message["event"] == "failure"
    assert message["text"].endswith("The process of this run ended without a report.")
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run_id).state.is_crashed()


def test_a_flow_waits_for_its_output_folder(prefect, monkeypatch, tmp_path):
    flows = importlib.import_module("promote")  # puts the flows on the path
    flows = importlib.import_module("train_seeds")
    held, free, order = threading.Event(), threading.Event(), []

    def other_run():
        with locked(tmp_path / "out"):
            held.set()
            free.wait(30)
            order.append("other run")

    def train(params, profile, overrides, folder):
        order.append("this run")
        assert params.training.seeds == 2
        return {}

    monkeypatch.setattr(flows, "train_in_tasks", train)
    monkeypatch.setattr(flows, "markdown", lambda report: "")
    thread = threading.Thread(target=other_run)
    thread.start()
    held.wait(10)
    threading.Timer(1, free.set).start()
    flows.train_seeds(profile="demo", seeds=2, out=tmp_path / "out")
    thread.join()
    assert order == ["other run", "this run"]


@pytest.mark.slow
def test_the_installed_package_lists_the_flows(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=project_root(), check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("SPINSCOPE_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "spinscope", "flow", "list"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "site")},
    )
    assert done.returncode == 0, done.stderr
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"train-seeds", "promote", "retrain", "corpus-ltem", "search"} <= names
