"""The table of operator cases: every operator of the vocabulary, with the attributes real networks use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from pocketpress.core.program import OPS, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.testing.case_builder import (
    DYNAMIC,
    FLOAT,
    HALF,
    INTEGER,
    Case,
    CaseBuilder,
    HalfBuilder,
    IntegerBuilder,
    IslandBuilder,
    real_result,
)
from pocketpress.testing.recurrent_cases import recurrent_cases

Variant = Callable[[CaseBuilder], str]

_VARIANTS: list[tuple[str, str, bool, Variant]] = []
_PLAIN = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "clamp": None}
_UPSAMPLE = {"stride": (2, 2), "pads": (0, 0, 0, 0), "output_padding": (0, 0), "clamp": None}
_SIGMOID_OUT = Quantization.per_tensor(1 / 256, -128)
_TANH_OUT = Quantization.per_tensor(1 / 128, 0)


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case: all operators in float and in int8, some with float16 weights."""
    found = []
    for op, name, half, variant in _VARIANTS:
        kinds: list[type[CaseBuilder]] = [CaseBuilder, *([HalfBuilder] if half else [])]
        kinds.append(IslandBuilder if OPS[op].integer == "float" else IntegerBuilder)
        for kind in kinds:
            builder = kind(op, name)
            found.append(builder.build(variant(builder)))
    return (*found, *_borders(), *_dynamics(), *_whole_numbers(), *recurrent_cases())


def _case(op: str, name: str, variant: Variant, *, half: bool = False) -> None:
    _VARIANTS.append((op, name, half, variant))


# -- matrix products -----------------------------------------------------------------------------------


def _conv(
    name: str,
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    groups: int = 1,
    bias: bool = True,
    half: bool = False,
    **attrs: Any,
) -> None:
    full = {**_PLAIN, **attrs}
    _case(
        "conv2d",
        name,
        lambda h: h.product(h.input(x), w, bias=bias, groups=groups, **full),
        half=half,
    )


_conv("3x3", (1, 6, 9, 7), (8, 6, 3, 3), pads=(1, 1, 1, 1), half=True)
_conv("1x1", (1, 16, 5, 5), (24, 16, 1, 1))
_conv("no_bias", (1, 5, 6, 6), (7, 5, 3, 3), bias=False)
_conv("stride_2_pads_after", (1, 3, 12, 10), (8, 3, 3, 3), stride=(2, 2), pads=(0, 0, 1, 1), clamp=(0.0, 6.0))
_conv("stride_2_pads_around", (1, 3, 13, 11), (8, 3, 3, 3), stride=(2, 2), pads=(1, 1, 1, 1))
_conv("1x1_stride_2", (1, 8, 9, 9), (8, 8, 1, 1), stride=(2, 2))
_conv("uneven_pads", (1, 4, 8, 8), (4, 4, 3, 5), pads=(2, 0, 1, 3))
_conv("dilation_2", (1, 4, 10, 10), (6, 4, 3, 3), dilation=(2, 2), pads=(2, 2, 2, 2))
_conv("groups_4", (1, 8, 6, 6), (12, 2, 3, 3), groups=4, pads=(1, 1, 1, 1))
_conv("depthwise_3x3", (1, 16, 8, 8), (16, 1, 3, 3), groups=16, pads=(1, 1, 1, 1), clamp=(0.0, 6.0))
_conv("depthwise_stride_2", (1, 16, 9, 9), (16, 1, 3, 3), groups=16, stride=(2, 2), pads=(0, 0, 1, 1))
_conv("depthwise_5x5", (1, 9, 7, 7), (9, 1, 5, 5), groups=9, pads=(2, 2, 2, 2))
_conv("depthwise_doubling", (1, 6, 6, 6), (12, 1, 3, 3), groups=6, pads=(1, 1, 1, 1))
_conv("depthwise_1x1", (1, 8, 4, 4), (8, 1, 1, 1), groups=8)
_conv("relu", (1, 6, 6, 6), (8, 6, 3, 3), clamp=(0.0, None))
_conv("clamp_below_and_above", (1, 6, 6, 6), (8, 6, 3, 3), clamp=(-1.0, 1.0))
_conv("many_channels", (1, 160, 4, 4), (40, 160, 3, 3), pads=(1, 1, 1, 1))
_conv("row_kernel", (1, 4, 6, 9), (5, 4, 1, 7), pads=(0, 3, 0, 3))
_conv("whole_image_kernel", (1, 12, 5, 5), (6, 12, 5, 5))


