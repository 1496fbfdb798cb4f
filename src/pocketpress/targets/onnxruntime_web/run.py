"""Run a ``.web.onnx`` artifact with ONNX Runtime Web in a headless browser of this machine."""

from __future__ import annotations

from pathlib import Path

from pocketpress.devices.web import WebRunner, open_in_browser, runtime_name
from pocketpress.targets.onnxruntime.model_file import read_checked


def open_runner(path: Path, threads: int = 1) -> WebRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of Pocketpress's, or the runtime refuses it.
        DeviceError: there is no browser, or its page crashed.
    """
    _, signature = read_checked(path)
    return open_in_browser(path, signature, "onnxruntime", threads)


def runtime() -> str:
    """ONNX Runtime Web and the browser, with their versions."""
    return runtime_name("onnxruntime")
