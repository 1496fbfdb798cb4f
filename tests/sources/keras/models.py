"""Small Keras networks with random weights, as files."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pocketpress.sources.keras.backend import import_keras

keras = import_keras()
layers = keras.layers


def randomised(model: Any, seed: int = 0) -> Any:
    """All weights random, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed_generator" not in variable.path:
            value = rng.normal(0, 0.4, variable.shape)
            variable.assign(np.abs(value) + 0.5 if "variance" in variable.path else value)
    return model


def saved(folder: Path, model: Any, name: str = "net.keras") -> Path:
    path = folder / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def classifier(side: int = 8, channels: int = 6, classes: int = 4) -> Any:
    """Convolution, batch-norm, ReLU6, pooling and scores of an image of 3 channels."""
    image = layers.Input((side, side, 3), name="image")
    x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return randomised(keras.Model(image, layers.Dense(classes, name="scores")(x)))


def computed(model: Any, *feeds: np.ndarray) -> list[np.ndarray]:
    """What Keras itself computes."""
    found = model(list(feeds) if len(feeds) > 1 else feeds[0], training=False)
    return [value.detach().numpy() for value in keras.tree.flatten(found)]


def feeds_of(model: Any, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1, *t.shape[1:])).astype(np.float32) for t in model.inputs]


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Configuration and weights of a ``.keras`` file."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json")), archive.read("model.weights.h5")


def written(path: Path, config: Any, weights: bytes) -> Path:
    """A ``.keras`` file of any configuration."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return path


def hdf5(fill: Any) -> bytes:
    """An HDF5 file that ``fill(file)`` writes."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


def keras2(folder: Path) -> tuple[Path, Any]:
    """A whole-model HDF5 file as Keras 2.10 wrote it, and the same network in Keras 3."""
    model = keras.Sequential(
        [
            layers.Input((6, 6, 2), name="image"),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw"),
            layers.BatchNormalization(name="bn"),
            layers.LeakyReLU(negative_slope=0.1, name="leak"),
            layers.SeparableConv2D(3, 3, name="sep"),
            layers.Conv2DTranspose(2, 2, strides=2, name="up"),
            layers.GlobalAveragePooling2D(name="pool"),
        ]
    )
    path = saved(folder, randomised(model), "net.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(KERAS2)
        file.attrs["keras_version"] = "2.10.0"
    return path, model


def _layer(kind: str, name: str, before: str | None, **config: Any) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", **config}
    nodes = [] if before is None else [[[before, 0, 0, {}]]]
    return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}


_GLOROT = {"class_name": "GlorotUniform", "config": {"seed": None}}
_ONES, _ZEROS = ({"class_name": kind, "config": {}} for kind in ("Ones", "Zeros"))
_WINDOW = {"padding": "valid", "data_format": "channels_last", "activation": "linear", "use_bias": True}
_KERNEL = {"kernel_initializer": _GLOROT, "kernel_regularizer": None, "kernel_constraint": None}

KERAS2: dict[str, Any] = {
    "class_name": "Functional",
    "config": {
        "name": "net",
        "layers": [
            _layer(
                "InputLayer", "image", None, batch_input_shape=[None, 6, 6, 2], sparse=False, ragged=False
            ),
            _layer(
                "DepthwiseConv2D",
                "dw",
                "image",
                kernel_size=[3, 3],
                strides=[1, 1],
                dilation_rate=[1, 1],
                groups=1,
                depth_multiplier=1,
                depthwise_initializer=_GLOROT,
                depthwise_regularizer={"class_name": "L2", "config": {"l2": 1e-4}},
                **{**_WINDOW, "padding": "same", "use_bias": False},
            ),
            _layer(
                "BatchNormalization",
                "bn",
                "dw",
                axis=[3],
                momentum=0.99,
                epsilon=0.001,
                center=True,
                scale=True,
                beta_initializer=_ZEROS,
                gamma_initializer=_ONES,
                moving_mean_initializer=_ZEROS,
                moving_variance_initializer=_ONES,
                beta_regularizer=None,
                gamma_constraint=None,
            ),
            _layer("LeakyReLU", "leak", "bn", alpha=0.1),
            _layer(
                "SeparableConv2D",
                "sep",
                "leak",
                filters=3,
                kernel_size=[3, 3],
                strides=[1, 1],
                groups=1,
                dilation_rate=[1, 1],
                depth_multiplier=1,
                bias_initializer=_ZEROS,
                depthwise_initializer=_GLOROT,
                pointwise_initializer=_GLOROT,
                **_WINDOW,
                **_KERNEL,
            ),
            _layer(
                "Conv2DTranspose",
                "up",
                "sep",
                filters=2,
                kernel_size=[2, 2],
                strides=[2, 2],
                groups=1,
                dilation_rate=[1, 1],
                output_padding=None,
                bias_initializer=_ZEROS,
                **_WINDOW,
                **_KERNEL,
            ),
            _layer("GlobalAveragePooling2D", "pool", "up", data_format="channels_last", keepdims=False),
        ],
        "input_layers": [["image", 0, 0]],
        "output_layers": [["pool", 0, 0]],
    },
}
