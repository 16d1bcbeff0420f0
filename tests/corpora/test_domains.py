"""Corpus of domain films."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora import domains
from spinscope.corpora.domains import (
    draw_domain,
    films_of,
    grid_of,
    make_domain_corpus,
    open_domains,
    relaxed_domains,
)
from spinscope.datasets import open_dataset, split_by_batch
from spinscope.datasets.seen import training_frames
from spinscope.datasets.shards import damaged_files, read_header
from spinscope.errors import SpinscopeError
from spinscope.files import sha256_folder
from spinscope.physics.domain_images import kerr_image
from spinscope.physics.minimise import Relaxed

SETTINGS = ["domains.n=5", "domains.shard_films=2"]


def settings(*more: str):
    """Settings of a few films of 64 x 64 cells."""
    return load_params("demo", [*SETTINGS, *more], family="parameter-cnn").domains


def test_frames_are_views_of_films_with_the_drawn_constant(domains_folder):
    dataset = open_domains(domains_folder)
    store, header = dataset.store, read_header(domains_folder)
    assert len(dataset) == 3 * header["n"] <= 72
    assert store.parameter == "dmi"
    for index, (record, image, label) in enumerate(dataset):
        row = store.row(index)
        assert record.source == int(row["source"])
        assert record.batch == record.source % 6
        assert image.shape == (32, 32) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1
        assert label == pytest.approx([float(row["dmi"])])
        assert 1e-4 <= label[0] <= 1e-3
        assert float(row["torque"]) <= header["tolerance"]
        assert 0.02 <= float(row["up"]) <= 0.98
        assert store.pixel_size(index) == pytest.approx((125e-9, 187.5e-9, 250e-9)[index % 3] / 32)
    assert not damaged_files(domains_folder)
    values = [float(store.label(dataset.rows[index])[0]) for index in films_of(dataset)]
    assert len(set(values)) == header["n"]
    with pytest.raises(SpinscopeError, match="holds domain films, which have no masks"):
        open_dataset(domains_folder)


def test_the_largest_view_contains_nearly_the_whole_film(domains_folder):
    """250 nm of 256 nm, from a place that is always the same and differs between scales."""
    store = open_domains(domains_folder).store
    film = store.film(5)
    assert film.shape == (64, 64)
    assert store.image(5).mean() == pytest.approx(kerr_image(film).mean(), abs=0.03)
    assert np.array_equal(store.image(5), open_domains(domains_folder).image(5))
    assert np.abs(store.image(4) - store.image(5)).max() > 0.5


def test_a_film_is_in_one_split_with_all_its_views(domains_folder):
    dataset = open_domains(domains_folder)
    splits = split_by_batch(dataset, (0, 1, 2, 3), (4,), (5,))
    sources = [set(split.sources) for split in (splits.train, splits.validation, splits.test)]
    assert all(sources)
    assert not (sources[0] & sources[1] or sources[0] & sources[2] or sources[1] & sources[2])
    for split in (splits.train, splits.validation, splits.test):
        assert len(split) == 3 * len(split.sources)
    seen = training_frames(splits.train)
    assert not any(seen.contains(splits.validation)) and not any(seen.contains(splits.test))
    assert all(seen.contains(splits.train))


def test_a_seed_gives_the_same_bytes_whatever_the_batch_and_interruptions(tmp_path, monkeypatch):
    chosen = settings("domains.n=8", "domains.shard_films=1")
    whole = make_domain_corpus(tmp_path / "whole", "dmi", 3, chosen.model_copy(update={"batch": 3}))
    numbers, draw = [], domains.draw_domain

    def failing(number, *rest, **options):
        numbers.append(number)
        if number == 7:
            raise KeyboardInterrupt
        return draw(number, *rest, **options)

    monkeypatch.setattr(domains, "draw_domain", failing)
    with pytest.raises(KeyboardInterrupt):
        make_domain_corpus(tmp_path / "parts", "dmi", 3, chosen)
    assert not (tmp_path / "parts").exists()
    kept = {int(path.stem[-4:]) for path in (tmp_path / ".parts.parts").glob("part-*.json")}
    assert kept
    numbers.clear()
    monkeypatch.setattr(
        domains,
        "draw_domain",
        lambda number, *rest, **options: numbers.append(number) or draw(number, *rest, **options),
    )
    parts = make_domain_corpus(tmp_path / "parts", "dmi", 3, chosen)
    assert set(numbers) == set(range(8)) - kept
    assert sha256_folder(parts) == sha256_folder(whole)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


KILLED = """
import sys
from spinscope.config import load_params
from spinscope.corpora.domains import make_domain_corpus
settings = load_params("demo", sys.argv[2:], family="parameter-cnn").domains
make_domain_corpus(sys.argv[1], "ms", 4, settings)
"""


@pytest.mark.slow
def test_a_killed_corpus_is_resumed_to_the_same_bytes(tmp_path):
    """A process is killed between two chunks; another one ends the corpus."""
    more = ["domains.n=12"]
    killed, parts = tmp_path / "killed", tmp_path / ".killed.parts"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(killed), *SETTINGS, *more])
    while process.poll() is None and len(list(parts.glob("part-*.json"))) < 2:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.json")}
    assert 2 <= len(kept) < 6

    def seen(items, **_):
        for item in items:
            yield item
            assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())

    make_domain_corpus(killed, "ms", 4, settings(*more), progress=seen)
    whole = make_domain_corpus(tmp_path / "whole", "ms", 4, settings(*more))
    assert sha256_folder(killed) == sha256_folder(whole)


def test_other_settings_replace_an_unfinished_corpus(tmp_path, monkeypatch):
    def stopped(number, *rest, **options):
        if number:
            raise KeyboardInterrupt
        return draw_domain(number, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(domains, "draw_domain", stopped)
        with pytest.raises(KeyboardInterrupt):
            make_domain_corpus(tmp_path / "c", "dmi", 0, settings("domains.shard_films=1"))
    path = make_domain_corpus(tmp_path / "c", "dmi", 1, settings("domains.n=2"))
    assert read_header(path)["seed"] == 1


def test_a_film_depends_on_number_and_seed_alone():
    one, same = (draw_domain(7, 1, "ms", settings()) for _ in range(2))
    assert one.material == same.material
    assert np.array_equal(one.m, same.m) and np.array_equal(one.ku, same.ku)
    for other in (draw_domain(8, 1, "ms", settings()), draw_domain(7, 2, "ms", settings())):
        assert other.material.ms != one.material.ms
        assert np.abs(other.m - one.m).max() > 1
    at = draw_domain(7, 1, "ms", settings(), value=3e5)
    assert at.material == replace(one.material, ms=3e5)
    assert np.array_equal(at.m, one.m) and np.array_equal(at.ku, one.ku)


def test_the_anisotropy_varies_from_cell_to_cell_by_its_spread():
    film = draw_domain(0, 0, "dmi", settings("domains.sets.dmi.ku_spread=[0.15, 0.15]"))
    relative = film.ku / film.material.ku - 1
    assert relative.std() == pytest.approx(0.15, rel=0.05)
    assert relative.mean() == pytest.approx(0, abs=0.01)
    assert np.corrcoef(relative[:, 1:].ravel(), relative[:, :-1].ravel())[0, 1] < 0.05
    start = film.start(grid_of("dmi", settings()))
    assert np.array_equal(start.arrays["ku"], film.ku)


def test_friction_keeps_the_domains_of_a_weak_magnet():
    """At an Ms of 300 kA/m walls cost more than the stray field saves: nothing else holds them."""
    left = {}
    for friction in (4e5, 0.0):
        chosen = settings(f"domains.sets.ms.friction={friction}")
        films = [draw_domain(number, 0, "ms", chosen, value=3e5) for number in range(12)]
        results = [result for _, result in relaxed_domains(films, "ms", chosen)]
        assert all(result.converged for result in results)
        left[friction] = sum(0.1 < (result.m[2] > 0).mean() < 0.9 for result in results)
    assert left[4e5] == 12
    assert left[0.0] <= 6


def test_films_without_domains_and_unfinished_ones_are_counted_and_left_out(tmp_path, monkeypatch):
    def relaxed(films, parameter, chosen):
        for film in films:
            m = np.zeros((3, 64, 64), np.float32)
            m[2] = np.where(np.arange(64) // 16 % 2, 1, -1) if film.number else 1
            yield film, Relaxed(m, -1e-18, 5e-3, 40.0, film.number != 1)

    monkeypatch.setattr(domains, "relaxed_domains", relaxed)
    path = make_domain_corpus(tmp_path / "c", "ms", 0, settings())
    header = read_header(path)
    assert (header["films"], header["n"]) == (5, 3)
    assert (header["not_converged"], header["saturated"]) == (1, 1)
    assert [record.source for record in open_domains(path).records] == [2] * 3 + [3] * 3 + [4] * 3
    with pytest.raises(SpinscopeError, match="must hold at least one frame"):
        make_domain_corpus(tmp_path / "none", "ms", 0, settings("domains.n=2"))


def test_the_paper_profile_has_the_published_films():
    paper = load_params("paper", family="parameter-cnn").domains
    assert (paper.cell_nm, paper.thickness_nm, paper.pixels, paper.dmi_kind) == (4, 4, 128, "bulk")
    dmi, ms = paper.sets["dmi"], paper.sets["ms"]
    for films in (dmi, ms):
        assert films.size == 512
        assert set(films.scales_nm) == {500, 600, 750, 800, 1000, 1250, 1500, 1750, 2000}
        assert 0.05 <= min(films.ku_spread) <= max(films.ku_spread) <= 0.2
    one = (dmi.dmi, dmi.ms, dmi.ku, dmi.a_ex)
    assert one == ((1e-4, 1e-3), (1.5e6, 1.5e6), (1.6e6, 1.6e6), (31e-12, 31e-12))
    assert (ms.dmi, ms.ms, ms.ku, ms.a_ex) == ((0, 0), (2e5, 7e5), (4e5, 4e5), (1e-11, 1e-11))


def test_the_laptop_profile_halves_lengths_and_pixels_alike():
    """Cells, ranges and pinning are those of the paper."""
    paper, laptop = (load_params(name, family="parameter-cnn").domains for name in
                     ("paper", "laptop"))  # fmt: skip
    for name, films in laptop.sets.items():
        published = paper.sets[name]
        factor = films.size / published.size
        assert factor in (0.5, 1)
        assert films.scales_nm == tuple(factor * scale for scale in published.scales_nm)
        assert films.model_copy(update={"size": 512, "scales_nm": published.scales_nm}) == published


def test_a_folder_without_films_is_named(tmp_path, lattice_folder):
    with pytest.raises(SpinscopeError, match=r"there are no domain films at .*corpus domains"):
        open_domains(tmp_path)
    with pytest.raises(SpinscopeError, match=r"of kind 'lattice'; .* needs one of domains"):
        open_domains(lattice_folder)


def test_chunks_made_one_by_one_are_those_of_the_corpus(domains_folder, tmp_path):
    params = load_params("demo", ["domains.shard_films=12"], family="parameter-cnn")
    path = tmp_path / "corpus"
    assert jobs.missing_chunks(params, "dmi", path) == [0, 1]
    for chunk in (1, 0):
        jobs.make_chunk(params, "dmi", path, chunk)
    assert jobs.chunked_corpus(params, "dmi", path) == path
    assert sha256_folder(path) == sha256_folder(domains_folder)
    assert jobs.missing_chunks(params, "dmi", path) == [], "a complete corpus is made again"
