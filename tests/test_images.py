"""Images and labels are read as written, and bad files are named."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spinscope.classes import CLASSES, COLOURS
from spinscope.errors import SpinscopeError
from spinscope.images import (
    UnknownColour,
    bit_depth,
    read_image,
    read_label,
    standardise,
    to_scheme,
    write_image,
    write_label,
)


def levels(bits: int, shape: tuple[int, int] = (24, 40)) -> np.ndarray:
    """Values over the whole range, both ends included."""
    return np.linspace(0, 2**bits - 1, shape[0] * shape[1]).round().astype(int).reshape(shape)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_every_level_comes_back(tmp_path, bits, kind):
    path = tmp_path / f"frame.{kind}"
    expected = (levels(bits) / (2**bits - 1)).astype(np.float32)
    if kind == "png":
        write_image(path, expected, bits)
    else:
        tifffile.imwrite(path, levels(bits).astype(f"uint{bits}"))
    image = read_image(path)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, expected)
    assert bit_depth(path) == bits


def test_a_frame_is_the_same_at_8_and_16_bit(tmp_path):
    Image.fromarray(levels(8).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray((levels(8) * 257).astype(np.uint16)).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png"))


def test_a_float_tiff_comes_back(tmp_path):
    image = np.random.default_rng(1).random((16, 24), dtype=np.float32)
    tifffile.imwrite(tmp_path / "a.tiff", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tiff"), image)
    assert bit_depth(tmp_path / "a.tiff") == 32


def test_order_is_y_x(tmp_path):
    image = np.zeros((16, 24), dtype=np.float32)
    image[3, 20] = 1
    write_image(tmp_path / "a.png", image)
    assert Image.open(tmp_path / "a.png").getpixel((20, 3)) == 255
    assert read_image(tmp_path / "a.png")[3, 20] == 1


def test_a_label_comes_back_in_the_published_colours(tmp_path):
    label = np.random.default_rng(2).integers(0, 5, (16, 24)).astype(np.uint8)
    label[0, :5] = range(5)
    write_label(tmp_path / "a.png", label)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), label)
    pixel = Image.open(tmp_path / "a.png").getpixel
    colours = {"background": (0, 0, 255), "skyrmion": (255, 0, 0), "defect": (0, 255, 0),
               "outside": (255, 255, 0), "edge": (0, 255, 255)}  # fmt: skip
    assert {name: pixel((x, 0)) for x, name in enumerate(CLASSES)} == colours


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (255, 0, 255), (254, 0, 0), (0, 128, 255), (0, 4, 255)]
)
def test_an_unknown_colour_is_named_with_its_place(tmp_path, colour):
    rgb = COLOURS[np.zeros((16, 24), dtype=int)]
    rgb[5, 7] = colour
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(UnknownColour, match=rf"{colour[0]}, {colour[1]}.*y=5, x=7"):
        read_label(tmp_path / "a.png")


def truncated(path: Path, shape: tuple[int, ...] = (64, 64)) -> Path:
    noise = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_truncated_png_is_named(tmp_path):
    with pytest.raises(SpinscopeError, match=r"a\.png is truncated"):
        read_image(truncated(tmp_path / "a.png"))
    with pytest.raises(SpinscopeError, match=r"l\.png is truncated"):
        read_label(truncated(tmp_path / "l.png", (64, 64, 3)))


def test_a_tiff_with_huge_tiles_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, levels(16).astype(np.uint16), tile=(16, 16), compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        for side in ("TileWidth", "TileLength"):
            file.pages[0].tags[side].overwrite(65520)
    with pytest.raises(SpinscopeError, match="tiles of 65520x65520 pixels; at most 16777216"):
        read_image(path)


def test_a_truncated_tiff_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", levels(16).astype(np.uint16))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SpinscopeError, match=r"a\.tif"):
        read_image(tmp_path / "a.tif")


def damaged(seed: int) -> bytes:
    """A PNG with a few bytes changed or cut off."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    body = bytearray(buffer.getvalue())
    for place in rng.integers(0, len(body), rng.integers(1, 6)):
        body[place] = rng.integers(256)
    return bytes(body[: rng.integers(1, len(body) + 1)] if seed % 2 else body)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_whatever_is_damaged_it_is_read_or_named(tmp_path_factory, seed):
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(damaged(seed))
    for read in (read_image, read_label):
        try:
            read(path)
        except SpinscopeError as error:
            assert "damaged.png" in str(error)


