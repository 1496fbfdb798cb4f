"""The conformance check itself: it must notice targets that break their promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, Lowered, Skipped, TargetSpec
from pocketpress.testing import Case, all_cases, check_target, expects, keeps_promise
from pocketpress.verify.reference import interpret

CASES = {case.id: case for case in all_cases()}
INTEGER, FLOAT = CASES["add-equal_scales-w8a8-static"], CASES["add-equal_scales-fp32"]
ISLAND = next(case for case in CASES.values() if case.island)
HALF = CASES["linear-vector-fp16"]


class FakeRunner:
    """The reference interpreter, with a change to what it computes."""

    def __init__(self, program: Program, signature: Signature, change: Callable[[Array], Array]) -> None:
        self.program, self.signature, self.change = program, signature, change

    def run(self, feeds: list[Array]) -> list[Array]:
        values = interpret(self.program, dict(zip(self.program.inputs, feeds, strict=True)))
        return [self.change(values[name]) for name in self.program.outputs]

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class FakeSpec(TargetSpec):
    """A target that runs the reference; ``change`` spoils its outputs, ``refuses`` is its complaint."""

    change: Callable[[Array], Array] = lambda value: value
    refuses: str = ""

    def lower(self, program: Program, signature: Signature, path: Path) -> Lowered:
        if self.refuses:
            raise UnsupportedError(self.refuses)
        lowered[path] = (program, signature)
        return Lowered()

    def audit(self, path: Path, program: Program) -> tuple[Skipped, ...]:
        return ()

    def open_runner(self, path: Path, threads: int = 1) -> FakeRunner:
        return FakeRunner(*lowered[path], self.change)


lowered: dict[Path, tuple[Program, Signature]] = {}


def fake(change: Callable[[Array], Array] = lambda value: value, **card: object) -> FakeSpec:
    fields = {
        "precisions": ("fp32", "w8a8-static"),
        "float_ops": frozenset({"add", ISLAND.op}),
        "integer_ops": frozenset({"add"}),
        **card,
    }
    return FakeSpec("fake", "Fake", ".fake", "nowhere", (), (), change=change, **fields)  # type: ignore[arg-type]


def one_step_up(value: Array) -> Array:
    """The first element one step of the output's grid higher."""
    changed = value.copy()
    changed.flat[0] += np.diff(np.unique(value)).min()
    return changed


def kept(spec: FakeSpec, case: Case) -> bool:
    return keeps_promise(spec, case, check_target(spec, case))


@pytest.mark.parametrize("case", [INTEGER, FLOAT, ISLAND], ids=lambda case: case.id)
def test_the_reference_itself_passes(case: Case) -> None:
    result = check_target(fake(), case)
    assert result.is_equal and result.max_error == 0.0
    assert keeps_promise(fake(), case, result)


def test_one_integer_off_by_one_fails() -> None:
    result = check_target(fake(one_step_up), INTEGER)
    assert result.max_lsb == 1 and 0.9 < result.equal < 1
    assert not keeps_promise(fake(one_step_up), INTEGER, result)


def test_an_island_may_be_off_by_one_and_not_by_more() -> None:
    assert kept(fake(one_step_up), ISLAND)
    assert not kept(fake(lambda value: one_step_up(one_step_up(value))), ISLAND)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[:, :1],
        lambda value: value.astype(np.float64),
        lambda value: np.full_like(value, np.nan),
        lambda value: np.zeros_like(value),
    ],
    ids=["another shape", "another dtype", "nan", "zero"],
)
@pytest.mark.parametrize("case", [INTEGER, FLOAT, ISLAND], ids=lambda case: case.id)
def test_wrong_outputs_fail(change: Callable[[Array], Array], case: Case) -> None:
    assert not kept(fake(change), case)


def test_float_may_differ_by_float_rounding_only() -> None:
    assert kept(fake(lambda value: value * np.float32(1.0000005)), FLOAT)
    assert not kept(fake(lambda value: value * np.float32(1.0001)), FLOAT)


def test_refusing_a_listed_operator_fails_without_a_remark() -> None:
    assert not kept(fake(refuses="no additions today"), INTEGER)
    assert kept(fake(refuses="no additions today", remarks={"add": "only on weekdays"}), INTEGER)


def test_accepting_an_operator_that_is_not_listed_fails() -> None:
    assert not kept(fake(integer_ops=frozenset()), INTEGER)
    assert kept(fake(integer_ops=frozenset(), refuses="no integers"), INTEGER)


def test_what_a_card_promises() -> None:
    spec = fake()
    assert expects(spec, INTEGER) == "equal"
    assert expects(spec, FLOAT) == "close"
    assert expects(spec, ISLAND) == "within 1"
    assert expects(spec, HALF) == "unsupported"
