"""Write the measured tables into the pages: ``python -m benchmarks.compress.table [--check]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.compress.judge import Bar
from benchmarks.compress.rows import Row
from benchmarks.tables import ROOT, TITLES, replaced, table

NAMES = {
    **TITLES,
    "cifar_mobilenet_v2_full": "MobileNetV2, full width, CIFAR-10",
    "cifar_mobilenet_v2_rescaled": "MobileNetV2 rescaled 1:1000",
    "cifar_resnet8_rescaled": "ResNet-8 rescaled 1:1000",
}
HEAD = ("Network", "runtime", "tool", "precision", "SQNR", "top-1 (drop, 95 %)", "size", "latency")


def main() -> int:
    """Rewrite the page, or only say whether it is up to date."""
    parser = argparse.ArgumentParser(description="Write the compression results into the page.")
    parser.add_argument("--result", type=Path, default=ROOT / "results" / "compress.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "compression.md")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    given = parser.parse_args()
    result = json.loads(given.result.read_text(encoding="utf-8"))
    rows = [Row.read(row) for network in result["networks"] for row in network["rows"]]
    bars = [Bar(**bar) for bar in result["bars"]]
    old = given.page.read_text(encoding="utf-8")
    new = replaced(old, render(rows, bars), given.page.name)
    if given.check and new != old:
        print(f"{given.page.name} is out of date; run: python -m benchmarks.compress.table", file=sys.stderr)
        return 1
    if new != old:
        given.page.write_text(new, encoding="utf-8")
    return 0


def render(rows: Sequence[Row], bars: Sequence[Bar]) -> str:
    """The rows but those of float files, then each promise."""
    measured = table(HEAD, (_cells(row) for row in rows if row.precision != "fp32"))
    return f"\n{measured}\n\n{table(('Promise', 'network', 'runtime', 'result'), _judged(bars))}\n\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        NAMES.get(row.network, row.network),
        NAMES.get(row.target, row.target),
        row.tool,
        row.precision,
        f"{row.sqnr_db:.1f} dB",
        _accuracy(row),
        f"{row.size_ratio:.3f}x",
        f"{row.latency_ratio:.2f}x",
    )


def _accuracy(row: Row) -> str:
    if row.top1 is None or row.drop_ci95 is None:
        return "–"
    low, high = row.drop_ci95
    return f"{row.top1:.2f} % (drop {row.drop:.2f}, {low:.2f} to {high:.2f})"


def _judged(bars: Iterable[Bar]) -> Iterable[tuple[str, ...]]:
    for bar in bars:
        wanted = f"wanted at {'least' if 'SQNR' in bar.claim else 'most'} {bar.limit:.3g}"
        doubt = "; the interval holds the limit" if bar.sure is False else ""
        verdict = "met" if bar.met else "missed"
        yield (
            bar.claim,
            NAMES.get(bar.network, bar.network),
            NAMES.get(bar.target, bar.target),
            f"{verdict}: {bar.got:.3g}, {wanted}{doubt}",
        )


if __name__ == "__main__":
    sys.exit(main())
