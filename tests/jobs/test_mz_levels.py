"""Levels of m_z of a Lorentz model, found with films and used by `segment`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.jobs.test_ltem import film_file

from spinscope import jobs
from spinscope.classes import SKYRMION
from spinscope.config import load_params
from spinscope.corpora.films import open_films
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.images import write_image
from spinscope.inference.level import level_of_mz
from spinscope.jobs.evaluating import predictor
from spinscope.jobs.mz_levels import add_mz_levels, films_under, mz_images
from spinscope.live.results import open_results
from spinscope.models.store import NETWORK, model_info, resolve_local

MODEL = "bundled:ltem-unet"
PARAMS = load_params(family="ltem-unet")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A corpus of four films of 64 x 64 cells, with four skyrmions each."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(3)
    files = [film_file(folder / f"film-{k}.ovf", rng) for k in range(4)]
    return jobs.import_films(PARAMS, files, folder / "corpus")


@pytest.fixture(scope="module")
def made(films, tmp_path_factory) -> tuple[Path, dict]:
    """A copy of the bundled model with levels of these films."""
    out = tmp_path_factory.mktemp("model") / "model"
    return out, add_mz_levels(PARAMS, MODEL, films, out)


def test_the_regions_at_a_level_have_the_true_area(films, made):
    out, found = made
    assert found["films"]["n"] == 4 and found["images"] == 2
    network = predictor(PARAMS, str(out), masks=True)
    settings = films_under(PARAMS, network.info).model_copy(update={"images_per_film": 2})
    frames = list(mz_images(open_films(films), settings, PARAMS.seed))
    assert len(frames) == 8
    for m_z in (0.95, 0.98):
        (row,) = (row for row in found["rows"] if row["m_z"] == m_z)
        at = network.with_level(row["level"])
        ours = sum(np.count_nonzero(at.classes(image) == SKYRMION) for image, _ in frames)
        true = sum(np.count_nonzero(field <= m_z) for _, field in frames)
        assert ours == pytest.approx(true, rel=0.02)
        assert row["iou"] > 0.4


def test_images_show_their_film_without_shift(films):
    settings = films_under(PARAMS, model_info(resolve_local(MODEL)))
    assert settings.defocus_mm == (-3.2, -0.8) and settings.tilt_deg == (8, 32)
    corpus = open_films(films)
    for k, (image, field) in enumerate(mz_images(corpus, settings, 0, (0.0, 0.0))):
        assert (image.min(), image.max()) == (0, 1)
        film = corpus[k // settings.images_per_film]
        np.testing.assert_array_equal(field, film.m[..., 2])


def test_the_copy_is_a_model_of_the_same_network(made):
    folder, original = made[0], resolve_local(MODEL)
    assert sha256(folder / NETWORK) == sha256(original / NETWORK)
    ours, theirs = model_info(folder), model_info(original)
    ours.pop("mz_levels"), theirs.pop("mz_levels", None)
    assert ours == theirs


def test_segment_and_results_have_the_level(made, films, tmp_path):
    settings = films_under(PARAMS, model_info(made[0]))
    image, _ = next(mz_images(open_films(films), settings, 0))
    write_image(tmp_path / "film.png", np.clip(image, 0, 1), bits=16)
    level, sd = level_of_mz(model_info(resolve_local(MODEL)), 0.95)
    params = load_params(overrides=["segment.level=mz=0.95"])
    (row,) = jobs.segment(params, [tmp_path / "film.png"], [MODEL], tmp_path / "masks")
    assert row["level"] == level
    known = open_results(row["folder"]).summary["settings"]
    assert (known["level_mz"], known["level"], known["level_sd_logits"]) == (0.95, level, sd)
    models = [MODEL, "bundled:ltem-unet-published"]
    with pytest.raises(SpinscopeError, match="must be a probability or a file for several models"):
        jobs.segment(params, [tmp_path / "film.png"], models, tmp_path / "masks")
    with pytest.raises(SpinscopeError, match="has no levels of m_z"):
        jobs.segment(params, [tmp_path / "film.png"], ["bundled:moke-unet"], tmp_path / "masks")


def test_evaluate_has_the_level(films, tmp_path):
    overrides = ["ltem.images_per_film=1", "ltem.workers=1", "segment.level=mz=0.95"]
    params = load_params(overrides=overrides, family="ltem-unet")
    jobs.corpus(params, tmp_path / "ltem", source=films)
    report = jobs.evaluate_model(params, MODEL, tmp_path / "ltem", sources=[0, 1])
    level = level_of_mz(model_info(resolve_local(MODEL)), 0.95)[0]
    assert [row["level"] for row in report["sources"]] == [level, level]


def test_what_cannot_give_levels_is_refused(films, tmp_path):
    with pytest.raises(SpinscopeError, match="is for Kerr images"):
        add_mz_levels(load_params(), "bundled:moke-unet", films, tmp_path / "model")
    (tmp_path / "other").mkdir()
    with pytest.raises(SpinscopeError, match="exists and is no model folder"):
        add_mz_levels(PARAMS, MODEL, films, tmp_path / "other")
    header = films / "films.json"
    kept = header.read_text()
    header.write_text(json.dumps(json.loads(kept) | {"seed": 0}))
    try:
        with pytest.raises(SpinscopeError, match="films of seed 0, as the training"):
            add_mz_levels(PARAMS, MODEL, films, tmp_path / "model")
    finally:
        header.write_text(kept)
    assert not (tmp_path / "model").exists()
