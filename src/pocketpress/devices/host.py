"""Describe this machine for the record."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from pocketpress.core.record import Host
from pocketpress.devices.machine import cpu_model, memory_bytes, usable_cores


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


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            yield name, version(name)
