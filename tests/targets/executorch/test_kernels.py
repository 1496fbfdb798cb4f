"""Whole numbers in ExecuTorch: calls of portable kernels before, between and behind the delegate's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both

from pocketpress.core.errors import ArtifactError, UnsupportedError
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.session import Session
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.container import read_container
from pocketpress.targets.executorch.lower import audit, lower
from pocketpress.targets.executorch.run import open_runner


def network(dtype: str = "int64", *, shared: bool = False) -> Program:
    """Two look-ups, a cast mask, and a product; with ``shared``, a look-up is an output as well."""
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    ids, mask = b.input("ids", TensorType((1, 4), dtype)), b.input("mask", TensorType((1, 4), dtype))
    tables = [b.constant("t", rng.normal(size=(7, 3)).astype(np.float32)) for _ in range(2)]
    rows = [
        b.node("embedding", [ids, t], TensorType((1, 4, 3)), name=f"rows{i}") for i, t in enumerate(tables)
    ]
    both = b.node("add", rows, TensorType((1, 4, 3)), clamp=None)
    real = b.node("cast", [mask], TensorType((1, 4)))
    column = b.node("reshape", [real], TensorType((1, 4, 1)), shape=(1, 4, 1))
    y = b.node("mul", [both, column], TensorType((1, 4, 3)), name="y", clamp=None)
    return b.build([y, rows[0], real] if shared else [y])


FEEDS = {"ids": np.asarray([[6, 0, 3, 3]]), "mask": np.asarray([[1, 0, 1, 2]])}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_a_network_of_look_ups_equals_the_reference(dtype: str, shared: bool, tmp_path: Path) -> None:
    feeds = {name: value.astype(dtype) for name, value in FEEDS.items()}
    expected, got = run_both(network(dtype, shared=shared), tmp_path, feeds=feeds)
    for wanted, value in zip(expected, got, strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_kernels_come_first_and_the_audit_counts_them(tmp_path: Path) -> None:
    program, path = network(), tmp_path / "a.pte"
    lower(program, signature_of(program, precision="fp32"), path)
    (plan,) = (
        p for p in read_container(path.read_bytes()).program["execution_plan"] if p["name"] == "forward"
    )
    kinds = [i["instr_args"][0] for chain in plan["chains"] for i in chain["instructions"]]
    assert kinds == ["KernelCall"] * 3 + ["DelegateCall"]
    assert audit(path, program) == ()
    fewer = Program(
        program.inputs, ("rows0",), program.types, program.constants, program.nodes
    ).prefix(("rows0",))  # fmt: skip
    with pytest.raises(ArtifactError, match=r"allowed: KernelCall, DelegateCall$"):
        audit(path, fewer)


def test_an_index_that_is_no_row_is_refused_before_and_by_the_runtime(tmp_path: Path) -> None:
    program, path = network(), tmp_path / "a.pte"
    lower(program, signature_of(program, precision="fp32"), path)
    with Session(open_runner(path, 1)) as session:
        for wrong in (7, -1):
            ids = np.asarray([[0, 1, wrong, 0]])
            with pytest.raises(
                ArtifactError, match=f"ids is no row of its table: got {wrong}; allowed: 0 to 6"
            ):
                session(ids=ids, mask=FEEDS["mask"])
            with pytest.raises(ArtifactError, match="ExecuTorch could not run the program"):
                session._runner.run([ids, FEEDS["mask"]])
        assert session(**FEEDS)["y"].shape == (1, 4, 3)


def test_a_look_up_of_what_is_computed_is_refused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    ids = b.input("ids", TensorType((1, 4), "int64"))
    part = b.node("concat", [ids, ids], TensorType((1, 8), "int64"), axis=1)
    table = b.constant("t", np.zeros((7, 3), np.float32))
    program = b.build([b.node("embedding", [part, table], TensorType((1, 8, 3)), name="y")])
    with pytest.raises(UnsupportedError, match=r"cannot run embedding y.*an input of the network"):
        lower(program, signature_of(program, precision="fp32"), tmp_path / "a.pte")


def two_look_ups(*, half: bool = False) -> Program:
    """A place, the row at it, and what is computed of the row; the row is an output as well."""
    rng = np.random.default_rng(1)
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4, 6)))
    scores = b.node("neg", [x], TensorType((1, 4, 6)))
    place = b.node("argmax", [scores], TensorType((1, 4)), axis=2, keepdims=False)
    index = b.node("whole", [place], TensorType((1, 4), "int32"), name="index")
    table = b.constant("t", rng.normal(size=(6, 3)).astype(np.float16 if half else np.float32))
    rows = b.node("embedding", [index, table], TensorType((1, 4, 3)), name="rows")
    y = b.node("abs", [rows], TensorType((1, 4, 3)), name="y")
    return b.build([y, rows, index])


@pytest.mark.parametrize("half", [False, True])
def test_kernels_between_delegate_calls(half: bool, tmp_path: Path) -> None:
    program, path = two_look_ups(half=half), tmp_path / "a.pte"
    expected, got = run_both(program, tmp_path)
    for wanted, value in zip(expected, got, strict=True):
        np.testing.assert_array_equal(value, wanted)
    lower(program, signature_of(program, precision="fp32"), path)
    assert audit(path, program) == ()
    plan = read_container(path.read_bytes()).program["execution_plan"][0]
    kinds = [i["instr_args"][0] for chain in plan["chains"] for i in chain["instructions"]]
    assert kinds == ["DelegateCall", *["KernelCall"] * 4, "DelegateCall"]


def test_a_network_of_kernels_alone(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 5)))
    place = b.node("argmax", [x], TensorType((1, 5)), axis=1, keepdims=False)
    program = b.build([b.node("whole", [place], TensorType((1, 5), "int32"), name="y")])
    expected, got = run_both(program, tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])
    assert got[0].dtype == np.int32
