"""Files of electron microscopes: every pixel, the pixel size and the metadata come back."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import zarr

from spinscope.recordings import RecordingError, WatchedFolder, open_recording

SHAPE = (24, 40)


def frames_of(dtype=np.uint16, n: int = 3) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 120, (n, *SHAPE)).astype(dtype)


def check(path, frames, size, stored=True) -> None:
    recording = open_recording(path)
    assert (recording.n, recording.shape) == (len(frames), SHAPE)
    assert recording.pixel_size == (size and pytest.approx(size))
    read = recording.stored if stored else recording.read
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(read(k), frame)


def write_mrc(path, data, angstrom: float = 0) -> None:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = angstrom


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize(("angstrom", "size"), [(23, 2.3e-9), (0, None), (0.1, None)])
def test_sections_of_an_mrc_file(tmp_path, dtype, angstrom, size):
    frames = frames_of(dtype)
    write_mrc(tmp_path / "a.mrc", frames, angstrom)
    check(tmp_path / "a.mrc", frames, size)
    write_mrc(tmp_path / "b.mrc", frames[0], angstrom)
    check(tmp_path / "b.mrc", frames[:1], size)


@pytest.mark.parametrize("size", [2**31 - 1, -1])
def test_an_extended_header_that_the_file_lacks_is_refused(tmp_path, size):
    path = tmp_path / "a.mrc"
    write_mrc(path, frames_of().astype(np.float32))
    data = bytearray(path.read_bytes())
    data[92:96] = size.to_bytes(4, "little", signed=True)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=f"extended header has {size} bytes, the file"):
        open_recording(path)


def write_velox(path, frames, unit: str = "m", images: int = 1) -> None:
    text = {"BinaryResult": {"PixelSize": {"width": "2e-9", "height": "2e-9"}, "PixelUnitX": unit}}
    raw = np.frombuffer(json.dumps(text).encode().ljust(1024, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        for k in range(images):
            group = file.create_group(f"Data/Image/{k:032x}")
            group["Data"] = np.moveaxis(frames, 0, -1)
            group["Metadata"] = np.repeat(raw[:, None], len(frames), axis=1)


@pytest.mark.parametrize(("unit", "size"), [("m", 2e-9), ("1/m", None), ("", None)])
def test_frames_of_a_velox_file(tmp_path, unit, size):
    write_velox(tmp_path / "a.emd", frames_of(), unit)
    check(tmp_path / "a.emd", frames_of(), size)
    assert "BinaryResult" in open_recording(tmp_path / "a.emd").metadata


def test_several_images_of_a_velox_file_are_refused(tmp_path):
    write_velox(tmp_path / "a.emd", frames_of(), images=2)
    with pytest.raises(RecordingError, match=r"a\.emd: holds 2 images of Velox"):
        open_recording(tmp_path / "a.emd")


def write_zarr(path, data, axes: str, unit: str | None, version: int) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    chunks = (*(1 for _ in axes[2:]), 16, 16)
    group.create_array("0", shape=data.shape, dtype=data.dtype, chunks=chunks)[...] = data
    units = {name: {"unit": unit} if unit and name in "yx" else {} for name in axes}
    scale = {"type": "scale", "scale": [*[1] * len(axes[2:]), 5, 5]}
    image = {
        "axes": [{"name": name} | units[name] for name in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    group.attrs.update(
        {"multiscales": [image]} if version == 2 else {"ome": {"multiscales": [image]}}
    )


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("unit", "size"), [("nanometer", 5e-9), (None, None)])
@pytest.mark.parametrize("axes", ["tczyx", "tyx", "yx"])
def test_frames_of_an_ome_zarr(tmp_path, axes, unit, size, version):
    frames = frames_of(n=1 if axes == "yx" else 3)
    data = frames.reshape({"tczyx": (3, 1, 1, *SHAPE), "tyx": (3, *SHAPE), "yx": SHAPE}[axes])
    write_zarr(tmp_path / "a.ome.zarr", data, axes, unit, version)
    check(tmp_path / "a.ome.zarr", frames, size)
    assert open_recording(tmp_path / "a.ome.zarr").name == "a"


def test_channels_of_an_ome_zarr_are_refused(tmp_path):
    write_zarr(tmp_path / "a.zarr", frames_of(), "cyx", None, 2)
    with pytest.raises(RecordingError, match=r"axes c=3, y=24, x=40; .*one channel"):
        open_recording(tmp_path / "a.zarr")


HOLE = b"<place of the pixels>"


def write_gatan(path, data, version: int, units="nm", *, images=1, sparse=False) -> None:
    """Write the tags of an image as DigitalMicrograph does; sizes have 64 bits in version 4.

    A sparse file has no pixels on the disk.
    """
    size = ">Q" if version == 4 else ">I"

    def number(value) -> bytes:
        return struct.pack(size, value)

    def entry(kind: int, name: str, content: bytes) -> bytes:
        hole = HOLE in content and data_bytes - len(HOLE)
        length = number(len(content) + hole) if version == 4 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode() + length + content

    def group(tags) -> bytes:
        pairs = tags.items() if isinstance(tags, dict) else (("", value) for value in tags)
        body = [
            entry(20, name, group(value))
            if isinstance(value, dict | list)
            else entry(21, name, leaf(value))
            for name, value in pairs
        ]
        return b"\1\0" + number(len(body)) + b"".join(body)

    def leaf(value) -> bytes:
        if isinstance(value, np.ndarray):
            kind = {"i2": 2, "u2": 4, "f4": 6, "i4": 3}[value.dtype.str[1:]]
            info, raw = [20, kind, value.size], HOLE
        elif isinstance(value, str):
            info, raw = [20, 4, len(value)], value.encode("utf-16-le")
        elif isinstance(value, float):
            info, raw = [6], struct.pack("<f", value)
        else:
            info, raw = [5], struct.pack("<I", value)
        return b"%%%%" + number(len(info)) + b"".join(map(number, info)) + raw

    data_bytes = data.nbytes
    sides = list(data.shape[::-1])
    scales = [{"Origin": 0.0, "Scale": 4.0, "Units": units} for _ in sides[:2]]
    scales += [{"Origin": 0.0, "Scale": 0.5, "Units": "s"} for _ in sides[2:]]
    brightness = {"Origin": 0.0, "Scale": 1.0, "Units": ""}
    image = {
        "ImageData": {
            "Calibrations": {"Brightness": brightness, "Dimension": scales},
            "Data": data,
            "DataType": {"i2": 1, "f4": 2, "u2": 10, "i4": 7}[data.dtype.str[1:]],
            "Dimensions": sides,
            "PixelDepth": data.dtype.itemsize,
        },
        "ImageTags": {"Microscope Info": {"Voltage": 200000.0}},
        "Name": "a",
    }
    root = group({"ImageList": [image] * images}) + bytes(8)
    size_of_root = len(root) + images * (data_bytes - len(HOLE))
    head = struct.pack(">I", version) + number(size_of_root) + struct.pack(">I", 1)
    first, *rest = (head + root).split(HOLE)
    with path.open("wb") as file:
        file.write(first)
        for part in rest:
            if sparse:
                file.seek(data_bytes, 1)
            else:
                file.write(data.tobytes())
            file.write(part)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32])
def test_frames_of_a_gatan_file(tmp_path, version, dtype):
    pytest.importorskip("rsciio")
    path, frames = tmp_path / f"a.dm{version}", frames_of(dtype)
    write_gatan(path, frames, version)
    check(path, frames, 4e-9)
    assert open_recording(path).interval == pytest.approx(0.5)
    write_gatan(path, frames[0], version, "")
    check(path, frames[:1], None)
    write_gatan(path, frames[0], version, "1/nm")
    check(path, frames[:1], None)


def test_a_gatan_file_over_4_gb(tmp_path):
    pytest.importorskip("rsciio")
    n = 2**32 // (2 * 2**20) + 2
    frames = np.broadcast_to(np.zeros((), np.uint16), (n, 1024, 1024))
    path = tmp_path / "a.dm4"
    write_gatan(path, frames, 4, sparse=True)
    assert path.stat().st_size > 2**32
    recording = open_recording(path)
    assert (recording.n, recording.shape) == (n, (1024, 1024))
    assert recording.pixel_size == pytest.approx(4e-9)
    with path.open("r+b") as file:  # behind 4 GB
        place = file.read(4096).index(struct.pack(">Q", frames.size)) + 8
        file.seek(place + (n - 1) * 2**21)
        file.write(np.full(1024, 77, "<u2").tobytes())
    last = open_recording(path).stored(n - 1)
    assert (last[0] == 77).all()
    assert not last[1:].any()


def test_several_images_of_a_gatan_file_are_refused(tmp_path):
    pytest.importorskip("rsciio")
    write_gatan(tmp_path / "a.dm4", frames_of(), 4, images=2)
    with pytest.raises(RecordingError, match=r"a\.dm4: holds \d images; a recording must be one"):
        open_recording(tmp_path / "a.dm4")


def write_tia(path, frames, side: float = 4e-9) -> None:
    """Write a SER file: header, one dimension, places of the frames and of their tags, frames."""
    n, height, width = frames.shape
    kind = {"u2": 2, "i2": 5, "f4": 7}[frames.dtype.str[1:]]
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, n, n)
    dimension = struct.pack("<IddI", n, 0.0, 1.0, 0) + struct.pack("<I", 6) + b"Number"
    dimension += struct.pack("<I", 0)
    start = len(head) + 12 + len(dimension)
    block = 50 + frames[0].nbytes + 8
    places = [start + 16 * n + k * block for k in range(n)]
    tags = [place + block - 8 for place in places]
    body = b"".join(
        struct.pack("<ddIddIHII", 0, side, 0, 0, side, 0, kind, width, height)
        + frame[::-1].tobytes()  # from the lowest row
        + struct.pack("<HHI", 0x4152, 0, 1540956289)
        for frame in frames
    )
    path.write_bytes(
        head + struct.pack("<QI", start, 1) + dimension + struct.pack(f"<{2 * n}Q", *places, *tags)
        + body
    )  # fmt: skip


def write_emi(path) -> None:
    tree = "<ObjectInfo><AcquireDate>Mon Nov 30 10:00:00 2026</AcquireDate>"
    tree += "<AcquireInfo><CameraNamePath>a</CameraNamePath></AcquireInfo>"
    tree += "<ExperimentalDescription><Root><Data><Label>Mode</Label><Value>TEM image</Value>"
    tree += "<Unit/></Data></Root></ExperimentalDescription></ObjectInfo>"
    path.write_bytes(b"\0head\0" + tree.encode() + b"\0tail")


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize(("side", "size"), [(4e-9, 4e-9), (0.0, None)])
def test_frames_of_a_tia_series(tmp_path, dtype, side, size):
    pytest.importorskip("rsciio")
    write_tia(tmp_path / "a_1.ser", frames_of(dtype), side)
    check(tmp_path / "a_1.ser", frames_of(dtype), size)
    write_emi(tmp_path / "a.emi")
    check(tmp_path / "a.emi", frames_of(dtype), size)
    assert open_recording(tmp_path / "a.emi").metadata["ObjectInfo"]


def test_several_series_of_an_emi_file_are_refused(tmp_path):
    pytest.importorskip("rsciio")
    write_emi(tmp_path / "a.emi")
    write_tia(tmp_path / "a_1.ser", frames_of())
    write_tia(tmp_path / "a_2.ser", frames_of())
    with pytest.raises(RecordingError, match=r"a\.emi: holds 2 images"):
        open_recording(tmp_path / "a.emi")


def write_tvips(path, frames, units: str = "nm", max_file_size: int | None = None) -> None:
    """Write a series with the writer of RosettaSciIO, which stores the first scale for all."""
    from rsciio.tvips import file_writer

    steps = zip(frames.shape, (4, 4, 4), ("s", units, units), strict=True)
    axes = [
        {"size": size, "scale": scale, "units": unit, "offset": 0, "navigate": k == 0}
        for k, (size, scale, unit) in enumerate(steps)
    ]
    signal = {"data": frames, "axes": axes, "metadata": {}, "attributes": {"_lazy": False}}
    file_writer(str(path), signal, max_file_size=max_file_size, show_progressbar=False)


def test_frames_of_a_tvips_series(tmp_path):
    pytest.importorskip("rsciio")
    write_tvips(tmp_path / "a_000.tvips", frames_of())
    recording = open_recording(tmp_path / "a_000.tvips")
    assert recording.name == "a"
    assert recording.interval == pytest.approx(4)
    assert recording.metadata["tvips_header"]["dimx"] == SHAPE[1]
    check(tmp_path / "a_000.tvips", frames_of(), 4e-9)


def test_a_series_of_tvips_in_several_files(tmp_path):
    pytest.importorskip("rsciio")
    frames = frames_of(n=6)
    write_tvips(tmp_path / "a_000.tvips", frames, max_file_size=3 * frames[0].nbytes)
    assert (tmp_path / "a_001.tvips").is_file()
    check(tmp_path / "a_000.tvips", frames, 4e-9)
    with pytest.raises(RecordingError, match=r"opened by its first file, which ends in _000"):
        open_recording(tmp_path / "a_001.tvips")


def test_a_series_of_one_tvips_frame_is_refused(tmp_path):
    pytest.importorskip("rsciio")
    write_tvips(tmp_path / "a_000.tvips", frames_of(n=1))
    with pytest.raises(RecordingError, match="at least two complete frames"):
        open_recording(tmp_path / "a_000.tvips")


@pytest.mark.parametrize("shards", [None, (1, 32, 48)])
def test_a_missing_chunk_costs_its_frame(tmp_path, shards):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    frames = frames_of() + 1
    array = group.create_array("0", shape=frames.shape, dtype=frames.dtype, chunks=(1, 16, 16),
                               shards=shards)  # fmt: skip
    array[...] = frames
    axes = [{"name": name} for name in "tyx"]
    image = {"axes": axes, "datasets": [{"path": "0"}]}
    group.attrs.update({"ome": {"multiscales": [image]}})
    (tmp_path / "a.zarr/0/c/1/0/0").unlink()
    recording = open_recording(tmp_path / "a.zarr")
    found = dict(recording.frames_or_errors())
    assert isinstance(found[1], RecordingError)
    assert "frame 1 cannot be read: 1 of its" in str(found[1])
    for k in (0, 2):
        np.testing.assert_array_equal(found[k], frames[k])


@pytest.mark.parametrize("name", ["a.mrc", "a.emd", "a.zarr", "a.dm4"])
def test_a_closed_recording_is_opened_again(tmp_path, name):
    if name == "a.dm4":
        pytest.importorskip("rsciio")
        write_gatan(tmp_path / name, frames_of(), 4)
    elif name == "a.zarr":
        write_zarr(tmp_path / name, frames_of(), "tyx", "nanometer", 3)
    else:
        {"a.mrc": write_mrc, "a.emd": write_velox}[name](tmp_path / name, frames_of())
    recording = open_recording(tmp_path / name, pixel_size=7e-9)
    recording.close()
    assert not holds(tmp_path / name)
    recording.close()
    np.testing.assert_array_equal(recording.stored(1), frames_of()[1])
    assert recording.pixel_size == 7e-9


def holds(path) -> bool:
    """Whether this process has the file open or mapped."""
    opened = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            opened.append(str(entry.readlink()))
    return str(path) in opened or str(path) in Path("/proc/self/maps").read_text()


def test_a_changed_file_is_not_opened_again(tmp_path):
    write_mrc(tmp_path / "a.mrc", frames_of())
    recording = open_recording(tmp_path / "a.mrc")
    recording.close()
    write_mrc(tmp_path / "a.mrc", frames_of(n=2))
    with pytest.raises(RecordingError, match="the file has changed since it was opened"):
        recording.stored(0)


def test_a_folder_of_microscope_files(tmp_path):
    frames = frames_of(n=11)
    for k, frame in enumerate(frames):
        write_mrc(tmp_path / f"f{k}.mrc", frame, 23)
    recording = open_recording(tmp_path)
    assert (recording.n, recording.names(2)) == (11, "f2")
    check(tmp_path, frames, 2.3e-9)
    write_mrc(tmp_path / "f3.mrc", frames)
    with pytest.raises(RecordingError, match=r"f3\.mrc holds 11 frames; .* must be one"):
        recording.stored(3)
    (tmp_path / "f4.mrc").write_bytes(b"x" * 2000)
    lost = [k for k, frame in recording.frames_or_errors() if isinstance(frame, RecordingError)]
    assert lost == [3, 4]


def test_a_watched_folder_of_microscope_files(tmp_path):
    frames = frames_of()
    for k, frame in enumerate(frames):
        write_mrc(tmp_path / f"f{k}.mrc", frame, 23)
    recording = WatchedFolder(tmp_path, settle=0, poll=0.01, idle=0.5)
    for (k, got), frame in zip(recording.frames(), frames, strict=True):
        np.testing.assert_array_equal(got, frame)
        assert recording.names(k) == f"f{k}"
    assert recording.pixel_size == pytest.approx(2.3e-9)


def test_a_missing_reader_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    (tmp_path / "a.dm3").write_bytes(b"x")
    with pytest.raises(RecordingError, match=r"^\S+/a\.dm3, a .* pip install 'spinscope\[tem\]'"):
        open_recording(tmp_path / "a.dm3")


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5])
@pytest.mark.parametrize("name", ["a.mrc", "a.emd", "a.dm3", "a.dm4", "a.ser", "a_000.tvips"])
def test_a_truncated_file_is_named_in_one_sentence(tmp_path, name, fraction):
    if name not in ("a.mrc", "a.emd"):
        pytest.importorskip("rsciio")
    path = tmp_path / name
    if name == "a.mrc":
        write_mrc(path, frames_of())
    elif name == "a.emd":
        write_velox(path, frames_of())
    elif name == "a.ser":
        write_tia(path, frames_of())
    elif name == "a_000.tvips":
        write_tvips(path, frames_of())
    else:
        write_gatan(path, frames_of(), int(name[-1]))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(RecordingError, match=rf"{name}.*") as error:
        open_recording(path).read(2)
    assert "\n" not in str(error.value)
