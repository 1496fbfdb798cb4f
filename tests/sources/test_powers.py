"""Powers of which base and exponent are computed; whole numbers' as far as float32 is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.sources.test_indices import translated
from torch import Tensor

from pocketpress.core.errors import UnsupportedError
from pocketpress.verify.reference import interpret

Function = Callable[..., Any]
SHAPE = (1, 3, 4, 6)

REAL: dict[str, tuple[Function, tuple[str, ...]]] = {
    "of-two": (lambda x: (x.abs() + 0.1) ** x, ("power",)),
    "stretched": (lambda x: (x.abs() + 0.1) ** x[:, :1], ("power",)),
    "of-a-negative-number": (lambda x: torch.pow(torch.tensor([-2.0, 3.0] * 3), x.round()), ("power",)),
    "of-zero": (lambda x: torch.pow(0.0, x.abs() + 0.5), ("power",)),
    "of-a-positive-number": (lambda x: torch.pow(2.0, x), ("mul", "exp")),
    "of-e": (lambda x: torch.pow(torch.tensor(np.e), x), ("exp",)),
    "constants": (lambda x: x ** torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), ("power",)),
    "constants-alike": (lambda x: x ** torch.tensor([[3.0] * 6] * 4), ("pow",)),
    "constants-that-stretch": (lambda x: x[:, :1] ** torch.full((3, 4, 6), 2.0), ("power",)),
    "one": (lambda x: x**1 + 1, ()),
    "square": (lambda x: x ** torch.tensor([2]), ("mul",)),
    "root": (lambda x: x.abs() ** torch.tensor(0.5), ("sqrt",)),
    "number-of-whole": (lambda x: x.argmax(1) ** 1.5, ("pow",)),
    "whole-exponents": (lambda x: x ** x.argmax(1), ("power",)),
}


@pytest.mark.parametrize("name", REAL)
def test_powers_of_reals_are_torchs(name: str) -> None:
    function, wanted = REAL[name]
    program = translated(function, torch.zeros(SHAPE))
    counted = ("power", "pow", "exp", "mul", "sqrt")
    assert tuple(node.op for node in program.nodes if node.op in counted) == wanted
    for seed in range(3):
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) * 2
        found = interpret(program, {program.inputs[0]: x.numpy()})
        np.testing.assert_allclose(found["output"], function(x).numpy(), rtol=3e-6)


def test_hand_computed_numbers() -> None:
    program = translated(lambda x, y: x**y, torch.zeros(6), torch.zeros(6))
    x = np.asarray([2, -2, -2, 4, 0, 0.25], np.float32)
    y = np.asarray([10, 3, 2, -0.5, 0, -2], np.float32)
    found = interpret(program, dict(zip(program.inputs, (x, y), strict=True)))["output"]
    np.testing.assert_array_equal(found, np.asarray([1024, -8, 4, 0.5, 1, 16], np.float32))


WHOLE: dict[str, Function] = {
    "square": lambda x: x.argmax(3) ** 2,
    "product": lambda x: (x.argmax(3) - 2) ** 7,
    "of-two": lambda x: 2 ** x.argmax(3),
    "of-whole": lambda x: x.argmax(3) ** x.argmax(1)[:, :3, :4],
    "of-negative-whole": lambda x: (x.argmax(3) - 5) ** x.argmax(1)[:, :3, :4],
    "of-constants": lambda x: torch.tensor([-3, 2, 0, 1]) ** x.argmax(3),
}


@pytest.mark.parametrize("name", WHOLE)
def test_powers_of_whole_numbers_are_exact(name: str) -> None:
    program = translated(WHOLE[name], torch.zeros(SHAPE))
    for seed in range(3):
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        found = interpret(program, {program.inputs[0]: x.numpy()})["output"]
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, WHOLE[name](x).numpy())


def test_a_power_of_the_callers_number_is_compared_as_it_is() -> None:
    program = translated(lambda n: (n**3 > 1000).float(), torch.zeros(4, dtype=torch.int64))
    given = np.asarray([10, 11, -11, 9], np.int64)
    np.testing.assert_array_equal(interpret(program, {program.inputs[0]: given})["output"], [0, 1, 0, 0])


def refused(function: Function, *inputs: Tensor) -> str:
    with pytest.raises(UnsupportedError) as error:
        translated(function, *inputs)
    return str(error.value)


def test_powers_that_float32_may_not_hold_are_refused() -> None:
    places, numbers = torch.zeros(1, 3, 4, 40), torch.zeros(4, dtype=torch.int64)
    assert "beyond 2^24" in refused(lambda x: x.argmax(3) ** 5, places)
    assert "beyond 2^24" in refused(lambda x: 2 ** x.argmax(3), places)
    assert "beyond 2^24" in refused(lambda x: x.argmax(3) ** -x.argmax(2)[:, :, None, :1], places)
    assert "beyond 2^24" in refused(lambda n: n**2, numbers)
    assert "beyond 2^24" in refused(lambda n: n**n, numbers)
