"""The integer reference: an interpreter of programs in the arithmetic of `docs/numerics.md`."""

from pocketpress.verify.reference.interpret import interpret, interpret_node

__all__ = ["interpret", "interpret_node"]
