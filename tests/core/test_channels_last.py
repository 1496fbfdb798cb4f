"""The channels-last rewrite keeps every value and moves few bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.channels_last import (
    NHWC,
    ChannelsLastProgram,
    is_image_node,
    to_channels_last,
)
from pocketpress.verify.reference.interpret import interpret, interpret_node

NCHW = (0, 3, 1, 2)
CONV = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}


def evaluate(rewritten: ChannelsLastProgram, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Slow meaning of a channels-last program: the reference kernel between two transposes."""
    program = rewritten.program
    values = {**program.constants, **feeds}
    for node in program.nodes:
        inputs = [values[n] for n in node.inputs]
        if is_image_node(node, program):
            types = dict(program.types)
            for name in (node.inputs[0], node.outputs[0]):
                types[name] = replace(types[name], shape=tuple(types[name].shape[a] for a in NCHW))
            inputs[0] = np.transpose(inputs[0], NCHW)
            out = interpret_node(replace(program, types=types), node, inputs)
            out = np.ascontiguousarray(np.transpose(out, NHWC))
        else:
            out = interpret_node(program, node, inputs)
        values[node.outputs[0]] = out.reshape(program.type(node.outputs[0]).shape)
    return {name: values[name] for name in program.outputs}


def check(program: Program, seed: int = 0) -> ChannelsLastProgram:
    rng = np.random.default_rng(seed)
    feeds = {}
    for name in program.inputs:
        type_ = program.type(name)
        value = (
            rng.normal(size=type_.shape) if type_.dtype == "float32" else rng.integers(0, 100, type_.shape)
        )
        feeds[name] = np.asarray(value).astype(type_.dtype)
    rewritten = to_channels_last(program)
    expected, got = interpret(program, feeds), evaluate(rewritten, feeds)
    for name in program.outputs:
        assert rewritten.program.type(name) == program.type(name)
        assert expected[name].dtype == got[name].dtype
        expected[name] = expected[name].reshape(program.type(name).shape)
        if program.type(name).dtype == "float32":
            np.testing.assert_allclose(got[name], expected[name], rtol=2e-5, atol=2e-5)
        else:
            np.testing.assert_array_equal(got[name], expected[name])
    return rewritten


def ops(rewritten: ChannelsLastProgram) -> list[str]:
    return [node.op for node in rewritten.program.nodes]


def conv(b: ProgramBuilder, x: str, channels: int, **changes: object) -> str:
    n, c, h, w = b.type(x).shape
    rng = np.random.default_rng(channels)
    weight = b.constant("w", rng.normal(size=(channels, c, 3, 3)).astype(np.float32))
    return b.node("conv2d", [x, weight], TensorType((n, channels, h, w)), **{**CONV, **changes})


def test_chain_of_convolutions_is_permuted_once_at_each_end() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 6, 5)))
    y = conv(b, conv(b, x, 4), 5)
    y = b.node("add", [y, conv(b, y, 5)], b.type(y), clamp=None)
    rewritten = check(b.build([y]))
    assert ops(rewritten).count("permute") == 2
    assert rewritten.program.inputs == ("x",) and rewritten.program.outputs == (y,)
    assert rewritten.image_tensors["x:nhwc"] == "x"


def test_int8_image_is_permuted_between_its_quantize_and_dequantize() -> None:
    b = ProgramBuilder()
    q = Quantization.per_tensor
    x = b.input("x", TensorType((1, 3, 6, 5)))
    xq = b.node("quantize", [x], TensorType((1, 3, 6, 5), "int8", q(0.02, 3)))
    rng = np.random.default_rng(0)
    w = b.constant(
        "w", rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), Quantization.per_channel([0.01] * 4, 0)
    )
    y = b.node("conv2d", [xq, w], TensorType((1, 4, 6, 5), "int8", q(0.05, -7)), **CONV)
    z = b.node("dequantize", [y], TensorType((1, 4, 6, 5)))
    assert ops(check(b.build([z]))) == ["quantize", "permute", "conv2d", "permute", "dequantize"]


