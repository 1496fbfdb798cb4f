"""What this machine is: processor, cores, memory, system, versions of packages.  Needs nothing but Python."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
TERMUX = "com.termux"
"""In the path of a Python on Android, where older ones call their platform linux."""
MODEL = Path("/proc/device-tree/model")
"""Of boards: what they are called."""


def describe_machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Everything as JSON values.

    Args:
        packages: import names; those that are there are listed with their versions, "" where unknown.
    """
    return {
        "python": platform.python_version(),
        "platform": "android" if TERMUX in sys.prefix else sys.platform,
        "machine": platform.machine(),
        "model": board_model(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "os": f"{platform.system()} {platform.release()}".strip(),
        "packages": {name: _version(name) for name in packages if _is_there(name)},
    }


def board_model(file: Path = MODEL) -> str | None:
    """A board's name, as "Raspberry Pi 5 Model B"."""
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace").strip("\0 \n") or None
    return None


def _is_there(name: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False


def _version(name: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    return ""


def usable_cores() -> int:
    """Logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Physical memory, where the system tells."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def cpu_model(cpuinfo: Path = CPUINFO) -> str | None:
    """The processor's name."""
    if sys.platform == "darwin":
        return _output(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "hardware"):
                return " ".join(value.split()) or None
    return platform.processor() or None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
