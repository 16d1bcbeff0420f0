"""Weak relabelling from end to end, with networks of seconds and with one that knows the truth."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tests.conftest import discs

from spinscope.config import overridden
from spinscope.datasets import Record, data_hash, open_dataset, write_moke
from spinscope.errors import SpinscopeError
from spinscope.files import write_json
from spinscope.inference.predict import Predictor
from spinscope.models.store import NETWORK
from spinscope.studies.kerr import RELABELLING as relabel
from spinscope.studies.kerr import relabelling
from spinscope.studies.kerr.relabelled_dataset import HAND, provenance
from spinscope.studies.kerr.relabelling import STUDENTS, figures
from spinscope.studies.kerr.relabelling import lines as relabel_lines
from spinscope.studies.kerr.relabelling_scores import hide
from spinscope.tracking import open_store
from spinscope.tracking.runs import runs
from spinscope.training.fit import RESULT, finished, training_settings

RICH = (3, 8)
"""Sources with three defects a frame; the others have one."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three batches of two sources, two frames each; the last batch validates."""
    rng, frames = np.random.default_rng(5), []
    for k, source in enumerate((1, 3, 6, 8, 9, 10)):
        for number in range(2):
            image, label = discs(rng, size=48, n=4)
            if source in RICH:
                for y, x in ((20, 30), (35, 6)):
                    label[y : y + 5, x : x + 5], image[y : y + 5, x : x + 5] = 2, 0.95
            frames.append((Record(f"{source:02d}{number}", source, k // 2), image, label))
    return write_moke(tmp_path_factory.mktemp("corpus") / "moke", frames).path


@pytest.fixture
def tiny(params, corpus):
    """Settings of a study of seconds on `corpus`."""
    base = ["model.width=2", "model.depth=1", "training.epochs=1", "training.steps_per_epoch=2"]
    return overridden(
        params,
        [
            f"data.path={corpus}",
            "data.train_batches=[0, 1]",
            "data.validation_batches=[2]",
            "relabelling.labelled_sources=2",
            "relabelling.teacher=[]",
            "relabelling.seeds=1",
            f"relabelling.base={json.dumps(base)}",
        ],
    )


class Oracle:
    """Stands in for a network: it knows the label of every frame."""

    def __init__(self, corpus):
        dataset = open_dataset(corpus)
        self.truth = {dataset.image(i).tobytes(): dataset.label(i) for i in range(len(dataset))}

    def probabilities(self, image, tta=1):
        return 0.9 * np.eye(3, dtype=np.float32)[self.truth[image.tobytes()]] + 0.03


@pytest.fixture
def untrained(monkeypatch, corpus):
    """Trainings that take no time, and networks that know the truth. Yields what was trained.

    A student's score tells its seed and how many pixels it was shown as defects.
    """
    made = []

    def fit(family, splits, params, *, seed, folder, info, **_):
        settings = training_settings(params, seed, info)
        if done := finished(family, folder, settings):
            return done
        made.append((folder.parent.name, seed))
        shown = sum(int((label == 2).sum()) for _, _, label in splits.train)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / NETWORK).write_text(f"{info['data_hash']} {seed} {len(splits.train)}")
        write_json(folder / "history.json", {"val_mcc": [0.5]})
        told = {"best_epoch": 0, "seconds": 1.0, "info": {"shown": shown, "val_mcc": 0.5}}
        write_json(folder / RESULT, {**settings, **told})
        return finished(family, folder, settings)

    def score(params, network, part, views):
        return {
            "mcc": 0.5,
            "objects": {},
            "confusion": np.eye(3, dtype=int).tolist(),
            "n_images": len(part),
        }

    monkeypatch.setattr("spinscope.training.fit.fit", fit)
    monkeypatch.setattr(Predictor, "load", lambda _: Oracle(corpus))
    monkeypatch.setattr(relabelling, "score", score)
    return made


def test_a_teacher_that_knows_the_truth_gives_the_labels_back(
    tiny, untrained, corpus, tmp_path, template_store
):
    report = relabel(tiny, tmp_path / "out")
    out = tmp_path / "out"
    every = [("teacher", 0), ("scout", 0), *((kind, 0) for kind in STUDENTS)]
    assert untrained == every
    assert report["sources"] == list(RICH)
    defects = report["defects"]
    assert (defects["precision"], defects["recall"], defects["recall_px"]) == (1, 1, 1)
    assert (defects["n_true"], defects["n_images"]) == (4, 4)
    assert defects["per_teacher"][0]["recall"] == 1
    assert [row["source"] for row in defects["per_source"]] == [1, 6]
    assert report["n_images"] == {"train": 8, "validation": 4}
    assert (report["difference"], report["within"]) == ({"mean": 0, "sd": None}, True)

    truth, weak = open_dataset(corpus), open_dataset(out / "relabelled")
    hidden = open_dataset(out / "relabelling/hidden-labels")
    for index, record in enumerate(truth.records):
        true = truth.label(index)
        np.testing.assert_array_equal(weak.label(index), true)
        known = record.source in RICH or record.batch == 2
        np.testing.assert_array_equal(hidden.label(index), true if known else hide(true))
    authors = {row["name"]: row["by"] for row in provenance(weak.path)["frames"]}
    assert {name for name, by in authors.items() if by == "model"} == {"010", "011", "060", "061"}
    assert set(authors.values()) == {HAND, "model"}
    assert report["weak_hash"] == data_hash(weak) != report["data_hash"]
    assert report["weak_hash"].removeprefix("md5:") in (out / "relabelled.dvc").read_text()
    assert json.loads((out / "relabelling.json").read_text()) == report
    assert "precision 1.000  recall 1.000" in "\n".join(relabel_lines(report))
    shown = {kind: _shown(out, kind) for kind in ("teacher", "scout", *STUDENTS)}
    assert shown["true"] == shown["weak"] == shown["hidden"] + 4 * 24
    assert shown["hidden"] == shown["teacher"] == 2 * shown["scout"]

    store = open_store(tiny.tracking)
    table = runs(store)
    trials = table[table["kind"] == "trial"]
    assert set(trials["name"]) == {f"{kind} 0" for kind, _ in every}
    assert (len(trials), len(table)) == (5, 6)
    shutil.rmtree(out / "relabelling/hidden-labels")  # made again, the same
    assert relabel(tiny, out) == report
    assert untrained == every
    assert len(runs(store)) == len(table)


def _shown(out, kind):
    return json.loads((out / f"relabelling/{kind}/seed-0/result.json").read_text())["info"]["shown"]


def test_a_study_that_was_interrupted_goes_on(tiny, untrained, tmp_path, monkeypatch):
    one = relabelling.train_one

    def dies(params, out, kind, seed):
        if kind == "weak":
            raise KeyboardInterrupt
        return one(params, out, kind, seed)

    with monkeypatch.context() as patch:
        patch.setattr(relabelling, "train_one", dies)
        with pytest.raises(KeyboardInterrupt):
            relabel(tiny, tmp_path, track=False)
    stamp = (tmp_path / "relabelled/provenance.json").stat().st_mtime_ns
    assert [kind for kind, _ in untrained] == ["teacher", "scout", "true"]
    with pytest.raises(SpinscopeError, match="weak network of seed 0 is missing"):
        relabelling.finish(tiny, tmp_path)
    report = relabel(tiny, tmp_path, track=False)
    assert [kind for kind, _ in untrained] == ["teacher", "scout", "true", "weak", "hidden"]
    assert (tmp_path / "relabelled/provenance.json").stat().st_mtime_ns == stamp
    assert [row["kind"] for row in report["trainings"]] == ["teacher", "scout", *STUDENTS]
    assert len(figures(tiny, tmp_path)) == 2


def test_one_labelled_source_has_no_scout(tiny, untrained, tmp_path):
    few = overridden(tiny, ["relabelling.labelled_sources=1"])
    report = relabel(few, tmp_path, track=False)
    assert report["sources"] == [3]
    assert ("scout", 0) not in untrained
    assert report["origin"]["threshold"] == 0.5


@pytest.mark.slow
def test_with_real_trainings(tiny, tmp_path, template_store):
    report = relabel(tiny, tmp_path / "out")
    assert all(-1 <= value <= 1 for values in report["mcc"].values() for value in values)
    models = list((tmp_path / "out").rglob(NETWORK))
    assert len(models) == 2 + len(STUDENTS)
    stamps = [path.stat().st_mtime_ns for path in models]
    assert relabel(tiny, tmp_path / "out") == report
    assert [path.stat().st_mtime_ns for path in models] == stamps


def test_what_cannot_be_relabelled_is_said(tiny, tmp_path):
    with pytest.raises(SpinscopeError, match=r"labelled_sources \(=4\) must be 1 to 3"):
        relabelling.prepare(overridden(tiny, ["relabelling.labelled_sources=4"]), tmp_path)
    with pytest.raises(SpinscopeError, match=r"data\.scheme \(=2\) must be 3"):
        relabelling.prepare(overridden(tiny, ["data.scheme=2"]), tmp_path)
    with pytest.raises(SpinscopeError, match="kind 'wek' must be one of teacher"):
        relabelling.train_one(tiny, tmp_path, "wek", 0)
    with pytest.raises(SpinscopeError, match="teacher network of seed 0 is missing"):
        relabelling.finish(tiny, tmp_path)
    assert not (tmp_path / "relabelling.json").exists()
