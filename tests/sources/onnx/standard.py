"""The ONNX standard's own operator tests (part of the ``onnx`` package) against the importer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from pocketpress.core.errors import PocketpressError
from pocketpress.sources.aten.translate import to_program
from pocketpress.sources.onnx.graph import BRANCHES, parse
from pocketpress.sources.onnx.operators.table import OPERATORS
from pocketpress.sources.onnx.read import check_version
from pocketpress.sources.steps.graph import Graph
from pocketpress.sources.steps.network import StepNetwork
from pocketpress.verify.reference import interpret

Answer = Literal["passes", "refused", "wrong"]
OPERANDS = frozenset(
    {
        "Add",
        "And",
        "Concat",
        "Div",
        "MatMul",
        "Max",
        "Mean",
        "Min",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    }
)
"""Inputs of a graph with them are activations, but for weights and what sizes and axes depend on.

Of other graphs inputs after the first are constants, as in networks.
"""
COUNTS = {"Loop": slice(2)}
"""Inputs on which the number of repetitions depends: constants, as in networks."""
SIZES = {
    **dict.fromkeys(("ConstantOfShape", "Range"), slice(None)),
    **dict.fromkeys(("Expand", "Pad", "Reshape", "Slice", "Split", "Tile", "TopK"), slice(1, None)),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), slice(1, None)),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), slice(1, None)),
}
"""Inputs that are sizes, places or axes."""
MOBILE = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool Cast Ceil Clip Concat ConstantOfShape Conv ConvTranspose
    Cos CumSum DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Expand
    Flatten Floor Gather GatherND Gemm GlobalAveragePool Greater GreaterOrEqual Identity If
    InstanceNormalization LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop
    MatMul MatMulInteger Max MaxPool Mean Min Mul Neg NonMaxSuppression NonZero Not Or PRelu Pad Pow
    QLinearConv QLinearMatMul QuantizeLinear Range Reciprocal ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum Relu Reshape Resize ReverseSequence Round Scan ScatterND Shape Sigmoid Sin
    Size Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Tile TopK
    Transpose Unique Unsqueeze Where
    """.split()  # noqa: SIM905
)
"""What ONNX Runtime's mobile package had: `mobile_package.required_operators.config` of its sources."""
KNOWN = frozenset((*OPERATORS, *BRANCHES))
"""The importer's table, and control flow, which it writes out."""
CONSTANT = frozenset({"ConstantOfShape", "Range"})
"""All inputs of these are constants."""
DTYPES = ("float32", "int32", "int64", "bool")
"""Types that programs have."""
RELATIVE, ABSOLUTE = 1e-3, 1e-4


