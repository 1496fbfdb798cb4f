"""Configurations of untrusted files: named by our tables or refused; nothing they name is imported."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.sources.keras.models import KERAS2

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.keras import config as limits
from pocketpress.sources.keras.config import read_config
from pocketpress.sources.keras.repairs import UNSET, repaired

MIXED = {"class_name": "Policy", "config": {"name": "mixed_float16"}}


def network(*layers: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": "it", **config}}


def read(found: Any) -> dict[str, Any]:
    return read_config(json.dumps(found), "net.keras")


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("DepthwiseConv2D", {"groups": 1, "filters": None, "kernel_initializer": {}}, {}),
        ("DepthwiseConv2D", {"groups": 2}, {"groups": 2}),
        ("DepthwiseConv2D", {"groups": True}, {"groups": True}),
        ("SeparableConv2D", {"groups": 1, "kernel_regularizer": None, "kernel_constraint": None}, {}),
        ("Conv2DTranspose", {"groups": 1, "output_padding": None}, {"output_padding": None}),
        ("Conv2D", {"groups": 1}, {"groups": 1}),
        ("InputLayer", {"batch_input_shape": [None, 4], "ragged": False}, {"batch_shape": [None, 4]}),
        ("Dense", {"batch_input_shape": [None, 4]}, {"input_shape": [4]}),
        ("BatchNormalization", {"axis": [3], "fused": True, "renorm": False}, {"axis": 3}),
        ("LayerNormalization", {"axis": [1, 2], "rms_scaling": False}, {"axis": [1, 2]}),
        ("LayerNormalization", {"rms_scaling": True}, {"rms_scaling": True}),
        ("LeakyReLU", {"alpha": 0.1}, {"negative_slope": 0.1}),
        ("MultiHeadAttention", {"query_shape": [1], "key_shape": [1], "value_shape": [1]}, {}),
        ("Dense", {"kernel_regularizer": {"class_name": "L2", "config": {}}}, {"kernel_regularizer": None}),
        ("Dense", {"bias_initializer": "ones"}, {"bias_initializer": UNSET}),
        (
            "Dense",
            {"dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}},
            {"dtype": "float32"},
        ),
        ("InputLayer", {"dtype": "int32"}, {"dtype": "int32"}),
    ],
)
def test_repairs(kind: str, given: dict[str, Any], kept: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    assert repaired(kind, given) == kept and given == before


def test_modules_come_from_our_tables() -> None:
    relu = {"module": "builtins", "class_name": "function", "config": "relu"}
    dense = {
        **layer("Dense", activation=relu),
        "module": "keras.src.backend.elsewhere",
        "registered_name": None,
    }
    training = {"optimizer": {"class_name": "Evil"}}
    found = read({**network(dense), "module": "keras.src.engine.sequential", "compile_config": training})
    assert found["module"] == "keras" and "compile_config" not in found
    (kept,) = found["config"]["layers"]
    assert kept["module"] == "keras.layers" and kept["config"]["activation"] == "relu"


def test_what_older_versions_called_a_network() -> None:
    (old,) = read({"class_name": "Sequential", "config": [layer("Dense")]})["config"]["layers"]
    assert old["class_name"] == "Dense"
    for name in ("Functional", "Model"):
        found = read({**KERAS2, "class_name": name})
        assert (found["module"], found["class_name"]) == ("keras.src.models.functional", "Functional")


HOSTILE: dict[str, tuple[Any, str]] = {
    "lambda": (
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wE="}}),
        "got Lambda; it holds",
    ),
    "lambda inside": (layer("Dense", units={"class_name": "__lambda__", "config": {}}), "got __lambda__"),
    "tensorflow code": (
        layer("TFOpLambda", function="math.add"),
        "got TFOpLambda; it holds Python or TensorFlow",
    ),
    "pickle": (layer("TorchModuleWrapper", module="gASVAA=="), "got TorchModuleWrapper; it wraps"),
    "saved model": (layer("TFSMLayer", filepath="/etc"), "got TFSMLayer"),
    "vocabulary": (layer("StringLookup", vocabulary="/etc/passwd"), "got StringLookup"),
    "custom": ({**layer("Dense"), "registered_name": "mine>Dense"}, "got mine>Dense; it needs code"),
    "module os": ({**layer("system"), "module": "os"}, "got os.system; it needs code of its own"),
    "trap": ({**layer("Dense"), "module": "trap"}, "got trap.Dense"),
    "trap in keras' name": ({**layer("Dense"), "module": "keras_trap"}, "got keras_trap.Dense"),
    "function of os": (
        layer("Activation", activation={"module": "os", "class_name": "function", "config": "system"}),
        "got system",
    ),
    "activation": (layer("Activation", activation="eval"), "got eval; it is none of Keras' own"),
    "utility": ({**layer("get_file", origin="http://x"), "module": "keras.utils"}, "got get_file"),
    "operation": ({**layer("Map"), "module": "keras.src.ops.core"}, "operation that cannot be read: got Map"),
    "initial value": (
        layer("Dense", units={"class_name": "Constant", "module": "keras.initializers", "config": {}}),
        "got Constant",
    ),
    "typespec": (layer("Dense", units={"class_name": "__typespec__", "config": []}), "got __typespec__"),
    "objects": (
        layer("Dense", units={"class_name": "__numpy__", "config": {"value": [], "dtype": "O"}}),
        "not a number: got O",
    ),
    "no name": (
        layer("Dense", units={"class_name": ["Dense"], "config": {}}),
        "class name is not text: got list",
    ),
    "no config": ({"class_name": "Dense", "config": "x"}, "Dense has no configuration: got str"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_objects_are_refused_and_import_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trap in ("trap", "keras_trap"):
        (tmp_path / f"{trap}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found, said = HOSTILE[name]
    before = set(sys.modules)
    for wrapped in (network(found), network(layer("Dense", units=[{"deep": found}]))):
        with pytest.raises((SourceError, UnsupportedError)) as caught:
            read(wrapped)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not {m for m in set(sys.modules) - before if "trap" in m}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the configuration is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        (
            '{"class_name": "Sequential", "config": {"it": ' + "[" * 900 + "]" * 900 + "}}",
            "nested too deeply",
        ),
        ("[]", "holds no configuration of a network"),
        ('{"class_name": "MyModel", "config": {}}', "a class of its own: got MyModel; allowed: Functional"),
        ('{"class_name": ["Sequential"]}', "holds no configuration"),
    ],
)
def test_what_is_no_network(text: str, said: str) -> None:
    with pytest.raises((SourceError, UnsupportedError), match=said):
        read_config(text, "net.keras")


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_OBJECTS", 10)
    with pytest.raises(SourceError, match="too many objects; allowed: 10"):
        read(network(*[layer("ReLU")] * 11))
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    with pytest.raises(SourceError, match="the configuration is too large"):
        read_config("x" * 101, "net.keras")
