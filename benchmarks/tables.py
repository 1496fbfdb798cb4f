"""Write the measured results into docs/measured.md and the README: ``python -m benchmarks.tables [--check]``.

Reads every result under ``results/`` that a benchmark of this folder wrote and renders Markdown between two
marker lines: all tables in docs/measured.md, one summary in the README.  Running it twice changes nothing;
``--check`` only looks, and ends with status 1 when a page is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ROOT = Path(__file__).parents[1]
Result = dict[str, Any]
PAGES = ("README.md", "docs/measured.md")
TITLES = {
    "litert": "LiteRT",
    "executorch": "ExecuTorch",
    "onnxruntime": "ONNX Runtime",
    "reference": "reference",
    "mobilenet_v1_075": "MobileNetV1 0.75, 192 px, ImageNet",
    "mobilenet_v2_224": "MobileNetV2 1.0, 224 px",
    "cifar_mobilenet_v2": "MobileNetV2, CIFAR-10",
    "cifar_resnet8": "ResNet-8, CIFAR-10",
    "cifar_resnet20": "ResNet-20, CIFAR-10",
    "cifar_mobilenet_v2_full": "MobileNetV2 of full width, CIFAR-10",
    "cifar_mobilenet_v2_rescaled": "small MobileNetV2, channels 1:1000",
    "cifar_resnet8_rescaled": "ResNet-8, channels 1:1000",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write results into docs/measured.md and the README.")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--pages", type=Path, default=ROOT, help="folder of README.md and docs/measured.md")
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    given = parser.parse_args()
    results = read_results(given.results)
    stale = [name for name in PAGES if _update(given.pages / name, name, results, check=given.check)]
    for name in stale if given.check else ():
        print(f"{name} is out of date; run: python -m benchmarks.tables", file=sys.stderr)
    return 1 if given.check and stale else 0


def _update(page: Path, name: str, results: Sequence[Result], *, check: bool) -> bool:
    """Whether the page differs from its results; it is written unless ``check``."""
    old = page.read_text(encoding="utf-8")
    new = updated(old, name, results)
    if new != old and not check:
        page.write_text(new, encoding="utf-8")
    return new != old


def updated(page: str, name: str, results: Sequence[Result]) -> str:
    """The text of a page with its tables as the results are."""
    from benchmarks.summary import summary

    return replaced(page, (summary if name == "README.md" else render)(results), name)


def read_results(folder: Path) -> list[Result]:
    """Results of the benchmarks this module can render, in order of file names; others are left alone."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [found for found in files if isinstance(found, dict) and found.get("benchmark") in RENDERERS]


def replaced(page: str, text: str, name: str) -> str:
    """The page with ``text`` between the markers.

    Raises:
        ValueError: the markers are not there exactly once each, in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"{name} needs one line {BEGIN} and, after it, one line {END}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"


def render(results: Iterable[Result]) -> str:
    """All tables, a blank line after each."""
    found = list(results)
    order = sorted(found, key=lambda r: list(RENDERERS).index(r["benchmark"]))
    return "".join(f"{RENDERERS[r['benchmark']](r)}\n\n" for r in order)


def versus_peers(result: Result) -> str:
    """One network against every runtime's own tool."""
    rows = [_runtime_row(runtime) for runtime in result["runtimes"]]
    head = (
        "Runtime",
        "compared with",
        "size, ours / peer / float",
        "latency, ours / peer / float",
        "ours : peer",
        "SQNR, ours / peer",
    )
    best = max(r["fidelity"]["peer"]["sqnr_db"] for r in result["runtimes"])
    intro = (
        f"**{TITLES.get(result['network'], result['network'])}**, against each runtime's own tool: "
        f"{result['calibration_pictures']} calibration photos, {result['held_out_pictures']} held out, "
        f"batch 1, one thread ({result['weights']})."
    )
    return "\n".join([intro, "", table(head, rows), "", _production(result), "", _agreement(result, best)])