def _transposed(
    name: str,
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    groups: int = 1,
    bias: bool = True,
    half: bool = False,
    **attrs: Any,
) -> None:
    full = {**_UPSAMPLE, **attrs}
    _case(
        "conv_transpose2d",
        name,
        lambda h: h.product(h.input(x), w, bias=bias, axis=1, groups=groups, **full),
        half=half,
    )


_transposed("2x2_stride_2", (1, 6, 5, 4), (6, 4, 2, 2), half=True)
_transposed("3x3_stride_2", (1, 5, 5, 4), (5, 6, 3, 3), pads=(1, 1, 1, 1), output_padding=(1, 1))
_transposed("4x4_stride_2_relu", (1, 4, 4, 6), (4, 5, 4, 4), pads=(1, 1, 1, 1), clamp=(0.0, None))
_transposed("3x3_stride_1", (1, 4, 5, 5), (4, 3, 3, 3), stride=(1, 1), pads=(1, 1, 1, 1), bias=False)
_transposed("kernel_below_stride", (1, 3, 4, 4), (3, 2, 2, 2), stride=(3, 3))
_transposed("uneven", (1, 3, 4, 5), (3, 4, 5, 3), stride=(3, 2), pads=(0, 1, 2, 0), output_padding=(0, 1))
_case(
    "linear",
    "vector",
    lambda h: h.product(h.input((1, 40)), (10, 40), clamp=None),
    half=True,
)
_case("linear", "no_bias", lambda h: h.product(h.input((1, 33)), (7, 33), bias=False, clamp=None))
_case("linear", "relu6", lambda h: h.product(h.input((1, 64)), (33, 64), clamp=(0.0, 6.0)))
_case("linear", "rows", lambda h: h.product(h.input((6, 20)), (9, 20), clamp=None))
_case("linear", "tokens", lambda h: h.product(h.input((1, 5, 24)), (16, 24), clamp=None))
_case("linear", "wide", lambda h: h.product(h.input((1, 1280)), (100, 1280), clamp=None))
_case("matmul", "matrices", lambda h: h.apply([h.input((5, 12)), h.input((12, 7))]))
_case("matmul", "heads", lambda h: h.apply([h.input((1, 4, 24, 16)), h.input((1, 4, 16, 24))]))
_case(
    "matmul",
    "second_zero_point_0",
    lambda h: h.apply([h.input((1, 4, 24, 16)), h.input((1, 4, 16, 24), zero_point=0)]),
)


# -- element by element ----------------------------------------------------------------------------------

_IMAGE = (1, 6, 5, 4)


def _sum(op: str, name: str, other: tuple[int, ...], ratios: tuple[int, int], **attrs: Any) -> None:
    full = {"clamp": None, **attrs}
    _case(op, name, lambda h: h.add(h.pair(_IMAGE, other, ratios=ratios), ratio=ratios[0], **full))


for _op in ("add", "sub"):
    _sum(_op, "equal_scales", _IMAGE, (127, 127))
    _sum(_op, "other_scales", _IMAGE, (61, 104))
    _sum(_op, "small_and_large_scale", _IMAGE, (127, 3))
    _sum(_op, "relu", _IMAGE, (90, 77), clamp=(0.0, None))
    _sum(_op, "per_channel", (1, 6, 1, 1), (50, 127))
    _case(
        _op,
        "constant",
        lambda h: h.add([h.input(_IMAGE), h.grid_constant(_IMAGE)], clamp=None),
        half=True,
    )

