"""A raw recording becomes a clean one; bad input is refused, finished frames are kept."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.intake.conftest import raw

from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.intake.cleaning import Cleaner
from spinscope.intake.pipeline import Stopped, clean_recording
from spinscope.recordings import RecordingError, open_recording
from spinscope.recordings.array import ArrayRecording


def write(path, frames, **more):
    """Write an ImageJ stack of pixels of 200 nm, 50 ms apart."""
    metadata = {"unit": "um", "finterval": 0.05, "axes": "TYX"}
    tifffile.imwrite(
        path, frames, imagej=True, resolution=(5.0, 5.0), metadata=metadata | more
    )  # fmt: skip
    return path


def contrast(clean):
    """Contrast (n, H, W) of the frames of a clean recording."""
    recording = open_recording(clean.path)
    frames = np.stack([recording.read(k) for k in range(recording.n)])
    return (frames / 65535.0 - 0.5) * 2 * clean.recipe["settings"]["span"]


@pytest.fixture(scope="module")
def series():
    return raw(12, (128, 160), stripe=0.01, noise=0.015, drift=6)


@pytest.fixture
def file(series, tmp_path):
    (tmp_path / "raw").mkdir()
    return write(tmp_path / "raw/film.tif", series.frames)


@pytest.mark.parametrize("reference", ["first", "mean"])
def test_contrast_and_drift_are_those_of_the_truth(file, series, settings, tmp_path, reference):
    before = sha256(file)
    clean = clean_recording(open_recording(file), tmp_path / "clean", settings, reference)
    truth = series.contrast
    if reference == "mean":
        truth = (1 + truth) / (1 + truth).mean(axis=0) - 1
    inner = slice(None), slice(12, -12), slice(12, -12)
    residual = (contrast(clean) - truth)[inner]
    assert residual.std() < 1.2 * np.hypot(0.015, 0.015) / 0.85  # noise of frame and reference
    table = clean.table
    drift = table[["drift_y_px", "drift_x_px"]].to_numpy() - series.drift
    assert np.sqrt(np.mean(drift**2)) < 0.05
    assert table["intensity"].to_numpy() == pytest.approx(truth.mean(axis=(1, 2)), abs=0.006)
    assert sha256(file) == before == clean.recipe["raw"]["sha256"]
    assert clean.recipe["hot_pixels"] == pytest.approx(series.hot.sum(), abs=2)
    opened = open_recording(clean.path)
    assert (opened.n, opened.shape, opened.scale) == (12, (128, 160), 65535)
    assert (opened.pixel_size, opened.interval) == pytest.approx((200e-9, 0.05))
    assert tifffile.TiffFile(clean.path).is_bigtiff


def test_the_first_frames_as_the_reference_have_less_noise(settings, tmp_path):
    series = raw(8, (128, 160), kerr=0, noise=0.02, light=0, drift=2)
    plain = settings.model_copy(update={"light_order": 0, "stripes": "none"})
    spread = {}
    for words in ("first", "first:4"):
        clean = clean_recording(ArrayRecording(series.frames), tmp_path / words, plain, words)
        spread[words] = contrast(clean)[6, 12:-12, 12:-12].std()
        assert clean.recipe["reference"]["kind"] == words
    assert spread["first:4"] < 0.9 * spread["first"]


def test_a_reference_file_its_mean_and_the_recipe(file, series, settings, tmp_path):
    flat = raw(6, (128, 160), stripe=0.01, noise=0.015, kerr=0, drift=1, light=0.01)
    reference = open_recording(write(tmp_path / "flat.tif", flat.frames))
    clean = clean_recording(open_recording(file), tmp_path / "clean", settings, reference)
    recipe = json.loads((tmp_path / "clean/film.intake.json").read_text())
    assert recipe == clean.recipe
    assert recipe["reference"] == {
        "kind": "file", "file": str(tmp_path / "flat.tif"), "sha256": sha256(tmp_path / "flat.tif")
    }  # fmt: skip
    assert recipe["error"] is None and recipe["lost"] == []
    # The film is at -1 first and at +1 last, against a reference without magnetisation.
    level = clean.table["intensity"]
    assert level.iloc[-1] - level.iloc[0] == pytest.approx(0.04, abs=0.008)
    assert level.iloc[0] == pytest.approx(-0.02, abs=0.008)


def test_crop_regions_average_and_calibration(file, series, settings, tmp_path):
    changed = settings.model_copy(
        update={
            "average": 3, "crop": "16,20,112,140", "regions": {"pad": "20,20,60,60"},
            "pixel_size_nm": 125.0, "interval_s": 0.2,
        }
    )  # fmt: skip
    recording = open_recording(file)
    recording.applied = {"field_mt": np.arange(12.0), "time_s": np.full(12, np.nan)}
    clean = clean_recording(recording, tmp_path / "clean", changed)
    opened, table = open_recording(clean.path), clean.table
    assert (opened.n, opened.shape) == (4, (96, 120))
    assert (opened.pixel_size, opened.interval) == pytest.approx((125e-9, 0.6))
    assert list(table) == [
        "frame", "field_mt", "time_s", "drift_y_px", "drift_x_px", "intensity", "intensity_pad"
    ]  # fmt: skip
    assert table["field_mt"].tolist() == [1, 4, 7, 10]
    assert table["time_s"].isna().all()
    got = contrast(clean)[:, 4:44, :40].mean(axis=(1, 2))
    assert table["intensity_pad"].to_numpy() == pytest.approx(got, abs=1e-4)


def test_a_region_without_film_takes_changes_of_the_lamp_away(settings, tmp_path):
    series = raw(8, (128, 160), drift=0, noise=0.005, light=0)
    lamp = 1 + 0.05 * np.sin(np.arange(8))[:, None, None]
    truth = series.contrast.copy()
    film = np.ones((128, 160))
    film[:, :40] = 0
    still = np.rint(raw(1, (128, 160), drift=0, noise=0, light=0).frames[0] * lamp)
    frames = np.where(film, series.frames * lamp, still).astype(np.uint16)
    settings = settings.model_copy(update={"still": "8,8,120,32", "drift": False})
    clean = clean_recording(ArrayRecording(frames, "lamp"), tmp_path / "out", settings)
    level = contrast(clean)[:, 10:-10, 50:-10].mean(axis=(1, 2))
    assert level == pytest.approx(truth[:, 10:-10, 50:-10].mean(axis=(1, 2)), abs=0.005)


def test_the_table_is_the_sidecar_of_the_clean_recording(file, settings, tmp_path):
    field = np.linspace(-30, 30, 12)
    pd.DataFrame({"frame": range(12), "field (mT)": field}).to_csv(
        file.with_suffix(".csv"), index=False
    )
    clean = clean_recording(open_recording(file), tmp_path / "clean", settings)
    opened = open_recording(clean.path)
    assert list(opened.applied) == ["field_mt"]
    assert opened.applied["field_mt"] == pytest.approx(field)
    assert clean.table["field_mt"].to_numpy() == pytest.approx(field)


def test_typed_conditions_override_the_table(file, settings, tmp_path):
    pd.DataFrame({"field_mt": np.zeros(12), "current_ma": np.ones(12)}).to_csv(
        file.with_suffix(".csv"), index=False
    )
    typed = settings.model_copy(update={"applied": {"field_mt": "10:-12:10"}})
    clean = clean_recording(open_recording(file), tmp_path / "clean", typed)
    expected = np.interp(np.arange(12), [0, 5.5, 11], [10, -12, 10])
    np.testing.assert_allclose(clean.table["field_mt"], expected)
    assert (clean.table["current_ma"] == 1).all()
    with pytest.raises(RecordingError, match="field_mt has 2 values; must be 12"):
        clean_recording(
            open_recording(file),
            tmp_path / "other",
            settings.model_copy(update={"applied": {"field_mt": "1,2"}}),
        )
    assert not (tmp_path / "other").exists()


def test_a_file_that_ends_early_keeps_the_frames_before(file, settings, tmp_path):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(Stopped, match=r"film\.tif is cut off: .* frames before it are in"):
        clean_recording(open_recording(file), tmp_path / "out", settings)
    recipe = json.loads((tmp_path / "out/film.intake.json").read_text())
    assert 4 < recipe["frames"] == open_recording(tmp_path / "out/film.tif").n < 12


def test_stored_drift_is_applied_again(file, series, settings, tmp_path):
    first = clean_recording(open_recording(file), tmp_path / "one", settings)
    drift = first.table[["drift_y_px", "drift_x_px"]].to_numpy()
    again = clean_recording(open_recording(file), tmp_path / "two", settings, drift=drift)
    assert again.table["drift_y_px"].tolist() == first.table["drift_y_px"].tolist()
    assert again.recipe["drift"]["kind"] == "stored"
    with pytest.raises(SpinscopeError, match=r"has 11 rows, .* has 12 frames"):
        clean_recording(open_recording(file), tmp_path / "two", settings, drift=drift[1:])


def test_a_finished_recording_is_returned_as_it_is(file, settings, tmp_path):
    first = clean_recording(open_recording(file), tmp_path / "out", settings)
    written = first.path.stat().st_mtime_ns
    again = clean_recording(open_recording(file), tmp_path / "out", settings)
    assert again.recipe == first.recipe and again.path.stat().st_mtime_ns == written
    other = settings.model_copy(update={"stripes": "none"})
    clean_recording(open_recording(file), tmp_path / "out", other)
    assert first.path.stat().st_mtime_ns > written


def test_drift_that_leaves_the_frame_keeps_the_frames_before(series, settings, tmp_path):
    frames = series.frames.copy()
    frames[8:] = np.roll(frames[8:], 70, axis=2)
    settings = settings.model_copy(update={"max_drift_px": 20.0})
    with pytest.raises(Stopped, match=r"frame 8 has drifted .* the 8 frames before it are in"):
        clean_recording(ArrayRecording(frames, "film"), tmp_path, settings)
    assert open_recording(tmp_path / "film.tif").n == 8
    assert len(pd.read_csv(tmp_path / "film.csv")) == 8
    assert "has drifted" in json.loads((tmp_path / "film.intake.json").read_text())["error"]
    with pytest.raises(Stopped, match="the 8 frames before it"):
        clean_recording(ArrayRecording(frames, "film"), tmp_path, settings)


def test_one_unreadable_frame_costs_only_itself(series, settings, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, frame in enumerate(series.frames):
        tifffile.imwrite(folder / f"{k:03d}.tif", frame)
    (folder / "005.tif").write_bytes(b"damaged")
    clean = clean_recording(open_recording(folder), tmp_path / "out", settings)
    assert [row["frame"] for row in clean.recipe["lost"]] == [5]
    table = clean.table
    assert table["intensity"].isna().tolist() == [k == 5 for k in range(12)]
    assert not open_recording(clean.path).read(5).any()
    drift = np.delete(table[["drift_y_px", "drift_x_px"]].to_numpy() - series.drift, 5, axis=0)
    assert np.abs(drift).max() < 0.1


def test_a_frame_without_the_structure_costs_only_itself(series, settings, tmp_path):
    frames = series.frames.copy()
    frames[7] = np.random.default_rng(0).integers(7000, 9000, frames[7].shape)
    clean = clean_recording(ArrayRecording(frames, "film"), tmp_path, settings)
    (lost,) = clean.recipe["lost"]
    assert lost["frame"] == 7 and "does not show the structure" in lost["error"]


def test_an_interruption_keeps_the_finished_frames(file, settings, tmp_path):
    def stop(done):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_recording(open_recording(file), tmp_path / "out", settings, on_frame=stop)
    recipe = json.loads((tmp_path / "out/film.intake.json").read_text())
    assert recipe["error"] == "interrupted before frame 5 of 12"
    assert open_recording(tmp_path / "out/film.tif").n == 5
    clean = clean_recording(open_recording(file), tmp_path / "out", settings)
    assert clean.recipe["error"] is None and len(clean.table) == 12


def test_an_error_leaves_nothing_under_the_final_name(file, settings, tmp_path):
    def fail(done):
        raise OSError("disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        clean_recording(open_recording(file), tmp_path / "out", settings, on_frame=fail)
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.endswith(".lock")] == []


def test_without_a_reference_frames_are_only_aligned(file, series, settings, tmp_path):
    plain = settings.model_copy(update={"stripes": "none", "hot_sd": None})
    clean = clean_recording(open_recording(file), tmp_path / "out", plain, None)
    recording = open_recording(clean.path)
    assert np.array_equal(recording.read(0), series.frames[0])
    moved = recording.read(11).astype(float)[12:-12, 12:-12]
    assert np.corrcoef(moved.ravel(), series.frames[0][12:-12, 12:-12].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_difference_images_are_refused(settings, tmp_path, dtype):
    frames = np.random.default_rng(0).normal(0, 300, (4, 64, 64)).astype(dtype)
    with pytest.raises(SpinscopeError, match="already a difference image"):
        clean_recording(ArrayRecording(frames, "film"), tmp_path, settings)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint32])
def test_other_numbers_give_the_same_contrast(settings, tmp_path, dtype):
    series = raw(4, (96, 128), noise=0.01, hot=0)
    like = [ArrayRecording(series.frames, "film"), ArrayRecording(series.frames.astype(dtype))]
    found = []
    for recording in like:
        cleaner = Cleaner(recording, settings)
        found.append(cleaner(recording.read(2), 2).contrast)
    assert found[1] == pytest.approx(found[0], abs=2e-4)


def test_a_recording_without_structure_is_refused(settings, tmp_path):
    frames = np.random.default_rng(0).poisson(5000, (6, 96, 128)).astype(np.uint16)
    with pytest.raises(SpinscopeError, match="shows no structure to align by"):
        clean_recording(ArrayRecording(frames, "film"), tmp_path, settings)
    still = settings.model_copy(update={"drift": False})
    clean = clean_recording(ArrayRecording(frames, "film"), tmp_path, still)
    assert clean.table["drift_y_px"].tolist() == [0] * 6
    assert clean.recipe["drift"]["kind"] == "none"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"crop": "0,0,500,20"}, r"crop \(=0,0,500,20\) must be y0,x0,y1,x1 inside frames of 160x"),
        ({"regions": {"pad": "9,9,9,12"}}, r"region pad \(=9,9,9,12\) must be"),
        ({"still": "0,0,10,161"}, r"still \(=0,0,10,161\) must be"),
    ],
)
def test_regions_outside_the_frame_are_refused(file, settings, tmp_path, changes, text):
    with pytest.raises(SpinscopeError, match=text):
        clean_recording(
            open_recording(file), tmp_path / "out", settings.model_copy(update=changes)
        )  # fmt: skip


def test_references_that_do_not_fit_are_refused(file, series, settings, tmp_path):
    for frames, text in (
        (series.frames[:, :100], "is 160x100 pixels, the recording 160x128"),
        (series.frames // 2, "take the reference with the exposure and light of the recording"),
    ):
        reference = ArrayRecording(frames, "flat")
        with pytest.raises(SpinscopeError, match=text):
            clean_recording(open_recording(file), tmp_path / "out", settings, reference)
    recording, reference = open_recording(file), ArrayRecording(series.frames, "flat")
    recording.metadata = {"Camera": {"Exposure (s)": "0.5"}}
    reference.metadata = {"ExposureTime": 0.25}
    with pytest.raises(SpinscopeError, match=r"flat was exposed for 0.25 s, .* for 0.5 s"):
        clean_recording(recording, tmp_path / "out", settings, reference)


def test_the_folder_of_the_raw_recording_is_refused(file, settings):
    with pytest.raises(SpinscopeError, match="is the folder of the raw recording"):
        clean_recording(open_recording(file), file.parent, settings)
    assert [path.name for path in file.parent.iterdir()] == ["film.tif"]
