"""Operators without a handler: by their parts they compute what torch computes, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketpress.core.errors import BlockedError
from pocketpress.core.program import Program
from pocketpress.sources.aten import comparisons, decompose
from pocketpress.sources.aten.translate import HANDLERS, to_program
from pocketpress.verify.reference import interpret

IMAGE = (1, 4, 6, 6)
MATRIX = torch.arange(24.0).reshape(4, 6) / 24 - 0.4
SCRATCH = torch.full((1, 4, 6, 6), 0.25)
VECTOR = torch.linspace(-1, 1, 6)


def masked(x: Tensor) -> Tensor:
    """Numbers written where a mask is true: of all axes, of the leading ones and of the last ones."""
    x = x.clone()
    x[x > 1] = 0.5
    x[:, x[0].sum((1, 2)) > 0] = -2.0
    x[..., torch.tensor([True, False, False, True, False, False])] = x.mean()
    x[:, :, x[0, 0] > 0] = 3.0
    return x


class Wrapped(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def translated(function: Callable[[Tensor], Any], x: Tensor) -> Program:
    with torch.no_grad():
        return to_program(torch.export.export(Wrapped(function), (x,)))[0]


def computed(function: Callable[[Tensor], Any], x: Tensor) -> np.ndarray[Any, Any]:
    program = translated(function, x)
    (found,) = interpret(program, {program.inputs[0]: x.numpy()}).values()
    return found


COMPOSED: dict[str, Callable[[Tensor], Tensor]] = {
    "baddbmm": lambda x: torch.baddbmm(x[0], x[0], x[0], beta=0.5, alpha=2.0),
    "addcdiv": lambda x: torch.addcdiv(x, x, x.abs() + 1, value=0.5),
    "addr": lambda x: torch.addr(x[0, 0], x[0, 0, 0], x[0, 0, 1]),
    "all": lambda x: (x > -1).all(1).float(),
    "any": lambda x: (x > 1).any(1, keepdim=True).float(),
    "any-at-all": lambda x: (x > 1).any().float(),
    "bilinear-1d": lambda x: F.interpolate(x[:, :, 0], scale_factor=2, mode="linear"),
    "bands": lambda x: F.unfold(F.pad(x.reshape(1, 1, 24, 6), (8, 9)), (12, 23)),  # more than 255 places
    "cdist": lambda x: torch.cdist(x[0], x[0].flip(1)),
    "cdist-1": lambda x: torch.cdist(x[0], x[0] * 2, p=1.0),
    "chain": lambda x: torch.linalg.multi_dot([x[0, 0], x[0, 1], x[0, 2]]),
    "clamp-tensors": lambda x: torch.clamp(x, -VECTOR.abs(), VECTOR.abs()),
    "column-stack": lambda x: torch.column_stack([x[0, 0], x[0, 1]]),
    "conv2d-computed": lambda x: F.conv2d(
        x, x[:, :2, :3, :3].reshape(2, 1, 3, 3).repeat(2, 2, 1, 1), groups=2
    ),
    "conv2d-computed-1x1": lambda x: F.conv2d(x, x[0, :, :3, :1].transpose(0, 1)[:, :, None], VECTOR[:3]),
    "conv2d-computed-strides": lambda x: F.conv2d(x, x[:, :, :2, :3], stride=2, padding=1, dilation=(2, 1)),
    "cosine": lambda x: F.cosine_similarity(x, x.flip(2), dim=1),
    "cumprod": lambda x: x.cumprod(2),
    "diff": lambda x: x.diff(dim=2),
    "dot": lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]),
    "einsum-alone": lambda x: torch.einsum("ncij,ck->nki", x, MATRIX),
    "einsum-dots": lambda x: torch.einsum("nc...,ck->nk...", x, MATRIX),
    "einsum-one": lambda x: torch.einsum("ncij->nijc", x),
    "bilinear": lambda x: F.bilinear(x[0], x[0] * 2, x[0, :3, :, :], x[0, 0, 0, :3]),
    "cosh": torch.cosh,
    "diagonal": lambda x: x.diagonal(1, 2, 3) * 2,
    "diagonal-below": lambda x: x[:, :, :, :3].diagonal(-1, 3, 2) * 2,
    "erf": torch.erf,
    "added-products": lambda x: torch.addbmm(x[0, 0], x[0], x[0], beta=0.5, alpha=2),
    "fold": lambda x: F.fold(x.reshape(1, 16, 9), (6, 6), 2, stride=2),
    "fold-leaving-rows": lambda x: F.fold(x.reshape(1, 24, 6), (7, 7), (2, 3), stride=(2, 3)),
    "fold-overlap": lambda x: F.fold(x.reshape(1, 9, 16), (4, 4), 3, padding=1),
    "hypot": lambda x: torch.hypot(x, x * 2),
    "inner": lambda x: torch.inner(x, x),
    "kron": lambda x: torch.kron(x[0, 0, :2, :2], x[0, 1, :3, :3]),
    "linear-computed": lambda x: F.linear(x, x[0, 0]),
    "local-response": lambda x: F.local_response_norm(x, 3, alpha=0.1, k=2.0),
    "logaddexp": lambda x: torch.logaddexp(x, x * 2),
    "lp-pool": lambda x: F.lp_pool2d(x, 2, 2),
    "number-to-power": lambda x: 2**x,
    "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]),
    "pairwise": lambda x: F.pairwise_distance(x, x * 2),
    "prod": lambda x: x.prod(1),
    "prod-all": lambda x: x[0, 0].prod(),
    "prod-kept": lambda x: x.prod(2, keepdim=True),
    "rotated": lambda x: x.rot90(1, (2, 3)),
    "rrelu": lambda x: F.rrelu(x, training=False),
    "sinh": torch.sinh,
    "stacked": lambda x: torch.dstack([x[0, 0], torch.vstack([x[0, 1][:3], x[0, 2][:3]])]),
    "std-mean": lambda x: torch.cat(torch.std_mean(x, 1, keepdim=True), 1),
    "tensordot": lambda x: torch.tensordot(x, MATRIX, dims=([3], [1])),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(1),
    "unbatched": lambda x: F.conv2d(x[0], torch.ones(2, 4, 3, 3)),
    "unfold": lambda x: F.unfold(x, 3, padding=1),
    "unfold-side-by-side": lambda x: F.unfold(x, (2, 4), stride=(2, 4)),
    "unfold-dilated": lambda x: F.unfold(x, (2, 3), dilation=2, stride=(1, 2)),
    "unfold-patches": lambda x: F.unfold(F.interpolate(x, scale_factor=6), 16, stride=16, padding=2),
    "var-mean": lambda x: sum(torch.var_mean(x)),  # type: ignore[arg-type, return-value]
    "vector": lambda x: x @ VECTOR,
    "vector-first": lambda x: VECTOR @ x,
    "vectors": lambda x: x[0, 0, 0] @ x[0, 0, 1],
    "windows": lambda x: x.unfold(2, 3, 2),
}

COMPARED: dict[str, Callable[[Tensor], Tensor]] = {
    "bits": lambda x: ((x > 0) ^ (x > 1)).float(),
    "cast": lambda x: (x > 0).to(x.dtype) * x,
    "equal": lambda x: (torch.relu(x) == 0).float(),
    "filled": lambda x: x.masked_fill(x < 0, -1.0),
    "greater": lambda x: (x > 0.5).float(),
    "greater-equal": lambda x: (x >= x.flip(2)).float(),
    "half": lambda x: torch.heaviside(torch.relu(x), torch.tensor(0.5)),
    "hard": F.hardshrink,
    "inside": lambda x: ((x > -1) & ~(x >= 1)).float(),
    "jump": lambda x: F.threshold(x, 0.1, 3.0),
    "jump-to-zero": lambda x: F.threshold(x, 0.1, 0.0),
    "less-equal": lambda x: (x <= VECTOR).float(),
    "limit": lambda x: F.threshold(x, 0.1, 0.1),
    "masked": lambda x: x * (x > 0),
    "outside": lambda x: ((x < -1) | (x > 1)).float(),
    "number": lambda x: (x > 0).sum(1).float(),
    "masked-write": masked,
    "or": lambda x: torch.logical_or(x > 1, x < 0).float(),
    "sgn": lambda x: x.sgn(),
    "sign": torch.sign,
    "unequal": lambda x: (torch.relu(x) != 0).float(),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "where-constant": lambda x: torch.where(x > VECTOR, SCRATCH, x),
    "xor": lambda x: torch.logical_xor(x > 0, x > 1).float(),
}


@pytest.mark.parametrize("name", [*COMPOSED, *COMPARED])
def test_the_program_computes_what_torch_computes(name: str) -> None:
    function = {**COMPOSED, **COMPARED}[name]
    x = torch.randn(IMAGE, generator=torch.Generator().manual_seed(1))
    found, wanted = computed(function, x), function(x).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


ALIASES = {"aten::threshold_", "aten::__or__", "aten::__xor__", "aten::bitwise_or", "aten::bitwise_xor"}
"""Which of them torch picks varies."""
TINY = float(np.finfo(np.float32).tiny)
PLACES = torch.tensor(
    [-np.inf, -3.0, -TINY, -0.0, 0.0, TINY, 1.0, np.nextafter(np.float32(1), 2), 3.0, np.inf]
)


@pytest.mark.parametrize("name", ["gt", "ge", "lt", "le", "eq", "ne"])
def test_a_comparison_is_right_next_to_equality(name: str) -> None:
    compare = getattr(torch, name)
    for limit in (0.0, 1.0, 3.0):
        x = PLACES[1:-1]
        np.testing.assert_array_equal(
            computed(lambda x, c=limit: compare(x, c).float(), x), compare(x, limit)
        )


def test_step_is_one_above_zero_only() -> None:
    assert computed(lambda x: (x > 0).float(), PLACES).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert computed(torch.sign, PLACES).tolist() == [-1, -1, -1, 0, 0, 1, 1, 1, 1, 1]


def test_the_cases_reach_every_handler_and_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()
    for table, names in ((HANDLERS, comparisons.HANDLERS), (decompose.FORMULAS, decompose.FORMULAS)):
        for name in names:

            def noted(*args: Any, name: str = name, do: Any = table[name], **kwargs: Any) -> Any:
                reached.add(name)
                return do(*args, **kwargs)

            monkeypatch.setitem(table, name, noted)
    for function in (*COMPOSED.values(), *COMPARED.values()):
        translated(function, torch.ones(IMAGE))
    wanted = {*comparisons.HANDLERS, *decompose.FORMULAS}
    assert wanted - reached <= ALIASES


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: torch.cdist(x[0], x[0], p=3.0), "operator aten::cdist is not supported"),
        (lambda x: x.reshape(1, -1).prod(1), "operator aten::prod is not supported"),
        (lambda x: x.reshape(-1).sort()[0], "144 numbers in order, 1 to 32 are found one after the other"),
        (lambda x: torch.special.bessel_j0(x), "operator aten::special_bessel_j0 is not supported"),
    ],
)
def test_what_has_no_parts_is_refused_by_its_own_name(function: Callable[[Tensor], Any], text: str) -> None:
    with pytest.raises(BlockedError) as caught:
        translated(function, torch.ones(IMAGE))
    message = str(caught.value)
    assert text in message and "test_decompose.py" in message and "\n" not in message


def test_what_has_a_handler_stays_as_it_is() -> None:
    """Beside an operator that is made of others nothing is rewritten."""
    program = translated(lambda x: F.silu(F.layer_norm(x, (6,))).tril(), torch.ones(IMAGE))
    assert [node.op for node in program.nodes if node.op != "reshape"] == [
        "layer_norm",
        "sigmoid",
        "mul",
        "mul",
    ]


@pytest.mark.parametrize("name", ["fold", "fold-leaving-rows", "unfold-side-by-side"])
def test_windows_side_by_side_are_moved_alone(name: str) -> None:
    program, _ = to_program(torch.export.export(Wrapped(COMPOSED[name]).eval(), (torch.zeros(IMAGE),)))
    assert {node.op for node in program.nodes} <= {"reshape", "permute", "slice", "pad"}
