"""The README's one table: networks against every runtime's own tool, in a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.tables import TITLES, table

Result = dict[str, Any]
HEAD = (
    "Network (int8)",
    "size, of float",
    "latency, of float",
    "latency, of the runtimes' own tools' files",
    "outputs equal between any two runtimes, ours / theirs",
    "SQNR, ours / best of theirs",
)


def summary(results: Sequence[Result]) -> str:
    """The table, and what was measured where, in a sentence."""
    found = [result for result in results if result["benchmark"] == "press_vs_peers"]
    if not found:
        return ""
    web = [_browsers(result) for result in results if result["benchmark"] == "web"]
    rows = [_row(result) for result in found]
    cpus = sorted({result["host"]["cpu"] for result in found})
    pictures = {result["held_out_pictures"] for result in found}
    return "\n".join(
        [
            table(HEAD, rows),
            "",
            f"LiteRT, ExecuTorch and ONNX Runtime, one thread; {', '.join(cpus)}; outputs of "
            f"{'/'.join(map(str, sorted(pictures)))} held-out pictures. Their own tools: ai-edge-quantizer, "
            "XNNPACKQuantizer, quantize_static.",
            "",
            *(line for text in web for line in (text, "")),
            "",
        ]
    )


def _browsers(result: Result) -> str:
    best = max(found["ratio"] for found in result["versus_peers"].values())
    own = result["versus_own_float"]["litert-web"]["ratio"]
    return (
        f"In a browser (LiteRT.js, headless Chromium, {TITLES[result['network']]}): {own:.2f}x of float, "
        f"{best:.2f}x of the fastest file of the runtimes' own converters, "
        f"{100 * result['parity']['litert-web']['equal']:.4g} % of outputs equal to the reference."
    )


def _row(result: Result) -> tuple[str, ...]:
    runtimes = result["runtimes"]
    sizes = [r["size_bytes"]["ours"] / r["size_bytes"]["float_ours"] for r in runtimes]
    times = [_of_float(r["latency"]) for r in runtimes]
    versus = [r["versus"]["peer"]["ratio"] for r in runtimes]
    shares = {side: [pair["equal"] for pair in found] for side, found in result["agreement"].items()}
    ours = min(r["fidelity"]["ours"]["sqnr_db"] for r in runtimes)
    theirs = max(r["fidelity"]["peer"]["sqnr_db"] for r in runtimes)
    name = str(TITLES.get(result["network"], result["network"]))
    return (
        f"{name} (untrained)" if str(result.get("weights", "")).startswith("untrained") else name,
        f"{_range(sizes)}x",
        f"{_range(times)}x",
        f"{_range(versus)}x",
        f"{100 * min(shares['ours']):.4g} % / {100 * min(shares['peers']):.3g} %",
        f"{ours:.1f} / {theirs:.1f} dB",
    )


def _of_float(latency: Result) -> float:
    floats = min(latency["float_ours"]["median_s"], latency["float_stock"]["median_s"])
    return float(latency["ours"]["median_s"] / floats)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low}–{high}"
