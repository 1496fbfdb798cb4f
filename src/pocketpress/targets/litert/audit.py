"""Ask LiteRT which operators its XNNPACK delegate takes, and say what is not an integer kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program
from pocketpress.core.target import Skipped
from pocketpress.targets.litert.quiet import quiet_stderr
from pocketpress.targets.litert.spec import REMARKS

_BORDER_OPS = frozenset({"quantize", "dequantize", "requantize"})
_DELEGATE = "DELEGATE"
_WIDE = "computed in LiteRT's own kernels, outside XNNPACK, which has none for them"


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """What of an int8 program is computed in float, and what of any program runs outside XNNPACK.

    An activation between DEQUANTIZE and QUANTIZE is not listed: XNNPACK fuses the chain into one table of
    256 integers (``xnn_subgraph_fuse_unary_quantized_into_lut``).

    Raises:
        ArtifactError: LiteRT cannot load the file.
    """
    makers = program.producers()
    skipped = list(_float_nodes(program))
    wide = [name for name, type_ in program.types.items() if type_.dtype == "int16"]
    if wide:
        skipped.append(Skipped("int16 activations", _WIDE))
    for name, codes in _outside(path).items():
        node = makers.get(name)
        if node is not None and not {*node.inputs, *node.outputs}.isdisjoint(wide):
            continue
        reason = f"{', '.join(dict.fromkeys(codes))} runs in LiteRT's own kernel, outside XNNPACK"
        if node is None:
            skipped.append(Skipped(name, reason))
        else:
            skipped.append(
                Skipped(f"{node.op} {node.name}", f"{reason}: {REMARKS.get(node.op, 'no remark')}")
            )
    return tuple(skipped)


def _float_nodes(program: Program) -> Iterable[Skipped]:
    """Operators that the int8 program itself keeps in float."""
    if not program.is_quantized:
        return
    for node in program.nodes:
        if node.op in _BORDER_OPS or program.type(node.outputs[0]).dtype != "float32":
            continue
        remark = REMARKS.get(node.op, "the program leaves it in float")
        yield Skipped(f"{node.op} {node.name}", f"computed in float: {remark}")


def _outside(path: Path) -> dict[str, list[str]]:
    """LiteRT operators that no delegate took, by the program's tensor that they help to compute."""
    operators, outputs, names = _as_loaded(path)
    delegated: dict[int, Sequence[int]] = {}
    makers: dict[int, Any] = {}
    readers: dict[int, Any] = {}
    for operator in operators:
        if operator["op_name"] == _DELEGATE:
            delegated |= {int(out): [int(i) for i in operator["inputs"]] for out in operator["outputs"]}
            continue
        makers |= {int(out): operator for out in operator["outputs"]}
        readers |= {int(i): operator for i in operator["inputs"] if int(i) not in readers}
    outside: dict[str, list[str]] = {}
    seen: set[int] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor < 0 or tensor in seen:
            continue
        seen.add(tensor)
        if tensor in delegated:
            waiting += delegated[tensor]
        elif tensor in makers:
            operator = makers[tensor]
            waiting += [int(i) for i in operator["inputs"]]
            owner = _owner(tensor, readers, names)
            outside.setdefault(owner, []).append(operator["op_name"])
    return dict(sorted(outside.items()))


def _owner(tensor: int, readers: Mapping[int, Any], names: Mapping[int, str]) -> str:
    """The program's tensor that a nameless one is a step to: the next one behind it that has a name."""
    while not (name := _program_name(names.get(tensor, ""))) and tensor in readers:
        outputs = [int(out) for out in readers[tensor]["outputs"]]  # a loop has several, some for nobody
        named = [out for out in outputs if _program_name(names.get(out, ""))]
        tensor = (named or [out for out in outputs if out in readers] or outputs)[0]
    return name


def _as_loaded(path: Path) -> tuple[list[Any], list[int], dict[int, str]]:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet_stderr():
            interpreter = Interpreter(model_path=str(path), num_threads=1)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ArtifactError("LiteRT cannot load the artifact", got=str(error).splitlines()[:1]) from error
    names = {int(d["index"]): str(d["name"]) for d in interpreter.get_tensor_details()}
    outputs = [int(d["index"]) for d in interpreter.get_output_details()]
    return list(interpreter._get_ops_details()), outputs, names


def _program_name(tensor: str) -> str:
    """The program's tensor behind a name of the file (``conv:OHWI`` is ``conv``), or nothing."""
    return tensor.split("/")[0].split(":")[0]
