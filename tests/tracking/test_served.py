"""What a registered version answers: through MLflow in this process, and over HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import tifffile
from packaging.requirements import Requirement
from PIL import Image
from tests.conftest import tracking_at
from tests.tracking.conftest import mask_of, report, small_network

from spinscope.analysis import measure, with_units
from spinscope.families.moke_unet import FAMILY
from spinscope.files import sha256
from spinscope.inference.predict import Predictor
from spinscope.models.store import EXPORT
from spinscope.tracking import lineage, open_store, register, serving
from spinscope.tracking.registry import version_folder
from spinscope.tracking.runs import parent_run

SHAPE = (41, 53)
"""Odd sides, no multiples of the network's."""
REST = (Path(__file__).parents[2] / "docs/rest.md").read_text()


@pytest.fixture(scope="module")
def registered(fresh_store, tmp_path_factory):
    """(settings of a store, folder of the network that is registered there as moke-unet@lab)."""
    from spinscope.config import load_params

    folder = tmp_path_factory.mktemp("served")
    tracking = tracking_at(shutil.copytree(fresh_store, folder / "mlruns"))
    store, network = open_store(tracking), small_network(folder / "network")
    params = load_params("demo")
    with parent_run(store, params, lineage(params, "md5:1")) as run:
        of = register(
            store,
            FAMILY,
            run.run_id,
            network,
            "moke-unet",
            seed=1,
            reports={1: report(0.9)},
            lineage={},
            validated=True,
            examples=[frame(40, 48)],
        )
    store.client.set_registered_model_alias("moke-unet", "lab", "1")
    return tracking, version_folder(store, of)


@pytest.fixture(scope="module")
def served(registered):
    """The version, as any MLflow client loads it."""
    return mlflow.pyfunc.load_model(str(registered[1].parents[1]))


@pytest.fixture(scope="module")
def predictor(registered):
    """What the version computes with: its own export, where it holds one."""
    exported = (registered[1] / EXPORT).is_file()
    return Predictor.load(registered[1], "auto" if exported else "keras")


def frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth frame whose grey levels are those of 8 bit, so that a PNG keeps it."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 3)
    levels = np.clip(128 + 60 * noise / noise.std(), 0, 255)
    return (np.round(levels) / 255).astype(np.float32)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def tiff(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, np.round(image * 65535).astype(np.uint16), photometric="minisblack", **options
    )
    return buffer.getvalue()


def table(*cells) -> pd.DataFrame:
    """A request, as Python makes it."""
    return pd.DataFrame({"image": pd.Series(list(cells), dtype=object)})


def test_mask_and_objects_are_those_of_the_library(served, predictor, registered):
    image = frame(*SHAPE)
    (answer,) = served.predict(table(png(image)))
    mask = predictor.classes(image)
    assert 0 < (mask == 1).mean() < 1
    assert (mask_of(answer) == mask).all()
    assert (answer["classes"], answer["shape"]) == (["a", "b", "c"], list(SHAPE))
    assert answer["model"] == sha256(registered[1] / "model.keras")
    assert answer["pixel_size_nm"] is None
    expected = pd.DataFrame(measure(mask == 1, image, min_px=4))
    found = pd.DataFrame(answer["objects"])
    assert list(found) == list(expected)
    assert len(found) == len(expected) > 0
    for name in ("y_px", "x_px", "area_px", "diameter_px"):
        np.testing.assert_allclose(found[name], expected[name])
    (every,) = served.predict(table(png(image)), params={"min_px": 1})
    assert sum(row["area_px"] for row in every["objects"]) == (mask == 1).sum()
    json.dumps(answer, allow_nan=False)


def test_parameters(served, predictor):
    image = frame(*SHAPE)

    def ask(**params) -> dict:
        return served.predict(table(png(image)), params=params)[0]

    plain = ask()
    assert (mask_of(ask(tta=8)) == predictor.classes(image, tta=8)).all()
    assert (mask_of(ask(tta=8)) != mask_of(plain)).any()
    sized = ask(pixel_size_nm=80.0)
    assert sized["pixel_size_nm"] == pytest.approx(80)
    expected = with_units(measure(predictor.classes(image) == 1, image, min_px=4), 80e-9)
    assert set(sized["objects"][0]) == set(expected) > set(plain["objects"][0])
    for row in sized["objects"]:
        assert row["diameter_nm"] == pytest.approx(80 * row["diameter_px"])
    areas = [row["area_px"] for row in plain["objects"]]
    smallest = max(areas)
    assert [row["area_px"] for row in ask(min_px=smallest)["objects"]] == [
        area for area in areas if area >= smallest
    ]
    assert ask(mask="none") == {**plain, "mask": None}
    colours = mask_of(ask(mask="colours"))
    assert (colours[mask_of(plain) == 1] == (255, 0, 0)).all()


