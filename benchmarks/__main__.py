"""Run every benchmark in a separate process and write build/benchmarks.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from spinscope.config import project_root
from spinscope.files import write_json


def main() -> None:
    """Run the scripts in alphabetical order, one at a time."""
    results: dict[str, dict] = {}
    for script in sorted(Path(__file__).parent.glob("[!_]*.py")):
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"benchmark {script.name} failed with exit code {done.returncode}")
        measured = json.loads(done.stdout.splitlines()[-1])
        for name, row in measured.items():
            ratio = "none" if row["ratio"] is None else f"{row['ratio']:.3g}"
            print(f"{name:<28}{row['value']:>12.4g} {row['unit']:<8} ratio {ratio}")
        results |= measured
    print(write_json(project_root() / "build" / "benchmarks.json", results))


if __name__ == "__main__":
    main()
