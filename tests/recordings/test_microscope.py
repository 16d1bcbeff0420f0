"""Files of electron microscopes: every pixel, the pixel size and the metadata come back."""

from __future__ import annotations

import json
import struct
import sys

import h5py
import mrcfile
import numpy as np
import pytest
import zarr

from spinscope.recordings import RecordingError, open_recording

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


def write_gatan(path, data, version: int, units: str = "nm") -> None:
    """Write the tags of an image as DigitalMicrograph does; sizes have 64 bits in version 4."""
    size = ">Q" if version == 4 else ">I"

    def number(value) -> bytes:
        return struct.pack(size, value)

    def entry(kind: int, name: str, content: bytes) -> bytes:
        length = number(len(content)) if version == 4 else b""
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
            info, raw = [20, kind, value.size], value.tobytes()
        elif isinstance(value, str):
            info, raw = [20, 4, len(value)], value.encode("utf-16-le")
        elif isinstance(value, float):
            info, raw = [6], struct.pack("<f", value)
        else:
            info, raw = [5], struct.pack("<I", value)
        return b"%%%%" + number(len(info)) + b"".join(map(number, info)) + raw

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
    root = group({"ImageList": [image]}) + bytes(8)
    path.write_bytes(struct.pack(">I", version) + number(len(root)) + struct.pack(">I", 1) + root)


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


def test_a_missing_reader_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    (tmp_path / "a.dm3").write_bytes(b"x")
    with pytest.raises(RecordingError, match=r"a\.dm3: .* pip install 'spinscope\[microscopes\]'"):
        open_recording(tmp_path / "a.dm3")


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5])
@pytest.mark.parametrize("name", ["a.mrc", "a.emd", "a.dm3", "a.dm4"])
def test_a_truncated_file_is_named_in_one_sentence(tmp_path, name, fraction):
    if ".dm" in name:
        pytest.importorskip("rsciio")
    path = tmp_path / name
    if name == "a.mrc":
        write_mrc(path, frames_of())
    elif name == "a.emd":
        write_velox(path, frames_of())
    else:
        write_gatan(path, frames_of(), int(name[-1]))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(RecordingError, match=rf"{name}.*") as error:
        open_recording(path).read(2)
    assert "\n" not in str(error.value)
