"""How a program is cut at its recurrent layers, and the loops between the parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.container import read_container
from pocketpress.targets.executorch.lower import audit, lower
from pocketpress.targets.executorch.method import kinds
from pocketpress.targets.executorch.stages import Layer, stages
from pocketpress.testing import all_cases

STEPS, UNITS = 6, 8


def both_directions(layers: int = 2) -> Program:
    """Layers of two directions over the same input, then a linear layer."""
    rng, b = np.random.default_rng(0), ProgramBuilder()

    def constant(*shape: int) -> str:
        return b.constant("c", (rng.standard_normal(shape) / 3).astype(np.float32))

    value, width = b.input("x", TensorType((STEPS, 1, 5))), 5
    zero = b.constant("zero", np.zeros((1, UNITS), np.float32))
    for _ in range(layers):
        found = []
        for reverse in (False, True):
            inputs = [value, constant(3 * UNITS, width), constant(3 * UNITS)]
            gates = b.node("linear", inputs, TensorType((STEPS, 1, 3 * UNITS)), clamp=None)
            inputs = [gates, zero, constant(3 * UNITS, UNITS)]
            attrs = {"reverse": reverse, "reset_after": True, "state_scale": None}
            found.append(b.node("gru", inputs, TensorType((STEPS, 1, UNITS)), **attrs))
        width = 2 * UNITS
        value = b.node("concat", found, TensorType((STEPS, 1, width)), axis=2)
    inputs = [value, constant(3, width), constant(3)]
    return b.build([b.node("linear", inputs, TensorType((STEPS, 1, 3)), name="y", clamp=None)])


def test_two_directions_need_no_cut_between_them() -> None:
    found = stages(both_directions())
    assert [isinstance(stage, Layer) for stage in found] == [False, True, True, False, True, True, False]
    first, forward, backward, second = found[:4]
    assert isinstance(first, Program) and isinstance(second, Program)
    assert isinstance(forward, Layer) and isinstance(backward, Layer)
    assert first.inputs == ("x",) and first.outputs == (forward.sequence, backward.sequence)
    assert second.inputs == (forward.result, backward.result)
    assert not forward.reverse and backward.reverse
    assert not set(forward.step.types) & set(backward.step.types)


def test_a_program_without_layers_is_one_stage() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((3,)))
    program = b.build([b.node("exp", [b.node("neg", [x], TensorType((3,)))], TensorType((3,)), name="y")])
    (stage,) = stages(program)
    assert isinstance(stage, Program) and stage.nodes == program.nodes
    assert (stage.inputs, stage.outputs) == (("x",), ("y",))


@pytest.mark.parametrize("name", ["gru-one_step-fp32", "lstm-one_step-fp32"])
def test_a_single_step_is_no_loop(name: str, tmp_path: Path) -> None:
    (case,) = (case for case in all_cases() if case.id == name)
    (stage,) = stages(case.program)
    assert isinstance(stage, Program) and "linear" in [node.op for node in stage.nodes]
    lower(case.program, signature_of(case.program, precision="fp32"), tmp_path / "a.pte")
    assert audit(tmp_path / "a.pte", case.program) == ()


def test_the_network_computes_the_reference_and_nothing_runs_outside(tmp_path: Path) -> None:
    program = both_directions()
    expected, got = run_both(program, tmp_path)
    np.testing.assert_allclose(got[0], expected[0], atol=1e-6)
    assert audit(tmp_path / "program.pte", program) == ()


def test_the_loop_by_instruction(tmp_path: Path) -> None:
    program = both_directions(layers=1)
    lower(program, signature_of(program, precision="fp32"), tmp_path / "a.pte")
    container = read_container((tmp_path / "a.pte").read_bytes())
    (chain,) = container.program["execution_plan"][0]["chains"]
    found = [instruction["instr_args"] for instruction in chain["instructions"]]
    turn = ["KernelCall", "DelegateCall", "KernelCall", "KernelCall", "KernelCall", "KernelCall"]
    loop = ["MoveCall", "KernelCall", *turn, "JumpFalseCall"]
    assert [kind for kind, _ in found] == ["DelegateCall", *loop, *loop, "DelegateCall"]
    assert kinds(stages(program)) == [kind for kind, _ in found]
    jumps = [fields["destination_instruction"] for kind, fields in found if kind == "JumpFalseCall"]
    assert jumps == [3, 12]
    assert len(container.delegates) == 4


def test_the_audit_refuses_another_number_of_layers(tmp_path: Path) -> None:
    program = both_directions()
    lower(program, signature_of(program, precision="fp32"), tmp_path / "a.pte")
    first = next(node for node in program.nodes if node.op == "concat")
    fewer = replace(program, outputs=first.outputs).prefix(first.outputs)
    with pytest.raises(ArtifactError, match="not the whole graph is delegated"):
        audit(tmp_path / "a.pte", fewer)
