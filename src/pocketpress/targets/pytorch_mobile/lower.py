"""Trace a float program into a TorchScript file for the lite interpreter.

The module is traced into a compilation unit of its own, so that its name does not depend on what the process
traced before, and the archive is written anew without the debug records, which would hold paths of this
machine: equal programs give equal bytes.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered, Skipped
from pocketpress.targets.pytorch_mobile.archive import SIGNATURE_RECORD
from pocketpress.targets.pytorch_mobile.operators import OPERATORS

__all__ = ["audit", "lower"]

_SCRIPT_MODULE: Any = torch._C.ScriptModule
_CLASS_NAME = "__torch__.pocketpress.Network"
_WRITTEN_BY_LIBRARY = ("byteorder", ".data/serialization_id")


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``.

    Raises:
        UnsupportedError: the program is not plain float32, or holds an operator that torch lacks.
    """
    _check(program)
    module = _traced(program)
    saved = module._save_to_buffer_for_mobile({}, False, False)
    path.write_bytes(_rewritten(saved, signature))
    return Lowered()


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """Nothing to report: float programs only."""
    return ()


def _check(program: Program) -> None:
    for name, type_ in program.types.items():
        if type_.is_quantized or type_.dtype in ("float16", "int8", "uint8"):
            raise UnsupportedError(
                f"PyTorch Mobile: tensor {name}",
                got=type_.dtype,
                allowed="fp32",
                next_step="press with --precision fp32, or to executorch",
            )
    for node in program.nodes:
        if node.op not in OPERATORS:
            raise UnsupportedError(
                f"PyTorch Mobile lacks the operator of {node.name}", got=node.op, allowed=sorted(OPERATORS)
            )


def _traced(program: Program) -> Any:
    constants = {name: torch.from_numpy(np.array(value)) for name, value in program.constants.items()}
    module: Any = _SCRIPT_MODULE(_CLASS_NAME, torch._C.CompilationUnit(), False)
    for index, tensor in enumerate(constants.values()):
        module._register_attribute(f"c{index}", torch._C.TensorType.get(), tensor)

    def forward(*inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        values = {**constants, **dict(zip(program.inputs, inputs, strict=True))}
        for node in program.nodes:
            values[node.outputs[0]] = OPERATORS[node.op]([values[n] for n in node.inputs], node.attrs)
        results = tuple(values[name] for name in program.outputs)
        return results[0] if len(results) == 1 else results

    examples = tuple(_example(program, name) for name in program.inputs)
    names = [f"x{index}" for index in range(len(examples))]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit._trace.TracerWarning)
        module._create_method_from_trace(
            "forward",
            forward,
            examples,
            lambda _: "",
            True,
            False,
            names,
            False,
        )
    return module


def _example(program: Program, name: str) -> torch.Tensor:
    type_ = program.type(name)
    return torch.zeros(type_.shape, dtype=getattr(torch, type_.dtype))


def _rewritten(saved: bytes, signature: Signature) -> bytes:
    """The same archive without what differs from run to run, with the signature inside."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(saved))
    out = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(out)
    for name in sorted(reader.get_all_records()):
        if not name.endswith(".debug_pkl") and name not in _WRITTEN_BY_LIBRARY:
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    text = signature.to_json().encode()
    writer.write_record(SIGNATURE_RECORD, text, len(text))
    writer.write_end_of_file()
    return out.getvalue()
