"""The program: a network as data, float or quantised, that every target translates and none re-decides."""

from pocketpress.core.program.builder import ProgramBuilder
from pocketpress.core.program.ir import (
    INT8_MAX,
    INT8_MIN,
    Node,
    Program,
    Quantization,
    TensorType,
)
from pocketpress.core.program.ops import OPS, OpSpec, check_program

__all__ = [
    "INT8_MAX",
    "INT8_MIN",
    "OPS",
    "Node",
    "OpSpec",
    "Program",
    "ProgramBuilder",
    "Quantization",
    "TensorType",
    "check_program",
]
