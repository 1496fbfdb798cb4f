"""The folder in which one network is produced by every tool: inputs, file names, and the float outputs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from benchmarks.subjects import SUBJECTS, Images, Subject

PEERS = ("onnxruntime_tool", "litert_tool", "executorch_tool")
GUESTS = ("nncf_tool",)
"""Peers that no runtime brings along; they need an environment of their own."""
OURS = "pocketpress"
TARGETS = ("litert", "executorch", "onnxruntime", "coreml")
FLOATS = "pocketpress_float"
STOCK_FLOAT = "executorch_float"
"""Only ExecuTorch's tool leaves no float file behind on its way; this makes it."""


def peer(name: str) -> ModuleType:
    """The module of a peer."""
    return importlib.import_module(f"benchmarks.peers.{name}")


@dataclass(frozen=True)
class Workplace:
    """Paths of one run.

    Attributes:
        folder: of everything.
        name: of the subject.
    """

    folder: Path
    name: str

    @property
    def subject(self) -> Subject:
        """What is pressed."""
        return SUBJECTS[self.name]

    @property
    def weights(self) -> Path:
        """The float weights every tool is given."""
        return self.folder / "weights.safetensors"

    @property
    def calibration(self) -> Path:
        """``x``: the pictures every tool calibrates on."""
        return self.folder / "calibration.npz"

    @property
    def held_out(self) -> Path:
        """``x`` and, where there are labels, ``y``: the pictures everything is judged on."""
        return self.folder / "held_out.npz"

    def prepare(self, calibration: int, held_out: int) -> None:
        """Write weights and pictures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.subject.save_weights(self.weights)
        np.savez(self.calibration, x=self.subject.calibration(calibration))
        labels = self.subject.labels(held_out)
        pictures = self.subject.held_out(held_out)
        if labels is None:
            np.savez(self.held_out, x=pictures)
        else:
            np.savez(self.held_out, x=pictures, y=labels)

    def pictures(self, part: str) -> Images:
        """``calibration`` or ``held_out``, shape (N, 3, side, side)."""
        with np.load(self.folder / f"{part}.npz") as file:
            return np.asarray(file["x"])

    def network(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """The float network and its example inputs."""
        return self.subject.load(self.weights)

    def float_outputs(self) -> Images:
        """What the PyTorch network makes of the held-out pictures, shape (N, outputs)."""
        network, _ = self.network()
        torch.set_num_threads(1)
        with torch.no_grad():
            rows = [network(torch.from_numpy(x[None])).numpy() for x in self.pictures("held_out")]
        return np.concatenate(rows)

    def produced(self, tool: str, *, untied: bool = False) -> Path:
        """The folder a tool writes into."""
        folder = PEERS[-1] if tool == STOCK_FLOAT else tool
        return self.folder / (f"{folder}-untied" if untied else folder)

    def our_file(self, suffix: str, folder: str = OURS) -> Path:
        """An artifact of ours."""
        return self.folder / folder / f"{self.subject.factory.__name__}{suffix}"

    def peer_file(self, module: ModuleType) -> Path:
        """A peer's quantised file."""
        return self.folder / module.__name__.rpartition(".")[2] / f"model{module.SUFFIX}"

    def stock_float(self, module: ModuleType) -> Path:
        """A peer's float file."""
        return self.peer_file(module).with_name(f"float{module.SUFFIX}")
