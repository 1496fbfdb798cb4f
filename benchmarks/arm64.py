"""How long is the emulated Arm64 device's set-up, and does a MobileNetV2 compute the same integers there?

    python -m benchmarks.arm64 --out results/arm64.json

The device is set up from nothing, the network pressed, and every artifact compared on every kind of processor
with the integer reference of the press.  Files of the runtimes' own quantisers, which have no reference, are
compared between the two machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, run
from benchmarks.workplace import OURS, PEERS, Workplace, peer
from pocketpress.core.devices import open_device
from pocketpress.core.record import DeviceEntry
from pocketpress.devices.arm64.device import PROCESSORS
from pocketpress.devices.arm64.setup import Place, default_place, disk_bytes, set_up
from pocketpress.devices.store import Store
from pocketpress.pipeline.bench.devices import bench_devices

SOURCES = Path(__file__).parents[1] / "src"


@dataclass(frozen=True)
class Agreement:
    """One artifact on one processor.

    Attributes:
        processor: that is emulated.
        artifact: its file.
        runtime: and its version there.
        pictures: compared.
        elements: compared.
        equal: share of integers equal to the reference's.
        max_lsb: largest difference in steps.
        vacuous: whether the outputs hardly depend on the input.
        first_difference: operator, where one was found.
    """

    processor: str
    artifact: str
    runtime: str | None
    pictures: int
    elements: int
    equal: float | None
    max_lsb: int | None
    vacuous: bool | None
    first_difference: str | None


@dataclass(frozen=True)
class Stock:
    """A file of a runtime's own quantiser, on this machine and on the emulated one.

    Attributes:
        tool: that made it.
        pictures: compared.
        equal: share of equal outputs.
        max_share_of_range: largest difference, of the range of this machine's outputs.
        argmax: share of pictures with the same class.
    """

    tool: str
    pictures: int
    equal: float
    max_share_of_range: float
    argmax: float


def main() -> None:
    parser = argparse.ArgumentParser(description="The emulated Arm64 device.")
    parser.add_argument("--network", default="mobilenet_v2_224")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--work", type=Path, help="keep all files here; a temporary folder by default")
    parser.add_argument("--calibration", type=int, default=64, help="pictures")
    parser.add_argument("--held-out", type=int, default=20, help="pictures")
    parser.add_argument("--stock-pictures", type=int, default=4, help="0 leaves the peers out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (given.work or Path(scratch)).absolute()
        os.environ["POCKETPRESS_CACHE"] = str(work / "cache")
        device = default_place()
        set_up_s = set_up(device, lambda line: print(line, file=sys.stderr))
        place = Workplace(work / given.network, given.network)
        if not place.produced(OURS).is_dir():
            place.prepare(given.calibration, given.held_out)
            run("benchmarks.produce", OURS, place.name, str(place.folder))
        agreements, seconds = [], {}
        for processor in PROCESSORS:
            begin = time.perf_counter()
            agreements += agree(place, processor, work)
            seconds[processor] = time.perf_counter() - begin
        classes = agreements[0].elements // agreements[0].pictures
        result = {
            "benchmark": "arm64",
            "format": 1,
            **describe(),
            "network": given.network,
            "weights": place.subject.weights,
            "trained": place.subject.trained,
            "recipe": json.loads((place.produced(OURS) / "record.json").read_text())["recipe"],
            "description": open_device("arm64").describe().words,
            "set_up_s": set_up_s,
            "disk_bytes": disk_bytes(device),
            "parity_s": seconds,
            "agreements": [asdict(a) for a in agreements],
            "stock": [asdict(s) for s in stocks(place, device, classes, given.stock_pictures)],
        }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


def agree(place: Workplace, processor: str, work: Path) -> list[Agreement]:
    """Every artifact of the press on one processor, one emulated process each."""
    folder = place.produced(OURS)
    files = [file for suffix in (".tflite", ".pte", ".onnx") for file in folder.glob(f"*{suffix}")]
    done = bench_devices(files, f"arm64:{processor}", store=Store(work / "measured"))
    return [_agreement(processor, name, entry) for name, entry in done.rows]


def _agreement(processor: str, name: str, entry: DeviceEntry) -> Agreement:
    parity = entry.parity
    if parity is None:
        raise RuntimeError(f"{name} on {processor}: {'; '.join(entry.reasons)}")
    first = parity.first_difference
    return Agreement(
        processor,
        name,
        entry.runtime,
        parity.samples,
        parity.elements,
        parity.equal,
        parity.max_lsb,
        parity.vacuous,
        None if first is None else f"{first.op} {first.tensor}",
    )


def stocks(place: Workplace, device: Place, classes: int, count: int) -> list[Stock]:
    """Files of the runtimes' own quantisers: this machine against the emulated one."""
    if not count:
        return []
    pictures = place.folder / "stock_pictures.npy"
    np.save(pictures, place.pictures("held_out")[:count])
    found = []
    for tool in PEERS:
        file = place.peer_file(peer(tool))
        if not file.is_file():
            run("benchmarks.produce", tool, place.name, str(place.folder))
        here = _outputs([sys.executable], {**os.environ, "PYTHONPATH": str(SOURCES)}, file, pictures, classes)
        environment = device.environment()
        environment["PYTHONPATH"] += os.pathsep + str(SOURCES)
        there = _outputs(device.command(), environment, file, pictures, classes)
        found.append(
            Stock(
                tool,
                len(here),
                float(np.mean(here == there)),
                float(np.abs(here - there).max() / max(float(np.ptp(here)), 1e-30)),
                float(np.mean(here.argmax(-1) == there.argmax(-1))),
            )
        )
    return found


def _outputs(python: list[str], environment: dict[str, str], file: Path, pictures: Path, classes: int) -> Any:
    out = file.with_suffix(".outputs.npy")
    script = Path(__file__).with_name("stock_outputs.py")
    done = subprocess.run(
        [*python, str(script), str(file), str(pictures), str(out), str(classes)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{file.name}: {done.stderr[-2000:]}")
    return np.load(out)


if __name__ == "__main__":
    main()
