"""The command line as a user types it: answers, sentences and exit codes."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from PIL import Image
from tests.conftest import discs
from tests.intake.conftest import raw

from spinscope import cli
from spinscope.analysis.exports import KINDS
from spinscope.cli import recordings, shared
from spinscope.images import read_label, write_image, write_label
from spinscope.models.store import save_model
from spinscope.models.unet import unet


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `spinscope WORDS` in this process: (exit code, standard output, standard error)."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spinscope", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def model(tmp_path, params):
    """An untrained model folder: what it says does not matter here."""
    info = {
        "classes": ["background", "skyrmion", "defect"],
        "size_multiple": params.model.size_multiple,
    }
    return save_model(tmp_path / "model", unet(params.model, 3), info, "# test\n")


@pytest.fixture
def frame(tmp_path):
    path = tmp_path / "frame.png"
    levels = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    Image.fromarray(levels).save(path)
    return path


def test_help_is_instant_and_imports_no_heavy_library():
    code = (
        "import sys, spinscope.cli; heavy = {'tensorflow', 'keras', 'mlflow', 'prefect', "
        "'streamlit', 'great_expectations', 'pandas', 'openvino', 'freud', 'trackpy', 'av'}; "
        "heavy &= set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_segment_writes_a_mask(run, model, frame, tmp_path):
    code, out, _ = run("segment", frame, "--model", model, "--out", tmp_path / "out")
    assert code == 0
    assert "skyrmion" in out
    mask = read_label(tmp_path / "out" / "frame.mask.png")
    assert mask.shape == (40, 56)
    with Image.open(tmp_path / "out" / "frame.mask.png") as file:
        np.testing.assert_array_equal(np.asarray(file), mask)  # class indices
        assert file.mode == "P" and "dpi" not in file.info
    assert (tmp_path / "out/frame.overlay.png").is_file()
    assert (tmp_path / "out/frame/objects.csv").is_file()


def test_other_settings_keep_the_images_beside_the_folder(run, model, frame, tmp_path):
    out = tmp_path / "out"
    words = ("segment", frame, "--model", model, "--out", out)
    assert run(*words)[0] == 0
    kept = {end: (out / f"frame.{end}").read_bytes() for end in ("overlay.png", "mask.png")}
    assert run(*words, "--pixel-size", 120, "--set", "segment.min_px=9")[0] == 0
    for end, content in kept.items():
        assert (out / f"frame.1.{end}").read_bytes() == content
        assert (out / f"frame.{end}").is_file()
    with Image.open(out / "frame.mask.png") as file:
        assert 0.0254 / file.info["dpi"][0] == pytest.approx(120e-9)
    assert run(*words)[0] == 0
    assert (out / "frame.2.mask.png").is_file()


def test_a_level_is_fitted_and_used(run, tmp_path):
    frame, mask, level = (tmp_path / name for name in ("frame.png", "mask.png", "level.json"))
    image, label = discs(np.random.default_rng(2), size=96, n=9)
    write_image(frame, image)
    write_label(mask, label)
    model = ("--model", "bundled:moke-unet-simulated")
    code, printed, _ = run("calibrate", frame, mask, *model, "--out", level)
    assert code == 0
    assert re.fullmatch(
        rf"level 0\.\d\d: MCC 0\.\d+, 0\.\d+ with the most probable class\nnext: --level {level}\n",
        printed,
    )
    words = ("segment", frame, *model, "--out", tmp_path / "out", "--level")
    code, printed, _ = run(*words, level)
    assert code == 0
    assert re.search(
        r"mean diameter [\d.]+ ± [\d.]+ \(boundary\) px .*, boundary at 0\.\d+", printed
    )
    assert run(*words, 0.2)[0] == 0
    code, _, error = run(*words, 20)
    assert code == 1 and "segment.level (=20" in error
    code, _, error = run("calibrate", frame, *model)
    assert code == 1 and "needs an image and its mask, or --reviews FOLDER" in error
    code, _, error = run("calibrate", frame, mask, *model, "--films", tmp_path)
    assert code == 1 and "--films needs one --model and no image" in error


@pytest.fixture
def film(tmp_path):
    """A recording of three frames whose pixels are 100 nm."""
    path = tmp_path / "film.ome.tif"
    rng = np.random.default_rng(1)
    frames = np.stack([65_535 * discs(rng, size=96)[0] for _ in range(3)]).astype(np.uint16)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(path, frames, photometric="minisblack", metadata=metadata)
    return path


def test_a_film_is_segmented_measured_and_exported(run, film, tmp_path):
    words = ("--model", "bundled:moke-unet", "--out", tmp_path / "out", "--tta", 3)
    code, printed, _ = run("segment", film, *words, "--json")
    assert code == 0
    (row,) = json.loads(printed)
    assert row["frames"] == 3
    objects = pd.read_csv(Path(row["folder"]) / "objects.csv")
    assert 15 <= len(objects) == row["objects"] <= 27  # 24 discs, of which some touch
    assert row["pixel_size_nm"] == 100
    assert row["diameter_nm_mean"] == pytest.approx(objects["diameter_nm"].mean())
    assert f"= {row['diameter_nm_mean']:.4g} nm (pixels of 100 nm)" in recordings.segmentation_line(
        row
    )
    np.testing.assert_allclose(objects["diameter_nm"], 100 * objects["diameter_px"])
    assert "diameter_px_sd_views" in objects
    code, printed, _ = run("measure", row["folder"], "--json")
    assert code == 0
    figures = json.loads(printed)
    assert "psi6_mean" in figures
    whole = tmp_path / "sample_mask.png"
    write_image(whole, np.ones((96, 96), np.float32))
    for flag, hint in (("--sample-mask", ""), ("--film", "hint: --film is now --sample-mask")):
        code, printed, error = run("measure", row["folder"], flag, whole, "--json")
        assert code == 0 and hint in error and ("hint" in error) == bool(hint)
        assert json.loads(printed)["psi6_mean"] == figures["psi6_mean"]
    words = ("--to", "roi,classes", "--to", "mp4")
    code, printed, _ = run("export", row["folder"], *words, "--out", tmp_path / "for fiji")
    assert code == 0
    assert all(Path(line).is_file() for line in printed.splitlines())
    assert len(printed.splitlines()) == 3
    with Image.open(Path(row["folder"]) / "plots.png") as file:
        assert file.width > 1000 and len(file.convert("L").getcolors()) > 10
    code, printed, _ = run("export", row["folder"], "--to", "all", "--out", tmp_path / "all")
    assert (code, len(printed.splitlines())) == (0, len(KINDS))
    code, _, error = run("export", row["folder"], "--to", "roi,gif")
    assert code == 1 and "export 'gif' must be one of roi, labels, " in error
    film.unlink()
    code, _, error = run("export", row["folder"], "--to", "png")
    assert code == 1
    assert "film.ome.tif does not exist" in error
    assert run("export", row["folder"], "--to", "labels")[0] == 0


def test_a_pixel_size_in_micrometres_is_refused(run, frame):
    code, _, error = run("segment", frame, "--pixel-size", 0.12)
    assert code == 1
    assert "0.12 nm must be a pixel size from 0.5 to 10000 nm; if 0.12 µm is meant" in error


def test_a_bad_recording_does_not_end_the_others(run, film, tmp_path):
    cut = tmp_path / "cut.tif"
    content = film.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    words = ("--model", "bundled:moke-unet", "--out", tmp_path / "out", "--json")
    code, printed, error = run("segment", cut, film, *words)
    assert code == 1
    assert "cut.tif" in error
    assert "are kept in" in error
    broken, whole = json.loads(printed)
    assert 0 < broken["frames"] < 3
    assert "error" in broken
    assert whole["frames"] == 3
    assert "error" not in whole


def test_a_folder_is_called_by_its_name(run, frame, monkeypatch, tmp_path):
    monkeypatch.chdir(frame.parent)
    code, printed, _ = run(
        "segment", ".", "--model", "bundled:moke-unet", "--out", tmp_path / "out", "--json"
    )
    assert code == 0
    assert json.loads(printed)[0]["folder"] == str(tmp_path / "out" / frame.parent.name)


def test_figures_tell_what_their_error_is():
    figures = {
        "psi6_mean": 0.91234, "psi6_mean_sd_frames": 0.0345,
        "nearest_nm_mean": 2880.2, "nearest_nm_mean_sd_frames": 140.0,
        "diffusion_m2_per_s": 1.5e-14, "diffusion_m2_per_s_se": 2.5e-16,
        "settings": {"search_range_px": None}, "lifetime_s": None, "tracks": 12,
        "notes": ["mind the search_range"],
    }  # fmt: skip
    assert recordings.figure_lines(figures) == [
        "psi6_mean                   0.91234 ± 0.035 (SD over frames)",
        "nearest_nm_mean             2880.2 ± 140 (SD over frames)",
        "diffusion_m2_per_s          1.5e-14 ± 2.5e-16 (standard error)",
        "tracks                      12",
        "note: mind the search_range",
    ]


def test_one_bar_counts_the_frames_of_a_recording():
    with shared.FrameBar() as bar:
        bar("film", 1, 9)
        first = bar.bar
        bar("film", 4, 9)
        assert bar.bar is first
        assert first.n == 4
        bar("another", 1, 9)
        assert bar.bar is not first


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IEND\xaeB`\x82"


def _bad_files(folder, good):
    """(file, what the sentence must say) of every kind of bad frame."""
    truncated = folder / "truncated.png"
    truncated.write_bytes(good.read_bytes()[:200])
    colour = folder / "colour.png"
    Image.new("RGB", (32, 32), "red").save(colour)
    nan = folder / "nan.tif"
    tifffile.imwrite(nan, np.full((32, 32), np.nan, dtype=np.float32))
    dot = folder / "dot.png"
    Image.new("L", (1, 1)).save(dot)
    huge = folder / "huge.png"
    huge.write_bytes(_png_header(40000, 40000))
    return [
        (truncated, "truncated"),
        (colour, "one channel"),
        (nan, "NaN"),
        (dot, "1x1"),
        (huge, "40000x40000"),
        (folder / "absent.png", "does not exist"),
    ]


def test_bad_frames_are_one_sentence_and_leave_nothing(run, model, frame, tmp_path):
    out = tmp_path / "out"
    for path, words in _bad_files(tmp_path, frame):
        code, printed, error = run("segment", frame, path, "--model", model, "--out", out)
        assert code == 1, path
        assert error.startswith("error: ")
        assert error.count("\n") == 1, error
        assert path.name in error
        assert words in error
        assert printed == ""
        assert not out.exists()


def test_earlier_masks_survive_a_full_disk(run, model, frame, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert run("segment", frame, "--model", model, "--out", out)[0] == 0

    def contents() -> dict[Path, bytes]:
        files = (path for path in out.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.suffix != ".lock"}

    before = contents()
    save = Image.Image.save

    def full(self, path, *args, **options):
        save(self, path, *args, **options)
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", full)
    code, _, error = run("segment", frame, "--model", model, "--out", out)
    assert code == 1
    assert "No space left on device" in error
    assert contents() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("segment", "x.png", "--model", "bundled:nope"), "bundled:nope"),
        (("segment", "x.png", "--model", "nowhere"), "'nowhere' must be"),
        (("train", "moke-net"), "'moke-net' must be one of moke-unet"),
        (("train", "moke-unet", "--set", "model.widht=3"), "model.widht"),
        (("train", "moke-unet", "--set", "data.path=/absent"), "/absent does not exist"),
        (("train", "moke-unet", "--profile", "huge"), "'huge' must be one of"),
        (("data", "validate", "--data", "/absent"), "/absent"),
        (("data", "fetch", "ltem"), "'ltem' must be moke"),
        (("flow", "run", "nope"), "'nope' must be one of"),
        (("registry", "history", "a/b", "--set", "tracking.uri=ftp://x"), "ftp://x"),
        (("registry", "list", "--set", "tracking.uri=http://127.0.0.1:9"), "127.0.0.1:9"),
    ],
)
def test_bad_words_are_one_sentence(run, words, says):
    code, _, error = run(*words)
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error


def test_an_empty_folder_is_no_dataset(run, model, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, error = run("evaluate", "--model", model, "--data", tmp_path / "empty")
    assert code == 1
    assert "neither table.csv" in error


def test_evaluate_writes_the_report_and_selects(run, model, moke_folder, tmp_path):
    words = ("evaluate", "--model", model, "--data", moke_folder, "--tta", 1)
    out = tmp_path / "report.json"
    picture = tmp_path / "first.png"
    code, printed, _ = run(*words, "--out", out, "--batches", "0,2", "--picture", picture, "--json")
    assert Image.open(picture).size == (3 * 64 + 2 * 8, 64)
    report = json.loads(out.read_text())
    assert code == 0
    assert json.loads(printed) == report
    assert report["n_images"] == 8
    assert {row["source"] for row in report["per_image"]} == {0, 1, 4, 5}
    assert json.loads(run(*words, "--sources", "3", "--json")[1])["n_images"] == 2
    assert "one of" in run(*words, "--sources", "99")[2]
    assert "must be integers" in run(*words, "--batches", "x")[2]


def test_evaluate_names_a_damaged_frame(run, model, moke_folder):
    image = sorted((moke_folder / "images").iterdir())[0]
    image.write_bytes(b"no image")
    code, _, error = run("evaluate", "--model", model, "--data", moke_folder, "--tta", 1)
    assert code == 1
    assert image.name in error
    assert error.count("\n") == 1


def test_validate_names_the_bad_file_and_fails(run, moke_folder, tmp_path):
    assert run("data", "validate", "--data", moke_folder, "--out", tmp_path / "v")[0] == 0
    bad = next((moke_folder / "labels").iterdir())
    bad.unlink()
    code, out, error = run(
        "data", "validate", "--data", moke_folder, "--out", tmp_path / "v", "--json"
    )
    assert code == 1
    assert bad.name in error
    assert bad.name in json.loads(out)["failures"][0]["file"]


def test_flows_are_listed(run):
    code, out, _ = run("flow", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "ablations", "corpus", "corpus-ltem", "cross-validate", "estimate", "evaluate-tta",
        "field", "field-study", "ltem-study", "moke-study", "nightly", "parameters-study", "probes",
        "promote", "relabel", "retrain", "retrain-when-due", "search", "train-seeds",
    ]  # fmt: skip


def test_registry_from_the_command_line(run, tmp_path, params, template_store, lenient):
    """Train, list, promote, refuse, roll back, history, as a user would."""
    at = [f"--set=tracking.{key}={getattr(params.tracking, key)}" for key in ("uri", "artifacts")]
    small = [
        "--profile=demo", f"--set=data.path={params.data.path}", "--set=model.width=4",
        "--set=model.depth=2", "--set=training.epochs=1", "--set=training.steps_per_epoch=2",
        "--set=training.batch=2", "--set=training.crop=32", "--set=evaluation.tta=1",
        "--set=tracking.experiment=moke-unet", "--set=training.pretrained=null",
        "--set=model.upscale=null", "--set=model.min_peak_probability=null",
    ]  # fmt: skip
    assert "no model is registered yet" in run("registry", "list", *at)[1]
    for seed, seeds, version in ((0, 2, 1), (0, 2, 1), (5, 1, 2)):
        code, out, error = run(
            "train", "moke-unet", "--seeds", seeds, "--out", tmp_path / f"seed {seed}",
            f"--set=seed={seed}", *small, *at,
        )  # fmt: skip
        assert code == 0, error
        # The same training again is not another version.
        assert f"registered: models:/moke-unet/{version}" in out
    assert json.loads(run("registry", "list", "--json", *at)[1])[0]["version"] == 2
    for version in (1, 2):
        code, out, error = run(
            "registry", "promote", "moke-unet", "--version", version, "--reason", "test",
            *small, *at,
        )  # fmt: skip
        assert code == 0, error
        assert f"models:/moke-unet@lab is version {version}" in out
    code, out, error = run(
        "registry", "promote", "moke-unet", "--version", 1, "--reason", "x", *small, *at,
        "--set=gates.metric_limit=2",
    )  # fmt: skip
    assert code == 1
    assert "gates.metric_limit (=2.0) is None in params.yaml" in error
    settings = yaml.safe_load((lenient / "params.yaml").read_text())
    settings["gates"]["metric_limit"] = 2
    (lenient / "params.yaml").write_text(yaml.safe_dump(settings))
    refused = ["registry", "promote", "moke-unet", "--version", 1, "--reason", "x", *small, *at]
    code, out, error = run(*refused)
    assert code == 1
    assert "FAIL  MCC " in error
    assert "is not promoted" in error
    assert run(*refused, "--override-gates", "the film is new")[0] == 0
    text = run("registry", "history", "moke-unet", "--gates", *at)[1]
    assert "GATES OVERRIDDEN: the film is new" in text
    assert "FAIL  MCC " in text
    run("registry", "rollback", "moke-unet", "--reason", "back to 2", *at)
    assert (
        "is version 1 again (was 2)"
        in run("registry", "rollback", "moke-unet", "--reason", "worse", *at)[1]
    )
    history = json.loads(run("registry", "history", "moke-unet", "--json", *at)[1])
    assert [(step["from_version"], step["to_version"]) for step in history] == [
        (None, 1), (1, 2), (2, 1), (1, 2), (2, 1),
    ]  # fmt: skip
    assert run("registry", "compare", "models:/moke-unet/1", "models:/moke-unet/2", *at)[0] == 0


def test_set_reaches_every_setting():
    from spinscope.config import load_params

    assert load_params("demo", ["training.class_weights=[1, 2, 3]"]).training.class_weights == (
        1, 2, 3,
    )  # fmt: skip


def test_progress_bar_only_after_two_seconds(monkeypatch, capsys):
    list(shared.show_progress(range(3), desc="quick"))
    assert capsys.readouterr().err == ""
    now = time.time()
    ticks = iter(range(100))
    monkeypatch.setattr("tqdm.std.time", lambda: now + 3 * next(ticks), raising=False)
    list(shared.show_progress(range(3), desc="slow"))
    assert "slow" in capsys.readouterr().err


def test_progress_in_a_log_file_is_lines_without_carriage_returns(capsys, params):
    with shared.EpochBar(params) as bar:
        for epoch in range(params.training.epochs):
            bar(0, epoch, {"val_mcc": 0.5})
    said = capsys.readouterr().err
    assert "\r" not in said
    first, last = said.splitlines()
    assert first.startswith("train seed 0: 0 of 2, ")
    assert last.startswith("train seed 0: 2 of 2, ")
    assert last.endswith("val_mcc=0.5000")


def test_segment_warns_about_a_model_of_another_modality(run, tmp_path):
    image = discs(np.random.default_rng(0), size=192, n=25, radius=6)[0][8:184, 8:184]
    write_image(tmp_path / "kerr.png", image)
    for model, warned in (("bundled:ltem-unet", True), ("bundled:moke-unet", False)):
        code, _, said = run(
            "segment", tmp_path / "kerr.png", "--model", model, "--out", tmp_path / model[8:]
        )
        assert code == 0, said
        assert ("looks like a Kerr image" in said) is warned


def test_lattices_are_annealed_once_and_drawn(run, tmp_path):
    small = ["--set", "lattice.size=16", "--set", "lattice.sweeps=20"]
    words = ["corpus", "lattice", "--n", "4", "--seed", "7", "--out", tmp_path / "c", *small]
    code, said, _ = run(*words, "--preview", tmp_path / "p.png")
    assert code == 0
    assert f"4 lattices of 16×16 sites in {tmp_path / 'c'}\nenergy -2.0" in said
    assert Image.open(tmp_path / "p.png").size == (1000, 250)
    made = (tmp_path / "c" / "corpus.json").stat().st_mtime_ns
    assert run(*words)[:2] == (0, said.rsplit("preview", 1)[0])
    assert (tmp_path / "c" / "corpus.json").stat().st_mtime_ns == made
    code, _, error = run(*words, "--set", "lattice.size=15")
    assert code == 1
    assert "lattice.size" in error


def test_domain_films_are_kept_and_drawn(run, domains_folder, tmp_path):
    """The complete corpus of the same settings is not made again."""
    shutil.copytree(domains_folder, tmp_path / "c")
    words = ["corpus", "domains", "--profile", "demo", "--out", tmp_path / "c"]
    words += ["--set", "domains.shard_films=12"]
    made = (tmp_path / "c" / "corpus.json").stat().st_mtime_ns
    code, said, error = run(*words, "--preview", tmp_path / "p.png")
    assert code == 0, error
    assert re.search(r"^\d+ films of 64×64 cells, \d+ views in .*\ndomain width [\d.]+ ± ", said)
    assert (tmp_path / "c" / "corpus.json").stat().st_mtime_ns == made
    assert Image.open(tmp_path / "p.png").size == (1000, 500)
    code, _, error = run(*words, "--parameter", "ku")
    assert code == 1
    assert "--parameter (=ku) must be dmi or ms" in error


def test_spins_are_generated_completed_and_written(run, tmp_path):
    code, out, _ = run("field", "generate", "--size", 48, "--seed", 3, "--out", tmp_path / "a")
    assert code == 0 and out.startswith("generate: 48×48 sites, energy -0.")
    m = np.load(tmp_path / "a/spins.npy")
    np.save(tmp_path / "z.npy", m[..., 2])
    code, out, _ = run("field", "complete", tmp_path / "z.npy", "--json")
    summary = json.loads(out)
    assert code == 0 and summary["energy_after_j"] < -2.02
    assert summary["charge"] == json.loads((tmp_path / "a/summary.json").read_text())["charge"]
    np.save(tmp_path / "mask.npy", np.arange(48)[:, None] + np.zeros(48) < 4)
    code, out, _ = run("field", "repair", tmp_path / "a/spins.npy", "--mask", tmp_path / "mask.npy")
    assert code == 0 and "→ -2.0" in out
    code, out, _ = run(
        "field", "respond", tmp_path / "a/spins.npy", "--field", 0.05, "--field", 0.2,
        "--iterations", 100, "--out", tmp_path / "b", "--json",
    )  # fmt: skip
    assert code == 0
    weak, strong = json.loads(out)
    assert weak["m_z"] < strong["m_z"] and strong["external_j"] == 0.2
    assert (tmp_path / "b/0.2-spins.png").is_file()
    loop = [word for value in (0.05, 0.2, 0.05) for word in ("--field", value)]
    run("field", "respond", tmp_path / "a/spins.npy", *loop, "--iterations", 10, "--out",
        tmp_path / "c")  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "c").glob("*summary.json")) == [
        "0.05-2-summary.json", "0.05-summary.json", "0.2-summary.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["infer", "z.npy"], "holds z components only"),
        (["complete", "image.png"], "is an image: its scale must be given"),
        (["infer", "pair.npy"], r"has the shape (16, 16, 2); spins must be (H, W, 3)"),
        (["infer", "small.npy"], "has 8×8 sites; each side must have at least 16"),
        (["denoise", "m.npy", "--alpha", "-1"], "alpha (=-1) must be above 0"),
        (["repair", "m.npy"], "exactly one of a mask, rows and a square"),
        (["repair", "m.npy", "--mask", "none.npy"], "none.npy"),
        (["infer", "m.npy", "--model", "bundled:moke-unet"], "is of the family moke-unet"),
        (["generate", "--size", "8"], "8×8 sites"),
    ],
)
def test_bad_spins_are_one_sentence_and_leave_nothing(run, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    up = np.zeros((16, 16, 3))
    up[..., 2] = 1
    for name, array in {
        "m": up, "z": up[..., 2], "pair": up[..., :2], "small": up[:8, :8],
    }.items():  # fmt: skip
        np.save(f"{name}.npy", array)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save("image.png")
    code, out, err = run("field", *words, "--out", "out")
    assert code == 1 and out == ""
    assert err.startswith("error: ") and says in err and err.count("\n") == 1
    assert not Path("out").exists()


@pytest.fixture
def network(monkeypatch):
    """A model of magnetic parameters in place of a trained one."""
    from tests.jobs.test_estimate import Network

    from spinscope.jobs import estimate

    found = Network()
    monkeypatch.setattr(estimate, "open_parameters", lambda *_: found)
    return found


def test_a_parameter_is_estimated_refined_and_written(run, network, tmp_path, monkeypatch):
    from tests.jobs.test_refining import PIXEL, Patterns, image_of

    from spinscope.jobs.refining import FilmBank

    pixels = np.rint(255 * image_of(0.7e-3, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["estimate", tmp_path / "a.png", "--pixel-size", PIXEL * 1e9]
    code, out, _ = run(*words)
    assert code == 0 and out.startswith(f"{tmp_path / 'a.png'}: D = 0.4")
    assert "mJ/m², 90 % interval" in out and "holds for films of Ms 1500 kA/m" in out
    monkeypatch.setattr(FilmBank, "of_corpus", lambda *_: Patterns())
    code, out, _ = run(*words, "--refine", "--out", tmp_path / "out", "--json")
    summary = json.loads(out)
    assert code == 0 and summary["refined"]["value"] == pytest.approx(0.7, abs=0.08)
    assert (tmp_path / "out/refined.png").is_file()
    code, out, _ = run(*words[:2], "--pixel-size", 3)
    assert code == 0 and "outside the range of the training: scale" in out
    assert "the error of this value is unknown" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["grey.png"], "grey.png contains no pixel size"),
        (["grey.png", "--pixel-size", "0.01"], "--pixel-size 0.01 nm must be a pixel size"),
        (["colour.png", "--pixel-size", "10"], "must be grayscale"),
        (["none.png", "--pixel-size", "10"], "does not exist"),
        (["grey.png", "--pixel-size", "10", "--model", "bundled:field-fcn"], "family field-fcn"),
        (["grey.png", "--pixel-size", "10", "--parameter", "ku"], "must be one of dmi, ms"),
        (["grey.png", "--pixel-size", "10", "--out", "grey.png"], "is a file"),
    ],
)
def test_a_bad_domain_image_is_one_sentence(run, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save("grey.png")
    Image.new("RGB", (64, 64), "red").save("colour.png")
    code, out, err = run("estimate", *words)
    assert code == 1 and out == ""
    assert err.startswith("error: ") and says in err and err.count("\n") == 1


def test_intake_cleans_a_recording_and_applies_its_recipe(run, tmp_path):
    film = tmp_path / "raw/film.tif"
    film.parent.mkdir()
    tifffile.imwrite(film, raw(6, (96, 128), drift=3).frames)
    out = tmp_path / "clean"
    words = ("--reference", "mean", "--region", "pad=4,4,30,30", "--crop", "0,0,96,120")
    code, text, _ = run("intake", film, "--out", out, *words, "--average", 2)
    assert code == 0
    assert "3 frames of 96x120, measured drift up to" in text
    assert "pixel size unknown, lengths will be in px; give --pixel-size" in text
    assert list(pd.read_csv(out / "film.csv"))[-2:] == ["intensity", "intensity_pad"]
    again = tmp_path / "again"
    code, text, _ = run(
        "intake",
        "--recipe",
        out / "film.intake.json",
        "--out",
        again,
        "--pixel-size",
        200,
        "--json",
    )
    (row,) = json.loads(text)
    assert (code, row["frames"], row["pixel_size_nm"]) == (0, 3, 200)
    assert (again / "film.csv").read_text() == (out / "film.csv").read_text()
    for words, says in (
        (("--region", "pad"), "--region pad must be NAME=y0,x0,y1,x1"),
        (("--region", "pad=0,0,9,900"), "region pad (=0,0,9,900) must be"),
        (("--crop", "4,4"), "must be y0,x0,y1,x1 in px"),
        (("--drift", "nothing.csv"), "nothing.csv is not a readable table"),
    ):
        code, _, error = run("intake", film, "--out", again, *words)
        assert code != 0 and says in error


def test_import_of_masks_answers_with_folders_and_warnings(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, label = discs(np.random.default_rng(2))
    write_image(tmp_path / "kerr.png", image)
    numbers = np.zeros(label.shape, np.uint32)
    numbers[10:14, 10:14], numbers[14:18, 10:14], numbers[30:40, 30:40] = 70_001, 70_002, 5
    tifffile.imwrite(tmp_path / "kerr_masks.tif", numbers)
    code, out, err = run("import", "kerr_masks.tif", "--frames", "kerr.png", "--class", "defect")
    assert code == 0, err
    assert out.splitlines() == [
        "imported/kerr: 0 skyrmions in 1 of 1 frames",
        "imported/dataset: dataset of 1 frames",
    ]
    assert "objects that touch another of their class: 1, counted" in err
    mask = read_label(tmp_path / "imported/dataset/labels/kerr.png")
    np.testing.assert_array_equal(mask, 2 * (numbers > 0))
    code, _, err = run("import", "kerr_masks.tif")
    assert (code, err.count("\n")) == (1, 1)
    assert "repeat --frames" in err
