"""Recurrent layers in ONNX files: the runtime's operator where it computes the same, else one Scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.graph.stream import stream
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

CASES = {case.id: case for case in all_cases() if case.op in ("gru", "lstm", "rnn")}
SCANS = {
    "gru-given_gates-fp32",
    "lstm-projected-fp32",
    *(n for n in CASES if ("rounded" in n or "cells" in n) and "one_step" not in n),
}
"""No `linear` makes the gates, the cells are read, there is a projection, or the state is rounded."""
INLINE = {"gru-rounded_one_step-w8a8-static"}


def model(case: Case) -> onnx.ModelProto:
    return to_model(case.program, signature_of(case.program, precision=case.precision))


def body(made: onnx.ModelProto) -> onnx.GraphProto:
    (scan,) = (node for node in made.graph.node if node.op_type == "Scan")
    return next(attribute.g for attribute in scan.attribute if attribute.name == "body")


@pytest.mark.parametrize("name", CASES)
def test_the_form_of_a_layer(name: str) -> None:
    kinds = [node.op_type for node in model(CASES[name]).graph.node]
    assert kinds.count("Scan") == (name in SCANS)
    assert kinds.count(CASES[name].op.upper()) == (name not in SCANS | INLINE)
    assert not {"MatMul", "Gemm"} & set(kinds) or name in SCANS | INLINE  # its input product is inside


@pytest.mark.parametrize("name", ["gru-plain-w8a8-static", "lstm-rounded_projected-w8a8-static"])
def test_weights_are_stored_once_in_8_bits(name: str) -> None:
    case = CASES[name]
    made = model(case)
    stored = [*made.graph.initializer]
    if name in SCANS:
        stored += body(made).initializer
    int8 = sum(int(np.prod(t.dims)) for t in stored if t.data_type == onnx.TensorProto.INT8)
    wanted = sum(value.size for value in case.program.constants.values() if value.dtype == np.int8)
    assert int8 == wanted


def test_a_rounded_state_is_multiplied_in_integers() -> None:
    kinds = [node.op_type for node in body(model(CASES["gru-rounded-w8a8-static"])).node]
    assert kinds.count("MatMulInteger") == 1
    assert not {"MatMul", "Gemm", "DequantizeLinear"} & set(kinds)


STREAMED = {
    "gru-one_step-fp32": "GRU",
    "lstm-one_step_cells-fp32": "LSTM",
    "rnn-one_step_reverse-fp32": "RNN",
}


@pytest.mark.parametrize("name", STREAMED)
def test_a_streamed_layer_is_one_node(name: str, tmp_path: Path) -> None:
    case, rng = CASES[name], np.random.default_rng(0)
    program = stream(_from_zero(case.program))
    signature = signature_of(program, precision="fp32")
    made = to_model(program, signature)
    kinds = [n.op_type for n in made.graph.node if n.op_type != "Unsqueeze"]  # of weights
    assert kinds == [STREAMED[name], "Neg"]
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    feeds = {n: rng.uniform(-1, 1, program.type(n).shape).astype(np.float32) for n in program.inputs}
    wanted = interpret(program, feeds)
    got = SPEC.open_runner(path).run([feeds[spec.name] for spec in signature.inputs])
    for spec, value in zip(signature.outputs, got, strict=True):
        np.testing.assert_allclose(value, wanted[spec.name], rtol=1e-5, atol=1e-6)


def _from_zero(program: Program) -> Program:
    """The layer forwards from a constant state, and a result besides its state."""
    product, node = program.nodes
    inputs, attrs = (*product.inputs[1:], *node.inputs[1:]), {**node.attrs, "reverse": False}
    b = ProgramBuilder()
    names = {product.inputs[0]: b.input("x", program.type(product.inputs[0]))}
    for name in inputs:
        shape = program.type(name).shape
        names[name] = b.constant(name, program.constants.get(name, np.zeros(shape, np.float32)))
    made = [names[n] for n in product.inputs]
    gates = b.node("linear", made, program.type(node.inputs[0]), clamp=None)
    like = TensorType((1, *program.type(node.inputs[1]).shape))
    attrs |= {"cell": False} if node.op == "lstm" else {}
    states = b.node(node.op, [gates, *(names[n] for n in node.inputs[1:])], like, name="layer", **attrs)
    return b.build([b.node("neg", [states], like, name="y")])


def refusal(made: onnx.ModelProto, folder: Path) -> str:
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ArtifactError) as caught:
        SPEC.open_runner(path)
    return str(caught.value)


def test_the_body_of_a_scan_is_checked_like_the_rest(tmp_path: Path) -> None:
    case = CASES["gru-rounded-w8a8-static"]
    nested, external, sparse = model(case), model(case), model(case)
    attribute = body(nested).node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.CopyFrom(onnx.GraphProto(name="inner"))
    body(nested).node[0].op_type = "Scan"
    assert "nested graph" in refusal(nested, tmp_path)
    body(external).initializer[0].data_location = onnx.TensorProto.EXTERNAL
    assert "external data" in refusal(external, tmp_path)
    body(sparse).sparse_initializer.add()
    assert "sparse tensors" in refusal(sparse, tmp_path)
