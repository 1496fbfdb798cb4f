"""Run a ``.web.tflite`` artifact with LiteRT.js in a headless browser of this machine."""

from __future__ import annotations

from pathlib import Path

from pocketpress.devices.web import WebRunner, open_in_browser, runtime_name
from pocketpress.targets.litert.inspection import read_signature


def open_runner(path: Path, threads: int = 1) -> WebRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of Pocketpress's, or LiteRT.js refuses it.
        DeviceError: there is no browser, or its page crashed.
    """
    return open_in_browser(path, read_signature(path), "litert", threads)


def runtime() -> str:
    """LiteRT.js and the browser, with their versions."""
    return runtime_name("litert")
