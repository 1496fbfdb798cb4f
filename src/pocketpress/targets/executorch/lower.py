"""Translate a program into a .pte file of XNNPACK delegate calls, and check such a file.

One call, where no recurrent layer and no kernel cuts the program (`stages`).  Operators on whole numbers are
calls of portable kernels (`kernels`), before it where they read what the caller gives.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.channels_last import to_channels_last
from pocketpress.core.program.ir import Node, Program
from pocketpress.core.program.ops import OPS
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered, Skipped
from pocketpress.targets.executorch.container import read_container, write_container
from pocketpress.targets.executorch.emit import EMITTERS, Site
from pocketpress.targets.executorch.emit.filters import stored_wider
from pocketpress.targets.executorch.flatbuffer import Record
from pocketpress.targets.executorch.graph import FP16, FP32, Blob, Graph, read_graph
from pocketpress.targets.executorch.kernels import KERNEL_OPS, OPERATORS, KernelCall, split
from pocketpress.targets.executorch.method import LOOP_OPERATORS, Loop, Stage, kinds
from pocketpress.targets.executorch.run import open_runner
from pocketpress.targets.executorch.spec import SPEC
from pocketpress.targets.executorch.stages import Layer, delegated, stages, with_float_states

_BORDERS = ("quantize", "dequantize")
_FLOATS = (FP32, FP16)
_PRODUCT_OPS = ("conv2d", "conv_transpose2d", "linear", "matmul")
_PRODUCTS = (
    "XNNConv2d",
    "XNNDepthwiseConv2d",
    "XNNConvTranspose2d",
    "XNNFullyConnected",
    "XNNBatchMatrixMultiply",
)


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write the .pte file.

    Raises:
        UnsupportedError: an operator that XNNPACK lacks.
    """
    whole, calls = split(to_channels_last(with_float_states(program)).program)
    made: list[Stage] = [*calls]
    parts = [whole]
    kernels = [*calls]
    for stage in stages(whole):
        if isinstance(stage, KernelCall):
            made.append(stage)
            kernels.append(stage)
            continue
        graph = Graph(stage.step if isinstance(stage, Layer) else stage)
        blob = _emit(graph)
        made.append(Loop(stage, blob) if isinstance(stage, Layer) else blob)
        parts.append(graph.program)
    data = write_container(
        made,
        dict(ChainMap({call.out: call.type for call in kernels}, *(dict(part.types) for part in parts))),
        dict(ChainMap(*(dict(part.constants) for part in parts))),
        program.inputs,
        program.outputs,
        signature.to_json(),
    )
    path.write_bytes(data)
    return Lowered(skipped=(*_float_islands(program), *stored_wider(program)))


def _emit(graph: Graph) -> Blob:
    for node in graph.program.nodes:
        site = Site(graph, node)
        if site.quantized and node.op not in SPEC.integer_ops:
            raise site.unsupported(
                SPEC.remarks.get(node.op, "XNNPACK computes it in float only"), "leave it in float"
            )
        if node.op not in EMITTERS:
            raise site.unsupported("XNNPACK has no such operator")
        EMITTERS[node.op](site)
    return graph.finish()


def _float_islands(program: Program) -> tuple[Skipped, ...]:
    """Every node that computes in float inside an integer program."""
    if not program.is_quantized:
        return ()
    return tuple(
        Skipped(f"{node.op} {node.name}", _float_reason(node.op))
        for node in program.nodes
        if node.op not in _BORDERS and not _in_integers(program, node)
    )


def _float_reason(op: str) -> str:
    if op in KERNEL_OPS or op in RECURRENT:
        return SPEC.remarks[op]
    if OPS[op].integer == "float":
        return "the numeric contract has no integer form of it"
    return SPEC.remarks.get(op, "the program leaves it in float")


def _in_integers(program: Program, node: Node) -> bool:
    return program.type(node.outputs[0]).is_quantized or program.type(node.inputs[0]).is_quantized


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """Check that all but whole numbers and loops is delegated, load the file, name what is not in integers.

    Raises:
        ArtifactError: a part of the graph lies outside the delegate, or the runtime refuses the file.
    """
    container = read_container(path.read_bytes())
    whole, calls = split(to_channels_last(program).program)
    parts = stages(whole)
    _check_all_is_delegated(container.program, [*calls, *parts])
    open_runner(path, 1).close()
    floats = _float_products(container.delegates, delegated(parts)) if program.is_quantized else ()
    return (*_float_islands(program), *stored_wider(program), *floats)


def _check_all_is_delegated(program: Record, wanted: Sequence[KernelCall | Layer | Program]) -> None:
    plans = [plan for plan in program["execution_plan"] if plan["name"] == "forward"]
    found = [
        instruction["instr_args"][0]
        for plan in plans
        for chain in plan["chains"]
        for instruction in chain["instructions"]
    ]
    operators = {(op["name"], op["overload"]) for plan in plans for op in plan["operators"]}
    if len(plans) != 1 or found != kinds(wanted) or operators - OPERATORS - LOOP_OPERATORS:
        raise ArtifactError("not the whole graph is delegated to XNNPACK", got=found, allowed=kinds(wanted))


def _float_products(delegates: Sequence[bytes], programs: Sequence[Program]) -> tuple[Skipped, ...]:
    """Products of an integer file beyond those that the program itself leaves in float."""
    found = sum(_count_float_products(delegate) for delegate in delegates)
    asked = sum(
        n.op in _PRODUCT_OPS and not _in_integers(program, n) for program in programs for n in program.nodes
    )
    if found <= asked:
        return ()
    return (Skipped("XNNPACK graph", f"{found} float products in the file, {asked} in the program"),)


def _count_float_products(delegate: bytes) -> int:
    graph = read_graph(delegate)
    floats = {_tensor(value)["id_out"] for value in graph["xvalues"] if _tensor(value)["datatype"] in _FLOATS}
    return sum(
        kind in _PRODUCTS and fields["output_id"] in floats
        for kind, fields in (node["xnode_union"] for node in graph["xnodes"])
    )


def _tensor(value: Record) -> Record:
    member, record = value["xvalue_union"]
    return dict(record if member == "XNNTensorValue" else record["tensor_value"])
