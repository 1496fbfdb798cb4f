"""The description of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketpress.devices.host import describe_host
from pocketpress.devices.machine import cpu_model
from pocketpress.devices.memory import peak_rss_bytes, reset_peak, rss_bytes


def test_versions_of_installed_packages_only() -> None:
    host = describe_host(["numpy", "no-such-package-of-ours"])
    assert host.packages == {"numpy": np.__version__}
    assert host.cores is not None and host.cores >= 1


def test_cpu_model_is_read_from_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Example   CPU 3000\n")
    assert cpu_model(tmp_path / "cpuinfo") == "Example CPU 3000"
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert cpu_model(tmp_path / "cpuinfo") != ""


def test_resident_memory_follows_an_allocation() -> None:
    before = rss_bytes()
    block = np.ones(64 << 20, dtype=np.uint8)
    assert rss_bytes() - before > 60 << 20
    peak = peak_rss_bytes()
    assert peak >= before + block.nbytes // 2
    del block
    if reset_peak():
        assert peak_rss_bytes() < peak
