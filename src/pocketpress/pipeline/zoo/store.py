"""Sizes and latencies of the zoo on one machine: a JSON file in the cache folder, or the shipped one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketpress.core.errors import InternalError
from pocketpress.core.files import write_atomically
from pocketpress.core.record import Host
from pocketpress.devices.host import describe_host
from pocketpress.pipeline.cache import fingerprint

PACKAGES = ("ai-edge-litert", "executorch", "numpy", "onnxruntime", "pocketpress", "torch")
MAX_BYTES = 16 << 20
FOLDER = "zoo"


class Timing(BaseModel):
    """One network in one runtime at one precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(description="name with its options, shortest form")
    target: str
    precision: str
    size_bytes: int | None = Field(default=None, ge=0, description="of the artifact")
    median_s: float | None = Field(
        default=None, gt=0, description="of one inference; with one thread the processor's time"
    )
    p90_s: float | None = Field(default=None, gt=0)
    runs: int = Field(default=0, ge=0)
    failure: str | None = Field(default=None, description="why there is nothing else")

    @property
    def key(self) -> tuple[str, str, str]:
        """What was measured."""
        return self.network, self.target, self.precision


class Measurements(BaseModel):
    """Everything measured on one machine with the same versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    host: Host
    threads: int = Field(ge=1)
    load: float | None = Field(default=None, description="load average when it was last added to")
    timings: tuple[Timing, ...] = ()

    def find(self, network: str, target: str, precision: str) -> Timing | None:
        """One row."""
        return next((t for t in self.timings if t.key == (network, target, precision)), None)

    def adding(self, rows: Iterable[Timing]) -> Measurements:
        """With new rows in place of older ones of the same things."""
        merged = {t.key: t for t in (*self.timings, *rows)}
        return self.model_copy(update={"timings": tuple(merged.values()), "load": _load()})

    @property
    def machine(self) -> str:
        """The machine in a line."""
        cores = f", {self.host.cores} cores" if self.host.cores else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.host.packages.items())
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.host.cpu or 'unknown processor'}{cores}, {threads}; {versions}"


def _load() -> float | None:
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return None


def here(threads: int) -> Measurements:
    """No measurements yet, of this machine."""
    return Measurements(host=describe_host(PACKAGES), threads=threads)


class Store:
    """The measurements of this machine: another processor or version has a file of its own."""

    def __init__(self, folder: Path | None, threads: int = 1) -> None:
        """Measurements are kept in ``folder`` (the cache's), or not at all."""
        self.found = here(threads)
        host = self.found.host
        name = fingerprint("timings", host.cpu, host.architecture, host.packages, threads)
        self.path = None if folder is None else folder / FOLDER / f"{name}.json"
        if self.path is not None and self.path.is_file():
            with suppress(OSError, ValueError):  # a damaged file is measured again
                if self.path.stat().st_size <= MAX_BYTES:
                    kept = Measurements.model_validate_json(self.path.read_bytes())
                    self.found = self.found.model_copy(update={"timings": kept.timings, "load": kept.load})

    def add(self, rows: Iterable[Timing]) -> None:
        """Keep rows, on disk at once.

        Raises:
            DeviceError: the disk refuses.
        """
        self.found = self.found.adding(rows)
        if self.path is not None:
            write(self.found, self.path)


def write(measured: Measurements, path: Path) -> None:
    """Write a file of measurements, under another name first.

    Raises:
        DeviceError: the disk refuses.
    """
    content = measured.model_dump_json(indent=1, exclude_none=True) + "\n"
    step = "set POCKETPRESS_CACHE to another folder"
    write_atomically(path, content.encode(), parents=True, next_step=step)


def reference() -> Measurements | None:
    """The measurements that ship with Pocketpress, of one machine of its authors."""
    file = files("pocketpress.zoo") / "reference.json"
    if not file.is_file():
        return None
    try:
        return Measurements.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise InternalError("the shipped measurements of the zoo are damaged", got=error.title) from error
