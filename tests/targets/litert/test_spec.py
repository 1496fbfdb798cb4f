"""The card is light and is found through its entry point."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from pocketpress.core.program import OPS
from pocketpress.core.targets import GROUP
from pocketpress.targets.litert.spec import SPEC


def test_the_card_loads_no_runtime() -> None:
    code = (
        "import sys, pocketpress.targets.litert.spec as s; "
        "assert s.SPEC.name == 'litert'; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'ai_edge_litert', 'flatbuffers', 'torch'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_card_is_registered() -> None:
    (point,) = entry_points(group=GROUP, name="litert")
    assert point.load() is SPEC


def test_every_operator_without_an_integer_kernel_says_why() -> None:
    for op in OPS:
        assert op in SPEC.integer_ops or SPEC.remarks.get(op), op


def test_operators_marked_float_are_never_promised_in_integers() -> None:
    assert not {op for op, spec in OPS.items() if spec.integer == "float"} & SPEC.integer_ops
