from __future__ import annotations

from pathlib import Path

from pocketpress.core.program.serialize import from_bytes
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Array
from pocketpress.verify.reference import interpret


class InterpreterRunner:
    def __init__(self, path: Path) -> None:
        self.program = from_bytes(path.read_bytes())
        self.signature = signature_of(self.program, precision="w8a8-static")

    def run(self, feeds: list[Array]) -> list[Array]:
        named = dict(zip(self.program.inputs, feeds, strict=True))
        values = interpret(self.program, named)
        return [values[name] for name in self.program.outputs]

    def close(self) -> None:
        pass


def open_runner(path: Path, threads: int) -> InterpreterRunner:
    return InterpreterRunner(path)
