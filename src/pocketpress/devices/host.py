"""Describe this machine for the record."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pocketpress.core.record import Host

CPUINFO = Path("/proc/cpuinfo")


def describe_host(packages: Iterable[str] = ()) -> Host:
    """Processor, cores, memory, system, and the versions of ``packages`` (absent ones are left out)."""
    return Host(
        cpu=cpu_model(),
        architecture=platform.machine() or None,
        cores=usable_cores(),
        memory_bytes=memory_bytes(),
        os=f"{platform.system()} {platform.release()}".strip() or None,
        python=platform.python_version(),
        packages=dict(sorted(_versions(packages))),
    )


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


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            yield name, version(name)
