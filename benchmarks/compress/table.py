"""Write the measured tables into the pages: ``python -m benchmarks.compress.table [--check]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.compress.judge import Bar
from benchmarks.compress.rows import OURS, MixedRow, Row, StackRow
from benchmarks.tables import ROOT, TITLES, replaced, table

NAMES = {
    **TITLES,
    "mobilenet_v2": "small MobileNetV2",
    "resnet8": "ResNet-8",
    "resnet56": "ResNet-56",
    "resnet20": "ResNet-20",
}
HEAD = ("Network", "tool, precision", "SQNR", "drop of top-1 in points (95 %)", "size", "latency")
STACK_HEAD = ("Network", "step", "MACs", "top-1 (drop, 95 %)", "size", "latency")
MIXED_HEAD = (
    "Network",
    "asked for",
    "layers at 4 / 8 bits / float",
    "size",
    "latency",
    "drop in points (95 %)",
)
PROMISES = ("Promise", "network", "where", "result")


def main() -> int:
    """Rewrite the pages, or only say whether they are up to date."""
    parser = argparse.ArgumentParser(description="Write the compression results into their pages.")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    given = parser.parse_args()
    quantised = json.loads((given.results / "compress.json").read_text(encoding="utf-8"))
    rows = [Row.read(row) for network in quantised["networks"] for row in network["rows"]]
    stacked = json.loads((given.results / "stack.json").read_text(encoding="utf-8"))
    steps = [StackRow.read(row) for run in stacked["runs"] for row in run["rows"]]
    mixed = json.loads((given.results / "mixed.json").read_text(encoding="utf-8"))
    pages = {
        "compression.md": render(rows, [Bar(**bar) for bar in quantised["bars"]]),
        "mixed-precision.md": render_mixed([MixedRow.read(row) for row in mixed["rows"]]),
        "pruning.md": render_stacks(steps, [Bar(**bar) for bar in stacked["bars"]]),
    }
    stale = 0
    for name, text in pages.items():
        old = (given.docs / name).read_text(encoding="utf-8")
        new = replaced(old, text, name)
        if new != old and given.check:
            print(f"{name} is out of date; run: python -m benchmarks.compress.table", file=sys.stderr)
        elif new != old:
            (given.docs / name).write_text(new, encoding="utf-8")
        stale += new != old and given.check
    return int(stale > 0)


def render(rows: Sequence[Row], bars: Sequence[Bar]) -> str:
    """A line per network and file form, its runtimes side by side, then each promise at its worst runtime."""
    return f"\n{table(HEAD, _lines(rows))}\n\n{promises(bars)}\n\n"


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    for network in dict.fromkeys(row.network for row in rows):
        mine = [row for row in rows if row.network == network and row.precision != "fp32"]
        for tool, precision in dict.fromkeys((row.tool, row.precision) for row in mine):
            files = [row for row in mine if (row.tool, row.precision) == (tool, precision)]
            yield (
                NAMES.get(network, network),
                f"`{precision}`" if tool == OURS else tool,
                _span((row.sqnr_db for row in files), ".1f", " dB"),
                _worst_drop(files),
                _each(files, "size_ratio", ".3f"),
                _each(files, "latency_ratio", ".2f"),
            )


def _span(values: Iterable[float], form: str, unit: str) -> str:
    found = sorted(f"{value:{form}}" for value in values)
    return f"{found[0]}{unit}" if found[0] == found[-1] else f"{found[0]} to {found[-1]}{unit}"


def _worst_drop(files: Sequence[Row] | Sequence[StackRow]) -> str:
    known = [row for row in files if row.drop is not None and row.drop_ci95 is not None]
    if not known:
        return "–"
    worst = max(known, key=lambda row: row.drop or 0.0)
    assert worst.drop_ci95 is not None
    return f"{worst.drop:.2f} ({worst.drop_ci95[0]:.2f} to {worst.drop_ci95[1]:.2f})"


def _each(files: Sequence[Row] | Sequence[StackRow], name: str, form: str) -> str:
    """One number per runtime,."""
    return ", ".join(
        f"{TITLES[row.target]} {value:{form}}x" for row in files if (value := getattr(row, name)) is not None
    )


def render_stacks(rows: Sequence[StackRow], bars: Sequence[Bar]) -> str:
    """A line per step, its runtimes side by side, then each promise."""
    lines = []
    for network, recipe in dict.fromkeys((row.network, row.recipe) for row in rows):
        mine = [row for row in rows if (row.network, row.recipe) == (network, recipe)]
        for step in dict.fromkeys(row.step for row in mine):
            files = [row for row in mine if row.step == step]
            accuracy = f"{files[0].top1:.2f} %, {_worst_drop(files)}" if files[0].top1 is not None else "–"
            lines.append(
                (
                    f"{NAMES.get(network, network)}, {recipe}",
                    step,
                    f"{files[0].multiply_accumulates:.2f}x",
                    accuracy,
                    _each(files, "size_ratio", ".3f"),
                    _each(files, "latency_ratio", ".2f") or "as before",
                )
            )
    return f"\n{table(STACK_HEAD, lines)}\n\n{promises(bars)}\n\n"


def render_mixed(rows: Sequence[MixedRow]) -> str:
    """A line per press, its runtimes side by side."""
    return f"\n{table(MIXED_HEAD, (_mixed(row) for row in rows))}\n\n"


def _mixed(row: MixedRow) -> tuple[str, ...]:
    low, high = row.drop_ci95
    return (
        NAMES.get(row.network, row.network),
        f"`{row.asked}`" + ("" if set(row.verdicts.values()) == {"pass"} else f" ({_verdicts(row)})"),
        "0 / all / 0" if row.layers is None else " / ".join(map(str, row.layers)),
        ", ".join(
            f"{TITLES[name]} {size / 1000:.0f} kB, {row.size_ratio[name]:.2f}x"
            for name, size in row.size_bytes.items()
        ),
        ", ".join(f"{TITLES[name]} {ratio:.2f}x" for name, ratio in row.latency_ratio.items()),
        f"{row.drop:.2f} ({low:.2f} to {high:.2f})",
    )


def _verdicts(row: MixedRow) -> str:
    return ", ".join(f"{TITLES[name]}: {verdict}" for name, verdict in row.verdicts.items())


def promises(bars: Sequence[Bar]) -> str:
    """Each promise once, at the runtime where it is kept least."""
    return table(PROMISES, (_judged(bar, [b for b in bars if _same(b, bar)]) for bar in _worst(bars)))


def _same(one: Bar, other: Bar) -> bool:
    return _key(one) == _key(other)


def _key(bar: Bar) -> tuple[str, str, str]:
    return bar.claim, bar.network, bar.recipe


def _worst(bars: Sequence[Bar]) -> Iterator[Bar]:
    for key in dict.fromkeys(_key(bar) for bar in bars):
        found = [bar for bar in bars if _key(bar) == key]
        yield max(found, key=lambda bar: bar.limit - bar.got if _at_least(bar) else bar.got - bar.limit)


def _at_least(bar: Bar) -> bool:
    return "SQNR" in bar.claim


def _judged(bar: Bar, alike: Sequence[Bar]) -> tuple[str, ...]:
    kept = sum(other.met for other in alike)
    wanted = f"wanted at {'least' if _at_least(bar) else 'most'} {bar.limit:.3g}"
    doubt = "; the interval holds the limit" if bar.sure is False else ""
    verdict = "met" if kept == len(alike) else "missed" if not kept else f"met in {kept} of {len(alike)}"
    where = NAMES.get(bar.target, bar.target)
    return (
        bar.claim,
        ", ".join(filter(None, (NAMES.get(bar.network, bar.network), bar.recipe))),
        where if len(alike) == 1 else f"{where}, the worst",
        f"**{verdict}**: {bar.got:.3g}, {wanted}{doubt}",
    )


if __name__ == "__main__":
    sys.exit(main())
