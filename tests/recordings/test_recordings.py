"""Recordings: frames are read unchanged, and damaged ones are named."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinscope.images import read_image, write_image
from spinscope.recordings import RecordingError, image_of, open_recording
from spinscope.recordings.folder import natural

SHAPE = (24, 40)


def random_frames(n: int = 6, dtype=np.uint16, top: float | None = None, shape=SHAPE) -> np.ndarray:
    """Different frames of noise over the whole range of `dtype`."""
    rng = np.random.default_rng(5)
    if np.dtype(dtype).kind == "f":
        return rng.random((n, *shape)).astype(dtype)
    frames = rng.integers(0, (top or np.iinfo(dtype).max) + 1, (n, *shape)).astype(dtype)
    frames[:, 0, :2] = 0, top or np.iinfo(dtype).max
    return frames


def read_all(recording) -> np.ndarray:
    pairs = list(recording.frames())
    assert [index for index, _ in pairs] == list(range(recording.n))
    return np.stack([pixels for _, pixels in pairs])


KINDS = {
    "plain": {},
    "pages": {"metadata": None},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "imagej": {"imagej": True},
    "ome": {"ome": True},
    "deflate": {"compression": "zlib"},
    "deflate-predictor": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd"},
    "packbits": {"compression": "packbits"},
    "tiles": {"tile": (16, 16)},
    "tiles-deflate": {"tile": (16, 16), "compression": "zlib", "ome": True},
    "strips": {"rowsperstrip": 5, "compression": "lzw"},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_of_a_tiff_stack_comes_back(tmp_path, kind, dtype):
    frames = random_frames(dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack", **KINDS[kind])
    recording = open_recording(tmp_path / "a.tif")
    assert (recording.n, recording.shape, recording.name) == (6, SHAPE, "a")
    assert recording.scale == {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
    back = read_all(recording)
    assert back.dtype == dtype
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, frames)
    np.testing.assert_array_equal(recording.read(4), frames[4])
    assert [index for index, _ in recording.frames(4)] == [4, 5]
    assert recording.names(3) == "0003"


def test_pages_written_one_after_another_come_back(tmp_path):
    frames = random_frames()
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in frames:
            file.write(frame, contiguous=False)
    np.testing.assert_array_equal(read_all(open_recording(tmp_path / "a.tif")), frames)


def test_planes_behind_a_single_header_come_back(tmp_path):
    frames = random_frames()
    tifffile.imwrite(tmp_path / "a.tif", frames, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 1
    np.testing.assert_array_equal(read_all(open_recording(tmp_path / "a.tif")), frames)


def test_packed_12_bit_pixels_have_a_scale_of_4095(tmp_path):
    frames = random_frames(2, np.uint16, 4095)
    tifffile.imwrite(tmp_path / "a.tif", packed(frames[0]), photometric="minisblack")
    retag(tmp_path / "a.tif", {256: SHAPE[1], 258: 12})
    recording = open_recording(tmp_path / "a.tif")
    assert recording.scale == 4095
    np.testing.assert_array_equal(recording.read(0), frames[0])


def packed(frame: np.ndarray) -> np.ndarray:
    """Two pixels of 12 bit in three bytes."""
    a, b = frame[:, ::2].astype(int), frame[:, 1::2].astype(int)
    parts = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1)
    return parts.reshape(len(frame), -1).astype(np.uint8)


def retag(path, tags: dict) -> None:
    """Change tags of the first page in place."""
    with tifffile.TiffFile(path, mode="r+") as file:
        for code, value in tags.items():
            file.pages[0].tags[code].overwrite(value)


@pytest.mark.parametrize(
    ("written", "scale"),
    [
        ({"ome": True, "metadata": {"axes": "TYX", "SignificantBits": 12}}, 4095),
        ({"imagej": True, "metadata": {"axes": "TYX", "min": 0.0, "max": 4095.0}}, 4095),
        ({"extratags": [(281, "H", 1, 4095, True)]}, 4095),
        ({"ome": True, "metadata": {"axes": "TYX", "SignificantBits": 16}}, 65535),
        ({"imagej": True, "metadata": {"axes": "TYX", "min": 0.0, "max": 3000.0}}, 65535),
        ({}, 65535),
    ],
)
def test_the_scale_is_the_cameras_where_the_file_says_so(tmp_path, written, scale):
    written = {"photometric": "minisblack", **written}
    tifffile.imwrite(tmp_path / "a.tif", random_frames(3, np.uint16, 4095), **written)
    assert open_recording(tmp_path / "a.tif").scale == scale
    # a file that says 12 bit and holds more is not believed
    tifffile.imwrite(tmp_path / "b.tif", random_frames(3), **written)
    assert open_recording(tmp_path / "b.tif").scale == 65535


def test_an_image_is_the_raw_pixel_over_its_scale():
    raw = np.array([[0, 1000, 4095, 5000]], dtype=np.uint16)
    np.testing.assert_allclose(image_of(raw, 4095), [[0, 1000 / 4095, 1, 1]], rtol=1e-6)
    assert image_of(raw, 65535).dtype == np.float32
    floats = np.array([[0.25, 1]], dtype=np.float32)
    np.testing.assert_array_equal(image_of(floats, 1.0), floats)


def test_a_frame_is_the_image_that_the_datasets_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", random_frames(1)[0])
    write_image(tmp_path / "b.png", random_frames(1, np.float32)[0], 16)
    for path in (tmp_path / "a.tif", tmp_path / "b.png"):
        recording = open_recording(path)
        np.testing.assert_array_equal(
            image_of(recording.read(0), recording.scale), read_image(path)
        )


OME_NM = {"axes": "TYX", "PhysicalSizeX": 123.0, "PhysicalSizeXUnit": "nm",
          "PhysicalSizeY": 123.0, "PhysicalSizeYUnit": "nm",
          "TimeIncrement": 50.0, "TimeIncrementUnit": "ms"}  # fmt: skip
OME_UM = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "TimeIncrement": 2.0}
OME_PLANES = {"axes": "TYX", "Plane": {"DeltaT": [0.0, 0.3, 0.6, 0.9, 1.2, 1.5]}}


@pytest.mark.parametrize(
    ("written", "size", "interval"),
    [
        ({"ome": True, "metadata": OME_NM}, 123e-9, 0.05),
        ({"ome": True, "metadata": OME_UM}, 0.2e-6, 2.0),
        ({"ome": True, "metadata": OME_PLANES}, None, 0.3),
        (
            {"imagej": True, "resolution": (4, 4),
             "metadata": {"axes": "TYX", "unit": "um", "finterval": 0.1}}, 0.25e-6, 0.1,
        ),
        (
            {"imagej": True, "resolution": (0.002, 0.002),
             "metadata": {"axes": "TYX", "unit": "nm", "finterval": 40.0, "tunit": "ms"}},
            500e-9, 0.04,
        ),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"axes": "TYX"}}, None, None),
        ({"resolution": (1e5, 1e5), "resolutionunit": "CENTIMETER"}, 1e-7, None),
        ({"resolution": (254000, 254000), "resolutionunit": "INCH"}, 1e-7, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None, None),
        ({"resolution": (1e5, 2e5), "resolutionunit": "CENTIMETER"}, None, None),
        ({}, None, None),
    ],
)  # fmt: skip
def test_pixel_size_and_interval_are_what_the_file_says(tmp_path, written, size, interval):
    tifffile.imwrite(tmp_path / "a.tif", random_frames(), **written)
    recording = open_recording(tmp_path / "a.tif")
    assert recording.pixel_size == (size and pytest.approx(size, rel=1e-5))
    assert recording.interval == (interval and pytest.approx(interval))
    assert open_recording(tmp_path / "a.tif", pixel_size=3e-7).pixel_size == 3e-7


def test_the_pixel_size_given_must_be_a_length(tmp_path):
    with pytest.raises(RecordingError, match=r"pixel size \(=-1\) must be"):
        open_recording(tmp_path, pixel_size=-1)


# ---------------------------------------------------------------- stacks that are damaged


@pytest.mark.parametrize("kind", ["imagej", "ome", "plain", "bigtiff"])
def test_of_a_stack_cut_off_in_its_pixels_the_frames_before_come_back(tmp_path, kind):
    """Page headers behind all pixels are cut off; the planes are found without them."""
    frames = random_frames(8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", **KINDS[kind])
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    path.write_bytes(path.read_bytes()[: start + int(5.5 * frames[0].nbytes)])
    recording = open_recording(path)
    assert recording.n == 8
    check_cut(recording, frames, 5)


@pytest.mark.parametrize("kind", ["plain", "deflate"])
@pytest.mark.parametrize("share", [0.5, 0.66, 0.9])
def test_of_a_stack_cut_off_between_its_pages_the_frames_before_come_back(tmp_path, kind, share):
    frames = random_frames(8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, contiguous=False, **KINDS[kind])
    with tifffile.TiffFile(path) as file:
        ends = [page.dataoffsets[-1] + page.databytecounts[-1] for page in file.pages]
    size = int(share * path.stat().st_size)
    path.write_bytes(path.read_bytes()[:size])
    check_cut(open_recording(path), frames, sum(end <= size for end in ends))


def check_cut(recording, frames, good: int) -> None:
    got = []
    with pytest.raises(
        RecordingError, match=rf"cut off: frame {good} of \d is not in the file"
    ) as e:
        for _, pixels in recording.frames():
            got.append(pixels)
    assert e.value.index == good
    np.testing.assert_array_equal(np.stack(got), frames[:good])
    with pytest.raises(RecordingError) as e:
        recording.read(good)
    assert e.value.index == good
    np.testing.assert_array_equal(recording.read(good - 1), frames[good - 1])


def test_a_broken_strip_is_named_and_those_behind_it_can_be_read(tmp_path):
    frames = random_frames()
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, frames, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[2].dataoffsets[0]
    whole = bytearray(path.read_bytes())
    whole[offset : offset + 200] = bytes(200)
    path.write_bytes(whole)
    recording = open_recording(path)
    with pytest.raises(RecordingError, match="frame 2 cannot be decoded") as error:
        list(recording.frames())
    assert error.value.index == 2
    assert [index for index, _ in recording.frames(3)] == [3, 4, 5]


def test_mixed_sizes_name_the_frame_its_size_and_the_streams(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for shape in ((24, 40), (24, 40), (32, 48)):
            file.write(random_frames(1, shape=shape)[0], contiguous=False, metadata=None)
    recording = open_recording(tmp_path / "a.tif")
    with pytest.raises(RecordingError, match=r"frame 2 is 48x32 pixels.*are 40x24") as error:
        list(recording.frames())
    assert error.value.index == 2


def test_mixed_depths_are_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for dtype in (np.uint16, np.uint8):
            file.write(random_frames(1, dtype)[0], contiguous=False, metadata=None)
    with pytest.raises(RecordingError, match=r"frame 1 has pixels of full scale 255.*65535"):
        list(open_recording(tmp_path / "a.tif").frames())


@pytest.mark.parametrize(
    ("frames", "written", "text"),
    [
        (
            np.zeros((2, 3, 24, 40), np.uint8),
            {"imagej": True, "metadata": {"axes": "TCYX"}}, "has 3 channels",
        ),
        (
            np.zeros((2, 3, 24, 40), np.uint8),
            {"ome": True, "metadata": {"axes": "TCYX"}}, "has 3 channels",
        ),
        (
            np.zeros((2, 3, 24, 40), np.uint8),
            {"imagej": True, "metadata": {"axes": "TZYX"}}, "3 sections in depth at each of 2",
        ),
        (np.zeros((3, 24, 40), np.complex64), {}, r"complex64\); must be real numbers"),
        (np.zeros((3, 4, 40), np.uint8), {}, "40x4 pixels; a side must be at least 8"),
        (np.zeros((3, 24, 40), np.uint8), {"compression": "png"}, "compressed by PNG"),
    ],
)  # fmt: skip
def test_a_stack_of_another_kind_is_refused(tmp_path, frames, written, text):
    tifffile.imwrite(tmp_path / "a.tif", frames, **{"photometric": "minisblack", **written})
    with pytest.raises(RecordingError, match=text):
        open_recording(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("value", "rows", "text"),
    [(np.nan, 1, "40 pixels of frame 1 are NaN"), (9.0, 4, r"frame 1 span 0.* to 9; .*0 to 1")],
)
def test_values_that_are_no_intensities_are_named(tmp_path, value, rows, text):
    frames = random_frames(4, np.float32)
    frames[1, :rows] = value
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack")
    with pytest.raises(RecordingError, match=text) as error:
        list(open_recording(tmp_path / "a.tif").frames())
    assert error.value.index == 1


def test_a_single_value_outside_the_range_is_clipped(tmp_path):
    frames = random_frames(4, np.float32)
    frames[1, 3, 4] = 1.5
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack")
    back = read_all(open_recording(tmp_path / "a.tif"))
    np.testing.assert_array_equal(back, np.minimum(frames, 1))


# ---------------------------------------------------------------- other types of pixels


@pytest.mark.parametrize("kind", ["pages", "big-endian", "deflate", "ome"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_pixels_are_shifted_by_half_of_their_range(tmp_path, kind, dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    frames = np.random.default_rng(2).integers(low, high + 1, (6, *SHAPE)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack", **KINDS[kind])
    recording = open_recording(tmp_path / "a.tif")
    assert recording.scale == high - low
    np.testing.assert_array_equal(read_all(recording).astype(int) + low, frames)


@pytest.mark.parametrize(
    "dtype", [np.int32, np.uint32, np.int64, np.float16, np.float32, np.float64]
)
def test_other_numbers_are_mapped_linearly_and_alike_in_all_frames(tmp_path, dtype):
    levels = np.random.default_rng(3).integers(0, 1000, (5, *SHAPE))
    levels[0, 0, :2] = 0, 999
    frames = (levels - (300 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack")
    for source in (tmp_path / "a.tif", frames):
        recording = open_recording(source)
        back = read_all(recording)
        assert (back.dtype, recording.scale) == (np.float32, 1)
        low, high = recording.span
        assert (low, high) == pytest.approx((frames.min() - 499.5, frames.max() + 499.5))
        np.testing.assert_allclose(back * (high - low) + low, frames, atol=2e-3)


def test_a_bilevel_image_is_black_and_white(tmp_path):
    frame = random_frames(1, np.uint8)[0] > 99
    tifffile.imwrite(tmp_path / "a.tif", frame, photometric="minisblack")
    Image.fromarray(frame).save(tmp_path / "b.png")
    for name in ("a.tif", "b.png"):
        recording = open_recording(tmp_path / name)
        np.testing.assert_array_equal(recording.read(0), frame * np.uint8(255))
        assert recording.scale == 255


@pytest.mark.parametrize(
    ("alpha", "written"),
    [
        (False, {}),
        (True, {}),
        (False, {"planarconfig": "separate"}),
        (False, {"ome": True}),
        (False, {"imagej": True}),
        (True, {"compression": "zlib"}),
    ],
)
def test_equal_channels_are_one_image(tmp_path, alpha, written):
    frames = random_frames(6, np.uint8)
    channels = [frames] * 3 + [np.full_like(frames, 255)] * alpha
    axis = 1 if written.get("planarconfig") == "separate" else -1
    stack = np.stack(channels, axis)
    options = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", **written, **options)
    np.testing.assert_array_equal(read_all(open_recording(tmp_path / "a.tif")), frames)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_an_image_of_equal_channels_is_grayscale(tmp_path, mode):
    frame = random_frames(1, np.uint8)[0]
    Image.fromarray(frame).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_recording(tmp_path / "a.png").read(0), frame)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), frame / np.float32(255))


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_channels_that_differ_are_refused(tmp_path, name):
    frame = np.zeros((*SHAPE, 3), np.uint8)
    frame[3, 4, 2] = 1
    Image.fromarray(frame).save(tmp_path / name)
    with pytest.raises(RecordingError, match=rf"{name}.* 3 colour channels differ; .* grayscale"):
        open_recording(tmp_path / name).read(0)


@pytest.mark.parametrize("content", [b"", b"II", b"not an image at all", b"II*\0\xff\xff\xff\x7f"])
@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.avi", "a.mp4", "a.jpg"])
def test_a_file_that_is_no_recording_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=rf"{name} is not a readable"):
        open_recording(tmp_path / name)


def test_a_path_that_cannot_be_a_recording_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(RecordingError, match=r"a\.csv: a file that ends in '\.csv' cannot be read"):
        open_recording(tmp_path / "a.csv")
    with pytest.raises(RecordingError, match=r"b\.tif does not exist"):
        open_recording(tmp_path / "b.tif")


def test_any_bytes_give_frames_or_a_stream_error(tmp_path):
    """Stacks with changed bytes raise RecordingError or give frames, nothing else."""
    rng = np.random.default_rng(11)
    path = tmp_path / "a.tif"
    errors = 0
    for kind in ("plain", "imagej", "ome", "tiles-deflate", "strips"):
        tifffile.imwrite(path, random_frames(3), photometric="minisblack", **KINDS[kind])
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        with tifffile.TiffFile(path) as file:
            heads = [np.arange(p.offset, min(p.offset + 200, len(whole))) for p in file.pages]
        heads = np.concatenate([np.arange(16), *heads])
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.choice(heads, 4)] = rng.integers(0, 256, 4)
            path.write_bytes(damaged.tobytes())
            try:
                for _, pixels in open_recording(path).frames():
                    assert pixels.ndim == 2
            except RecordingError as error:
                errors += 1
                assert "\n" not in str(error)
    assert errors > 20


def test_the_chain_of_pages_must_not_be_a_ring(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in random_frames(3):
            file.write(frame, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as file:
        pages = [page.offset for page in file.pages]
        place = pages[2] + 2 + 12 * len(file.pages[2].tags)
    whole = bytearray(path.read_bytes())
    whole[place : place + 4] = pages[0].to_bytes(4, "little")
    path.write_bytes(whole)
    recording = open_recording(path)
    with pytest.raises(RecordingError) as error:
        list(recording.frames())
    assert error.value.index == 3


# ---------------------------------------------------------------- memory


def peak(call) -> float:
    """Megabytes that a call allocates at most (those of numpy included)."""
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError):
            call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_a_header_that_promises_too_much_is_refused_before_anything_is_decoded(tmp_path):
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, random_frames(1)[0], compression="zlib")
    retag(path, {256: 200_000, 257: 200_000})
    with pytest.raises(RecordingError, match=r"promises 200000x200000 pixels; at most 536870912"):
        open_recording(path)
    assert peak(lambda: open_recording(path)) < 5


READ_ALL = """
import sys
import imagecodecs, tifffile
from spinscope.recordings import RecordingError, open_recording
def peak():  # not getrusage: that one counts the parent's memory too
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3
before = peak()
for path in sys.argv[1:]:
    try:
        open_recording(path).read(0)
    except RecordingError as error:
        assert "cannot be decoded" in str(error)