def test_png_tiff_array_and_text_are_one_frame(served):
    image = frame(*SHAPE)
    levels = np.round(image * 255).astype(np.uint8)
    text = base64.b64encode(png(image)).decode()
    answers = served.predict(
        table(png(image), tiff(image), image, levels, text, tiff(image, byteorder=">"))
    )
    assert all(answer == answers[0] for answer in answers[3:5])
    for answer in answers:
        assert (mask_of(answer) == mask_of(answers[0])).all()


def test_the_pixel_size_of_a_tiff_is_used_unless_a_parameter_overrides_it(served):
    content = tiff(
        frame(*SHAPE), resolution=(1 / 0.08, 1 / 0.08), metadata={"unit": "um"}, imagej=True
    )

    def size(**params) -> float:
        (answer,) = served.predict(table(content), params=params)
        assert "diameter_nm" in answer["objects"][0]
        return answer["pixel_size_nm"]

    assert size() == pytest.approx(80)
    assert size(pixel_size_nm=25.0) == pytest.approx(25)


def test_a_bare_array_is_no_request(served):
    """Arrays must be in the column `image`; MLflow reports it."""
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['image'\]"):
        served.predict(frame(*SHAPE))


def test_every_row_has_its_own_size(served, predictor):
    images = [frame(8, 9), frame(64, 40), frame(200, 31)]
    answers = served.predict(table(*map(png, images)))
    assert [answer["shape"] for answer in answers] == [[8, 9], [64, 40], [200, 31]]
    for image, answer in zip(images, answers, strict=True):
        assert (mask_of(answer) == predictor.classes(image)).all()


def rgb() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, format="PNG")
    return buffer.getvalue()


