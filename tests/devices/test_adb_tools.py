"""What the runtimes' programs print, as recorded from them, and the numbers in it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pocketpress.core.errors import DeviceError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.devices.adb.tools import TOOLS, outputs_of, tensor_proto

OLD_TFLITE = """STARTING!
Log parameter values verbosely: [0]
Num threads: [4]
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=1 curr=3512391

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Inference (avg): 2.95034e+06
"""
NEW_TFLITE = """INFO: The input model file size (MB): 24.6229
INFO: Initialized session in 119.515ms.
INFO: count=9 first=87112 curr=51629 min=51629 max=87112 avg=58147.4 std=11478 p5=51629 median=51962 p95=87112

INFO: count=100 first=52162 curr=49785 min=49088 max=68610 avg=53743.2 std=607 p5=49620 median=51891 p95=58628

INFO: Inference timings in us: Init: 119515, First inference: 87112, Inference (avg): 63743.2
"""
PERF = """Session creation time cost: 0.217932 s
First inference time cost: 196 ms
Total inference requests: 5
Average inference time cost total: 98.961997 ms
P50 Latency: 0.0995086 s
"""
PERF_FILE = "".join(f"0,{0.1 + run / 1000},271122432,11,{run}\n" for run in range(8))
EXECUTORCH = "\n".join(
    f"11-29 10:00:00.000  4242  4242 I ExecuTorch: Iteration {n} of 7: {n}.500000 ms" for n in range(1, 8)
)
OLD_EXECUTORCH = "I ExecuTorch: Model executed successfully 10 time(s) in 12.340000 ms."


@pytest.mark.parametrize(
    ("target", "printed", "result", "seconds"),
    [
        ("litert", OLD_TFLITE, "", [2.95034]),
        ("litert", NEW_TFLITE, "", [0.051891]),
        ("litert", "ERROR: Failed to load", "", []),
        ("onnxruntime", PERF, PERF_FILE, [0.105, 0.106, 0.107]),
        ("onnxruntime", PERF, "Min Latency is 0.05sec\n", [0.098961997]),
        ("onnxruntime", "Average time cost:58.8053 ms", "", [0.0588053]),
        ("onnxruntime", "failed", "a,b,c\n", []),
        ("executorch", EXECUTORCH, "", [0.0065, 0.0075]),
        ("executorch", OLD_EXECUTORCH, "", [0.001234]),
        ("executorch", "E ExecuTorch: Failed to parse model file", "", []),
    ],
)
def test_times(target: str, printed: str, result: str, seconds: list[float]) -> None:
    assert TOOLS[target].seconds(printed, result) == pytest.approx(seconds)


TWO = Signature(
    (TensorSpec("a", (1, 2), "float32"), TensorSpec("b:0", (3,), "int8", 0.5)),
    (TensorSpec("y", (2,), "float32"), TensorSpec("z", (1, 3), "int8", 0.1)),
)


def test_calls() -> None:
    litert = TOOLS["litert"].call(3, TWO, 2, 20)
    assert litert.arguments == (
        "--graph=3.tflite", "--num_threads=2", "--num_runs=20", "--min_secs=0", "--warmup_runs=5",
        "--warmup_min_secs=0", "--input_layer=3.in0,3.in1", "--input_layer_shape=1,2:3",
        "--input_layer_value_files=3.in0:3.in0,3.in1:3.in1", "--output_filepath=3.out",
    )  # fmt: skip
    onnx_call = TOOLS["onnxruntime"].call(0, TWO, 4, 20)
    assert " ".join(onnx_call.arguments) == (
        "-e cpu -m times -r 25 -x 4 -y 1 -o 99 0/model.onnx 0/result.csv"
    )
    executorch = TOOLS["executorch"].call(1, TWO, 1, 1)
    assert executorch.outputs == ("1.out-0.bin", "1.out-1.bin")
    assert "--inputs=1.in0,1.in1" in executorch.arguments and "--num_executions=6" in executorch.arguments


def test_an_input_without_axes_is_refused_by_name() -> None:
    scalar = Signature((TensorSpec("t", (), "float32"),), TWO.outputs)
    with pytest.raises(DeviceError, match="benchmark_model takes no input without axes"):
        TOOLS["litert"].call(0, scalar, 1, 1)


def test_outputs_from_one_file_or_several() -> None:
    y, z = np.float32([1.5, -2]), np.int8([[1, 2, 3]])
    for files in ([y.tobytes() + z.tobytes()], [y.tobytes(), z.tobytes()]):
        got = outputs_of(TWO, files)
        np.testing.assert_array_equal(got[0], y)
        np.testing.assert_array_equal(got[1], z)
    with pytest.raises(DeviceError, match="got 10 bytes; allowed: 11"):
        outputs_of(TWO, [y.tobytes() + z.tobytes()[:2]])


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "int64", "float16", "bool"])
def test_a_tensor_is_what_onnx_reads(dtype: str) -> None:
    values = np.arange(300).reshape(2, 150).astype(dtype)
    read = onnx.TensorProto.FromString(tensor_proto(TensorSpec("näme", values.shape, dtype), values))
    assert read.name == "näme"
    np.testing.assert_array_equal(numpy_helper.to_array(read), values)
