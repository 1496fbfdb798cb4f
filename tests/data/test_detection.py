"""Overlaps, suppression and peaks, by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.errors import DataError
from pocketpress.data.detection import corners, detections, non_maximum_suppression, overlap, peaks

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)


def test_overlap_by_hand() -> None:
    """80 of 100; 50 of 150; nothing; 40 of 140."""
    found = overlap(BOXES, BOXES)
    assert found[0].tolist() == pytest.approx([1, 0.8, 1 / 3, 0])
    assert found[1, 2] == pytest.approx(40 / 140)
    assert overlap(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


def test_a_box_that_is_inside_out_overlaps_nothing() -> None:
    assert overlap(np.array([[10.0, 10, 0, 0]]), BOXES).tolist() == [[0, 0, 0, 0]]


def test_suppression_by_hand() -> None:
    """The surest is box 1; box 0 overlaps it by 0.8 and goes; box 2 by 0.29 and stays."""
    scores = np.array([0.8, 0.9, 0.7, 0.1])
    assert non_maximum_suppression(BOXES, scores, 0.5).tolist() == [1, 2, 3]
    assert non_maximum_suppression(BOXES, scores, 0.2).tolist() == [1, 3]
    assert non_maximum_suppression(BOXES, scores, 0.8).tolist() == [1, 0, 2, 3]


def test_a_suppressed_box_suppresses_none() -> None:
    """1 overlaps 0 and 2 by a half; 0 and 2 do not touch."""
    row = np.array([[0, 0, 10, 1], [5, 0, 15, 1], [10, 0, 20, 1]], np.float32)
    assert non_maximum_suppression(row, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


def test_of_equal_scores_the_first_wins() -> None:
    assert non_maximum_suppression(BOXES[[0, 0, 1]], np.array([0.5, 0.5, 0.5])).tolist() == [0]


def test_shapes_must_fit() -> None:
    with pytest.raises(DataError, match=r"got \(4, 4\) and \(3,\); allowed: \(N, 4\) and \(N,\)"):
        non_maximum_suppression(BOXES, np.ones(3))


def test_classes_do_not_suppress_each_other() -> None:
    scores = np.array([[0.9, 0.1], [0.3, 0.8], [0.2, 0.2], [0.1, 0.4]])
    found = detections(BOXES, scores, least_score=0.25, threshold=0.5)
    assert found.labels.tolist() == [0, 1, 1]
    assert found.scores.tolist() == [0.9, 0.8, 0.4]
    assert found.boxes.tolist() == BOXES[[0, 1, 3]].tolist()
    assert len(detections(BOXES, scores, most=1).scores) == 1
    assert detections(BOXES, scores, least_score=0.95).boxes.shape == (0, 4)


def test_corners_by_hand() -> None:
    assert corners(np.array([[10.0, 20.0, 4.0, 6.0]])).tolist() == [[8.0, 17.0, 12.0, 23.0]]


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "detection.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "detections" in code]
    exec(example, {})


def test_peaks_by_hand() -> None:
    """A peak of 0.9 at row 1, column 2: centre (2.5, 1.25) cells of 4 pixels, 2 by 1 cells."""
    heat = np.zeros((1, 3, 4), np.float32)
    heat[0, 1, 2], heat[0, 1, 1], heat[0, 0, 0] = 0.9, 0.6, 0.2
    pooled = np.stack(
        [[heat[0, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() for x in range(4)] for y in range(3)]
    )[None]
    size, offset = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    size[:, 1, 2], offset[:, 1, 2] = (2, 1), (0.5, 0.25)
    found = peaks(heat, pooled, size, offset, stride=4)
    assert found.scores.tolist() == pytest.approx([0.9]) and found.labels.tolist() == [0]
    assert found.boxes.tolist() == [[6.0, 3.0, 14.0, 7.0]]


@given(st.lists(st.tuples(*[st.floats(0, 50)] * 4, st.floats(0, 1)), min_size=1, max_size=20))
def test_what_goes_overlaps_something_surer_that_stays(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4] + 1], 1)
    kept = non_maximum_suppression(boxes, table[:, 4], 0.4)
    among = overlap(boxes[kept], boxes[kept]) - np.eye(len(kept))
    assert among.max(initial=0) <= 0.4
    for gone in set(range(len(boxes))) - set(kept.tolist()):
        surer = kept[table[kept, 4] >= table[gone, 4]]
        assert overlap(boxes[gone : gone + 1], boxes[surer]).max() > 0.4