def test_three_channels_are_refused(tmp_path):
    Image.fromarray(COLOURS[np.zeros((16, 24), dtype=int)]).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 24, 3), np.uint8), photometric="rgb")
    for name in ("a.png", "a.tif"):
        with pytest.raises(SpinscopeError, match="must be grayscale"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "says"),
    [(np.nan, "1 pixels are NaN"), (np.inf, "1 pixels are NaN or inf"), (1.5, r"0 to 1\.5"),
     (-0.5, r"-0\.5 to")],
)  # fmt: skip
def test_a_float_tiff_out_of_range_is_refused(tmp_path, value, says):
    image = np.zeros((16, 24), dtype=np.float32)
    image[2, 3] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(SpinscopeError, match=says):
        read_image(tmp_path / "a.tif")


def test_integers_of_another_kind_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 24), dtype=np.int16))
    with pytest.raises(SpinscopeError, match="int16 pixels"):
        read_image(tmp_path / "a.tif")


def test_one_pixel_is_too_small(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((1, 1), dtype=np.float32))
    with pytest.raises(SpinscopeError, match="1x1 pixels"):
        read_image(tmp_path / "a.png")


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    for read in (read_image, read_label):
        with pytest.raises(SpinscopeError, match="promises 40000x40000 pixels"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["none.png", "none.tif", "."])
def test_what_is_no_file_is_named(tmp_path, name):
    with pytest.raises(SpinscopeError, match="does not exist or is not a file"):
        read_image(tmp_path / name)


def test_text_is_no_image(tmp_path):
    for name in ("a.png", "a.tif"):
        (tmp_path / name).write_text("not an image")
        with pytest.raises(SpinscopeError, match="is not a readable"):
            read_image(tmp_path / name)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    write_image(tmp_path / "a.png", np.ones((16, 24), dtype=np.float32))
    with pytest.raises(SpinscopeError, match="must be 8 or 16"):
        write_image(tmp_path / "a.png", np.zeros((16, 24)), bits=12)
    with pytest.raises(IndexError):
        write_label(tmp_path / "a.png", np.full((16, 24), 9))
    assert read_image(tmp_path / "a.png").min() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_schemes_reduce_the_classes():
    label = np.arange(5, dtype=np.uint8)
    assert to_scheme(label, 2).tolist() == [0, 1, 0, 0, 0]
    assert to_scheme(label, 3).tolist() == [0, 1, 2, 0, 0]
    assert to_scheme(label, 5).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(SpinscopeError, match=r"scheme \(=4\)"):
        to_scheme(label, 4)


def test_standardised_frames_forget_offset_and_scale():
    image = np.random.default_rng(4).random((64, 64), dtype=np.float32)
    result = standardise(image)
    assert abs(result.mean()) < 1e-5
    assert result.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(standardise(0.2 + 0.3 * image), result, atol=1e-4)
    assert (standardise(np.full((8, 8), 0.3, dtype=np.float32)) == 0).all()
    spike = np.zeros((64, 64), dtype=np.float32)
    spike[0, 0] = 1
    assert standardise(spike).max() == 6


def test_a_label_of_an_unknown_colour_takes_no_more_memory_than_its_pixels(tmp_path):
    Image.new("RGB", (3000, 3000), (7, 7, 7)).save(tmp_path / "grey.png")
    tracemalloc.start()
    try:
        with pytest.raises(UnknownColour, match=r"\(7, 7, 7\) at \(y=0, x=0\)"):
            read_label(tmp_path / "grey.png")
        assert tracemalloc.get_traced_memory()[1] < 3 * 3000**2
    finally:
        tracemalloc.stop()


def test_a_label_of_several_bands_is_read_whole(tmp_path):
    label = np.random.default_rng(2).integers(0, 5, (700, 900)).astype(np.uint8)
    write_label(tmp_path / "a.png", label)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), label)
    rgb = COLOURS[label]
    rgb[650, 40] = (1, 2, 3)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(UnknownColour, match=r"\(1, 2, 3\) at \(y=650, x=40\)"):
        read_label(tmp_path / "a.png")
