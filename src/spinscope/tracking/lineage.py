"""Lineage of a result: data, code, settings, seed, packages and machine."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from spinscope.config import Params, project_root

PACKAGES = ("spinscope", "keras", "tensorflow-cpu", "tensorflow", "openvino", "numpy", "mlflow")


def lineage(
    params: Params, data_hash: str, seed: int | None = None, *, root: Path | None = None
) -> dict[str, str]:
    """Tags that every run and model version carries.

    Parameters
    ----------
    params : Params
    data_hash : str
    seed : int, optional
    root : Path, optional
        Git checkout, by default the project.

    Returns
    -------
    dict
        `family`, `data.hash`, `params.digest`, `params.profile`, `git.commit` and `git.dirty`
        ("unknown" outside a checkout), `seed`, `version.NAME` of Python and the packages, and
        `host.cpus`.
    """
    return {
        **({"family": params.family} if params.family else {}),
        "data.hash": data_hash,
        "params.digest": params.digest(),
        "params.profile": params.profile,
        **git_state(root or project_root()),
        **({} if seed is None else {"seed": str(seed)}),
        **package_versions(),
        "host.cpus": str(os.cpu_count()),
    }


def package_versions() -> dict[str, str]:
    """`version.NAME` of Python and of the packages that affect a result."""
    versions = {name.removesuffix("-cpu"): value for name, value in installed(PACKAGES).items()}
    versions["python"] = platform.python_version()
    return {f"version.{name}": value for name, value in versions.items()}


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def git_state(folder: Path) -> dict[str, str]:
    """Commit of the checkout at `folder`, and whether tracked files differ from it."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    dirty = "unknown" if changes is None else str(bool(changes)).lower()
    return {"git.commit": commit, "git.dirty": dirty}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
