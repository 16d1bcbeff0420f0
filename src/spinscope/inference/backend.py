"""OpenVINO, imported without the report of its use that it otherwise sends to its makers."""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # OpenVINO then uses a stub
import openvino  # noqa: E402
from openvino import opset13 as op  # noqa: E402

__all__ = ["op", "openvino"]
