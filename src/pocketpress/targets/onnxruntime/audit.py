"""Ask ONNX Runtime what it will execute: load the file, let it save its optimised graph, and read that."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import onnx

from pocketpress.core.program import Program
from pocketpress.core.target import Skipped
from pocketpress.targets.onnxruntime.recurrent import native_layers
from pocketpress.targets.onnxruntime.run import quiet_runtime, session_options
from pocketpress.targets.onnxruntime.wide import is_wide
from pocketpress.targets.onnxruntime.writer import OWNER_END

PRODUCTS = {
    "conv2d": "QLinearConv",
    "conv_transpose2d": "QLinearConv",
    "linear": "QGemm",
    "matmul": "QLinearMatMul",
}
"""The integer kernel of every product operator."""


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """What of an int8 program ONNX Runtime computes in float, and why; nothing for a float program."""
    if is_wide(program):
        return (Skipped("16-bit activations", "ONNX Runtime has no int16 kernels: computed in float"),)
    if not program.is_quantized:
        return ()
    graph = optimized_graph(path)
    taken = tuple(
        Skipped(layer.product.name, f"linear: part of the {layer.node.op} operator, which computes in float")
        for layer in native_layers(program).values()
    )
    return (*_missing_products(graph, program), *_float_islands(graph, program), *taken)


def optimized_graph(path: Path) -> onnx.GraphProto:
    """The graph after all of ONNX Runtime's optimisations, as it executes it on this machine."""
    onnxruntime = quiet_runtime()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "optimized.onnx"
        options: Any = session_options(1)
        options.optimized_model_filepath = str(saved)
        onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(saved)).graph


def _missing_products(graph: onnx.GraphProto, program: Program) -> list[Skipped]:
    """Kinds of product of which the runtime has fewer integer kernels than the program has operators."""
    types = program.types
    wanted = Counter(
        PRODUCTS[n.op] for n in program.nodes if n.op in PRODUCTS and types[n.outputs[0]].is_quantized
    )
    found = Counter(node.op_type for node in graph.node)
    return [
        Skipped(kernel, f"{count} layers need it and the optimised graph has {found[kernel]}")
        for kernel, count in sorted(wanted.items())
        if found[kernel] < count
    ]


def _float_islands(graph: onnx.GraphProto, program: Program) -> list[Skipped]:
    """Program nodes some of whose ONNX nodes compute on reals."""
    by_output = {node.outputs[0]: node for node in program.nodes}
    islands: dict[str, Skipped] = {}
    for onnx_node in graph.node:
        node = by_output.get(onnx_node.name.partition(OWNER_END)[0])
        if node is None or node.op in ("quantize", "dequantize"):
            continue
        if program.type(node.outputs[0]).is_quantized:
            if onnx_node.op_type in ("DequantizeLinear", "QuantizeLinear"):
                reason = f"{node.op}: ONNX Runtime has no integer kernel; computed in float, same integers"
                islands[node.name] = Skipped(node.name, reason)
        elif program.type(node.outputs[0]).dtype == "float32":
            islands[node.name] = Skipped(node.name, f"{node.op}: computed in float in the program itself")
    return list(islands.values())
