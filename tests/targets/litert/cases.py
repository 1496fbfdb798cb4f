"""One-operator programs for every operator, in float and in int8, and how to run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.lower import lower
from pocketpress.targets.litert.run import open_runner

Array = np.ndarray
IMAGE = (2, 8, 7, 9)
GRID = Quantization.per_tensor(0.0471, 5)
RECTIFIED = Quantization.per_tensor(0.0471, -128)


@dataclass(frozen=True)
class Case:
    """An operator, the shapes of its activations, its constants and its output."""

    op: str
    inputs: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]
    attrs: dict[str, Any]
    constants: tuple[tuple[Array, Quantization | None], ...] = ()
    grids: tuple[Quantization, ...] = ()
    out_grid: Quantization | None = None
    positive: bool = False
    label: str = ""

    def program(self) -> Program:
        b = ProgramBuilder()
        names = []
        for position, shape in enumerate(self.inputs):
            type_ = TensorType(shape, "int8", self.grids[position]) if self.grids else TensorType(shape)
            names.append(b.input(f"x{position}", type_))
        names += [b.constant("c", value, quant) for value, quant in self.constants]
        out = TensorType(self.out, "int8", self.out_grid) if self.out_grid else TensorType(self.out)
        return b.build([b.node(self.op, names, out, name="y", **self.attrs)])


def feeds_for(program: Program, seed: int = 0, positive: bool = False) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    feeds = {}
    for name in program.inputs:
        type_ = program.type(name)
        if type_.dtype == "float32":
            value = rng.normal(size=type_.shape) * 2
            feeds[name] = (np.abs(value) + 0.1 if positive else value).astype(np.float32)
        else:
            info = np.iinfo(type_.dtype)
            feeds[name] = rng.integers(info.min, info.max + 1, type_.shape).astype(type_.dtype)
    return feeds


def run(program: Program, feeds: dict[str, Array], path: Path) -> list[Array]:
    lower(program, signature_of(program, precision="test"), path)
    runner = open_runner(path, 1)
    try:
        return runner.run([feeds[name] for name in program.inputs])
    finally:
        runner.close()


def _weights(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _int8(*shape: int, seed: int = 4) -> Array:
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


def _scales(channels: int) -> Array:
    return (np.exp(np.random.default_rng(5).normal(size=channels)) * 0.01).astype(np.float32)


def _int8_parameters(weight: Array, channels: int, axis: int) -> tuple[tuple[Array, Quantization], ...]:
    scales = _scales(channels)
    bias = np.random.default_rng(6).integers(-3000, 3000, channels).astype(np.int32)
    return (
        (weight, Quantization.per_channel(scales, axis)),
        (bias, Quantization.per_channel(GRID.step * scales, 0)),
    )


_CONVS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "same": ((12, 8, 3, 3), {"pads": (1, 1, 1, 1)}),
    "strided": ((12, 8, 3, 3), {"pads": (1, 1, 1, 1), "stride": (2, 2)}),
    "valid": ((12, 8, 3, 2), {}),
    "asymmetric": ((12, 8, 3, 3), {"pads": (2, 0, 1, 3), "stride": (2, 1)}),
    "dilated": ((12, 8, 3, 3), {"pads": (2, 2, 2, 2), "dilation": (2, 2)}),
    "grouped": ((12, 4, 3, 3), {"pads": (1, 1, 1, 1), "groups": 2, "clamp": (0.0, None)}),
    "depthwise": ((8, 1, 3, 3), {"pads": (1, 1, 1, 1), "groups": 8, "stride": (2, 2)}),
    "depthwise x2": ((16, 1, 5, 5), {"pads": (2, 2, 2, 2), "groups": 8}),
    "relu6": ((12, 8, 1, 1), {"clamp": (0.0, 6.0)}),
    "odd clamp": ((12, 8, 1, 1), {"clamp": (-3.3, 4.4)}),
    "one channel": ((1, 8, 3, 3), {"pads": (1, 1, 1, 1)}),
}
_CONV_DEFAULTS = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}


def _conv_cases(integer: bool) -> list[Case]:
    cases = []
    for label, (shape, changes) in _CONVS.items():
        attrs = {**_CONV_DEFAULTS, **changes}
        top, left, bottom, right = attrs["pads"]
        out = tuple(
            (size + pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                IMAGE[2:],
                (top + bottom, left + right),
                attrs["dilation"],
                shape[2:],
                attrs["stride"],
                strict=True,
            )
        )
        step = 0.05 * np.sqrt(np.prod(shape[1:]))
        case = Case("conv2d", (IMAGE,), (IMAGE[0], shape[0], *out), attrs, label=label)
        cases.append(_with_parameters(case, integer, shape, shape[0], 0, float(step)))
    return cases


_TRANSPOSED = {
    "k4 s2 p1": (4, 2, 1, 0, 1),
    "k3 s2 p1 o1": (3, 2, 1, 1, 1),
    "k2 s2": (2, 2, 0, 0, 1),
    "k3 s1 p1": (3, 1, 1, 0, 1),
    "k2 s2 o1": (2, 2, 0, 1, 1),
    "k1 s2": (1, 2, 0, 0, 1),
    "groups": (4, 2, 1, 0, 4),
}


def _transposed_cases(integer: bool) -> list[Case]:
    cases = []
    for label, (k, s, p, extra, groups) in _TRANSPOSED.items():
        out = tuple((size - 1) * s + k - 2 * p + extra for size in IMAGE[2:])
        attrs = {
            "stride": (s, s),
            "pads": (p,) * 4,
            "output_padding": (extra, extra),
            "groups": groups,
            "clamp": (0.0, None),
        }
        case = Case("conv_transpose2d", (IMAGE,), (IMAGE[0], 12, *out), attrs, label=label)
        cases.append(_with_parameters(case, integer, (8, 12 // groups, k, k), 12, 1, 0.9))
    return cases


def _with_parameters(
    case: Case, integer: bool, shape: tuple[int, ...], channels: int, axis: int, step: float
) -> Case:
    if not integer:
        constants: Any = ((_weights(*shape), None), (_weights(channels), None))
        return Case(case.op, case.inputs, case.out, case.attrs, constants, label=case.label)
    constants = _int8_parameters(_int8(*shape), channels, axis)
    grid = Quantization.per_tensor(step, 4)
    return Case(case.op, case.inputs, case.out, case.attrs, constants, (GRID,), grid, label=case.label)


def _product_cases(integer: bool) -> list[Case]:
    rows = (3, 5, 8)
    cases = [
        _with_parameters(Case("linear", ((3, 8),), (3, 12), {"clamp": None}), integer, (12, 8), 12, 0, 0.9),
        _with_parameters(
            Case("linear", (rows,), (3, 5, 12), {"clamp": (0.0, None)}, label="rank 3"),
            integer,
            (12, 8),
            12,
            0,
            0.9,
        ),
    ]
    grids = (GRID, Quantization.per_tensor(0.03, 0)) if integer else ()
    out = Quantization.per_tensor(0.4, 3) if integer else None
    cases.append(Case("matmul", ((2, 31, 48), (2, 48, 51)), (2, 31, 51), {}, (), grids, out))
    return cases


def _move_cases(integer: bool) -> list[Case]:
    n, c, h, w = IMAGE
    pool = {"kernel": (3, 3), "stride": (2, 2), "pads": (1, 1, 1, 1), "dilation": (1, 1)}
    rows: list[tuple[str, str, tuple[int, ...], dict[str, Any]]] = [
        ("max_pool2d", "padded", (n, c, 4, 5), pool),
        ("max_pool2d", "same", IMAGE, {**pool, "stride": (1, 1)}),
        (
            "max_pool2d",
            "valid",
            (n, c, 3, 4),
            {**pool, "kernel": (2, 2), "pads": (0, 0, 0, 0)},
        ),
        (
            "max_pool2d",
            "dilated",
            (n, c, 2, 3),
            {**pool, "pads": (0, 0, 0, 0), "dilation": (2, 2)},
        ),
        ("max_pool2d", "dilated padded", (n, c, 4, 5), {**pool, "pads": (2, 2, 2, 2), "dilation": (2, 2)}),
        ("max_pool2d", "shifted", (n, c, 4, 5), {**pool, "pads": (2, 1, 1, 1)}),
        ("reshape", "", (n * h, c * w), {"shape": (n * h, c * w)}),
        ("permute", "", (w, n, h, c), {"axes": (3, 0, 2, 1)}),
        ("slice", "", (n, 4, 3, w), {"starts": (0, 1, 2, 0), "sizes": (n, 4, 3, w), "steps": (1, 1, 1, 1)}),
        (
            "slice",
            "steps",
            (n, 4, 3, w),
            {"starts": (0, 0, 2, 0), "sizes": (n, 4, 3, w), "steps": (1, 2, 1, 1)},
        ),
        (
            "slice",
            "late",
            (n, 2, h, 3),
            {"starts": (0, 5, 0, 2), "sizes": (n, 2, h, 3), "steps": (1, 2, 1, 3)},
        ),
        ("slice", "all", (n, c, 4, 5), {"starts": (0,) * 4, "sizes": (n, c, 4, 5), "steps": (1, 1, 2, 2)}),
        ("resize_nearest", "wide", (n, c, h, 3 * w), {"size": (h, 3 * w)}),
        ("pad", "zero", (n, c, h + 3, w), {"before": (0, 0, 1, 0), "after": (0, 0, 2, 0), "value": 0.0}),
        ("pad", "value", (n, c, h + 3, w), {"before": (0, 0, 1, 0), "after": (0, 0, 2, 0), "value": 1.3}),
        ("resize_nearest", "double", (n, c, 2 * h, 2 * w), {"size": (2 * h, 2 * w)}),
        ("resize_nearest", "odd", (n, c, 5, 31), {"size": (5, 31)}),
        ("clamp", "relu", IMAGE, {"low": 0.0, "high": None}),
        ("clamp", "other", IMAGE, {"low": -1.0, "high": 0.5}),
    ]
    grids, out = ((GRID,), GRID) if integer else ((), None)
    cases = [
        Case(op, (IMAGE,), shape, attrs, (), grids, out, label=label) for op, label, shape, attrs in rows
    ]
    many = tuple([IMAGE] * 7)
    cases.append(Case("concat", many, (n, c * 7, h, w), {"axis": 1}, (), grids * 7, out))
    if integer:
        cases.append(
            Case(
                "max_pool2d",
                (IMAGE,),
                (n, c, 4, 5),
                {**pool, "pads": (2, 1, 1, 1)},
                (),
                (RECTIFIED,),
                RECTIFIED,
                label="relu",
            )
        )
        cases.append(
            Case("clamp", ((6, 8),), (6, 8), {"low": 0.0, "high": 6.0}, (), grids, out, label="rank 2")
        )
    return cases


def _binary_cases(integer: bool) -> list[Case]:
    if not integer:
        ops: list[tuple[str, dict[str, Any]]] = [(op, {"clamp": None}) for op in ("add", "sub", "mul")]
        ops += [(op, {}) for op in ("div", "minimum", "maximum")]
        cases = [Case(op, (IMAGE, IMAGE), IMAGE, attrs) for op, attrs in ops]
        cases.append(Case("add", (IMAGE, (8, 1, 1)), IMAGE, {"clamp": (0.0, 6.0)}, label="broadcast"))
        cases.append(Case("mul", (IMAGE, IMAGE), IMAGE, {"clamp": (-0.5, None)}, label="odd clamp"))
        wide = (2, 3, 2, 3, 4)
        powers = {"": (IMAGE, IMAGE), "broadcast": (IMAGE, (8, 1, 1)), "five axes": (wide, (3, 1, 3, 4))}
        cases += [
            Case("power", shapes, shapes[0], {}, positive=True, label=label)
            for label, shapes in powers.items()
        ]
        return cases
    cases, out = [], Quantization.per_tensor(0.05, 7)
    for first, second in ((100, 57), (127, 31), (3, 90), (254, 127)):
        grids = (tied(out, first, 3), tied(out, second, -11))
        for op in ("add", "sub"):
            case = Case(op, (IMAGE, IMAGE), IMAGE, {"clamp": None}, (), grids, out, label=f"{first} {second}")
            cases.append(case)
    grids = (tied(out, 100, 3), tied(out, 57, -11))
    cases.append(
        Case("add", (IMAGE, (8, 1, 1)), IMAGE, {"clamp": (0.0, None)}, (), grids, out, label="broadcast")
    )
    cases.append(Case("add", (IMAGE, IMAGE), IMAGE, {"clamp": (0.0, 6.0)}, (), grids, out, label="relu6"))
    for p in (1, 3, 40, 127):
        pair = (GRID, Quantization.per_tensor(0.031, -9))
        step = np.float32(pair[0].step * pair[1].step) * np.float32(127) / np.float32(p)
        grid = Quantization.per_tensor(float(step), 6)
        cases.append(Case("mul", (IMAGE, IMAGE), IMAGE, {"clamp": None}, (), pair, grid, label=str(p)))
    return cases


def tied(out: Quantization, p: int, zero_point: int) -> Quantization:
    """The scale ``s_out * p / 127`` that makes sums of int8 tensors exact."""
    return Quantization.per_tensor(float(out.step * np.float32(p) / np.float32(127)), zero_point)


_UNARY: list[tuple[str, dict[str, Any], bool]] = [
    ("sigmoid", {}, False),
    ("tanh", {}, False),
    ("hardswish", {}, False),
    ("hardsigmoid", {}, False),
    ("leaky_relu", {"slope": 0.1}, False),
    ("elu", {"alpha": 1.0}, False),
    ("elu", {"alpha": 0.6}, False),
    ("gelu", {"approximate": "none"}, False),
    ("gelu", {"approximate": "tanh"}, False),
    ("exp", {}, False),
    ("abs", {}, False),
    ("step", {}, False),
    ("floor", {}, False),
    ("round", {}, False),
    ("sin", {}, False),
    ("cos", {}, False),
    ("neg", {}, False),
    ("log", {}, True),
    ("sqrt", {}, True),
    ("rsqrt", {}, True),
    ("pow", {"exponent": 2.0}, False),
    ("pow", {"exponent": 3.0}, False),
    ("pow", {"exponent": -1.0}, True),
    ("pow", {"exponent": 0.5}, True),
    ("pow", {"exponent": -0.5}, True),
    ("pow", {"exponent": 1.7}, True),
]
TABLE_GRIDS = {
    "sigmoid": Quantization.per_tensor(1 / 256, -128),
    "tanh": Quantization.per_tensor(1 / 128, 0),
    "hardsigmoid": Quantization.per_tensor(1 / 256, -128),
}


def _unary_cases() -> list[Case]:
    return [
        Case(op, (IMAGE,), IMAGE, attrs, positive=positive, label=" ".join(map(str, attrs.values())))
        for op, attrs, positive in _UNARY
    ]


def _table_cases() -> list[Case]:
    grid = Quantization.per_tensor(0.0233, -112)
    return [
        Case(
            op,
            ((1, 1, 16, 16),),
            (1, 1, 16, 16),
            attrs,
            (),
            (GRID,),
            TABLE_GRIDS.get(op, grid),
            label=" ".join(map(str, attrs.values())),
        )
        for op, attrs, _ in _UNARY[:7]
    ]


def _float_only_cases() -> list[Case]:
    n, c, h, w = IMAGE
    pool = {"kernel": (3, 3), "stride": (2, 2), "pads": (1, 1, 1, 1)}
    cases = [
        Case("avg_pool2d", (IMAGE,), (n, c, 4, 5), {**pool, "count_include_pad": counted}, label=str(counted))
        for counted in (True, False)
    ]
    cases += [
        Case(
            "avg_pool2d",
            (IMAGE,),
            (n, c, 5, 6),
            {**pool, "pads": (2, 2, 2, 2), "count_include_pad": False},
            label="wide",
        ),
        Case("prelu", (IMAGE,), IMAGE, {}, ((_weights(c), None),)),
        Case("prelu", ((3, c),), (3, c), {}, ((_weights(c), None),), label="rank 2"),
        Case("mean", (IMAGE,), (n, c), {"axes": (2, 3), "keepdims": False}),
        Case("mean", (IMAGE,), (n, 1, h, w), {"axes": (1,), "keepdims": True}, label="channels"),
        Case("softmax", ((2, 5, 6),), (2, 5, 6), {"axis": -1}),
        Case("softmax", (IMAGE,), IMAGE, {"axis": 1}, label="channels"),
        Case(
            "layer_norm",
            ((2, 5, 6),),
            (2, 5, 6),
            {"axes": (2,), "eps": 1e-5},
            ((_weights(6), None), (_weights(6, seed=9), None)),
        ),
    ]
    return cases + [
        Case(
            "resize_bilinear",
            (IMAGE,),
            (n, c, 14, 20),
            {"size": (14, 20), "align_corners": corners},
            label=str(corners),
        )
        for corners in (True, False)
    ]


def _integer_only_cases() -> list[Case]:
    n, c, h, w = IMAGE
    odd = Quantization.per_tensor(float(GRID.step * np.float32(51) / np.float32(h * w)), -3)
    cases = [
        Case("mean", (IMAGE,), (n, c), {"axes": (2, 3), "keepdims": False}, (), (GRID,), odd),
        Case("requantize", (IMAGE,), IMAGE, {}, (), (GRID,), Quantization.per_tensor(0.0322, 9)),
        Case(
            "requantize",
            (IMAGE,),
            IMAGE,
            {},
            (),
            (GRID,),
            Quantization.per_tensor(float(GRID.step), 9),
            label="shift",
        ),
        Case("dequantize", (IMAGE,), IMAGE, {}, (), (GRID,)),
    ]
    return [*cases, Case("quantize", (IMAGE,), IMAGE, {}, (), (), GRID)]


FLOAT_CASES: list[Case] = [
    *_conv_cases(False),
    *_transposed_cases(False),
    *_product_cases(False),
    *_move_cases(False),
    *_binary_cases(False),
    *_unary_cases(),
    *_float_only_cases(),
]
INTEGER_CASES: list[Case] = [
    *_conv_cases(True),
    *_transposed_cases(True),
    *_product_cases(True),
    *_move_cases(True),
    *_binary_cases(True),
    *_table_cases(),
    *_integer_only_cases(),
]


def name(case: Case) -> str:
    return f"{case.op} {case.label}".strip().replace(" ", "-")


def small_mobilenet() -> Program:
    """An int8 net with the habits of MobileNetV2: depthwise, sums with tied scales, mean, linear."""
    b = ProgramBuilder()
    x = b.input("image", TensorType((1, 3, 33, 33)))
    h = b.node("quantize", [x], TensorType((1, 3, 33, 33), "int8", Quantization.per_tensor(0.031, 3)))
    h = int8_conv(b, h, 16, 3, stride=2, clamp=(0.0, 6.0))
    h = int8_conv(b, h, 24, 1)
    for p, p_new in ((90, 71), (101, 55)):
        out = Quantization.per_tensor(float(b.type(h).quant.step * np.float32(127) / np.float32(p)), -4)
        y = int8_conv(b, h, 48, 1, clamp=(0.0, None))
        y = int8_conv(b, y, 48, 3, groups=48, clamp=(0.0, 6.0))
        y = int8_conv(b, y, 24, 1, grid=tied(out, p_new, 5))
        h = b.node("add", [h, y], TensorType(b.type(h).shape, "int8", out), clamp=None)
    h = int8_conv(b, h, 48, 3, stride=2, groups=24, clamp=(0.0, None))
    n, c, rows, cols = b.type(h).shape
    step = float(b.type(h).quant.step * np.float32(51) / np.float32(rows * cols))
    pooled = TensorType((n, c), "int8", Quantization.per_tensor(step, -128))
    h = b.node("mean", [h], pooled, axes=(2, 3), keepdims=False)
    scales = _scales(10)
    w = b.constant("fc", _int8(10, c), Quantization.per_channel(scales, 0))
    logits = TensorType((n, 10), "int8", Quantization.per_tensor(0.4, 2))
    h = b.node("linear", [h, w], logits, clamp=None)
    return b.build([b.node("dequantize", [h], TensorType((n, 10)), name="logits")])


def int8_conv(
    b: ProgramBuilder,
    x: str,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    clamp: tuple[float, float | None] | None = None,
    grid: Quantization | None = None,
) -> str:
    n, c, h, w = b.type(x).shape
    fan_in = c // groups * kernel * kernel
    scales = _scales(channels)
    weight = b.constant(
        "w", _int8(channels, c // groups, kernel, kernel), Quantization.per_channel(scales, 0)
    )
    step = b.type(x).quant.step
    bias = np.random.default_rng(channels).integers(-2000, 2000, channels).astype(np.int32)
    offset = b.constant("b", bias, Quantization.per_channel(step * scales, 0))
    out_step = float(step) * float(np.mean(scales)) * 60 * float(np.sqrt(fan_in))
    grid = grid or Quantization.per_tensor(out_step, -128 if clamp else 5)
    size = [(d + 2 * (kernel // 2) - kernel) // stride + 1 for d in (h, w)]
    make: Callable[..., str] = b.node
    return make(
        "conv2d",
        [x, weight, offset],
        TensorType((n, channels, *size), "int8", grid),
        stride=(stride, stride),
        pads=(kernel // 2,) * 4,
        dilation=(1, 1),
        groups=groups,
        clamp=clamp,
    )
