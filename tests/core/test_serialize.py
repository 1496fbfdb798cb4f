"""Programs as bytes."""

from __future__ import annotations

import dataclasses
import io
import pickle

import numpy as np
import pytest
from tests.reference.networks import quantized, residual_network, samples

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import from_bytes, program_hash, to_bytes
from pocketpress.graph.half_weights import half_weights
from pocketpress.verify.reference import interpret

PROGRAMS = {
    "float": residual_network(),
    "half": half_weights(residual_network()),
    "int8": quantized(residual_network()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_round_trip(name: str) -> None:
    program = PROGRAMS[name]
    again = from_bytes(to_bytes(program))
    assert again.nodes == program.nodes and dict(again.types) == dict(program.types)
    assert (again.inputs, again.outputs) == (program.inputs, program.outputs)
    assert to_bytes(again) == to_bytes(program) and program_hash(again) == program_hash(program)
    feeds = samples(program, 1)[0]
    np.testing.assert_array_equal(interpret(again, feeds)["output"], interpret(program, feeds)["output"])


def changed(program: Program, **attrs: object) -> Program:
    first = program.nodes[0].with_attrs(**attrs)
    return dataclasses.replace(program, nodes=(first, *program.nodes[1:]))


def test_the_hash_sees_what_is_computed_and_not_where_it_came_from() -> None:
    program = PROGRAMS["float"]
    moved = dataclasses.replace(program.nodes[0], source="elsewhere.py:3")
    assert program_hash(dataclasses.replace(program, nodes=(moved, *program.nodes[1:]))) == program_hash(
        program
    )
    assert program_hash(changed(program, clamp=None)) != program_hash(program)
    name = next(iter(program.constants))
    other = {**program.constants, name: program.constants[name] + np.float32(1e-6)}
    assert program_hash(dataclasses.replace(program, constants=other)) != program_hash(program)


@pytest.mark.parametrize(
    "damage", ["empty", "truncated", "garbage", "pickle", "object array", "other format"]
)
def test_damaged_bytes_are_an_error(damage: str) -> None:
    content = to_bytes(PROGRAMS["int8"])
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    bad = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "garbage": b"\x93NUMPY\x01\x00" + b"\xff" * 100,
        "pickle": pickle.dumps({"format": 1}),
        "object array": stream.getvalue(),
        "other format": content.replace(b'"format": 2', b'"format": 9', 1),
    }[damage]
    with pytest.raises(ArtifactError) as caught:
        from_bytes(bad)
    assert "\n" not in str(caught.value)
