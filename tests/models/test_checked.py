"""Crafted model folders: each is refused before Keras, OpenVINO or pickle opens a file of it."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.conftest import section

from spinscope.errors import SpinscopeError
from spinscope.models import store
from spinscope.models.checked import CONFIG, WEIGHTS, check_network
from spinscope.models.store import load_model, model_info, save_model, write_sums
from spinscope.models.unet import unet

CONFIGURATION = section("model", width=4, depth=2, stem=2, refine=2)
INFO = {"classes": ["background", "skyrmion", "defect"], "size_multiple": 8}


@pytest.fixture(scope="module")
def genuine(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "genuine"
    return save_model(folder, unet(CONFIGURATION, 3, seed=1), INFO, "# small\n")


@pytest.fixture
def folder(genuine, tmp_path, monkeypatch) -> Path:
    """A copy to change, of which Keras must not open anything."""
    from spinscope.models.backend import keras

    def opened(*_, **__):
        pytest.fail("Keras opened the network")

    monkeypatch.setattr(keras.saving, "load_model", opened)
    return shutil.copytree(genuine, tmp_path / "model")


def forge(folder: Path, change: Callable[[dict[str, bytes]], None], **options) -> None:
    """Change the members of the network's archive, with a matching list of checksums."""
    path = folder / store.NETWORK
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    write_sums(folder)


def refuses(folder: Path, sentence: str) -> None:
    write_sums(folder)
    with pytest.raises(SpinscopeError, match=sentence):
        load_model(folder)


def with_layer(layer: dict) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members[CONFIG])
        config["config"]["layers"].append(layer)
        members[CONFIG] = json.dumps(config).encode()

    return change


def named(name: str, module: str | None = "keras.layers", /, **config) -> dict:
    return {"class_name": name, "module": module, "config": config, "registered_name": None}


