"""What MLflow runs for a registered model: a micrograph's file in, its mask and objects out.

MLflow keeps this file with the model ('models from code') and executes it when the model is
loaded, so nothing is pickled; the weights are a model folder among the artifacts. It is not
meant to be imported elsewhere.
"""

import base64
import binascii
import io
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from spinscope.errors import SpinscopeError

COLUMN = "image"
MASKS = ("classes", "colours", "none")
SKYRMION = 1
_SUFFIX = {b"\x89PNG\r\n\x1a\n": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif",
           b"MM\0+": ".tif"}  # fmt: skip
"""First bytes of the files that are read; the last two are BigTIFF."""


class Served(mlflow.pyfunc.PythonModel):
    """A row an image in, in the column `image`: the bytes of a PNG or TIFF file, or an array.

    A row of the answer: `mask` (PNG of class indices, base64), `classes` (their names), `shape`
    (H, W), `objects` (a record a skyrmion, `spinscope.analysis.shapes`), `pixel_size_nm` (null
    where unknown) and `model` (sha256 of the network).
    """

    def load_context(self, context) -> None:
        """Load the network once, its checksums verified."""
        from spinscope.files import sha256
        from spinscope.inference.predict import Predictor
        from spinscope.models.store import EXPORT, NETWORK

        folder = Path(context.artifacts["model"])
        # Nothing is exported here: a server may not be allowed to write.
        engine = "auto" if (folder / EXPORT).is_file() else "keras"
        self.predictor = Predictor.load(folder, engine)
        self.sha256 = sha256(folder / NETWORK)

    def predict(self, context, model_input, params=None) -> list[dict]:
        """Mask and objects of every row, in order.

        params : `tta` 1, 2, 3 or 8 views averaged; `pixel_size_nm` for columns in nm beside those
            in pixels (0: as the TIFF says, if it does); `min_px`, the smallest object; `mask` as
            "classes" (class indices), "colours" (RGB, as in a label file) or "none".
        Raises Refused, which a server answers with HTTP 400, for what is no micrograph.
        """
        options = _options(params or {})
        rows = list(model_input[COLUMN])
        if not rows:
            raise Refused(f"column {COLUMN!r} holds no row; it must hold at least one image")
        # All are read first: a wrong one is told before minutes of work on the others.
        frames = [_refusing(_frame, cell, f"row {row}") for row, cell in enumerate(rows)]
        return [
            _refusing(self._answer, *frame, f"row {row}", options)
            for row, frame in enumerate(frames)
        ]

    def _answer(self, image: np.ndarray, pixel_size: float | None, name: str, options: dict):
        from spinscope.analysis import measure, with_units

        pixel_size = options["pixel_size_nm"] * 1e-9 or pixel_size
        mask = self.predictor.classes(image, options["tta"])
        objects = measure(mask == SKYRMION, image, min_px=options["min_px"])
        if pixel_size:
            objects = with_units(objects, pixel_size)
        return {
            "mask": _png(mask, options["mask"]),
            "classes": list(self.predictor.info["classes"]),
            "shape": list(mask.shape),
            "pixel_size_nm": pixel_size * 1e9 if pixel_size else None,
            "objects": _records(objects),
            "model": self.sha256,
        }


class Refused(MlflowException):
    """Bad input, told in one sentence; a server answers HTTP 400."""

    def __init__(self, sentence: str):
        self._sentence = sentence
        super().__init__(sentence, BAD_REQUEST)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._sentence

    @message.setter
    def message(self, value: str) -> None:
        """Keep the sentence: MLflow's server would put the whole request before it."""


def _refusing(function, *arguments):
    try:
        return function(*arguments)
    except SpinscopeError as error:
        raise Refused(str(error)) from None


def _options(params: dict) -> dict:
    options = {
        "tta": int(params.get("tta", 1)),
        "pixel_size_nm": float(params.get("pixel_size_nm", 0.0)),
        "min_px": int(params.get("min_px", 4)),
        "mask": str(params.get("mask", "classes")),
    }
    if options["tta"] not in (1, 2, 3, 8):
        raise Refused(f"params: tta (={options['tta']}) must be 1, 2, 3 or 8")
    if not 0 <= options["pixel_size_nm"] < float("inf"):
        raise Refused(
            f"params: pixel_size_nm (={options['pixel_size_nm']:g}) must be a length in nm, "
            "or 0 where it is unknown"
        )
    if options["min_px"] < 1:
        raise Refused(f"params: min_px (={options['min_px']}) must be at least 1")
    if options["mask"] not in MASKS:
        raise Refused(f"params: mask (={options['mask']!r}) must be one of {', '.join(MASKS)}")
    return options


def _frame(cell, name: str) -> tuple[np.ndarray, float | None]:
    """(H, W) float32 in [0, 1] and the pixel size in metres, where the file tells it."""
    from spinscope.images import check_image
    from spinscope.recordings import image_of, open_recording

    if isinstance(cell, np.ndarray) and cell.dtype.kind in "fu":
        scale = np.iinfo(cell.dtype).max if cell.dtype.kind == "u" else 1
        return check_image(cell.astype(np.float32) / np.float32(scale), f"{name}: image"), None
    content, suffix = _file(cell, name)
    with tempfile.TemporaryDirectory(prefix="spinscope-") as folder:
        path = Path(folder, f"image{suffix}")
        path.write_bytes(content)
        try:
            recording = open_recording(path)
            if recording.n != 1:
                raise SpinscopeError(f"{path} holds {recording.n} frames; it must hold one")
            image = check_image(image_of(recording.read(0), recording.scale), path)
        except SpinscopeError as error:
            # The sender knows no temporary folder.
            raise SpinscopeError(f"{name}: {error}".replace(f"{folder}/", "")) from None
    return image, recording.pixel_size


def _file(cell, name: str) -> tuple[bytes, str]:
    """Bytes of a PNG or TIFF file and its suffix; base64 text is decoded.

    MLflow has decoded the base64 of `dataframe_records` and `dataframe_split`, and has not that
    of `inputs` and `instances`.
    """
    content = cell.encode() if isinstance(cell, str) else cell
    if not isinstance(content, bytes | bytearray | memoryview):
        kind = type(cell).__name__
        raise SpinscopeError(f"{name}: image must be the bytes of a PNG or TIFF file, not {kind}")
    content = bytes(content)
    for candidate in (content, _decoded(content)):
        for magic, suffix in _SUFFIX.items():
            if candidate.startswith(magic):
                return candidate, suffix
    raise SpinscopeError(
        f"{name}: image must be the bytes of a PNG or TIFF file (base64 in JSON); "
        f"these {len(content)} bytes begin with {content[:8]!r}"
    )


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return b""


def _png(mask: np.ndarray, kind: str) -> str | None:
    from PIL import Image

    from spinscope.classes import COLOURS

    if kind == "none":
        return None
    buffer = io.BytesIO()
    Image.fromarray(COLOURS[mask] if kind == "colours" else mask).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _records(table: dict[str, np.ndarray]) -> list[dict]:
    """A record a row; JSON has no NaN, so what is not known is null."""
    columns = [[None if v != v else v for v in column.tolist()] for column in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]


mlflow.models.set_model(Served())
