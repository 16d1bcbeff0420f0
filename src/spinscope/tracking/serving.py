"""A registered model behind MLflow's server: an image or spins in, the answer of its family out."""

from __future__ import annotations

import base64
import binascii
import functools
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import scoring_server

from spinscope import families
from spinscope.errors import SpinscopeError
from spinscope.files import partial_folder, sha256
from spinscope.models.store import NETWORK, model_info

SPINS = "spins"
MAX_PIXELS = 2**26
"""Largest number of pixels or spins in all rows of a request; 8192x8192."""
MAX_BYTES = 2**28
"""Largest size of a request to a server."""
_NUMPY = b"\x93NUMPY"
_SUFFIX = {b"\x89PNG\r\n\x1a\n": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif",
           b"MM\0+": ".tif"}  # fmt: skip
"""First bytes of the supported files → suffix; the last two are BigTIFF."""


class Served(mlflow.pyfunc.PythonModel):
    """One input per row, in the column `Family.input`.

    An image is the bytes of a PNG or TIFF file, or an array (H, W). Spins are an array (H, W, 3),
    nested lists in JSON, or the bytes of a NumPy file. The answer to a row has the columns
    `Family.answer_columns`.
    """

    def load_context(self, context) -> None:
        """Load the network once, its checksums verified."""
        _bound_requests()
        folder = Path(context.artifacts["model"])
        self.family = families.of_model(model_info(folder))
        self.predictor = self.family.fast_predictor(folder)
        self.sha256 = sha256(folder / NETWORK)

    def predict(self, context, model_input: pd.DataFrame, params=None) -> list[dict]:
        """Answer every row, in order.

        Raises
        ------
        Refused
            If an input or a parameter is not valid; a server answers HTTP 400.
        """
        try:
            answer = self.family.answers(self.predictor, _options(self.family, params or {}))
        except SpinscopeError as error:
            raise Refused(f"params: {error}") from None
        column = self.family.input
        rows = list(model_input[column])
        if not rows:
            raise Refused(f"column {column!r} holds no row; it must hold at least one {column}")
        check, read = (_check_spins, _spins) if column == SPINS else (_check_file, _frame)
        try:
            # Sizes of all rows are checked first; then one row at a time is decoded and computed.
            pixels = 0
            for row, cell in enumerate(rows):
                pixels = check(cell, f"row {row}", pixels)
            return [
                {**_of_row(row, answer, *read(cell, f"row {row}")), "model": self.sha256}
                for row, cell in enumerate(rows)
            ]
        except SpinscopeError as error:
            raise Refused(str(error)) from None


class Refused(MlflowException):
    """Bad input in one sentence; a server answers HTTP 400."""

    def __init__(self, sentence: str):
        self._sentence = sentence
        super().__init__(sentence, BAD_REQUEST)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._sentence

    @message.setter
    def message(self, value: str) -> None:
        """Keep the sentence, which MLflow's server would prefix with the whole request."""


def _bound_requests() -> None:
    """Let MLflow's server of this process refuse requests that are too long or cannot be parsed.

    The server has no such setting, and answers errors of its parser with status 500.
    """
    invocations = scoring_server.invocations
    if hasattr(invocations, "__wrapped__"):
        return

    @functools.wraps(invocations)
    def bounded(data, *arguments, **options):
        if len(data) > MAX_BYTES:
            raise Refused(f"the request has {len(data)} bytes; at most {MAX_BYTES} are read")
        try:
            return invocations(data, *arguments, **options)
        except RecursionError:
            raise Refused("the request is nested too deeply to be parsed") from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            words = " ".join(str(error).split())[:200]
            raise Refused(f"the request cannot be parsed: {words}") from None

    scoring_server.invocations = bounded


def _options(family: families.Family, params: Mapping) -> dict:
    """Parameters of a request with the types of their defaults."""
    return {
        key: type(default)(params.get(key, default))
        for key, default in family.answer_options.items()
    }


def _of_row(row: int, answer: Callable[..., dict], *frame) -> dict:
    """Answer to one row; an error names the row."""
    try:
        return answer(*frame)
    except SpinscopeError as error:
        raise SpinscopeError(f"row {row}: {error}") from None


