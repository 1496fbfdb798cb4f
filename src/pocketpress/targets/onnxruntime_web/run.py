"""Run a ``.web.onnx`` artifact with ONNX Runtime Web in a headless browser of this machine."""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.signature import Signature
from pocketpress.devices.web import WebRunner, open_in_browser, runtime_name
from pocketpress.targets.onnxruntime.model_file import read_checked


def open_runner(path: Path, threads: int = 1) -> WebRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of Pocketpress's, or the runtime refuses it.
        DeviceError: there is no browser, or its page crashed.
    """
    return open_in_browser(path, read_signature(path), "onnxruntime", threads)


def read_signature(path: Path) -> Signature:
    """The signature that this target embeds.

    Raises:
        ArtifactError: the file is not one of Pocketpress's.
    """
    return read_checked(path)[1]


def runtime() -> str:
    """ONNX Runtime Web and the browser, with their versions."""
    return runtime_name("onnxruntime")
