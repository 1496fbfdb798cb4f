"""One network as every file people arrive with: ``python -m benchmarks.sources.export KIND OUT``.

The network is the trained small MobileNetV2 of the examples.  ONNX and TFLite come from the exporters users
have; Keras is the same network written in Keras, with the same weights.  One kind a process: Keras wants its
back end chosen before it is imported.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from examples.cifar.networks import mobilenet_v2
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pocketpress.zoo.mobilenet_v2 import InvertedResidual

Tensors = tuple[torch.Tensor, ...]


def onnx(network: nn.Module, examples: Tensors, path: Path) -> None:
    """PyTorch's own exporter."""
    torch.onnx.export(network, examples, path, dynamo=True, external_data=False)


def tflite(network: nn.Module, examples: Tensors, path: Path) -> None:
    """The converter of LiteRT's makers."""
    import litert_torch

    litert_torch.convert(network, examples).export(str(path))


def keras(network: nn.Module, examples: Tensors, path: Path) -> None:
    """Channels last, as Keras networks are written."""
    os.environ["KERAS_BACKEND"] = "torch"
    from keras import Model, layers

    pixels = layers.Input((*examples[0].shape[2:], examples[0].shape[1]))
    features: Any = network.features
    values = _chain(features, pixels)
    values = layers.GlobalAveragePooling2D()(values)
    head: Any = network.classifier
    dense = layers.Dense(head.out_features)
    scores = dense(values)
    dense.set_weights([head.weight.detach().T.numpy(), head.bias.detach().numpy()])
    Model(pixels, scores).save(path)


def _chain(modules: nn.Module, values: Any) -> Any:
    for module in modules.children():
        values = _layer(module, values)
    return values


def _layer(module: nn.Module, values: Any) -> Any:
    from keras import layers

    if isinstance(module, InvertedResidual):
        found = _chain(module.block, values)
        return layers.Add()([values, found]) if module.adds_input else found
    if isinstance(module, nn.Conv2d):
        return _convolution(module, values)
    if isinstance(module, nn.BatchNorm2d):
        norm = layers.BatchNormalization(epsilon=module.eps)
        values = norm(values)
        state = (module.weight, module.bias, module.running_mean, module.running_var)
        norm.set_weights([tensor.detach().numpy() for tensor in state if tensor is not None])
        return values
    if isinstance(module, nn.Identity):
        return values
    if isinstance(module, nn.ReLU6):
        return layers.ReLU(6.0)(values)
    raise TypeError(f"no Keras layer for {type(module).__name__}")


def _convolution(module: nn.Conv2d, values: Any) -> Any:
    from keras import layers

    weight, bias = module.weight.detach().permute(2, 3, 1, 0), module.bias
    size, stride = module.kernel_size[0], module.stride[0]
    if stride > 1 and size > 1:  # "same" of Keras pads the other end than PyTorch does
        values = layers.ZeroPadding2D(size // 2)(values)
    padding = "valid" if stride > 1 and size > 1 else "same"
    if module.groups > 1:
        layer = layers.DepthwiseConv2D(size, stride, padding, use_bias=bias is not None)
        weight = weight.permute(0, 1, 3, 2)
    else:
        layer = layers.Conv2D(module.out_channels, size, stride, padding, use_bias=bias is not None)
    values = layer(values)
    layer.set_weights([weight.numpy()] if bias is None else [weight.numpy(), bias.detach().numpy()])
    return values


def folded() -> tuple[nn.Module, Tensors]:
    """The network with batch norm folded into its convolutions.

    Exporters fold it with roundings of their own, and one unit in the last place of a weight is enough to
    change integers; here all files hold the same numbers.
    """
    network, examples = mobilenet_v2()
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for place, (conv, norm) in enumerate(pairwise(list(module))):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[place], module[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network, examples


EXPORTS: dict[str, Callable[[nn.Module, Tensors, Path], None]] = {
    "onnx": onnx,
    "tflite": tflite,
    "keras": keras,
}


def main() -> None:
    """Parse and export."""
    parser = argparse.ArgumentParser(description="Export the small MobileNetV2.")
    parser.add_argument("kind", choices=EXPORTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folded", action="store_true", help="batch norm folded before the export")
    given = parser.parse_args()
    torch.manual_seed(0)
    network, examples = folded() if given.folded else mobilenet_v2()
    EXPORTS[given.kind](network, examples, given.out)


if __name__ == "__main__":
    main()
