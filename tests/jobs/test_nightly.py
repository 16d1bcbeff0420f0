"""Drift reports and nights with a trained network, on drawn frames."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.drift.frames import draw

from spinscope import families, jobs
from spinscope.config import Params, load_params
from spinscope.datasets import Record, open_dataset, write_moke
from spinscope.drift.reference import IMAGING
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.images import write_image
from spinscope.jobs.drifting import training_reference
from spinscope.models.store import resolve_local, write_sums

MORNING = 1_900_000_000.0


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params("demo", ["inference.engine=keras"], family="moke-unet")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Training set of twenty sources whose conditions vary by some ten per cent."""
    rng, frames = np.random.default_rng(0), []
    for source in range(20):
        vary = lambda value: value * rng.lognormal(0, 0.12)  # noqa: E731
        image, mask = draw(rng, diameter=vary(14), blur=vary(1.2), noise=vary(0.04),
                           depth=vary(0.25), slope=vary(0.02))  # fmt: skip
        record = Record(f"{source:04d}", source, source % 5)
        frames.append((record, image, mask.astype(np.uint8)))
    return write_moke(tmp_path_factory.mktemp("data") / "moke", frames).path


@pytest.fixture(scope="module")
def model(params, data, tmp_path_factory) -> str:
    """The bundled network, as if it had been trained on `data`."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(resolve_local("bundled:moke-unet"), folder)
    family = families.of(params)
    reference = training_reference(family, family.predictor(folder), family.open(data))
    write_json(folder / IMAGING, reference.to_json())
    write_sums(folder)
    return str(folder)


def frame(change: str = "") -> np.ndarray:
    image, _ = draw(np.random.default_rng(77))
    rng = np.random.default_rng(78)
    changed = {
        "": lambda: image,
        "polarity": lambda: 1 - image,
        "noise": lambda: image + rng.normal(0, 0.12, image.shape),
        "blur": lambda: ndimage.gaussian_filter(image, 3),
        "scale": lambda: ndimage.zoom(image, 3, order=1),
        "contrast": lambda: 0.5 + (image - 0.5) * 0.25,
        "gradient": lambda: image + np.linspace(-0.15, 0.15, image.shape[1]),
    }[change]()
    return np.clip(changed, 0, 1).astype(np.float32)


def test_a_changed_frame_is_named_by_its_cause(params, model, tmp_path):
    changes = ("polarity", "noise", "blur", "scale", "contrast", "gradient")
    for change in ("", *changes):
        write_image(tmp_path / f"{change or 'unchanged'}.png", frame(change), bits=16)
    rows = jobs.drift(params, sorted(tmp_path.iterdir()), model)
    assert {Path(row["file"]).stem: row["sentence"] for row in rows} == {
        "unchanged": "in range",
        **{change: f"out of range: {change}" for change in changes},
    }


def test_a_dataset_can_be_the_reference(params, data, tmp_path):
    write_image(tmp_path / "frame.png", frame("blur"), bits=16)
    files = [tmp_path / "frame.png"]
    (row,) = jobs.drift(params, files, "bundled:moke-unet", reference=data)
    assert row["sentence"] == "out of range: blur"
    with pytest.raises(SpinscopeError, match="does not store the imaging conditions"):
        jobs.drift(params, files, "bundled:moke-unet-simulated")


def test_a_damaged_frame_does_not_count(params, model, tmp_path):
    for k in range(3):
        write_image(tmp_path / f"f{k}.png", frame(), bits=16)
    (tmp_path / "f1.png").write_bytes(b"no image")
    (row,) = jobs.drift(params, [tmp_path], model)
    assert (row["frames"], row["sentence"]) == (2, "in range")
    for k in range(3):
        (tmp_path / f"f{k}.png").write_bytes(b"no image")
    with pytest.raises(SpinscopeError, match=r"\A(?!.*\n).*f0\.png"):
        jobs.drift(params, [tmp_path], model)


def age(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (MORNING - 100, MORNING - 100))


def test_every_night_takes_the_new_recordings_and_tells_what_is_wrong(
    params, model, tmp_path, receiver, monkeypatch
):
    address, messages = receiver
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", address)
    inbox, out = tmp_path / "inbox", tmp_path / "nightly"
    inbox.mkdir()
    write_image(inbox / "good.png", frame(), bits=16)
    write_image(inbox / "flat.png", np.full((64, 64), 0.5), bits=16)
    (inbox / "notes.txt").write_text("not a recording")
    age(inbox)
    write_image(inbox / "growing.png", frame(), bits=16)
    os.utime(inbox / "growing.png", (MORNING, MORNING))

    first = jobs.nightly_check(params, inbox, model, out, clock=lambda: MORNING)
    found = {row["file"]: row for row in first["recordings"]}
    assert set(found) == {"good.png", "flat.png"}
    assert found["good.png"]["sentence"] == "in range"
    assert not found["flat.png"]["valid"]
    assert [failure["rule"] for failure in first["failures"]] == ["image not constant"]
    night = out / first["night"]
    assert (night / "masks/good/summary.json").is_file()
    assert not (night / "masks/flat").exists()
    assert json.loads((night / "validation/validation.json").read_text())["ok"] is False
    assert list((night / "validation/data_docs").rglob("*.html"))
    assert [one["event"] for one in messages] == ["failure"]
    assert "1 not valid (flat.png)" in messages[0]["text"]

    write_image(inbox / "blurred.png", frame("blur"), bits=16)
    (inbox / "broken.png").write_bytes((inbox / "good.png").read_bytes()[:500])
    age(inbox)
    second = jobs.nightly_check(params, inbox, model, out, clock=lambda: MORNING)
    assert {row["file"] for row in second["recordings"]} == {
        "growing.png", "blurred.png", "broken.png",
    }  # fmt: skip
    assert second["night"] == f"{first['night']}-2"
    assert second["out_of_range"] == ["blur"]
    assert [failure["rule"] for failure in second["failures"]] == ["recording readable"]
    assert [one["event"] for one in messages[1:]] == ["drift", "failure"]
    assert "1 out of range: blur" in messages[1]["text"]

    third = jobs.nightly_check(params, inbox, model, out, clock=lambda: MORNING + 86400)
    assert third["recordings"] == []
    assert len(messages) == 3
    assert [one["night"] for one in jobs.nights(out)] == [
        first["night"], second["night"], third["night"],
    ]  # fmt: skip


def test_an_interrupted_night_is_resumed_in_its_folder(params, model, tmp_path, monkeypatch):
    from spinscope.jobs import nightly

    inbox, out = tmp_path / "inbox", tmp_path / "nightly"
    inbox.mkdir()
    write_image(inbox / "good.png", frame(), bits=16)
    age(inbox)
    with monkeypatch.context() as patch:
        patch.setattr(nightly, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            jobs.nightly_check(params, inbox, model, out, clock=lambda: MORNING)
    assert jobs.nights(out) == []
    again = jobs.nightly_check(params, inbox, model, out, clock=lambda: MORNING)
    assert [row["file"] for row in again["recordings"]] == ["good.png"]
    assert [path.name for path in sorted(out.iterdir())] == [again["night"]]


def test_a_model_without_imaging_conditions_segments_recordings_of_one_name(params, tmp_path):
    inbox, out = tmp_path / "inbox", tmp_path / "nightly"
    (inbox / "film").mkdir(parents=True)
    write_image(inbox / "film.png", frame(), bits=16)
    write_image(inbox / "film/0001.png", frame(), bits=16)
    (inbox / "gone.png").symlink_to(inbox / "absent.png")
    age(inbox / "film")
    for path in (inbox / "film.png", inbox / "film"):
        os.utime(path, (MORNING - 100, MORNING - 100))
    night = jobs.nightly_check(
        params, inbox, "bundled:moke-unet-simulated", out, clock=lambda: MORNING
    )
    assert [row["file"] for row in night["recordings"]] == ["film", "film.png"]
    for row in night["recordings"]:
        assert row["sentence"].startswith("not measured: bundled:moke-unet-simulated does not")
    for masks in ("masks", "masks-2"):
        assert (out / night["night"] / masks / "film/summary.json").is_file()


def test_a_missing_folder_is_named(params, model, tmp_path):
    with pytest.raises(SpinscopeError, match="the folder of new recordings, does not exist"):
        jobs.nightly_check(params, tmp_path / "absent", model, tmp_path / "nightly")


@pytest.mark.moke
@pytest.mark.slow
def test_real_frames_of_another_day_pass_and_changed_ones_are_named(moke, tmp_path):
    """Frames of the films that are held out of training, with the shipped imaging conditions."""
    held_out = open_dataset(moke).select(batches=[2])
    first = [
        next(k for k, record in enumerate(held_out.records) if record.source == source)
        for source in held_out.sources
    ]
    film = held_out.image(first[held_out.sources.index(11)])
    rng = np.random.default_rng(0)
    changed = {
        "polarity": 1 - film,
        "noise": film + rng.normal(0, 0.3, film.shape),
        "blur": ndimage.gaussian_filter(film, 4),
        "scale": ndimage.zoom(film, 3, order=1)[:1024, :1344],
        "contrast": 0.5 + (film - 0.5) / 4,
    }
    files = []
    for name, image in {**{f"held-out {k}": held_out.image(k) for k in first}, **changed}.items():
        files.append(tmp_path / f"{name}.png")
        write_image(files[-1], np.clip(image, 0, 1), bits=16)
    params = load_params(family="moke-unet")
    rows = jobs.drift(params, files, "bundled:moke-unet")
    found = {Path(row["file"]).stem: row["sentence"] for row in rows}
    assert {name: found[name] for name in changed} == {
        name: f"out of range: {name}" for name in changed
    }
    # Source 19 has a third of the usual contrast, less than any film of the training.
    passed = [name for name in found if name not in changed and found[name] == "in range"]
    assert len(passed) >= len(first) - 1
