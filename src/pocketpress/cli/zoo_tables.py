"""Tables and JSON of ``pocketpress zoo``."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from pocketpress.cli.show import write, write_json
from pocketpress.core.words import duration, size
from pocketpress.pipeline.zoo.catalog import Catalog
from pocketpress.pipeline.zoo.facts import REFERENCE, Line
from pocketpress.pipeline.zoo.suggest import Candidate, Suggestion
from pocketpress.pipeline.zoo.train import Trained, TrainOptions, next_command


def lines(found: Catalog, *, as_json: bool) -> None:
    """The list."""
    if as_json:
        write_json(_catalog_json(found))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("network", no_wrap=True)
    table.add_column("task", no_wrap=True)
    for name in ("parameters", "MACs", *(f"size {p}" for p in found.precisions)):
        table.add_column(name, no_wrap=True, justify="right")
    for target in found.targets:
        table.add_column(f"{target}, ms", justify="right", no_wrap=True)
    for line in found.lines:
        table.add_row(*_cells(line, found))
    write(table)
    write(f"latency: {' / '.join(found.precisions)}, median of one inference")
    if found.here:
        write(f"this machine: {found.here}")
    if found.reference:
        write(f"* reference machine, not this one: {found.reference}")
    failures = {t.failure for line in found.lines for t in line.timings if t.failure}
    for failure in sorted(failures):
        write(f"not measured: {failure}")
    if any(line.where is None for line in found.lines) or found.reference:
        write("pocketpress zoo measure measures on this machine")


def _cells(line: Line, found: Catalog) -> list[str]:
    mark = "*" if line.where == REFERENCE else ""
    sizes = []
    for precision in found.precisions:
        known = [t.size_bytes for t in line.timings if t.precision == precision and t.size_bytes]
        sizes.append(size(max(known)) if known else "–")
    times = []
    for target in found.targets:
        cells = [line.find(target, precision) for precision in found.precisions]
        texts = [f"{1e3 * c.median_s:.3g}" if c is not None and c.median_s else "–" for c in cells]
        times.append(" / ".join(texts))
    macs = f"{line.macs / 1e6:,.1f} M"
    return [f"{line.choice}{mark}", line.choice.card.task, f"{line.parameters:,}", macs, *sizes, *times]


def _catalog_json(found: Catalog) -> dict[str, Any]:
    return {
        "this_machine": found.here,
        "reference_machine": found.reference,
        "networks": [
            {
                "name": str(line.choice),
                "title": line.choice.card.title,
                "task": line.choice.card.task,
                "paper": line.choice.card.paper,
                "input": list(line.choice.shape),
                "parameters": line.parameters,
                "multiply_accumulates": line.macs,
                "measured_on": line.where,
                "timings": [t.model_dump(exclude={"network"}, exclude_none=True) for t in line.timings],
            }
            for line in found.lines
        ],
    }


def suggestion(found: Suggestion, *, as_json: bool) -> None:
    """What fits, and what excludes the rest."""
    if as_json:
        write_json(
            {
                "machine": found.machine,
                "targets": found.targets,
                "left_out": found.left_out,
                "fits": [_candidate_json(c) for c in found.fitting],
                "excluded": [_candidate_json(c) for c in found.others],
            }
        )
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "network", "latency", "size", "parameters", "MACs"):
        table.add_column(name, no_wrap=True)
    table.add_column("ranked by")
    for place, candidate in enumerate(found.fitting, 1):
        table.add_row(f"{place}", *_candidate(candidate), candidate.ranked_by)
    write(table)
    sources = sorted({c.known.source for c in found.fitting if c.known is not None})
    if sources:
        write(f"accuracies: {'; '.join(sources)}")
    basis = sorted({c.basis for c in found.fitting})
    write(f"latency of the slowest of {', '.join(found.targets)}, measured on {' and '.join(basis)}")
    if found.left_out:
        lacking = ", ".join(found.left_out)
        write(f"left out: {lacking}, not executed here at {found.budget.precision}")
    looked = [c for c in found.others if not (c.excluded or "").startswith("not looked at")]
    if looked:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("excluded", no_wrap=True)
        table.add_column("by")
        table.add_column("ranked by")
        for candidate in looked:
            table.add_row(str(candidate.choice), candidate.excluded, candidate.ranked_by)
        write(table)
    rest = len(found.others) - len(looked)
    if rest:
        write(f"{rest} of lower rank were not looked at (--top)")
    best = found.fitting[0].choice
    write(f"next: pocketpress zoo train {best} --data FOLDER --out DIR")


def _candidate(candidate: Candidate) -> list[str]:
    latency = "–" if candidate.latency_s is None else duration(candidate.latency_s)
    weight = "–" if candidate.size_bytes is None else size(candidate.size_bytes)
    macs = f"{candidate.macs / 1e6:,.1f} M"
    return [str(candidate.choice), latency, weight, f"{candidate.parameters:,}", macs]


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    known = candidate.known
    return {
        "name": str(candidate.choice),
        "parameters": candidate.parameters,
        "multiply_accumulates": candidate.macs,
        "ranked_by": candidate.ranked_by,
        "top1": None if known is None else known.top1,
        "source": None if known is None else f"{known.source}, {known.data}",
        "latency_s": candidate.latency_s,
        "size_bytes": candidate.size_bytes,
        "basis": candidate.basis,
        "excluded": candidate.excluded,
    }


def trained(found: Trained, options: TrainOptions, *, as_json: bool) -> None:
    """What was trained, and what to do with it."""
    low, high = found.interval
    if as_json:
        write_json(
            {
                "network": str(found.choice),
                "weights": str(found.weights),
                "card": str(found.card),
                "accuracy": {"share": found.accuracy, "low": low, "high": high, "samples": found.samples},
            }
        )
        return
    write(
        f"{found.choice}: {found.accuracy:.2%} right ({low:.2%} to {high:.2%}) on {found.samples:,} samples "
        "that were not trained on"
    )
    write(f"weights: {found.weights}   card: {found.card}")
    write(f"next: {next_command(found, options)}")