_case("mul", "equal_shapes", lambda h: h.mul([h.input(_IMAGE), h.input(_IMAGE)], clamp=None))
_case("mul", "rational", lambda h: h.mul([h.input(_IMAGE), h.input(_IMAGE)], numerator=1, clamp=None))
_case("mul", "clamp", lambda h: h.mul([h.input(_IMAGE), h.input(_IMAGE)], clamp=(-4.0, 6.0)))
_case(
    "mul",
    "squeeze_and_excite",
    lambda h: h.mul(
        [h.input((1, 16, 7, 7)), h.input((1, 16, 1, 1), scale=1 / 256, zero_point=-128)],
        numerator=90,
        clamp=None,
    ),
)
_case("mul", "constant", lambda h: h.mul([h.input(_IMAGE), h.grid_constant((1, 6, 1, 1))], clamp=None))
_case("div", "images", lambda h: h.apply([h.input(_IMAGE), h.positive(_IMAGE)]))
_case("div", "per_channel", lambda h: h.apply([h.input(_IMAGE), h.positive((1, 6, 1, 1))]))
for _op in ("minimum", "maximum"):
    _case(_op, "images", lambda h: h.apply([h.input(_IMAGE), h.input(_IMAGE)]))
    _case(_op, "per_channel", lambda h: h.apply([h.input(_IMAGE), h.input((1, 6, 1, 1))]))
_case("pow", "square", lambda h: h.apply([h.input(_IMAGE)], exponent=2.0))
_case("pow", "fraction", lambda h: h.apply([h.positive(_IMAGE)], exponent=0.75))
_case("power", "images", lambda h: h.apply([h.positive(_IMAGE), h.input(_IMAGE, scale=0.02)]))
_case("power", "per_channel", lambda h: h.apply([h.positive(_IMAGE), h.input((1, 6, 1, 1), scale=0.02)]))
_case("power", "of_constants", lambda h: h.apply([h.constant(h.rng.uniform(0.5, 2, 4)), h.input(_IMAGE)]))
_case(
    "power",
    "whole_exponents_of_any_sign",
    lambda h: h.apply([h.input(_IMAGE), h.constant(np.asarray([0, 1, 2, 3, 4, 5]).reshape(6, 1, 1))]),
    half=True,
)
_case("clamp", "relu", lambda h: h.move([h.input(_IMAGE)], low=0.0, high=None))
_case("clamp", "relu6", lambda h: h.move([h.input(_IMAGE, scale=0.06)], low=0.0, high=6.0))
_case("clamp", "above", lambda h: h.move([h.input(_IMAGE)], low=None, high=1.5))
_case("clamp", "symmetric", lambda h: h.move([h.input(_IMAGE)], low=-1.0, high=1.0))

_TABLE_SHAPE = (1, 8, 8, 8)


def _activation(op: str, name: str, scale: float, zero_point: int, out: Quantization, **attrs: Any) -> None:
    _case(op, name, lambda h: h.table(_TABLE_SHAPE, scale, zero_point, out, **attrs))


