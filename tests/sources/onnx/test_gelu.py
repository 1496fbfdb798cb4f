"""x * (1 + erf(x / sqrt 2)) / 2 is one operator, in every order that exporters write it in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.sources.aten.translate import to_program
from pocketpress.sources.onnx.load import load_onnx
from pocketpress.verify.reference import interpret

NUMBERS = {
    "root": np.float32(2**0.5),
    "half_root": np.float32(0.5**0.5),
    "one": np.float32(1),
    "half": np.float32(0.5),
}


def node(op: str, *names: str) -> NodeProto:
    return helper.make_node(op, list(names[:-1]), [names[-1]], f"{op}_{names[-1]}")


HEAD = [node("Div", "x", "root", "d"), node("Erf", "d", "e"), node("Add", "e", "one", "s")]
CHAINS = {
    "x-first": [*HEAD, node("Mul", "x", "s", "p"), node("Mul", "p", "half", "y")],
    "half-first": [*HEAD, node("Mul", "half", "s", "p"), node("Mul", "p", "x", "y")],
    "half-of-x": [*HEAD, node("Mul", "x", "half", "h"), node("Mul", "h", "s", "y")],
    "product": [
        node("Mul", "x", "half_root", "d"), node("Erf", "d", "e"), node("Add", "one", "e", "s"),
        node("Mul", "s", "x", "p"), node("Mul", "half", "p", "y"),
    ],
}  # fmt: skip


def steps(folder: Path, nodes: list[NodeProto], outputs: list[str]) -> list[str]:
    used = {name: value for name, value in NUMBERS.items() if any(name in n.input for n in nodes)}
    network, examples = load_onnx(saved(folder, model(nodes, {"x": (1, 6)}, outputs, used)))
    found = [step.op for step in network.steps]
    if found == ["Gelu"]:
        program = to_program(torch.export.export(network, examples))[0]
        x = np.asarray([[-3, -1, -0.1, 0, 0.5, 2]], np.float32)
        wanted = torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(interpret(program, {"x": x})["y"], wanted, atol=1e-6)
    return found


@pytest.mark.parametrize("nodes", CHAINS.values(), ids=CHAINS.keys())
def test_a_chain_is_one_operator(nodes: list[NodeProto], tmp_path: Path) -> None:
    assert steps(tmp_path, nodes, ["y"]) == ["Gelu"]


def test_another_chain_stays(tmp_path: Path) -> None:
    other = [*HEAD[:2], node("Add", "e", "half", "s"), *CHAINS["x-first"][3:]]
    assert "Erf" in steps(tmp_path, other, ["y"])
    assert "Erf" in steps(tmp_path, [*HEAD, node("Mul", "x", "s", "y")], ["y"])
    assert "Erf" in steps(tmp_path, HEAD, ["s"])


def test_a_part_that_is_read_elsewhere_keeps_the_chain(tmp_path: Path) -> None:
    assert "Erf" in steps(tmp_path, CHAINS["x-first"], ["y", "e"])
    assert "Erf" in steps(tmp_path, [*CHAINS["x-first"], node("Neg", "s", "z")], ["y", "z"])
    shared = [*CHAINS["x-first"], node("Neg", "d", "z")]
    assert steps(tmp_path, shared, ["y", "z"]) == ["Div", "Gelu", "Neg"]
