"""The page of the Kerr study: what is there is shown, what is missing is named."""

from __future__ import annotations

import json

import pytest

from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.studies.kerr import STUDY
from spinscope.studies.kerr import ablation_table as ablations
from spinscope.studies.kerr import report as moke_report

SEEDS = [0, 1, 2]


def moke_study(params, parts, out) -> dict:
    return STUDY(params, out, parts=parts)


def ablation_part() -> dict:
    scores = {name: [0.80, 0.81, 0.82] for name in ablations.PUBLISHED}
    scores["two-class"] = [0.60, 0.60, 0.63]
    score = {"mean": 0.8, "sd": 0.01, "mcc": [0.8, 0.79, 0.81]}
    rows = ablations.table(scores, SEEDS)
    return {
        "kind": "ablations",
        "n_images": {"train": 3, "validation": 2, "test": 1},
        "epochs": 15,
        "base": ["model.width=8"],
        "data_hash": "md5:0.dir",
        "rows": rows,
        "master": {
            "factors": [],
            "rule": "none",
            "benchmark": {"train": score, "validation": score, "test": score},
            "master": {"train": score, "validation": score, "test": score},
        },
    }


def crossval_part(predicted: int) -> dict:
    row = {"n_images": 2, "mcc": 0.9, "objects_true": 50, "objects_predicted": predicted // 2}
    edges = [0.0, 5.0, 10.0]
    spread = {"sd": 0.0, "values": [0.9]}
    found = {
        "seeds": [0],
        "mcc": {"mean": 0.9, **spread},
        "count_error": {"mean": predicted / 100 - 1, **spread},
        "source_mcc": {"mean": 0.88, **spread},
        "n_images": 4,
        "batches": [{"batch": k, "sources": 1, **row} for k in range(2)],
        "sources": [{"source": k, **row} for k in range(2)],
        "objects": {"true": 100, "predicted": predicted},
        "size": {"edges_px": edges, "true": [0.5, 0.5], "predicted": [0.4, 0.6],
                 "wasserstein_px": 0.3},
    }  # fmt: skip
    trainings = [{"seed": 0, "batch": k, "sha256": 64 * "a"} for k in range(2)]
    return {
        "kind": "crossval",
        "views": {"1": found},
        "trainings": trainings,
        "data_hash": "md5:0.dir",
    }


def row(rows, start: str):
    return next(r for r in rows if r.name.startswith(start))


def test_verdicts_of_the_table_are_of_the_differences():
    rows = moke_report.findings({"ablations": ablation_part()})
    assert row(rows, "MCC, two-class").verdict == "reproduced"  # worse there and here
    assert row(rows, "MCC, label smoothing 30 %").verdict == "not reproduced"  # worse only there
    assert row(rows, "MCC, three-class").verdict == "not comparable"
    assert len(rows) == 11 + 6


@pytest.mark.parametrize(("predicted", "verdict"), [(102, "reproduced"), (106, "not reproduced")])
def test_counts_are_held_to_the_published_agreement(predicted, verdict):
    rows = moke_report.findings({"crossval": crossval_part(predicted)})
    count = row(rows, "predicted over labelled")
    assert count.verdict == verdict
    assert count.published == pytest.approx(45779 / 45707 - 1)
    assert count.sd is None  # a single seed has no spread


def test_the_page_is_made_of_what_exists_and_names_the_rest(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    with pytest.raises(SpinscopeError, match="no part of the study"):
        moke_study(load_params(), parts, tmp_path)
    (parts / "ablations.json").write_text(json.dumps(ablation_part()))
    (parts / "crossval.json").write_text(json.dumps(crossval_part(102)))
    report = moke_study(load_params(), parts, tmp_path / "reports")
    assert set(report["parts"]) == {"ablations", "crossval"}
    page = (tmp_path / "reports" / "moke.html").read_text()
    for words in ("Table I", "Fig. 5", "Fig. 6", "md5:0.dir", "aaaaaaaaaaaa", "study probes"):
        assert words in page
    assert "study ablate" not in page  # it was made
    assert page.count("<img") == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "probes"}'])
def test_a_part_that_is_not_one_is_named(tmp_path, text):
    (tmp_path / "tta.json").write_text(text)
    with pytest.raises(SpinscopeError, match=r"tta\.json must be .* `spinscope study views`"):
        moke_study(load_params(), tmp_path, tmp_path)
