"""ai-edge-quantizer's recipe ``static_wi8_ai8`` on the float file that litert-torch converts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.peers.opened import Array, Images, Opened
from pocketpress.core.target import file_to_real, real_to_file

NAME = "ai-edge-quantizer static_wi8_ai8"
TARGET = "litert"
SUFFIX = ".tflite"


def produce(network: nn.Module, examples: tuple[torch.Tensor, ...], calibration: Images, path: Path) -> None:
    """Convert the float network to ``float.tflite`` beside ``path`` and quantise it to ``path``."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe  # type: ignore[import-untyped]

    floats = path.with_name("float.tflite")
    litert_torch.convert(network, examples).export(str(floats))
    tool = quantizer.Quantizer(str(floats), recipe.static_wi8_ai8())
    key, name = _first_input(floats)
    result = tool.calibrate({key: [{name: sample[None]} for sample in calibration]})
    tool.quantize(result).export_model(str(path), overwrite=True)


def _first_input(path: Path) -> tuple[str, str]:
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(path)).get_signature_list()
    key = next(iter(signatures))
    return key, signatures[key]["inputs"][0]


def open_file(path: Path, threads: int) -> Opened:
    """Load a file of this tool; its int8 input and output are converted outside, as its scales say."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    given, got = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def encode(x: Images) -> Array:
        scale, zero = given["quantization"]
        return real_to_file(x, np.dtype(given["dtype"]).name, scale or None, zero)

    def run(x: Array) -> Array:
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(got["index"]))

    def decode(values: Array) -> Array:
        scale, zero = got["quantization"]
        return file_to_real(values, scale or None, zero)

    return Opened(encode, run, decode)