def test_flatten_of_one_pixel_is_one_reshape() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((2, 3, 6, 5)))
    y = conv(b, x, 4)
    y = b.node("mean", [y], TensorType((2, 4, 1, 1)), axes=(2, 3), keepdims=True)
    y = b.node("reshape", [y], TensorType((2, 4)), shape=(2, 4))
    w = b.constant("fc", np.ones((3, 4), np.float32))
    y = b.node("linear", [y, w], TensorType((2, 3)), clamp=None)
    assert ops(check(b.build([y]))) == ["permute", "conv2d", "mean", "reshape", "linear"]


def test_flatten_of_an_image_gets_its_order_back() -> None:
    b = ProgramBuilder()
    y = conv(b, b.input("x", TensorType((1, 3, 2, 3))), 4)
    y = b.node("reshape", [y], TensorType((1, 24)), shape=(1, 24))
    assert ops(check(b.build([y]))) == ["permute", "conv2d", "permute", "reshape"]


def test_squeeze_and_excite_needs_no_permute_inside() -> None:
    b = ProgramBuilder()
    x = conv(b, b.input("x", TensorType((1, 3, 6, 5))), 4)
    s = b.node("mean", [x], TensorType((1, 4, 1, 1)), axes=(-1, -2), keepdims=True)
    s = b.node("sigmoid", [conv(b, s, 4)], b.type(s))
    y = conv(b, b.node("mul", [x, s], b.type(x), clamp=None), 4)
    assert ops(check(b.build([y]))).count("permute") == 2


def test_a_users_permutes_cancel() -> None:
    b = ProgramBuilder()
    x = conv(b, b.input("x", TensorType((1, 3, 6, 5))), 4)
    y = b.node("permute", [x], TensorType((1, 6, 5, 4)), axes=(0, 2, 3, 1))
    one, zero = b.constant("one", np.ones(4, np.float32)), b.constant("zero", np.zeros(4, np.float32))
    y = b.node("layer_norm", [y, one, zero], b.type(y), axes=(3,), eps=1e-5)
    y = b.node("permute", [y], TensorType((1, 4, 6, 5)), axes=(0, 3, 1, 2))
    y = conv(b, b.node("add", [x, y], b.type(x), clamp=None), 4)
    assert ops(check(b.build([y]))).count("permute") == 2


def test_permute_of_an_input_as_output_is_kept() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 6, 5)))
    a = b.node("permute", [x], TensorType((1, 6, 5, 3)), axes=(0, 2, 3, 1))
    c = b.node("permute", [a], TensorType((1, 3, 6, 5)), axes=(0, 3, 1, 2))
    assert check(b.build([a, c])).program.outputs == (a, c)


def test_axes_of_concat_softmax_pad_and_slice_are_renumbered() -> None:
    b = ProgramBuilder()
    x = conv(b, b.input("x", TensorType((1, 3, 6, 5))), 4)
    y = b.node("concat", [x, x], TensorType((1, 8, 6, 5)), axis=1)
    y = b.node("softmax", [y], b.type(y), axis=-3)
    y = b.node("pad", [y], TensorType((1, 9, 7, 8)), before=(0, 1, 0, 2), after=(0, 0, 1, 1), value=0.5)
    y = b.node(
        "slice", [y], TensorType((1, 4, 3, 8)), starts=(0, 1, 2, 0), sizes=(1, 4, 3, 8), steps=(1, 2, 1, 1)
    )
    assert ops(check(b.build([conv(b, y, 2)]))).count("permute") == 2


