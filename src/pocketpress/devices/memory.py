"""Resident memory of this process, in bytes.

On Linux the peak is ``VmHWM`` of ``/proc/self/status`` and not ``getrusage``: a child inherits the
``ru_maxrss`` of the process that started it (the kernel folds the old address space's peak into it at
``exec``), so a small worker of a large parent would seem large.
"""

from __future__ import annotations

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def peak_rss_bytes() -> int:
    """The largest resident size so far (since `reset_peak`, where that works)."""
    return _status("VmHWM") or _usage()


def rss_bytes() -> int:
    """The resident size now; the peak where the system does not tell."""
    return _status("VmRSS") or _usage()


def reset_peak() -> bool:
    """Let the peak start again from the present size; returns whether the system allows it."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    try:
        text = STATUS.read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _usage() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