def _runtime_row(runtime: Result) -> tuple[str, ...]:
    size, latency, fidelity = runtime["size_bytes"], runtime["latency"], runtime["fidelity"]
    floats = min(latency["float_ours"]["median_s"], latency["float_stock"]["median_s"])
    ratio = runtime["versus"]["peer"]
    return (
        TITLES[runtime["target"]],
        runtime["peer"],
        f"{_mb(size['ours'])} / {_mb(size['peer'])} / {_mb(size['float_ours'])} MB",
        f"{_ms(latency['ours']['median_s'])} / {_ms(latency['peer']['median_s'])} / {_ms(floats)} ms",
        f"{ratio['ratio']:.2f} ({min(ratio['each']):.2f}–{max(ratio['each']):.2f})",
        f"{fidelity['ours']['sqnr_db']:.1f} / {fidelity['peer']['sqnr_db']:.1f} dB",
    )


def _production(result: Result) -> str:
    ours, *peers = result["production"]
    seconds = [float(np.median(tool["seconds"])) for tool in (ours, *peers)]
    peaks = [max(tool["peak_rss_bytes"]) / 1e6 for tool in (ours, *peers)]
    each = ", ".join(f"{tool['tool']} {s:.0f} s" for tool, s in zip(peers, seconds[1:], strict=True))
    return (
        "The whole press (four targets, rounding learned, every output of three of them proven): "
        f"**{seconds[0]:.0f} s**, {peaks[0]:.0f} MB at its peak. "
        f"The three peers together: {sum(seconds[1:]):.0f} s ({each}), "
        f"{max(peaks[1:]):.0f} MB."
    )


def _agreement(result: Result, best_db: float) -> str:
    sides = {side: [pair["equal"] for pair in found] for side, found in result["agreement"].items()}
    host, loads = result["host"], [load for r in result["runtimes"] for load in r["load"]]
    return (
        f"Equal outputs between any two runtimes: ours {_range(sides['ours'])}, the peers' files "
        f"{_range(sides['peers'])} (within half a step). Best peer's SQNR: {best_db:.1f} dB. "
        f"Medians of {len(loads) // len(result['runtimes'])} processes, interleaved; {host['cpu']}, "
        f"cores: {host['cores']}, load average {min(loads):.1f}–{max(loads):.1f} (this run included); "
        f"{result['created'][:10]}."
    )


def _range(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.4g} %", f"{100 * max(shares):.4g} %"
    return low if low == high else f"{low} to {high}"


def same_integers(result: Result) -> str:
    """Share of equal integers, with tied scales and without."""
    rows = [_network_row(network) for network in result["networks"]]
    head = (
        "Network",
        "equal to the reference",
        "between runtimes",
        "the same without tied scales",
        "SQNR tied / untied",
        "metric, tied / untied / float",
    )
    variants = [v for n in result["networks"] for v in n["variants"]]
    pictures = max(a["pictures"] for v in variants for a in v["agreements"])
    intro = (
        f"**The same integers**: share of equal outputs in LiteRT, ExecuTorch and ONNX Runtime on {pictures} "
        "held-out pictures; the worst runtime, or pair, counts."
    )
    return "\n".join([intro, "", table(head, rows)])


def _network_row(network: Result) -> tuple[str, ...]:
    tied, untied = sorted(network["variants"], key=lambda v: not v["tied"])
    name = str(TITLES.get(network["network"], network["network"]))
    return (
        name if network["trained"] else f"{name} (untrained)",
        _share(_worst(tied, reference=True)),
        _share(_worst(tied, reference=False)),
        f"{_share(_worst(untied, reference=True))}, {_share(_worst(untied, reference=False))}",
        f"{_least(tied):.2f} / {_least(untied):.2f} dB",
        _metric(tied, untied),
    )


def _worst(variant: Result, *, reference: bool) -> float | None:
    shares = [a["equal"] for a in variant["agreements"] if (a["second"] == "reference") == reference]
    return None if any(s is None for s in shares) else min(shares)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.4g} %"


def _least(variant: Result) -> float:
    return float(min(variant["sqnr_float_db"].values()))


def _metric(tied: Result, untied: Result) -> str:
    if tied["metric"] is None:
        return "–"
    worst = [min(v["metric"].values(), key=lambda m: m["value"]) for v in (tied, untied)]
    name, floats = worst[0]["name"], worst[0]["float_value"]
    return f"{name} {100 * worst[0]['value']:.2f} / {100 * worst[1]['value']:.2f} / {100 * floats:.2f} %"


