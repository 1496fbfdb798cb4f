"""ExecuTorch's XNNPACKQuantizer: symmetric, per channel, static, with torchao's PT2E, lowered to XNNPACK."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.peers.opened import Array, Images, Opened, same

NAME = "executorch XNNPACKQuantizer"
TARGET = "executorch"
SUFFIX = ".pte"


def produce(network: nn.Module, examples: tuple[torch.Tensor, ...], calibration: Images, path: Path) -> None:
    """Quantise the float network and lower it to ``path``."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    tool = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(network, examples).module(), tool)
    with torch.no_grad():
        for sample in calibration:
            prepared(torch.from_numpy(sample[None]))
    _lower(convert_pt2e(prepared), examples, path)


def produce_float(network: nn.Module, examples: tuple[torch.Tensor, ...], path: Path) -> None:
    """Lower the float network to ``path``."""
    _lower(network, examples, path)


def _lower(network: nn.Module, examples: tuple[torch.Tensor, ...], path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(network, examples)
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    path.write_bytes(program.buffer)


def open_file(path: Path, threads: int) -> Opened:
    """Load a file of this tool.

    The runtime has one thread pool per process, which Pocketpress sizes when it opens an artifact: open one
    with the same ``threads`` first.  The runtime points into the file's bytes without keeping them.
    """
    runtime = importlib.import_module("executorch.extension.pybindings._C")
    found = runtime._threadpool_get_thread_count()
    if found != threads:
        raise RuntimeError(
            f"thread pool has {found} threads, wanted {threads}; open one of our artifacts first"
        )
    data = path.read_bytes()
    program = runtime._load_program_from_buffer(data)
    held = (data, program, program.load_method("forward"))

    def run(x: Array) -> Array:
        outputs = held[2]([torch.from_numpy(x)], clone_outputs=True)
        return np.asarray(outputs[0].numpy())

    return Opened(same, run, same)