def bomb(side: int = 200_000) -> bytes:
    """A PNG whose header promises many pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


BAD = {
    "garbage": (b"garbage", r"^row 1: image must be the bytes of a PNG or TIFF file .* b'garbage'"),
    "empty": (b"", r"^row 1: image must be the bytes of a PNG or TIFF file .* 0 bytes"),
    "number": (3.5, r"^row 1: image must be the bytes of a PNG or TIFF file, not float"),
    "cut off": (png(frame(*SHAPE))[:300], r"^row 1: image.png is truncated or damaged"),
    "cut TIFF": (tiff(frame(*SHAPE))[:1000], r"^row 1: image.tif .*"),
    "colour": (rgb(), r"^row 1: image.png: its 3 colour channels differ; a micrograph must be"),
    "tiny": (png(frame(4, 40)), r"^row 1: image.png: 40x4 pixels; a side must be at least 8"),
    "bomb": (bomb(), r"^row 1: image.png: the header promises 200000x200000 pixels; at most"),
    "large": (bomb(20_000), r"^row 1: image.png: the header promises 20000x20000 pixels; at most"),
    "stack": (tiff(np.stack([frame(*SHAPE)] * 3)), r"^row 1: image.tif holds 3 frames"),
    "cube": (np.zeros((3, 9, 9), dtype="f4"), r"^row 1: image: a micrograph must be \(H, W\)"),
    "range": (np.full((9, 9), 255.0), r"^row 1: image: values span 255 to 255; they must lie in"),
    "NaN": (np.full((9, 9), np.nan), r"^row 1: image: 81 pixels are NaN"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_image_is_refused_in_one_sentence(served, name):
    cell, says = BAD[name]
    with pytest.raises(mlflow.MlflowException, match=says) as caught:
        served.predict(table(png(frame(*SHAPE)), cell))
    assert caught.value.get_http_status_code() == 400
    assert "\n" not in caught.value.message
    assert "/" not in caught.value.message


def test_the_pixels_of_a_request_are_bounded_together(served, monkeypatch):
    monkeypatch.setattr(serving, "MAX_PIXELS", 2 * SHAPE[0] * SHAPE[1])
    image = frame(*SHAPE)
    assert len(served.predict(table(png(image), tiff(image)))) == 2
    with pytest.raises(mlflow.MlflowException, match=r"^row 2: image.tif: .* at most 4346 pixels"):
        served.predict(table(png(image), tiff(image), tiff(image)))


def test_the_spins_of_a_request_are_bounded():
    """The header of a NumPy file is read before memory is taken for its contents."""
    buffer = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (20_000, 20_000, 3)}
    np.lib.format.write_array_header_1_0(buffer, shape)
    model = model_of("spins", lambda m, pixel_size: {})
    for cell in (buffer.getvalue(), base64.b64encode(buffer.getvalue()).decode()):
        with pytest.raises(serving.Refused, match=r"^row 0: spins: the header promises the shape"):
            model.predict(None, pd.DataFrame({"spins": [cell]}))


def test_one_row_at_a_time_is_decoded(monkeypatch):
    from spinscope import recordings

    order = []

    def opened(path):
        order.append("read")
        return open_recording(path)

    def answer(image, pixel_size) -> dict:
        order.append("answer")
        return {}

    open_recording = recordings.open_recording
    monkeypatch.setattr(recordings, "open_recording", opened)
    model_of("image", answer).predict(None, table(*[png(frame(*SHAPE))] * 3))
    assert order == ["read", "answer"] * 3


def model_of(column: str, answer) -> serving.Served:
    """A served model with a stand-in for its family."""
    model = serving.Served()
    model.family = SimpleNamespace(
        input=column, answer_options={}, answers=lambda predictor, options: answer
    )
    model.predictor, model.sha256 = None, ""
    return model


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 100_000, "^the request is nested too deeply to be parsed"),
        (b'{"dataframe_records": [{"image": 1' + b"0" * 5_000 + b"}]}", "^the request cannot be"),
        (b" " * 2_000_000, "^the request has 2000000 bytes; at most 1000000 are read"),
    ],
    ids=["nested", "digits", "long"],
)
def test_a_request_that_cannot_be_parsed_is_refused(served, monkeypatch, body, says):
    from mlflow.pyfunc import scoring_server

    async def ask() -> httpx.Response:
        app = httpx.ASGITransport(scoring_server.init(served), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=app, base_url="http://model") as client:
            headers = {"Content-Type": "application/json"}
            return await client.post("/invocations", content=body, headers=headers)

    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # MLflow sets it for good
    monkeypatch.setattr(serving, "MAX_BYTES", 1_000_000)
    answer = asyncio.run(ask())
    assert answer.status_code == 400
    assert re.match(says, answer.json()["message"])
    assert "\n" not in answer.json()["message"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"tta": 5}, r"tta \(=5\) must be 1, 2, 3 or 8"),
        ({"pixel_size_nm": -1.0}, r"pixel_size_nm \(=-1\) must be a length"),
        ({"min_px": 0}, r"min_px \(=0\) must be at least 1"),
        ({"mask": "jpeg"}, r"mask \(='jpeg'\) must be one of classes, colours, none"),
        ({"tta": "many"}, "tta"),
    ],
)
def test_a_wrong_parameter_is_refused(served, params, says):
    with pytest.raises(mlflow.MlflowException, match=says) as caught:
        served.predict(table(png(frame(*SHAPE))), params=params)
    assert caught.value.get_http_status_code() == 400


def test_the_stored_example_is_a_request(registered, served):
    example = served.input_example
    (answer,) = served.predict(example)
    assert answer["shape"] == [32, 32]


@pytest.mark.slow
def test_mlflow_models_serve(registered, predictor, tmp_path):
    """A server of MLflow's own, asked with httpx and with the curl of docs/rest.md."""
    image = frame(*SHAPE)
    (tmp_path / "frame.png").write_bytes(png(image))
    text = base64.b64encode(png(image)).decode()
    with running(registered[0], tmp_path) as url:

        def ask(body) -> httpx.Response:
            return httpx.post(f"{url}/invocations", json=body, timeout=60)

        answer = ask({"dataframe_records": [{"image": text}], "params": {"pixel_size_nm": 80.0}})
        assert answer.status_code == 200, answer.text
        (row,) = answer.json()["predictions"]
        mask = predictor.classes(image)
        assert (mask_of(row) == mask).all()
        assert len(row["objects"]) == len(measure(mask == 1, min_px=4)["area_px"])
        assert row["objects"][0]["diameter_nm"] > 0
        for body in (
            {"dataframe_split": {"columns": ["image"], "data": [[text]]}},
            {"inputs": {"image": [text]}},
            {"inputs": [text]},
            {"instances": [{"image": text}]},
        ):
            (same,) = ask(body).json()["predictions"]
            assert same["mask"] == row["mask"]

        garbage = ask({"dataframe_records": [{"image": base64.b64encode(b"garbage").decode()}]})
        assert garbage.status_code == 400
        assert garbage.json()["message"].startswith("row 0: image must be the bytes of a PNG or")
        missing = ask({"dataframe_records": [{"picture": text}]})
        assert missing.status_code == 400
        assert "Model is missing inputs ['image']" in missing.json()["message"]
        for answer in (garbage, missing):
            assert "Traceback" not in answer.text
        assert ask({"dataframe_records": []}).status_code == 400
        assert ask({"dataframe_records": [{"image": None}]}).status_code == 400

        if shutil.which("curl"):
            port = url.rpartition(":")[2]
            line = documented_curl().replace("5001", port)
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["predictions"][0]["mask"] == row["mask"]