print(peak() - before)
"""


def test_strips_that_inflate_beyond_what_they_promise_stay_bounded(tmp_path):
    """60 MB compressed in one strip of a small frame are an error or that frame."""
    import imagecodecs

    paths = []
    for codec in ("zlib", "zstd", "lzma", "lzw"):
        flood = getattr(imagecodecs, f"{codec}_encode")(bytes(60_000_000))
        path = tmp_path / f"{codec}.tif"
        tifffile.imwrite(path, np.ones(SHAPE, np.uint8), compression=codec, metadata=None)
        with path.open("ab") as file:
            offset = file.tell()
            file.write(flood)
        retag(path, {273: offset, 279: len(flood)})
        paths.append(str(path))
    # a process of its own: the peak of this one is that of all tests before
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *paths], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 30


def test_a_long_stack_is_never_held(tmp_path):
    """600 frames, of which a hundred would exceed the memory limit."""
    path = tmp_path / "long.tif"
    frame = np.zeros((64, 64), np.uint16)
    with tifffile.TiffWriter(path) as file:
        for _ in range(600):
            file.write(frame, contiguous=False, metadata=None)
    tracemalloc.start()
    recording = open_recording(path)
    count = sum(1 for _ in recording.frames())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 600
    assert most < 100 * frame.nbytes


def test_a_very_large_plain_frame_is_mapped_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr("spinscope.recordings.tiff._MAPPED", 1000)
    frames = random_frames()
    tifffile.imwrite(tmp_path / "a.tif", frames)
    pixels = open_recording(tmp_path / "a.tif").read(3)
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable
    np.testing.assert_array_equal(pixels, frames[3])


# ---------------------------------------------------------------- folders and single images


def test_frames_of_a_folder_come_in_natural_order(tmp_path):
    frames = random_frames(12)
    for k in reversed(range(12)):
        Image.fromarray(frames[k]).save(tmp_path / f"frame{k}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / ".frame3.png").write_bytes(b"hidden")
    recording = open_recording(tmp_path)
    assert (recording.n, recording.scale, recording.name) == (12, 65535, tmp_path.name)
    np.testing.assert_array_equal(read_all(recording), frames)
    assert [recording.names(k) for k in (0, 2, 11)] == ["frame0", "frame2", "frame11"]


def test_natural_order_knows_numbers(tmp_path):
    names = ["b1", "a10", "a9", "a02", "a2", "a1b10", "a1b9"]
    paths = sorted((tmp_path / f"{name}.png" for name in names), key=natural)
    assert [p.stem for p in paths] == ["a1b9", "a1b10", "a02", "a2", "a9", "a10", "b1"]


@pytest.mark.parametrize("kind", ["png", "tif", "bmp"])
def test_one_image_is_a_stream_of_one_frame(tmp_path, kind):
    frame = random_frames(1, np.uint8)[0]
    Image.fromarray(frame).save(tmp_path / f"image.{kind}")
    recording = open_recording(tmp_path / f"image.{kind}")
    assert (recording.n, recording.name, recording.scale) == (1, "image", 255)
    np.testing.assert_array_equal(recording.read(0), frame)


def test_tiffs_of_a_folder_bring_their_pixel_size(tmp_path):
    for k, frame in enumerate(random_frames(2)):
        tifffile.imwrite(
            tmp_path / f"{k}.tif", frame, imagej=True, resolution=(5, 5), metadata={"unit": "um"}
        )
    assert open_recording(tmp_path).pixel_size == pytest.approx(0.2e-6)


def test_a_folder_of_tiffs_leaves_no_file_open(tmp_path):
    for k, frame in enumerate(random_frames(30, np.uint8)):
        tifffile.imwrite(tmp_path / f"{k}.tif", frame)
    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir()))
    gc.disable()
    try:
        assert len(read_all(open_recording(tmp_path))) == 30
        assert len(list(opened.iterdir())) <= before + 1
    finally:
        gc.enable()


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(RecordingError, match=r"holds no image \(.*\.png"):
        open_recording(tmp_path)


def test_a_folder_of_mixed_sizes_or_damaged_images_names_the_file(tmp_path):
    for k, shape in enumerate([(24, 40), (24, 40), (32, 40)]):
        Image.fromarray(random_frames(1, np.uint8, shape=shape)[0]).save(tmp_path / f"f{k}.png")
    with pytest.raises(RecordingError, match=r"f2\.png: frame 2 is 40x32 .* are 40x24") as error:
        list(open_recording(tmp_path).frames())
    assert error.value.index == 2
    whole = (tmp_path / "f1.png").read_bytes()
    (tmp_path / "f1.png").write_bytes(whole[: len(whole) // 2])
    recording = open_recording(tmp_path)
    with pytest.raises(RecordingError, match=r"f1\.png is truncated") as error:
        list(recording.frames())
    assert error.value.index == 1
    (tmp_path / "f0.png").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"f0\.png is not a readable image"):
        open_recording(tmp_path).read(0)


def test_a_folder_refuses_colours_stacks_and_names_that_collide(tmp_path):
    Image.fromarray(random_frames(1, np.uint8)[0]).save(tmp_path / "f0.png")
    Image.fromarray(np.arange(2880, dtype=np.uint8).reshape(*SHAPE, 3)).save(tmp_path / "f1.png")
    with pytest.raises(RecordingError, match=r"f1\.png: its 3 colour channels differ"):
        open_recording(tmp_path).read(1)
    tifffile.imwrite(tmp_path / "f2.tif", random_frames(5, np.uint8))
    with pytest.raises(RecordingError, match=r"f2\.tif holds 5 frames") as error:
        open_recording(tmp_path).read(2)
    assert error.value.index == 2
    tifffile.imwrite(tmp_path / "f0.tif", random_frames(1, np.uint8)[0])
    with pytest.raises(RecordingError, match="two images are named 'f0'"):
        open_recording(tmp_path)


@pytest.mark.parametrize("index", [-1, 6])
def test_a_frame_that_does_not_exist_is_named(tmp_path, index):
    tifffile.imwrite(tmp_path / "a.tif", random_frames())
    with pytest.raises(
        RecordingError, match=rf"frame {index} does not exist; it has frames 0 to 5"
    ):
        open_recording(tmp_path / "a.tif").read(index)


def test_the_fingerprint_changes_with_the_bytes(tmp_path):
    frames = random_frames()
    tifffile.imwrite(tmp_path / "a.tif", frames)
    before = open_recording(tmp_path / "a.tif").fingerprint
    assert open_recording(tmp_path / "a.tif").fingerprint == before
    frames[-1, -1, -1] ^= 1
    tifffile.imwrite(tmp_path / "a.tif", frames)
    assert open_recording(tmp_path / "a.tif").fingerprint != before