_activation("sigmoid", "wide", 0.06, 4, _SIGMOID_OUT)
_activation("sigmoid", "narrow", 0.011, -31, _SIGMOID_OUT)
_activation("tanh", "wide", 0.03, -2, _TANH_OUT)
_activation("tanh", "narrow", 0.009, 17, _TANH_OUT)
_activation("hardsigmoid", "wide", 0.06, 4, _SIGMOID_OUT)
_activation("hardsigmoid", "narrow", 0.02, -31, _SIGMOID_OUT)
_activation("hardswish", "wide", 0.05, -5, Quantization.per_tensor(0.0271, -113))
_activation("hardswish", "narrow", 0.02, 11, Quantization.per_tensor(0.0107, -93))
_activation("hardswish", "three_in_60_steps", 3 / 60, -5, Quantization.per_tensor(0.0273, -113))
_activation("leaky_relu", "small_slope", 0.04, 3, Quantization.per_tensor(0.021, -119), slope=0.01)
_activation("leaky_relu", "large_slope", 0.04, 3, Quantization.per_tensor(0.023, -80), slope=0.2)
_activation("elu", "one", 0.04, -20, Quantization.per_tensor(0.0271, -91), alpha=1.0)
_activation("elu", "half", 0.04, -20, Quantization.per_tensor(0.0263, -109), alpha=0.5)
_case("gelu", "exact", lambda h: h.apply([h.input(_IMAGE)], approximate="none"))
_case("gelu", "tanh", lambda h: h.apply([h.input(_IMAGE)], approximate="tanh"))
_case("exp", "image", lambda h: h.apply([h.input(_IMAGE, scale=0.02)]))
for _op in ("log", "sqrt", "rsqrt"):
    _case(_op, "image", lambda h: h.apply([h.positive(_IMAGE)]))
for _op in ("abs", "neg", "step", "floor", "round", "sin", "cos"):
    _case(_op, "image", lambda h: h.apply([h.input(_IMAGE)]))
for _op in ("sin", "cos"):
    _case(_op, "many_turns", lambda h: h.apply([h.spread(_IMAGE, 300.0)]))
for _op in ("floor", "round"):
    _case(_op, "halves", lambda h: h.apply([h.input(_IMAGE, scale=0.5, zero_point=3)]))
_case(
    "prelu", "image", lambda h: h.apply([h.input(_IMAGE), h.constant(h.rng.uniform(0.05, 0.4, 6))]), half=True
)


# -- reductions ------------------------------------------------------------------------------------------


def _pool(op: str, name: str, x: tuple[int, ...], **attrs: Any) -> None:
    extra = {"dilation": (1, 1)} if op == "max_pool2d" else {"count_include_pad": True}
    full = {"kernel": (2, 2), "stride": (2, 2), "pads": (0, 0, 0, 0), **extra, **attrs}
    if op == "max_pool2d":
        _case(op, name, lambda h: h.move([h.input(x)], **full))
    else:
        _case(op, name, lambda h: h.apply([h.input(x)], **full))


_pool("max_pool2d", "2x2", (1, 5, 8, 6))
_pool("max_pool2d", "3x3_padded", (1, 5, 9, 9), kernel=(3, 3), pads=(1, 1, 1, 1))
_pool("max_pool2d", "3x3_pads_after", (1, 5, 8, 8), kernel=(3, 3), pads=(0, 0, 1, 1))
_pool("max_pool2d", "5x5_same", (1, 4, 7, 7), kernel=(5, 5), stride=(1, 1), pads=(2, 2, 2, 2))
_pool("max_pool2d", "dilation_2", (1, 4, 9, 9), kernel=(3, 3), stride=(1, 1), dilation=(2, 2))
_pool("avg_pool2d", "2x2", (1, 5, 8, 6))
_pool("avg_pool2d", "3x3_padded", (1, 5, 9, 9), kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1))
_pool(
    "avg_pool2d",
    "3x3_padding_not_counted",
    (1, 5, 9, 9),
    kernel=(3, 3),
    stride=(2, 2),
    pads=(1, 1, 1, 1),
    count_include_pad=False,
)


def _mean(
    name: str, x: tuple[int, ...], axes: tuple[int, ...], divisor: int, *, keepdims: bool = True
) -> None:
    _case("mean", name, lambda h: h.mean([h.input(x)], divisor=divisor, axes=axes, keepdims=keepdims))


