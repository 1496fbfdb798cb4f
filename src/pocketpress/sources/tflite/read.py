"""Read a TFLite file within limits: what it says, trusting no offset, count or size in it.

The flatbuffer is read lazily through the schema's accessors, so that tables which point at one another
(a few bytes can describe an exponential number of them) cost nothing; what is unpacked is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import MissingExtraError, PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.tflite.options import options_of

IDENTIFIER = b"TFL3"
MIN_BYTES, MAX_BYTES = 16, 2 << 30
MAX_OPERATORS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_PORTS = 1 << 20
"""Inputs and outputs of all operators together."""
MAX_NAME_BYTES = 1 << 26
"""Length of all names together."""
MAX_RANK = 8
MALFORMED = (
    struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError, AttributeError,
    RecursionError, KeyError,
)  # fmt: skip
"""What the accessors raise on bytes that are no flatbuffer."""
KEPT = "it keeps state between runs"
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FileTensor:
    """A tensor as the file describes it.

    Attributes:
        name: printable.
        kind: element type, as ``FLOAT32``.
        shape: sizes; -1 where the file leaves one open.
        data: bytes of a constant; None when it is computed or given.
        scale: empty when the integers stand for themselves.
        zero_point: one number per scale.
        axis: of the scales, when there are several.
        refusal: why it cannot be read, or "".
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    data: Bytes | None
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int = 0
    refusal: str = ""


@dataclass(frozen=True)
class FileOperator:
    """An operator as the file describes it; an input is -1 where it is left out."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class FileState:
    """A state.

    Attributes:
        input: tensor that takes it.
        output: tensor of its next value.
        initial: a constant; None for zeros.
    """

    input: int
    output: int
    initial: FileTensor | None = None


@dataclass(frozen=True)
class FileGraph:
    """The network of a file.

    Attributes:
        tensors: all of them.
        operators: in order.
        inputs: name and tensor, in order.
        outputs: name and tensor, in order.
        unread: names of further signatures.
        initial: what the file writes into its variables before the first run, by their names.
        states: what a run leaves for the next.
    """

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    unread: tuple[str, ...]
    initial: Mapping[str, FileTensor] = field(default_factory=dict)
    states: tuple[FileState, ...] = ()


def read_file(path: Path) -> FileGraph:
    """Parse and check a file.

    Raises:
        SourceError: no such file, too large, another format, truncated or malformed.
        UnsupportedError: parts of the format that are not supported.
        MissingExtraError: the LiteRT package is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "TFLite files need ai-edge-litert", next_step="run: pip install 'pocketpress[tflite]'"
        ) from error
    content = _content(path)
    try:
        return _Reader(schema, content).graph()
    except PocketpressError:
        raise
    except MALFORMED as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SourceError(f"{path} is not a readable TFLite file", got=line) from error


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise SourceError("no such file", got=path)
    size = path.stat().st_size
    if not MIN_BYTES <= size <= MAX_BYTES:
        raise SourceError(f"{path} is no TFLite file", got=f"{size} bytes", allowed=f"up to {MAX_BYTES}")
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise SourceError(f"{path} is no TFLite file", got=content[4:8], allowed=IDENTIFIER)
    return content


