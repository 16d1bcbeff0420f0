"""Audit of the code and of what is installed: `python -m tests.audit`.

Writes build/audit/: findings of bandit, licences, a CycloneDX list of all packages, and known
vulnerabilities of the locked versions, which need a network; without one they are not checked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
OUT = CHECKOUT / "build/audit"

EXPLAINED = {
    "B101": "an assertion that an imported module is used, no check of an input",
    "B311": "random pauses between two attempts to write, no secrets",
    "B314": "the parser of Python refuses entities that grow (expat 2.4.1); the text is bounded by "
    "the file of the image",
    "B403": "pickletools decodes the operations of a pickle; nothing in it is called",
    "B404": "programs of the project are started",
    "B405": "as B314",
    "B406": "text and attributes are escaped for a file that is written; nothing is parsed",
    "B603": "command lines are lists of words, without a shell",
    "B607": "git and open are found on the user's PATH",
    "B608": "names of tables and columns are constants of the module; values are parameters",
}
"""Finding of bandit → why it is none."""

LICENCES = {
    "grandalf": "GPL-2.0, of DVC: a program beside this one; not imported",
    "psycopg2-binary": "LGPL, of the extra `server`: used as a library, unchanged",
    "pyqt6": "GPL-3.0, of the extra `napari`: used as a library, not distributed with spinscope",
    "pyqt6-qt6": "LGPL-3.0, of the extra `napari`: used as a library, unchanged",
    "pygit2": "GPL-2.0 with linking exception, of DVC",
    "rosettasciio": "GPL-3.0, of the extra `tem`: used as a library, unchanged",
    "text-unidecode": "Artistic License or GPL, of Prefect: used under the Artistic License",
    "dulwich": "Apache-2.0 or GPL-2.0, of DVC: used under Apache-2.0",
}
"""Package with a licence of the GPL family → how it is used."""

_COPYLEFT = re.compile(r"GPL|General Public License")


def code_findings() -> list[str]:
    """Findings of bandit in src, flows and dashboards that `EXPLAINED` does not explain."""
    words = ["bandit", "-q", "-r", "src", "flows", "dashboards", "-f", "json"]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=CHECKOUT, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert not found["errors"], found["errors"]
    return [
        f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}"
        for one in found["results"]
        if one["test_id"] not in EXPLAINED
    ]


def licences() -> dict[str, str]:
    """Package → licence of all that is installed."""
    found = {}
    for one in metadata.distributions():
        kinds = [
            text.rpartition(" :: ")[2]
            for text in one.metadata.get_all("Classifier", [])
            if text.startswith("License")
        ]
        stated = one.metadata.get("License-Expression") or "; ".join(kinds)
        text = stated or (one.metadata.get("License") or "not stated").strip().splitlines()[0]
        found[one.metadata["Name"]] = text[:80]
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def unexplained_licences(found: dict[str, str]) -> list[str]:
    """Packages with a licence of the GPL family that `LICENCES` does not explain."""
    return [
        f"{name}: {text}"
        for name, text in found.items()
        if _COPYLEFT.search(text) and name.lower() not in LICENCES
    ]


def write_packages(path: Path) -> dict:
    """Write the CycloneDX list of the installed packages; returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable]
    options = ["--output-reproducible", "--of", "JSON", "-o", str(path)]
    subprocess.run([*words, *options], check=True, capture_output=True, cwd=CHECKOUT)
    return json.loads(path.read_text())


def vulnerabilities(timeout: float = 120) -> tuple[list[str], str]:
    """Known vulnerabilities of the locked versions, and why they could not be looked up."""
    words = ["pip_audit", "-r", "requirements.lock", "--no-deps", "--disable-pip", "-f", "json"]
    environment = {**os.environ, "PIP_AUDIT_PROGRESS_SPINNER": "off"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=CHECKOUT, capture_output=True, text=True,
            timeout=timeout, env=environment,
        )  # fmt: skip
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"no answer within {timeout:g} s"
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["no answer"]
        return [], lines[-1][:200]
    skipped = [one for one in found if "skip_reason" in one]
    bad = [
        f"{one['name']} {one['version']}: {bad['id']}, mended in {bad['fix_versions']}"
        for one in found
        for bad in one.get("vulns", [])
    ]
    # An index without advisories answers, but knows none of the packages.
    unknown = f"{len(skipped)} of {len(found)} packages are unknown to the index"
    return bad, unknown if skipped else ""


def main() -> int:
    """Print the audit; 1 if something is neither mended nor explained."""
    OUT.mkdir(parents=True, exist_ok=True)
    known = licences()
    (OUT / "licences.json").write_text(json.dumps(known, indent=1) + "\n")
    packages = write_packages(OUT / "packages.cdx.json")
    weak, unknown = vulnerabilities()
    print(f"{len(packages['components'])} packages in {OUT / 'packages.cdx.json'}")
    if unknown:
        print(f"known vulnerabilities were not checked: {unknown}")
    bad = [*code_findings(), *unexplained_licences(known), *weak]
    print("\n".join(bad) or "no finding that is neither mended nor explained")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
