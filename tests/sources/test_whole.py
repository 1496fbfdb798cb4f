"""Whole numbers that are computed: rounding, places, look-ups at them, and where float32 ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.sources.test_indices import translated
from torch import Tensor

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.sources.aten import places, whole
from pocketpress.sources.aten.translate import HANDLERS
from pocketpress.verify.reference import interpret

Function = Callable[..., Any]
SHAPE = (1, 3, 4, 6)
TABLE = torch.arange(40, dtype=torch.float32).reshape(10, 4) / 8
BIG = 2.0**24

REAL: dict[str, Function] = {
    "argmax": lambda x: x.argmax(1),
    "argmax-kept": lambda x: x.argmax(-1, keepdim=True),
    "argmax-of-all": lambda x: x.argmax(),
    "argmax-of-all-kept": lambda x: torch.argmax(x, dim=None, keepdim=True),
    "argmax-real": lambda x: x.argmax(3).float() * 0.5,
    "argmin": lambda x: x.argmin(2),
    "max-and-place": lambda x: x.max(1),
    "max-place": lambda x: x.max(2, keepdim=True)[1],
    "max-value": lambda x: x.max(2, keepdim=True)[0],
    "min-and-place": lambda x: torch.min(x, 3, keepdim=True),
    "max-of-two": lambda x: torch.max(x, x.flip(3)),
    "max-of-all": lambda x: x.max() + x.min(),
    "topk": lambda x: x.topk(3),
    "topk-least": lambda x: x.topk(2, dim=2, largest=False),
    "topk-one": lambda x: x.topk(1, dim=1),
    "sort": lambda x: x.sort(dim=1),
    "sort-descending": lambda x: torch.sort(x, dim=3, descending=True),
    "argsort": lambda x: x.argsort(2),
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "round-decimals": lambda x: torch.round(x, decimals=1),
    "trunc": torch.trunc,
    "fix": torch.fix,
    "frac": torch.frac,
    "trunc-positive": lambda x: torch.trunc(torch.relu(x)),
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": lambda x: torch.tan(x * 0.3),
    "div-floor": lambda x: torch.div(x, 0.7, rounding_mode="floor"),
    "div-trunc": lambda x: torch.div(x, torch.tensor([[0.7], [-0.3], [1.1], [2.0]]), rounding_mode="trunc"),
    "div-computed": lambda x: torch.div(x, x.flip(1).abs() + 1, rounding_mode="floor"),
    "div-number": lambda x: torch.div(torch.tensor(5.0), x.abs() + 1, rounding_mode="floor"),
    "floor-divide": lambda x: torch.floor_divide(x, 2),
    "remainder": lambda x: torch.remainder(x, 0.75),
    "remainder-negative": lambda x: torch.remainder(x, -0.75),
    "fmod": lambda x: torch.fmod(x, 0.75),
    "to-whole": lambda x: (x * 3).long(),
    "to-int32": lambda x: (x * 3).clamp(-9, 9).int() * 2 - 1,
    "to-whole-of-whole": lambda x: x.argmax(1).int().long(),
    "real-to-truth": lambda x: torch.relu(x).bool().float(),
    "count": lambda x: (x > 0).sum((2, 3)),
    "running-count": lambda x: (x > 0).long().cumsum(3),
    "place-of-count": lambda x: (x > 0).sum(3).argmax(2),
    "largest-count": lambda x: (x > 0).sum(3).amax(2),
    "one-hot": lambda x: F.one_hot(x.argmax(1), 3).float() * x.permute(0, 2, 3, 1),
    "one-hot-whole": lambda x: F.one_hot(x.argmax(3), 6),
    "cells": lambda x: torch.stack([x.flatten(1).argmax(1) % 6, x.flatten(1).argmax(1) // 6], 1),
    "quotient-negative": lambda x: torch.div(x.argmax(3), -2, rounding_mode="trunc"),
    "quotient-of-signed": lambda x: torch.div(x.argmax(3) - 3, 2, rounding_mode="trunc"),
    "quotient-of-signed-floor": lambda x: (x.argmax(3) - 3) // 2,
    "rest-of-signed": lambda x: torch.fmod(x.argmax(3) - 3, 2) * 10 + torch.remainder(x.argmax(3) - 3, 2),
    "compared": lambda x: (x.argmax(1) == 2).float() + (x.argmax(1) > 0).float(),
    "chosen": lambda x: torch.where(x.argmax(1) > 0, x.argmax(1), torch.tensor(7)),
    "negative": lambda x: -x.argmax(1).abs() + x.argmax(1).clamp(1, 2),
    "embedding": lambda x: F.embedding(x.argmax(3), TABLE),
    "embedding-shifted": lambda x: F.embedding(x.argmax(3) + 4, TABLE),
    "embedding-computed-table": lambda x: F.embedding(x.argmax(3), x[0, 0].t()),
    "index-select": lambda x: x.index_select(2, x[0, 0, :, 0].argmax(0, keepdim=True)),
    "index-select-last": lambda x: x.index_select(3, x[0, 0].argmax(1)),
    "gather": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "gather-part": lambda x: x.gather(3, x.argsort(3)[:, :2, :, :2]),
    "gather-of-constant": lambda x: torch.gather(TABLE[:6].t()[None, :3, None].expand(1, 3, 1, 6), 3,
                                                 x.argmax(3, keepdim=True)[:, :, :1]),
    "gather-constant": lambda x: x.gather(3, torch.tensor([5, 0, 2]).expand(1, 3, 4, 3)),
    "take-along": lambda x: torch.take_along_dim(x, x.argmax(2, keepdim=True), 2),
    "index": lambda x: TABLE[x.argmax(3)],
    "index-behind": lambda x: x[:, :, x[0, 0, :, 0].argmax(0, keepdim=True)],
    "index-two": lambda x: x[0, x[0, :, 0].argmax(1) // 2, torch.arange(3)],
    "index-two-apart": lambda x: x[torch.tensor([0, 0]), :, x[0, 0, :2].argmax(1) // 2],
    "index-from-the-end": lambda x: TABLE[x.argmax(3) - 4],
    "written": lambda x: x.clone().index_copy(2, x[0, 0, :, 0].argmax(0, keepdim=True), -x[:, :, :1]),
    "joined": lambda x: torch.cat([x.argmax(1), x.argmin(1), torch.full((1, 1, 6), 9)], 1),
    "product-beyond-16-bits": lambda x: x.flatten(1).argmax(1) * 100_000,
}  # fmt: skip


def outputs_of(found: Any) -> list[Tensor]:
    return list(found) if isinstance(found, (tuple, list)) else [found]


def check(function: Function, *inputs: Tensor) -> None:
    program = translated(function, *[torch.zeros_like(x) for x in inputs])
    got = interpret(program, dict(zip(program.inputs, (x.numpy() for x in inputs), strict=True)))
    for name, wanted in zip(program.outputs, outputs_of(function(*inputs)), strict=True):
        if wanted.is_floating_point():
            np.testing.assert_allclose(got[name], wanted.numpy(), rtol=1e-5, atol=1e-5)
        else:
            assert got[name].dtype == np.int32
            np.testing.assert_array_equal(got[name], wanted.numpy())


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_program_computes_what_torch_computes(name: str, seed: int) -> None:
    check(REAL[name], torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) * 2)


IDS: dict[str, Function] = {
    "shifted": lambda x: F.embedding(x + 2, TABLE),
    "shifted-up-to-rows": lambda x: F.embedding(9 - x, TABLE),
    "positions": lambda x: F.embedding((x != 1).int().cumsum(1) * (x != 1) + 1, TABLE),
    "padded": lambda x: F.embedding(F.pad(x, (1, 1)), TABLE),
    "index": lambda x: TABLE[x],
    "index-second": lambda x: TABLE.t()[:, x],
    "select": lambda x: torch.relu(x.float()).index_select(1, x[0]),
    "gather": lambda x: (x.float() * 2).gather(1, x),
    "one-hot": lambda x: F.one_hot(x, 6).float(),
    "mask": lambda x: (x != 0).float() * 2,
    "last-token": lambda x: F.embedding(x, TABLE)[torch.arange(1), (x != 0).sum(1) - 1],
    "bounded": lambda x: x.clamp(0, 100) * 3 + 1,
    "bounded-quotient": lambda x: x.clamp(0, 100) // 3,
    "largest": lambda x: x.clamp(0, 100).amax(1),
    "largest-place": lambda x: x.argmax(1),
    "first-end": lambda x: (x == 2).int().argmax(1),
    "filled": lambda x: F.embedding(x.masked_fill(x == 3, 9), TABLE),
    "chosen": lambda x: F.embedding(torch.where(x > 2, x, 7), TABLE),
    "mean-of-real": lambda x: (x * 2).float().mean(1),
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_whole_inputs(name: str, dtype: torch.dtype) -> None:
    if dtype is torch.int32 and name in ("gather", "one-hot"):
        pytest.skip("torch wants int64 here")
    check(IDS[name], torch.tensor([[1, 0, 3, 4, 2]], dtype=dtype))


INEXACT = "may lie beyond 2\\^24, where float32 skips some"
REFUSED: dict[str, tuple[Function, str]] = {
    "sum-of-input": (lambda x: x + 1, INEXACT),
    "product": (lambda x: x.clamp(0, 5000) * 5000, INEXACT),
    "quotient": (lambda x: (x // 3).float(), INEXACT),
    "rest": (lambda x: (x % 3).float(), INEXACT),
    "sum": (lambda x: x.sum(1).float(), INEXACT),
    "bits": (lambda x: (x & 1).float(), "bitwise operation on whole numbers"),
    "half": (lambda x: x.to(torch.float16).float(), "cast to torch.float16"),
    "many-in-order": (lambda x: x.float().repeat(1, 20).topk(33)[0], "33 numbers in order, 1 to 32"),
    "arithmetic-of-reals": (lambda x: (x.float() * 0.3).long() * 2, INEXACT),
    "division-by-zero": (lambda x: torch.remainder(x.float(), torch.tensor([1.0, 0, 1, 1, 1])), "by 0"),
    "decomposed-fft": (lambda x: torch.fft.rfft(x.float()).abs(), "fft"),
    "random": (lambda x: x.float() + torch.rand(5), "aten::rand would be drawn once"),
    "random-integers": (lambda x: x.float() + torch.randint(0, 3, (5,)), "aten::randint would be drawn once"),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(function: Function, message: str) -> None:
    try:
        program = torch.zeros(1, 5, dtype=torch.int64)
        torch.export.export(_Network(function), (program,))
    except Exception:
        pytest.skip("torch itself does not export it")
    with pytest.raises(UnsupportedError, match=message):
        translated(function, program)


class _Network(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def test_the_cases_reach_every_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()
    names = {**whole.HANDLERS, **places.HANDLERS}
    for name in names:

        def noted(b: Any, name: str = name, handler: Any = HANDLERS[name]) -> Any:
            reached.add(name)
            return handler(b)

        monkeypatch.setitem(HANDLERS, name, noted)
    for function in REAL.values():
        translated(function, torch.ones(SHAPE))
    assert set(names) - reached <= {"aten::div_", "aten::divide", "aten::fix"}


def test_equal_numbers_the_first_is_found() -> None:
    x = torch.tensor([[1.0, 3, 3, -2, -2], [0, 0, 0, 0, 0]])
    check(lambda x: (x.argmax(1), x.argmin(1), x.max(1)[1], *x.sort(dim=1, descending=True, stable=True)), x)


def test_rounding_next_to_halves() -> None:
    """Half to even, and exact where float32 has no fractions."""
    near = [np.nextafter(np.float32(v), np.float32(d)) for v in (0.5, 1.5, -0.5) for d in (-9, 9)]
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.0**23 - 0.5, 2.0**30, *map(float, near)])
    check(lambda x: (x.round(), x.floor(), x.ceil(), x.trunc()), x)


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 49, 255, 1000])
def test_quotients_of_whole_numbers_are_exact(divisor: int) -> None:
    """Next to every multiple of the divisor, up to the limit."""
    multiples = np.unique(np.linspace(0, whole.LARGEST_SUM // divisor - 1, 500).astype(np.int64)) * divisor
    x = torch.from_numpy(np.stack([multiples - 1, multiples, multiples + 1]).clip(0))
    limit = whole.LARGEST_SUM

    def function(x: Tensor) -> tuple[Tensor, ...]:
        held = x.clamp(0, limit)
        signed = held - limit // 2
        modes = [
            torch.div(signed, n, rounding_mode=m) for n in (divisor, -divisor) for m in ("floor", "trunc")
        ]
        return (held // divisor, held % divisor, *modes)

    check(function, x)


def test_how_far_numbers_reach() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((2, 4)))
    place = b.node("argmax", [x], TensorType((2,)), axis=1, keepdims=False)
    three = b.constant("three", np.asarray([-3.0, 2.0], np.float32))
    like = TensorType((2,))
    product = b.node("mul", [place, three], like, clamp=None)
    assert whole.reach(b, place) == (0, 3) and whole.reach(b, product) == (-9, 6)
    assert whole.reach(b, b.node("sub", [product, place], like, clamp=None)) == (-12, 6)
    assert whole.reach(b, b.node("abs", [product], like)) == (0, 9)
    assert whole.reach(b, b.node("clamp", [product], like, low=-1.0, high=None)) == (-1, 6)
    assert whole.reach(b, x) == (-np.inf, np.inf)
    assert whole.is_whole(b, product) and not whole.is_whole(b, x)
    huge = b.constant("huge", np.asarray(BIG, np.float32))
    beyond = b.node("mul", [place, huge], like, clamp=None)
    assert whole.is_exact(b, product) and not whole.is_exact(b, beyond)
    assert not whole.is_exact(b, b.node("neg", [beyond], like))
    assert whole.is_exact(b, b.node("floor", [beyond], like))


def test_a_weighted_sum_reaches_as_far_as_its_weights() -> None:
    b = ProgramBuilder()
    x = b.node("step", [b.input("x", TensorType((1, 3)))], TensorType((1, 3)))
    weight = b.constant("w", np.asarray([[1, 1, 1], [1, -2, 0]], np.float32))
    assert whole.reach(b, b.node("linear", [x, weight], TensorType((1, 2)), clamp=None)) == (-2, 3)