def few_bits(result: Result) -> str:
    """Ours against the best of the runtimes' quantisers and NNCF, and the files of fewer bits."""
    head = (
        "Network",
        "int8: SQNR, ours / best peer",
        "int8: points lost, ours / best peer",
        "`w4a8`: lost; size",
        "`w4`: lost; size",
    )
    rows = [_few_bits_row(network) for network in result["networks"]]
    intro = (
        "**Fewer bits**: points of top-1 lost (10,000 test images) and the largest file of three runtimes "
        "over its float file. Peers: ONNX Runtime, NNCF, ai-edge-quantizer and ExecuTorch, on the same "
        "1,280 calibration pictures (200 photographs for MobileNetV1)."
    )
    return "\n".join([intro, "", table(head, rows)])


def _few_bits_row(network: Result) -> tuple[str, ...]:
    ours: dict[str, list[Result]] = {}
    for row in network["rows"]:
        ours.setdefault(row["precision"] if row["tool"] == "pocketpress" else "peer", []).append(row)
    static, peers = ours["w8a8-static"], ours["peer"]
    losses = [_lost(static), _lost([min(peers, key=lambda r: r["drop"])] if _known(peers) else peers)]
    return (
        TITLES[network["network"]],
        f"{min(r['sqnr_db'] for r in static):.1f} / {max(r['sqnr_db'] for r in peers):.1f} dB",
        " / ".join(losses),
        _lost_and_size(ours.get("w4a8", [])),
        _lost_and_size(ours.get("w4", [])),
    )


def _known(rows: Sequence[Result]) -> bool:
    return all(row["drop"] is not None for row in rows)


def _lost(rows: Sequence[Result]) -> str:
    return f"{max(row['drop'] for row in rows):.2f}" if _known(rows) else "–"


def _lost_and_size(rows: Sequence[Result]) -> str:
    return f"{_lost(rows)}; {max(row['size_ratio'] for row in rows):.3f}x" if rows else "–"


def stacks(result: Result) -> str:
    """One line per step of every stack."""
    lines = []
    for run in result["runs"]:
        for step in dict.fromkeys(row["step"] for row in run["rows"]):
            rows = [row for row in run["rows"] if row["step"] == step]
            times = [row["latency_ratio"] for row in rows if row["latency_ratio"] is not None]
            worst = max(rows, key=lambda row: row["drop"])
            low, high = worst["drop_ci95"]
            lines.append(
                (
                    run["recipe"] if step == "float" else "",
                    step,
                    f"{rows[0]['multiply_accumulates']:.2f}x",
                    f"{max(row['size_ratio'] for row in rows):.3f}x",
                    f"{min(times):.2f}x to {max(times):.2f}x" if times else "1x",
                    f"{worst['top1']:.2f} % ({worst['drop']:.2f}; {low:.2f} to {high:.2f})",
                )
            )
    intro = (
        "**Prune, fine-tune, quantise** in one command: ResNet-56 on CIFAR-10, over the float network in "
        "LiteRT, ExecuTorch and ONNX Runtime."
    )
    head = ("Recipe", "step", "multiply-accumulates", "size", "latency", "top-1 (points lost; 95 %)")
    return "\n".join([intro, "", table(head, lines)])


def browsers(result: Result) -> str:
    """Our web artifact against files of the default converters, in one headless Chromium."""
    equal, day = _share(result["parity"]["litert-web"]["equal"]), result["created"][:10]
    intro = (
        f"**In a browser**: {TITLES[result['network']]} (untrained), `--target web` in headless Chromium, "
        f"one thread, one page, interleaved; {result['host']['cpu']}, {day}. Outputs equal "
        f"to the reference: {equal} in LiteRT.js; onnxruntime-web computes this network in float32 on the "
        "same 8-bit weights, where integers would be slower."
    )
    peers, own = result["versus_peers"], result["versus_own_float"]
    rows = [(f"`litert-web` int8 over {name}", *_each(found)) for name, found in peers.items()]
    rows += [(f"`{name}` over its own float", *_each(found)) for name, found in own.items()]
    return "\n".join([intro, "", table(("Latency", "ratio", "of each browser"), rows)])


def _each(found: Result) -> tuple[str, str]:
    return f"{found['ratio']:.2f}x", f"{min(found['each']):.2f}–{max(found['each']):.2f}"


RENDERERS: dict[str, Callable[[Result], str]] = {
    "press_vs_peers": versus_peers,
    "web": browsers,
    "same_integers": same_integers,
    "compress": few_bits,
    "stack": stacks,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"


if __name__ == "__main__":
    sys.exit(main())
