"""A slow interpreter of saved ML programs, written from the operator documentation, for tests on any machine.

It reads the package from disk, so it sees exactly what Core ML would.  Every operation's declared type is
checked against what it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pocketpress.targets.coreml.audit import Loaded, load
from pocketpress.targets.coreml.package import read_model
from pocketpress.targets.coreml.protos import mil_messages


def run_package(path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by feature name, for inputs by feature name."""
    model = read_model(path)
    function = model.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    described = {f.name: tuple(f.type.multiArrayType.shape) for f in model.description.input}
    values: dict[str, Any] = {}
    for named in function.inputs:
        assert described[named.name] == _shape(named.type)
        values[named.name] = np.asarray(feeds[named.name], dtype=_dtype(named.type))
        assert values[named.name].shape == _shape(named.type)
    _run(block, load(path), values)
    assert [f.name for f in model.description.output] == list(block.outputs)
    return {name: values[name] for name in block.outputs}


def _run(block: Any, loaded: Loaded, values: dict[str, Any]) -> list[Any]:
    """Compute a block, whose inputs are in ``values``; adds what it computes, returns its outputs."""
    for operation in block.operations:
        if operation.type == "while_loop":
            results = _loop(operation, loaded, values)
        else:
            results = [_compute(operation, loaded, values)]
        for output, result in zip(operation.outputs, results, strict=True):
            assert output.name not in values, "names are assigned once"
            values[output.name] = _checked(operation, output, result)
    return [values[name] for name in block.outputs]


def _checked(operation: Any, output: Any, result: Any) -> Any:
    if isinstance(result, str):
        return result
    result = np.asarray(result)
    assert result.shape == _shape(output.type), (operation.type, output.name, result.shape)
    assert str(result.dtype) == _dtype(output.type), (operation.type, output.name, result.dtype)
    return result


def _loop(operation: Any, loaded: Loaded, values: Mapping[str, Any]) -> list[Any]:
    """Blocks see what stands before the loop; what they compute is gone after every round."""
    assert set(operation.inputs) == {"loop_vars"}
    condition, body = operation.blocks
    carried = [values[a.name] for a in operation.inputs["loop_vars"].arguments]
    for _ in range(10_000):
        (goes_on,) = _run(condition, loaded, _scope(condition, carried, values))
        assert goes_on.shape == () and goes_on.dtype == bool
        if not goes_on:
            return carried
        carried = _run(body, loaded, _scope(body, carried, values))
    raise AssertionError("the loop does not end")


