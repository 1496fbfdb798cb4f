"""Damaged and hostile files: one clear line, in bounded time and memory."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tests.sources.tflite.models import Op, classifier, saved

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.tflite.load import load_tflite

MUTANTS = 200


def test_truncated_files(tmp_path: Path) -> None:
    whole = classifier(tmp_path).read_bytes()
    path = tmp_path / "cut.tflite"
    for size in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        with pytest.raises(PocketpressError) as caught:
            load_tflite(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("aimed", [False, True])
def test_mutated_files_give_a_network_or_one_clear_line(tmp_path: Path, aimed: bool) -> None:
    """Flipped, cut and doubled bytes, and whole words that are offsets, counts and indices."""
    whole = classifier(tmp_path).read_bytes()
    rng = random.Random(int(aimed))
    path = tmp_path / "mutant.tflite"
    tracemalloc.start()
    refused = 0
    for _ in range(MUTANTS):
        path.write_bytes(_aimed(whole, rng) if aimed else _mutant(whole, rng))
        try:
            load_tflite(path)
        except PocketpressError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > MUTANTS // 10
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def _mutant(whole: bytes, rng: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(8, len(data))
        kind = rng.randrange(3)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : place + rng.randint(1, 40)]
        else:
            data[place:place] = data[place : place + rng.randint(1, 40)]
    return bytes(data)


def _aimed(whole: bytes, rng: random.Random) -> bytes:
    """One aligned word becomes a small, huge or negative number."""
    data = bytearray(whole)
    place = 4 * rng.randrange(2, len(data) // 4)
    word = rng.choice([0, 1, 4, 127, 255, 1 << 16, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, len(data)])
    data[place : place + 4] = word.to_bytes(4, "little")
    return bytes(data)


def _repacked(path: Path, change: object) -> Path:
    """The file with its unpacked model changed by a function."""
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model)  # type: ignore[operator]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _set(owner: str, index: int, name: str, value: object) -> object:
    def change(model: object) -> None:
        graph = model.subgraphs[0]  # type: ignore[attr-defined]
        target = {"tensor": graph.tensors, "op": graph.operators, "code": model.operatorCodes}[owner][index]  # type: ignore[attr-defined]
        setattr(target, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("op", 0, "opcodeIndex", 99), "operator code 99"),
        (_set("op", 0, "inputs", np.array([0, 1, 999], np.int32)), "tensor 999"),
        (_set("op", 0, "outputs", np.array([-1], np.int32)), "tensor -1"),
        (_set("op", 0, "inputs", np.array([-1, 1, 2], np.int32)), "CONV_2D lacks input 0"),
        (_set("op", 0, "inputs", np.array([0], np.int32)), "CONV_2D lacks input 1"),
        (_set("op", 1, "inputs", np.array([12, 4, 5], np.int32)), "reads what nothing makes|DEPTHWISE"),
        (_set("tensor", 1, "buffer", 9999), "a buffer that is not there"),
        (_set("tensor", 1, "shape", np.array([6, 3, 3, 4], np.int32)), "does not fit its shape"),
        (_set("tensor", 1, "shape", np.array([1 << 30] * 4, np.int32)), "does not fit its shape"),
        (_set("tensor", 1, "shape", np.array([-7], np.int32)), "no possible shape"),
        (_set("tensor", 1, "shape", np.ones(50, np.int32)), "no possible shape"),
        (_set("tensor", 1, "type", 5), "type STRING"),
        (_set("tensor", 0, "type", 5), "input image has type string"),
        (_set("tensor", 0, "isVariable", True), "keeps state between runs"),
        (_set("tensor", 0, "shape", np.array([1 << 30, 1 << 30, 9, 3], np.int32)), "image is too large"),
        (_set("code", 0, "builtinCode", 500), "operator 500"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(change: object, message: str, tmp_path: Path) -> None:
    path = _repacked(classifier(tmp_path), change)
    with pytest.raises((SourceError, UnsupportedError), match=message):
        load_tflite(path)


def test_tables_that_point_at_one_another_cost_nothing(tmp_path: Path) -> None:
    """100,000 operators that are one table, each of 100,000 inputs that are one list."""
    path = saved(tmp_path, [Op("RELU", ["x"], ["y"])], {"x": (1,)}, {"y": (1,)})

    def grow(model: object) -> None:
        graph = model.subgraphs[0]  # type: ignore[attr-defined]
        graph.operators[0].inputs = np.zeros(60_000, np.int32)
        graph.operators = graph.operators * 200

    _repacked(path, grow)
    tracemalloc.start()
    with pytest.raises(SourceError, match="endless operators"):
        load_tflite(path)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_constants_that_share_their_bytes(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(200)]
    ops = [Op("ADD_N", ["x", *names], ["y"])]
    constants = {name: np.full(5000, i, np.float32) for i, name in enumerate(names)}
    path = saved(tmp_path, ops, {"x": (5000,)}, {"y": (5000,)}, constants)

    def share(model: object) -> None:
        graph = model.subgraphs[0]  # type: ignore[attr-defined]
        for tensor in graph.tensors[1:-1]:
            tensor.buffer = graph.tensors[1].buffer
        kept = {0, graph.tensors[1].buffer}
        for index, buffer in enumerate(model.buffers):  # type: ignore[attr-defined]
            buffer.data = buffer.data if index in kept else None

    with pytest.raises(SourceError, match="share their bytes"):
        load_tflite(_repacked(path, share))
