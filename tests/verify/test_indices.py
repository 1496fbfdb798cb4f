"""Look-ups and casts of whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.verify.one_node import run

from pocketpress.core.errors import DataError

TABLE = np.asarray([[0.5, 1], [2, 3], [-4, 5]], np.float32)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_of_the_table(dtype: str) -> None:
    index = np.asarray([[2, 0], [1, 2]], dtype)
    got = run("embedding", [(index, None)], (2, 2, 2), None, [(TABLE, None)])
    assert got.dtype == np.float32
    assert got.tolist() == [[[-4, 5], [0.5, 1]], [[2, 3], [-4, 5]]]


def test_a_half_precision_table_is_widened() -> None:
    got = run("embedding", [(np.asarray([1]), None)], (1, 2), None, [(TABLE.astype(np.float16), None)])
    assert got.dtype == np.float32 and got.tolist() == [[2, 3]]


@pytest.mark.parametrize("wrong", [3, -1, 2**40])
def test_an_index_that_is_no_row_is_an_error(wrong: int) -> None:
    with pytest.raises(DataError, match=f"x0 is no row of the table of out: got {wrong}; allowed: 0 to 2"):
        run("embedding", [(np.asarray([0, wrong]), None)], (2, 2), None, [(TABLE, None)])


def test_whole_numbers_become_reals() -> None:
    got = run("cast", [(np.asarray([-3, 0, 2**24 + 1]), None)], (3,), None)
    assert got.dtype == np.float32 and got.tolist() == [-3.0, 0.0, 2.0**24]
