"""Whole numbers and truth values of the input: look-ups, casts, masks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from tests.sources.onnx.models import model
from torch import nn

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.sources.aten import indices, selection
from pocketpress.sources.aten.translate import HANDLERS, to_program
from pocketpress.sources.onnx.graph import parse
from pocketpress.sources.onnx.operators.table import OPERATORS
from pocketpress.sources.steps.network import StepNetwork
from pocketpress.verify.reference import interpret

Function = Callable[..., Any]
TABLE = torch.arange(12, dtype=torch.float32).reshape(4, 3)
SCORES = torch.linspace(-2, 2, 20).reshape(1, 1, 4, 5)
ROWS = torch.arange(20, dtype=torch.float32).reshape(4, 5)
HIDDEN = torch.triu(torch.ones(4, 5, dtype=torch.bool), 1)
LOWEST = torch.finfo(torch.float32).min


class Wrapped(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def translated(function: Function, *inputs: torch.Tensor) -> Program:
    return to_program(torch.export.export(Wrapped(function).eval(), inputs))[0]


def attention(mask: Any) -> torch.Tensor:
    q = SCORES.reshape(1, 1, 5, 4)
    return F.scaled_dot_product_attention(q, q.flip(2), q + 1, attn_mask=mask)


def rows(x: torch.Tensor) -> torch.Tensor:
    """Rows that are computed."""
    return ROWS + x.float()[:, :1]


def put_column(x: torch.Tensor) -> torch.Tensor:
    written = rows(x).clone()
    written[:, x[0, 2:3]] = ROWS[:, :1] - 9
    return written


FRAMES = torch.arange(5).unfold(0, 2, 1).reshape(-1)
"""Places of overlapping frames of two: 0, 1, 1, 2, 2, 3, 3, 4."""


def scores_masked_in_place(x: torch.Tensor) -> torch.Tensor:
    """As networks that keep a scale for behind the mask write it."""
    scores = SCORES + x.float()
    scores.masked_fill_(torch.ones(4, 5, dtype=torch.bool).triu(1), -torch.inf)
    return torch.softmax(0.25 * scores, -1) + torch.softmax(scores.unsqueeze(0).squeeze(0) / 8, -1)


def overlapped(x: torch.Tensor) -> torch.Tensor:
    frames = x.float().t() * torch.arange(1.0, 9)
    return torch.zeros(3, 5, 6).index_add_(-1, FRAMES.flip(0), frames.expand(3, 5, 8))


ATTENTION = torch.nn.MultiheadAttention(4, 2, batch_first=True).eval().requires_grad_(False)


def attention_with_both_masks(x: torch.Tensor) -> torch.Tensor:
    """With the weights of the attention as a result, torch adds both masks itself."""
    y = rows(x)[None, :, :4] / 20
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    found, weights = ATTENTION(y, y, y, key_padding_mask=x[:, :4] == 2, attn_mask=later)
    return torch.cat([found, weights], -1)


CASES: dict[str, Function] = {
    "embedding": lambda x: F.embedding(x, TABLE),
    "embedding-int32": lambda x: F.embedding(x.int(), TABLE),
    "embedding-of-a-window": lambda x: F.embedding(x[:, 1:4].reshape(3, 1).t(), TABLE),
    "bag-mean": lambda x: F.embedding_bag(x, TABLE),
    "bag-sums": lambda x: F.embedding_bag(x[:, :4].reshape(2, 2), TABLE, mode="sum"),
    "bag-offset": lambda x: F.embedding_bag(x[0], TABLE, torch.tensor([0])),
    "attention-with-both-masks": attention_with_both_masks,
    "to-float": lambda x: x.float() * 2,
    "to-float-copy": lambda x: torch.ops.aten._to_copy(x, dtype=torch.float32) * 2,
    "to-bool": lambda x: x.to(torch.bool).float(),
    "mask-times-real": lambda x: rows(x) * x - x[:, :1] / rows(x).exp(),
    "whole-times-a-real-number": lambda x: 0.5 * x + (1.0 - x) / 2,
    "whole-by-a-number": lambda x: x / 2 + x / x.abs().float().add(1),
    "not-equal": lambda x: (x != 2).float(),
    "equal": lambda x: (x == 3).float(),
    "type-as": lambda x: x.type_as(SCORES) * 2,
    **{
        f"named-{name}": lambda x, name=name: getattr(x, name)(2).float()
        for name in ("not_equal", "less", "less_equal", "greater", "greater_equal")
    },
    "not": lambda x: (~(x == 0)).float(),
    "logical-not": lambda x: torch.logical_not(x != 0).float(),
    "and": lambda x: ((x != 0) & (x != 3)).float(),
    "and-bitwise": lambda x: torch.bitwise_and(x != 0, x != 3).float(),
    "and-logical": lambda x: torch.logical_and(x != 0, torch.tensor([True, False, True, True, True])).float(),
    "and-true": lambda x: ((x != 0) & torch.ones(1, 5, dtype=torch.bool)).float(),
    "where": lambda x: torch.where(x != 0, 0.5, -3.0),
    "where-none": lambda x: torch.where(x != 0, 0.0, 0.0),
    "where-lowest": lambda x: torch.where(x != 0, 0.0, LOWEST),
    "where-infinity": lambda x: torch.softmax(
        SCORES + torch.where(x != 0, 0.0, -torch.inf)[:, None, None], -1
    ),
    "where-computed": lambda x: torch.where(x != 0, x.float() * 0.3, x.float() - 2),
    "where-known": lambda x: torch.where(x != 0, torch.linspace(-1, 1, 5), x.float()),
    "where-grown": lambda x: torch.where(x[:, :1] == 1, 0.0, torch.ones(3, 5)),
    "where-nothing": lambda x: torch.where(x[:, :1] == 1, torch.zeros(3, 5), 0.0),
    "where-infinite-constant": lambda x: torch.softmax(
        SCORES + torch.where(x == 1, torch.tensor([0.0, 0, 0, -torch.inf, 0]), 0.5)[:, None, None], -1
    ),
    "masked-fill": lambda x: (x.float() * 2).masked_fill(x == 1, -3.0),
    "masked-fill-lowest": lambda x: torch.softmax(
        (SCORES + x.float()).masked_fill((x == 1)[:, None, None], -torch.inf), -1
    ),
    "equal-tensors": lambda x: (x == x[:, :1]).float(),
    "differ-tensors": lambda x: (x != torch.arange(5)).float(),
    "less": lambda x: (x < 2).float(),
    "less-equal": lambda x: (torch.arange(5) <= x[:, 2:3]).float(),
    "greater": lambda x: (x > torch.arange(5)).float(),
    "greater-equal": lambda x: (x >= x[:, 4:]).float(),
    "write": lambda x: rows(x).index_copy(0, x[0, 2:3], ROWS[:1] - 7),
    "write-in-place": lambda x: rows(x).index_copy_(1, x[0, 2], rows(x)[:, 1:2] - 5),
    "put-in-place": put_column,
    "put": lambda x: rows(x).index_put((x[0, 2:3],), ROWS[:1] - 9),
    "masked-fill-in-place": scores_masked_in_place,
    "add-overlapping": overlapped,
    "add": lambda x: x.float() + 1.5,
    "add-in-place": lambda x: rows(x).add_(2, alpha=3),
    "add-product": lambda x: torch.baddbmm(ROWS[:, :1], rows(x)[None], rows(x).t()[None], beta=2, alpha=0.5),
    "add-twice": lambda x: rows(x).index_add(0, torch.tensor([1, 2, 1]), rows(x)[1:], alpha=-2),
    "index": lambda x: x.bool()[torch.zeros(1, 1, dtype=torch.int64), torch.arange(5)[None]].float(),
    "index-every-second": lambda x: x.float()[:, torch.tensor([1, 3])],
    "index-select": lambda x: x.float().index_select(1, torch.tensor([2, 3, 4])),
    "attention-truth": lambda x: attention((x != 0)[:, None, None].expand(1, 1, 5, 5)),
    "attention-added": lambda x: attention((1.0 - x.bool().float())[:, None, None] * LOWEST),
    "attention-known": lambda x: attention(torch.ones(5, 5, dtype=torch.bool).tril()) + x[0, 0].float(),
    "attention-all": lambda x: attention(torch.ones(5, 5, dtype=torch.bool)) + x[0, 0].float(),
}


@pytest.mark.parametrize("function", CASES.values(), ids=CASES.keys())
def test_the_program_computes_what_torch_computes(function: Function) -> None:
    x = torch.tensor([[1, 0, 3, 2, 1]])
    program = translated(function, torch.zeros_like(x))
    assert program.type(program.inputs[0]).dtype == "int64"
    got = interpret(program, {program.inputs[0]: x.numpy()})["output"]
    np.testing.assert_allclose(got, function(x).numpy(), rtol=1e-6, atol=1e-6)


REFUSED: dict[str, tuple[Function, str]] = {
    "bag-sizes": (lambda x: F.embedding_bag(x[0], TABLE, torch.tensor([0, 2])), "bags of several sizes"),
    "bag-maxima": (lambda x: F.embedding_bag(x, TABLE, mode="max"), "weights, padding or maxima"),
    "cast-to-half": (lambda x: x.to(torch.float16).float(), "cast to torch.float16"),
    "bits": (lambda x: (x & 1).float(), "bitwise operation on whole numbers"),
    "not-bits": (lambda x: (~x).float(), "bitwise operation on whole numbers"),
    "where-whole": (lambda x: torch.where(x != 0, x, 3), "may lie beyond 2"),
    "where-infinity-kept": (lambda x: torch.where(x != 0, 0.0, -torch.inf), "of infinite ones"),
    "write-several": (
        lambda x: ROWS.index_put((x[0, :2],), rows(x)[:2]),
        "writing at several places",
    ),
    "write-adding": (lambda x: ROWS.index_put((x[0, :1],), ROWS[:1], accumulate=True), "adding to them"),
    "write-in-two-axes": (
        lambda x: ROWS.index_put((x[0, :1], x[0, :1]), rows(x)[0, :1]),
        "indices of several axes",
    ),
    "add-computed": (lambda x: rows(x).index_add(0, x[0, :2], rows(x)[:2]), "places that are computed"),
    "add-with-gaps": (lambda x: rows(x).index_add(0, torch.tensor([0, 2]), rows(x)[:2]), "places with gaps"),
    "masked-far-off": (
        lambda x: torch.softmax((SCORES * x[0, 0].float()).masked_fill(x == 1, -torch.inf) * 0.01, -1),
        "infinite",
    ),
    "index-uneven": (lambda x: x.float()[:, torch.tensor([[0, 1], [3, 0]])], "not evenly spaced"),
    "sum-of-whole": (lambda x: x + 1, "output output holds whole numbers that may lie beyond 2"),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_names_the_line(function: Function, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message) as caught:
        translated(function, torch.zeros(1, 5, dtype=torch.int64))
    assert "test_indices.py:" in str(caught.value) or "operator" in str(caught.value)


def test_the_table_reaches_every_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()
    whole = {**indices.HANDLERS, **selection.HANDLERS}
    for name in whole:

        def noted(b: Any, name: str = name, handler: Any = HANDLERS[name]) -> Any:
            reached.add(name)
            return handler(b)

        monkeypatch.setitem(HANDLERS, name, noted)
    for function in CASES.values():
        translated(function, torch.zeros(1, 5, dtype=torch.int64))
    assert reached == set(whole)


def test_a_constant_mask_is_finite_behind_a_cast() -> None:
    """A row of which every key is masked has numbers, as long as it is multiplied by 0 afterwards."""
    mask = torch.where(torch.arange(4)[:, None] < 3, 0.0, -torch.inf).expand(4, 5)
    kept = (torch.arange(4.0)[:, None] < 3).float()
    program = translated(lambda x: torch.softmax((x + mask).to(torch.float32), -1) * kept, SCORES)
    found = interpret(program, {program.inputs[0]: SCORES.numpy()})["output"]
    wanted = torch.softmax(SCORES, -1) * kept
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6)


def test_a_masked_key_has_no_weight() -> None:
    """Whatever the values of masked keys are, the result is the same."""

    def function(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q = SCORES.reshape(1, 1, 5, 4)
        return F.scaled_dot_product_attention(q, q, v, attn_mask=(x != 0)[:, None, None].expand(1, 1, 5, 5))

    x, v = torch.tensor([[1, 0, 1, 1, 0]]), torch.ones(1, 1, 5, 2)
    program = translated(function, x, v)
    wild = v.clone()
    wild[0, 0, [1, 4]] = 1e6
    first, second = program.inputs
    got = [interpret(program, {first: x.numpy(), second: w.numpy()})["output"] for w in (v, wild)]
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_allclose(got[0], np.ones((1, 1, 5, 2)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_an_onnx_gather_of_a_table_is_a_look_up(dtype: str) -> None:
    proto = model([helper.make_node("Gather", ["t", "x"], ["y"], "rows")], {}, ["y"], {"t": TABLE.numpy()})
    kind = getattr(TensorProto, dtype.upper())
    proto.graph.input.append(helper.make_tensor_value_info("x", kind, (1, 3)))
    x = torch.tensor([[3, 0, 2]], dtype=getattr(torch, dtype))
    from onnx_ir import serde

    network = StepNetwork(parse(serde.deserialize_model(proto)), (x,), OPERATORS).eval()
    program = to_program(torch.export.export(network, (x,)))[0]
    assert next(n.op for n in program.nodes) == "embedding"
    got = interpret(program, {"x": x.numpy()})["y"]
    assert got.tolist() == [[[9, 10, 11], [0, 1, 2], [6, 7, 8]]]


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda x: x.masked_fill(HIDDEN, float("-inf")).softmax(-1), ["add", "softmax"]),
        (lambda x: x.masked_fill(HIDDEN, -1e4), ["mul", "add"]),
        (lambda x: torch.where(HIDDEN, x, x + 2), ["add", "mul", "mul", "add"]),
        (lambda x: torch.where(HIDDEN, x, 0.0), ["mul"]),
        (lambda x: torch.where(HIDDEN, torch.tensor(3.0), x[:1]), ["slice", "mul", "add"]),
    ],
)
def test_selection_by_a_constant(function: Function, ops: list[str]) -> None:
    program = translated(function, ROWS)
    assert [node.op for node in program.nodes if node.op != "reshape"] == ops
    (found,) = interpret(program, {program.inputs[0]: ROWS.numpy()}).values()
    np.testing.assert_array_equal(found, function(ROWS).numpy())


EARLIER = torch.zeros(4, 4).masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf)


def attention_with_a_mask(x: torch.Tensor) -> torch.Tensor:
    y = x[None, :, :4] / 20
    weighted = ATTENTION(y, y, y, attn_mask=EARLIER)[1]
    fast = ATTENTION(y, y, y, attn_mask=EARLIER, need_weights=False)[0]
    return torch.cat([weighted, fast, torch.softmax((y @ y.mT).add_(EARLIER), -1)], -1)


def test_no_infinity_is_added_to_scores() -> None:
    """The masks that torch makes hold minus infinity, of which integers have no range."""
    program = translated(attention_with_a_mask, ROWS)
    assert all(np.isfinite(value).all() for value in program.constants.values())
    (found,) = interpret(program, {program.inputs[0]: ROWS.numpy()}).values()
    np.testing.assert_allclose(found, attention_with_a_mask(ROWS).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chosen", [[0, 2], [3, 0, 1], [2, 2], [1]])
def test_rows_that_are_chosen_are_slices(chosen: list[int]) -> None:
    program = translated(lambda x: (x + 1).index_select(0, torch.tensor(chosen)), ROWS)
    (found,) = interpret(program, {program.inputs[0]: ROWS.numpy()}).values()
    np.testing.assert_array_equal(found, ROWS.numpy()[chosen] + 1)
