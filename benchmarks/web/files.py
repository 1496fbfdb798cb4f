"""Where the files of the web benchmark lie, and which runtime each is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.subjects import SUBJECTS
from benchmarks.workplace import Workplace

NETWORK = "mobilenet_v2_224"
SUBJECT = SUBJECTS[NETWORK].specification
OURS = "pocketpress"
PEERS = ("litert", "onnxruntime")


@dataclass(frozen=True)
class File:
    """A file that is measured.

    Attributes:
        name: in the results.
        path: relative to the working folder.
        runtime: ``litert`` or ``onnxruntime``.
        peer: made by another tool.
    """

    name: str
    path: str
    runtime: str
    peer: bool = False


_STEM = SUBJECTS[NETWORK].factory.__name__
FILES = (
    File("litert-web int8", f"{OURS}/w8a8-static/{_STEM}.web.tflite", "litert"),
    File("litert-web float", f"{OURS}/fp32/{_STEM}.web.tflite", "litert"),
    File("onnxruntime-web int8", f"{OURS}/w8a8-static/{_STEM}.web.onnx", "onnxruntime"),
    File("onnxruntime-web float", f"{OURS}/fp32/{_STEM}.web.onnx", "onnxruntime"),
    File("ai-edge-quantizer int8", "litert/int8.tflite", "litert", peer=True),
    File("litert-torch float", "litert/float.tflite", "litert", peer=True),
    File("onnxruntime quantize_static int8", "onnxruntime/int8.onnx", "onnxruntime", peer=True),
    File("torch.onnx float", "onnxruntime/float.onnx", "onnxruntime", peer=True),
)


def place_of(work: Path) -> Workplace:
    """Weights and pictures in the working folder."""
    return Workplace(work, NETWORK)
