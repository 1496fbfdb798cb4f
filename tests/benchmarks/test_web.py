"""The web benchmark: bars from known numbers, and files of other tools that keep their operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.web import __main__ as web
from benchmarks.web.files import FILES
from benchmarks.web.foreign import adopted

from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.record import Parity
from pocketpress.core.signature import signature_of


def arrays(**seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {f"{file.name}_s": np.full((2, 3), 2.0) for file in FILES}
    found |= {f"{name}_s": np.full((2, 3), value) for name, value in seconds.items()}
    outputs = np.arange(12, dtype=np.float32).reshape(2, 6)
    found |= {file.name: outputs for file in FILES}
    return {**found, "load_s": np.ones(len(FILES)), "browser": np.asarray(["a runtime"] * len(FILES))}


def summarised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, equal: float, **seconds: float
) -> dict[str, Any]:
    class Place:
        def float_outputs(self) -> Any:
            return np.arange(12, dtype=np.float32).reshape(2, 6) + np.float32(0.5)

    for file in FILES:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    parity = Parity(samples=1, elements=1, equal=equal, max_abs=0.0)
    monkeypatch.setattr(web, "place_of", lambda work: Place())
    monkeypatch.setattr(web, "_parity", lambda work: {"litert-web": parity.model_dump(mode="json")})
    found: dict[str, Any] = web.summary(tmp_path, [arrays(**seconds)])
    return found


def test_bars_that_are_just_met(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seconds = {"litert-web int8": 1.0, "ai-edge-quantizer int8": 1.0, "onnxruntime-web int8": 2.0}
    found = summarised(monkeypatch, tmp_path, 1.0, **seconds)
    assert all(found["met"].values()), found["met"]
    assert found["versus_peers"]["torch.onnx float"]["ratio"] == 0.5
    assert found["versus_own_float"]["onnxruntime-web"]["ratio"] == 1.0
    assert found["files"]["litert-web int8"]["size_bytes"] == 10


@pytest.mark.parametrize(
    ("equal", "seconds", "broken"),
    [
        (1.0, {"litert-web int8": 1.0, "ai-edge-quantizer int8": 0.99}, "at most 1.0x of the better peer"),
        (1.0, {"litert-web int8": 1.9, "litert-web float": 1.8}, "litert-web: never slower than float"),
        (
            1.0,
            {"litert-web int8": 1.0, "onnxruntime-web int8": 2.1},
            "onnxruntime-web: never slower than float",
        ),
        (0.999, {"litert-web int8": 1.0}, "litert-web: equal integers"),
    ],
)
def test_every_bar_can_be_broken(
    equal: float, seconds: dict[str, float], broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    met = summarised(monkeypatch, tmp_path, equal, **seconds)["met"]
    assert [name for name, kept in met.items() if not kept] == [broken]


def test_a_foreign_file_gets_a_signature_and_computes_what_it_did(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from pocketpress.targets.litert.inspection import read_signature
    from pocketpress.targets.litert.lower import to_bytes

    b = ProgramBuilder()
    weight = b.constant("w", np.arange(12, dtype=np.float32).reshape(3, 4))
    y = b.node("linear", [b.input("x", TensorType((1, 4))), weight], TensorType((1, 3)), name="y", clamp=None)
    program = b.build([y])
    path = tmp_path / "other.tflite"
    path.write_bytes(to_bytes(program, signature_of(program, precision="fp32")))
    signed, signature = adopted(path)
    assert read_signature(path).precision == "fp32" and signed.name == "other.signed.tflite"
    assert [(s.name, s.shape, s.dtype) for s in (*signature.inputs, *signature.outputs)] == [
        ("x", (1, 4), "float32"),
        ("y", (1, 3), "float32"),
    ]
    results = []
    for file in (path, signed):
        interpreter = Interpreter(model_path=str(file))
        runner = interpreter.get_signature_runner()
        results.append(runner(x=np.asarray([[1, 2, 3, 4]], np.float32))["y"])
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(results[0], [[20, 60, 100]])


def test_a_foreign_onnx_file_too(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    from pocketpress.targets.onnxruntime.model_file import read_checked

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", tensors[:1], tensors[1:])
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph), path)
    signed, signature = adopted(path)
    assert read_checked(signed)[1] == signature
    assert onnx.load(signed).graph == onnx.load(path).graph
