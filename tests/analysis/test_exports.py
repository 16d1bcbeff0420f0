"""Exports, each read by another library than the one that wrote it."""

from __future__ import annotations

import csv
import json
import struct
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image, ImageSequence

import spinscope
from spinscope.analysis import label_objects, measure
from spinscope.analysis.exports import KINDS, SUFFIXES
from spinscope.analysis.exports.contours import contours
from spinscope.errors import SpinscopeError

CLASSES = ("background", "skyrmion", "defect")
SHAPE = (61, 83)  # odd, as films do not like it


def scene(seed: int = 0, shape=SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """An image in [0, 1] and its mask: discs, one with a hole, pixels that meet in a corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=np.uint8)
    for cy, cx in rng.uniform((8, 8), np.subtract(shape, 8), (7, 2)):
        mask[np.hypot(y - cy, x - cx) < rng.uniform(2, 6)] = 1
    mask[40:52, 60:75], mask[44:48, 64:68], mask[45, 65] = 1, 0, 1  # an island in its hole
    mask[:3, :9] = 2
    mask[np.arange(20, 26), np.arange(2, 8)] = 2
    mask[-1, -1] = 1
    image = 0.6 - 0.3 * (mask == 1) + 0.3 * (mask == 2) + rng.normal(0, 0.01, shape)
    return np.clip(image, 0, 1).astype(np.float32), mask


def recording(n: int = 3) -> list:
    return [(k, *scene(k)) for k in range(n)]


def write(kind: str, folder: Path, frames=None, **options) -> Path:
    target = folder / f"a{SUFFIXES[kind]}"
    frames = recording() if frames is None else frames
    assert KINDS[kind](target, iter(frames), **{"classes": CLASSES, **options}) == len(frames)
    return target


def filled(rings, shape) -> np.ndarray:
    """Pixels inside rings of corners (y, x) by the even-odd rule: each upright side toggles."""
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=bool)
    for ring in rings:
        for (y0, x), (y1, x1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            assert x == x1 or y0 == y1  # sides run along pixels
            toggles[min(y0, y1) : max(y0, y1), x] ^= True
    return np.logical_xor.accumulate(toggles, axis=1)[:, :-1]


# ---------------------------------------------------------------- outlines


@pytest.mark.parametrize("density", [0.02, 0.3, 0.5, 0.8, 1.0])
def test_an_outline_filled_is_the_object(density):
    """Noise contains touching corners, nested holes and borders."""
    mask = np.random.default_rng(4).random((40, 57)) < density
    numbers, areas = label_objects(mask)
    outlines = contours(numbers)
    assert [outline.number for outline in outlines] == list(range(1, len(areas) + 1))
    holes = measure(mask)["holes"]
    for outline in outlines[:60]:
        rings = [outline.outer, *outline.holes]
        np.testing.assert_array_equal(filled(rings, mask.shape), numbers == outline.number)
        assert len(outline.holes) == holes[outline.number - 1]
        for ring in rings:  # only corners: the direction changes at each
            steps = np.diff(np.vstack([ring, ring[:1]]), axis=0) != 0
            assert (steps.sum(axis=1) == 1).all()
            assert (steps[1:] != steps[:-1]).all()


@pytest.mark.parametrize("kind", ["roi", "labels", "coco", "png"])
def test_exports_do_not_depend_on_the_bands(tmp_path, kind, monkeypatch):
    whole = write(kind, tmp_path)
    whole = whole.rename(tmp_path / "whole")
    for module in ("contours", "ome", "overlays"):
        monkeypatch.setattr(f"spinscope.analysis.exports.{module}.BAND_PX", 7 * SHAPE[1])
    banded = write(kind, tmp_path)
    if kind == "png":
        for path in whole.iterdir():
            assert path.read_bytes() == (banded / path.name).read_bytes()
    elif kind == "labels":
        np.testing.assert_array_equal(tifffile.imread(whole), tifffile.imread(banded))
    elif kind == "roi":
        with zipfile.ZipFile(whole) as one, zipfile.ZipFile(banded) as other:
            assert one.namelist() == other.namelist()
            assert all(one.read(name) == other.read(name) for name in one.namelist())
    else:
        assert whole.read_bytes() == banded.read_bytes()


def test_one_pixel_has_four_corners():
    numbers = np.zeros((4, 5), dtype=np.int32)
    numbers[2, 3] = 1
    (outline,) = contours(numbers)
    assert outline.outer.tolist() == [[2, 3], [2, 4], [3, 4], [3, 3]]
    assert contours(np.zeros((4, 5), dtype=np.int32)) == []


# ---------------------------------------------------------------- ImageJ


def read_roi(data: bytes) -> tuple[str, int, np.ndarray, int, bytes]:
    """(name, position, corners (y, x), type, colour) by ImageJ's format, big-endian throughout.

    Source: `ij.io.RoiDecoder`.
    """
    assert data[:4] == b"Iout"
    kind = data[6]
    top, left, bottom, right, n = struct.unpack(">4hH", data[8:18])
    position, header2 = struct.unpack(">2i", data[56:64])
    assert not struct.unpack(">H", data[50:52])[0] & 128  # no subpixel coordinates
    x = np.frombuffer(data, ">i2", n, 64).astype(int) + left
    y = np.frombuffer(data, ">i2", n, 64 + 2 * n).astype(int) + top
    assert (y.min(), x.min(), y.max(), x.max()) == (top, left, bottom, right)
    start, length = struct.unpack(">2i", data[header2 + 16 : header2 + 24])
    name = data[start : start + 2 * length].decode("utf-16-be")
    return name, position, np.stack([y, x], axis=1), kind, data[40:44]


def test_rois_are_the_objects_at_their_frames(tmp_path):
    frames = recording()
    with zipfile.ZipFile(write("roi", tmp_path, frames)) as file:
        assert file.testzip() is None
        found = [(entry, *read_roi(file.read(entry))) for entry in file.namelist()]
    assert all(entry == f"{name}.roi" for entry, name, *_ in found)
    assert {kind for *_, kind, _ in found} == {8}  # traced
    for index, _, mask in frames:
        for class_, colour in ((1, "ffff0000"), (2, "ff00ff00")):
            rings: dict[int, list] = {}
            for _, name, position, corners, _, stroke in found:
                frame, number, kind, *_ = name.split("-")
                if position == index + 1 and kind == CLASSES[class_]:
                    assert int(frame) == index
                    assert stroke.hex() == colour
                    rings.setdefault(int(number), []).append(corners)
            numbers, areas = label_objects(mask == class_)
            assert sorted(rings) == list(range(1, len(areas) + 1))
            for number, corners in rings.items():
                np.testing.assert_array_equal(filled(corners, SHAPE), numbers == number)
    assert any("-hole-1" in name for _, name, *_ in found)


# ---------------------------------------------------------------- OME-TIFF


def pixels_of(path: Path) -> ElementTree.Element:
    """The `Pixels` element, read by Pillow, not by the library that wrote it."""
    with Image.open(path) as file:
        root = ElementTree.fromstring(file.tag_v2[270].encode("latin-1"))  # as Pillow decodes
    return root.find(".//{http://www.openmicroscopy.org/Schemas/OME/2016-06}Pixels")


@pytest.mark.parametrize("kind", ["labels", "classes"])
def test_label_images_hold_numbers_or_classes_and_their_scale(tmp_path, kind):
    frames = recording()
    path = write(kind, tmp_path, frames, pixel_size=250e-9, interval=0.05)
    with Image.open(path) as file:
        pages = [np.asarray(page) for page in ImageSequence.Iterator(file)]
    for (_, _, mask), page in zip(frames, pages, strict=True):
        np.testing.assert_array_equal(
            page, label_objects(mask == 1)[0] if kind == "labels" else mask
        )
    said = pixels_of(path).attrib
    assert {axis: int(said[f"Size{axis}"]) for axis in "TZCYX"} == {
        "T": 3, "Z": 1, "C": 1, "Y": SHAPE[0], "X": SHAPE[1],
    }  # fmt: skip
    assert said["Type"] == {"labels": "uint16", "classes": "uint8"}[kind]
    for axis in "XY":
        assert float(said[f"PhysicalSize{axis}"]) == pytest.approx(0.25)
        assert said[f"PhysicalSize{axis}Unit"] == "µm"
    assert float(said["TimeIncrement"]) == pytest.approx(0.05)
    assert said["TimeIncrementUnit"] == "s"
    with tifffile.TiffFile(path) as file:
        assert (file.series[0].axes, len(file.series)) == ("TYX", 1)
        assert file.series[0].asarray().shape == (3, *SHAPE)


def test_an_unknown_scale_is_left_out(tmp_path):
    said = pixels_of(write("classes", tmp_path)).attrib
    assert not {"PhysicalSizeX", "TimeIncrement"} & said.keys()


def test_the_label_image_comes_back_as_a_recording(tmp_path):
    from spinscope.recordings import open_recording

    stream = open_recording(write("labels", tmp_path, pixel_size=1e-7, interval=2.0))
    assert (stream.n, stream.interval) == (3, 2.0)
    assert stream.pixel_size == pytest.approx(1e-7)


def test_another_class_can_be_numbered(tmp_path):
    frames = recording(1)
    path = write("labels", tmp_path, frames, object_class="defect")
    np.testing.assert_array_equal(tifffile.imread(path), label_objects(frames[0][2] == 2)[0])
    with pytest.raises(SpinscopeError, match="class 'dust' must be one of background, skyrmion"):
        write("labels", tmp_path, object_class="dust")


def test_many_objects_take_32_bits(tmp_path):
    mask = np.zeros((500, 500), dtype=np.uint8)
    mask[::2, ::2] = 1
    path = write("labels", tmp_path, [(0, None, mask)])
    assert pixels_of(path).get("Type") == "uint32"
    assert tifffile.imread(path).max() == 250**2
    many = np.zeros((600, 600), dtype=np.uint8)
    many[::2, ::2] = 1
    few = np.zeros_like(many)
    with pytest.raises(SpinscopeError, match="frame 1 holds 90000 objects; in 16 bits"):
        write("labels", tmp_path, [(0, None, few), (1, None, many)])


# ---------------------------------------------------------------- COCO


def decoded(rle: dict) -> np.ndarray:
    """Mask of a compressed run-length encoding, after `rleFrString` of the COCO API."""
    counts, place, text = [], 0, rle["counts"].encode()
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            c = text[place] - 48
            value |= (c & 0x1F) << 5 * shift
            more = bool(c & 0x20)
            place += 1
            shift += 1
            if not more and c & 0x10:
                value |= -1 << 5 * shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    height, width = rle["size"]
    assert min(counts[1:]) > 0
    assert sum(counts) == height * width
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def test_coco_annotations_give_every_pixel_of_every_object(tmp_path):
    frames = recording()
    coco = json.loads(write("coco", tmp_path, frames, pixel_size=1e-7).read_text())
    assert [(c["id"], c["name"]) for c in coco["categories"]] == [(1, "skyrmion"), (2, "defect")]
    assert [image["id"] for image in coco["images"]] == [1, 2, 3]
    assert coco["images"][1]["file_name"] == "0001.png"
    assert coco["info"]["version"] == spinscope.__version__
    assert (coco["info"]["pixel_size_nm"], coco["info"]["interval_s"]) == (100, None)
    ids = [a["id"] for a in coco["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    kinds = set()
    for index, _, mask in frames:
        image = coco["images"][index]
        assert (image["height"], image["width"]) == SHAPE
        for class_ in (1, 2):
            numbers, areas = label_objects(mask == class_)
            own = [
                a
                for a in coco["annotations"]
                if (a["image_id"], a["category_id"]) == (index + 1, class_)
            ]
            assert len(own) == len(areas)
            for number, annotation in enumerate(own, 1):
                shape = annotation["segmentation"]
                kinds.add(type(shape))
                if isinstance(shape, dict):
                    pixels = decoded(shape)
                else:
                    corners = [np.array(s).reshape(-1, 2)[:, ::-1] for s in shape]
                    pixels = filled(corners, SHAPE)
                np.testing.assert_array_equal(pixels, numbers == number)
                assert annotation["area"] == areas[number - 1]
                assert annotation["iscrowd"] == 0
                y, x = np.nonzero(pixels)
                box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
                assert annotation["bbox"] == box
    assert kinds == {dict, list}


def test_coco_of_a_recording_without_objects_is_valid(tmp_path):
    blank = [(0, None, np.zeros(SHAPE, np.uint8))]
    coco = json.loads(write("coco", tmp_path, blank).read_text())
    assert (coco["annotations"], len(coco["images"])) == ([], 1)


# ---------------------------------------------------------------- CSV


def test_the_table_holds_every_object_in_all_units(tmp_path):
    frames = [*recording(2), (5, *scene(5))]
    path = write("csv", tmp_path, frames, pixel_size=2e-7, interval=0.1)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for index, image, mask in frames:
        for class_ in (1, 2):
            own = [r for r in rows if (int(r["frame"]), r["class"]) == (index, CLASSES[class_])]
            true = measure(mask == class_, image)
            assert [int(r["object"]) for r in own] == list(range(1, len(true["area_px"]) + 1))
            for key in ("area_px", "y_px", "diameter_px", "contrast", "holes"):
                values = [float(r[key] or "nan") for r in own]
                np.testing.assert_allclose(values, true[key], rtol=1e-9)
            for row in own:
                assert float(row["diameter_um"]) == pytest.approx(0.2 * float(row["diameter_px"]))
                assert float(row["area_nm2"]) == pytest.approx(4e4 * float(row["area_px"]))
                assert float(row["time_s"]) == pytest.approx(0.1 * index)
                assert row["name"] == f"{index:04d}"
                assert row["touches_border"] in ("true", "false")


def test_the_table_leaves_small_objects_out_and_may_be_empty(tmp_path):
    path = write("csv", tmp_path, min_px=20)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert min(float(row["area_px"]) for row in rows) >= 20
    assert {row["diameter_nm"] for row in rows} == {""}
    path = write("csv", tmp_path, [(0, None, np.zeros(SHAPE, np.uint8))])
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 1
    assert lines[0][:5] == ["frame", "name", "time_s", "class", "object"]


# ---------------------------------------------------------------- pictures


def test_overlays_tint_each_class_and_leave_the_rest_grey(tmp_path):
    frames = recording()
    folder = write("png", tmp_path, frames, names=lambda index: f"run_{index}")
    assert sorted(p.name for p in folder.iterdir()) == [f"run_{k}.png" for k in range(3)]
    for index, _, mask in frames:
        with Image.open(folder / f"run_{index}.png") as file:
            assert file.mode == "RGB"
            rgb = np.asarray(file).astype(int)
        assert rgb.shape == (*SHAPE, 3)
        red, green, blue = np.moveaxis(rgb, -1, 0)
        np.testing.assert_array_equal((red == green) & (green == blue), mask == 0)
        assert (red > green)[mask == 1].all()
        assert (green >= red)[mask == 2].all()


def boxes(data: bytes) -> dict[str, bytes]:
    """Top-level boxes of an MP4, in order."""
    found, place = {}, 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        found[kind.decode()] = data[place + 8 : place + size]
        place += size
    return found


def film_of(path: Path) -> tuple[np.ndarray, object]:
    import av

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video)])
        return frames, (video.average_rate, video.codec_context.pix_fmt, video.codec_context.name)


def test_a_video_shows_the_frames_with_outlines(tmp_path):
    frames = recording(6)
    path = write("mp4", tmp_path, frames, interval=0.04)
    top = boxes(path.read_bytes())
    assert list(top).index("moov") < list(top).index("mdat")  # starts before it is loaded
    assert b"avc1" in top["moov"]
    shown, (rate, pixels, codec) = film_of(path)
    assert (rate, pixels, codec) == (25, "yuv420p", "h264")
    assert shown.shape == (6, 2 * SHAPE[0], 2 * SHAPE[1], 3)
    for (_, image, mask), rgb in zip(frames, shown, strict=True):
        colour = np.ptp(rgb.astype(int), axis=-1)[::2, ::2]
        inside = np.pad(mask, 1, mode="edge")
        neighbours = [inside[1:-1, :-2], inside[1:-1, 2:], inside[:-2, 1:-1], inside[2:, 1:-1]]
        border = (mask > 0) & np.any([n != mask for n in neighbours], axis=0)
        assert (colour[border] > 60).mean() > 0.97
        near = np.zeros_like(border)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near |= np.roll(border, (dy, dx), (0, 1))
        assert (colour[~near] < 30).mean() > 0.99
        low, high = np.percentile(frames[0][1], (1, 99))
        expected = np.clip((image - low) / (high - low), 0, 1) * 255
        grey = rgb[::2, ::2].mean(axis=-1)
        assert np.abs(grey - expected)[~near].mean() < 6


@pytest.mark.parametrize(
    ("interval", "rate"), [(None, 10), (0.05, 20), (1 / 30, 30), (600.0, 10), (1e-4, 10)]
)
def test_a_video_runs_in_real_time_if_possible(tmp_path, interval, rate):
    _, (shown, *_) = film_of(write("mp4", tmp_path, recording(4), interval=interval))
    assert float(shown) == pytest.approx(rate, rel=1e-3)


def test_a_very_large_frame_is_subsampled_for_the_video(tmp_path, monkeypatch):
    monkeypatch.setattr("spinscope.analysis.exports.video.MOST", 40)
    shown, _ = film_of(write("mp4", tmp_path))
    assert max(shown.shape[1:3]) <= 80  # doubled
    assert shown.shape[1] % 2 == shown.shape[2] % 2 == 0


# ---------------------------------------------------------------- all kinds


@pytest.mark.parametrize("kind", KINDS)
def test_frames_pass_one_at_a_time(tmp_path, kind):
    """No frame is kept while the next one is read."""
    import weakref

    alive: list[weakref.ref] = []

    def frames():
        for k in range(8):
            image, mask = scene(k)
            assert sum(ref() is not None for ref in alive) <= 3
            alive.append(weakref.ref(mask))
            yield k, image, mask

    KINDS[kind](tmp_path / f"a{SUFFIXES[kind]}", frames(), classes=CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_export_keeps_the_earlier_file(tmp_path, kind):
    target = write(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def frames():
        yield 0, *scene(0)
        raise SpinscopeError("the recording ends")

    with pytest.raises(SpinscopeError, match="the recording ends"):
        KINDS[kind](target, frames(), classes=CLASSES)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "there is no frame to export"),
        ([(0, *scene()), (1, *scene(1, (70, 83)))], "frame 1 is 83x70 pixels.*83x61"),
        ([(0, scene()[0], scene()[1] + 7)], "holds class 9; only 0 to 2"),
        ([(0, scene()[0], scene()[1].astype(float))], "must be .* uint8"),
        ([(0, scene()[0][:-1], scene()[1])], "image of frame 0, of shape"),
    ],
)
def test_frames_that_do_not_fit_are_named(tmp_path, kind, frames, text):
    with pytest.raises(SpinscopeError, match=text):
        write(kind, tmp_path, frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["png", "mp4"])
def test_overlays_and_videos_need_images(tmp_path, kind):
    with pytest.raises(SpinscopeError, match="image of frame 0 is missing"):
        write(kind, tmp_path, [(0, None, scene()[1])])


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_cannot_be_written_is_named(tmp_path, kind):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((SpinscopeError), match="cannot be written: "):
        KINDS[kind](tmp_path / "file" / "a.x", iter(recording(1)), classes=CLASSES)


def test_two_overlays_of_one_name_are_refused(tmp_path):
    with pytest.raises(SpinscopeError, match="two frames are named 'a'"):
        write("png", tmp_path, names=lambda _: "a")


# ---------------------------------------------------------------- GeoJSON and OME-Zarr


def test_features_are_the_objects_with_their_measurements(tmp_path):
    frames = recording()
    path = write("geojson", tmp_path, frames, pixel_size=100e-9)
    features = json.loads(path.read_text())["features"]
    assert len({one["id"] for one in features}) == len(features)
    for index, image, mask in frames:
        for class_, name in ((1, "skyrmion"), (2, "defect")):
            own = [
                one
                for one in features
                if one["geometry"]["plane"] == {"c": -1, "z": 0, "t": index}
                and one["properties"]["classification"]["name"] == name
            ]
            numbers, areas = label_objects(mask == class_)
            quantities = measure(mask == class_, image)
            assert len(own) == len(areas)
            for k, one in enumerate(own):
                geometry = one["geometry"]
                several = geometry["type"] == "MultiPolygon"
                polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
                rings = [np.array(ring) for polygon in polygons for ring in polygon]
                assert all((ring[0] == ring[-1]).all() for ring in rings)
                corners = [ring[:-1, ::-1] for ring in rings]
                np.testing.assert_array_equal(filled(corners, mask.shape), numbers == k + 1)
                measured = one["properties"]["measurements"]
                assert measured["area_px"] == areas[k]
                assert measured["area_um2"] == pytest.approx(areas[k] * 0.01)
                assert measured["diameter_px"] == pytest.approx(quantities["diameter_px"][k])


def test_a_polygon_meets_itself_nowhere(tmp_path):
    """Parts that meet in a corner are polygons of their own, else readers call them invalid."""
    mask = np.zeros((12, 12), np.uint8)
    mask[2:4, 2:4] = mask[4:6, 4:6] = mask[8:10, 1] = 1
    path = write("geojson", tmp_path, [(0, mask / np.float32(2), mask)])
    first, second = (one["geometry"] for one in json.loads(path.read_text())["features"])
    assert [first["type"], second["type"]] == ["MultiPolygon", "Polygon"]
    assert [len(polygon[0]) for polygon in first["coordinates"]] == [5, 5]


def test_ome_zarr_contains_image_and_labels(tmp_path):
    import zarr

    from spinscope.recordings import open_recording

    frames = recording()
    path = write("zarr", tmp_path, frames, pixel_size=150e-9, interval=0.5)
    opened = open_recording(path)
    assert (opened.n, opened.shape, opened.interval) == (3, SHAPE, 0.5)
    assert opened.pixel_size == pytest.approx(150e-9)
    group = zarr.open_group(path, mode="r")
    labels = dict(group["labels"].attrs)["ome"]["labels"]
    assert labels == ["classes", "skyrmion", "defect"]
    for index, image, mask in frames:
        np.testing.assert_allclose(opened.read(index) / opened.scale, image, atol=1e-5)
        np.testing.assert_array_equal(group["labels/classes/0"][index], mask)
        numbers, _ = label_objects(mask == 1)
        np.testing.assert_array_equal(group["labels/skyrmion/0"][index], numbers)
    for name in labels:
        label = group[f"labels/{name}"]
        (scales,) = dict(label.attrs)["ome"]["multiscales"]
        assert [axis["name"] for axis in scales["axes"]] == ["t", "y", "x"]
        assert scales["datasets"][0]["coordinateTransformations"] == [
            {"type": "scale", "scale": [0.5, 0.15, 0.15]}
        ]
    assert dict(group["labels/classes"].attrs)["ome"]["image-label"]["colors"][0] == {
        "label-value": 1,
        "rgba": [255, 0, 0, 255],
    }


# ---------------------------------------------------------------- TrackMate


def moving(n: int = 5, shape=(60, 80)) -> list:
    """Frames in which three discs move to the right; the third is missing in frame 2."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    frames = []
    for k in range(n):
        mask = np.zeros(shape, dtype=np.uint8)
        for i, (cy, cx) in enumerate(((10, 12), (30, 20), (50, 30))):
            if (i, k) != (2, 2):
                mask[np.hypot(y - cy, x - cx - 2 * k) < 4] = 1
        mask[:2, :2] = 2
        frames.append((k, None, mask))
    return frames


def trackmate(path: Path) -> tuple[dict[int, dict], dict[int, list], ElementTree.Element]:
    """Spots by ID, edges by track, and the root of a TrackMate XML, as `TmXmlReader` finds them."""
    root = ElementTree.parse(path).getroot()
    model = root.find("Model")
    declared = [
        one.get("feature") for one in model.findall("FeatureDeclarations/SpotFeatures/Feature")
    ]
    spots = {}
    for frame in model.findall("AllSpots/SpotsInFrame"):
        for spot in frame.findall("Spot"):
            assert spot.get("FRAME") == frame.get("frame")
            assert set(spot.keys()) == {"ID", "name", *declared}
            spots[int(spot.get("ID"))] = {key: float(spot.get(key)) for key in declared}
    assert int(model.find("AllSpots").get("nspots")) == len(spots)
    tracks = {
        int(track.get("TRACK_ID")): [
            (int(edge.get("SPOT_SOURCE_ID")), int(edge.get("SPOT_TARGET_ID")))
            for edge in track.findall("Edge")
        ]
        for track in model.findall("AllTracks/Track")
    }
    shown = [int(one.get("TRACK_ID")) for one in model.findall("FilteredTracks/TrackID")]
    assert shown == list(tracks)
    assert {end for edges in tracks.values() for edge in edges for end in edge} <= set(spots)
    return spots, tracks, root


def test_trackmate_has_a_spot_per_object_and_the_links(tmp_path):
    options = {"pixel_size": 2e-7, "interval": 0.5, "source": tmp_path / "a & b.tif"}
    spots, tracks, root = trackmate(write("trackmate", tmp_path, moving(), **options))
    assert len(spots) == 14  # the defect is no spot
    first = spots[0]
    assert (first["POSITION_X"], first["POSITION_Y"]) == pytest.approx((2.4, 2.0))
    assert first["RADIUS"] == pytest.approx(0.2 * np.sqrt(first["QUALITY"] / np.pi))
    assert first["AREA"] == pytest.approx(0.04 * first["QUALITY"])
    assert {(one["FRAME"], one["POSITION_T"]) for one in spots.values()} == {
        (k, k / 2) for k in range(5)
    }
    assert np.isnan(first["CONTRAST"])  # no image
    rows = [
        {round(spots[end]["POSITION_Y"]) for edge in t for end in edge} for t in tracks.values()
    ]
    assert rows == [{2}, {6}, {10}, {10}]  # the gap ends a track
    assert [len(edges) for edges in tracks.values()] == [4, 4, 1, 1]
    assert all(
        spots[b]["POSITION_X"] - spots[a]["POSITION_X"] == pytest.approx(0.4)
        for edges in tracks.values()
        for a, b in edges
    )
    model, image = root.find("Model"), root.find("Settings/ImageData")
    assert (model.get("spatialunits"), model.get("timeunits")) == ("µm", "s")
    assert (image.get("filename"), image.get("folder")) == ("a & b.tif", str(tmp_path))
    names = ("width", "height", "nframes", "pixelwidth", "pixelheight", "timeinterval")
    assert [float(image.get(name)) for name in names] == [80, 60, 5, 0.2, 0.2, 0.5]
    settings = {element.tag for element in root.find("Settings")}
    assert settings == {
        "ImageData",
        "BasicSettings",
        "DetectorSettings",
        "InitialSpotFilter",
        "SpotFilterCollection",
        "TrackerSettings",
        "TrackFilterCollection",
        "AnalyzerCollection",
    }


def test_trackmate_takes_given_tracks_and_pixels(tmp_path):
    given = pd.DataFrame({"frame": [0, 1, 4], "object": [1, 2, 3], "track": [7, 7, 7]})
    spots, tracks, root = trackmate(write("trackmate", tmp_path, moving(), tracks=given))
    assert root.find("Model").get("spatialunits") == "pixel"
    places = [(spots[a]["FRAME"], spots[a]["OBJECT"]) for a, _ in tracks[7]]
    assert list(tracks) == [7] and places == [(0, 1), (1, 2)]
    assert spots[tracks[7][-1][1]]["POSITION_X"] == pytest.approx(38)


def test_trackmate_keeps_the_numbers_of_frames(tmp_path):
    spots, tracks, root = trackmate(write("trackmate", tmp_path, moving()[3:]))
    assert {one["FRAME"] for one in spots.values()} == {3, 4} and len(tracks) == 3
    assert root.find("Settings/ImageData").get("nframes") == "5"


def test_trackmate_says_why_there_are_no_tracks(tmp_path):
    one = [(k, None, np.pad(np.ones((3, 3), np.uint8), 5)) for k in range(3)]
    spots, tracks, root = trackmate(write("trackmate", tmp_path, one))
    assert len(spots) == 3 and not tracks
    assert "No tracks: search_range_px must be given" in root.find("Log").text


def test_trackmate_of_names_that_xml_cannot_contain(tmp_path):
    path = write("trackmate", tmp_path, moving(1), names=lambda k: f'<{k}>"&\x01')
    spot = ElementTree.parse(path).getroot().find("Model/AllSpots/SpotsInFrame/Spot")
    assert spot.get("name") == '<0>"&_-0001'
