"""The server of phones runs for hours beside other work: it brings no framework along."""

from __future__ import annotations

import subprocess
import sys

MODULES = "pocketpress.cli.bench_show, pocketpress.pipeline.bench.phones"
HEAVY = ("torch", "onnxruntime", "ai_edge_litert", "executorch", "scipy", "pyarrow")


def test_no_framework() -> None:
    code = f"import sys, {MODULES}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
