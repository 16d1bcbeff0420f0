"""The verbs of the microscope's computer work without the libraries of the extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import spinscope
from spinscope.images import write_label

PROGRAM = """
import contextlib, importlib.abc, io, json, sys

MISSING = set("tensorflow keras mlflow sqlalchemy fastapi prefect optuna great_expectations dvc "
              "neuralmag jax numba rsciio dask".split())

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import spinscope
heavy = {"numpy", "pandas", "scipy", "openvino", "matplotlib", "pydantic"} & set(sys.modules)
from spinscope.cli import main

answers = []
for words in json.loads(sys.stdin.read()):
    sys.argv, out, code = ["spinscope", *words], io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as end:
            code = end.code
    answers.append([code, out.getvalue()])
print(json.dumps({"answers": answers, "at_import": sorted(heavy),
                  "telemetry": sys.modules.get("openvino_telemetry") is not None}))
"""

WORK = {
    "segment": "segment rec.tif --out masks --pixel-size 200 --set segment.scale=1",
    "measure": "measure masks/rec",
    "export": "export masks/rec --to roi --to labels --to mp4",
    "intake": "intake rec.tif --out clean",
    "numbers": "numbers masks/rec",
    "report": "report masks/rec",
    "calibrate": "calibrate frame.png mask.png --out level.json",
    "estimate": "estimate domains.png --pixel-size 15.6 --parameter dmi",
    "drift": "drift rec.tif",
    "help": "--help",
    "flows": "flow list",
}
REFUSED = {
    "train moke-unet": "training needs TensorFlow",
    "demo": "training needs TensorFlow",
    "registry list": "the model registry needs MLflow",
    "segment rec.tif --model models:/a@lab --out no": "the model registry needs MLflow",
    "flow run train-seeds": "a flow needs Prefect",
    "segment frame.dm4 --out no": "a file of Gatan, needs RosettaSciIO",
}


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Folder of the work, home, and what each command answered."""
    folder, home = tmp_path_factory.mktemp("light"), tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    frames = np.full((4, 96, 96), 0.6)
    for k, frame in enumerate(frames):
        for row, column in ((20, 24), (24, 70), (66, 30), (70, 74)):
            frame[np.hypot(y - row, x - column - k) < 8] = 0.3
    frames = np.uint8(255 * (frames + rng.normal(0, 0.02, frames.shape)))
    tifffile.imwrite(folder / "rec.tif", frames, imagej=True, metadata={"axes": "TYX"})
    (folder / "rec.csv").write_text("field_mt\n-10\n-5\n5\n10\n")
    (folder / "frame.dm4").write_bytes(b"\0" * 64)
    Image.fromarray(frames[0]).save(folder / "frame.png")
    write_label(folder / "mask.png", np.uint8(frames[0] < 115))
    stripes = np.sin(np.add.outer(np.arange(128) / 2.5, np.sin(np.arange(128) / 9)))
    Image.fromarray(np.uint8(127 + 100 * stripes)).save(folder / "domains.png")
    before = set(folder.iterdir())
    commands = [line.split() for line in (*WORK.values(), *REFUSED)]
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(spinscope.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        cwd=folder,
        env=kept | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    made = {path.name for path in set(folder.iterdir()) - before}
    answers = dict(zip((*WORK, *REFUSED), said["answers"], strict=True))
    return folder, home, said, answers, made


@pytest.mark.parametrize("verb", WORK)
def test_the_verbs_work(light, verb):
    code, said = light[3][verb]
    assert not code, said


def test_the_objects_are_found_and_exported(light):
    folder = light[0]
    assert "masks/rec: 16 ± " in light[3]["segment"][1]
    exported = {path.name for path in (folder / "masks/rec").iterdir()}
    assert {"rec.rois.zip", "rec.objects.ome.tif", "rec.mp4"} <= exported


@pytest.mark.parametrize("command", REFUSED)
def test_a_missing_extra_is_one_sentence(light, command):
    code, said = light[3][command]
    extra = "tem" if "RosettaSciIO" in said else "platform"
    assert code == 1
    assert said.strip().splitlines()[-1].startswith("error: ")
    assert f"{REFUSED[command]}, which is not installed: pip install 'spinscope[{extra}]'" in said
    assert "Traceback" not in said


def test_nothing_is_written_unasked(light):
    """Neither beside the recording nor into the home, save for the caches of libraries."""
    _, home, said, _, made = light
    assert made == {"masks", "clean", "level.json"}
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}
    assert not said["telemetry"]


def test_the_package_imports_nothing_heavy(light):
    assert light[2]["at_import"] == []
