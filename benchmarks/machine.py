"""What every result says of the machine, and how a tool is run and measured on it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pocketpress.devices.host import describe_host

PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "coremltools",
    "executorch",
    "litert-torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "pocketpress",
    "torch",
    "torchao",
)
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
TAIL = 2000


@dataclass(frozen=True)
class Child:
    """A finished child process.

    Attributes:
        seconds: from start to end.
        load: the machine's load average over the last minute when it started; it counts other work.
    """

    seconds: float
    load: float


def describe() -> dict[str, Any]:
    """Processor, versions and time of a measurement."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "host": describe_host(PACKAGES).model_dump(mode="json"),
        "threads": 1,
    }


def run(*command: str) -> Child:
    """Run ``python -m command`` with one thread.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    load, begin = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ONE_THREAD},
            cwd=Path(__file__).parents[1],
            check=False,
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            said.seek(max(0, said.seek(0, os.SEEK_END) - TAIL))
            text = said.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {text}")
    return Child(seconds, load)
