"""How LiteRT loops over a sequence."""

from __future__ import annotations

import math
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.program.recurrent import GATES
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.inspection import read_model
from pocketpress.targets.litert.lower import lower
from pocketpress.targets.litert.recurrent import CARRIED_BYTES, cut
from pocketpress.testing import all_cases

CASES = {case.id: case for case in all_cases() if case.op in GATES}


@given(st.integers(1, 20_000), st.integers(4, 1 << 14))
def test_pieces_cover_the_sequence_with_less_than_one_to_spare(steps: int, step_bytes: int) -> None:
    lengths = cut(steps, step_bytes)
    assert 0 <= math.prod(lengths) - steps < lengths[-1]
    if len(lengths) == 1:
        assert steps * step_bytes <= CARRIED_BYTES or steps < 4
    else:
        copied = steps * lengths[1] + lengths[0] * math.prod(lengths)
        assert copied <= 4 * steps**1.5


def test_pieces_of_a_thousand_steps_by_hand() -> None:
    # 31 = floor(sqrt(1000)) pieces would be of ceil(1000 / 31) = 33 steps; 31 * 33 = 1023.
    assert cut(1000, 1024) == (31, 33)
    assert cut(49, 1024) == (49,)


def written(name: str, folder: Path) -> Path:
    program = CASES[name].program
    lower(program, signature_of(program, precision=CASES[name].precision), folder / "a.tflite")
    return folder / "a.tflite"


def operators(path: Path) -> list[list[int]]:
    """Codes of every subgraph."""
    model = read_model(path)
    codes = [code.builtinCode for code in model.operatorCodes]
    return [[codes[op.opcodeIndex] for op in graph.operators] for graph in model.subgraphs]


def test_a_short_sequence_is_one_loop_and_a_long_one_two(tmp_path: Path) -> None:
    loop, matrix = schema.BuiltinOperator.WHILE, schema.BuiltinOperator.FULLY_CONNECTED
    short, long = (operators(written(f"gru-{name}-fp32", tmp_path)) for name in ("given_gates", "long"))
    assert len(short) == 3 and sum(codes.count(loop) for codes in short) == 1
    assert len(long) == 5 and sum(codes.count(loop) for codes in long) == 2
    assert sum(codes.count(matrix) for codes in short) == 1


def test_a_single_step_is_no_loop(tmp_path: Path) -> None:
    (codes,) = operators(written("gru-one_step-fp32", tmp_path))
    assert schema.BuiltinOperator.WHILE not in codes
    assert audit(tmp_path / "a.tflite", CASES["gru-one_step-fp32"].program) == ()


def test_the_audit_names_the_loop_and_why(tmp_path: Path) -> None:
    (skipped,) = audit(written("gru-given_gates-fp32", tmp_path), CASES["gru-given_gates-fp32"].program)
    assert skipped.name.startswith("gru ") and "WHILE" in skipped.reason
    assert "one step, which XNNPACK takes" in skipped.reason