def _check_total(name: str, promised: str, pixels: int) -> int:
    """Pixels of a request up to a row; SpinscopeError if they are too many."""
    if pixels > MAX_PIXELS:
        raise SpinscopeError(
            f"{name}: the header promises {promised}; at most {MAX_PIXELS} pixels are read in all "
            "rows of a request"
        )
    return pixels


def _check_file(cell, name: str, before: int) -> int:
    """Pixels of a request up to an image, whose size is read from its header."""
    import tifffile
    from PIL.PngImagePlugin import PngImageFile

    if isinstance(cell, np.ndarray):
        return before
    content, suffix = _file(cell, name)
    try:
        if suffix == ".png":  # without Pillow's own limit, which gives warnings
            width, height = PngImageFile(io.BytesIO(content)).size
        else:
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                height, width = file.pages[0].shape[:2]
    except Exception:  # both libraries raise many kinds; reading the image gives the sentence
        return before
    promised = f"{width}x{height} pixels"
    return _check_total(f"{name}: image{suffix}", promised, before + height * width)


def _frame(cell, name: str) -> tuple[np.ndarray, float | None]:
    """Image (H, W) float32 in [0, 1], and the pixel size in m if the file contains it."""
    from spinscope.images import check_image
    from spinscope.recordings import image_of, open_recording

    if isinstance(cell, np.ndarray) and cell.dtype.kind in "fu":
        scale = np.iinfo(cell.dtype).max if cell.dtype.kind == "u" else 1
        return check_image(cell.astype(np.float32) / np.float32(scale), f"{name}: image"), None
    content, suffix = _file(cell, name)
    with partial_folder() as folder:
        path = Path(folder, f"image{suffix}")
        path.write_bytes(content)
        try:
            recording = open_recording(path)
            if recording.n != 1:
                raise SpinscopeError(f"{path} holds {recording.n} frames; it must hold one")
            image = check_image(image_of(recording.read(0), recording.scale), path)
        except SpinscopeError as error:
            # The temporary folder means nothing to the client.
            raise SpinscopeError(f"{name}: {error}".replace(f"{folder}/", "")) from None
    return image, recording.pixel_size


def _check_spins(cell, name: str, before: int) -> int:
    """Sites of a request up to a row, whose number is read from the header of a NumPy file."""
    if not isinstance(cell, str | bytes | bytearray | memoryview):
        return before
    file = io.BytesIO(_numpy_file(cell, name))
    try:
        first = np.lib.format.read_magic(file) == (1, 0)
        kind = np.lib.format
        shape, _, _ = (kind.read_array_header_1_0 if first else kind.read_array_header_2_0)(file)
    except ValueError:  # reading the spins gives the sentence
        return before
    return _check_total(f"{name}: spins", f"the shape {shape}", before + math.prod(shape) // 3)


def _spins(cell, name: str) -> tuple[np.ndarray, None]:
    """Spins (H, W, 3) float32 of length 1; no pixel size."""
    from spinscope.physics.lattice import checked_spins

    if isinstance(cell, str | bytes | bytearray | memoryview):
        content = _numpy_file(cell, name)
        try:
            m = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise SpinscopeError(f"{name}: spins cannot be read: {error}") from None
    else:
        try:
            # The rows of a table are objects that hold arrays of arrays.
            m = np.array(np.asarray(cell).tolist(), np.float32)
        except (TypeError, ValueError):
            raise SpinscopeError(f"{name}: spins must be an array of numbers (H, W, 3)") from None
    return checked_spins(m, f"{name}: spins"), None


def _numpy_file(cell, name: str) -> bytes:
    """Contents of a NumPy file; base64 text is decoded."""
    content = cell.encode() if isinstance(cell, str) else bytes(cell)
    for candidate in (content, _decoded(content)):
        if candidate.startswith(_NUMPY):
            return candidate
    raise SpinscopeError(
        f"{name}: spins must be nested lists or the bytes of a NumPy file (base64 in JSON); these "
        f"{len(content)} bytes begin with {content[:8]!r}"
    )


def _file(cell, name: str) -> tuple[bytes, str]:
    """Bytes of a PNG or TIFF file and its suffix; base64 text is decoded.

    MLflow decodes the base64 of `dataframe_records` and `dataframe_split`, but not that of
    `inputs` and `instances`.
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