_mean("image_49", (1, 16, 7, 7), (2, 3), 49)
_mean("image_16", (1, 16, 4, 4), (2, 3), 9, keepdims=False)
_mean("image_64", (1, 8, 8, 8), (2, 3), 31)
_mean("odd_count_other_scale", (1, 8, 5, 5), (2, 3), 17, keepdims=False)
_mean("tokens", (1, 10, 12), (1,), 7, keepdims=False)
_mean("last_axis", (1, 6, 15), (2,), 15)
_mean("channels", (1, 12, 4, 5), (1,), 11)
_case("softmax", "logits", lambda h: h.apply([h.input((1, 20))], axis=-1))
_case("softmax", "attention", lambda h: h.apply([h.input((1, 2, 5, 7))], axis=3))
_case("softmax", "channels", lambda h: h.apply([h.input((1, 6, 4, 4))], axis=1))


_case("argmax", "channels", lambda h: h.apply([h.input((1, 6, 4, 5))], axis=1, keepdims=False))
_case("argmax", "channels_kept", lambda h: h.apply([h.input((1, 6, 4, 5))], axis=1, keepdims=True))
_case("argmax", "rows", lambda h: h.apply([h.input((1, 9, 30))], axis=1, keepdims=False))
_case("argmax", "last_axis", lambda h: h.apply([h.input((1, 9, 12))], axis=-1, keepdims=False))
_case("argmax", "equal_numbers", lambda h: h.apply([h.tied((1, 40, 12))], axis=2, keepdims=True))


def _layer_norm(h: CaseBuilder) -> str:
    weight, bias = h.constant(h.rng.uniform(0.5, 1.5, 24)), h.constant(h.rng.standard_normal(24))
    return h.apply([h.input((1, 5, 24)), weight, bias], axes=(2,), eps=1e-5)


_case("layer_norm", "tokens", _layer_norm, half=True)


# -- movement of data ------------------------------------------------------------------------------------


def _concat_channels(count: int) -> Variant:
    return lambda h: h.move([h.input((1, 2 + i, 4, 4)) for i in range(count)], axis=1)


for _count in (2, 3, 6):
    _case("concat", f"channels_of_{_count}", _concat_channels(_count))
_case("concat", "rows", lambda h: h.move([h.input((1, 3, 2, 5)), h.input((1, 3, 4, 5))], axis=2))
_case("concat", "tokens", lambda h: h.move([h.input((1, 1, 8)), h.input((1, 4, 8))], axis=1))
_case("concat", "vectors", lambda h: h.move([h.input((1, 8)), h.input((1, 3))], axis=1))
_case("reshape", "flatten", lambda h: h.move([h.input((1, 4, 3, 3))], shape=(1, 36)))
_case("reshape", "tokens", lambda h: h.move([h.input((1, 6, 4, 4))], shape=(1, 6, 16)))
_case("reshape", "image", lambda h: h.move([h.input((1, 48))], shape=(1, 3, 4, 4)))
_case("permute", "tokens", lambda h: h.move([h.input((1, 6, 16))], axes=(0, 2, 1)))
_case("permute", "channels_last", lambda h: h.move([h.input((1, 6, 4, 5))], axes=(0, 2, 3, 1)))
_case("permute", "heads", lambda h: h.move([h.input((1, 5, 2, 8))], axes=(0, 2, 1, 3)))


def _slice(name: str, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]) -> None:
    _case("slice", name, lambda h: h.move([h.input((1, 6, 7, 8))], starts=starts, sizes=sizes, steps=steps))


