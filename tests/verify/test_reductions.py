"""Integer means."""

from __future__ import annotations

import numpy as np
from tests.verify.one_node import grid, run


def test_mean_over_an_image_by_hand() -> None:
    x = np.asarray([[[[0, 1], [2, 4]], [[10, 10], [10, 9]]]], np.int8)
    out = run("mean", [(x, grid(0.5, 1))], (1, 2, 1, 1), grid(0.25, 3), axes=(2, 3), keepdims=True)
    # sums of q - 1: 3 and 35; times 0.5 / (0.25 * 4) = 0.5: 1.5 -> 2 and 17.5 -> 18; plus 3
    assert out.reshape(-1).tolist() == [5, 21]


def test_mean_without_kept_axes() -> None:
    x = np.arange(12, dtype=np.int8).reshape(1, 3, 4)
    out = run("mean", [(x, grid(1.0))], (1, 3), grid(1.0), axes=(2,), keepdims=False)
    assert out.tolist() == [[2, 6, 10]]  # 1.5 -> 2, 5.5 -> 6, 9.5 -> 10
