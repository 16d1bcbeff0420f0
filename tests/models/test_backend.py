"""Keras without the messages of TensorFlow's libraries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spinscope.models.backend import without_messages


@pytest.mark.parametrize("module", ["models.unet", "training.fit", "models.losses"])
def test_the_import_writes_no_messages(module):
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    code = f"import spinscope.{module}; import tensorflow as tf; tf.constant(1) + 1"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_other_messages_are_kept(capfd):
    with without_messages():
        os.write(2, b"I0000 00:00:1795828539.784985 2637 port.cc:153] oneDNN is on.\nno memory\n")
        os.write(2, b"E0000 00:00:1795828539.784985 2637 port.cc:153] out of memory\n")
    assert capfd.readouterr().err.splitlines() == [
        "no memory",
        "E0000 00:00:1795828539.784985 2637 port.cc:153] out of memory",
    ]
