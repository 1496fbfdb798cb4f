"""The runtimes' own benchmark programs: how they are called, and what they print.

Each is built by whoever has its runtime's sources and an Android toolchain, and named in an environment
variable.  All lines below are as the programs of 2024 to 2026 print them.

* ``benchmark_model`` of LiteRT (TensorFlow Lite): one line ``count=50 first=... curr=... min=... max=...
  avg=... std=...`` in microseconds for the warm-up and one for the measurement, newer ones with ``p5=...
  median=... p95=...`` behind; outputs in one file, one tensor after the other.
* ``onnxruntime_perf_test``: a result file with a line ``model,seconds,peak bytes,CPU %,run`` per inference;
  it gives no outputs.
* ``executor_runner`` of ExecuTorch: ``Iteration 3 of 10: 1.234000 ms`` per inference, older ones only
  ``Model executed successfully 10 time(s) in 12.340000 ms.``, in the phone's log; one file per output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pocketpress.core.errors import DeviceError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import Array

WARMUP = 5
"""Untimed inferences of every process."""

_COUNT = re.compile(r"count=(\d+) .*?avg=([0-9.e+]+)(?:.*?median=([0-9.e+]+))?")
_PERF_LINE = re.compile(r"^[^,\n]*,([0-9.eE+-]+),(\d+),-?\d+,\d+\s*$", re.MULTILINE)
_PERF_AVERAGE = re.compile(r"Average (?:inference )?time cost(?: total)?: *([0-9.eE+-]+) ms")
_ITERATION = re.compile(r"Iteration (\d+) of \d+: ([0-9.]+) ms")
_EXECUTED = re.compile(r"Model executed successfully (\d+) time\(s\) in ([0-9.]+) ms")


@dataclass(frozen=True)
class Call:
    """One execution of a program.

    Attributes:
        arguments: of the program; paths are relative to its folder.
        result: a file it writes about its times, or None.
        outputs: files with the outputs, or none.
    """

    arguments: tuple[str, ...]
    result: str | None = None
    outputs: tuple[str, ...] = ()


class Tool(Protocol):
    """A runtime's benchmark program.

    Attributes:
        target: whose artifacts it executes.
        program: its usual name.
        variable: environment variable that holds its path on this machine.
        gives_outputs: whether the numbers can be compared.
        about: what its times are, for the record.
    """

    target: str
    program: str
    variable: str
    gives_outputs: bool
    about: str

    def place(self, number: int) -> str:
        """Path of artifact ``number`` within the folder."""

    def inputs(self, number: int, signature: Signature, feeds: Sequence[Array]) -> Mapping[str, bytes]:
        """Files with the inputs, by path within the folder."""

    def call(self, number: int, signature: Signature, threads: int, runs: int) -> Call:
        """How to execute the artifact on its inputs so many times."""

    def seconds(self, printed: str, result: str) -> list[float]:
        """Times of the inferences after warming up, or one number that stands for all."""


def _names(number: int, signature: Signature) -> list[str]:
    return [f"{number}.in{index}" for index in range(len(signature.inputs))]


class _RawInputs:
    """Of a program that takes an artifact in one file, and its inputs as raw bytes, a file each."""

    suffix: str

    def place(self, number: int) -> str:
        """A file."""
        return f"{number}{self.suffix}"

    def inputs(self, number: int, signature: Signature, feeds: Sequence[Array]) -> Mapping[str, bytes]:
        """Raw bytes, a file per input."""
        names = _names(number, signature)
        return {name: np.ascontiguousarray(feed).tobytes() for name, feed in zip(names, feeds, strict=True)}


class BenchmarkModel(_RawInputs):
    """LiteRT's program."""

    target, program, suffix = "litert", "benchmark_model", ".tflite"
    variable = "POCKETPRESS_ADB_LITERT"
    gives_outputs = True
    about = "each time is the median (of older versions: the mean) of one run of benchmark_model"

    def call(self, number: int, signature: Signature, threads: int, runs: int) -> Call:
        """Inputs are named by their order: the names need not be those of the model."""
        if any(not spec.shape for spec in signature.inputs):
            raise DeviceError("benchmark_model takes no input without axes")
        names = _names(number, signature)
        shapes = [",".join(map(str, spec.shape)) for spec in signature.inputs]
        return Call(
            (
                f"--graph={self.place(number)}",
                f"--num_threads={threads}",
                f"--num_runs={runs}",
                "--min_secs=0",
                f"--warmup_runs={WARMUP}",
                "--warmup_min_secs=0",
                f"--input_layer={','.join(names)}",
                f"--input_layer_shape={':'.join(shapes)}",
                f"--input_layer_value_files={','.join(f'{name}:{name}' for name in names)}",
                f"--output_filepath={number}.out",
            ),
            outputs=(f"{number}.out",),
        )

    def seconds(self, printed: str, result: str) -> list[float]:
        """The last line of counts is the measurement; the one before it, if any, the warm-up."""
        found = _COUNT.findall(printed)
        if not found:
            return []
        _, average, median = found[-1]
        return [float(median or average) * 1e-6]