_slice("channels", (0, 2, 0, 0), (1, 3, 7, 8), (1, 1, 1, 1))
_slice("window", (0, 0, 1, 2), (1, 6, 5, 4), (1, 1, 1, 1))
_slice("every_second", (0, 0, 0, 1), (1, 6, 4, 4), (1, 1, 2, 2))
_case(
    "pad",
    "rows_and_columns",
    lambda h: h.move([h.input((1, 3, 4, 5))], before=(0, 0, 1, 2), after=(0, 0, 3, 0), value=0.0),
)
_case(
    "pad",
    "channels",
    lambda h: h.move([h.input((1, 3, 4, 4))], before=(0, 1, 0, 0), after=(0, 2, 0, 0), value=0.0),
)
_case(
    "pad",
    "with_value",
    lambda h: h.move([h.input((1, 3, 4, 4))], before=(0, 0, 1, 1), after=(0, 0, 1, 1), value=1.1),
)
_case("resize_nearest", "twice", lambda h: h.move([h.input((1, 3, 4, 5))], size=(8, 10)))
_case("resize_nearest", "three_and_two", lambda h: h.move([h.input((1, 3, 4, 5))], size=(12, 10)))
_case("resize_nearest", "other_size", lambda h: h.move([h.input((1, 3, 6, 7))], size=(9, 10)))
_case("resize_nearest", "smaller", lambda h: h.move([h.input((1, 3, 9, 8))], size=(3, 4)))


def _bilinear(name: str, x: tuple[int, ...], size: tuple[int, int], *, corners: bool) -> None:
    _case("resize_bilinear", name, lambda h: h.apply([h.input(x)], size=size, align_corners=corners))


_bilinear("half_pixel_twice", (1, 3, 4, 5), (8, 10), corners=False)
_bilinear("half_pixel_other_size", (1, 3, 6, 7), (11, 9), corners=False)
_bilinear("aligned_corners_twice", (1, 3, 4, 5), (8, 10), corners=True)
_bilinear("aligned_corners_other_size", (1, 3, 6, 7), (11, 9), corners=True)


# -- borders ---------------------------------------------------------------------------------------------


def _borders() -> tuple[Case, ...]:
    return (
        _quantize("values_between_steps"),
        _quantize_half_way(),
        _int8_output(),
        _dequantize(),
        _requantize(
            "other_scale", "int8", Quantization.per_tensor(0.031, -4), Quantization.per_tensor(0.0474, 7)
        ),
        _requantize(
            "finer_scale", "int8", Quantization.per_tensor(0.031, -4), Quantization.per_tensor(0.0113, 3)
        ),
        _requantize(
            "raw_pixels", "uint8", Quantization.per_tensor(1 / 255, 0), Quantization.per_tensor(1 / 255, -128)
        ),
        _requantize(
            "raw_pixels_other_scale",
            "uint8",
            Quantization.per_tensor(1 / 255, 0),
            Quantization.per_tensor(0.0173, -20),
        ),
    )


def _quantize(name: str) -> Case:
    h = CaseBuilder("quantize", name)
    x = h.input((1, 3, 32, 32))
    type_ = TensorType((1, 3, 32, 32), "int8", Quantization.per_tensor(0.0291, 11))
    stored = h.builder.node("quantize", [x], type_, name="stored")
    y = h.builder.node("dequantize", [stored], TensorType(type_.shape), name="y")
    return Case(name, "quantize", IntegerBuilder.precision, h.builder.build([y]), h.feeds)


def _quantize_half_way() -> Case:
    """A scale that is a power of two, so that inputs can lie exactly half way: half goes to even."""
    h = CaseBuilder("quantize", "half_way")
    shape = (1, 1, 1, 259)
    x = h.builder.input("x0", TensorType(shape))
    values = ((np.arange(-130, 129, dtype=np.float32) + 0.5) * 0.25).reshape(shape)
    type_ = TensorType(shape, "int8", Quantization.per_tensor(0.25, 0))
    stored = h.builder.node("quantize", [x], type_, name="stored")
    y = h.builder.node("dequantize", [stored], TensorType(shape), name="y")
    return Case("half_way", "quantize", IntegerBuilder.precision, h.builder.build([y]), {x: values})


