"""What a machine that stands for another one is left with: files and processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


class Elsewhere:
    """A machine whose files lie in a folder here, and whose processes run here.

    Attributes:
        folder: of its files; ``folder/tmp`` is its temporary folder.
        mark: a variable that only its processes have in their environment, as ``NAME=value``.
    """

    folder: Path

    @property
    def mark(self) -> str:
        raise NotImplementedError

    @property
    def left(self) -> list[str]:
        """What lies in its temporary folder."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())

    def processes(self) -> list[int]:
        """Processes that run on it."""
        mark = f"\0{self.mark}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in b"\0" + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def running(self) -> list[str]:
        """What they were started as."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def settled(self, seconds: float = 15.0) -> tuple[list[str], list[int]]:
        """Files and processes left, once there are none or the time is over."""
        until = time.monotonic() + seconds
        while (self.left or self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return self.left, self.processes()

    def end_all(self) -> None:
        """Kill what still runs on it."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
