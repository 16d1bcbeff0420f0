"""A recording becomes masks and tables; a kill or a full disk loses no finished frame."""

from __future__ import annotations

import errno
import json
import threading

import numpy as np
import pandas as pd
import pytest
import tifffile
from filelock import FileLock
from scipy.ndimage import gaussian_filter
from tests.inference.test_sample import film
from tests.live.conftest import Dark, dark

from spinscope.analysis.shapes import measure
from spinscope.classes import CLASSES, OUTSIDE
from spinscope.corpora.annotations import annotate
from spinscope.errors import SpinscopeError
from spinscope.inference.predict import Ensemble, Predictor
from spinscope.live import results as results_module
from spinscope.live.frame import measure_frame
from spinscope.live.pipeline import Stopped, segment_recording
from spinscope.live.results import Chunks, open_results
from spinscope.recordings import WatchedFolder, open_recording

SETTINGS = {"models": [{"ref": "stand-in", "sha256": "0"}]}
OTHER = {"models": [{"ref": "another", "sha256": "1"}]}


def run(path, out, predictor, **options):
    recording = open_recording(path, pixel_size=options.pop("pixel_size", 2e-7))
    options = {"settings": SETTINGS, "workers": 2, "chunk_frames": 4, **options}
    return segment_recording(recording, predictor, out, **options)


def test_masks_and_tables_are_those_of_each_frame(stack, frames, predictor, tmp_path):
    found = run(stack, tmp_path / "out/film", predictor)
    assert found.n_frames == len(frames)
    for k, (raw, mask) in enumerate(zip(frames, found.masks(), strict=True)):
        np.testing.assert_array_equal(mask, predictor.classes(raw))
        np.testing.assert_array_equal(mask, found.mask(k))
        rows = found.objects[found.objects["frame"] == k]
        expected = measure(mask == 1, raw)
        np.testing.assert_allclose(rows["diameter_px"], expected["diameter_px"])
        np.testing.assert_array_equal(rows["object"], np.arange(1, len(rows) + 1))
        np.testing.assert_allclose(rows["diameter_nm"], 200 * expected["diameter_px"])
        np.testing.assert_allclose(rows["contrast"], expected["contrast"] / 65_535)
    assert len(found.objects) > 50
    frames_table = found.frames
    assert list(frames_table["objects"]) == list(found.objects.groupby("frame").size())
    assert (
        (frames_table["uncertain_fraction"] >= 0) & (frames_table["uncertain_fraction"] < 0.5)
    ).all()
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "frames.csv", "frames.parquet", "masks.tif",
        "objects.csv", "objects.parquet", "summary.json",
    ]  # fmt: skip
    assert not list(found.folder.parent.glob("*.chunks"))


def test_csv_and_parquet_agree(stack, predictor, tmp_path):
    found = run(stack, tmp_path / "film", predictor)
    for table in ("objects", "frames"):
        text = pd.read_csv(found.folder / f"{table}.csv", dtype={"name": str})
        pd.testing.assert_frame_equal(
            text, pd.read_parquet(found.folder / f"{table}.parquet"), check_dtype=False
        )


def test_a_finished_recording_is_not_segmented_again(stack, tmp_path):
    class Once(Dark):
        calls = 0

        def __call__(self, batch):
            Once.calls += 1
            return super().__call__(batch)

    predictor = Predictor(Once(), dark().info)
    first = run(stack, tmp_path / "film", predictor)
    calls = Once.calls
    again = run(stack, tmp_path / "film", predictor)
    assert (calls, Once.calls) == (10, 10)
    assert again.summary == first.summary


