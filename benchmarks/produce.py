"""One production in a process of its own: ``python -m benchmarks.produce TOOL SUBJECT WORK``.

``WORK`` is a folder that `benchmarks.workplace` filled; the tool writes into ``WORK/TOOL``, and beside its
files ``production.json`` with the peak resident memory of the process.  The parent takes the time, so that
starting Python and importing the tool count, as they do for whoever uses it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.workplace import FLOATS, GUESTS, OURS, PEERS, STOCK_FLOAT, TARGETS, Workplace, peer


def main() -> None:
    parser = argparse.ArgumentParser(description="Produce one tool's files.")
    parser.add_argument("tool", choices=(*PEERS, *GUESTS, OURS, FLOATS, STOCK_FLOAT))
    parser.add_argument("subject")
    parser.add_argument("work", type=Path)
    parser.add_argument("--untied", action="store_true", help="ours: without tied scales")
    parser.add_argument("--estimator", default="auto", help="ours: of the ranges")
    given = parser.parse_args()
    place = Workplace(given.work, given.subject)
    folder = place.produced(given.tool, untied=given.untied)
    folder.mkdir(parents=True, exist_ok=True)
    if given.tool in (OURS, FLOATS):
        precision = "fp32" if given.tool == FLOATS else "w8a8-static"
        press(place, folder, precision=precision, tied=not given.untied, estimator=given.estimator)
    else:
        produce(place, given.tool)
    from pocketpress.devices.memory import peak_rss_bytes

    (folder / "production.json").write_text(json.dumps({"peak_rss_bytes": peak_rss_bytes()}) + "\n")


def produce(place: Workplace, tool: str) -> None:
    """Run one peer."""
    import torch

    torch.set_num_threads(1)
    network, examples = place.network()
    if tool == STOCK_FLOAT:
        module = peer(PEERS[-1])
        module.produce_float(network, examples, place.stock_float(module))
    else:
        module = peer(tool)
        module.produce(network, examples, place.pictures("calibration"), place.peer_file(module))


def press(place: Workplace, out: Path, *, precision: str, tied: bool, estimator: str) -> None:
    """Run Pocketpress; a w8a8 press proves its artifacts on the held-out pictures, as users' presses do."""
    import pocketpress

    pictures = {"data": str(place.calibration), "evaluation": str(place.held_out)}
    pocketpress.press(
        place.subject.specification,
        weights=place.weights,
        out=out,
        precision=precision,
        tied=tied,
        estimator=estimator,
        targets=",".join(TARGETS),
        calibration_samples=10_000,
        evaluation_samples=None,
        measure=False,
        **(pictures if precision == "w8a8-static" else {}),
    )


if __name__ == "__main__":
    main()
