"""The ONNX standard's own operator tests (part of the ``onnx`` package) against the importer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from pocketpress.core.errors import PocketpressError
from pocketpress.sources.aten.translate import to_program
from pocketpress.sources.onnx.graph import parse
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
"""Inputs of a graph with them are activations, but for axes and weights that none of them reads.

Of other graphs inputs after the first are constants, as in networks.
"""
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
        return self.operators <= set(OPERATORS) | {"Constant"}

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
        known = operators <= set(OPERATORS) | {"Constant"}
        if not known and not operators <= MOBILE | {"Constant"}:
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
        read = onnx_ir.from_proto(model)
        check_version(read, name)
        graph, examples = _with_constants(parse(read), inputs)
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


def _counts(graph: Graph) -> set[str]:
    """Names on which the number of a loop's repetitions depends: constants, as in networks."""
    found = {name for step in graph.steps if step.op == "Loop" for name in step.inputs[:2] if name}
    for step in reversed(graph.steps):
        if found.intersection(step.outputs):
            found.update(name for name in step.inputs if name)
    return found


def _with_constants(graph: Graph, inputs: list[Any]) -> tuple[Graph, list[torch.Tensor]]:
    """The graph as a network would have it, with the inputs that are left."""
    given = {entry.name: value for entry, value in zip(graph.inputs, inputs, strict=True)}
    used, counts = {step.op for step in graph.steps}, _counts(graph)
    open_ = [entry for entry in graph.inputs if entry.name not in counts]
    operands = {name for step in graph.steps if step.op in OPERANDS for name in step.inputs}
    weights = {name for step in graph.steps if step.op == "Conv" for name in step.inputs[1:]}
    kept = [] if used & CONSTANT else open_[:1]
    if used & OPERANDS:
        fixed = weights | {e.name for e in open_ if given[e.name].dtype.kind in "iu"}
        kept = [e for e in open_ if e in kept or e.name in operands or e.name not in fixed]
    graph.known.update({entry.name: given[entry.name] for entry in graph.inputs if entry not in kept})
    return replace(graph, inputs=tuple(kept)), [torch.from_numpy(given[e.name].copy()) for e in kept]
