"""Data structures of the program.

A program is a list of nodes in execution order over named tensors.  A tensor whose type carries a
`Quantization` holds integers standing for ``real = scale * (q - zero_point)``; a node between such
tensors computes in integers as `docs/numerics.md` defines.  Shapes are static; images are NCHW
unless a pass says otherwise (`channels_last`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.program.state import State

INT8_MIN, INT8_MAX = -128, 127
DTYPES = ("float32", "float16", "int4", "int8", "uint8", "int16", "int32", "int64", "bool")
QUANTIZED_DTYPES = ("int4", "int8", "uint8", "int16", "int32")
STORED_AS = {"int4": "int8"}
"""NumPy has no 4-bit integers: such constants are held one to a byte and packed by the targets."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation ``real = scale * (q - zero_point)`` (LiteRT 8-bit specification, section 2).

    Attributes:
        scale: one float32-representable positive number per tensor, or one per channel.
        zero_point: the integer that stands for real 0 (always 0 when per channel).
        axis: the channel axis, or None for per-tensor.
        block: None, or the number of consecutive weights along the *other* of the first two axes that share
            a scale; ``scale`` then holds ``channels x blocks`` numbers, row by row.
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        rounded = tuple(float(np.float32(s)) for s in self.scale)
        if any(not np.isfinite(s) or s <= 0 for s in rounded):
            raise ValueError(f"Quantization.scale must be finite and positive in float32, got {self.scale}")
        if self.axis is None and len(rounded) != 1:
            raise ValueError(f"Quantization.axis is None but scale has {len(rounded)} entries")
        if self.axis is not None and self.zero_point != 0:
            raise ValueError(f"per-channel Quantization needs zero_point 0, got {self.zero_point}")
        if self.block is not None and (self.block < 1 or self.axis not in (0, 1)):
            raise ValueError(f"Quantization.block is {self.block} with axis {self.axis}; axis must be 0 or 1")
        object.__setattr__(self, "scale", rounded)

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> Quantization:
        """One scale and zero point for the whole tensor."""
        return cls((float(scale),), int(zero_point), None)

    @classmethod
    def per_channel(cls, scale: Iterable[float], axis: int) -> Quantization:
        """One symmetric scale per index of ``axis``."""
        return cls(tuple(float(s) for s in scale), 0, axis)

    @classmethod
    def blockwise(cls, scale: npt.ArrayLike, axis: int, block: int) -> Quantization:
        """One symmetric scale per channel and block: ``scale`` has shape (channels, blocks)."""
        return cls(tuple(float(s) for s in np.asarray(scale, np.float64).reshape(-1)), 0, axis, block)

    @property
    def step(self) -> np.float32:
        """The per-tensor scale as float32."""
        if self.axis is not None:
            raise ValueError("step is defined for per-tensor quantisation only")
        return np.float32(self.scale[0])

    def scales(self) -> npt.NDArray[np.float32]:
        """All scales as a float32 vector."""
        return np.asarray(self.scale, dtype=np.float32)

    def spread(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The scale of every element of a tensor of ``shape``, as an array that broadcasts against it."""
        if self.axis is None:
            return self.scales()
        if self.block is None:
            along = [1] * len(shape)
            along[self.axis] = -1
            return self.scales().reshape(along)
        other = 1 - self.axis
        blocks = self.scales().reshape(shape[self.axis], -1)
        full = np.repeat(blocks, self.block, axis=1)[:, : shape[other]]
        full = full if self.axis == 0 else full.T
        return full.reshape(full.shape + (1,) * (len(shape) - 2))


@dataclass(frozen=True)
class TensorType:
    """Shape, storage dtype and, for integers that stand for reals, the quantisation or the palette.

    Attributes:
        shape: static.
        dtype: one of `DTYPES`; "int4" for constants only.
        quant: integers stand for ``scale * (q - zero_point)``.
        palette: uint8 constants stand for ``palette[q]``, float32 numbers (a k-means codebook).
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    quant: Quantization | None = None
    palette: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"TensorType.dtype: got {self.dtype}; allowed: {', '.join(DTYPES)}")
        if self.quant is not None and self.dtype not in QUANTIZED_DTYPES:
            raise ValueError(f"TensorType.quant is set but dtype is {self.dtype}")
        if self.palette is not None:
            if self.dtype != "uint8" or self.quant is not None or not 1 <= len(self.palette) <= 256:
                raise ValueError("TensorType.palette needs dtype uint8, no quant and 1 to 256 entries")
            object.__setattr__(self, "palette", tuple(float(np.float32(v)) for v in self.palette))
        object.__setattr__(self, "shape", tuple(int(d) for d in self.shape))

    @property
    def is_quantized(self) -> bool:
        """Whether integers in this tensor stand for reals."""
        return self.quant is not None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1


@dataclass(frozen=True)
class Node:
    """One operator: ``op`` from `ops.OPS`, tensor names in and out, attributes, and the user's line."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))

    def with_attrs(self, **changes: Any) -> Node:
        """Return a copy with some attributes replaced."""
        return replace(self, attrs={**self.attrs, **changes})

    def renamed(self, names: Mapping[str, str]) -> Node:
        """Return a copy whose tensors are renamed by ``names`` (missing names stay)."""
        return replace(
            self,
            inputs=tuple(names.get(n, n) for n in self.inputs),
            outputs=tuple(names.get(n, n) for n in self.outputs),
        )


@dataclass(frozen=True)
class Program:
    """A whole network.

    Attributes:
        inputs: names of the tensors the caller gives, in order.
        outputs: names of the tensors the caller gets, in order.
        types: the type of every tensor, constants included.
        constants: weights and biases, as stored (int8/int32 when quantised).
        nodes: operators in execution order.
        states: outputs that are inputs of the next call.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, Array]
    nodes: tuple[Node, ...]
    states: tuple[State, ...] = ()

    def type(self, name: str) -> TensorType:
        """The type of tensor ``name``."""
        return self.types[name]

    def is_constant(self, name: str) -> bool:
        """Whether ``name`` is a weight rather than an activation."""
        return name in self.constants

    def producers(self) -> dict[str, Node]:
        """Map each computed tensor to the node that computes it."""
        return {out: node for node in self.nodes for out in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Map each tensor to the nodes that read it."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    @property
    def given(self) -> tuple[str, ...]:
        """Inputs that are no states: what the caller gives at every call."""
        kept = {state.input for state in self.states}
        return tuple(name for name in self.inputs if name not in kept)

    @property
    def returned(self) -> tuple[str, ...]:
        """Outputs that are no states."""
        kept = {state.output for state in self.states}
        return tuple(name for name in self.outputs if name not in kept)

    @property
    def is_quantized(self) -> bool:
        """Whether any activation is held in integers."""
        return any(t.quant is not None for n, t in self.types.items() if n not in self.constants)

    def prefix(self, outputs: Iterable[str]) -> Program:
        """The part of the program that computes ``outputs`` (dead code removed)."""
        wanted = tuple(outputs)
        needed, kept = set(wanted), []
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                kept.append(node)
                needed |= set(node.inputs)
        nodes = tuple(reversed(kept))
        live = needed | set(self.inputs) | {n for node in nodes for n in node.outputs}
        return Program(
            inputs=self.inputs,
            outputs=wanted,
            types={n: t for n, t in self.types.items() if n in live},
            constants={n: c for n, c in self.constants.items() if n in live},
            nodes=nodes,
            states=tuple(s for s in self.states if s.output in wanted),
        )
