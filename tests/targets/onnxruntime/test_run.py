"""Loading: threads, damaged files, files that are not ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.targets.onnxruntime.networks import residual
from tests.targets.onnxruntime.test_lower import lowered

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime import run as runtime
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.verify.reference import interpret

IMAGE = np.random.default_rng(0).standard_normal((1, 3, 12, 10)).astype(np.float32)


def model() -> onnx.ModelProto:
    program = residual()
    return to_model(program, signature_of(program, precision="w8a8-static"))


def refusal(data: bytes, folder: Path) -> str:
    path = folder / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        SPEC.open_runner(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_a_bit(threads: int, tmp_path: Path) -> None:
    program = residual()
    runner = SPEC.open_runner(lowered(program, tmp_path / "net.onnx"), threads=threads)
    expected = interpret(program, {"image": IMAGE})["logits"]
    np.testing.assert_array_equal(runner.run([IMAGE])[0], expected)


def test_the_exact_kernels_of_older_processors_give_the_same_integers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "saturating_cpu", lambda: True)
    program = residual()
    runner = SPEC.open_runner(lowered(program, tmp_path / "net.onnx"))
    expected = interpret(program, {"image": IMAGE})["logits"]
    np.testing.assert_array_equal(runner.run([IMAGE])[0], expected)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read gone\.onnx"):
        SPEC.open_runner(tmp_path / "gone.onnx")


def test_noise(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8).tobytes()
    assert "not an ONNX file" in refusal(data, tmp_path)


def test_truncation_anywhere_is_refused(tmp_path: Path) -> None:
    data = model().SerializeToString()
    for share in (0.0, 0.01, 0.2, 0.5, 0.9, 0.999):
        refusal(data[: int(len(data) * share)], tmp_path)


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    foreign = model()
    del foreign.metadata_props[:]
    assert "no Pocketpress signature" in refusal(foreign.SerializeToString(), tmp_path)


def test_external_data_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(5000))
    hostile = model()
    tensor = hostile.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    assert "external data" in refusal(hostile.SerializeToString(), tmp_path)


def test_a_nested_graph_is_refused(tmp_path: Path) -> None:
    hostile = model()
    attribute = hostile.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.CopyFrom(onnx.GraphProto(name="inner"))
    assert "nested graph" in refusal(hostile.SerializeToString(), tmp_path)


def test_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    hostile = model()
    hostile.graph.node[1].op_type = "FormatDisk"
    assert refusal(hostile.SerializeToString(), tmp_path).startswith("ONNX Runtime cannot load net.onnx")


def test_another_shape_than_the_signature_says_is_refused(tmp_path: Path) -> None:
    hostile = model()
    hostile.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    refusal(hostile.SerializeToString(), tmp_path)


def test_a_wrong_feed_is_a_device_error(tmp_path: Path) -> None:
    runner = SPEC.open_runner(lowered(residual(), tmp_path / "net.onnx"))
    with pytest.raises(DeviceError, match="ONNX Runtime failed to run"):
        runner.run([IMAGE[:, :2]])
