"""Write the measured tables into docs/zoo.md: ``python -m benchmarks.zoo.table [--check]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.sections import replaced

from benchmarks.tables import ROOT, table
from pocketpress.core.words import duration, size
from pocketpress.pipeline.zoo.facts import counted
from pocketpress.pipeline.zoo.store import Measurements, reference
from pocketpress.zoo.cards import CARDS
from pocketpress.zoo.names import parse

PAGE = ROOT / "docs" / "zoo.md"
TARGETS = ("litert", "executorch", "onnxruntime")
TITLES = {"litert": "LiteRT", "executorch": "ExecuTorch", "onnxruntime": "ONNX Runtime"}


def networks(measured: Measurements) -> str:
    """Every architecture as it was published: counts, known accuracy, sizes, latencies."""
    head = ("Network", "Paper", "Parameters", "MACs", "Top-1", "Size, float / int8",
            *(f"{TITLES[t]}, float / int8" for t in TARGETS))  # fmt: skip
    rows = []
    for name, card in CARDS.items():
        parameters, macs = counted(parse(name))
        known = card.top1(1.0, card.size)
        top1 = "–" if known is None else f"{known.top1:.1%} ({known.data}; {known.source})"
        facts = (f"`{name}`", card.paper, f"{parameters:,}", f"{macs / 1e6:,.1f} M", top1)
        rows.append((*facts, _sizes(measured, name), *(_times(measured, name, t) for t in TARGETS)))
    note = (
        f"Reference machine: {measured.machine}; load average {measured.load}. Sizes are those of the "
        "largest artifact; latencies are medians of processor time with one thread, random weights, batch 1."
    )
    return f"{table(head, rows)}\n\n{note}"


def _sizes(measured: Measurements, name: str) -> str:
    cells = []
    for precision in ("fp32", "w8a8-static"):
        found = (measured.find(name, target, precision) for target in TARGETS)
        known = [row.size_bytes for row in found if row is not None and row.size_bytes]
        cells.append(size(max(known)) if known else "–")
    return " / ".join(cells)


def _times(measured: Measurements, name: str, target: str) -> str:
    rows = (measured.find(name, target, precision) for precision in ("fp32", "w8a8-static"))
    return " / ".join("–" if row is None or not row.median_s else duration(row.median_s) for row in rows)


def agreement(result: dict[str, Any]) -> str:
    """Suggested against pressed and timed anew."""
    head = ("Budget", "Place", "Network", "Ranked by", "Latency: suggested, pressed (ratio)", "Size (ratio)")
    rows = []
    for row in result["rows"]:
        most = [duration(row["max_latency_s"])] if row["max_latency_s"] else []
        most += [size(row["max_size_bytes"])] if row["max_size_bytes"] else []
        times = [duration(row[f"{kind}_latency_s"]) for kind in ("suggested", "pressed")]
        budget = f"{row['task']}, {', '.join(most)}"
        rows.append(
            (
                budget, str(row["place"]), f"`{row['network']}`", row["ranked_by"],
                f"{', '.join(times)} ({row['latency_ratio']:.2f}x)",
                f"{size(row['pressed_size_bytes'])} ({row['size_ratio']:.3f}x)",
            )
        )  # fmt: skip
    ratios = [row["latency_ratio"] for row in result["rows"]]
    return f"{table(head, rows)}\n\nRatios of latency: {min(ratios):.2f} to {max(ratios):.2f}."


def shown(result: dict[str, Any]) -> str:
    """One network from budget to verdict."""
    head = (
        "Runtime",
        "Size",
        "Latency",
        "Over float",
        "Top-1 (points lost; 95 %)",
        "Equal outputs",
        "Verdict",
    )
    rows = []
    for target in result["targets"]:
        low, high = target["drop_ci95"]
        lost = f"{100 * target['drop']:.2f}; {100 * low:.2f} to {100 * high:.2f}"
        rows.append(
            (
                TITLES[target["name"]], size(target["size_bytes"]), duration(target["latency_s"]),
                f"{1 / target['speedup']:.2f}x", f"{target['top1']:.2%} ({lost})",
                f"{target['equal']:.2%}", target["verdict"],
            )
        )  # fmt: skip
    accuracy = result["accuracy"]
    said = (
        f"Asked for {result['max_latency']} and {result['max_size']} at 32 pixels and 10 classes: "
        f"`{result['suggested']['name']}` ({result['parameters']:,} parameters), trained for "
        f"{result['epochs']} epochs on {result['samples']:,} images of CIFAR-10: {accuracy['share']:.2%} "
        f"({accuracy['low']:.2%} to {accuracy['high']:.2%}) of {accuracy['samples']:,} held-out ones right. "
        f"Pressed to `{result['precision']}` under the same limits and judged on {result['evaluated']:,} "
        f"test images, the verdict is **{result['verdict']}**:"
    )
    return f"{said}\n\n{table(head, rows)}"


def rendered(page: str) -> str:
    """The page with every table as measured."""
    measured = reference()
    assert measured is not None
    result = json.loads((ROOT / "results" / "zoo.json").read_text(encoding="utf-8"))
    page = replaced(page, "networks", networks(measured))
    page = replaced(page, "agreement", agreement(result["agreement"]))
    return replaced(page, "shown", shown(result["shown"]))


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write measured tables into docs/zoo.md.")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    check = parser.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    page = rendered(old)
    if check and page != old:
        print("docs/zoo.md is out of date; run: python -m benchmarks.zoo.table", file=sys.stderr)
        return 1
    if page != old:
        Path(PAGE).write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
