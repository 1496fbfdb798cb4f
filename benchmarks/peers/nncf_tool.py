"""NNCF's post-training quantisation ``nncf.quantize`` of the ONNX file, run in ONNX Runtime.

``$POCKETPRESS_NNCF_PYTHON`` is the interpreter of an environment with ``nncf onnx onnxruntime``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.peers import onnxruntime_tool
from benchmarks.peers.opened import Images

NAME = "NNCF quantize"
TARGET = "onnxruntime"
SUFFIX = ".onnx"
PYTHON = "POCKETPRESS_NNCF_PYTHON"
SECONDS = 900

open_file = onnxruntime_tool.open_file


def produce(network: nn.Module, examples: tuple[torch.Tensor, ...], calibration: Images, path: Path) -> None:
    """Export the float network to ``float.onnx`` beside ``path`` and quantise it to ``path``.

    Raises:
        RuntimeError: no interpreter named, or NNCF failed; with the end of what it said.
    """
    if PYTHON not in os.environ:
        raise RuntimeError(f"set ${PYTHON} to the interpreter of an environment with: nncf onnx onnxruntime")
    floats, samples = path.with_name("float.onnx"), path.with_name("calibration.npz")
    torch.onnx.export(network, examples, str(floats), dynamo=True, external_data=False, verbose=False)
    np.savez(samples, x=calibration)
    script = Path(__file__).with_name("nncf_script.py")
    command = [os.environ[PYTHON], str(script), str(floats), str(samples), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"NNCF ended with {done.returncode}: {done.stderr[-2000:]}")
    samples.unlink()
