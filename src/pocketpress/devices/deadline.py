"""A block that may not take longer than some seconds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def deadline(seconds: float, expire: Callable[[], None]) -> Iterator[None]:
    """Call ``expire``, from another thread, when the block takes longer; blocking reads in it should end."""
    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
