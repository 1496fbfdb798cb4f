"""Let the page open a file of another tool: the same file with a Pocketpress signature in its metadata.

Operators, tensors and constants are not touched, so the runtime computes what it would have.
"""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.targets.litert.graph import SIGNATURE_METADATA
from pocketpress.targets.onnxruntime.model_file import SIGNATURE_KEY


def adopted(path: Path) -> tuple[Path, Signature]:
    """Write ``X.signed.tflite`` or ``X.signed.onnx`` beside a file; returns it and its signature."""
    signed = path.with_name(f"{path.stem}.signed{path.suffix}")
    return signed, (_tflite if path.suffix == ".tflite" else _onnx)(path, signed)


def _tflite(path: Path, signed: Path) -> Signature:
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.tools import flatbuffer_utils

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    details = (runner.get_input_details(), runner.get_output_details())
    inputs, outputs = (
        tuple(
            TensorSpec(name, tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name)
            for name, d in part.items()
        )
        for part in details
    )
    signature = Signature(inputs, outputs)
    model = flatbuffer_utils.read_model(str(path))
    text = np.frombuffer(signature.to_json().encode(), np.uint8)
    entry = schema.MetadataT(name=SIGNATURE_METADATA, buffer=len(model.buffers))
    model.buffers.append(schema.BufferT(data=text))
    model.metadata = [*(model.metadata or ()), entry]
    signed.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    return signature


def _onnx(path: Path, signed: Path) -> Signature:
    import onnx

    model = onnx.load(path)

    def specs(values: object) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(v.name, tuple(d.dim_value for d in v.type.tensor_type.shape.dim), "float32")
            for v in values  # type: ignore[attr-defined]
        )

    signature = Signature(specs(model.graph.input), specs(model.graph.output))
    onnx.helper.set_model_props(model, {SIGNATURE_KEY: signature.to_json()})
    onnx.save(model, signed)
    return signature
