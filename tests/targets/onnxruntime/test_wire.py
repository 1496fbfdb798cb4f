"""Protocol-buffer bytes: hand-computed ones, ONNX's own, and those that lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.targets.onnxruntime.model_file import SIGNATURE_KEY, read_checked
from pocketpress.targets.onnxruntime.wire import Message, WireError


def message(*data: int) -> Message:
    return Message(memoryview(bytes(data)))


def test_the_example_of_the_specification() -> None:
    """Field 1 is 150; field 2 is "testing"."""
    found = message(0x08, 0x96, 0x01, 0x12, 0x07, *b"testing")
    assert found.number(1) == 150 and found.text(2) == "testing"
    assert 1 in found and 3 not in found
    assert found.number(3) == 0 and found.text(3) == "" and found.parts(3) == []


def test_the_last_counts_and_messages_add_up() -> None:
    found = message(0x08, 1, 0x08, 2, 0x12, 1, 0x61, 0x12, 1, 0x62)
    assert found.number(1) == 2 and found.numbers(1) == [1, 2]
    assert found.text(2) == "b" and [bytes(part) for part in found.parts(2)] == [b"a", b"b"]
    assert Message(memoryview(b"\x08\x01"), memoryview(b"\x10\x02")).number(2) == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([0x08], "a number without end"),
        ([0x08, *[0x80] * 10, 1], "a number without end"),
        ([0x12, 5, 1], "ends behind the message"),
        ([0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], "ends behind the message"),
        ([0x0D, 1, 2, 3], "ends behind the message"),
        ([0x0B, 0x0C], "a group"),
        ([0x00, 0x01], "a field without number"),
    ],
)
def test_damage(data: list[int], problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        message(*data)


def test_a_field_of_another_kind() -> None:
    found = message(0x08, 1, 0x12, 1, 0xFF)
    for ask, problem in (
        (lambda: found.parts(1), "field 1 is a number"),
        (lambda: found.numbers(2), "field 2 is no number"),
        (lambda: found.text(2), "field 2 is no text"),
    ):
        with pytest.raises(WireError, match=problem):
            ask()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    try:
        found = Message(memoryview(data))
    except WireError:
        return
    assert sum(len(values) for values in found._fields.values()) <= len(data)


SIGNATURE = Signature((TensorSpec("x", (1,), "float32"),), (TensorSpec("y", (1,), "float32"),))


def model() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], np.float32([2]).tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    made = helper.make_model(graph)
    helper.set_model_props(made, {SIGNATURE_KEY: SIGNATURE.to_json(), "other": "text"})
    return made


def read(data: bytes, folder: Path) -> Signature:
    path = folder / "net.onnx"
    path.write_bytes(data)
    return read_checked(path)[1]


def test_a_model_is_read(tmp_path: Path) -> None:
    assert read(model().SerializeToString(), tmp_path) == SIGNATURE


def test_parts_of_a_graph_are_all_looked_at(tmp_path: Path) -> None:
    """Protocol buffers merge a message that is written twice: the second part is no hiding place."""
    hidden = onnx.ModelProto()
    node = hidden.graph.node.add(op_type="If", name="branch")
    node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.name = "inner"
    data = model().SerializeToString() + hidden.SerializeToString()
    assert onnx.ModelProto.FromString(data).graph.node[1].op_type == "If"
    with pytest.raises(ArtifactError, match="node branch has a nested graph or tensor"):
        read(data, tmp_path)


def test_the_last_name_of_an_operator_is_its_name(tmp_path: Path) -> None:
    """A node that says Scan first and If last is an If."""
    node = onnx.NodeProto(op_type="If", name="branch")
    node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "inner"
    scan = onnx.NodeProto(op_type="Scan").SerializeToString() + node.SerializeToString()
    assert onnx.NodeProto.FromString(scan).op_type == "If"
    graph = model().graph.SerializeToString() + b"\x0a" + bytes([len(scan)]) + scan
    rest = model()
    rest.ClearField("graph")
    whole = rest.SerializeToString() + b"\x3a" + _length(len(graph)) + graph
    assert onnx.ModelProto.FromString(whole).graph.node[1].op_type == "If"
    with pytest.raises(ArtifactError, match="nested graph"):
        read(whole, tmp_path)


def _length(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 0x7F | 0x80, value >> 7])


def test_a_file_of_the_runtimes_own_format_is_refused(tmp_path: Path) -> None:
    """A text at byte 4 would make ONNX Runtime read the same bytes in another way."""
    data = b"\x08\x0a\x12\x04ORTM" + model().SerializeToString()
    assert onnx.ModelProto.FromString(data).graph.node[0].op_type == "Mul"
    with pytest.raises(
        ArtifactError, match=r"net.onnx is not an ONNX file, or it is damaged: got another format"
    ):
        read(data, tmp_path)


@pytest.mark.parametrize("field", ["functions", "training_info"])
def test_what_this_target_never_writes(field: str, tmp_path: Path) -> None:
    made = model()
    getattr(made, field).add()
    with pytest.raises(ArtifactError, match="holds functions or training data"):
        read(made.SerializeToString(), tmp_path)


def test_a_tensor_in_a_plain_attribute_is_refused(tmp_path: Path) -> None:
    made = model()
    attribute = made.graph.node[0].attribute.add(name="a", type=onnx.AttributeProto.FLOAT, f=1.0)
    assert read(made.SerializeToString(), tmp_path) == SIGNATURE
    attribute.t.name = "hidden"
    with pytest.raises(ArtifactError, match="nested graph or tensor"):
        read(made.SerializeToString(), tmp_path)
