"""Weak relabelling as Prefect runs it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

from spinscope.studies import base
from spinscope.studies.kerr import relabelling

REPORT = {
    "sources": [3],
    "labelled_images": 1,
    "defects": {
        **dict.fromkeys(("n_true", "n_found", "n_free", "n_images"), 1),
        **dict.fromkeys(("precision", "recall", "recall_free", "precision_iou"), 1.0),
        **dict.fromkeys(("recall_iou", "precision_px", "recall_px"), None),
    },
    "mcc": {"true": [0.9], "weak": [0.89]},
    "defect_mcc": {"true": [0.9], "weak": [0.89]},
    "difference": {"mean": -0.01, "sd": 0.0},
    "within": True,
    "bound": 0.01,
    "seconds": 1.0,
}


def test_teachers_come_first_and_a_training_that_died_is_tried_again(
    prefect, monkeypatch, tmp_path
):
    flows = importlib.import_module("study")
    done = []

    def in_this_process(call, items, workers):  # another would not see what is replaced here
        assert workers == 1
        return map(call, items)

    def prepare(params, out, *, progress):
        done.append("prepare")

    def plan_of(params, out):
        students = [(kind, 0) for kind in relabelling.STUDENTS]
        return SimpleNamespace(teachers=[("teacher", 0), ("scout", 0)], students=students)

    def train_one(params, out, kind, seed):
        assert params.relabelling.labelled_sources == 1
        done.append(kind)
        if done.count("weak") == 1 and kind == "weak":
            raise OSError("the machine ran out of memory")
        return {"mcc": 0.9}

    def relabel_frames(params, out, *, progress):
        done.append("relabel")
        return SimpleNamespace(path=Path(out) / "relabelled")

    monkeypatch.setattr(base, "side_by_side", in_this_process)
    for call in (prepare, plan_of, train_one, relabel_frames):
        monkeypatch.setattr(relabelling, call.__name__, call)
    monkeypatch.setattr(relabelling, "finish", lambda params, out, *, track: REPORT)
    found = flows.relabel(1, "demo", ["relabelling.labelled_sources=1"], str(tmp_path))
    assert found == REPORT
    assert done == ["prepare", "teacher", "scout", "relabel", "true", "weak", "weak", "hidden"]
    assert "weak - true: -0.0100" in "\n".join(relabelling.lines(found))
