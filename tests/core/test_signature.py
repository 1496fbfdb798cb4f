"""The signature embedded in artifacts, which is untrusted when read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.networks import quantized, residual_network

from pocketpress.compress.quantize.plan import QuantizationOptions
from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.signature import MAX_JSON_BYTES, Preprocessing, Signature, TensorSpec, signature_of

PREP = Preprocessing(resize=256, crop=(224, 224), mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), layout="nhwc")
FULL = Signature(
    (TensorSpec("image", (1, 3, 8, 8), "uint8", 1 / 255, 3),),
    (TensorSpec("y", (1, 5), "float32", grid_scale=0.25, grid_zero_point=-4), TensorSpec("s", (), "float32")),
    PREP,
    "w8a8-static",
)


@pytest.mark.parametrize("signature", [FULL, Signature((), ())])
def test_round_trip(signature: Signature) -> None:
    assert Signature.from_json(signature.to_json()) == signature
    assert Signature.from_json(signature.to_json()).to_json() == signature.to_json()


def test_labels_come_back_and_leave_no_trace_where_there_are_none() -> None:
    names = {"y": ("Zürich", "東京", "🐕", 'a "quoted" one', " ")}
    named = FULL.with_labels(names)
    assert named.labels == names and FULL.labels == {}
    found = Signature.from_json(named.to_json())
    assert found == named and found.outputs[0].labels == names["y"] and found.outputs[1].labels is None
    assert found.to_json() == named.to_json()
    assert '"labels"' not in FULL.to_json(), "artifacts without labels are the bytes they were"
    assert named.with_labels({}) == FULL
    with pytest.raises(ValueError, match="4 labels for an output of shape"):
        FULL.with_labels({"y": ("a", "b", "c", "d")})


def test_inputs_have_no_labels() -> None:
    with pytest.raises(ValueError, match="image has labels, which outputs have"):
        Signature((TensorSpec("image", (1, 2), "float32", labels=("a", "b")),), ())


def edited(**changes: Any) -> str:
    return json.dumps({**json.loads(FULL.to_json()), **changes})


def tensor(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "x", "shape": [1], "dtype": "float32", **changes}]


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", '"x"', edited(format=2), edited(inputs=None),
        edited(inputs=tensor(shape=[-1])),
        edited(inputs=tensor(shape=[1 << 20, 1 << 20])), edited(inputs=tensor(shape=[1] * 9)),
        edited(inputs=tensor(shape="abc")), edited(inputs=tensor() * 300), edited(inputs=tensor(scale="big")),
        edited(inputs=[{}]), edited(preprocessing={"mean": [1]}), "[" * 100_000, "x" * (MAX_JSON_BYTES + 1),
        edited(outputs=tensor(labels="a")), edited(outputs=tensor(labels=["a", "b"])),
        edited(outputs=tensor(labels=[1])), edited(outputs=tensor(labels={"0": "a"})),
        edited(outputs=tensor(labels=["\ud800"])), edited(outputs=tensor(labels=["a\n"])),
        edited(inputs=tensor(labels=["a"])), "é" * (MAX_JSON_BYTES // 2 + 1),
        edited(preprocessing={**json.loads(FULL.to_json())["preprocessing"], "std": [0, 0, 0]}),
    ],
)  # fmt: skip
def test_malformed_text_is_an_artifact_error(text: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Signature.from_json(text)
    assert len(str(caught.value)) < 300


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "format",
                        "inputs",
                        "outputs",
                        "name",
                        "shape",
                        "dtype",
                        "labels",
                        "preprocessing",
                        "mean",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_any_json_is_a_signature_or_an_artifact_error(value: Any) -> None:
    if isinstance(value, dict):
        value["format"] = 1
    try:
        Signature.from_json(json.dumps(value))
    except ArtifactError:
        return


def test_preprocessing_checks_itself() -> None:
    with pytest.raises(ValueError, match="mean has 2 entries and std 3"):
        Preprocessing(mean=(0.0, 0.0))
    with pytest.raises(ValueError, match="std must be positive"):
        Preprocessing(std=(1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="got hwc"):
        Preprocessing(layout="hwc")


def test_signature_of_a_quantised_program_knows_the_grid_behind_float_outputs() -> None:
    program = quantized(residual_network(), QuantizationOptions(real_heads=False))
    found = signature_of(program, precision="w8a8-static", preprocessing=PREP)
    grid = program.type(program.producers()["output"].inputs[0]).quant
    assert grid is not None
    assert found.outputs == (
        TensorSpec("output", (1, 5), "float32", grid_scale=float(grid.step), grid_zero_point=grid.zero_point),
    )
    assert found.inputs == (TensorSpec("x", (1, 3, 8, 8), "float32"),)
    assert found.preprocessing == PREP and found.precision == "w8a8-static"


def test_the_rows_of_the_smallest_table_bound_an_input_of_indices() -> None:
    b = ProgramBuilder()
    ids, other = b.input("ids", TensorType((1, 2), "int64")), b.input("other", TensorType((2,), "int64"))
    turned = b.node("reshape", [ids], TensorType((2,), "int64"), shape=(2,))
    tables = [b.constant("t", np.zeros((rows, 3), np.float32)) for rows in (9, 5)]
    first = b.node("embedding", [ids, tables[0]], TensorType((1, 2, 3)))
    second = b.node("embedding", [turned, tables[1]], TensorType((2, 3)))
    real = b.node("cast", [other], TensorType((2,)))
    found = signature_of(b.build([first, second, real]), precision="fp32")
    assert found.inputs == (
        TensorSpec("ids", (1, 2), "int64", rows=5),
        TensorSpec("other", (2,), "int64"),
    )
    assert Signature.from_json(found.to_json()) == found
    assert found.to_json().count("rows") == 1, "where there is no table, files stay as they were"
