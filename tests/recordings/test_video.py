"""Videos: luma, order, random access, and frames that are broken."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from spinscope.recordings import RecordingError, open_recording

H, W, N = 48, 64, 24
LOSSLESS = {
    "gray.avi": ("rawvideo", "gray"),
    "colour.avi": ("rawvideo", "bgr24"),
    "ffv1.avi": ("ffv1", "gray"),
    "ffv1.mkv": ("ffv1", "gray"),
    "png.mov": ("png", "gray"),
}
LOSSY = {"h264.mp4": ("libx264", "yuv420p"), "mjpeg.avi": ("mjpeg", "yuvj420p")}


def grey(n: int = N, shape=(H, W)) -> np.ndarray:
    """A bright block that moves over a ramp, with noise; its position encodes the frame."""
    rng = np.random.default_rng(3)
    frames = np.repeat(np.linspace(20, 180, shape[1], dtype=np.uint8)[None, None], n, 0)
    frames = np.repeat(frames, shape[0], 1) + rng.integers(0, 8, (n, *shape)).astype(np.uint8)
    for k in range(n):
        frames[k, 8:16, 2 * k : 2 * k + 12] = 250
    return frames


def record(path: Path, codec: str, pixels: str, frames: np.ndarray, rate: int = 20) -> Path:
    with av.open(str(path), "w") as container:
        recording = container.add_stream(codec, rate=rate)
        recording.height, recording.width, recording.pix_fmt = *frames.shape[1:3], pixels
        kind = {np.uint8: "gray", np.uint16: "gray16le"}[frames.dtype.type]
        for frame in frames:
            container.mux(recording.encode(av.VideoFrame.from_ndarray(frame, format=kind)))
        container.mux(recording.encode())
    return path


def packets(path: Path) -> list[tuple[int, int]]:
    """(position in the file, bytes) of every packet, in order of presentation."""
    with av.open(str(path)) as container:
        found = [(p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size]
    return [row[1:] for row in sorted(found)]


def spoil(path: Path, index: int) -> None:
    """Overwrite most of one frame's bytes."""
    place, size = packets(path)[index]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(1).integers(0, 256, size - size // 4).astype(np.uint8)
    data[place + size // 4 : place + size] = noise.tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize("name", LOSSLESS)
def test_grey_levels_come_back_exactly(tmp_path, name):
    frames = grey()
    recording = open_recording(record(tmp_path / name, *LOSSLESS[name], frames))
    assert (recording.n, recording.shape, recording.scale) == (N, (H, W), 255)
    assert recording.interval == pytest.approx(1 / 20)
    assert recording.pixel_size is None
    got = list(recording.frames())
    assert [index for index, _ in got] == list(range(N))
    np.testing.assert_array_equal(np.stack([pixels for _, pixels in got]), frames)


@pytest.mark.parametrize("name", LOSSY)
def test_luma_has_the_full_range(tmp_path, name):
    """A codec's range of 16 to 235 is stretched to 0 to 255 again."""
    frames = np.repeat(np.linspace(0, 255, 8, dtype=np.uint8), 8)[None, None].repeat(H, 1)
    frames = frames.repeat(6, 0)
    recording = open_recording(record(tmp_path / name, *LOSSY[name], frames))
    pixels = recording.read(3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[:, 4::8].astype(int), frames[0, :, 4::8], atol=3)


def test_16_bit_videos_keep_their_bits(tmp_path):
    frames = (grey(8).astype(np.uint16) << 8) + 77
    recording = open_recording(record(tmp_path / "deep.mkv", "ffv1", "gray16le", frames))
    assert (recording.n, recording.scale) == (8, 65535)
    np.testing.assert_array_equal(np.stack([p for _, p in recording.frames()]), frames)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_any_frame_is_the_one_of_the_sequence(tmp_path, name):
    kind = (LOSSLESS | LOSSY)[name]
    recording = open_recording(record(tmp_path / name, *kind, grey()))
    whole = dict(recording.frames())
    for index in (5, 6, 7, 23, 0, 12, 22, 3):
        np.testing.assert_array_equal(recording.read(index), whole[index])
    for start in (0, 1, 11, 23):
        part = dict(recording.frames(start))
        assert list(part) == list(range(start, N))
        np.testing.assert_array_equal(part[start], whole[start])


def test_a_jump_lands_on_the_frame_between_distant_key_frames(tmp_path):
    """Frames that are coded out of order, a key frame every 12."""
    frames = grey(120, (H, 2 * 120 + 12 + 4))
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        recording = container.add_stream("libx264", rate=25, options={"g": "12", "bf": "3"})
        recording.height, recording.width, recording.pix_fmt = *frames.shape[1:], "yuv420p"
        for frame in frames:
            container.mux(recording.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(recording.encode())
    video = open_recording(path)
    for index in (100, 2, 85, 83, 84, 12, 11, 119):
        row = video.read(index)[12].astype(int)
        assert abs(np.flatnonzero(row > 215).mean() - (2 * index + 5.5)) < 1


@pytest.mark.parametrize("name", ["png.mov", "ffv1.avi", "mjpeg.avi", "h264.mp4"])
def test_a_broken_frame_is_named_and_those_before_it_come_back(tmp_path, name):
    path = record(tmp_path / name, *(LOSSLESS | LOSSY)[name], grey())
    whole = dict(open_recording(path).frames())
    spoil(path, 13)
    with pytest.raises(
        RecordingError, match=rf"{name}: frame \d+ of 24 cannot be decoded"
    ) as error:
        list(open_recording(path).frames())
    got = collect(open_recording(path))
    assert error.value.index == len(got)
    # H.264 codes frames out of order: the one that breaks may take up to three before it along
    assert 10 <= len(got) <= 13 if name == "h264.mp4" else len(got) == 13
    for index, pixels in got.items():
        np.testing.assert_array_equal(pixels, whole[index])
    with pytest.raises(RecordingError):
        open_recording(path).read(13)


def collect(recording) -> dict:
    got = {}
    try:
        for index, pixels in recording.frames():
            got[index] = pixels
    except RecordingError:
        pass
    return got


def test_behind_a_broken_frame_the_video_goes_on(tmp_path):
    path = record(tmp_path / "b.avi", *LOSSY["mjpeg.avi"], grey())
    whole = dict(open_recording(path).frames())
    spoil(path, 13)
    rest = dict(open_recording(path).frames(14))
    assert list(rest) == list(range(14, N))
    np.testing.assert_array_equal(rest[20], whole[20])


@pytest.mark.parametrize("name", ["gray.avi", "mjpeg.avi"])
def test_a_video_that_is_cut_off_says_after_how_many_frames(tmp_path, name):
    path = record(tmp_path / name, *(LOSSLESS | LOSSY)[name], grey())
    place, size = packets(path)[15]
    path.write_bytes(path.read_bytes()[: place + size])
    recording = open_recording(path)
    assert recording.n == N
    got = []
    with pytest.raises(RecordingError, match=r"cut off: it ends after 1[56] of 24 frames") as error:
        for _, pixels in recording.frames():
            got.append(pixels)
    assert error.value.index == len(got) in (15, 16)


def test_a_video_without_its_index_is_named(tmp_path):
    path = record(tmp_path / "a.mp4", *LOSSY["h264.mp4"], grey())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordingError, match=r"a\.mp4 is not a readable video: Invalid data"):
        open_recording(path)


def test_a_playlist_in_a_videos_clothes_opens_nothing(tmp_path):
    record(tmp_path / "a.mp4", *LOSSY["h264.mp4"], grey())
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    with pytest.raises(RecordingError, match=r"b\.mp4 is not a readable video"):
        open_recording(tmp_path / "b.mp4")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        recording = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(recording.encode(sound))
        container.mux(recording.encode())
    with pytest.raises(RecordingError, match=r"a\.mp4 holds no video"):
        open_recording(tmp_path / "a.mp4")