@dataclass(frozen=True)
class NodeTest:
    """One test of the standard, answered.

    Attributes:
        name: in the standard.
        operators: in its model.
        answer: outcome.
        reason: why it was refused, or what differs.
        program: outcome of its program, run by the reference; None if that was not asked for.
        program_reason: likewise.
    """

    name: str
    operators: frozenset[str]
    answer: Answer
    reason: str = ""
    program: Answer | None = None
    program_reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the importer has all its operators."""
        return self.operators <= KNOWN | {"Constant"}

    @property
    def is_mobile(self) -> bool:
        """Whether all its operators are on `MOBILE`."""
        return self.operators <= MOBILE | {"Constant"}


def node_tests(*, programs: bool = False) -> Iterator[NodeTest]:
    """Run every test on numbers, of operators in the importer's table or of `MOBILE`, in order.

    Args:
        programs: also translate what was read into programs (a minute), as a press does.
    """
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        if case.model is None or not case.data_sets:
            continue
        operators = frozenset(node.op_type for node in case.model.graph.node)
        if not operators <= KNOWN | {"Constant"} and not operators <= MOBILE | {"Constant"}:
            continue
        if any(isinstance(value, list) for values in case.data_sets[0] for value in values):
            continue  # sequences
        inputs, outputs = ([np.asarray(v) for v in values] for values in case.data_sets[0])
        if all(value.dtype.name in DTYPES for value in (*inputs, *outputs)):
            yield _answered(case.name, operators, case.model, inputs, outputs, programs)


def _answered(
    name: str, operators: frozenset[str], model: Any, inputs: list[Any], outputs: list[Any], programs: bool
) -> NodeTest:
    import onnx_ir

    try:
        held, examples = _with_constants(model, inputs)
        read = onnx_ir.from_proto(held)
        check_version(read, name)
        graph = parse(read)
        network = StepNetwork(graph, examples, OPERATORS)
        with torch.no_grad():
            found = network(*examples)
    except PocketpressError as error:
        return NodeTest(name, operators, "refused", str(error), "refused" if programs else None, str(error))
    numbers = {key: value.numpy() for key, value in found.items()}
    difference = _difference(graph, numbers, outputs)
    if difference:
        return NodeTest(name, operators, "wrong", difference, "wrong" if programs else None, difference)
    if not programs:
        return NodeTest(name, operators, "passes")
    return NodeTest(name, operators, "passes", "", *_as_program(graph, network, examples, outputs))


def _as_program(
    graph: Graph, network: StepNetwork, examples: list[torch.Tensor], outputs: list[Any]
) -> tuple[Answer, str]:
    """Exported, translated and run by the reference, as a press would."""
    if not examples:
        return "passes", ""  # a constant
    try:
        program = to_program(torch.export.export(network.eval(), tuple(examples)))[0]
        held = (np.float32 if e.dtype is torch.bool else None for e in examples)
        values = [np.asarray(e.numpy(), dtype) for e, dtype in zip(examples, held, strict=True)]
        found = interpret(program, dict(zip(program.inputs, values, strict=True)))
    except PocketpressError as error:
        return "refused", str(error)
    difference = _difference(graph, found, outputs)
    return ("wrong", difference) if difference else ("passes", "")


def _difference(graph: Graph, found: Mapping[str, Any], outputs: list[Any]) -> str:
    for key, wanted in zip(graph.outputs, outputs, strict=True):
        got = found[key]
        close = got.shape == wanted.shape and np.allclose(got, wanted, RELATIVE, ABSOLUTE, equal_nan=True)
        if not close:
            return f"{key}: {got.shape} against {wanted.shape}"
    return ""


def _behind(nodes: Sequence[Any], read: Mapping[str, slice]) -> set[str]:
    """Names on which some inputs of some operators depend; shapes depend on nothing."""
    found = {name for node in nodes for name in node.input[read.get(node.op_type, slice(0))] if name}
    for node in reversed(nodes):
        if found.intersection(node.output) and node.op_type not in ("Shape", "Size"):
            found.update(_read(node)[: 1 if node.op_type == "CastLike" else None])
    return found


def _read(node: Any) -> list[str]:
    """Names that a node reads, its branches included."""
    inner = [part for attribute in node.attribute for part in attribute.g.node]
    return [name for name in (*node.input, *(n for part in inner for n in _read(part))) if name]


def _with_constants(model: Any, inputs: list[Any]) -> tuple[Any, list[torch.Tensor]]:
    """The model as a network would have it, with the inputs that are left."""
    from onnx import ModelProto, numpy_helper

    found = ModelProto()
    found.CopyFrom(model)
    nodes, names = list(found.graph.node), [entry.name for entry in found.graph.input]
    given = dict(zip(names, inputs, strict=True))
    used = {node.op_type for node in nodes}
    open_ = [name for name in names if name not in _behind(nodes, COUNTS)]
    kept = [] if used & CONSTANT else open_[:1]
    if used & OPERANDS:
        weights = {name for node in nodes if node.op_type == "Conv" for name in node.input[1:]}
        others = {name for node in nodes if node.op_type not in ("Conv", "Shape") for name in node.input}
        fixed = _behind(nodes, SIZES) | (weights - others)
        kept = [name for name in open_ if name in kept or name not in fixed]
    constants = [numpy_helper.from_array(given[name], name) for name in names if name not in kept]
    found.graph.initializer.extend(constants)
    return found, [torch.from_numpy(given[name].copy()) for name in kept]
