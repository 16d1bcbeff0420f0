"""The study of Lorentz models from films to page: kept point by point, said in rows, tracked."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.conftest import tracking_at
from tests.studies.lorentz.films import made, stand_in, written

from spinscope import cli
from spinscope.config import Params, load_params
from spinscope.corpora.films import open_films
from spinscope.corpora.ltem import make_ltem_corpus
from spinscope.errors import SpinscopeError
from spinscope.images import write_image
from spinscope.studies import models as study_models
from spinscope.studies import report as study
from spinscope.studies.lorentz import STUDY
from spinscope.studies.lorentz import scores as lorentz
from spinscope.studies.lorentz.study import unseen
from spinscope.studies.models import Subject
from spinscope.studies.report import lines as study_lines

FILMS = made(12)
SETTINGS = [
    "ltem.label_mz=0.9",
    "ltem.label_erosion_px=0",
    "ltem.images_per_film=1",
    "evaluation.tta=1",
]


def ltem_study(params, models, films, out, **given) -> dict:
    return STUDY(params, out, models=models, films=films, **given)


@pytest.fixture(autouse=True)
def few_points(monkeypatch, tmp_path):
    """Curves of few points, no published images, and stand-ins for the models."""
    for name, values in (("NOISE", (0.0, 0.1, 0.5, 1.0)), ("DEFOCUS_MM", (-1.0, -2.0)),
                         ("TILT_DEG", (20.0, 25.0)), ("AXIS_DEG", (0, 90, 180))):  # fmt: skip
        monkeypatch.setattr(lorentz, name, values)
    monkeypatch.setenv("SPINSCOPE_LTEM", str(tmp_path / "published"))
    monkeypatch.setattr(study, "png", partial(study.png, dpi=20))  # drawing them is what takes long


@pytest.fixture
def stood_in(monkeypatch) -> dict[str, Subject]:
    """Stand-ins by name, whatever is asked for."""
    known: dict[str, Subject] = {}

    def subject(params, given):
        name, _, ref = given.partition("=")
        return known.setdefault(name, Subject(name, ref, name, stand_in(), 1))

    monkeypatch.setattr(study_models, "subject", subject)
    return known


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Films on disk."""
    return written(tmp_path_factory.mktemp("study") / "films", FILMS)


def settings(tmp_path: Path, *overrides: str) -> Params:
    params = load_params("demo", [*SETTINGS, f"data.path={tmp_path}/ltem", *overrides],
                         family="ltem-unet")  # fmt: skip
    return params.model_copy(update={"tracking": tracking_at(tmp_path / "mlruns")})


def test_a_study_says_what_its_numbers_are(stood_in, folder, tmp_path):
    report = ltem_study(settings(tmp_path), ["fixed=a", "ranges=b"], folder, tmp_path / "out",
                        numbers="all", n=3)  # fmt: skip
    rows = {row["name"]: row for row in report["rows"]}
    axis = next(row for name, row in rows.items() if name.startswith("A network trained at one"))
    # The stand-in knows dark left and bright right only, as the simulated physics has it at 0.
    assert axis["verdict"] == "reproduced"
    assert axis["measured"] < -0.5
    told = next(row for name, row in rows.items() if name.startswith("The tilt axis given"))
    assert abs(told["measured"]) < 0.1
    curve = report["curves"]["fixed"]
    assert [step["x"] for step in curve["noise"]] == [0, 0.1, 0.5, 1]
    assert curve["axis"][0] == curve["axis_known"][0] == curve["noise"][0]
    assert curve["noise"][0]["f1"]["mean"] == rows["F1, no added noise, fixed"]["measured"] > 0.6
    assert curve["noise"][0]["diameter"]["unit"] == "nm"
    assert report["films"]["names"] == ["film-00000", "film-00004", "film-00008"]
    assert report["films"]["chosen"].startswith("number 0 to 11 of films, 3 of them")
    assert (
        len(report["sizes"]["ranges"]["50"]["true"]) == curve["noise"][2]["diameter"]["true"]["n"]
    )
    page = (tmp_path / "out/ltem.html").read_text()
    for word in ("3 films", "not comparable", "Wasserstein", "fixed, axis given", "−2 mm"):
        assert word in page
    assert report == json.loads((tmp_path / "out/ltem.json").read_text())
    assert len(study_lines(report)) == len(report["rows"])