class _Reader:
    """One file; counts what it unpacks."""

    def __init__(self, schema: Any, content: bytes) -> None:
        self.schema, self.content = schema, content
        self.model = schema.Model.GetRootAs(content, 0)
        self.kinds = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self.codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self.name_bytes = 0
        self.ports = 0

    def graph(self) -> FileGraph:
        """The subgraph of the first signature, or the first."""
        signatures = self._list(self.model.SignatureDefsLength(), self.model.SignatureDefs, MAX_TENSORS)
        index = signatures[0].SubgraphIndex() if signatures else 0
        if not 0 <= index < self.model.SubgraphsLength():
            raise SourceError("the file has no network", got=f"subgraph {index}")
        graph = self.model.Subgraphs(index)
        tensors, operators = self._contents(graph)
        inputs = self._indices(graph.InputsAsNumpy(), len(tensors))
        outputs = self._indices(graph.OutputsAsNumpy(), len(tensors))
        given, asked = {}, {}
        if signatures:
            given = self._named(signatures[0].InputsLength(), signatures[0].Inputs)
            asked = self._named(signatures[0].OutputsLength(), signatures[0].Outputs)
        return FileGraph(
            tensors,
            operators,
            tuple((given.get(i, tensors[i].name), i) for i in inputs),
            tuple((asked.get(i, tensors[i].name), i) for i in outputs),
            tuple(self._text(s.SignatureKey()) for s in signatures[1:]),
            self._initial(operators),
        )

    def _contents(self, graph: Any) -> tuple[tuple[FileTensor, ...], tuple[FileOperator, ...]]:
        tensors = tuple(map(self._tensor, self._list(graph.TensorsLength(), graph.Tensors, MAX_TENSORS)))
        operators = self._list(graph.OperatorsLength(), graph.Operators, MAX_OPERATORS)
        return tensors, tuple(self._operator(operator, len(tensors)) for operator in operators)

    def _initial(self, operators: Sequence[FileOperator]) -> dict[str, FileTensor]:
        """Constants that subgraphs of ``CALL_ONCE`` write into variables."""
        found: dict[str, FileTensor] = {}
        called = {int(o.attributes["initSubgraphIndex"]) for o in operators if o.op == "CALL_ONCE"}
        for index in sorted(called):
            if not 0 < index < self.model.SubgraphsLength():
                raise SourceError("the file has no such network", got=f"subgraph {index}")
            tensors, inner = self._contents(self.model.Subgraphs(index))
            names = {o.outputs[0]: str(o.attributes["sharedName"]) for o in inner if o.op == "VAR_HANDLE"}
            for operator in inner:
                if operator.op == "VAR_HANDLE":
                    continue
                if operator.op != "ASSIGN_VARIABLE" or tensors[operator.inputs[1]].data is None:
                    raise UnsupportedError(
                        "the first value of a variable is computed", got=operator.op, allowed="a constant"
                    )
                found[names[operator.inputs[0]]] = tensors[operator.inputs[1]]
        return found

    def _list(self, count: int, item: Callable[[int], Any], most: int) -> list[Any]:
        if count > min(most, len(self.content) // 4):
            raise SourceError("the file is damaged", got=f"a list of {count}", allowed=f"at most {most}")
        return [item(i) for i in range(count)]

    def _text(self, value: bytes | None) -> str:
        raw = value or b""
        self.name_bytes += len(raw)
        if self.name_bytes > MAX_NAME_BYTES:
            raise SourceError("the file is damaged", got="endless names", allowed=f"{MAX_NAME_BYTES} bytes")
        return "".join(c if c.isprintable() else "?" for c in raw.decode(errors="replace"))

    def _named(self, count: int, item: Callable[[int], Any]) -> dict[int, str]:
        """Names of a signature by tensor."""
        maps = self._list(count, item, MAX_TENSORS)
        return {int(m.TensorIndex()): self._text(m.Name()) for m in maps if m.Name()}

    def _indices(self, values: Any, tensors: int, *, least: int = 0) -> tuple[int, ...]:
        listed = tuple(int(v) for v in values) if isinstance(values, np.ndarray) else ()
        wrong = [v for v in listed if not least <= v < tensors]
        if wrong:
            raise SourceError("the file is damaged", got=f"tensor {wrong[0]}", allowed=f"{tensors} tensors")
        return listed

    def _operator(self, operator: Any, tensors: int) -> FileOperator:
        index = operator.OpcodeIndex()
        if not 0 <= index < self.model.OperatorCodesLength():
            raise SourceError("the file is damaged", got=f"operator code {index}")
        code = self.model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        op = self.codes.get(number, f"operator {number}")
        if op == "CUSTOM":
            op = f"custom {self._text(code.CustomCode())[:60]}".strip()
        self.ports += operator.InputsLength() + operator.OutputsLength()
        if self.ports > MAX_PORTS:
            raise SourceError("the file is damaged", got="endless operators", allowed=f"{MAX_PORTS} inputs")
        return FileOperator(
            op,
            self._indices(operator.InputsAsNumpy(), tensors, least=-1),
            self._indices(operator.OutputsAsNumpy(), tensors),
            options_of(self.schema, op, operator),
        )

    def _tensor(self, tensor: Any) -> FileTensor:
        name = self._text(tensor.Name())
        shape = self._shape(tensor.ShapeAsNumpy(), name)
        signature = self._shape(tensor.ShapeSignatureAsNumpy(), name)
        if len(signature) == len(shape):
            shape = tuple(-1 if s == -1 else d for s, d in zip(signature, shape, strict=True))
        kind = self.kinds.get(tensor.Type(), f"type {tensor.Type()}")
        scale, zero_point, axis = self._quantization(tensor.Quantization(), shape, name)
        data = self._data(tensor.Buffer(), name)
        return FileTensor(name, kind, shape, data, scale, zero_point, axis, _refusal(tensor))

    def _shape(self, sizes: Any, name: str) -> tuple[int, ...]:
        listed = sizes[: MAX_RANK + 1].tolist() if isinstance(sizes, np.ndarray) else []
        if len(listed) > MAX_RANK or any(size < -1 for size in listed):
            raise SourceError(f"tensor {name} has no possible shape", got=listed, allowed=f"rank {MAX_RANK}")
        return tuple(listed)

    def _data(self, index: int, name: str) -> Bytes | None:
        """Bytes of a buffer: inside the flatbuffer, or behind it in files of several gigabytes."""
        if not 0 <= index < max(1, self.model.BuffersLength()):
            raise SourceError(f"tensor {name} reads a buffer that is not there", got=index)
        if index == 0:
            return None
        buffer = self.model.Buffers(index)
        offset, size = buffer.Offset(), buffer.Size()
        if offset > 1:
            if offset + size > len(self.content):
                raise SourceError(f"the data of tensor {name} lies outside the file", got=offset + size)
            return np.frombuffer(self.content, np.uint8, size, offset)
        data = buffer.DataAsNumpy()
        return data if isinstance(data, np.ndarray) and data.size else None

    def _quantization(
        self, quantization: Any, shape: Sequence[int], name: str
    ) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        if quantization is None or quantization.ScaleLength() == 0:
            return (), (), 0
        count, axis = quantization.ScaleLength(), quantization.QuantizedDimension()
        axis = 0 if len(shape) == 1 else axis  # early converters wrote the weight's axis beside a bias
        if count > 1 and not (0 <= axis < len(shape) and shape[axis] == count):
            raise SourceError(
                f"scales of tensor {name} do not fit", got=count, allowed=f"axis {axis} of {shape}"
            )
        scale = quantization.ScaleAsNumpy()
        zero_point = quantization.ZeroPointAsNumpy()
        if not (np.isfinite(scale) & (scale >= 0)).all():
            raise SourceError(f"a scale of tensor {name} is not a positive number")
        if not isinstance(zero_point, np.ndarray):
            zero_point = np.zeros(count, np.int64)
        if zero_point.size not in (1, count) or (np.abs(zero_point) >= 1 << 31).any():
            raise SourceError(f"zero points of tensor {name} do not fit", got=zero_point.size, allowed=count)
        zeros = np.broadcast_to(zero_point, (count,))
        return tuple(map(float, scale)), tuple(map(int, zeros)), axis


def _refusal(tensor: Any) -> str:
    quantization = tensor.Quantization()
    if tensor.IsVariable():
        return KEPT
    if tensor.Sparsity() is not None:
        return "it is stored sparsely"
    if quantization is not None and quantization.DetailsType() != 0:
        return "its scales are per block"
    if getattr(tensor, "ExternalBuffer", lambda: 0)():
        return "its data lies in another file"
    return ""


def check_readable(tensor: FileTensor) -> None:
    """Refuse what is not supported about a tensor that is needed.

    Raises:
        UnsupportedError: it is sparse, scaled per block, kept between runs, or elsewhere.
    """
    if tensor.refusal:
        raise UnsupportedError(f"tensor {tensor.name} is not supported", got=tensor.refusal)
