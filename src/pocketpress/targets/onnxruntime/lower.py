"""Translate a program into an ONNX file in integer operator form.

``docs/adr/0003-onnx-operator-form.md`` says why the file holds QLinear operators instead of
quantise/dequantise pairs around float ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import helper

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Node, Program
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered
from pocketpress.targets.onnxruntime import (
    borders,
    dynamic,
    elementwise,
    floats,
    movement,
    products,
    recurrent,
    tables,
    transposed,
)
from pocketpress.targets.onnxruntime.audit import audit
from pocketpress.targets.onnxruntime.model_file import SIGNATURE_KEY
from pocketpress.targets.onnxruntime.wide import on_reals
from pocketpress.targets.onnxruntime.writer import MICROSOFT, GraphWriter

__all__ = ["audit", "lower", "to_model"]

_MAX_FILE_BYTES = 2**31 - 1

_TRANSLATE: dict[str, Callable[[GraphWriter, Node], None]] = {
    "quantize": borders.quantize,
    "dequantize": borders.dequantize,
    "requantize": borders.requantize,
    "conv2d": products.conv2d,
    "conv_transpose2d": transposed.conv_transpose2d,
    "linear": products.linear,
    "dynamic_conv2d": dynamic.conv2d,
    "dynamic_linear": dynamic.linear,
    "matmul": products.matmul,
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "clamp": elementwise.clamp,
    "mean": elementwise.mean,
    "max_pool2d": movement.max_pool2d,
    "concat": movement.concat,
    "reshape": movement.reshape,
    "permute": movement.permute,
    "slice": movement.slice_,
    "pad": movement.pad,
    "resize_nearest": movement.resize_nearest,
    **{op: tables.activation for op in ("sigmoid", "tanh", "hardswish", "hardsigmoid", "leaky_relu", "elu")},
    "div": floats.simple("Div"),
    "minimum": floats.simple("Min"),
    "maximum": floats.simple("Max"),
    "exp": floats.simple("Exp"),
    "log": floats.simple("Log"),
    "sqrt": floats.simple("Sqrt"),
    "abs": floats.simple("Abs"),
    "neg": floats.simple("Neg"),
    "step": floats.step,
    "floor": floats.simple("Floor"),
    "round": floats.simple("Round"),
    "sin": floats.simple("Sin"),
    "cos": floats.simple("Cos"),
    "rsqrt": floats.rsqrt,
    "pow": floats.pow_,
    "power": floats.simple("Pow"),
    "gelu": floats.gelu,
    "prelu": floats.prelu,
    "embedding": floats.embedding,
    "cast": floats.cast,
    "whole": floats.whole,
    "argmax": floats.argmax,
    "avg_pool2d": floats.avg_pool2d,
    "softmax": floats.softmax,
    "layer_norm": floats.layer_norm,
    "resize_bilinear": floats.resize_bilinear,
}


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``; equal programs give equal bytes.

    Raises:
        UnsupportedError: an operator, dtype or size that the file cannot hold.
    """
    writer = translate(program)
    model = _model(program, signature, writer)
    if model.ByteSize() > _MAX_FILE_BYTES:
        raise UnsupportedError(
            "ONNX file too large", got=f"{model.ByteSize()} bytes", allowed=_MAX_FILE_BYTES
        )
    path.write_bytes(model.SerializeToString(deterministic=True))
    return Lowered(tuple(writer.skipped))


def to_model(program: Program, signature: Signature) -> onnx.ModelProto:
    """The ONNX model of a program, in memory."""
    return _model(program, signature, translate(program))


def translate(program: Program) -> GraphWriter:
    """All nodes and initialisers of a program."""
    program = on_reals(program)
    layers = recurrent.native_layers(program)
    program = recurrent.reordered(program, layers)
    taken_in = {name for layer in layers.values() for name in (layer.product.name, *layer.moves)}
    writer = GraphWriter(program)
    for name in program.inputs:
        borders.enter(writer, name)
    for node in program.nodes:
        if node.name in layers:
            recurrent.native(writer, layers[node.name])
        elif node.op in RECURRENT:
            single = program.type(node.outputs[0]).shape[0] == 1
            (recurrent.one_step if single else recurrent.scan)(writer, node, _TRANSLATE)
        elif node.name not in taken_in:
            _TRANSLATE[_checked(program, node)](writer, node)
    for name in program.outputs:
        borders.leave(writer, name)
    return writer


def _model(program: Program, signature: Signature, writer: GraphWriter) -> onnx.ModelProto:
    graph = helper.make_graph(
        writer.nodes,
        "pocketpress",
        [_border(program, name) for name in program.inputs],
        [_border(program, name) for name in program.outputs],
        writer.initializers,
    )
    opsets = [helper.make_opsetid("", writer.opset), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets, ignore_unknown=True),
        producer_name="pocketpress",
    )
    helper.set_model_props(model, {SIGNATURE_KEY: signature.to_json()})
    return model


def _checked(program: Program, node: Node) -> str:
    if node.op not in _TRANSLATE:
        raise UnsupportedError(
            f"ONNX Runtime lacks the operator of {node.name}",
            got=node.op,
            next_step="keep it out of this target",
        )
    integer = program.type(node.outputs[0]).is_quantized
    float_only = _TRANSLATE[node.op].__module__ == floats.__name__
    if integer and float_only:
        raise UnsupportedError(
            f"ONNX Runtime has no integer {node.op} ({node.name})",
            next_step="put it between dequantize and quantize",
        )
    return node.op


def _border(program: Program, name: str) -> onnx.ValueInfoProto:
    type_ = program.type(name)
    return helper.make_tensor_value_info(name, borders.ONNX_DTYPES[type_.dtype], list(type_.shape))
