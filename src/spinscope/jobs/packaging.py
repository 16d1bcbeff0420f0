"""Write a segmentation network as a package of bioimage.io, which other programs apply."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.files import atomic_file, partial_folder, provenance, sha256

_SIDE = 256
"""Side of the test image in px."""

_ARTICLES = {"Kerr": "10.1103/PhysRevApplied.21.014014", "Lorentz": "10.1063/5.0197138"}
"""Modality → DOI, as in CITATION.cff, of the article that its networks follow."""

_DEFLATED = zipfile.ZIP_DEFLATED
_IMAGE_AXES, _OUTPUT = ("y", "x"), "probabilities"


def package(tracking: Tracking, model_ref: str, out: Path | None = None) -> dict[str, Any]:
    """Write a network as a package of bioimage.io (format 0.5): a ZIP file.

    The package contains the network as Keras and as ONNX weights, a simulated image with the
    output of the network as its test, a cover and the model card. Its preprocessing is that of
    spinscope: zero mean and unit standard deviation, clipped at ±6. The rules that spinscope
    applies after the network (level, peak probability, upscaling) are named in its documentation.

    Parameters
    ----------
    tracking : Tracking
        Settings of the store.
    model_ref : str
        Reference of a model that makes masks.
    out : Path, optional
        File to write, by default NAME.zip in the current folder.

    Returns
    -------
    dict
        `file`, `format` (version), `megabytes`, and `agreement`: fraction of the test image's
        pixels whose class is the same in ONNX Runtime and Keras.

    Raises
    ------
    MissingExtra
        Without the libraries of the extra `zoo`.
    SpinscopeError
        For a model that makes no masks, and a package that is not valid or does not agree.
    """
    from spinscope import families
    from spinscope.inference.engine import AGREEMENT
    from spinscope.models.store import CARD, NETWORK, load_model
    from spinscope.tracking import resolve

    with explained("a package of bioimage.io"):
        import bioimageio.spec  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    folder = resolve(tracking, model_ref)
    network, info = load_model(folder)
    family = families.of_model(info)
    if not family.masks or family.input != "image":
        raise SpinscopeError(
            f"{model_ref} is of the family {family.name}, which makes no masks; a package must be "
            "of a segmentation network"
        )
    name = re.sub(r"[^\w-]+", "-", re.sub(r"^(bundled|models):/*", "", model_ref)).strip("-")
    out = Path(out or f"{name}.zip")
    with partial_folder() as work:
        image = _test_image(family.modality)
        tensor = image[None, ..., None]
        given = _standard(tensor)
        expected = np.asarray(network.predict_on_batch(given))
        opset = _write_onnx(network, work / "weights.onnx")
        found = _onnx(work / "weights.onnx", given)
        agreement = float((found.argmax(-1) == expected.argmax(-1)).mean())
        if agreement < AGREEMENT:
            raise SpinscopeError(
                f"{model_ref}: ONNX gives {agreement:.3%} of the test image's pixels the class "
                f"that Keras gives; at least {AGREEMENT:.1%} must agree"
            )
        np.save(work / "test_input.npy", tensor)
        np.save(work / "test_output.npy", expected)
        (work / "weights.keras").write_bytes((folder / NETWORK).read_bytes())
        card = (folder / CARD).read_text() if (folder / CARD).is_file() else f"# {name}\n"
        (work / "README.md").write_text(_documentation(card, model_ref, info))
        _write_cover(work / "cover.png", image, expected[0].argmax(-1).astype(np.uint8))
        described = _description(name, family, info, work, opset)
        version = _validated(work, described)
        _zip(work, out)
        size = out.stat().st_size / 1e6
    return {
        "file": str(out),
        "format": version,
        "megabytes": round(size, 2),
        "agreement": agreement,
    }


def _test_image(modality: str) -> np.ndarray:
    """Simulated image (H, W) float32 in [0, 1]: dark discs, or bright on one side (Lorentz)."""
    from scipy.ndimage import gaussian_filter

    radius, blur, step = (13, 4, 40) if modality == "Lorentz" else (8, 1.5, 38)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    discs = np.zeros((_SIDE, _SIDE))
    for row, first in enumerate(np.arange(20, _SIDE, 0.87 * step)):
        for column in np.arange(20 + step / 2 * (row % 2), _SIDE, step):
            cy, cx = np.array([first, column]) + rng.uniform(-3, 3, 2)
            discs[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 1
    contrast = -gaussian_filter(discs, blur)
    if modality == "Lorentz":
        contrast = np.gradient(contrast, axis=1)
        contrast /= np.abs(contrast).max()
    image = 0.5 + 0.2 * contrast + rng.normal(0, 0.02, discs.shape)
    return np.clip(image, 0, 1).astype(np.float32)


def _standard(tensor: np.ndarray) -> np.ndarray:
    """Preprocessing of the package: zero mean and unit SD over y and x, clipped at ±6."""
    mean = tensor.mean(axis=(1, 2), keepdims=True)
    spread = tensor.std(axis=(1, 2), keepdims=True)
    return np.clip((tensor - mean) / (spread + 1e-6), -6, 6).astype(np.float32)


def _write_onnx(network: Any, path: Path) -> int:
    """Write the network as ONNX and return the version of its operators."""
    import onnx

    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")  # tf2onnx uses old names of NumPy
        network.export(path, format="onnx", verbose=False)
    return max(one.version for one in onnx.load(path).opset_import if one.domain in ("", "ai.onnx"))


def _onnx(path: Path, batch: np.ndarray) -> np.ndarray:
    """Output of an ONNX network."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def _write_cover(path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    """Draw the test image beside its mask."""
    from spinscope.drawing import label_panels, overlay, write_panels

    write_panels(path, [label_panels(image, [])[0], overlay(image, mask)], gap=0)


def _documentation(card: str, model_ref: str, info: dict[str, Any]) -> str:
    """Model card without links into the project, with the rules applied after the network."""
    rules = {
        "level": "a pixel is a skyrmion from this probability on",
        "min_peak_probability": "skyrmions with a lower peak probability are dropped",
        "upscale": "frames with narrower skyrmions (px) are segmented at this scale",
        "pixel_size_nm": "pixel size of the training images in nm",
        "axis_deg": "direction of the tilt axis in the training images in degrees",
    }
    named = [
        f"- `{key}` = {json.dumps(info[key])}: {text}"
        for key, text in rules.items()
        if info.get(key) is not None
    ]
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", card)
    return "\n".join(
        [
            text.rstrip(),
            "",
            "## Use of this package",
            "",
            "The output is the probability of each class; the mask is the most probable class.",
            *(["spinscope applies these rules as well, which the package does not contain:", ""]
              if named else []),
            *named,
            "",
            "## Validation",
            "",
            "Compare masks with labels of frames that the network was not trained on: "
            f"`spinscope evaluate --model {model_ref} --data DATASET`.",
            "",
        ]
    )  # fmt: skip


def _description(
    name: str, family: Any, info: dict[str, Any], work: Path, opset: int
) -> dict[str, Any]:
    """Content of rdf.yaml."""
    from bioimageio.spec.model.v0_5 import ModelDescr

    with zipfile.ZipFile(work / "weights.keras") as archive:
        made = json.loads(archive.read("metadata.json"))

    def file(source: str) -> dict[str, str]:
        return {"source": source, "sha256": sha256(work / source)}

    step = int(info["size_multiple"])
    sides = [
        {"type": "space", "id": axis, "size": {"min": 2 * step, "step": step}}
        for axis in _IMAGE_AXES
    ]
    outputs = [
        {"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis}}
        for axis in _IMAGE_AXES
    ]
    classes = list(info["classes"])
    return {
        "format_version": ModelDescr.implemented_format_version,
        "type": "model",
        "name": f"spinscope {name}",
        "description": f"Segments {family.modality} images of magnets: {', '.join(classes)}.",
        "version": provenance()["spinscope_version"],
        "license": "MIT",
        "authors": [{"name": "The spinscope developers"}],
        "cite": [{"text": "Method of the network", "doi": _ARTICLES[family.modality]}],
        "tags": ["magnetism", "skyrmions", f"{family.modality.lower()}-microscopy", "unet",
                 "semantic-segmentation", "2d", "keras", "onnx", "spinscope"],
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "inputs": [{
            "id": "image",
            "description": f"{family.modality} image of any grey scale",
            "axes": [{"type": "batch"}, *sides,
                     {"type": "channel", "channel_names": ["intensity"]}],
            "data": {"type": "float32", "range": [None, None]},
            "test_tensor": file("test_input.npy"),
            "preprocessing": [
                {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": 1e-6}},
                {"id": "clip", "kwargs": {"min": -6.0, "max": 6.0}},
            ],
        }],
        "outputs": [{
            "id": _OUTPUT,
            "description": "Probability of each class",
            "axes": [{"type": "batch"}, *outputs, {"type": "channel", "channel_names": classes}],
            "data": {"type": "float32", "range": [0.0, 1.0]},
            "test_tensor": file("test_output.npy"),
        }],
        "weights": {
            "keras_v3": {
                **file("weights.keras"),
                "keras_version": made["keras_version"],
                "backend": ["tensorflow", sys.modules["tensorflow"].__version__],
            },
            "onnx": {**file("weights.onnx"), "opset_version": opset, "parent": "keras_v3"},
        },
        "config": {
            "bioimageio": {"modality": f"{family.modality} microscopy", "task": "segmentation",
                           "target_structure": classes[1:]},
            "spinscope": {key: info[key] for key in ("family", "level", "min_peak_probability",
                          "upscale", "pixel_size_nm") if info.get(key) is not None},
        },
    }  # fmt: skip


def _validated(work: Path, described: dict[str, Any]) -> str:
    """Write rdf.yaml, let the format's own validator check it, and return the format's version."""
    from bioimageio.spec import InvalidDescr, load_description
    from loguru import logger

    path = work / "rdf.yaml"
    path.write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    logger.disable("bioimageio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_description(path, perform_io_checks=True)
    if isinstance(found, InvalidDescr):
        text = " ".join(found.validation_summary.format().split())
        raise SpinscopeError(f"the package is not valid after bioimageio.spec: {text:.500}")
    return str(described["format_version"])


def _zip(work: Path, out: Path) -> None:
    """Write the files of a folder as a ZIP file, whole or not at all."""
    try:
        with atomic_file(out) as partial, zipfile.ZipFile(partial, "w", _DEFLATED) as archive:
            for path in sorted(work.iterdir()):
                archive.write(path, path.name)
    except OSError as error:
        raise SpinscopeError(f"{out} cannot be written: {error.strerror or error}") from error