def _scope(block: Any, carried: list[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    inner = dict(values)
    for named, value in zip(block.inputs, carried, strict=True):
        assert named.name not in inner, "names are assigned once"
        assert (np.shape(value), str(value.dtype)) == (_shape(named.type), _dtype(named.type))
        inner[named.name] = value
    return inner


def _scatter(data: Any, indices: Any, updates: Any, axis: Any, mode: str, validate_indices: Any) -> Any:
    assert int(axis) == 0 and mode == "update" and not bool(validate_indices)
    assert updates.shape == (len(indices), *data.shape[1:]) and indices.min() >= 0
    changed = data.copy()
    changed[indices] = updates
    return changed


def _shape(type_: Any) -> tuple[int, ...]:
    tensor = type_.tensorType
    assert tensor.rank == len(tensor.dimensions)
    return tuple(int(d.constant.size) for d in tensor.dimensions)


def _dtype(type_: Any) -> str:
    mil = mil_messages()
    names = {mil.FLOAT32: "float32", mil.FLOAT16: "float16", mil.INT8: "int8", mil.UINT8: "uint8"}
    return {**names, mil.INT32: "int32", mil.BOOL: "bool"}[type_.tensorType.dataType]


def _compute(operation: Any, loaded: Loaded, values: Mapping[str, Any]) -> Any:
    kind = operation.type
    assert loaded.attribute(operation, "name") == operation.outputs[0].name
    if kind == "const":
        return loaded.constants[operation.outputs[0].name]
    if kind == "constexpr_cast":
        return loaded.attribute(operation, "source_val").astype(np.float32)
    if kind == "constexpr_blockwise_shift_scale":
        return _blockwise(*(loaded.attribute(operation, k) for k in ("data", "scale", "offset")))
    if kind == "constexpr_lut_to_dense":
        return _looked_up(*(loaded.attribute(operation, k) for k in ("indices", "lut", "shape")))
    if kind == "constexpr_affine_dequantize":
        return _expand(
            *(loaded.attribute(operation, k) for k in ("quantized_data", "scale", "zero_point", "axis"))
        )
    given = {
        key: [values[a.name] for a in argument.arguments]
        if key == "values"
        else values[argument.arguments[0].name]
        for key, argument in operation.inputs.items()
    }
    return KERNELS[kind](**given)


def _expand(data: Any, scale: Any, zero_point: Any, axis: Any) -> Any:
    assert scale.shape == zero_point.shape and zero_point.dtype == data.dtype
    if scale.ndim:
        assert scale.shape == (data.shape[int(axis)],)
        along = [1] * data.ndim
        along[int(axis)] = -1
        scale, zero_point = scale.reshape(along), zero_point.reshape(along)
    return (data.astype(np.float32) - zero_point.astype(np.float32)) * scale


def _blockwise(data: Any, scale: Any, offset: Any) -> Any:
    """``scale[i // block] * (data[i] - offset[i // block])`` (iOS 18)."""
    assert scale.ndim == data.ndim and (offset is None or offset.shape == scale.shape)
    at = np.ix_(*(np.arange(n) // (n // g) for n, g in zip(data.shape, scale.shape, strict=True)))
    shifted = data.astype(np.float32) - (0 if offset is None else offset.astype(np.float32)[at])
    return scale[at] * shifted


def _looked_up(indices: Any, lut: Any, shape: Any) -> Any:
    """Of iOS 17 when ``shape`` is given (bit fields from the lowest bit of a byte on), else of iOS 18."""
    if shape is None:
        assert lut.shape[:-2] == (1,) * indices.ndim and lut.shape[-1] == 1
        return lut.reshape(-1)[indices]
    assert shape.dtype == np.uint32 and lut.ndim == 1 and lut.size in (2, 4, 16, 64, 256)
    bits, count = int(np.log2(lut.size)), int(np.prod(shape))
    assert indices.size == -(-bits * count // 8)
    whole = int.from_bytes(indices.tobytes(), "little")
    picked = [whole >> (bits * i) & (lut.size - 1) for i in range(count)]
    return lut[picked].reshape(shape)


def _quantize(input: Any, scale: Any, zero_point: Any, output_dtype: str) -> Any:
    info = np.iinfo(output_dtype)
    assert str(zero_point.dtype) == output_dtype and scale.ndim == 0
    return np.clip(np.rint(input / scale) + zero_point.astype(np.float32), info.min, info.max).astype(
        output_dtype
    )


def _dequantize(input: Any, scale: Any, zero_point: Any) -> Any:
    assert zero_point.dtype == input.dtype
    return (input.astype(np.float32) - zero_point.astype(np.float32)) * scale


def _t(value: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(value))


def _pads(pad_type: str, pad: Any) -> tuple[int, int, int, int]:
    assert pad_type == "custom"
    top, bottom, left, right = (int(p) for p in pad)
    return left, right, top, bottom


def _conv(
    x: Any, weight: Any, strides: Any, pad_type: str, pad: Any, dilations: Any, groups: Any, bias: Any = None
) -> Any:
    assert weight.dtype == x.dtype == np.float32
    padded = F.pad(_t(x), _pads(pad_type, pad))
    return F.conv2d(
        padded,
        _t(weight),
        None if bias is None else _t(bias),
        stride=tuple(strides.tolist()),
        dilation=tuple(dilations.tolist()),
        groups=int(groups),
    ).numpy()


def _conv_transpose(
    x: Any, weight: Any, strides: Any, pad_type: str, pad: Any, dilations: Any, groups: Any, bias: Any = None
) -> Any:
    assert dilations.tolist() == [1, 1]
    full = F.conv_transpose2d(
        _t(x),
        _t(weight),
        None if bias is None else _t(bias),
        stride=tuple(strides.tolist()),
        groups=int(groups),
    )
    left, right, top, bottom = _pads(pad_type, pad)
    assert min(left, right, top, bottom) >= 0
    return F.pad(full, (-left, -right, -top, -bottom)).numpy()


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    assert x.ndim <= 3 and weight.ndim == 2
    return F.linear(_t(x), _t(weight), None if bias is None else _t(bias)).numpy()


def _matmul(x: Any, y: Any, transpose_x: Any, transpose_y: Any) -> Any:
    a = _t(x).transpose(-1, -2) if bool(transpose_x) else _t(x)
    b = _t(y).transpose(-1, -2) if bool(transpose_y) else _t(y)
    return torch.matmul(a, b).numpy()


def _max_pool(x: Any, kernel_sizes: Any, strides: Any, pad_type: str, pad: Any, ceil_mode: Any) -> Any:
    assert not bool(ceil_mode)
    padded = F.pad(_t(x), _pads(pad_type, pad), value=-torch.inf)
    return F.max_pool2d(padded, tuple(kernel_sizes.tolist()), tuple(strides.tolist())).numpy()


def _avg_pool(
    x: Any,
    kernel_sizes: Any,
    strides: Any,
    pad_type: str,
    pad: Any,
    ceil_mode: Any,
    exclude_padding_from_average: Any,
) -> Any:
    assert not bool(ceil_mode)
    window = (tuple(kernel_sizes.tolist()), tuple(strides.tolist()))
    total = F.avg_pool2d(F.pad(_t(x), _pads(pad_type, pad)), *window)
    if not bool(exclude_padding_from_average):
        return total.numpy()
    inside = F.avg_pool2d(F.pad(torch.ones_like(_t(x)), _pads(pad_type, pad)), *window)
    return (total / inside).numpy()


def _prelu(x: Any, alpha: Any) -> Any:
    assert x.ndim >= 3 and alpha.shape == (x.shape[1],)
    return np.where(x > 0, x, x * alpha.reshape(1, -1, *[1] * (x.ndim - 2)))


def _slice(x: Any, begin: Any, end: Any, stride: Any) -> Any:
    return x[
        tuple(slice(b, e, s) for b, e, s in zip(begin.tolist(), end.tolist(), stride.tolist(), strict=True))
    ]


def _pad(x: Any, pad: Any, mode: str, constant_val: Any) -> Any:
    assert mode == "constant" and pad.size == 2 * x.ndim
    return np.pad(x, pad.reshape(-1, 2).tolist(), constant_values=constant_val)


def _resize_bilinear(x: Any, target_size_height: Any, target_size_width: Any, sampling_mode: str) -> Any:
    for axis, size in ((2, int(target_size_height)), (3, int(target_size_width))):
        x = _resampled(x, axis, size, sampling_mode)
    return x


def _resampled(x: Any, axis: int, size: int, mode: str) -> Any:
    """Linear interpolation at the grid points that the documentation gives."""
    held = x.shape[axis]
    if mode == "STRICT_ALIGN_CORNERS":
        grid = np.arange(size) * ((held - 1) / max(size - 1, 1))
    else:
        assert mode == "UNALIGN_CORNERS"
        spacing = held / size
        grid = np.clip(np.arange(size) * spacing + 0.5 * spacing - 0.5, 0, held - 1)
    low = np.floor(grid).astype(int)
    high = np.minimum(low + 1, held - 1)
    share = (grid - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def _gather(x: Any, indices: Any, axis: Any, batch_dims: Any, validate_indices: Any) -> Any:
    assert int(batch_dims) == 0 and not bool(validate_indices)
    return np.take(x, indices, axis=int(axis))


def _upsample(x: Any, scale_factor_height: Any, scale_factor_width: Any) -> Any:
    return x.repeat(int(scale_factor_height), axis=2).repeat(int(scale_factor_width), axis=3)


def _layer_norm(x: Any, axes: Any, gamma: Any, beta: Any, epsilon: Any) -> Any:
    assert [int(a) % x.ndim for a in axes] == list(range(x.ndim - gamma.ndim, x.ndim))
    return F.layer_norm(_t(x), gamma.shape, _t(gamma), _t(beta), float(epsilon)).numpy()


def _gelu(x: Any, mode: str) -> Any:
    return F.gelu(_t(x), approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode]).numpy()


def _sigmoid_hard(x: Any, alpha: Any, beta: Any) -> Any:
    return np.clip(x * alpha + beta, np.float32(0), np.float32(1))


KERNELS: dict[str, Any] = {
    "quantize": _quantize,
    "dequantize": _dequantize,
    "cast": lambda x, dtype: x.astype({"fp32": "float32"}.get(dtype, dtype)),
    "identity": lambda x: x,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": _matmul,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "minimum": lambda x, y: np.minimum(x, y),
    "maximum": lambda x, y: np.maximum(x, y),
    "pow": lambda x, y: np.power(x, y),
    "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "sigmoid": lambda x: torch.sigmoid(_t(x)).numpy(),
    "tanh": lambda x: torch.tanh(_t(x)).numpy(),
    "sigmoid_hard": _sigmoid_hard,
    "leaky_relu": lambda x, alpha: np.where(x > 0, x, x * alpha),
    "elu": lambda x, alpha: F.elu(_t(x), float(alpha)).numpy(),
    "gelu": _gelu,
    "exp": lambda x: np.exp(x),
    "floor": lambda x: np.floor(x),
    "round": lambda x: np.round(x),
    "sin": lambda x: np.sin(x),
    "cos": lambda x: np.cos(x),
    "reduce_argmax": lambda x, axis, keep_dims: np.argmax(x, int(axis), keepdims=bool(keep_dims)).astype(
        np.int32
    ),
    "log": lambda x, epsilon: np.log(x + epsilon),
    "sqrt": lambda x: np.sqrt(x),
    "rsqrt": lambda x, epsilon: 1 / np.sqrt(x + epsilon),
    "abs": lambda x: np.abs(x),
    "prelu": _prelu,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "reduce_mean": lambda x, axes, keep_dims: (
        _t(x).mean(tuple(axes.tolist()), keepdim=bool(keep_dims)).numpy()
    ),
    "softmax": lambda x, axis: torch.softmax(_t(x), int(axis)).numpy(),
    "layer_norm": _layer_norm,
    "concat": lambda values, axis, interleave: np.concatenate(values, int(axis)),
    "reshape": lambda x, shape: x.reshape(shape.tolist()),
    "transpose": lambda x, perm: np.transpose(x, perm.tolist()),
    "slice_by_index": _slice,
    "pad": _pad,
    "upsample_nearest_neighbor": _upsample,
    "gather": _gather,
    "scatter": _scatter,
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(axes.tolist())),
    "fill": lambda shape, value: np.full(shape.tolist(), value),
    "greater": lambda x, y: np.asarray(x > y),
    "less_equal": lambda x, y: np.asarray(x <= y),
    "greater_equal": lambda x, y: np.asarray(x >= y),
    "resize_bilinear": _resize_bilinear,
}
