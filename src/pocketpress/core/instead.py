"""What to replace an operator by that no target has."""

from __future__ import annotations

_OUTSIDE = "let the network end before it and compute it from the outputs"
_RECURRENT = "unroll it over a fixed number of steps, or use 1-D convolutions or attention"
_NMS = "let the network end with boxes and scores; pocketpress.data.detection keeps the best boxes"
_COMPILED = "it is a program compiled for one chip: give the file from before that compiler"
_POOL_3D = "pool depth and image one after the other by reshaping, or use a 2-D network"
_CONTROL = "trace the network for one branch: torch.where, or a fixed number of repetitions"

INSTEAD: dict[str, str] = {
    "thresholdedrelu": "nn.ReLU",
    "custom edgetpu-custom-op": _COMPILED,
    "custom ethos-u": _COMPILED,
    "indexput": "torch.cat of the parts",
    "scatter": "torch.cat of the parts, or a product with a mask",
    "scatterelements": "torch.cat of the parts, or a product with a mask",
    "scatternd": "torch.cat of the parts, or a product with a mask",
    "topk": _OUTSIDE,
    "sort": _OUTSIDE,
    "argsort": _OUTSIDE,
    "nonzero": _OUTSIDE,
    "unique": _OUTSIDE,
    "nms": _NMS,
    "nonmaxsuppression": _NMS,
    "nonmaxsuppressionv4": _NMS,
    "nonmaxsuppressionv5": _NMS,
    "roialign": "predict at every place of the feature map (FCOS, CenterNet), or crop outside the network",
    "maxunpool2d": "nn.Upsample(mode='nearest') or nn.ConvTranspose2d",
    "maxroipool": "predict at every place of the feature map, or crop outside the network",
    "gru": _RECURRENT,
    "lstm": _RECURRENT,
    "rnn": _RECURRENT,
    "unidirectionalsequencelstm": _RECURRENT,
    "if": _CONTROL,
    "loop": _CONTROL,
    "scan": _CONTROL,
    "while": _CONTROL,
    "conv3d": "a 2-D convolution over frames joined as channels",
    "convtranspose3d": "a 2-D one over frames joined as channels",
    "maxpool3d": _POOL_3D,
    "avgpool3d": _POOL_3D,
    "adaptiveavgpool3d": _POOL_3D,
    "adaptivemaxpool3d": _POOL_3D,
    "upsampletrilinear3d": "resize frame by frame",
    "localresponsenorm": "nn.BatchNorm2d",
    "lrn": "nn.BatchNorm2d",
    "dft": "a product with the constant matrix of the transform",
    "stft": "a strided 1-D convolution with the constant windows",
    "fftrfft": "a product with the constant matrix of the transform",
    "unfold": "a convolution",
    "im2col": "a convolution",
    "fold": "nn.PixelShuffle or a transposed convolution",
    "col2im": "nn.PixelShuffle or a transposed convolution",
    "cdist": "sums of squares and torch.matmul",
    "det": _OUTSIDE,
    "inverse": _OUTSIDE,
    "bernoulli": "draw random numbers outside and give them as an input",
    "randn": "draw random numbers outside and give them as an input",
    "rand": "draw random numbers outside and give them as an input",
    "randnlike": "draw random numbers outside and give them as an input",
    "randlike": "draw random numbers outside and give them as an input",
}
"""By the operator's name in small letters without underscores."""


def instead_of(op: str) -> str:
    """What to replace an operator by, or "": of ``aten::max_pool3d`` as of ``MaxPool3D``."""
    name = op.rpartition("::")[2].rpartition(".")[2].replace("_", "").lower()
    if name.startswith("custom flex"):
        return "end the network before it: it is an operator of TensorFlow itself"
    return INSTEAD.get(name, "")


_HARDSWISH = "nn.Hardswish: one table of 256 integers; fine-tune after it"

FLOAT_INSTEAD: dict[str, str] = {
    "gelu": f"{_HARDSWISH} (nn.GELU(approximate='tanh') is cheaper, and stays in float)",
    "layer_norm": "nn.BatchNorm, which is folded into the layer before it",
    "softmax": "end the network with the scores and take the softmax outside, if it is the last operator",
    "resize_bilinear": "nearest resizing, which moves integers, or a transposed convolution",
    "avg_pool2d": "kernel and stride without padding, or a strided convolution",
    "matmul": "leave executorch out, or a product with stored weights",
    "conv_transpose2d": "groups=1, or nearest resizing before a depthwise convolution",
    "div": "a product with a constant, or with a sigmoid gate",
    "exp": "sigmoid with a factor where the range is known (boxes: (2 sigmoid(t))^2), or decode outside",
    "log": "end the network before it",
    "sqrt": "end the network before it, or compare squares",
    "rsqrt": "nn.BatchNorm, whose factors are constants",
    "abs": "nn.ReLU of x and -x",
    "step": "a mask that the caller gives, or nn.ReLU and clamp of the difference",
    **dict.fromkeys(("floor", "round"), "leave rounding to what reads the output"),
    **dict.fromkeys(("sin", "cos"), "make it a buffer where it does not depend on the input"),
    "argmax": "let the network end with the scores: int8 codes are the cheapest to compare",
    "whole": "let the network end with real numbers",
    "neg": "the opposite sign in the weights of the layer before",
    "pow": "a product of x with itself",
    "power": "a constant exponent, or exp of a product where the base is positive",
    "prelu": "nn.LeakyReLU: one slope is a table of 256 integers",
    "minimum": "clamp, where one of the two is a constant",
    "maximum": "nn.ReLU or clamp, where one of the two is a constant",
    "concat": "outputs of their own, so that every one has its scale",
    "elu": "nn.Hardswish or nn.LeakyReLU",
    "pad": "the padding of the convolution behind it",
    "max_pool2d": "nn.ReLU before the pooling, no dilation",
    "resize_nearest": "a whole factor",
    "cast": "give the network real numbers",
    "embedding": "look up outside the network and give it the vectors",
}
"""By operator of the program: what would run in integers, on the fast path."""
