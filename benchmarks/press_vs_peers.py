"""Pocketpress against each runtime's own default tool, on one float network and the same pictures.

    python -m benchmarks.press_vs_peers --network mobilenet_v2_224 --out results/peers-mobilenet_v2_224.json

Every tool runs in a process of its own, the same number of times, in turns; then, per runtime and in one
process, our artifact, the peer's and the float files are timed interleaved.  One thread throughout.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.agreement import Fidelity, Pair, Rows, fidelity, pairs
from benchmarks.machine import describe, run
from benchmarks.subjects import SUBJECTS
from benchmarks.workplace import FLOATS, OURS, PEERS, STOCK_FLOAT, TARGETS, Workplace, peer
from pocketpress.core.targets import all_targets
from pocketpress.measure.size import measure_size

Seconds = npt.NDArray[np.float64]
WHO = ("ours", "peer", "float_ours", "float_stock")


@dataclass(frozen=True)
class Production:
    """One tool's whole production, run after run.

    Attributes:
        tool: name.
        makes: the runtimes it makes files for.
        seconds: of every run, from starting Python to its end.
        peak_rss_bytes: of every run.
        load: the machine's load average when each run started.
    """

    tool: str
    makes: tuple[str, ...]
    seconds: tuple[float, ...]
    peak_rss_bytes: tuple[int, ...]
    load: tuple[float, ...]


@dataclass(frozen=True)
class Timing:
    """Latency of one file in the interleaved runs.

    Attributes:
        median_s: over everything.
        p90_s: likewise.
        medians_s: of each process.
    """

    median_s: float
    p90_s: float
    medians_s: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """Our latency over another's, in the same process and rounds.

    Attributes:
        ratio: median over processes of the ratio of medians.
        each: of every process.
    """

    ratio: float
    each: tuple[float, ...]


@dataclass(frozen=True)
class Runtime:
    """Everything measured in one runtime.

    Attributes:
        target: its name.
        peer: the tool compared with.
        size_bytes: of ours, peer, float_ours, float_stock.
        fidelity: of the same four, against the PyTorch network.
        latency: of the same four.
        versus: our latency over that of the other three.
        load: the machine's load average when each timing process started.
    """

    target: str
    peer: str
    size_bytes: dict[str, int]
    fidelity: dict[str, Fidelity]
    latency: dict[str, Timing]
    versus: dict[str, Ratio]
    load: tuple[float, ...]


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        place = Workplace((given.work or Path(scratch)).absolute(), given.network)
        if not place.weights.exists() or not given.reuse:
            place.prepare(given.calibration, given.held_out)
        productions = produce_all(place, given.runs, given.reuse)
        judged = judge_all(place, given.processes, given.budget)
        result = {
            "benchmark": "press_vs_peers",
            "format": 1,
            "network": given.network,
            "weights": place.subject.weights,
            "trained": place.subject.trained,
            "calibration_pictures": len(place.pictures("calibration")),
            "held_out_pictures": len(place.pictures("held_out")),
            **describe(),
            "load_end": os.getloadavg(),
            **summary(productions, judged[0], judged[1]),
        }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pocketpress against each runtime's own tool.")
    parser.add_argument("--network", choices=sorted(SUBJECTS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--work", type=Path, help="keep all files here; a temporary folder by default")
    parser.add_argument("--reuse", action="store_true", help="take what --work already holds")
    parser.add_argument("--calibration", type=int, default=64, help="pictures")
    parser.add_argument("--held-out", type=int, default=100, help="pictures")
    parser.add_argument("--runs", type=int, default=2, help="productions of every tool")
    parser.add_argument("--processes", type=int, default=3, help="timing processes of every runtime")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of timing in each")
    return parser.parse_args()


def produce_all(place: Workplace, runs: int, reuse: bool) -> tuple[Production, ...]:
    """Run every tool ``runs`` times in turns; float files once, outside the comparison."""
    begun: dict[str, list[tuple[float, int, float]]] = {tool: [] for tool in (OURS, *PEERS)}
    for tool in [*begun] * runs:
        begun[tool].append(_produce(place, tool, reuse))
    for tool in (FLOATS, STOCK_FLOAT):
        _produce(place, tool, reuse)
    return tuple(
        Production(
            OURS if tool == OURS else peer(tool).NAME,
            TARGETS if tool == OURS else (peer(tool).TARGET,),
            *(tuple(column) for column in zip(*rows, strict=True)),
        )
        for tool, rows in begun.items()
    )


def _produce(place: Workplace, tool: str, reuse: bool) -> tuple[float, int, float]:
    folder = place.produced(tool)
    kept = folder / f"child-{tool}.json"
    if not (reuse and kept.exists()):
        child = run("benchmarks.produce", tool, place.name, str(place.folder))
        memory = json.loads((folder / "production.json").read_text())["peak_rss_bytes"]
        kept.write_text(json.dumps([child.seconds, memory, child.load]))
    seconds, peak, load = json.loads(kept.read_text())
    return seconds, peak, load


Arrays = dict[str, npt.NDArray[Any]]


def judge_all(
    place: Workplace, processes: int, budget: float
) -> tuple[tuple[Runtime, ...], dict[str, tuple[Pair, ...]]]:
    """Run and time every runtime; also the agreement between runtimes, of ours and of the peers."""
    floats = place.float_outputs()
    runtimes, ours, peers = [], {}, {}
    for tool in PEERS:
        target, runs, loads = peer(tool).TARGET, [], []
        for _ in range(processes):
            child = run("benchmarks.judge", tool, place.name, str(place.folder), "--budget", str(budget))
            with np.load(place.folder / f"judged-{target}.npz") as file:
                runs.append({name: file[name] for name in file.files})
            loads.append(child.load)
        runtimes.append(_runtime(place, tool, floats, runs, tuple(loads)))
        ours[target], peers[peer(tool).NAME] = runs[0]["ours"], runs[0]["peer"]
    return tuple(runtimes), {"ours": pairs(ours), "peers": pairs(peers)}


def _runtime(
    place: Workplace, tool: str, floats: Rows, runs: Sequence[Arrays], loads: tuple[float, ...]
) -> Runtime:
    module = peer(tool)
    suffix = all_targets()[module.TARGET].suffix
    files = {
        "ours": place.our_file(suffix),
        "peer": place.peer_file(module),
        "float_ours": place.our_file(suffix, FLOATS),
        "float_stock": place.stock_float(module),
    }
    return Runtime(
        module.TARGET,
        module.NAME,
        {who: measure_size(path).raw_bytes for who, path in files.items()},
        {who: fidelity(runs[0][who], floats) for who in WHO},
        {who: timing([r[f"{who}_s"] for r in runs]) for who in WHO},
        {who: ratio([r["ours_s"] for r in runs], [r[f"{who}_s"] for r in runs]) for who in WHO[1:]},
        loads,
    )


def timing(processes: Sequence[Seconds]) -> Timing:
    """Summarise seconds of shape (rounds, block) of every process."""
    flat = np.concatenate([p.reshape(-1) for p in processes])
    medians = tuple(float(np.median(p)) for p in processes)
    return Timing(float(np.median(flat)), float(np.quantile(flat, 0.9)), medians)


def ratio(ours: Sequence[Seconds], others: Sequence[Seconds]) -> Ratio:
    """Ratio of medians, process by process."""
    each = tuple(float(np.median(a) / np.median(b)) for a, b in zip(ours, others, strict=True))
    return Ratio(float(np.median(each)), each)


def summary(
    productions: Sequence[Production],
    runtimes: Sequence[Runtime],
    agreement: dict[str, tuple[Pair, ...]],
) -> dict[str, Any]:
    """The measurements as JSON, and whether each target is met."""
    medians = [float(np.median(p.seconds)) for p in productions]
    best = max(r.fidelity["peer"].sqnr_db for r in runtimes)
    return {
        "production": [asdict(p) for p in productions],
        "production_over_peers": medians[0] / sum(medians[1:]),
        "runtimes": [asdict(r) for r in runtimes],
        "agreement": {side: [asdict(p) for p in found] for side, found in agreement.items()},
        "met": {
            "production at most the peers' together": medians[0] <= sum(medians[1:]),
            **{f"{r.target}: {claim}": held for r in runtimes for claim, held in _claims(r, best).items()},
        },
    }


def _claims(found: Runtime, best_peer_sqnr_db: float) -> dict[str, bool]:
    slowest_float = max(found.versus["float_ours"].ratio, found.versus["float_stock"].ratio)
    return {
        "latency at most 1.05x the peer's": found.versus["peer"].ratio <= 1.05,
        "faster than both float files": slowest_float < 1,
        "no larger than the peer's + 2 %": found.size_bytes["ours"] <= 1.02 * found.size_bytes["peer"],
        "SQNR at least the best peer's": found.fidelity["ours"].sqnr_db >= best_peer_sqnr_db,
    }


if __name__ == "__main__":
    main()