def _int8_output() -> Case:
    h = CaseBuilder("quantize", "int8_output")
    x = h.input((1, 3, 8, 8))
    type_ = TensorType((1, 3, 8, 8), "int8", Quantization.per_tensor(0.0291, 11))
    stored = h.builder.node("quantize", [x], type_, name="y")
    return Case("int8_output", "quantize", IntegerBuilder.precision, h.builder.build([stored]), h.feeds)


def _dequantize() -> Case:
    h = CaseBuilder("dequantize", "int8_input")
    shape = (1, 1, 16, 16)
    x = h.builder.input("x0", TensorType(shape, "int8", Quantization.per_tensor(0.0371, -9)))
    y = h.builder.node("dequantize", [x], TensorType(shape), name="y")
    values = np.arange(-128, 128).astype(np.int8).reshape(shape)
    return Case("int8_input", "dequantize", IntegerBuilder.precision, h.builder.build([y]), {x: values})


def _requantize(name: str, dtype: str, source: Quantization, out: Quantization) -> Case:
    h = CaseBuilder("requantize", name)
    shape = (1, 4, 8, 8)
    x = h.builder.input("x0", TensorType(shape, dtype, source))
    inner = h.builder.node("requantize", [x], TensorType(shape, "int8", out), name="stored")
    y = h.builder.node("dequantize", [inner], TensorType(shape), name="y")
    values = np.arange(256).astype(np.uint8).view(dtype).reshape(shape)
    return Case(name, "requantize", IntegerBuilder.precision, h.builder.build([y]), {x: values})


def _dynamics() -> list[Case]:
    conv = {**_PLAIN, "pads": (1, 1, 1, 1), "groups": 1}
    strided = {**conv, "stride": (2, 2), "clamp": (0.0, 6.0)}
    return [
        _dynamic("dynamic_conv2d", "3x3", (1, 6, 9, 7), (8, 6, 3, 3), conv),
        _dynamic("dynamic_conv2d", "stride_2_relu6", (1, 6, 9, 9), (8, 6, 3, 3), strided),
        _dynamic("dynamic_linear", "rows", (1, 24), (10, 24), {"clamp": None}),
        _dynamic("dynamic_linear", "tokens", (1, 7, 24), (10, 24), {"clamp": (0.0, None)}),
    ]


def _dynamic(
    op: str, name: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], attrs: dict[str, Any]
) -> Case:
    """int8 weights with a scale per output channel, activations in float."""
    h = CaseBuilder(op, name)
    x = h.input(x_shape)
    integers = h.rng.integers(-127, 128, w_shape).astype(np.int8)
    fan_in = int(np.prod(w_shape[1:]))
    quant = Quantization.per_channel(h.rng.uniform(0.5, 1.5, w_shape[0]) * 1.5 / np.sqrt(fan_in) / 127, 0)
    inputs = [x, h.builder.constant("w", integers, quant), h.constant(h.rng.standard_normal(w_shape[0]))]
    h.values[inputs[1]] = (integers * quant.spread(w_shape)).astype(np.float32)
    result = real_result(op.removeprefix("dynamic_"), h.builder, inputs, h.values, attrs)
    y = h.builder.node(op, inputs, TensorType(result.shape), name="y", **attrs)
    return Case(name, op, DYNAMIC, h.builder.build([y]), h.feeds)


def _whole_numbers() -> list[Case]:
    """Operators on indices and masks, whose inputs are never quantised; in int8, what they write is."""
    return [
        _embedding("int64", (1, 7), (11, 12), "int64"),
        _embedding("int64", (1, 7), (11, 12), "int64", HALF),
        _embedding("int64", (1, 7), (11, 12), "int64", INTEGER),
        _embedding("int32", (1, 7), (11, 12), "int32"),
        _embedding("vector", (5,), (9, 6), "int64"),
        _embedding("image", (1, 3, 4), (9, 6), "int64"),
        _cast("int64", (1, 16), "int64"),
        _cast("int64", (1, 16), "int64", INTEGER),
        _cast("int32", (1, 2, 8), "int32"),
        _embedding_of_computed("places", constant=True),
        _embedding_of_computed("computed_table", constant=False),
        _whole("vector", (1, 16)),
        _whole("image", (1, 3, 4, 5)),
        _whole_of_codes("image", (1, 6, 4, 5)),
    ]


