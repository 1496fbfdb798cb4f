"""From a budget to an artifact that keeps it: suggest, train, press, with the command line only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LATENCY, SIZE = "0.3ms", "400KB"
EPOCHS, SAMPLES = 2, 25_000
TARGETS = "litert,executorch,onnxruntime"


def shown(cifar: Path, work: Path) -> dict[str, Any]:
    """Numbers of the three commands; weights that are in ``work`` already are not trained again."""
    limits = ("--max-latency", LATENCY, "--max-size", SIZE)
    data = ("--data", str(cifar / "train.parquet"))
    recipe = ("--epochs", str(EPOCHS), "--samples", str(SAMPLES))
    asked = ("--task", "image-classification", "--input", "1,3,32,32", "--classes", "10")
    best = command("zoo", "suggest", *asked, *limits)["fits"][0]
    if not (work / "network.json").is_file():
        command("zoo", "train", best["name"], *data, *recipe, "--out", str(work))
    card = json.loads((work / "network.json").read_text(encoding="utf-8"))
    source = ("zoo:" + best["name"].partition(",")[0], "--weights", str(work / "weights.safetensors"))
    options = ("--target", TARGETS, "--eval", str(cifar / "test.parquet"), *limits)
    record = command("press", *source, *data, *options, "--out", str(work / "pressed"))
    return {
        "max_latency": LATENCY,
        "max_size": SIZE,
        "suggested": best,
        "epochs": card["recipe"]["epochs"],
        "samples": SAMPLES,
        "accuracy": card["accuracy"],
        "parameters": card["parameters"],
        "precision": record["recipe"]["precision"],
        "verdict": record["verdict"],
        "evaluated": record["data"]["evaluation"]["samples"],
        "targets": [
            {
                "name": target["name"],
                "size_bytes": target["size_bytes"],
                "latency_s": target["latency_s"]["median"],
                "speedup": target["latency_s"]["speedup"],
                "top1": target["metric"]["value"],
                "drop": target["metric"]["drop"],
                "drop_ci95": target["metric"]["drop_ci95"],
                "equal": target["parity"]["equal"],
                "verdict": target["verdict"],
            }
            for target in record["targets"]
        ],
    }


def command(*argv: str) -> Any:
    """Run ``pocketpress`` and read its JSON.

    Raises:
        RuntimeError: it failed (a broken promise, exit code 3, still has a record).
    """
    done = subprocess.run(
        [sys.executable, "-m", "pocketpress", *argv, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3) or not done.stdout:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)
