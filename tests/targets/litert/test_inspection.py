"""Reading files that are damaged on purpose: an ArtifactError or a model, never anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.inspection import read_model, read_signature
from pocketpress.targets.litert.lower import to_bytes


def small_file() -> bytes:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    w = b.constant("w", np.ones((3, 4), np.float32))
    program = b.build([b.node("linear", [x, w], TensorType((1, 3)), clamp=None)])
    return to_bytes(program, signature_of(program, precision="fp32"))


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    rng, content = np.random.default_rng(0), small_file()
    path, refused = tmp_path / "a.tflite", 0
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(8, len(content), 3):
            damaged[position] = int(rng.integers(0, 256))
        path.write_bytes(bytes(damaged))
        try:
            read_signature(path)
        except ArtifactError:
            refused += 1
    assert refused > 50


def test_indices_out_of_range_are_refused(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    for change in ("operator input", "output", "buffer", "code"):
        model = schema.ModelT.InitFromPackedBuf(small_file(), 0)
        graph = model.subgraphs[0]
        if change == "operator input":
            graph.operators[0].inputs = np.asarray([0, 99, 1], np.int32)
        elif change == "output":
            graph.outputs = np.asarray([-1], np.int32)
        elif change == "buffer":
            graph.tensors[0].buffer = 99
        else:
            graph.operators[0].opcodeIndex = 7
        builder = Builder(4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        path = tmp_path / "a.tflite"
        path.write_bytes(bytes(builder.Output()))
        with pytest.raises(ArtifactError, match="is damaged"):
            read_model(path)
