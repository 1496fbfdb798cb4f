"""What a press tells whoever watches it.  The default says nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from pocketpress.core.record import Stage, TargetEntry


class Events:
    """Base: keeps the time of every stage; subclasses show progress."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Time a stage; yields a function to call once per finished item."""
        begin = time.perf_counter()
        self.began(name, total)
        try:
            yield lambda: self.advanced(name)
        finally:
            self.ended(name)
        self.stages.append(Stage(name=name, seconds=time.perf_counter() - begin))

    def began(self, name: str, total: int | None) -> None:
        """A stage begins; ``total`` items if known."""

    def advanced(self, name: str) -> None:
        """One item of the stage is done."""

    def ended(self, name: str) -> None:
        """A stage ended, well or not."""

    def note(self, text: str) -> None:
        """Something worth a line while it runs."""

    def target(self, entry: TargetEntry) -> None:
        """What is known of a target changed."""
