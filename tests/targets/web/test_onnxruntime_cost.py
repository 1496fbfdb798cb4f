"""When an 8-bit network stays in integers in ONNX Runtime Web."""

from __future__ import annotations

import pytest
from tests.targets.web.programs import SIDE, convolutions

from pocketpress.targets.onnxruntime_web.cost import Cost, predicted
from pocketpress.targets.onnxruntime_web.lower import computes_in_integers


def test_a_dense_layer_by_hand() -> None:
    """64 pixels, 256 channels from 256: 16,384 results of 256 products."""
    results = SIDE * SIDE * 256
    cost = predicted(convolutions(256, layers=1))
    assert cost.integer_s == pytest.approx((results * 256 * 0.045 + results * 5.5) * 1e-9)
    assert cost.float_s == pytest.approx(results * 256 * 0.11 * 1e-9)


def test_a_depthwise_layer_by_hand() -> None:
    results = SIDE * SIDE * 16
    cost = predicted(convolutions(16, layers=1, depthwise=True))
    assert cost.integer_s == pytest.approx(results * (5 + 9 * 1.1) * 1e-9)
    assert cost.float_s == pytest.approx(results * (0.5 + 9 * 0.5) * 1e-9)


def test_integers_win_where_many_products_make_one_result() -> None:
    assert computes_in_integers(convolutions(512))
    assert not computes_in_integers(convolutions(32))
    assert not computes_in_integers(convolutions(32, depthwise=True))


def test_a_network_without_products_keeps_its_integers() -> None:
    assert Cost(0.0, 0.0).integers_win
    assert Cost(0.95, 1.0).integers_win
    assert not Cost(0.96, 1.0).integers_win
