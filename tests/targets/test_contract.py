"""Every operator through every installed runtime: equal to the reference in integers, close in float."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

from pocketpress.core.errors import MissingExtraError, UnsupportedError
from pocketpress.core.program import OPS
from pocketpress.core.signature import signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import GROUP
from pocketpress.testing import Case, all_cases, check_target, expects, keeps_promise

POINTS = sorted(set(entry_points(group=GROUP)), key=lambda point: point.name)


def executed_spec(point: EntryPoint) -> TargetSpec:
    """The card of a target that runs on this machine; skips with the reason otherwise."""
    try:
        spec: TargetSpec = point.load()
        spec.check_installed()
    except (ImportError, MissingExtraError) as error:
        pytest.skip(f"target {point.name} is not installed: {error}")
    if (obstacle := spec.obstacle()) is not None:
        pytest.skip(f"target {point.name} is not executed here: {obstacle}")
    return spec


def in_a_browser(point: EntryPoint) -> Any:
    """Those that run in another program take a second a case; `tests/targets/web` has some of the cases."""
    marks = [pytest.mark.slow] if point.name.endswith("-web") else []
    return pytest.param(point, id=point.name, marks=marks)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
@pytest.mark.parametrize("point", [in_a_browser(point) for point in POINTS])
def test_target_keeps_the_promise_of_its_card(point: EntryPoint, case: Case) -> None:
    spec = executed_spec(point)
    result = check_target(spec, case)
    assert keeps_promise(spec, case, result), result
    if result.unsupported is not None:
        assert "\n" not in result.unsupported and len(result.unsupported) > 20


@pytest.mark.parametrize("precision", ["fp32", "w8a8-static", "fp16", "w8-dynamic"])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_no_operator_of_a_card_is_refused_in_every_variant(
    point: EntryPoint, precision: str, tmp_path: Path
) -> None:
    """A remark excuses a variant that is refused, and not the operator."""
    try:
        spec: TargetSpec = point.load()
        spec.check_installed()
    except (ImportError, MissingExtraError) as error:
        pytest.skip(f"target {point.name} is not installed: {error}")
    found: dict[str, bool] = {}
    for case in all_cases():
        if case.precision == precision and expects(spec, case) != "unsupported" and not found.get(case.op):
            found[case.op] = lowers(spec, case, tmp_path / f"case{spec.suffix}")
    refused = [op for op, lowered in found.items() if not lowered]
    assert found or precision not in spec.precisions
    assert refused == []


def lowers(spec: TargetSpec, case: Case, path: Path) -> bool:
    try:
        spec.lower(case.program, signature_of(case.program, precision=case.precision), path)
    except UnsupportedError:
        return False
    return True


def test_every_operator_has_cases() -> None:
    assert {case.op for case in all_cases()} == set(OPS)


def test_case_ids_are_unique() -> None:
    ids = [case.id for case in all_cases()]
    assert len(set(ids)) == len(ids)


def test_every_case_in_integers_tells_runtimes_apart() -> None:
    """A case whose output is constant would pass whatever the kernel computes."""
    from pocketpress.verify.reference import interpret

    for case in all_cases():
        outputs = interpret(case.program, case.feeds)
        least = 2 if case.op == "step" else 5
        assert all(len(set(value.reshape(-1).tolist())) >= least for value in outputs.values()), case.id
