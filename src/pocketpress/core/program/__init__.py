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
from pocketpress.core.program.state import State, with_states

__all__ = [
    "INT8_MAX",
    "INT8_MIN",
    "OPS",
    "Node",
    "OpSpec",
    "Program",
    "ProgramBuilder",
    "Quantization",
    "State",
    "TensorType",
    "check_program",
    "with_states",
]
