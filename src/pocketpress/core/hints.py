"""What costs time in every runtime although it is supported: patterns of float programs as data."""

from __future__ import annotations

from dataclasses import dataclass

from pocketpress.core.advice import When
from pocketpress.core.program.ir import Node, Program

LARGE_KERNEL = 7
"""Taps along an axis beyond which runtimes leave their tuned kernels."""


@dataclass(frozen=True)
class Hint:
    """A pattern worth changing.

    Attributes:
        name: of the pattern.
        ops: operators that it ends with.
        when: what must hold of the node.
        why: what it costs.
        instead: what to write.
    """

    name: str
    ops: frozenset[str]
    when: When
    why: str
    instead: str


def _is_silu(program: Program, node: Node) -> bool:
    makers = program.producers()
    for gate, x in (node.inputs, node.inputs[::-1]):
        maker = makers.get(gate)
        if maker is not None and maker.op == "sigmoid" and maker.inputs[0] == x:
            return True
    return False


def _has_large_kernel(program: Program, node: Node) -> bool:
    return max(program.type(node.inputs[1]).shape[2:]) > LARGE_KERNEL


def _is_grouped(program: Program, node: Node) -> bool:
    return int(node.attrs["groups"]) > 1 and program.type(node.inputs[1]).shape[1] > 1


def _is_asymmetric(program: Program, node: Node) -> bool:
    top, left, bottom, right = node.attrs["pads"]
    return (top, left) != (bottom, right)


def _aligns_corners(program: Program, node: Node) -> bool:
    return bool(node.attrs["align_corners"])


def _is_resampling(program: Program, node: Node) -> bool:
    return "resampling" in node.inputs[1] and node.inputs[1] in program.constants


def _is_float_product(program: Program, node: Node) -> bool:
    return not any(name in program.constants for name in node.inputs)


HINTS: tuple[Hint, ...] = (
    Hint(
        "SiLU", frozenset({"mul"}), _is_silu,
        "two passes over the values, a table and a product",
        "nn.Hardswish: one table",
    ),
    Hint(
        "large kernel", frozenset({"conv2d"}), _has_large_kernel,
        f"more than {LARGE_KERNEL} taps along an axis: runtimes have no tuned kernel for it",
        "two or three 3x3 convolutions, or dilation",
    ),
    Hint(
        "grouped convolution", frozenset({"conv2d"}), _is_grouped,
        "groups that are not depthwise are computed one by one",
        "a depthwise convolution and a 1x1, or groups=1",
    ),
    Hint(
        "asymmetric padding", frozenset({"conv2d"}), _is_asymmetric,
        "TFLite has 'same' and 'valid' only: other paddings are an operator before the convolution",
        "even padding (k // 2)",
    ),
    Hint(
        "bilinear align_corners", frozenset({"resize_bilinear"}), _aligns_corners,
        "runtimes on accelerators lack it",
        "align_corners=False",
    ),
    Hint(
        "dense resampling", frozenset({"linear"}), _is_resampling,
        "bicubic and odd factors and constant grids are products with a matrix of out x in numbers",
        "bilinear or nearest resizing",
    ),
    Hint(
        "product of two activations", frozenset({"matmul"}), _is_float_product,
        "attention: 8 bits for scores and values lose more than for weights, and executorch computes it in "
        "float",
        "a product with stored weights, or --precision mixed",
    ),
)  # fmt: skip