class Touch:
    """Pickle that creates a file where it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "layer",
    [
        named("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}),
        named("TFSMLayer", filepath="/home/saved"),
        named("TorchModuleWrapper", module="gASV"),
        named("function", "builtins", name="exec"),
        named("run", "subprocess"),
        named("get_file", "keras.utils", origin="http://attacker.example"),
        named("Vectorize", "keras.src.ops.numpy", pyfunc="x"),
        named("Conv2D", "os"),
        named("Conv2D", ["keras.layers"]),
        named("Conv2D", None),
        named("Dense", kernel_initializer=named("Lambda", None)),
        named("Dense") | {"registered_name": "attacker>Dense"},
        named(["Dense"]),
        named("Conv2D", filters=10**9, kernel_size=3),
        named("Conv2D", filters=4096, kernel_size=[64, 64]),
        named("Conv2D", filters=-1),
        named("Conv2D", filters=4, kernel_size=10**6),
        named("InputLayer", batch_shape=[None, 2**40, 1, 1]),
        named("UpSampling2D", size=[10**6, 1]),
    ],
)
def test_only_known_layers_are_opened(folder, layer):
    forge(folder, with_layer(layer))
    refuses(folder, "is not a layer of|must be from 1 to|describes more than|is registered as")


def test_a_lambda_that_keras_itself_saved(folder, tmp_path):
    from spinscope.models.backend import keras

    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(folder / store.NETWORK)
    refuses(folder, r"keras\.layers\.Lambda is not a layer")


def test_deep_nesting(folder):
    deep: dict = {}
    for _ in range(500):
        deep = {"a": deep}
    forge(folder, with_layer(deep))
    refuses(folder, "nested more than 64 levels")
    forge(folder, lambda members: members.update({CONFIG: b"[" * 10**6}))
    refuses(folder, "is not readable JSON")


@pytest.mark.parametrize("name", ["../../code.py", "assets/vocabulary.txt", "/etc/passwd"])
def test_the_archive_contains_a_network_only(folder, name):
    forge(folder, lambda members: members.update({name: b"x"}))
    refuses(folder, "a network contains config.json")


@pytest.mark.parametrize("member", [CONFIG, WEIGHTS])
def test_a_bomb_is_unpacked_up_to_its_limit(folder, member, monkeypatch):
    monkeypatch.setattr("spinscope.models.checked.MAX_WEIGHTS", 2**24)
    forge(folder, lambda members: members.update({member: bytes(2**24 + 1)}))
    assert (folder / store.NETWORK).stat().st_size < 10**5
    refuses(folder, f"{member} has more than 16777216 bytes")


def weights(fill: Callable[[h5py.File], None]) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO(members[WEIGHTS])
        with h5py.File(buffer, "r+") as file:
            fill(file)
        members[WEIGHTS] = buffer.getvalue()

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname.h5", "x", (4,))
    file.create_virtual_dataset("v", layout)


@pytest.mark.parametrize(
    "fill",
    [
        lambda file: file.__setitem__("x", h5py.ExternalLink("/home/other.h5", "/")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/")),
        virtual,
        lambda file: file.create_dataset("x", (4,), "u1", external=[("/etc/hostname", 0, 4)]),
        lambda file: file.create_dataset("x", (2**30,), "f4", compression="gzip"),
        lambda file: file.create_dataset("x", (2**40,), "f4"),
        lambda file: file.create_dataset("x", data=np.array([b"a"], dtype=object),
                                         dtype=h5py.string_dtype()),
    ],
    ids=["external link", "soft link", "virtual", "external", "compressed", "promised", "text"],
)  # fmt: skip
def test_weights_are_plain_numbers_in_the_file(folder, fill):
    forge(folder, weights(fill))
    refuses(folder, "is a link|uncompressed in the file|more bytes than it has|array of numbers")


@pytest.mark.parametrize("name", ["model.h5", "model.pkl", "weights.PT", "a.py", "a.pickle"])
def test_files_that_can_contain_code_are_refused(folder, tmp_path, name):
    (folder / name).write_bytes(pickle.dumps(Touch(tmp_path / "code was run")))
    refuses(folder, f"{name} is refused; a network must be model.keras")
    assert not (tmp_path / "code was run").exists()


def test_a_pickle_in_place_of_the_network(folder, tmp_path):
    (folder / store.NETWORK).write_bytes(pickle.dumps(Touch(tmp_path / "code was run")))
    refuses(folder, "is not a readable archive")
    assert not (tmp_path / "code was run").exists()


@pytest.mark.parametrize("name", ["openvino.xml", "openvino.bin", "linear.npy", "films.npz"])
def test_a_file_that_is_not_listed_is_refused(folder, name):
    (folder / name).write_bytes(b"forged")
    with pytest.raises(SpinscopeError, match=f"{name} is not listed in SHA256SUMS"):
        model_info(folder)


@pytest.mark.parametrize("name", ["../other", "/etc/passwd", "a/b", "", "..", "a\0b"])
def test_the_list_names_files_of_the_folder(folder, name):
    sums = folder / store.SUMS
    sums.write_text(sums.read_text() + f"{'0' * 64}  {name}\n")
    with pytest.raises(SpinscopeError, match=r"must be the name of a file|is missing"):
        model_info(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"size_multiple": 0},
        {"size_multiple": "8"},
        {"size_multiple": 10**9},
        {"classes": None},
        {"classes": []},
        {"classes": [1, 2, 3]},
        {"upscale": {"below_px": -1, "scale": 2}},
        {"upscale": {"scale": 1e9, "below_px": 1}},
        {"min_peak_probability": float("nan")},
        {"symmetry": "triangle"},
        {"family": 7},
        {"magnify": "x"},
        {"limits": [1]},
        {"scales": [0.0]},
    ],
)
def test_the_info_is_checked(folder, change):
    (folder / store.INFO).write_text(json.dumps(INFO | change))
    write_sums(folder)
    with pytest.raises(SpinscopeError, match=rf"model\.json: {next(iter(change))}"):
        model_info(folder)


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"a": ' * 10**5, "1" * 5000, "\udcff"])
def test_an_info_that_is_no_object(folder, text):
    (folder / store.INFO).write_bytes(text.encode(errors="surrogateescape"))
    refuses(folder, r"model\.json")


def test_the_classes_are_those_of_the_network(genuine, tmp_path):
    folder = shutil.copytree(genuine, tmp_path / "model")
    (folder / store.INFO).write_text(json.dumps(INFO | {"classes": ["background", "skyrmion"]}))
    refuses(folder, "names 2 classes, its network has 3")


def test_an_export_of_another_network_is_refused(genuine, tmp_path):
    """Also where the folder itself attests that both agree, and lists every file."""
    from spinscope.inference.engine import export, open_engine

    other = save_model(tmp_path / "other", unet(CONFIGURATION, 3, seed=2), INFO, "# other\n")
    export(other, other)
    folder = shutil.copytree(genuine, tmp_path / "model")
    for name in ("openvino.xml", "openvino.bin", store.CHECK):
        shutil.copy(other / name, folder)
    write_sums(folder)
    assert json.loads((folder / store.CHECK).read_text())["agreement"]["f32"] >= 0.999
    for engine in ("auto", "openvino"):
        with pytest.raises(SpinscopeError, match=r"It is not the export of this network"):
            open_engine(folder, engine)
    assert open_engine(folder, "keras")[0].name == "keras"


def test_the_networks_of_all_families_pass():
    from spinscope.config import bundled_models

    found = sorted(bundled_models().glob(f"*/{store.NETWORK}"))
    assert len(found) >= 5
    for path in found:
        check_network(path)
