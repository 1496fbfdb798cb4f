"""Small float programs built by hand, and the shortest way to an int8 program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import observe
from pocketpress.compress.quantize.place import place
from pocketpress.compress.quantize.plan import (
    QuantizationOptions,
    QuantizationPlan,
    int8_tensors,
    make_plan,
)
from pocketpress.core.program import OPS, Program, ProgramBuilder, TensorType
from pocketpress.verify.reference import interpret

Array = Any
ALL_INTEGER = frozenset(name for name, spec in OPS.items() if spec.integer != "float")


class Net:
    """A builder that works shapes out from example values, so tests need not."""

    def __init__(self, seed: int = 0) -> None:
        self.builder = ProgramBuilder()
        self.rng = np.random.default_rng(seed)

    def input(self, *shape: int, name: str = "x") -> str:
        return self.builder.input(name, TensorType(shape))

    def constant(self, value: Any, name: str = "c") -> str:
        return self.builder.constant(name, np.asarray(value, np.float32))

    def op(self, op: str, *inputs: str, name: str | None = None, **attrs: Any) -> str:
        """Append an operator; its shape is found by computing it on zeros."""
        from pocketpress.core.program import Node
        from pocketpress.verify.reference import floats
        from pocketpress.verify.reference.context import Context

        if op in ("add", "sub", "mul", "conv2d", "linear", "conv_transpose2d"):
            attrs.setdefault("clamp", None)
        known: dict[str, Array] = {}
        for n in inputs:
            value = self.builder.constant_value(n)
            known[n] = np.zeros(self.builder.type(n).shape, np.float32) if value is None else value
        types = {n: self.builder.type(n) for n in inputs} | {"out": TensorType(())}
        probe = Program(tuple(inputs), ("out",), types, {}, ())
        node = Node(op, "out", tuple(inputs), ("out",), attrs)
        shape = floats.KERNELS[op](Context(probe, node, [known[n] for n in inputs])).shape
        return self.builder.node(op, list(inputs), TensorType(shape), name=name, **attrs)

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        bias: bool = True,
        name: str | None = None,
        clamp: Any = None,
    ) -> str:
        fan = self.builder.type(x).shape[1] // groups
        weight = self.rng.normal(0, (2 / (fan * kernel**2)) ** 0.5, (channels, fan, kernel, kernel))
        inputs = [x, self.constant(weight, "w")]
        if bias:
            inputs.append(self.constant(self.rng.normal(0, 0.2, channels), "b"))
        p = kernel // 2 if pad is None else pad
        return self.op(
            "conv2d", *inputs, name=name, stride=(stride, stride), pads=(p, p, p, p), dilation=(1, 1),
            groups=groups, clamp=clamp,
        )  # fmt: skip

    def linear(self, x: str, features: int, name: str | None = None) -> str:
        fan = self.builder.type(x).shape[-1]
        weight = self.constant(self.rng.normal(0, fan**-0.5, (features, fan)), "w")
        return self.op("linear", x, weight, self.constant(self.rng.normal(0, 0.1, features), "b"), name=name)

    def build(self, *outputs: str) -> Program:
        return self.builder.build(outputs)


def residual_network(seed: int = 0) -> Program:
    """Convolutions, two residual additions, a mean and a linear layer: (1, 3, 8, 8) -> (1, 5)."""
    net = Net(seed)
    x = net.conv(net.input(1, 3, 8, 8), 6, name="stem", clamp=(0.0, 6.0))
    for i in range(2):
        y = net.conv(net.conv(x, 6, 1, name=f"a{i}", clamp=(0.0, None)), 6, name=f"b{i}")
        x = net.op("add", x, y, name=f"sum{i}", clamp=(0.0, None))
    pooled = net.op("mean", x, name="pool", axes=(2, 3), keepdims=False)
    return net.build(net.linear(pooled, 5, name="output"))


def samples(program: Program, count: int, seed: int = 0, scale: float = 1.0) -> list[dict[str, Array]]:
    """Normally distributed inputs."""
    rng = np.random.default_rng(seed)
    return [
        {n: (rng.standard_normal(program.type(n).shape) * scale).astype(np.float32) for n in program.inputs}
        for _ in range(count)
    ]


def plan_of(
    program: Program,
    options: QuantizationOptions | None = None,
    *,
    count: int = 8,
    integer_ops: frozenset[str] = ALL_INTEGER,
    fixed: Mapping[str, Any] | None = None,
    feeds: list[dict[str, Array]] | None = None,
) -> QuantizationPlan:
    placement = place(program, integer_ops)
    names = [n for n in int8_tensors(program, placement) if n not in program.constants]
    feeds = feeds or samples(program, count)
    stats = observe(program, names, feeds, len(feeds), lambda p, f, n: interpret(p, f, keep=n))
    return make_plan(program, placement, stats, options or QuantizationOptions(), fixed)


def quantized(program: Program, options: QuantizationOptions | None = None, **more: Any) -> Program:
    return apply_plan(program, plan_of(program, options, **more))
