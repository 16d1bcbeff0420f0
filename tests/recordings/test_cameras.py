"""Files of cameras: every pixel, the times and the metadata come back."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spinscope.recordings import RecordingError, open_recording

SHAPE = (24, 40)
FRAMES = np.random.default_rng(4).integers(0, 2**16, (3, *SHAPE)).astype(np.uint16)


def write_b16(path: Path, image: np.ndarray, comment: bytes = b"", *, colour: int = 0) -> None:
    """Write the extended header that PCO describes, a comment and the pixels."""
    start = 128 + len(comment)
    height, width = image.shape
    values = [start + image.nbytes, start, width, height, -1, colour, 10, 4000, *[0] * 23]
    path.write_bytes(
        b"PCO-" + struct.pack("<31i", *values) + comment + image.astype("<u2").tobytes()
    )


def write_basic_b16(path: Path, image: np.ndarray) -> None:
    """Write the basic header of six integers and the pixels."""
    height, width = image.shape
    head = struct.pack("<5i", 24 + image.nbytes, 24, width, height, 0)
    path.write_bytes(b"PCO-" + head + image.astype("<u2").tobytes())


def write_sif(path: Path, frames: np.ndarray, step_us: int = 40000) -> None:
    """Write a SIF file of version 65558, with the time of each frame in µs."""
    n, height, width = frames.shape
    line3 = "65558 0 0 1 1540956289 -70.0 " + " " * 10 + "0 0.01 0.05 0.05 1 \0 0.05 1e-08 0 1 1 "
    line3 += "0 0 1e-06 " + "0 " * 16 + "500 rest"
    lines = [
        "Andor Technology Multi-Channel File", "65538 1", line3, "DV897", f"{width} {height} 5",
        "a.sif \n65538 0", "", "65538 " + "\1 " * 4 + "0.1 0.1", *["skipped"] * 5,
        "65539 calibration", "0 1 0 0", "0 1 0 0", "0", "422", "13", "13",
    ]  # fmt: skip
    lines[6] = "0"  # length of an empty user text
    text = "\n".join(lines) + "\n6\nFrames6\nCounts5\nImage"
    text += f"65541 1 {height} {width} 1 {n} 1 {n * height * width} {height * width}\n"
    text += f"65538 1 {height} {width} 1 1 1 0\n"
    text += "".join(f"{k * step_us}\n" for k in range(n)) + "0\n"
    path.write_bytes(text.encode("latin-1") + frames.astype("<f4").tobytes())


def write_dcimg(path: Path, frames: np.ndarray, *, old: bool, binning: int = 64) -> None:
    """Write a DCIMG file; the first four pixels of one row are stored behind the frame or the file.

    Binning of 64 puts that row, number 1023 of the sensor, into a small frame.
    """
    n, height, width = frames.shape
    depth, head = frames.dtype.itemsize, 232
    image = height * width * depth
    row = 0 if old else 1023 // binning
    moved, stored = frames[:, row, :4], frames.copy()
    stored[:, row, :4] = 0
    start = 128 if old else 744
    times = [(100, 500000 * k) for k in range(n)]
    session = bytearray(start)
    if old:
        sides = (n, depth, 0, width, width * depth, height, image)
        struct.pack_into("<7I", session, 32, *sides)
        struct.pack_into("<I", session, 68, start)
        struct.pack_into("<Q", session, 72, start + n * image)
        second = 272 + 12 * n
        place = second + 112
        footer = bytearray(place)
        struct.pack_into("<Q", footer, 8, second)
        struct.pack_into("<I", footer, 40, place + 4 * depth * n)
        for k, time in enumerate(times):
            struct.pack_into("<II", footer, 272 + 4 * n + 8 * k, *time)
        struct.pack_into("<Q", footer, second + 88, place)
        struct.pack_into("<I", footer, second + 100, row * width * depth)
        body = stored.tobytes() + bytes(footer) + moved.tobytes()
    else:
        sides = (n, depth, 0, width, height, width * depth, image)
        struct.pack_into("<7I", session, 60, *sides)
        struct.pack_into("<Q", session, 96, start)
        struct.pack_into("<4H", session, 712, 0, width * binning, 0, height * binning)
        body = b"".join(
            frame.tobytes()
            + (struct.pack("<3I", k, *times[k]) + moved[k].tobytes()).ljust(32, b"\0")
            for k, frame in enumerate(stored)
        )
    header = bytearray(head)
    header[:5] = b"DCIMG"
    struct.pack_into("<I", header, 8, 0x7 if old else 0x1000000)
    struct.pack_into("<II", header, 36, n, head)
    path.write_bytes(bytes(header) + bytes(session) + body)


WRITERS = {
    "a.b16": lambda path: write_b16(path, FRAMES[0]),
    "a.sif": lambda path: write_sif(path, FRAMES),
    "a.dcimg": lambda path: write_dcimg(path, FRAMES, old=False),
    "old.dcimg": lambda path: write_dcimg(path, FRAMES, old=True),
}


def check(path: Path, frames: np.ndarray, interval: float | None):
    recording = open_recording(path)
    assert (recording.n, recording.shape) == (len(frames), SHAPE)
    assert recording.pixel_size is None
    assert recording.interval == (interval and pytest.approx(interval))
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(recording.stored(k), frame)
    return recording


def test_image_of_a_pco_camera(tmp_path):
    write_b16(tmp_path / "a.b16", FRAMES[0], b"film 7\0")
    recording = check(tmp_path / "a.b16", FRAMES[:1], None)
    assert (recording.metadata["b/w max"], recording.metadata["comment"]) == (4000, "film 7")
    write_basic_b16(tmp_path / "b.b16", FRAMES[1])
    check(tmp_path / "b.b16", FRAMES[1:2], None)


def test_a_colour_image_of_a_pco_camera_is_refused(tmp_path):
    write_b16(tmp_path / "a.b16", FRAMES[0], colour=1)
    with pytest.raises(RecordingError, match=r"a\.b16: is of a colour camera"):
        open_recording(tmp_path / "a.b16")


def test_pco_raw_is_a_big_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.pcoraw", FRAMES, bigtiff=True, photometric="minisblack")
    check(tmp_path / "a.pcoraw", FRAMES, None)


@pytest.mark.parametrize("n", [1, 3])
def test_frames_of_an_andor_camera(tmp_path, n):
    write_sif(tmp_path / "a.sif", FRAMES[:n])
    recording = check(tmp_path / "a.sif", FRAMES[:n].astype(np.float32), 0.04 if n > 1 else None)
    assert recording.metadata["DetectorType"] == "DV897"


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_of_a_hamamatsu_camera(tmp_path, old, dtype):
    frames = FRAMES.astype(dtype)
    write_dcimg(tmp_path / "a.dcimg", frames, old=old)
    check(tmp_path / "a.dcimg", frames, 0.5)


def test_frames_without_the_row_that_is_stored_elsewhere(tmp_path):
    write_dcimg(tmp_path / "a.dcimg", FRAMES, old=False)
    content = bytearray((tmp_path / "a.dcimg").read_bytes())
    struct.pack_into("<4H", content, 232 + 712, 0, SHAPE[1], 0, SHAPE[0])  # no binning
    (tmp_path / "a.dcimg").write_bytes(content)
    stored = FRAMES.copy()
    stored[:, 1023 // 64, :4] = 0
    check(tmp_path / "a.dcimg", stored, 0.5)


@pytest.mark.parametrize("size", [0, 4, 20, 60, 150, 300, 500, 800, 1500])
@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_file_is_named_in_one_sentence(tmp_path, name, size):
    WRITERS[name](tmp_path / name)
    os.truncate(tmp_path / name, size)
    with pytest.raises(RecordingError, match=rf"\A(?!.*\n).*{name}"):
        open_recording(tmp_path / name).read(0)


@pytest.mark.parametrize("name", WRITERS)
def test_a_closed_recording_is_opened_again(tmp_path, name):
    WRITERS[name](tmp_path / name)
    recording = open_recording(tmp_path / name, pixel_size=5e-9)
    before = recording.stored(0)
    recording.close()
    recording.close()
    np.testing.assert_array_equal(recording.stored(0), before)
    assert recording.pixel_size == 5e-9
