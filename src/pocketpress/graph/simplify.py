"""The passes every program goes through, in order."""

from __future__ import annotations

from pocketpress.core.program import Program
from pocketpress.graph.fold_affine import fold_affine
from pocketpress.graph.fold_constants import Evaluate, fold_constants
from pocketpress.graph.fuse_clamp import fuse_clamp
from pocketpress.graph.fuse_padding import fuse_padding
from pocketpress.graph.recognize_layer_norm import recognize_layer_norm
from pocketpress.graph.remove_noops import remove_noops


def simplify(program: Program, evaluate: Evaluate) -> Program:
    """Clean a freshly translated program; the function it computes stays the same (up to float rounding)."""
    program = remove_noops(fold_constants(program, evaluate))
    program = fold_affine(fuse_padding(program))
    return recognize_layer_norm(remove_noops(fuse_clamp(program)))
