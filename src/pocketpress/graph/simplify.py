"""The passes every program goes through, in order."""

from __future__ import annotations

from pocketpress.core.program import Program
from pocketpress.graph.cancel_permutes import cancel_permutes
from pocketpress.graph.fold_affine import fold_affine
from pocketpress.graph.fold_constants import Evaluate, fold_constants
from pocketpress.graph.fuse_clamp import fuse_clamp
from pocketpress.graph.fuse_padding import fuse_padding
from pocketpress.graph.look_up_first import look_up_first
from pocketpress.graph.lower_rank import lower_rank
from pocketpress.graph.merge_affine import merge_affine
from pocketpress.graph.movement_last import movement_last
from pocketpress.graph.permute_into_linear import permute_into_linear
from pocketpress.graph.recognize_hardswish import recognize_hardswish
from pocketpress.graph.recognize_layer_norm import recognize_layer_norm
from pocketpress.graph.remove_noops import remove_noops


def simplify(program: Program, evaluate: Evaluate) -> Program:
    """Clean a freshly translated program; the function it computes stays the same (up to float rounding)."""
    program = remove_noops(lower_rank(look_up_first(fold_constants(program, evaluate))))
    program = remove_noops(permute_into_linear(cancel_permutes(program)))
    program = merge_affine(fold_affine(movement_last(fuse_padding(program))))
    return recognize_hardswish(recognize_layer_norm(remove_noops(fuse_clamp(program))))
