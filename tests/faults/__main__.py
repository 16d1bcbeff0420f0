"""Run scenarios of faults and write their table: python -m tests.faults [NAME…]."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults import clocks, disks, outages, workers  # noqa: F401  (they enter scenarios)
from tests.faults.base import ROOT, SCENARIOS, row

RESULTS = ROOT / "docs/results/faults.json"
PAGE, BEGIN, END = ROOT / "docs/faults.md", "<!-- faults -->", "<!-- end of faults -->"


def table(rows: list[dict]) -> str:
    """Rows as a table in Markdown."""
    lines = [f"| {row['name']} | {row['tried']} | {row['lost'] or 'nothing'} |" for row in rows]
    return "\n".join(["| fault | times tried | lost |", "|---|---|---|", *lines]) + "\n"


def main() -> int:
    """Print one line per scenario; without --n, write its row of the results and of the docs."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (0)")
    parser.add_argument("--n", type=int, help="trials per scenario (those of the table)")
    given = parser.parse_args()
    if unknown := set(given.names) - set(SCENARIOS):
        parser.error(f"{sorted(unknown)[0]} must be one of {', '.join(SCENARIOS)}")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    rows, work = [], Path(tempfile.mkdtemp(prefix="spinscope-faults-"))
    try:
        for name in given.names or SCENARIOS:
            rows.append(found := row(name, work / name, given.seed, given.n))
            print(
                f"{found['name']:<60}{found['tried']:>6} tried{found['lost']:>6} lost", flush=True
            )
            for loss in found["losses"]:
                print(f"  {loss}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if given.n is None:
        known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
        by_key = {one["key"]: one for one in [*known, *rows]}
        ordered = [by_key[name] for name in SCENARIOS if name in by_key]
        RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
        text = PAGE.read_text()
        head, rest = text.split(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{table(ordered)}{END}{rest.split(END)[1]}")
    return any(found["lost"] for found in rows)


if __name__ == "__main__":
    sys.exit(main())
