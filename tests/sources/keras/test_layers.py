"""Layers, one small network each: the same numbers as Keras, through both kinds of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.graph.same import ops
from tests.sources.keras.models import computed, feeds_of, keras, layers, randomised, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.graph.simplify import simplify
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret, interpret_node


def chain(shape: tuple[int, ...], *steps: Any) -> Any:
    return keras.Sequential([layers.Input(shape), *steps])


def joined(shape: tuple[int, ...], function: Callable[[Any], Any]) -> Any:
    given = layers.Input(shape)
    return keras.Model(given, function(given))


def block(x: Any) -> Any:
    """An inverted residual, as in MobileNetV2."""
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(x)))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    return layers.Add()([layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(y)), x])


def gated(x: Any) -> Any:
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(4, 1, activation="hard_sigmoid")(layers.Conv2D(2, 1, activation="relu")(y))
    return layers.Conv2D(3, 1)(layers.Multiply()([x, y]))


def attention(x: Any) -> Any:
    x = layers.LayerNormalization()(layers.Add()([layers.MultiHeadAttention(2, 4)(x, x), x]))
    return layers.GlobalAveragePooling1D()(layers.Dense(5, activation="gelu")(x))


def shared(x: Any) -> Any:
    inner = chain((8, 8, 4), layers.Conv2D(4, 3, padding="same"), layers.ReLU())
    return inner(inner(x))


I4 = (8, 8, 4)
CASES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "residual": (lambda: joined(I4, block), ["permute", "conv2d", "conv2d", "conv2d", "permute", "add"]),
    "separable": (
        lambda: chain(
            I4, layers.SeparableConv2D(3, 3, strides=2, padding="same"), layers.GlobalMaxPooling2D()
        ),
        ["permute", "conv2d", "conv2d", "max_pool2d", "reshape"],
    ),
    "transposed": (
        lambda: chain(I4, layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu")),
        ["permute", "conv_transpose2d", "slice", "permute"],
    ),
    "nearest": (
        lambda: chain(I4, layers.Conv2D(3, 1), layers.UpSampling2D(2)),
        ["permute", "conv2d", "resize_nearest", "permute"],
    ),
    "bilinear": (
        lambda: chain(I4, layers.UpSampling2D((2, 3), interpolation="bilinear")),
        ["permute", "resize_bilinear", "permute"],
    ),
    "flatten": (
        lambda: chain(I4, layers.Conv2D(3, 3), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(2)),
        ["permute", "conv2d", "max_pool2d", "reshape", "linear"],
    ),
    "padded": (
        lambda: chain(I4, layers.ZeroPadding2D(1), layers.Conv2D(3, 3, strides=2, activation="silu")),
        ["permute", "conv2d", "sigmoid", "mul", "permute"],
    ),
    "maximum of the same size": (
        lambda: chain((7, 8, 2), layers.MaxPooling2D(3, 2, padding="same")),
        ["permute", "max_pool2d", "permute"],
    ),
    "gate": (
        lambda: joined(I4, gated),
        ["permute", "mean", "reshape", "conv2d", "conv2d", "hardsigmoid", "mul", "conv2d", "permute"],
    ),
    "preprocessing": (
        lambda: chain(
            I4,
            layers.Rescaling(1 / 255, -0.5),
            layers.Normalization(mean=[0.1] * 4, variance=[2.0] * 4),
            layers.RandomFlip(),
            layers.Conv2D(3, 3),
            layers.Dropout(0.5),
        ),
        ["permute", "mul", "add", "conv2d", "permute"],
    ),
    "dense on images": (
        lambda: chain(I4, layers.Conv2D(3, 3), layers.LayerNormalization(), layers.Dense(2)),
        ["permute", "conv2d", "permute", "layer_norm", "linear"],
    ),
    "softmax": (
        lambda: chain(I4, layers.Conv2D(3, 1), layers.Softmax()),
        ["permute", "conv2d", "permute", "softmax"],
    ),
    "leaky": (
        lambda: chain(I4, layers.Conv2D(3, 1), layers.LeakyReLU(), layers.ELU(), layers.Cropping2D(1)),
        ["permute", "conv2d", "leaky_relu", "elu", "slice", "permute"],
    ),
    "sequence": (
        lambda: chain(
            (9, 3),
            layers.Conv1D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.AveragePooling1D(2),
            layers.Flatten(),
            layers.Dense(2),
        ),
        ["permute", "reshape", "conv2d", "max_pool2d", "avg_pool2d", "reshape", "linear"],
    ),
    "channels first": (
        lambda: chain(
            (3, 8, 8),
            layers.Conv2D(4, 3, padding="same", data_format="channels_first"),
            layers.AveragePooling2D(2, data_format="channels_first"),
            layers.GlobalAveragePooling2D(data_format="channels_first"),
        ),
        ["conv2d", "avg_pool2d", "mean"],
    ),
    "shared": (lambda: joined(I4, shared), ["permute", "conv2d", "conv2d", "permute"]),
}


def program_of(path: Path) -> Program:
    return simplify(load_source(str(path)).program, interpret_node)


def check(folder: Path, model: Any, name: str) -> Program:
    program = program_of(saved(folder, model, name))
    feeds = feeds_of(model)
    got = interpret(program, dict(zip(program.inputs, feeds, strict=True)))
    for output, wanted in zip(program.outputs, computed(model, *feeds), strict=True):
        np.testing.assert_allclose(got[output], wanted, rtol=1e-4, atol=1e-5)
    return program


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_keras_in_the_operators_of_pytorch(name: str, tmp_path: Path) -> None:
    build, wanted = CASES[name]
    assert ops(check(tmp_path, randomised(build()), "net.keras")) == wanted


@pytest.mark.parametrize("name", ["residual", "flatten", "shared"])
def test_whole_model_hdf5_reads_the_same(name: str, tmp_path: Path) -> None:
    build, wanted = CASES[name]
    assert ops(check(tmp_path, randomised(build()), "net.h5")) == wanted


def test_attention_exports(tmp_path: Path) -> None:
    found = ops(check(tmp_path, randomised(joined((6, 8), attention)), "net.keras"))
    assert found.count("matmul") == 2 and found.count("linear") == 5


def test_operations_without_layers(tmp_path: Path) -> None:
    model = randomised(joined(I4, lambda x: keras.ops.relu(layers.Conv2D(4, 1)(x) * 2.0 + x)))
    assert ops(check(tmp_path, model, "net.keras")) == ["permute", "conv2d", "permute", "add"]


def test_a_mean_of_the_same_size_counts_the_pixels_there_are(tmp_path: Path) -> None:
    """Width 3 in windows of 2: (1 + 2) / 2, and 3 alone.  Keras' torch backend agrees here and not below."""
    model = chain((1, 3, 1), layers.AveragePooling2D((1, 2), padding="same"))
    program = program_of(saved(tmp_path, model))
    (found,) = interpret(program, {program.inputs[0]: np.float32([[[[1], [2], [3]]]])}).values()
    np.testing.assert_allclose(found.reshape(-1), [1.5, 3.0])


