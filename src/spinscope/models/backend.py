"""Keras, imported without the messages of TensorFlow's libraries.

TensorFlow writes through Abseil to file descriptor 2 while it is imported, before any setting of
logging applies.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

_MESSAGE = re.compile(
    rb"[IW]\d{4} [\d:. ]+|WARNING: All log messages before absl|To enable the following instr"
    rb"|\d{4}-\d\d-\d\d [\d:.]+: [IW] "
)
"""Start of a message below the level of an error."""


@contextlib.contextmanager
def without_messages() -> Iterator[None]:
    """Hold back standard error inside the block, then write it without TensorFlow's messages."""
    try:
        kept = os.dup(2)
    except OSError:  # a program without standard error
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file:
                if not _MESSAGE.match(line):
                    os.write(2, line)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # messages after the import
with without_messages():
    import keras
    from keras import layers, ops

__all__ = ["keras", "layers", "ops"]
