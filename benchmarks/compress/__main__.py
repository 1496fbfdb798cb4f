"""Pocketpress's precisions against the quantisation tools, on the same pictures in one run.

    python -m benchmarks.compress --networks cifar_mobilenet_v2 --out results/compress.json

Per network: our presses and the peers' tools, each in a process of its own and on the same calibration
pictures; then, runtime by runtime, all files in one process on the same held-out pictures.  Networks
already in the result file stay there; the promises are judged on everything in it.  NNCF needs
``$POCKETPRESS_NNCF_PYTHON`` (see `benchmarks.peers.nncf_tool`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import fidelity
from benchmarks.compress.judge import RESCALED, judge
from benchmarks.compress.produce import RUNTIMES, runtimes_with
from benchmarks.compress.rows import OURS, Row
from benchmarks.machine import Child, describe, run
from benchmarks.subjects import SUBJECTS
from benchmarks.workplace import GUESTS, PEERS, Workplace, peer
from pocketpress.core.record import Record
from pocketpress.core.targets import all_targets
from pocketpress.measure.accuracy import compare_scores
from pocketpress.measure.size import measure_size

FLOAT = "fp32"
LEARNED = ("w8a8-static", "w8a8-fast", "w4a8", "w4")
SIZES = ("w8-dynamic", "w8", "palette-4")
NETWORKS = (
    "cifar_mobilenet_v2",
    "cifar_resnet8",
    "cifar_resnet20",
    "cifar_mobilenet_v2_full",
    "cifar_mobilenet_v2_rescaled",
    "cifar_resnet8_rescaled",
    "mobilenet_v1_075",
)


def precisions(network: str) -> tuple[str, ...]:
    """What a network is pressed to: everything, or what its promises are about."""
    if network.endswith(RESCALED) or not network.startswith("cifar"):
        return LEARNED[:2]
    return LEARNED + SIZES


def main() -> None:
    """Parse, measure, judge; write after every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--calibration", type=int, default=1280, help="training pictures")
    parser.add_argument("--held-out", type=int, default=2000, help="test pictures")
    parser.add_argument("--precisions", help="these instead of the network's own list")
    given = parser.parse_args()
    for network in given.networks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            place = Workplace(Path(folder), network)
            place.prepare(given.calibration, given.held_out)
            wanted = tuple(given.precisions.split(",")) if given.precisions else precisions(network)
            rows, packages = measure(place, wanted)
        write(given.out, network, rows, packages, given.calibration)


Made = dict[str, tuple[str, str, Path, float, float | None]]
"""By label: tool, precision, file, seconds of making it, seconds of learning."""


def measure(place: Workplace, wanted: tuple[str, ...]) -> tuple[list[Row], dict[str, str]]:
    """Make and run everything of one network; also the versions of NNCF's environment."""
    made: dict[str, Made] = {target: {} for target in RUNTIMES}
    for precision in (FLOAT, *wanted):
        _press(place, precision, made)
    for tool in (*PEERS, *GUESTS):
        child = _said(tool, run("benchmarks.produce", tool, place.name, str(place.folder)))
        made[peer(tool).TARGET][tool] = (tool, "int8", place.peer_file(peer(tool)), child.seconds, None)
    packages = json.loads((place.produced(GUESTS[0]) / "versions.json").read_text())
    return [row for target in RUNTIMES for row in _rows(place, target, made[target])], packages


def _press(place: Workplace, precision: str, made: dict[str, Made]) -> None:
    child = run("benchmarks.compress.produce", place.name, str(place.folder), precision)
    child = _said(precision, child)
    stages = Record.read(place.folder / precision / "record.json").stages
    learning = next((stage.seconds for stage in stages if stage.name == "learn rounding"), None)
    for target in runtimes_with(precision):
        path = place.our_file(all_targets()[target].suffix, precision)
        made[target][precision] = (OURS, precision, path, child.seconds, learning)


def _said(what: str, child: Child) -> Child:
    print(f"{what}: {child.seconds:.0f} s", file=sys.stderr, flush=True)
    return child


def _rows(place: Workplace, target: str, made: Made) -> Iterator[Row]:
    listed = {label: [tool, str(path)] for label, (tool, _, path, _, _) in made.items()}
    (place.folder / f"files-{target}.json").write_text(json.dumps(listed))
    child = _said(target, run("benchmarks.compress.measure", target, place.name, str(place.folder)))
    with np.load(place.folder / f"measured-{target}.npz") as file:
        got = {name: file[name] for name in file.files}
    floats, base = place.float_outputs(), made[FLOAT][2]
    with np.load(place.held_out) as file:
        labels = file["y"] if "y" in file.files else None
    for label, (tool, precision, path, seconds, learning) in made.items():
        median = float(np.median(got[f"{label}/s"]))
        yield Row(
            network=place.name,
            target=target,
            tool=OURS if tool == OURS else peer(tool).NAME,
            precision=precision,
            size_ratio=measure_size(path).raw_bytes / measure_size(base).raw_bytes,
            latency_ratio=median / float(np.median(got[f"{FLOAT}/s"])),
            latency_s=median,
            sqnr_db=fidelity(got[label], floats).sqnr_db,
            images=len(floats),
            learning_s=learning,
            made_s=seconds,
            load=child.load,
            **({} if labels is None else _accuracy(got[label], floats, labels)),
        )


def _accuracy(got: Any, floats: Any, labels: Any) -> dict[str, Any]:
    ours, theirs = (np.argmax(scores, axis=1) == labels for scores in (got, floats))
    found = compare_scores("top1", ours, theirs, unit="share")
    assert found.drop is not None and found.drop_ci95 is not None
    low, high = found.drop_ci95
    return {
        "top1": 100 * found.value,
        "float_top1": 100 * float(theirs.mean()),
        "drop": 100 * found.drop,
        "drop_ci95": (100 * low, 100 * high),
    }


def write(path: Path, network: str, rows: list[Row], guests: dict[str, str], calibration: int) -> None:
    """Replace a network's rows in the result file and judge all of them."""
    old = json.loads(path.read_text())["networks"] if path.exists() else []
    entry = {
        "network": network,
        "weights": SUBJECTS[network].weights,
        "calibration_pictures": calibration,
        **describe(),
        "nncf_environment": guests,
        "rows": [asdict(row) for row in rows],
    }
    networks = [found for found in old if found["network"] != network] + [entry]
    networks.sort(key=lambda found: NETWORKS.index(found["network"]))
    every = [Row.read(row) for found in networks for row in found["rows"]]
    result = {
        "benchmark": "compress",
        "format": 1,
        "networks": networks,
        "bars": [asdict(bar) for bar in judge(every)],
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
