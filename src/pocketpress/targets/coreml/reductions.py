"""Pooling, means, softmax and normalisation."""

from __future__ import annotations

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Node
from pocketpress.targets.coreml.emission import Emission, Handler
from pocketpress.targets.coreml.graph import Constant, Value


def max_pool2d(e: Emission, node: Node) -> Value:
    """``max_pool``; padding never wins.

    Raises:
        UnsupportedError: dilated windows, which Core ML lacks.
    """
    if tuple(node.attrs["dilation"]) != (1, 1):
        raise UnsupportedError(
            "Core ML has no dilated max_pool2d", got=node.attrs["dilation"], allowed="(1, 1)"
        )
    return e.graph.op("max_pool", e.shape(node), x=e.x(node), **_window(node))


def avg_pool2d(e: Emission, node: Node) -> Value:
    """``avg_pool``."""
    without = not node.attrs["count_include_pad"]
    window = _window(node)
    return e.graph.op("avg_pool", e.shape(node), x=e.x(node), exclude_padding_from_average=without, **window)


def _window(node: Node) -> dict[str, Constant]:
    top, left, bottom, right = node.attrs["pads"]
    return {
        "kernel_sizes": [*node.attrs["kernel"]],
        "strides": [*node.attrs["stride"]],
        "pad_type": "custom",
        "pad": [top, bottom, left, right],
        "ceil_mode": False,
    }


def mean(e: Emission, node: Node) -> Value:
    """``reduce_mean``."""
    keep = bool(node.attrs["keepdims"])
    return e.graph.op("reduce_mean", e.shape(node), x=e.x(node), axes=[*node.attrs["axes"]], keep_dims=keep)


def argmax(e: Emission, node: Node) -> Value:
    """``reduce_argmax``, then ``cast``."""
    axis, keep = int(node.attrs["axis"]), bool(node.attrs["keepdims"])
    places = e.graph.op("reduce_argmax", e.shape(node), "int32", x=e.x(node), axis=axis, keep_dims=keep)
    return e.graph.op("cast", e.shape(node), x=places, dtype="fp32")


def softmax(e: Emission, node: Node) -> Value:
    """``softmax``."""
    return e.graph.op("softmax", e.shape(node), x=e.x(node), axis=int(node.attrs["axis"]))


def layer_norm(e: Emission, node: Node) -> Value:
    """``layer_norm`` with the weights it was trained with."""
    return e.graph.op(
        "layer_norm",
        e.shape(node),
        x=e.x(node),
        axes=[*node.attrs["axes"]],
        gamma=e.x(node, 1),
        beta=e.x(node, 2),
        epsilon=float(node.attrs["eps"]),
    )


HANDLERS: dict[str, Handler] = {
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "mean": mean,
    "argmax": argmax,
    "softmax": softmax,
    "layer_norm": layer_norm,
}