@pytest.mark.parametrize("axes", [(1,), (2,), (3,), (1, 2), (2, 3), (0, 1), (1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_mean_over_any_axes(axes: tuple[int, ...], keepdims: bool) -> None:
    b = ProgramBuilder()
    x = conv(b, b.input("x", TensorType((2, 3, 6, 5))), 4)
    shape = tuple(1 if a in axes else d for a, d in enumerate((2, 4, 6, 5)) if keepdims or a not in axes)
    check(b.build([b.node("mean", [x], TensorType(shape), axes=axes, keepdims=keepdims)]))


def test_broadcast_constants_and_activations_of_lower_rank() -> None:
    b = ProgramBuilder()
    x = conv(b, b.input("x", TensorType((1, 3, 6, 5))), 4)
    for stem, shape in (("full", (4, 6, 5)), ("channel", (4, 1, 1)), ("column", (5,)), ("one", ())):
        value = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        x = b.node("add", [b.constant(stem, value), x], b.type(x), clamp=None)
    v = b.input("v", TensorType((4, 1, 5)))
    x = b.node("mul", [x, v], b.type(x), clamp=None)
    x = b.node("mul", [v, x], b.type(x), clamp=None)
    check(b.build([conv(b, x, 2)]))


def test_prelu_of_an_image_and_of_a_row() -> None:
    b = ProgramBuilder()
    slope = b.constant("slope", np.asarray([0.1, 0.2, 0.3, 0.4], np.float32))
    x = conv(b, b.input("x", TensorType((1, 3, 6, 5))), 4)
    x = b.node("prelu", [x, slope], b.type(x))
    y = b.node("mean", [x], TensorType((1, 4)), axes=(2, 3), keepdims=False)
    y = b.node("prelu", [y, slope], b.type(y))
    check(b.build([x, y]))


def test_a_program_without_images_is_unchanged() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 6, 8)))
    y = b.node("permute", [x], TensorType((1, 8, 6)), axes=(0, 2, 1))
    y = b.node("matmul", [x, y], TensorType((1, 6, 6)))
    y = b.node("softmax", [y], b.type(y), axis=-1)
    program = b.build([y])
    rewritten = check(program)
    assert ops(rewritten) == ["permute", "matmul", "softmax"]
    assert not rewritten.image_tensors


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=8), st.integers(0, 10**6))
def test_random_programs_keep_their_values(choices: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = ProgramBuilder()
    pool = [b.input("x", TensorType((2, 3, 4, 5))), b.input("y", TensorType((2, 3, 4, 5)))]
    for choice in choices:
        x, y = (pool[int(i)] for i in rng.integers(0, len(pool), 2))
        pool.append(_step(b, choice, x, y, rng))
    outputs = list(dict.fromkeys([pool[-1], pool[int(rng.integers(2, len(pool)))]]))
    check(b.build(outputs), seed)


def _step(b: ProgramBuilder, choice: int, x: str, y: str, rng: np.random.Generator) -> str:
    shape = b.type(x).shape
    if len(shape) != 4:
        return b.node("tanh", [x], b.type(x))
    if choice <= 2:
        return conv(b, x, int(rng.integers(2, 5)))
    if choice == 3:
        axes = tuple(int(a) for a in rng.permutation(4))
        return b.node("permute", [x], TensorType(tuple(shape[a] for a in axes)), axes=axes)
    if choice == 4:
        return b.node("reshape", [x], TensorType((*shape[::-1],)), shape=shape[::-1])
    if choice == 5:
        axis = int(rng.integers(0, 4))
        out = tuple(1 if a == axis else d for a, d in enumerate(shape))
        return b.node("mean", [x], TensorType(out), axes=(axis,), keepdims=True)
    if choice == 6:
        axis = int(rng.integers(0, 4))
        out = tuple(d * 2 if a == axis else d for a, d in enumerate(shape))
        return b.node("concat", [x, x], TensorType(out), axis=axis)
    if choice == 7:
        before, after = ((0, 1, 2, 0), (1, 0, 0, 1))
        out = tuple(p + d + r for p, d, r in zip(before, shape, after, strict=True))
        return b.node("pad", [x], TensorType(out), before=before, after=after, value=0.25)
    if choice == 8:
        return b.node("resize_nearest", [x], TensorType((*shape[:2], 3, 7)), size=(3, 7))
    if choice == 9 and b.type(y).shape == shape:
        return b.node("mul", [x, y], b.type(x), clamp=None)
    if choice == 10:
        value = rng.normal(size=shape[1:]).astype(np.float32)
        return b.node("add", [x, b.constant("c", value)], b.type(x), clamp=(-1.0, 1.0))
    return b.node("softmax", [x], b.type(x), axis=int(rng.integers(0, 4)))
