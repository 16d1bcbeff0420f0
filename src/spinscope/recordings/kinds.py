"""Suffixes of the files of microscopes and cameras, and the recordings that read them."""

from __future__ import annotations

from collections.abc import Mapping

from spinscope.recordings.b16 import B16Recording
from spinscope.recordings.dcimg import DcimgRecording
from spinscope.recordings.file import FileRecording
from spinscope.recordings.mrc import MrcRecording
from spinscope.recordings.rosetta import GatanRecording, TiaRecording, TvipsRecording
from spinscope.recordings.sif import SifRecording
from spinscope.recordings.velox import VeloxRecording

KINDS: Mapping[str, type[FileRecording]] = {
    ".mrc": MrcRecording,
    ".mrcs": MrcRecording,
    ".emd": VeloxRecording,
    ".dm3": GatanRecording,
    ".dm4": GatanRecording,
    ".ser": TiaRecording,
    ".emi": TiaRecording,
    ".tvips": TvipsRecording,
    ".sif": SifRecording,
    ".dcimg": DcimgRecording,
    ".b16": B16Recording,
}
"""Recording of each suffix."""

SINGLE = set(KINDS) - {".emi", ".tvips"}
"""Suffixes of files that may be a frame of a folder: they need no other file."""

ZARR = ".zarr"
"""Suffix of the folder of an OME-Zarr image."""