def test_a_mean_with_a_wide_border_is_that_of_tensorflow(tmp_path: Path) -> None:
    """Width 4 in windows of 4, steps of 1: padding 1 and 2, so sums over 3, 4, 3, 2 pixels.

    Keras' torch backend repeats the border instead: (1 + 1 + 2 + 3) / 4 in front.
    """
    model = chain((1, 4, 1), layers.AveragePooling2D((1, 4), strides=1, padding="same"))
    program = program_of(saved(tmp_path, model))
    (found,) = interpret(program, {program.inputs[0]: np.float32([[[[1], [2], [3], [4]]]])}).values()
    np.testing.assert_allclose(found.reshape(-1), [2.0, 2.5, 3.0, 3.5])


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_an_embedding_takes_whole_numbers(dtype: str, tmp_path: Path) -> None:
    """A mean leaves masked steps out; an input that an embedding alone reads is whole, whatever it says."""
    model = randomised(
        keras.Sequential(
            [
                layers.Input((6,), dtype=dtype, name="words"),
                layers.Embedding(9, 4, mask_zero=True),
                layers.GlobalAveragePooling1D(),
                layers.Dense(2),
            ]
        )
    )
    words = np.array([[3, 8, 1, 7, 0, 0]])
    path = saved(tmp_path, model)
    wanted = computed(model, words.astype(dtype))[0]
    program = program_of(path)
    assert program.type("words").dtype == "int32"
    got = interpret(program, {"words": words.astype(np.int32)})
    np.testing.assert_allclose(got[program.outputs[0]], wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_at_every_step(tmp_path: Path) -> None:
    inner = chain((6, 6, 2), layers.Conv2D(3, 3), layers.GlobalMaxPooling2D())
    model = chain((4, 6, 6, 2), layers.TimeDistributed(inner), layers.TimeDistributed(layers.Dense(2)))
    found = ops(check(tmp_path, randomised(model), "net.keras"))
    assert found.count("conv2d") == found.count("linear") == 1


def test_a_layer_at_every_step_takes_no_mask(tmp_path: Path) -> None:
    steps = (layers.Masking(), layers.TimeDistributed(layers.LayerNormalization(name="norm"), name="each"))
    with pytest.raises(UnsupportedError, match=r"layer each \(TimeDistributed\) in a network with masks"):
        load_source(str(saved(tmp_path, chain((4, 2), *steps))))


def test_activations_by_name(tmp_path: Path) -> None:
    names = ("selu", "softplus", "mish", "softsign", "log_sigmoid", "celu", "squareplus", "soft_shrink")
    check(
        tmp_path,
        randomised(
            joined((5,), lambda x: layers.Concatenate()([layers.Dense(3, activation=n)(x) for n in names]))
        ),
        "net.keras",
    )


def test_other_recurrent_layers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="got ConvLSTM1D; use GRU, LSTM"):
        load_source(str(saved(tmp_path, chain((5, 6, 3), layers.ConvLSTM1D(4, 3)))))


def test_an_operator_that_no_runtime_has_names_its_layer(tmp_path: Path) -> None:
    ids = keras.Input((4,), dtype="int32")
    model = keras.Model(ids, layers.Add(name="strange")([ids, ids]))
    with pytest.raises(UnsupportedError, match=r"^node strange \(Add\): output .* beyond 2\^24"):
        load_source(str(saved(tmp_path, model)))
