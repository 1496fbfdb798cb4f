"""Measure the bench page in headless Chromium.

    python -m benchmarks.phone --out results/phone.json

``first_number``: seconds from opening the page, with empty caches, to the first measured latency of an int8
MobileNetV2 (about 4 MB); ``twenty``: so many emulated phones at once, their processors throttled: what
arrived, whether any of it is wrong, and the memory of the server.  No time of an emulated phone is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ONE_THREAD, describe
from benchmarks.phone.browser import chromium, phone
from benchmarks.workplace import Workplace

NETWORK = "mobilenet_v2_224"
PROFILES = ("Pixel 7", "iPhone 14", "Galaxy S9+", "Pixel 5", "iPhone SE")
NUMBER = re.compile(r"[0-9] (ms|µs|s)$")
PATIENCE_S = 1800.0


def press(folder: Path) -> Path:
    """An int8 MobileNetV2 for LiteRT, with its golden samples."""
    import pocketpress

    place = Workplace(folder, NETWORK)
    place.prepare(calibration=32, held_out=16)
    out = folder / "pressed"
    pocketpress.press(
        place.subject.specification,
        weights=place.weights,
        data=str(place.calibration),
        evaluation=str(place.held_out),
        precision="w8a8-fast",
        targets="litert",
        parity_samples=8,
        measure=False,
        out=out,
    )
    return out


class Command:
    """``pocketpress bench --phone`` in a process of its own.

    Attributes:
        address: to open.
        peak_rss_bytes: of the process, as of the last look.
    """

    def __init__(self, out: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pocketpress", "bench", str(out), "--phone", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "POCKETPRESS_DEVICES": str(out.parent / "devices")},
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline().decode()
        self.address = line.partition("open on a phone: ")[2].strip()
        if not self.address:
            raise RuntimeError(line + self._process.stderr.read().decode())
        self.peak_rss_bytes = 0

    @property
    def running(self) -> bool:
        """Whether it goes on; notes its memory."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            if found is not None:
                self.peak_rss_bytes = max(self.peak_rss_bytes, int(found[1]) * 1024)
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """What it printed."""
        out, _ = self._process.communicate(timeout=60)
        return dict(json.loads(out))

    def end(self) -> None:
        """Stop it, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=60)


@contextlib.contextmanager
def command(out: Path, *options: str) -> Iterator[Command]:
    """Start the command, and end it in any case."""
    running = Command(out, *options)
    try:
        yield running
    finally:
        running.end()


def first_number(out: Path, repeats: int) -> dict[str, Any]:
    """Seconds from the address to a latency on the page; a fresh browser profile each time."""
    seconds, loads = [], []
    with command(out) as running:
        for _ in range(repeats):
            with chromium() as browser:
                page = phone(browser, "Pixel 7").new_page()
                loads.append(round(os.getloadavg()[0], 2))
                begin = time.perf_counter()
                page.goto(running.address, wait_until="commit")
                number = page.locator("#cards .median").filter(has_text=NUMBER)
                number.first.wait_for(timeout=120_000)
                seconds.append(round(time.perf_counter() - begin, 3))
    artifact = next(out.glob("*.tflite"))
    return {
        "artifact_bytes": artifact.stat().st_size,
        "float_bytes": (out / "bench" / f"float-{artifact.name}").stat().st_size,
        "seconds": seconds,
        "median_s": sorted(seconds)[len(seconds) // 2],
        "load": loads,
    }


def many(out: Path, count: int, rate: float) -> dict[str, Any]:
    """``count`` phones at once on one server, each throttled ``rate`` times."""
    errors: list[str] = []
    begin = time.perf_counter()
    with command(out, "--wait", str(count), "--timeout", f"{PATIENCE_S:.0f}s") as running:
        with chromium() as browser:
            pages = []
            for i in range(count):
                context = phone(browser, PROFILES[i % len(PROFILES)])
                page = context.new_page()
                page.on("pageerror", lambda error: errors.append(str(error)))
                context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": rate})
                page.goto(running.address, wait_until="commit")
                pages.append(page)
            while running.running:
                pages[0].wait_for_timeout(250)
        result = running.result()
    entries = [measurement["entry"] for measurement in result["measurements"]]
    right = [e for e in entries if e["parity"] and e["parity"]["equal"] == 1.0 and e["latency_s"]]
    return {
        "phones": count,
        "throttled": rate,
        "done": sum(view["state"] == "done" for view in result["phones"]),
        "arrived": len(entries),
        "right": len(right),
        "page_errors": errors,
        "server_peak_rss_bytes": running.peak_rss_bytes,
        "seconds": round(time.perf_counter() - begin, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--phones", type=int, default=20)
    parser.add_argument("--throttle", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, help="folder to keep the pressed network in")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.work or Path(temporary)
        out = folder / "pressed"
        if not (out / "record.json").is_file():
            out = press(folder)
        result = {
            "benchmark": "phone",
            "format": 1,
            **describe(),
            "network": NETWORK,
            "first_number": first_number(out, given.repeats),
            "twenty": many(out, given.phones, given.throttle),
        }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("first_number", "twenty")}, indent=1))


if __name__ == "__main__":
    main()