def test_an_interrupted_study_goes_on(stood_in, folder, tmp_path):
    params, out = settings(tmp_path), tmp_path / "out"
    run = partial(ltem_study, params, ["fixed=a"], folder, out, numbers="0:2")

    def interrupted(points, **_):
        for number, point in enumerate(points):
            if number == 4:
                raise KeyboardInterrupt
            yield point

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupted)
    assert len(list(out.glob("ltem-points/*/*.json"))) == 4
    engine = stood_in["fixed"].predictor.engine
    before = engine.calls
    report = run()
    done, engine.calls = engine.calls - before, 0
    again = run()
    drawn = 6  # the pictures of one film
    points = len(lorentz.points(lorentz.curves()))
    assert done == 2 * (points - 4) + drawn
    assert engine.calls == drawn
    assert again == report
    # Another network is measured anew.
    stood_in["fixed"] = replace(stood_in["fixed"], sha256="other")
    run()
    assert engine.calls == drawn + 2 * points + drawn


def test_test_films_are_those_held_back_from_training(folder, tmp_path):
    params = settings(tmp_path)
    with pytest.raises(SpinscopeError, match=r"there is no Lorentz corpus at .* --numbers"):
        unseen(params, folder)
    make_ltem_corpus(tmp_path / "ltem", open_films(folder), 0, params.ltem)
    tests = unseen(params, folder)
    assert [one.name for one in tests.films] == ["film-00009"]
    assert "batch 9 of ltem" in tests.chosen
    # Four skyrmions in 96 x 96 pixels.
    assert tests.spacing_px == pytest.approx(np.sqrt(2 * 96**2 / (4 * np.sqrt(3))))
    with pytest.raises(SpinscopeError, match=r"ltem\.label_mz = 0\.9, the settings say 0\.5"):
        unseen(settings(tmp_path, "ltem.label_mz=0.5"), folder)
    others = written(tmp_path / "others", made(12, first=1))
    with pytest.raises(SpinscopeError, match="made of other films"):
        unseen(params, others)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"numbers": "3-9"}, "--numbers '3-9' must be all or FIRST:LAST"),
        ({"numbers": "90:99"}, "leave none of 12 films"),
        ({"models": []}, "at least one --model"),
        ({"models": ["a=x", "a=y"]}, "two models are named 'a'"),
        ({"films": Path("absent")}, "there are no films at absent"),
        (
            {"real": Path("x.tif"), "real_model": "b"},
            "model 'b' of the real image must be one of a",
        ),
    ],
)
def test_bad_words_are_named(stood_in, folder, tmp_path, change, says):
    given = {"models": ["a=x"], "films": folder, "numbers": "all"} | change
    with pytest.raises(SpinscopeError, match=says):
        ltem_study(settings(tmp_path), out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_published_and_real_images_are_read_where_they_are(stood_in, folder, tmp_path):
    params = settings(tmp_path)
    one = lorentz.specimens(open_films(folder), [3], params.ltem)[0]
    image = lorentz.simulated_image(one, lorentz.Point(), params.ltem, 0)
    (tmp_path / "published").mkdir()
    tifffile.imwrite(tmp_path / "published/S_LTEM.tif", image.astype(np.float64)[None])
    tifffile.imwrite(tmp_path / "published/S_LABEL_th0.98.tif", one.label)
    write_image(tmp_path / "real.png", np.tile(image, (3, 3)), bits=16)
    real = {"real": tmp_path / "real.png", "pixel_size": 6.0}
    report = ltem_study(params, ["fixed=a"], folder, tmp_path / "out", numbers="0:1", **real)
    (pair,) = report["pairs"]["fixed"]["noise"][0]["per_image"]
    assert pair["film"] == "S"
    assert pair["f1"] > 0.6
    assert any(row["name"].startswith("F1, 50 % noise, published images") for row in report["rows"])
    real = report["real"]
    assert (real["file"], real["model"]) == ("real.png", "fixed")
    doubts = {sense["axis_deg"]: sense["doubt"] for sense in real["senses"]}
    assert sorted(doubts) == [0, 180]
    assert doubts[real["axis_deg"]] == min(doubts.values())
    assert real["scale"] == pytest.approx(1, abs=0.15)
    assert real["count_inside"] == pytest.approx(36, abs=4)
    assert real["estimate"]["count"] == pytest.approx(36, rel=0.25)
    assert real["diameter_nm"]["mean"] == pytest.approx(6 * real["diameter_px"]["mean"])
    counted = report["rows"][-1]
    assert counted["name"] == "Skyrmions in real.png, fixed"
    assert counted["measured"] == real["count_inside"]
    page = (tmp_path / "out/ltem.html").read_text()
    assert "A real image" in page
    assert "Published images at hand" in page


def test_a_study_is_tracked(stood_in, folder, tmp_path, fresh_store):
    import shutil

    from spinscope.tracking import open_store
    from spinscope.tracking.runs import runs

    shutil.copytree(fresh_store, tmp_path / "mlruns")
    params = settings(tmp_path)
    report = ltem_study(params, ["fixed=a"], folder, tmp_path / "out", numbers="0:1", track=True)
    store = open_store(params.tracking)
    (row,) = runs(store).to_dict("records")
    assert (row["kind"], row["status"], row["name"]) == ("study", "FINISHED", "study ltem")
    history = store.client.get_metric_history(row["run_id"], "fixed/noise/f1")
    noise = report["curves"]["fixed"]["noise"]
    assert [m.value for m in history] == pytest.approx([step["f1"]["mean"] for step in noise])
    figures = {item.path for item in store.client.list_artifacts(row["run_id"], "figures")}
    assert {"figures/noise.png", "figures/tilt-axis.png", "figures/one-film.png"} <= figures


def test_any_model_of_any_family_can_be_held_against_the_films():
    params = load_params("demo", SETTINGS, family="ltem-unet")
    one = study_models.subject(params, "kerr=bundled:moke-unet")
    assert (one.name, one.ref, one.knows_axis) == ("kerr", "bundled:moke-unet", False)
    assert len(one.sha256) == 64
    assert one.predict(np.random.default_rng(0).random((64, 64)), 30.0).shape == (64, 64)
    assert study_models.subject(params, "bundled:moke-unet").name == "bundled:moke-unet"


def test_the_verb(stood_in, folder, tmp_path, monkeypatch, capsys):
    def call(*words) -> int | str | None:
        monkeypatch.setattr(sys, "argv", ["spinscope", "study", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code
        return 0

    sets = [word for one in SETTINGS for word in ("--set", one)]
    given = ("--films", folder, "--numbers", "0:2", "--out", tmp_path / "out", *sets)
    assert not call("ltem", "--model", "fixed=a", "--profile", "demo", *given)
    said = capsys.readouterr().out
    assert "reproduced" in said
    assert f"page: {tmp_path}/out/ltem.html" in said
    assert not call("table", "ltem", "--out", tmp_path / "out")
    assert "| 0.923 |" in capsys.readouterr().out
    assert call("ltem", "--model", "a=x", "--films", tmp_path / "absent") == 1
    assert "there are no films at" in capsys.readouterr().err
    assert call("table", "moke", "--out", tmp_path) == 1
    assert "moke.json does not exist" in capsys.readouterr().err
