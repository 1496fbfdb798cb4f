"""Measure the zoo.

    python -m benchmarks.zoo reference --out src/pocketpress/zoo/reference.json
    python -m benchmarks.zoo agreement --out results/zoo.json
    python -m benchmarks.zoo shown --cifar $POCKETPRESS_DATA/cifar10 --work DIR --out results/zoo.json

``reference`` measures every network (and common widths) into the file that ships.  ``agreement`` asks for
suggestions and presses and times the three best of each anew.  ``shown`` goes from a budget to a pressed
network: suggest, train on CIFAR-10, press under the same budget; ``--work`` with trained weights in it is
taken as it is.  The last two keep the other's part of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.zoo.agreement import agreement
from benchmarks.zoo.shown import shown
from pocketpress.core.targets import resolve_targets
from pocketpress.pipeline.cache import default_folder
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.zoo.measure import PRECISIONS, TARGETS, measured
from pocketpress.pipeline.zoo.store import Store, write
from pocketpress.zoo.cards import CARDS
from pocketpress.zoo.names import parse

WIDTHS = (
    "mobilenet_v1,width=0.25", "mobilenet_v1,width=0.5", "mobilenet_v2,width=0.35", "mobilenet_v2,width=0.5",
    "mobilenet_v3_large,width=0.75", "mobilenet_v3_small,width=0.75",
)  # fmt: skip


def reference(out: Path) -> None:
    """Measure what is not in the cache yet, and write all of it that was measured."""
    store, specs = Store(default_folder()), resolve_targets(TARGETS)
    rows = []
    for name in (*CARDS, *WIDTHS):
        rows += measured(parse(name), specs, PRECISIONS, store, Events())
        print(name, file=sys.stderr, flush=True)
    write(store.found.model_copy(update={"timings": tuple(row for row in rows if row.failure is None)}), out)


def update(out: Path, part: str, value: Any) -> None:
    """Replace one part of the result file."""
    kept = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    result = {"benchmark": "zoo", "format": 1, **kept, part: value}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("reference", "agreement", "shown"))
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--cifar", type=Path, help="folder of train.parquet and test.parquet")
    parser.add_argument("--work", type=Path, help="folder of the trained weights")
    given = parser.parse_args(argv)
    if given.what == "reference":
        return reference(given.out)
    facts = {**describe(), "load": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "agreement":
            value = {**facts, "rows": agreement(Path(folder))}
        else:
            value = {**facts, **shown(given.cifar, given.work or Path(folder))}
    return update(given.out, given.what, value)


if __name__ == "__main__":
    main()