def documented_curl() -> str:
    """The command of docs/rest.md that sends frame.png."""
    start = REST.index("(printf")
    return REST[start : REST.index("```", start)]


def documented_line(word: str) -> str:
    """The first line of docs/rest.md that contains a word."""
    return next(line for line in REST.splitlines() if word in line)


@contextlib.contextmanager
def running(tracking, folder: Path):
    """URL of `mlflow models serve` on the lab's version; it ends with all its children."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "serve.log").open("w")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/moke-unet@lab"),
            *("--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)),
        ],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": tracking.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that its children end with it
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/ping").status_code == 200:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail((folder / "serve.log").read_text())
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        log.close()


class Pickled(mlflow.pyfunc.PythonModel):
    """A model whose pickle writes a file when it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)

    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input


def test_a_pickled_model_is_refused_and_a_version_is_none(registered, tmp_path, monkeypatch):
    """With the variable that docs/rest.md sets."""
    touched, pickled = tmp_path / "touched", tmp_path / "pickled"
    mlflow.pyfunc.save_model(pickled, python_model=Pickled(touched), pip_requirements=[])
    packed = registered[1].parents[1]
    name, _, value = documented_line("MLFLOW_ALLOW").removeprefix("export ").partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(mlflow.MlflowException, match="using pickle is disallowed"):
        mlflow.pyfunc.load_model(str(pickled))
    assert not touched.exists()
    assert mlflow.pyfunc.load_model(str(packed)).predict(table(png(frame(*SHAPE))))
    monkeypatch.delenv(name)
    with contextlib.suppress(AttributeError):  # the path that it unpickles to is no model
        mlflow.pyfunc.load_model(str(pickled))
    assert touched.exists(), "the model would do no harm anyway"


def test_code_that_earlier_versions_stored_finds_its_modules():
    """The registry keeps the serving code of a version; that of release 0.1 imports these names."""
    from spinscope.data import COLOURS
    from spinscope.data.micrograph import check_image
    from spinscope.data.stream import image_of, open_stream

    assert COLOURS.shape == (5, 3)
    assert all(map(callable, (check_image, image_of, open_stream)))


_ALONE = """
import json, sys

sys.path.append(sys.argv[2])
import mlflow, pandas

model = mlflow.pyfunc.load_model(sys.argv[1])
(answer,) = model.predict(pandas.DataFrame({"image": [open(sys.argv[3], "rb").read()]}))
network = mlflow.keras.load_model(sys.argv[1])
import spinscope

print(json.dumps({**answer, "code": spinscope.__file__, "inputs": network.input_shape}))
"""


def test_a_version_serves_with_its_own_code_and_the_packages_that_it_names(
    registered, served, tmp_path
):
    """Where only its requirements are installed, a version answers with the code stored in it."""
    packed, content = registered[1].parents[1], png(frame(*SHAPE))
    (tmp_path / "frame.png").write_bytes(content)
    site = installation(packed / "requirements.txt", tmp_path / "site")
    assert not (site / "spinscope").exists()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _ALONE, str(packed), str(site), str(tmp_path / "frame.png")],
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SPINSCOPE"))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert Path(answer["code"]).is_relative_to(packed / "code")
    (expected,) = served.predict(table(content))
    assert answer["mask"] == expected["mask"]
    assert answer["inputs"] == [None, None, None, 1]


def installation(requirements: Path, folder: Path) -> Path:
    """Folder of links to the packages that an installation of these requirements would hold."""
    folder.mkdir()
    waiting, seen = list(map(Requirement, requirements.read_text().split())), set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        with contextlib.suppress(metadata.PackageNotFoundError):
            package = metadata.distribution(wanted.name)
            for name in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
                link = folder / name
                if not link.exists():
                    link.symlink_to(package.locate_file(name))
            for line in package.requires or ():
                needed = Requirement(line)
                extras = ({"extra": extra} for extra in (*wanted.extras, ""))
                if needed.marker is None or any(map(needed.marker.evaluate, extras)):
                    waiting.append(needed)
    return folder
