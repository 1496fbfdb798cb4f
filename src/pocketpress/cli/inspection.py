"""What `pocketpress inspect` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from pocketpress.cli.show import write, write_json
from pocketpress.core.words import size
from pocketpress.pipeline.advice import Finding
from pocketpress.pipeline.inspection import Inspection

LAYERS_SHOWN = 3


def inspection(found: Inspection, *, as_json: bool) -> None:
    """Facts about a network and what each target does with it, or what keeps it from being pressed."""
    if as_json:
        write_json(asdict(found))
        return
    if found.blockers:
        write(_blockers(found))
        return
    write(_head(found))
    write(_targets(found))
    advice = _advice(found)
    if advice.row_count:
        write(advice)


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name)
    return table


def _head(found: Inspection) -> Table:
    head = Table(box=None, show_header=False, pad_edge=False)
    head.add_row("network", found.name)
    if found.format:
        head.add_row("format", Text(found.format))
    if found.signature is not None:
        for kind, specs in (("input", found.signature.inputs), ("output", found.signature.outputs)):
            for spec in specs:
                head.add_row(kind, f"{spec.name} {spec.shape} {spec.dtype}")
        for state in found.signature.states:
            head.add_row("state", f"{state.input} becomes {state.output} at every step")
    head.add_row("parameters", f"{found.parameters:,} ({size(found.parameter_bytes)} as float32)")
    head.add_row("multiply-accumulates", f"{found.multiply_accumulates:,}")
    head.add_row("operators", ", ".join(f"{name} {count}" for name, count in found.operators.items()))
    return head


def _targets(found: Inspection) -> Table:
    table = _table("target", "precisions", "MACs in integers", "lacks", "stays in float in int8")
    for t in found.targets:
        table.add_row(
            t.target,
            ", ".join(t.precisions),
            "no int8" if t.integer_share is None else _share(t.integer_share),
            ", ".join(t.float_missing) or "nothing",
            ", ".join(t.int8_in_float) or "nothing",
        )
    return table


def _blocks() -> Table:
    """Labels and what they say; nothing in it is markup."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    return table


def _block(table: Table, head: str, summary: str, rows: Mapping[str, str]) -> None:
    table.add_row("")
    table.add_row(Text(head), Text(summary))
    for label, content in rows.items():
        if content:
            table.add_row(Text(f"  {label}", style="not bold"), Text(content))


def _blockers(found: Inspection) -> Table:
    table = _blocks()
    for blocker in found.blockers:
        _block(table, blocker.op, blocker.reason, {"at": blocker.where, "instead": blocker.instead})
    return table


def _advice(found: Inspection) -> Table:
    """One block per operator and fate; targets that share it share the block."""
    table = _blocks()
    kinds: dict[tuple[str, str, str, bool], tuple[Finding, list[str]]] = {}
    for target in found.targets:
        for finding in target.findings:
            key = (finding.op, finding.place, finding.why, finding.depends)
            kinds.setdefault(key, (finding, []))[1].append(target.target)
    for hint in found.hints:
        kinds[hint.op, hint.place, hint.why, False] = (hint, ["every target"])
    for finding, targets in kinds.values():
        maybe = ", or in integers: calibration decides" if finding.depends else ""
        work = f"{_share(finding.multiply_accumulates)} of MACs, {_share(finding.moved_bytes)} of bytes"
        _block(
            table,
            f"{finding.op} {len(finding.layers)}",
            f"{finding.place}{maybe}, in {', '.join(targets)}; {work}",
            {"why": finding.why, "instead": finding.instead, "at": _layers(finding)},
        )
    return table


def _layers(finding: Finding) -> str:
    named = list(dict.fromkeys(layer.source or layer.name for layer in finding.layers))
    more = len(named) - LAYERS_SHOWN
    return "\n".join(named[:LAYERS_SHOWN]) + (f"\nand {more} more" if more > 0 else "")


def _share(value: float) -> str:
    return f"{100 * value:.0f}%" if value >= 0.01 or value == 0 else "<1%"