def _embedding_of_computed(name: str, *, constant: bool) -> Case:
    """Rows at places that the network finds, of a constant or of a tensor that it computes."""
    h = CaseBuilder("embedding", name)
    b, scores = h.builder, h.input((1, 8, 6))
    place = b.node("argmax", [scores], TensorType((1, 8)), name="place", axis=2, keepdims=False)
    index = b.node("whole", [place], TensorType((1, 8), "int32"), name="index")
    if constant:
        table = h.constant(h.rng.standard_normal((6, 5)))
    else:
        table = b.node("tanh", [h.input((6, 5))], TensorType((6, 5)), name="table")
    rows = b.node("embedding", [index, table], TensorType((1, 8, 5)), name="rows")
    y = b.node("neg", [rows], TensorType((1, 8, 5)), name="y")
    return Case(name, "embedding", FLOAT, b.build([y]), h.feeds)


def _whole(name: str, shape: tuple[int, ...]) -> Case:
    """Numbers that are whole, some of them too large for 16 bits."""
    h = CaseBuilder("whole", name)
    x = h.builder.input("x0", TensorType(shape))
    values = h.rng.integers(-9, 99, shape).astype(np.float32)
    values.reshape(-1)[:2] = (-(2**24), 2**24)
    y = h.builder.node("whole", [x], TensorType(shape, "int32"), name="y")
    return Case(name, "whole", FLOAT, h.builder.build([y]), {x: values})


def _whole_of_codes(name: str, shape: tuple[int, ...]) -> Case:
    """Places of the largest 8-bit scores along the channels, as a segmentation network ends."""
    h = IslandBuilder("whole", name)
    scores = h.builder.node("dequantize", [h.input(shape)], TensorType(shape), name="scores")
    places = (shape[0], *shape[2:])
    found = h.builder.node("argmax", [scores], TensorType(places), name="found", axis=1, keepdims=False)
    return h.build(h.builder.node("whole", [found], TensorType(places, "int32"), name="y"))


def _embedding(
    name: str, index: tuple[int, ...], table: tuple[int, int], dtype: str, precision: str = FLOAT
) -> Case:
    """Indices that meet the first and the last row."""
    h = HalfBuilder("embedding", name) if precision == HALF else CaseBuilder("embedding", name)
    rows = h.rng.integers(0, table[0], index).astype(dtype)
    rows.reshape(-1)[:2] = (0, table[0] - 1)
    x = h.builder.input("x0", TensorType(index, dtype))
    weight = h.constant(h.rng.standard_normal(table))
    return _of_whole(h, [x, weight], {x: rows}, (*index, table[1]), precision)


def _cast(name: str, shape: tuple[int, ...], dtype: str, precision: str = FLOAT) -> Case:
    h = CaseBuilder("cast", name)
    x = h.builder.input("x0", TensorType(shape, dtype))
    return _of_whole(h, [x], {x: h.rng.integers(-9, 9, shape).astype(dtype)}, shape, precision)


def _of_whole(
    h: CaseBuilder, inputs: list[str], feeds: dict[str, Array], shape: tuple[int, ...], precision: str
) -> Case:
    integer = precision == INTEGER
    y = h.builder.node(h.op, inputs, TensorType(shape), name="real" if integer else "y")
    if integer:
        type_ = TensorType(shape, "int8", Quantization.per_tensor(0.0371, -9))
        y = h.builder.node("quantize", [y], type_, name="stored")
        y = h.builder.node("dequantize", [y], TensorType(shape), name="y")
    return Case(h.name, h.op, precision, h.builder.build([y]), feeds, island=integer)
