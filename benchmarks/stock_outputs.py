"""Run a peer's file on pictures: ``python stock_outputs.py FILE PICTURES.npy OUTPUTS.npy CLASSES``.

Executed by this machine's Python and by the emulated Arm64 one, so it needs NumPy and the file's runtime
only; a ``.pte`` file is run by our binding to ExecuTorch's library, found through ``PYTHONPATH``, on both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Run = Callable[[Any], Any]


def main() -> None:
    file, pictures, outputs = map(Path, sys.argv[1:4])
    opener = {".tflite": litert, ".onnx": onnxruntime, ".pte": executorch}[file.suffix]
    run = opener(file, int(sys.argv[4]))
    np.save(outputs, np.concatenate([run(x[None]) for x in np.load(pictures)]))


def litert(file: Path, classes: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (got,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(picture: Any) -> Any:
        if given["dtype"] == np.int8:
            scale, zero = given["quantization"]
            picture = np.clip(np.rint(picture / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], picture)
        interpreter.invoke()
        values = interpreter.get_tensor(got["index"])
        if values.dtype != np.int8:
            return values
        scale, zero = got["quantization"]
        return (values.astype(np.float32) - zero) * np.float32(scale)

    return run


def onnxruntime(file: Path, classes: int) -> Run:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture})[0]


def executorch(file: Path, classes: int) -> Run:
    from pocketpress.targets.executorch.native import NativeProgram, reset_threadpool

    reset_threadpool(1)
    signature = SimpleNamespace(outputs=[SimpleNamespace(dtype="float32", shape=(1, classes))])
    program = NativeProgram(file.read_bytes(), signature)  # type: ignore[arg-type]
    return lambda picture: program.run([picture])[0]


if __name__ == "__main__":
    main()
