"""What may be a name of a class, and the classes of the largest scores."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.labels import (
    MAX_LABEL_BYTES,
    MAX_LABELS,
    MAX_LABELS_BYTES,
    check_label,
    check_labels,
    class_counts,
    largest,
)


@pytest.mark.parametrize("label", ["cat", " ", "Zürich", "東京", "🐕", '"\\', "x" * MAX_LABEL_BYTES])
def test_printable_text_is_a_name(label: str) -> None:
    assert check_label(label) == len(label.encode())


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "is empty"),
        ("x" * (MAX_LABEL_BYTES + 1), "has 257 bytes, more than 256"),
        ("é" * (MAX_LABEL_BYTES // 2 + 1), "has 258 bytes, more than 256"),
        *((f"a{c}b", "holds a control character") for c in "\x00\t\n\r\x1b\x1f\x7f\x85\x9f\u2028\u2029"),
        ("\ud800", "holds half a character"),
    ],
)
def test_what_is_none(label: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_label(label)


def test_labels_count_the_elements_of_an_axis_that_is_not_the_batch() -> None:
    assert class_counts((1, 21, 64, 48)) == (21, 64, 48) and class_counts((3,)) == (3,)
    assert class_counts(()) == ()
    check_labels(["a", "b", "c"], (1, 3))
    check_labels(["a", "b", "c"], (3,))
    for shape in ((3, 1), (1, 2), (1, 4), ()):
        with pytest.raises(ValueError, match="3 labels for an output of shape"):
            check_labels(["a", "b", "c"], shape)
    with pytest.raises(ValueError, match="0 labels for an output"):
        check_labels([], (1, 0))
    with pytest.raises(ValueError, match="label 1 is empty"):
        check_labels(["a", ""], (1, 2))


def test_limits_of_all_labels_together() -> None:
    check_labels(["x"] * MAX_LABELS, (1, MAX_LABELS))
    with pytest.raises(ValueError, match="65537 labels, more than 65536"):
        check_labels(["x"] * (MAX_LABELS + 1), (1, MAX_LABELS + 1))
    long, count = "x" * MAX_LABEL_BYTES, MAX_LABELS_BYTES // MAX_LABEL_BYTES
    check_labels([long] * count, (1, count))
    with pytest.raises(ValueError, match="labels of 524289 bytes, more than 524288"):
        check_labels([*[long] * count, "x"], (1, count + 1))


def test_of_equal_scores_the_first_class_is_best_and_nan_is_last() -> None:
    scores = np.asarray([[np.nan, 0.0, 2.5, -0.0, -np.inf, 2.5]], np.float32)
    assert largest(scores, "abcdef", 4) == [("c", 2.5), ("f", 2.5), ("b", 0.0), ("d", 0.0)]
    assert [label for label, _ in largest(scores, "abcdef", 9)] == list("cfbdea")
    assert largest(np.asarray([3, 200, 7], np.uint8), "abc", 1) == [("b", 200.0)]
