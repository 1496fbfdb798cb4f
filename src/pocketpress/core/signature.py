"""Names, shapes and dtypes at the border of an artifact, embedded in every artifact as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pocketpress.core.errors import ArtifactError
from pocketpress.core.labels import Labels, check_labels
from pocketpress.core.program.exact import exact_outputs
from pocketpress.core.program.ir import Program, TensorType
from pocketpress.core.program.state import State

FORMAT = 1
MAX_JSON_BYTES = 1 << 20
MAX_TENSORS = 256
MAX_RANK = 8
MAX_ELEMENTS = 1 << 31


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input, declared once and saved with the artifact.

    Attributes:
        resize: shorter side in pixels before the crop, or None to resize straight to ``crop``.
        crop: (height, width) of the centre crop; None keeps the image's size.
        mean: per channel, in units of [0, 1] pixels.
        std: per channel, in units of [0, 1] pixels.
        layout: "nchw" or "nhwc" of the network's input.
        scale: factor that takes a 0-255 pixel to the range ``mean`` and ``std`` speak of.
    """

    resize: int | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: str = "nchw"
    scale: float = 1 / 255

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} entries and std {len(self.std)}")
        if any(not s > 0 for s in self.std):
            raise ValueError(f"std must be positive, got {self.std}")
        if self.layout not in ("nchw", "nhwc"):
            raise ValueError(f"layout: got {self.layout}; allowed: nchw, nhwc")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an artifact.

    Attributes:
        name: the name the caller uses.
        shape: static shape, batch included.
        dtype: dtype in the file; integers with ``scale`` stand for ``scale * (q - zero_point)``.
        scale: float32 step, or None when the file holds the values themselves.
        zero_point: the integer that stands for 0.
        grid_scale: step of the integer grid the values lie on even when the file holds floats
            (an int8 network with float borders), or None for a network computed in float.
        grid_zero_point: zero point of that grid.
        exact: float values that every runtime computes bit for bit (`core.program.exact`).
        rows: whole numbers from 0 to ``rows - 1``, the rows of a table; None for no such limit.
        labels: names of an output's classes, one per element of its axis of classes; None where they are
            not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0
    grid_scale: float | None = None
    grid_zero_point: int = 0
    exact: bool = False
    rows: int | None = None
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.labels is not None:
            check_labels(self.labels, self.shape)


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of an artifact, and how images become inputs.

    Attributes:
        inputs: of the artifact, in order, states included.
        outputs: of the artifact, in order, states included.
        preprocessing: how images become the input.
        precision: a name of `core.precision`.
        states: outputs that are inputs of the next call; both ends are stored alike.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None = None
    precision: str = "fp32"
    states: tuple[State, ...] = ()

    def __post_init__(self) -> None:
        for spec in self.inputs:
            if spec.labels is not None:
                raise ValueError(f"Signature.inputs: {spec.name} has labels, which outputs have")
        inputs = {spec.name: spec for spec in self.inputs}
        outputs = {spec.name: spec for spec in self.outputs}
        for state in self.states:
            taken, got = inputs.get(state.input), outputs.get(state.output)
            if taken is None or got is None or _stored_as(taken) != _stored_as(got):
                raise ValueError(f"Signature.states: {state.input} and {state.output} are not stored alike")

    @property
    def given(self) -> tuple[TensorSpec, ...]:
        """Inputs that are no states: what the caller gives at every step."""
        kept = {state.input for state in self.states}
        return tuple(spec for spec in self.inputs if spec.name not in kept)

    @property
    def returned(self) -> tuple[TensorSpec, ...]:
        """Outputs that are no states: what the caller gets at every step."""
        kept = {state.output for state in self.states}
        return tuple(spec for spec in self.outputs if spec.name not in kept)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Names of classes by output, of the outputs that have them."""
        return {spec.name: spec.labels for spec in self.outputs if spec.labels is not None}

    def with_labels(self, labels: Labels) -> Signature:
        """The same with these names of classes, and no others."""
        return replace(
            self, outputs=tuple(replace(spec, labels=labels.get(spec.name)) for spec in self.outputs)
        )

    def to_json(self) -> str:
        """Serialise to the JSON text that is embedded in artifacts."""
        described = asdict(self)
        for tensor in (*described["inputs"], *described["outputs"]):
            for name in ("rows", "labels"):
                if tensor[name] is None:
                    del tensor[name]
        if not self.states:  # artifacts without state are the bytes they were
            del described["states"]
        return json.dumps({"format": FORMAT, **described}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Parse embedded JSON, which is untrusted: sizes and types are limited.

        Raises:
            ArtifactError: the text is not a signature of this format.
        """
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_JSON_BYTES:
            raise ArtifactError("embedded signature too long", got=size, allowed=MAX_JSON_BYTES)
        try:
            data = json.loads(text)
            if data.get("format") != FORMAT:
                raise ArtifactError("unknown signature format", got=data.get("format"), allowed=FORMAT)
            prep = data.get("preprocessing")
            return cls(
                inputs=_tensors(data["inputs"]),
                outputs=_tensors(data["outputs"]),
                preprocessing=_preprocessing(prep) if prep else None,
                precision=str(data.get("precision", "fp32")),
                states=_states(data.get("states", [])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError("embedded signature is malformed", got=type(error).__name__) from error


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    if len(items) > MAX_TENSORS:
        raise ValueError("too many tensors")
    return tuple(_tensor(item) for item in items)


def _states(items: list[dict[str, Any]]) -> tuple[State, ...]:
    if len(items) > MAX_TENSORS:
        raise ValueError("too many states")
    return tuple(
        State(str(i["input"]), str(i["output"]), tuple(float(v) for v in i["initial"])) for i in items
    )


def _stored_as(spec: TensorSpec) -> tuple[object, ...]:
    return spec.shape, spec.dtype, spec.scale, spec.zero_point


def _tensor(item: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(int(d) for d in item["shape"])
    elements = 1
    for d in shape:
        elements *= d
    if len(shape) > MAX_RANK or any(d < 0 for d in shape) or elements > MAX_ELEMENTS:
        raise ValueError("shape out of limits")
    return TensorSpec(
        name=str(item["name"]),
        shape=shape,
        dtype=str(item["dtype"]),
        scale=None if item.get("scale") is None else float(item["scale"]),
        zero_point=int(item.get("zero_point", 0)),
        grid_scale=None if item.get("grid_scale") is None else float(item["grid_scale"]),
        grid_zero_point=int(item.get("grid_zero_point", 0)),
        exact=bool(item.get("exact", False)),
        rows=None if item.get("rows") is None else int(item["rows"]),
        labels=_labels(item.get("labels")),
    )


def _labels(items: object) -> tuple[str, ...] | None:
    if items is None:
        return None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise TypeError("labels are no list of texts")
    return tuple(items)


def _preprocessing(item: Mapping[str, Any]) -> Preprocessing:
    crop = item.get("crop")
    return Preprocessing(
        resize=None if item.get("resize") is None else int(item["resize"]),
        crop=None if crop is None else (int(crop[0]), int(crop[1])),
        mean=tuple(float(v) for v in item["mean"]),
        std=tuple(float(v) for v in item["std"]),
        layout=str(item["layout"]),
        scale=float(item["scale"]),
    )


def signature_of(
    program: Program,
    *,
    precision: str,
    preprocessing: Preprocessing | None = None,
    labels: Labels | None = None,
) -> Signature:
    """Derive the signature of the artifact that a program lowers to."""
    producers, exact, rows = program.producers(), exact_outputs(program), _rows(program)

    def output(name: str) -> TensorSpec:
        node = producers.get(name)
        grid = None
        if node is not None and node.op == "dequantize":
            grid = program.type(node.inputs[0])
        elif program.type(name).dtype in _WHOLE and program.type(name).quant is None:
            return replace(_spec(name, program.type(name), None), grid_scale=1.0)
        named = (labels or {}).get(name)
        return replace(_spec(name, program.type(name), grid), exact=name in exact, labels=named)

    return Signature(
        inputs=tuple(replace(_spec(n, program.type(n), None), rows=rows.get(n)) for n in program.inputs),
        outputs=tuple(output(n) for n in program.outputs),
        preprocessing=preprocessing,
        precision=precision,
        states=program.states,
    )


_WHOLE = ("int32", "int64")


def _rows(program: Program) -> dict[str, int]:
    """Rows of the smallest table that is read by each tensor of indices, moved or not."""
    found: dict[str, int] = {}
    for node in reversed(program.nodes):
        if node.op == "embedding":
            rows = program.type(node.inputs[1]).shape[0]
            found[node.inputs[0]] = min(rows, found.get(node.inputs[0], rows))
        elif node.op in ("reshape", "permute") and node.outputs[0] in found:
            rows = found[node.outputs[0]]
            found[node.inputs[0]] = min(rows, found.get(node.inputs[0], rows))
    return found


def _spec(name: str, type_: TensorType, grid: TensorType | None) -> TensorSpec:
    quant, grid_quant = type_.quant, None if grid is None else grid.quant
    return TensorSpec(
        name=name,
        shape=type_.shape,
        dtype=type_.dtype,
        scale=None if quant is None else float(quant.step),
        zero_point=0 if quant is None else quant.zero_point,
        grid_scale=None if grid_quant is None else float(grid_quant.step),
        grid_zero_point=0 if grid_quant is None else grid_quant.zero_point,
    )
