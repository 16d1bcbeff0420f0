"""Defects that are hidden, found again and merged, on masks made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import discs

from spinscope.classes import DEFECT
from spinscope.errors import SpinscopeError
from spinscope.studies.kerr.figures import MISSED, recovery_figure, student_figure
from spinscope.studies.kerr.relabelling_scores import (
    best_threshold,
    clean,
    defects_of,
    hide,
    merge,
    precision_recall,
    recovery,
    relabelled,
    richest_sources,
)


def drawn(*rows: str) -> np.ndarray:
    """A label as it is drawn: . background, s skyrmion, d defect, o outside."""
    return np.array([[".sdo".index(c) for c in row] for row in rows], dtype=np.uint8)


def certain(label: np.ndarray, of: float = 0.9) -> np.ndarray:
    """Probabilities (H, W, 3) of a network that knows the label."""
    classes = np.where(label > 2, 0, label)
    return np.where(np.eye(3, dtype=bool)[classes], of, (1 - of) / 2).astype(np.float32)


def test_sources_rich_in_defects_a_frame_are_chosen():
    video = [3] * 10  # thirty in all, but the same few in every frame
    assert richest_sources({7: video, 2: [9], 4: [5], 1: [5], 3: [0]}, 2) == (1, 2)
    with pytest.raises(SpinscopeError, match=r"labelled_sources \(=3\) must be 1 to 2"):
        richest_sources({1: [2], 2: [3], 3: [1]}, 3)
    with pytest.raises(SpinscopeError, match="nothing to learn"):
        richest_sources({1: [0], 2: [0]}, 1)


def test_an_object_that_lies_on_a_skyrmion_is_dropped_and_one_that_touches_is_kept():
    label = drawn(
        "ss......",
        "ss......",
        "........",
        "...sss..",
        "...sss..",
    )
    found = np.zeros(label.shape, dtype=bool)
    found[0:2, 0:3] = True  # four of six pixels on a skyrmion: the network took it for a defect
    found[2:4, 5:8] = True  # one of six: keeps the other five
    expected = np.zeros_like(found)
    expected[2:4, 5:8] = True
    expected[3, 5] = False
    np.testing.assert_array_equal(clean(found, label), expected)


def test_small_rests_go_and_holes_are_filled_with_background_only():
    label = drawn(
        ".........",
        ".........",
        "...o...s.",
        ".........",
        ".........",
    )
    found = np.zeros(label.shape, dtype=bool)
    found[1:4, 2:5] = True  # a ring around a pixel that is outside
    found[2, 3] = False
    found[1:4, 6:9] = True  # a ring around a skyrmion's pixel
    found[2, 7] = False
    found[4, 0] = True
    kept = clean(found, label, min_px=4)
    assert not kept[4, 0]
    assert kept.sum() == 16
    assert not kept[label != 0].any()
    free = np.zeros_like(label)
    assert clean(found, free, min_px=4).sum() == 18
    assert clean(found, free, min_px=4, fill=False).sum() == 16


def test_merging_never_changes_what_a_hand_labelled():
    label = drawn("s.o.", ".s..")
    merged = merge(label, np.ones(label.shape, dtype=bool))
    np.testing.assert_array_equal(merged, drawn("sdod", "dsdd"))


def test_a_perfect_network_gives_the_true_labels_back():
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(3):
        true = discs(rng)[1]
        true[30:36, 40:47] = DEFECT  # over skyrmions, too
        true[50:, 60:] = 3
        new = relabelled(hide(true), certain(true), min_px=4)
        np.testing.assert_array_equal(new, true)
        rows.append(recovery(true == DEFECT, new == DEFECT))
    found = precision_recall(rows)
    for key in ("precision", "recall"):
        assert [found[key + end] for end in ("", "_iou", "_px")] == [1, 1, 1]
    assert (found["n_true"], found["n_images"]) == (6, 3)


def test_precision_and_recall_of_objects_and_pixels():
    true, found = np.zeros((2, 9, 9), dtype=bool)
    true[0:2, 0:2] = found[1:3, 1:3] = True  # one pixel of four in common
    true[5:7, 5:7] = True  # missed
    found[8, 0] = found[8, 4] = True  # made up
    skyrmions = np.zeros_like(true)
    skyrmions[7:9, 7] = True  # beside the one that was missed
    told = precision_recall([recovery(true, found, skyrmions)])
    assert (told["n_free"], told["recall_free"]) == (1, 1)
    assert (told["precision"], told["recall"]) == (pytest.approx(1 / 3), 0.5)
    assert (told["precision_iou"], told["recall_iou"]) == (0, 0)
    assert (told["precision_px"], told["recall_px"]) == (pytest.approx(1 / 6), 1 / 8)
    empty = precision_recall([recovery(true & False, found & False)])
    assert (empty["precision"], empty["recall"]) == (None, None)


def test_what_the_network_is_sure_is_a_skyrmion_is_no_defect():
    p = np.array([[[0.01, 0.97, 0.02], [0.2, 0.45, 0.35], [0.6, 0.0, 0.4]]], dtype=np.float32)
    np.testing.assert_array_equal(defects_of(p), [[True, True, False]])
    p[0, 0] = [0.02, 0.97, 0.01]
    np.testing.assert_array_equal(defects_of(p, 0.3), [[False, True, True]])


def test_the_threshold_is_the_one_that_finds_the_labelled_defects():
    true = discs(np.random.default_rng(1))[1]
    p = certain(true)
    p[true == DEFECT] = [0.6, 0.0, 0.4]
    p[40:50, 40:50] = [0.7, 0.0, 0.3]  # looks a little like one
    p[true == 1] = [0.05, 0.9, 0.05]
    threshold = best_threshold([(true, p)])
    assert 0.3 < threshold <= 0.4
    np.testing.assert_array_equal(relabelled(hide(true), p, threshold=threshold), true)


def test_figures_hold_a_panel_pair_a_frame():
    image, label = discs(np.random.default_rng(1))
    figure = recovery_figure([("a", image, label, hide(label)), ("b", image, label, label)])
    assert len(figure.axes) == 4
    missed = figure.axes[1].images[0].get_array()[0, 0]
    assert np.argmax(missed) == np.argmax(MISSED)
    assert len(student_figure({"true": [0.8, 0.9], "weak": [0.7, 0.9]}).axes[0].lines) == 2