def test_a_stopped_recording_gives_the_same_error_again(stack, predictor, tmp_path):
    content = stack.read_bytes()
    stack.write_bytes(content[: len(content) // 2])
    sentences = set()
    for _ in range(2):
        with pytest.raises(Stopped) as stopped:
            run(stack, tmp_path / "film", predictor)
        sentences.add(str(stopped.value))
    assert len(sentences) == 1
    assert not (tmp_path / "film.1").exists()


def test_other_settings_keep_the_earlier_results(stack, predictor, tmp_path):
    run(stack, tmp_path / "film", predictor)
    run(stack, tmp_path / "film", predictor, settings=OTHER)
    assert open_results(tmp_path / "film.1").summary["settings"]["models"] == SETTINGS["models"]
    assert open_results(tmp_path / "film").summary["previous"] == str(tmp_path / "film.1")
    assert open_results(tmp_path / "film").summary["settings"]["models"] == OTHER["models"]


class Dies(Dark):
    """A network that a kill interrupts at its sixth frame."""

    def __init__(self):
        super().__init__()
        self.calls, self.lock = 0, threading.Lock()

    def __call__(self, batch):
        with self.lock:
            self.calls += 1
            if self.calls > 6:
                raise KeyboardInterrupt
        return super().__call__(batch)


def test_a_killed_call_is_resumed(stack, predictor, tmp_path):
    whole = run(stack, tmp_path / "whole/film", predictor)
    with pytest.raises(KeyboardInterrupt):
        run(stack, tmp_path / "film", Predictor(Dies(), predictor.info), chunk_frames=2, workers=1)
    assert not (tmp_path / "film").exists()
    told = []
    found = run(stack, tmp_path / "film", predictor, chunk_frames=2, on_frame=told.append)
    assert told[0] >= 4
    timing = found.summary["timing"]
    assert timing["frames"] == 10  # those before the interruption count
    assert timing["seconds"] == pytest.approx(10 / timing["frames_per_s"], rel=1e-3)
    assert sum(timing["ms_per_frame"].values()) > 0
    pd.testing.assert_frame_equal(found.objects, whole.objects)
    assert all((a == b).all() for a, b in zip(found.masks(), whole.masks(), strict=True))


def test_chunks_of_other_settings_are_not_resumed(stack, predictor, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(stack, tmp_path / "film", Predictor(Dies(), predictor.info), chunk_frames=2)
    found = run(stack, tmp_path / "film", predictor, settings=OTHER)
    assert found.summary["timing"]["frames"] == 10


def test_a_stack_cut_off_keeps_the_frames_before(stack, frames, predictor, tmp_path):
    content = stack.read_bytes()
    stack.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(Stopped, match=r"film\.tif.*frames before it are kept in") as stopped:
        run(stack, tmp_path / "out", predictor)
    kept = open_results(tmp_path / "out")
    assert 0 < kept.n_frames < 10
    assert f"the {kept.n_frames} frames" in str(stopped.value)
    assert kept.summary["error"]
    np.testing.assert_array_equal(
        kept.mask(kept.n_frames - 1), predictor.classes(frames[kept.n_frames - 1])
    )


@pytest.mark.parametrize("damaged", [[0], [4], [9], [3, 4]])
@pytest.mark.parametrize("kind", ["folder", "stack"])
def test_an_unreadable_frame_costs_only_itself(frames, predictor, tmp_path, kind, damaged):
    folder = tmp_path / "shots"
    if kind == "folder":
        folder.mkdir()
        for k, frame in enumerate(frames):
            tifffile.imwrite(folder / f"{k:04d}.tif", frame)
        for k in damaged:
            (folder / f"{k:04d}.tif").write_bytes(b"")
    else:
        folder = tmp_path / "shots.tif"
        tifffile.imwrite(folder, frames, compression="zlib", metadata=None)
        with tifffile.TiffFile(folder) as file:
            offsets = [page.dataoffsets[0] for page in file.pages]
        whole = bytearray(folder.read_bytes())
        for k in damaged:
            whole[offsets[k] : offsets[k] + 40] = bytes(40)
        folder.write_bytes(whole)
    found = run(folder, tmp_path / "out", predictor)
    assert found.n_frames == 10
    lost = found.summary["unreadable"]
    assert [row["frame"] for row in lost] == damaged
    assert [row["name"] for row in lost] == [f"{k:04d}" for k in damaged]
    assert f"{len(damaged)} frame" in found.summary["warnings"][0]
    good = [k for k in range(10) if k not in damaged]
    for k in good:
        np.testing.assert_array_equal(found.mask(k), predictor.classes(frames[k]))
    rows = found.frames
    assert (rows["objects"][good] > 0).all()
    assert (rows["objects"][damaged] == 0).all()
    assert (rows["sample_fraction"][damaged] == 0).all()
    assert rows["diameter_px_mean"][damaged].isna().all()
    mean = rows["objects"][good].mean()
    assert found.summary["statistics"]["objects_per_frame"] == pytest.approx(mean, rel=1e-4)
    json.dumps(found.summary, allow_nan=False)
    assert run(folder, tmp_path / "out", predictor).summary == found.summary


def test_a_recording_without_a_readable_frame_is_refused(frames, predictor, tmp_path):
    (tmp_path / "shots").mkdir()
    tifffile.imwrite(tmp_path / "shots/a.tif", frames[0])
    recording = open_recording(tmp_path / "shots")
    (tmp_path / "shots/a.tif").write_bytes(b"")
    with pytest.raises(SpinscopeError, match=r"a\.tif is not a readable TIFF"):
        segment_recording(recording, predictor, tmp_path / "out", settings=SETTINGS)


def test_a_full_disk_keeps_the_chunks_before(stack, predictor, tmp_path, monkeypatch):
    whole = results_module._write_masks
    written = []

    def full(path, *rest):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        whole(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(results_module, "_write_masks", full)
        with pytest.raises(SpinscopeError, match="No space left on device; the 8 frames before"):
            run(stack, tmp_path / "film", predictor)
    told = []
    assert run(stack, tmp_path / "film", predictor, on_frame=told.append).n_frames == 10
    assert told[0] == 8


def test_a_full_disk_at_the_end_leaves_the_earlier_results(stack, predictor, tmp_path, monkeypatch):
    before = run(stack, tmp_path / "film", predictor).summary

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    other = {"settings": OTHER}
    with monkeypatch.context() as patch:
        patch.setattr(results_module, "_merge_tables", full)
        with pytest.raises(OSError, match="No space left"):
            run(stack, tmp_path / "film", predictor, **other)
    assert open_results(tmp_path / "film").summary == before
    told = []
    run(stack, tmp_path / "film", predictor, **other, on_frame=told.append)
    assert told[0] == 10  # nothing is computed twice


def test_two_programs_do_not_write_one_folder(stack, predictor, tmp_path):
    with (
        FileLock(tmp_path / ".film.lock"),
        pytest.raises(SpinscopeError, match="film is in use by"),
    ):
        run(stack, tmp_path / "film", predictor)
    assert run(stack, tmp_path / "film", predictor).n_frames == 10


def test_a_recording_without_objects(tmp_path, predictor):
    path = tmp_path / "flat.tif"
    flat = np.full((3, 32, 40), 700, dtype=np.uint16)
    tifffile.imwrite(path, flat, photometric="minisblack")
    found = run(path, tmp_path / "out", predictor)
    assert len(found.objects) == 0
    assert list(found.frames["objects"]) == [0, 0, 0]
    assert found.frames["diameter_px_mean"].isna().all()
    assert found.summary["statistics"]["diameter_px_mean"] is None
    json.dumps(found.summary, allow_nan=False)


def watched(folder, out, predictor, count, **options):
    """Watch a folder until `count` frames are done in all."""
    done: list[int] = [0]
    recording = WatchedFolder(folder, settle=0.02, poll=0.01, stop=lambda: done[-1] >= count)
    return segment_recording(
        recording,
        predictor,
        out,
        settings=SETTINGS,
        chunk_frames=2,
        on_frame=done.append,
        **options,
    )


def test_a_watched_folder_is_taken_frame_by_frame(tmp_path, frames, predictor):
    folder = tmp_path / "camera"
    folder.mkdir()

    def camera():
        for k, frame in enumerate(frames[:5]):
            tifffile.imwrite(folder / f"shot{k:03d}.tif", frame)

    thread = threading.Thread(target=camera)
    thread.start()
    found = watched(folder, tmp_path / "out", predictor, 5)
    thread.join()
    assert found.n_frames == 5
    assert list(found.frames["name"]) == [f"shot{k:03d}" for k in range(5)]
    np.testing.assert_array_equal(found.recording().read(3), frames[3])
    (folder / "shot003.tif").unlink()
    with pytest.raises(SpinscopeError, match="'shot003' is no longer there"):
        found.recording()


def test_names_in_a_watched_folder_say_what_was_applied(tmp_path, frames, predictor):
    """The first frame decides the columns; the folder has the values that are the same for all."""
    folder = tmp_path / "camera_295K"
    folder.mkdir()
    for k, name in enumerate(("a_-12.5mT", "b_3mT", "c")):
        tifffile.imwrite(folder / f"{name}.tif", frames[k])
    watched(folder, tmp_path / "out", predictor, 2)
    found = watched(folder, tmp_path / "out", predictor, 3)  # resumed
    np.testing.assert_array_equal(found.applied["field_mt"], [-12.5, 3, np.nan])
    assert set(found.applied["temperature_k"]) == {295}
    assert "field_mt" in found.objects


def test_a_watch_is_resumed(tmp_path, frames, predictor):
    """Also where earlier frames were moved, and later ones sort before them."""
    folder = tmp_path / "camera"
    folder.mkdir()
    for k in (5, 6):
        tifffile.imwrite(folder / f"shot.{k}.tif", frames[k])
    assert watched(folder, tmp_path / "out", predictor, 2).n_frames == 2
    (folder / "shot.5.tif").unlink()
    tifffile.imwrite(folder / "shot1.tif", frames[1])
    found = watched(folder, tmp_path / "out", predictor, 3)
    assert list(found.frames["name"]) == ["shot.5", "shot.6", "shot1"]
    np.testing.assert_array_equal(found.mask(2), predictor.classes(frames[1]))
    same = watched(folder, tmp_path / "out", predictor, 0)
    assert same.n_frames == 3
    assert same.summary["recording"]["shape_px"] == [64, 72]
    assert not (tmp_path / "out.1").exists()
    tifffile.imwrite(folder / "small.tif", frames[2][:40])
    found = watched(folder, tmp_path / "out", predictor, 4)  # another size than the frames before
    assert [row["name"] for row in found.summary["unreadable"]] == ["small"]
    assert "72x40" in found.summary["warnings"][0]
    tifffile.imwrite(folder / "shot2.tif", frames[2])
    found = watched(folder, tmp_path / "out", predictor, 5)
    assert (found.n_frames, len(found.summary["unreadable"])) == (5, 1)


def test_a_folder_that_vanishes_keeps_its_frames(tmp_path, frames, predictor):
    folder = tmp_path / "camera"
    folder.mkdir()
    for k in range(3):
        tifffile.imwrite(folder / f"shot{k}.tif", frames[k])

    def gone(done):
        if done == 3:
            folder.rename(tmp_path / "away")

    recording = WatchedFolder(folder, settle=0.02, poll=0.01)
    with pytest.raises(Stopped, match=r"vanished while it was watched.*the 3 frames before it"):
        segment_recording(recording, predictor, tmp_path / "out", settings=SETTINGS, on_frame=gone)
    assert open_results(tmp_path / "out").n_frames == 3


def test_several_networks_give_error_bars(frames):
    """Two networks that disagree on the blurred rim of the discs, by twice its width in each."""
    raw = gaussian_filter(frames[0].astype(np.float32), 2)
    low, high = (measure_frame(raw, dark(level), scale=65_535) for level in (-1.2, -0.4))
    assert not any(key.endswith("_sd_views") for key in low.objects)
    both = measure_frame(raw, Ensemble.of([dark(-1.2), dark(-0.4)]), scale=65_535)
    assert (both.objects["fraction_of_views"] == 1).all()
    spread = np.abs(low.objects["area_px"] - high.objects["area_px"]) / np.sqrt(2)
    np.testing.assert_allclose(both.objects["area_px_sd_views"], spread)
    assert both.objects["area_px_sd_views"].min() > 1
    assert both.objects["contrast_sd_views"].max() < 0.2
    change = abs(low.row["diameter_px_mean"] - high.row["diameter_px_mean"])
    assert both.row["diameter_px_mean_sd_views"] == pytest.approx(change / np.sqrt(2))


def test_error_bars_follow_the_rule_of_the_model(frames):
    """A network whose objects are all dropped adds no scatter."""
    found, none = dark(), dark(-1e3)
    row = measure_frame(frames[0], Ensemble.of([found, none]), scale=65_535).row
    assert row["objects_sd_views"] > 0
    strict = Predictor(found.engine, {**found.info, "min_peak_probability": 1.01})
    row = measure_frame(frames[0], Ensemble.of([strict, none]), scale=65_535).row
    assert row["objects"] == 0 and row["objects_sd_views"] == 0


def test_a_large_frame_is_measured_like_a_small_one(frames, predictor):
    """A frame in tiles has the same mask, and no error bars."""
    from spinscope.inference.tiling import Tiling

    raw = np.tile(frames[0], (2, 3))
    tiles = Predictor(predictor.engine, predictor.info, Tiling(64, 16))
    whole, parts = (measure_frame(raw, p, scale=65_535) for p in (predictor, tiles))
    np.testing.assert_array_equal(whole.mask, parts.mask)
    assert parts.row["uncertain_fraction"] == pytest.approx(
        whole.row["uncertain_fraction"], abs=1e-6
    )


def test_a_folder_without_summary_is_refused(tmp_path):
    with pytest.raises(SpinscopeError, match=r"holds no summary\.json"):
        open_results(tmp_path)


def test_a_recording_that_changed_is_not_taken_for_the_old_one(stack, predictor, tmp_path):
    found = run(stack, tmp_path / "film", predictor)
    np.testing.assert_array_equal(found.recording().read(2), open_recording(stack).read(2))
    tifffile.imwrite(stack, np.zeros((2, 32, 32), dtype=np.uint16))
    with pytest.raises(SpinscopeError, match="has changed since"):
        found.recording()


def test_only_consecutive_chunks_are_used(tmp_path):
    folder = tmp_path / "p"
    Chunks(folder, {})
    for name in ("00000000-00000003", "00000004-00000005", "00000008-00000009"):
        (folder / name).mkdir()
    assert Chunks(folder, {}).n_frames == 6
    assert not (folder / "00000008-00000009").exists()
    (folder / "settings.json").unlink()
    assert Chunks(folder, {}).n_frames == 0  # nobody knows what they were made with


def test_networks_of_different_grids_use_the_same_tiles(frames, predictor):
    from spinscope.inference.tiling import Tiling

    raw = np.tile(frames[0], (2, 3))
    two = Ensemble.of(
        [
            Predictor(Dark(level), predictor.info | {"size_multiple": grid}, Tiling(96, 16))
            for level, grid in ((-1.0, 8), (-1.1, 16))
        ]
    )
    whole = Ensemble.of([Predictor(one.engine, one.info) for one in two.members])
    np.testing.assert_array_equal(measure_frame(raw, two).mask, measure_frame(raw, whole).mask)


def test_an_information_bar_changes_nothing_about_the_film(tmp_path):
    images = [film(k, snr=4) for k in range(3)]
    barred = [annotate(image, np.random.default_rng(1), side="bottom") for image in images]
    (bar,) = np.unique([np.argmax(frame.bar.any(axis=1)) for frame in barred])
    for name, stack in (
        ("barred", [f.image for f in barred]),
        ("plain", [i[:bar] for i in images]),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.stack(stack), photometric="minisblack")
    found = run(tmp_path / "barred.tif", tmp_path / "out/barred", dark(-2), region="auto")
    expected = run(tmp_path / "plain.tif", tmp_path / "out/plain", dark(-2), region="auto")
    assert len(found.objects) > 15
    pd.testing.assert_frame_equal(found.objects, expected.objects)
    pd.testing.assert_frame_equal(
        found.frames.drop(columns="sample_fraction"),
        expected.frames.drop(columns="sample_fraction"),
    )
    np.testing.assert_allclose(found.frames["sample_fraction"], bar / len(images[0]))
    assert (expected.frames["sample_fraction"] == 1).all()
    (part,) = found.summary["left_out"]
    assert (part["kind"], part["y0"], part["y1"]) == ("information bar", bar, len(images[0]))
    assert found.classes == CLASSES and expected.summary["left_out"] == []
    assert all((mask[bar:] == OUTSIDE).all() for mask in found.masks())
    whole = run(tmp_path / "barred.tif", tmp_path / "out/whole", dark(-2))
    assert (whole.objects["y1_px"] > bar).any() and (found.objects["y1_px"] <= bar).all()


def test_a_watched_folder_keeps_its_region(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for k in range(2):
        frame = annotate(film(k, snr=4), np.random.default_rng(1), side="top")
        tifffile.imwrite(folder / f"{k}.tif", frame.image, photometric="minisblack")
        watched = WatchedFolder(folder, settle=0, poll=0.01, idle=0.1)
        found = segment_recording(
            watched, dark(-2), tmp_path / "out", settings=SETTINGS, region="auto"
        )
        assert found.n_frames == k + 1
        assert len(set(found.frames["sample_fraction"])) == 1
        assert [part["kind"] for part in found.summary["left_out"]] == ["information bar"]
        assert (found.mask(k)[frame.bar] == OUTSIDE).all()


def test_a_crop_cuts_objects_as_the_border_does(stack, frames, predictor, tmp_path):
    found = run(stack, tmp_path / "crop", predictor, region="8,4,56,60")
    for k, raw in enumerate(frames):
        mask = predictor.classes(raw[8:56, 4:60])
        expected = measure(mask == 1, raw[8:56, 4:60])
        rows = found.objects[found.objects["frame"] == k]
        np.testing.assert_array_equal(rows["touches_border"], expected["touches_border"])
        np.testing.assert_allclose(rows["y_px"], expected["y_px"] + 8)
        assert found.frames["area_fraction"][k] == pytest.approx((mask == 1).mean())
