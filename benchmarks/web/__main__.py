"""MobileNetV2 in a browser: our artifacts against the default converters of both browser runtimes.

    python -m benchmarks.web --out results/web.json

Every tool gets the same float weights and pictures.  All files are then timed in one run in one headless
Chromium, interleaved, one thread, pinned to one processor, ``--processes`` times.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.agreement import fidelity
from benchmarks.machine import describe, run
from benchmarks.press_vs_peers import ratio, timing
from benchmarks.web.files import FILES, NETWORK, OURS, PEERS, place_of
from pocketpress.core.record import Record
from pocketpress.measure.size import measure_size
from pocketpress.measure.verdict import SLOWER_MARGIN

Arrays = dict[str, npt.NDArray[Any]]
BEST = "litert-web int8"
"""The artifact that `--target web` is meant to be used with; the other is the second road."""
EQUAL = 1 + SLOWER_MARGIN
"""Of float, as a press judges: the same arithmetic on weights at other places differs by so much."""


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = (given.work or Path(scratch)).absolute()
        produce(work, given.calibration, given.held_out, given.reuse)
        loads, runs = [], []
        for _ in range(given.processes):
            pinned = [] if given.core is None else ["--core", str(given.core)]
            child = run("benchmarks.web.measure", str(work), "--budget", str(given.budget), *pinned)
            loads.append(child.load)
            with np.load(work / "measured.npz") as file:
                runs.append({name: file[name] for name in file.files})
        result = {
            "benchmark": "web",
            "format": 1,
            "network": NETWORK,
            "weights": place_of(work).subject.weights,
            "trained": place_of(work).subject.trained,
            **describe(),
            "core": given.core,
            "load": loads,
            "load_end": os.getloadavg(),
            **summary(work, runs),
        }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Web artifacts against the runtimes' own converters.")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--work", type=Path, help="keep all files here; a temporary folder by default")
    parser.add_argument("--reuse", action="store_true", help="take what --work already holds")
    parser.add_argument("--calibration", type=int, default=64, help="pictures")
    parser.add_argument("--held-out", type=int, default=40, help="pictures")
    parser.add_argument("--processes", type=int, default=3, help="fresh browsers")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of timing in each")
    parser.add_argument("--core", type=int, help="processor to pin to (the last one)", default=_last_core())
    return parser.parse_args()


def _last_core() -> int | None:
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def produce(work: Path, calibration: int, held_out: int, reuse: bool) -> None:
    """Write the files of every tool; with ``reuse`` only those that are missing."""
    place = place_of(work)
    if not (reuse and place.weights.exists()):
        place.prepare(calibration, held_out)
    for tool in (OURS, *PEERS):
        own = [work / file.path for file in FILES if file.path.startswith(f"{tool}/")]
        if not (reuse and all(path.exists() for path in own)):
            run("benchmarks.web.produce", tool, str(work))


def summary(work: Path, runs: Sequence[Arrays]) -> dict[str, Any]:
    """Everything measured, and whether each bar is met."""
    floats = place_of(work).float_outputs()
    seconds = {file.name: [r[f"{file.name}_s"] for r in runs] for file in FILES}
    rows = {
        file.name: {
            "runtime": str(runs[0]["browser"][i]),
            "peer": file.peer,
            "size_bytes": measure_size(work / file.path).raw_bytes,
            "load_s": float(np.median([r["load_s"][i] for r in runs])),
            "latency": asdict(timing(seconds[file.name])),
            "fidelity": asdict(fidelity(runs[0][file.name], floats)),
        }
        for i, file in enumerate(FILES)
    }
    peers = {file.name: asdict(ratio(seconds[BEST], seconds[file.name])) for file in FILES if file.peer}
    own_float = {
        f"{runtime}-web": asdict(ratio(seconds[f"{runtime}-web int8"], seconds[f"{runtime}-web float"]))
        for runtime in PEERS
    }
    parity = _parity(work)
    return {
        "files": rows,
        "ours": BEST,
        "versus_peers": peers,
        "versus_own_float": own_float,
        "parity": parity,
        "met": {
            "at most 1.0x of the better peer": max(p["ratio"] for p in peers.values()) <= 1.0,
            **{f"{name}: never slower than float": r["ratio"] <= EQUAL for name, r in own_float.items()},
            "litert-web: equal integers": parity["litert-web"]["equal"] == 1.0,
        },
    }


def _parity(work: Path) -> dict[str, Any]:
    """What the press found against the integer reference."""
    record = Record.read(work / OURS / "w8a8-static" / "record.json")
    return {
        target.name: None if target.parity is None else json.loads(target.parity.model_dump_json())
        for target in record.targets
    }


if __name__ == "__main__":
    main()
