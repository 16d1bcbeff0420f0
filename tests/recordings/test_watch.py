"""A folder that a camera fills: every frame is read once, complete and in order."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from spinscope.recordings import RecordingError, WatchedFolder, open_recording

SHAPE = (16, 24)
QUICK = {"settle": 0.15, "poll": 0.01}


def frame(k: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 65536, shape).astype(np.uint16)


def save(folder, k: int, **more) -> None:
    Image.fromarray(frame(k, **more)).save(folder / f"f{k}.png")


def in_background(call) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_frames_come_as_they_appear(tmp_path):
    for k in (8, 9, 10):
        save(tmp_path, k)

    def camera():
        for k in range(11, 16):
            time.sleep(0.02)
            save(tmp_path, k)

    recording = WatchedFolder(tmp_path, idle=0.3, **QUICK)
    thread = in_background(camera)
    got = list(recording.frames())
    thread.join()
    assert [index for index, _ in got] == list(range(8))
    assert [recording.names(index) for index, _ in got] == [f"f{k}" for k in range(8, 16)]
    for index, pixels in got:
        np.testing.assert_array_equal(pixels, frame(8 + index))
    assert (recording.n, recording.shape, recording.scale) == (None, SHAPE, 65535)
    np.testing.assert_array_equal(recording.read(2), frame(10))
    assert [index for index, _ in WatchedFolder(tmp_path, idle=0.0, **QUICK).frames(6)] == [6, 7]


def test_the_shape_waits_for_the_first_frame(tmp_path):
    recording = WatchedFolder(tmp_path, idle=2.0, **QUICK)
    thread = in_background(lambda: (time.sleep(0.05), save(tmp_path, 0)))
    assert recording.shape == SHAPE
    thread.join()
    index, pixels = next(recording.frames())
    assert index == 0
    np.testing.assert_array_equal(pixels, frame(0))


def test_a_file_is_taken_when_it_is_whole_and_none_overtakes_it(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    whole = (tmp_path / "f1.png").read_bytes()
    (tmp_path / "f1.png").write_bytes(whole[:100])

    def camera():  # slower than `settle` in all, but never still for so long
        for stop in (200, 300, 400, len(whole)):
            time.sleep(0.08)
            (tmp_path / "f1.png").write_bytes(whole[:stop])

    thread = in_background(camera)
    recording = WatchedFolder(tmp_path, idle=0.4, **QUICK)
    got = list(recording.frames())
    thread.join()
    assert [recording.names(index) for index, _ in got] == ["f1", "f2"]
    np.testing.assert_array_equal(got[0][1], frame(1))


def test_a_file_that_settles_and_is_no_frame_is_named_and_the_next_one_follows(tmp_path):
    for k in range(3):
        save(tmp_path, k)
    (tmp_path / "f1.png").write_bytes((tmp_path / "f1.png").read_bytes()[:300])
    recording = WatchedFolder(tmp_path, idle=0.3, **QUICK)
    got = []
    with pytest.raises(RecordingError, match=r"f1\.png is truncated") as error:
        for pair in recording.frames():
            got.append(pair[0])
    assert (got, error.value.index) == ([0], 1)
    assert [index for index, _ in recording.frames(2)] == [2]


def test_another_size_is_named(tmp_path):
    save(tmp_path, 0)
    save(tmp_path, 1, shape=(32, 24))
    with pytest.raises(RecordingError, match=r"f1\.png: frame 1 is 24x32 pixels") as error:
        list(WatchedFolder(tmp_path, idle=0.5, **QUICK).frames())
    assert error.value.index == 1


def test_a_folder_that_vanishes_ends_the_recording_with_a_sentence(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    save(folder, 0)
    save(folder, 1)
    recording = WatchedFolder(folder, **QUICK)
    got = []
    with pytest.raises(RecordingError, match="camera vanished while it was watched; 2 fr") as error:
        for index, _ in recording.frames():
            got.append(index)
            if index == 1:
                shutil.rmtree(folder)
    assert (got, error.value.index) == ([0, 1], 2)


def test_the_watch_ends_on_request(tmp_path):
    for k in range(5):
        save(tmp_path, k)
    seen = []
    recording = WatchedFolder(tmp_path, stop=lambda: len(seen) == 3, **QUICK)
    for index, _ in recording.frames():
        seen.append(index)
    assert seen == [0, 1, 2]


def test_a_watch_without_a_frame_is_an_error(tmp_path):
    recording = WatchedFolder(tmp_path, idle=0.02, **QUICK)
    assert list(recording.frames()) == []
    with pytest.raises(RecordingError, match="no frame came before the watch ended"):
        _ = recording.shape


def test_only_a_folder_can_be_watched(tmp_path):
    with pytest.raises(RecordingError, match="is not a folder"):
        WatchedFolder(tmp_path / "none")
    with pytest.raises(RecordingError, match=r"settle \(=-1\)"):
        WatchedFolder(tmp_path, settle=-1)


def test_a_watched_folder_holds_what_the_folder_holds(tmp_path):
    for k in (2, 10, 1):
        save(tmp_path, k)
    (tmp_path / ".f5.png.part").write_bytes(b"x")
    watched = [pixels for _, pixels in WatchedFolder(tmp_path, idle=0.0, **QUICK).frames()]
    np.testing.assert_array_equal(
        np.stack(watched), np.stack([p for _, p in open_recording(tmp_path).frames()])
    )
