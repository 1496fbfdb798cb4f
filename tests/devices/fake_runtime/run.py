"""Do what the file says: ``load:abort``, ``run:hang``, ..., or double the input."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import Array

SIGNATURE = Signature(
    (TensorSpec("x", (2, 3), "float32"),),
    (TensorSpec("y", (2, 3), "float32"), TensorSpec("n", (3,), "int64")),
)


class FakeRunner:
    def __init__(self, doing: str) -> None:
        self.signature = SIGNATURE
        self._doing = doing

    def run(self, feeds: list[Array]) -> list[Array]:
        act(self._doing, "run")
        if self._doing == "run:less":
            return [feeds[0] * 2]
        return [feeds[0] * 2, np.arange(3, dtype=np.int64)]

    def close(self) -> None:
        pass


def open_runner(path: Path, threads: int) -> FakeRunner:
    doing = path.read_text()
    act(doing, "load")
    return FakeRunner(doing)


def act(doing: str, now: str) -> None:
    when, _, what = doing.partition(":")
    if when == now:
        ACTIONS[what]()


def abort() -> None:
    os.write(2, b"check failed: \x1b[31moffset < size\n")
    os.abort()


def hang() -> None:
    time.sleep(600)


def exit_quietly() -> None:
    os._exit(0)


def eat() -> None:
    np.ones(1 << 31, dtype=np.uint8)


def refuse() -> None:
    raise ArtifactError("no model in the file", got="text")


def crash_in_python() -> None:
    raise ValueError("bad\nmagic")


def chatter() -> None:
    os.write(1, b"INFO: created delegate\n" * 100_000)
    print("hello", file=sys.stdout, flush=True)


def lie() -> None:
    for fd in range(3, 12):
        try:
            os.write(fd, b"PPF1" + b"\xff" * 8)
        except OSError:
            continue
    os._exit(0)


def allocate() -> None:
    kept.append(np.ones(100 << 20, dtype=np.uint8))


kept: list[Array] = []
ACTIONS = {
    "abort": abort,
    "hang": hang,
    "exit": exit_quietly,
    "eat": eat,
    "refuse": refuse,
    "python": crash_in_python,
    "chatter": chatter,
    "lie": lie,
    "allocate": allocate,
    "less": lambda: None,
}
