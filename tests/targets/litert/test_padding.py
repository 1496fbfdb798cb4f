"""Windows by hand: which pads are needed, and when SAME gives them."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from pocketpress.targets.litert.padding import Window


def square(image: int, result: int, kernel: int, stride: int, pad: int, dilation: int = 1) -> Window:
    return Window((image,) * 2, (result,) * 2, (kernel,) * 2, (stride,) * 2, (dilation,) * 2, (pad,) * 4)


def test_stride_one_is_same() -> None:
    window = square(7, 7, 3, 1, 1)
    assert window.needed() == (1, 1, 1, 1) and window.is_same()


def test_stride_two_of_an_even_image_pads_in_front_and_same_pads_behind() -> None:
    window = square(224, 112, 3, 2, 1)
    assert window.needed() == (1, 1, 0, 0) and not window.is_same()


def test_stride_two_of_an_odd_image_is_same() -> None:
    window = square(33, 17, 3, 2, 1)
    assert window.needed() == (1, 1, 1, 1) and window.is_same()


def test_dilated_window_is_same_when_the_reach_is_covered() -> None:
    assert square(9, 9, 3, 1, 2, dilation=2).is_same()
    assert not square(9, 7, 3, 1, 1, dilation=2).is_same()


def test_no_pads_are_needed_when_the_windows_fit() -> None:
    assert square(8, 4, 2, 2, 0).needed() == (0, 0, 0, 0)
    assert square(9, 4, 2, 2, 0).needed() == (0, 0, 0, 0)
