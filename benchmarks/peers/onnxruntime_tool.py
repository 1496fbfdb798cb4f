"""ONNX Runtime's ``quantize_static``: QDQ format, per channel, uint8 activations, int8 weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.peers.opened import Array, Images, Opened, same

NAME = "onnxruntime quantize_static"
TARGET = "onnxruntime"
SUFFIX = ".onnx"


def produce(network: nn.Module, examples: tuple[torch.Tensor, ...], calibration: Images, path: Path) -> None:
    """Export the float network to ``float.onnx`` beside ``path`` and quantise it to ``path``."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    floats, ready = path.with_name("float.onnx"), path.with_name("prepared.onnx")
    torch.onnx.export(network, examples, str(floats), dynamo=True, external_data=False, verbose=False)
    onnx.checker.check_model(onnx.load(floats))
    quant_pre_process(str(floats), str(ready))
    name = onnx.load(ready).graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples: Iterator[Any] = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            sample = next(self._samples, None)
            return None if sample is None else {name: sample[None]}

    quantize_static(
        str(ready),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    ready.unlink()


def open_file(path: Path, threads: int) -> Opened:
    """Load a file of this tool with the settings Pocketpress gives its own artifacts."""
    import onnxruntime

    from pocketpress.targets.onnxruntime.run import session_options

    session = onnxruntime.InferenceSession(
        str(path), session_options(threads), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run(x: Array) -> Array:
        return np.asarray(session.run(None, {name: x})[0])

    return Opened(same, run, same)