class PerfTest:
    """ONNX Runtime's program."""

    target, program = "onnxruntime", "onnxruntime_perf_test"
    variable = "POCKETPRESS_ADB_ONNXRUNTIME"
    gives_outputs = False
    about = "timed by onnxruntime_perf_test, which gives no outputs: nothing was compared"

    def place(self, number: int) -> str:
        """A folder of its own, where the program looks for inputs."""
        return f"{number}/model.onnx"

    def inputs(self, number: int, signature: Signature, feeds: Sequence[Array]) -> Mapping[str, bytes]:
        """``TensorProto`` messages."""
        named = zip(signature.inputs, feeds, strict=True)
        return {
            f"{number}/test_data_set_0/input_{index}.pb": tensor_proto(spec, feed)
            for index, (spec, feed) in enumerate(named)
        }

    def call(self, number: int, signature: Signature, threads: int, runs: int) -> Call:
        """All optimisations, sequential."""
        result = f"{number}/result.csv"
        options = f"-e cpu -m times -r {runs + WARMUP} -x {threads} -y 1 -o 99".split()
        return Call((*options, self.place(number), result), result)

    def seconds(self, printed: str, result: str) -> list[float]:
        """Every inference, or the average where there is no result file."""
        times = [float(seconds) for seconds, _ in _PERF_LINE.findall(result)]
        if times:
            return times[WARMUP:] or times
        average = _PERF_AVERAGE.search(printed)
        return [float(average[1]) * 1e-3] if average else []


class ExecutorRunner(_RawInputs):
    """ExecuTorch's program."""

    target, program, suffix = "executorch", "executor_runner", ".pte"
    variable = "POCKETPRESS_ADB_EXECUTORCH"
    gives_outputs = True
    about = "timed by executor_runner"

    def call(self, number: int, signature: Signature, threads: int, runs: int) -> Call:
        """The first method of the program is the network."""
        return Call(
            (
                f"--model_path={self.place(number)}",
                f"--inputs={','.join(_names(number, signature))}",
                f"--output_file={number}.out",
                f"--num_executions={runs + WARMUP}",
                f"--cpu_threads={threads}",
            ),
            outputs=tuple(f"{number}.out-{index}.bin" for index in range(len(signature.outputs))),
        )

    def seconds(self, printed: str, result: str) -> list[float]:
        """Every inference, or of older versions the average, the first ones included."""
        times = [float(milliseconds) * 1e-3 for _, milliseconds in _ITERATION.findall(printed)]
        if times:
            return times[WARMUP:] or times
        total = _EXECUTED.findall(printed)
        return [float(total[-1][1]) * 1e-3 / max(1, int(total[-1][0]))] if total else []


TOOLS: Mapping[str, Tool] = {tool.target: tool for tool in (BenchmarkModel(), PerfTest(), ExecutorRunner())}


def outputs_of(signature: Signature, files: Sequence[bytes]) -> list[Array]:
    """Outputs from the files of a call, whatever file each is in.

    Raises:
        DeviceError: there is too little or too much.
    """
    data, found = b"".join(files), []
    wanted = sum(size_bytes(spec) for spec in signature.outputs)
    if len(data) != wanted:
        raise DeviceError(
            "the program's outputs are not those of the artifact", got=f"{len(data)} bytes", allowed=wanted
        )
    for spec in signature.outputs:
        found.append(np.frombuffer(data[: size_bytes(spec)], spec.dtype).reshape(spec.shape))
        data = data[size_bytes(spec) :]
    return found


def size_bytes(spec: TensorSpec) -> int:
    """Of a tensor in its file's dtype."""
    return int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize


_DATA_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10,
}  # fmt: skip


def tensor_proto(spec: TensorSpec, values: Array) -> bytes:
    """ONNX's ``TensorProto``: dims (field 1), data_type (2), name (8), raw_data (9)."""
    if spec.dtype not in _DATA_TYPES:
        raise DeviceError("onnxruntime_perf_test takes no such input", got=spec.dtype)
    name, raw = spec.name.encode(), np.ascontiguousarray(values).tobytes()
    dims = b"".join(b"\x08" + _varint(size) for size in spec.shape)
    kind = b"\x10" + _varint(_DATA_TYPES[spec.dtype])
    return dims + kind + b"\x42" + _varint(len(name)) + name + b"\x4a" + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
