"""The card of the PyTorch Mobile target."""

from __future__ import annotations

from pocketpress.core.target import TargetSpec

_FLOAT = (
    "conv2d conv_transpose2d linear matmul add sub mul div minimum maximum pow clamp sigmoid tanh hardswish "
    "hardsigmoid leaky_relu elu gelu exp log sqrt rsqrt abs neg power step floor round sin cos prelu "
    "max_pool2d avg_pool2d mean softmax layer_norm concat reshape permute slice pad resize_nearest "
    "resize_bilinear embedding cast whole argmax gru lstm rnn"
)

SPEC = TargetSpec(
    name="pytorch-mobile",
    title="PyTorch Mobile (lite interpreter)",
    suffix=".ptl",
    package="pocketpress.targets.pytorch_mobile",
    requires=("torch",),
    groups=("android", "ios"),
    precisions=("fp32",),
    float_ops=frozenset(_FLOAT.split()),
    integer_ops=frozenset(),
    remarks={
        "quantize": "fp32 only: the runtime is no longer developed; use executorch for int8",
    },
)
