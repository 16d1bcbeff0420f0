"""Pooling of the batches that were left out, by hand."""

import pytest

from spinscope.studies.kerr.cross_validation_scores import source_rows, summary


def report(mcc: float, true: int, predicted: int, sources: list[int]) -> dict:
    rows = [
        {"source": source, "mcc": mcc, "objects_true": true, "objects_predicted": predicted}
        for source in sources
    ]
    n = len(sources)
    objects = {"true": n * true, "predicted": n * predicted}
    return {"mcc": mcc, "n_images": n, "objects": objects, "per_image": rows}


def test_a_source_counts_once_however_many_frames_it_has():
    rows = source_rows(
        report(0.5, 2, 3, [7, 7, 7])["per_image"] + report(1.0, 1, 1, [2])["per_image"]
    )
    assert [(row["source"], row["n_images"], row["mcc"]) for row in rows] == [
        (2, 1, 1),
        (7, 3, 0.5),
    ]
    assert rows[1]["objects_predicted"] == 9


@pytest.mark.parametrize(
    ("pooled", "batch", "predicted", "good"),
    [
        (0.91, 0.86, 102, (True, True, True)),
        (0.89, 0.86, 102, (False, True, True)),
        (0.91, 0.84, 102, (True, False, True)),
        (0.91, 0.86, 104, (True, True, False)),
        (0.91, 0.86, 96, (True, True, False)),
    ],
)
def test_what_is_good_enough(pooled, batch, predicted, good):
    whole = {0: report(pooled, 100, predicted, [1, 2])}
    parts = {0: {0: report(0.95, 100, predicted, [1]), 1: report(batch, 100, predicted, [2])}}
    found = summary(whole, parts)
    assert tuple(found["good_enough"].values()) == good
    assert found["count_error"]["mean"] == pytest.approx(predicted / 100 - 1)


def test_seeds_give_mean_and_spread():
    whole = {k: report(0.8 + 0.1 * k, 10, 10, [1]) for k in range(2)}
    parts = {k: {0: whole[k]} for k in range(2)}
    found = summary(whole, parts)
    assert found["mcc"]["mean"] == pytest.approx(0.85)
    assert found["mcc"]["sd"] == pytest.approx(0.1 / 2**0.5)
    assert found["batches"][0]["mcc"] == pytest.approx(0.85)
    assert found["seeds"] == [0, 1]
