"""Masks of other programs, written by their own libraries."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.analysis.test_exports import SHAPE, recording, scene, write

from spinscope.analysis import label_objects
from spinscope.analysis.exports import number
from spinscope.analysis.exports.contours import contours
from spinscope.analysis.imports import Target, open_masks
from spinscope.analysis.imports.filling import ellipse, filled
from spinscope.analysis.imports.pickled import Refused, loads
from spinscope.errors import SpinscopeError
from spinscope.images import write_label


def target(n: int = 3, shape=SHAPE, name: str = "film", **options) -> Target:
    names = [number(k) for k in range(n)]
    return Target(Path(f"{name}.tif"), shape, names, name, options.pop("default", 1), **options)


def drawn(path: Path, to: Target, **options) -> dict[int, np.ndarray]:
    return {k: draw().label for k, draw in open_masks(path, to, **options).items()}


def refusal(path: Path, to: Target | None = None, **options) -> str:
    with pytest.raises(SpinscopeError) as caught:
        drawn(path, to or target(), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def numbers(mask: np.ndarray) -> np.ndarray:
    """Object numbers of the skyrmions of a mask."""
    return label_objects(mask == 1)[0]


# ---------------------------------------------------------------- what is exported comes back


@pytest.mark.parametrize("kind", ["roi", "coco", "classes"])
def test_exported_classes_come_back(tmp_path, kind):
    frames = recording()
    found = drawn(write(kind, tmp_path, frames), target())
    assert sorted(found) == [0, 1, 2]
    for k, _, mask in frames:
        np.testing.assert_array_equal(found[k], mask)


def test_exported_object_numbers_come_back_as_one_class(tmp_path):
    path = write("labels", tmp_path)
    for k, label in drawn(path, target()).items():
        np.testing.assert_array_equal(label, scene(k)[1] == 1)
    defects = drawn(path, target(default=2))
    assert set(np.unique(defects[0])) == {0, 2}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.02, 0.9))
def test_an_object_drawn_from_its_corners_has_its_pixels(seed, density):
    mask = np.random.default_rng(seed).random((13, 17)) < density
    objects, _ = label_objects(mask)
    for outline in contours(objects):
        window, inside = filled([outline.outer, *outline.holes], mask.shape)
        whole = np.zeros(mask.shape, dtype=bool)
        whole[window] = inside
        np.testing.assert_array_equal(whole, objects == outline.number)


def test_outlines_beyond_the_frame_are_cut():
    square = np.array([(-5.0, -5.0), (-5, 4), (4, 4), (4, -5)])
    window, inside = filled([square], (10, 10))
    assert window == (slice(0, 4), slice(0, 4))
    assert inside.all()
    assert not filled([square - 50], (10, 10))[1].size
    wide = np.array([(2.0, -1e30), (2, 1e30), (6, 1e30), (6, -1e30)])
    window, inside = filled([wide], (10, 10))
    assert inside.sum() == 40


def test_an_ellipse_has_its_area():
    window, inside = ellipse((10, 20, 50, 80), (100, 100))
    assert window == (slice(10, 50), slice(20, 80))
    assert inside.sum() == pytest.approx(np.pi * 20 * 30, rel=5e-3)


# ---------------------------------------------------------------- ImageJ


def roi_set(path: Path, *rois: roifile.ImagejRoi) -> Path:
    roifile.roiwrite(path, rois, mode="w")
    return path


def test_rois_of_imagej_have_their_pixels(tmp_path):
    """A rectangle, an oval, a subpixel polygon and a composite with a hole."""
    rectangle = roifile.ImagejRoi(
        name="a", roitype=roifile.ROI_TYPE.RECT, top=2, left=3, bottom=6, right=9, position=1
    )
    oval = roifile.ImagejRoi(
        name="b", roitype=roifile.ROI_TYPE.OVAL, top=10, left=10, bottom=20, right=24, position=1
    )
    corners = np.array([(40.5, 5.2), (50.4, 9.9), (41.7, 15.8)], np.float32)
    triangle = roifile.ImagejRoi.frompoints(corners, name="c-defect", position=0)
    path = [0, 30, 30, 1, 50, 30, 1, 50, 50, 1, 30, 50, 4]
    path += [0, 35, 35, 1, 45, 35, 1, 45, 45, 1, 35, 45, 4]
    composite = roifile.ImagejRoi(
        name="d", roitype=roifile.ROI_TYPE.RECT, top=30, left=30, bottom=50, right=50, position=2,
        shape_roi_size=len(path), multi_coordinates=np.array(path, np.float32),
    )  # fmt: skip
    found = drawn(roi_set(tmp_path / "a.zip", rectangle, oval, triangle, composite), target())
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:6, 3:9] = 1
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    expected[((y - 15) / 5) ** 2 + ((x - 17) / 7) ** 2 <= 1] = 1
    np.testing.assert_array_equal(np.where(found[0] == 2, 0, found[0]), expected)
    inside = (found[0] == 2).sum()
    assert inside == pytest.approx(49.4, abs=3)  # area of the triangle
    ring = np.zeros(SHAPE, np.uint8)
    ring[30:50, 30:50], ring[35:45, 35:45] = 1, 0
    np.testing.assert_array_equal(found[1], ring)
    assert sorted(found) == [0, 1]


def square(name: str, top: int, left: int, side: int = 8, position: int | None = 0):
    corners = np.array([(left, top), (left + side, top), (left + side, top + side),
                        (left, top + side)])  # fmt: skip
    return roifile.ImagejRoi.frompoints(corners, name=name, position=position)


def test_overlapping_rois_are_refused_or_drawn_in_order(tmp_path):
    path = roi_set(tmp_path / "a.zip", square("one", 0, 0), square("two-defect", 6, 6))
    text = refusal(path)
    assert "ROI 'two-defect' overlaps ROI 'one' in 4 pixels of frame 0" in text
    assert "--overlap" in text
    label = drawn(path, target(overlap=True))[0]
    assert (label[6:8, 6:8] == 2).all()
    assert (label == 1).sum() == 60


def test_rois_that_fit_no_frame_are_refused(tmp_path):
    def one(name: str, **options) -> str:
        return refusal(roi_set(tmp_path / "a.zip", square(name, **options)))

    late = one("late", top=0, left=0, position=7)
    assert "ROI 'late' (slice 8) belongs to frame 7; film.tif has only frames 0 to 2" in late
    assert "mostly outside the frame, 0 of its 64 pixels" in one("far", top=200, left=300)
    assert "has no slice, and film.tif has 3 frames" in one(
        "anywhere", top=0, left=0, position=None
    )
    single = roi_set(tmp_path / "a.zip", square("x", 0, 0, position=None))
    assert drawn(single, target(1))[0].sum() == 64
    line = roifile.ImagejRoi(name="l", roitype=roifile.ROI_TYPE.LINE, x1=1, y1=1, x2=5, y2=5)
    assert "type line, which has no area" in refusal(roi_set(tmp_path / "b.zip", line))


# ---------------------------------------------------------------- COCO


def coco(path: Path, annotations: list, images=None, categories=None) -> Path:
    images = images or [{"id": 1, "file_name": "0000.png", "width": SHAPE[1], "height": SHAPE[0]}]
    categories = categories or [{"id": 7, "name": "Skyrmion"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def annotation(segmentation, category: int = 7, image: int = 1, key: int = 1) -> dict:
    return {"id": key, "image_id": image, "category_id": category, "segmentation": segmentation}


def test_masks_of_pycocotools_come_in(tmp_path):
    """Compressed run lengths, plain ones and polygons with several parts."""
    from pycocotools import mask as api

    mask = np.asfortranarray(scene(0)[1] == 1)
    packed = api.encode(mask.astype(np.uint8))
    packed["counts"] = packed["counts"].decode()
    flat = mask.reshape(-1, order="F")
    breaks = np.flatnonzero(np.diff(flat)) + 1
    plain = np.diff([0, *breaks, flat.size]).tolist()
    for shape in (packed, {"size": list(SHAPE), "counts": [0, *plain] if flat[0] else plain}):
        path = coco(tmp_path / "a.json", [annotation(shape)])
        np.testing.assert_array_equal(drawn(path, target())[0], mask)
    parts = [[2, 3, 9, 3, 9, 8, 2, 8], [20.3, 20.1, 40.9, 22.6, 31.2, 44.4]]
    inside = drawn(coco(tmp_path / "a.json", [annotation(parts)]), target())[0] > 0
    theirs = api.decode(api.merge(api.frPyObjects(parts, *SHAPE))) > 0
    border = np.zeros(SHAPE, bool)  # they round to fifths of a pixel: only outlines may differ
    for axis in (0, 1):
        border |= np.roll(inside, 1, axis) != np.roll(inside, -1, axis)
    assert not ((inside != theirs) & ~border).any()
    assert inside.sum() == pytest.approx(theirs.sum(), rel=0.05)


def test_an_image_without_annotations_has_no_objects(tmp_path):
    found = drawn(coco(tmp_path / "a.json", []), target())
    assert sorted(found) == [0]
    assert not found[0].any()


def test_a_single_category_becomes_the_class(tmp_path):
    box = annotation([[2, 3, 9, 3, 9, 8, 2, 8]], category=3)
    bubbles = [{"id": 3, "name": "bubble"}]
    assert (
        drawn(coco(tmp_path / "a.json", [box], categories=bubbles), target(default=2))[0].max() == 2
    )
    both = [box, annotation([[20, 20, 25, 20, 25, 25]], category=7)]
    text = refusal(
        coco(tmp_path / "a.json", both, categories=[*bubbles, {"id": 7, "name": "defect"}])
    )
    assert "category 'bubble' must be one of background, skyrmion, defect" in text


def test_coco_that_fits_no_frame_is_refused(tmp_path):
    path = tmp_path / "a.json"
    image = {"id": 1, "file_name": "0000.png", "width": 20, "height": 30}
    assert "image '0000.png' is 20x30 pixels, the frames of film.tif are 83x61" in refusal(
        coco(path, [], [image])
    )
    other = refusal(coco(path, [], [{**image, "file_name": "kerr/other.png"}]))
    assert "'kerr/other.png' is the name of no frame of film.tif (0000 to 0002): rename it" in other
    many = [{"id": k, "file_name": f"{k:04d}.png"} for k in range(4)]
    assert "holds masks of 4 frames, film.tif has 3" in refusal(coco(path, [], many))
    assert "a box is no mask" in refusal(coco(path, [annotation([])]))
    short = annotation({"size": list(SHAPE), "counts": [5, 6]})
    assert "must be numbers that add up to 5063 pixels" in refusal(coco(path, [short]))
    path.write_text("[[[")
    assert "is not a readable JSON file" in refusal(path)
    path.write_text("[]")
    assert "is not COCO JSON" in refusal(path)


# ---------------------------------------------------------------- label images


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4"])
def test_label_images_of_any_type_come_in(tmp_path, dtype):
    stack = np.stack([numbers(scene(k)[1]) for k in range(3)]).astype(dtype)
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    masks = open_masks(path, target())
    for k in range(3):
        one = masks[k]()
        np.testing.assert_array_equal(one.label, stack[k] > 0)
        assert one.objects == stack[k].max()


def test_seventy_thousand_objects_come_in(tmp_path):
    labels = np.zeros((600, 600), np.uint32)
    labels[::2, ::2] = np.arange(1, 90001).reshape(300, 300)
    labels[labels > 70_000] = 0
    tifffile.imwrite(tmp_path / "a.tif", labels)
    one = open_masks(tmp_path / "a.tif", target(1, labels.shape))[0]()
    assert one.objects == 70_000 == one.label.sum()


def test_class_indices_are_an_option(tmp_path):
    mask = scene(0)[1]
    tifffile.imwrite(tmp_path / "a.tif", mask)
    np.testing.assert_array_equal(drawn(tmp_path / "a.tif", target(1), class_indices=True)[0], mask)
    np.testing.assert_array_equal(drawn(tmp_path / "a.tif", target(1))[0], mask > 0)
    tifffile.imwrite(tmp_path / "a.tif", mask * 7)
    assert "holds class 14; classes are 0 to 4" in refusal(
        tmp_path / "a.tif", target(1), class_indices=True
    )


def test_a_folder_of_masks_is_matched_by_name(tmp_path):
    for k in (2, 0):
        Image.fromarray(numbers(scene(k)[1]).astype(np.uint16)).save(
            tmp_path / f"{number(k)}_cp_masks.png"
        )
    found = drawn(tmp_path, target())
    assert sorted(found) == [0, 2]
    for k, label in found.items():
        np.testing.assert_array_equal(label, scene(k)[1] == 1)


def test_label_files_of_spinscope_come_in(tmp_path):
    for k in range(3):
        write_label(tmp_path / f"{number(k)}.png", scene(k)[1])
    for k, label in drawn(tmp_path, target()).items():
        np.testing.assert_array_equal(label, scene(k)[1])


def test_label_images_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "a.tif"

    def after(array: np.ndarray) -> str:
        tifffile.imwrite(path, array, photometric="minisblack")
        return refusal(path)

    assert "is 20x30 pixels, the frames of film.tif are 83x61" in after(np.zeros((3, 30, 20), "u2"))
    assert "holds masks of 5 frames, film.tif has 3" in after(np.zeros((5, *SHAPE), "u2"))
    assert "a stack must have one mask per frame" in after(np.zeros((2, *SHAPE), "u2"))
    assert "span 0 to 0.5; a label image must hold whole numbers" in after(
        np.pad(np.full((3, 1, 1), 0.5, "f4"), [(0, 0), (0, SHAPE[0] - 1), (0, SHAPE[1] - 1)])
    )
    path.write_bytes(b"")
    assert "is empty; export the masks again" in refusal(path)
    path.unlink()
    assert "do not exist" in refusal(path)


# ---------------------------------------------------------------- cellpose


def seg(path: Path, masks: np.ndarray, **more) -> Path:
    """A file as cellpose writes it."""
    content = {
        "outlines": masks.astype(np.uint16),
        "colors": np.zeros((4, 3), np.uint8),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(4, bool),
        "filename": "C:\\data\\0001.tif",
        "flows": [np.zeros((3, 4), np.float32), [], None],
        "diameter": np.float32(17.5),
        "manual_changes": [["08/12/2026, 10:00:00", "added mask", [1, 2]]],
        **more,
    }
    np.save(path, content)
    return path


def test_masks_of_cellpose_come_in(tmp_path):
    labels = numbers(scene(1)[1])
    for dtype in (np.uint16, np.int32):
        path = seg(tmp_path / "0001_seg.npy", labels.astype(dtype))
        found = drawn(path, target())
        assert sorted(found) == [1]  # by the name of its image
        np.testing.assert_array_equal(found[1], labels > 0)
    assert sorted(drawn(tmp_path, target())) == [1]
    stack = np.stack([numbers(scene(k)[1]) for k in range(3)])
    np.save(tmp_path / "stack.npy", stack)
    assert sorted(drawn(tmp_path / "stack.npy", target())) == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(protocol):
    given = {"a": np.arange(6.0).reshape(2, 3), "b": [1, -2**40, "é", None, True, b"x", (1.5,)],
             "c": np.asfortranarray(np.arange(6, dtype=">u2").reshape(2, 3))}  # fmt: skip
    found = loads(pickle.dumps(given, protocol))
    arrays = {key: getattr(found[key], "value", found[key]) for key in "ac"}
    np.testing.assert_array_equal(arrays["a"], given["a"])
    np.testing.assert_array_equal(arrays["c"], given["c"])
    assert found["b"] == given["b"]


class Evil:
    """Writes a file when it is unpickled by `pickle`."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_pickle_is_executed(tmp_path):
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Evil(trace)))  # the threat is real
    trace.unlink()
    path = seg(tmp_path / "0001_seg.npy", numbers(scene(1)[1]), extra=Evil(trace))
    text = refusal(path)
    assert "names " in text and "open; only arrays, dictionaries" in text
    assert not trace.exists()
    with pytest.raises(Refused):
        loads(b"cbuiltins\neval\n(S'1'\ntR.")
    with pytest.raises(ValueError, match="no function"):
        loads(b"S'a'\n(S'1'\ntR.")


def test_files_of_numpy_that_hold_no_masks_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, {"outlines": 1})
    assert "must hold an array (H, W) or (n, H, W) of object numbers named masks" in refusal(path)
    np.save(path, np.zeros((4, *SHAPE), "u2"))
    assert "holds masks of 4 frames, film.tif has 3" in refusal(path)
    path.write_bytes(b"\x93NUMPY")
    assert "is not a readable NumPy file" in refusal(path)


def test_damaged_archives_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04")
    assert "is not a readable ROI set" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "no ROI")
    assert "holds no ROI" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.roi", b"Iout" + struct.pack(">h", 228) + bytes(70))
    assert "must have three finite corners" in refusal(path, target(1))
