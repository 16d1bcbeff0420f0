"""Installation for the computer of a microscope: `pip install spinscope` without extras.

A wheel of this checkout is installed by pip into an empty environment, with the versions of
requirements.lock. Megabytes: all files of the environment, compiled Python files included. Peer:
the environment that runs this script. `seconds`: of building the wheel and pip, with what its cache
holds. Import: `import spinscope` above the start of Python, shortest of five. Peer: the limit.

In the environment a simulated Kerr frame is segmented, measured and exported, with a new HOME, in
an empty folder and, where Linux allows it, without a network: then `isolated` is true. `objects`:
its skyrmions. `home_files`: files that were written into HOME.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from _rows import row
from spinscope.config import load_params
from spinscope.corpora.kerr import kerr_frames

CHECKOUT = Path(__file__).parents[1]
LIMIT_S = 0.5
COMMANDS = (
    "segment frame.tif --out masks --pixel-size 200",
    "measure masks/frame",
    "export masks/frame --to roi --to labels",
)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    with tempfile.TemporaryDirectory() as folder:
        venv, work = Path(folder) / "venv", Path(folder) / "work"
        begun = time.monotonic()
        install(venv, Path(folder))
        seconds = time.monotonic() - begun
        work.mkdir()
        done = {"seconds": round(seconds, 1), **use(venv, work, Path(folder) / "home")}
        return {
            "install.megabytes": row(megabytes(venv), "MB", megabytes(Path(sys.prefix)), **done),
            "install.import_s": row(import_seconds(venv / "bin/python"), "s", LIMIT_S),
        }


def install(venv: Path, folder: Path) -> None:
    """Make an environment with the wheel of this checkout."""
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    run([*words, str(folder)], cwd=CHECKOUT)
    (wheel,) = folder.glob("*.whl")
    lock = (CHECKOUT / "requirements.lock").read_text()
    versions = folder / "versions.txt"
    versions.write_text(re.sub(r" \\\n(    --hash\S*( \\)?\n)+", "\n", lock))
    run([sys.executable, "-m", "venv", str(venv)])
    pip = [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(versions), str(wheel)])


def use(venv: Path, work: Path, home: Path) -> dict[str, int | bool]:
    """Segment, measure and export a frame; returns `objects`, `home_files` and `isolated`."""
    home.mkdir()
    settings = load_params("demo", family="moke-unet").kerr
    ((_, image, _),) = kerr_frames(1, 1, settings)
    tifffile.imwrite(work / "frame.tif", np.asarray(image))
    isolated = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        isolated = []
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    for command in COMMANDS:
        words = [*isolated, str(venv / "bin/spinscope"), *command.split(), "--json"]
        answer = run(words, cwd=work, env=environment)
        if command.startswith("segment"):
            objects = json.loads(answer)[0]["objects"]
    if {path.name for path in work.iterdir()} != {"frame.tif", "masks"}:
        raise SystemExit(f"files beside the recording: {sorted(work.iterdir())}")
    written = sum(path.is_file() for path in home.rglob("*"))
    return {"objects": objects, "home_files": written, "isolated": bool(isolated)}


def megabytes(folder: Path) -> float:
    """Size of all files below a folder, 1e6 bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def import_seconds(python: Path, repeats: int = 5) -> float:
    """Seconds of `import spinscope`, without the start of Python."""

    def shortest(code: str) -> float:
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            run([str(python), "-c", code])
            times.append(time.perf_counter() - begun)
        return min(times)

    return max(shortest("import spinscope") - shortest("pass"), 0.0)


def run(words: list[str], **options) -> str:
    """Run a program; returns its output."""
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:6])} failed with exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    print(json.dumps(main()))
