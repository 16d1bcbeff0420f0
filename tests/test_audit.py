"""No finding of the audit is left unexplained; each explanation is still needed."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata

from tests import audit


def test_the_code_has_no_finding_that_is_not_explained():
    assert not audit.code_findings()


def test_licences_of_the_gpl_family_are_explained():
    found = audit.licences()
    assert len(found) > 100
    assert not audit.unexplained_licences(found)
    assert audit.unexplained_licences({"forged": "GPL-3.0-only"})


def test_the_list_of_packages_is_complete(tmp_path):
    listed = audit.write_packages(tmp_path / "packages.cdx.json")
    names = {one["name"].lower() for one in listed["components"]}
    assert listed["bomFormat"] == "CycloneDX"
    assert {"numpy", "keras", "mlflow", "prefect"} <= names
    assert len(names) > 0.9 * len({one.metadata["Name"] for one in metadata.distributions()})


def test_without_a_network_vulnerabilities_are_said_to_be_unchecked(monkeypatch):
    def fails(words, **_):
        return subprocess.CompletedProcess(words, 1, stdout="", stderr="x\nConnectionError: none")

    monkeypatch.setattr(audit.subprocess, "run", fails)
    assert audit.vulnerabilities() == ([], "ConnectionError: none")


def test_packages_that_the_index_does_not_know_are_said_to_be_unchecked(monkeypatch):
    weak = {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    answer = json.dumps({"dependencies": [weak, {"name": "b", "skip_reason": "not found"}]})
    done = subprocess.CompletedProcess([], 1, answer, "")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    found, unchecked = audit.vulnerabilities()
    assert found == ["a 1: X-1, mended in ['2']"]
    assert unchecked == "1 of 2 packages are unknown to the index"
