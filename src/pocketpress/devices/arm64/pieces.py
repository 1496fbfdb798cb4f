"""What the device is made of: an emulator, an Arm64 Python from Debian, and the runtimes' Arm64 wheels.

Debian's files are pinned by hash, so they are the same for everybody; a mirror drops a file once it has a
newer one, Debian's archive of all versions does not.  The runtimes have the versions installed here: a
difference is then one of processors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from pocketpress.devices.arm64.download import Remote

MIRROR_VARIABLE = "POCKETPRESS_DEBIAN"
MIRROR = "https://deb.debian.org/debian"
ARCHIVE = "https://snapshot.debian.org/archive/debian/20261128T000000Z"
QEMU_VERSION = "10.0.2"
EMULATOR = "usr/bin/qemu-aarch64"
PYTHON = "usr/bin/python3.11"
PYTHON_VERSION = "3.11"
NUMPY_VERSION = "2.4.6"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64",
             "manylinux2014_aarch64")  # fmt: skip
"""Debian 12 has the C library 2.36."""
RUNTIMES = ("ai-edge-litert", "onnxruntime", "executorch")
BESIDE = {"ai-edge-litert": ("flatbuffers",), "executorch": ("flatbuffers",)}
"""What the runners of a runtime import besides it; nothing else of its dependencies is needed."""
WHEEL_BYTES = {"ai-edge-litert": 15_000_000, "executorch": 18_000_000, "flatbuffers": 30_000,
               "numpy": 16_000_000, "onnxruntime": 23_500_000}  # fmt: skip
"""About."""


@dataclass(frozen=True)
class Deb:
    """A package of Debian.

    Attributes:
        path: below the mirror.
        size_bytes: of the file.
        sha256: of the file.
    """

    path: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.rpartition("/")[2]

    @property
    def remote(self) -> Remote:
        """Where to fetch it."""
        bases = (os.environ.get(MIRROR_VARIABLE) or MIRROR, ARCHIVE)
        return Remote(tuple(f"{b.rstrip('/')}/{self.path}" for b in bases), self.size_bytes, self.sha256)


@dataclass(frozen=True)
class Wheel:
    """A Python package for Arm64.

    Attributes:
        name: as pip knows it.
        version: exactly this one.
    """

    name: str
    version: str

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return f"{self.name}-{self.version}"


QEMU = Deb(
    f"pool/main/q/qemu/qemu-user_{QEMU_VERSION}+ds-2+deb13u1~bpo12+1_amd64.deb",
    62_834_188,
    "10a2dec99f2b2d0b1097ff0375aea35b89322d6631fc96700511b02e05bf6fef",
)
"""From bookworm-backports; version 7, bookworm's own, crashes in the runtimes."""

SYSTEM = (
    Deb(
        "pool/main/g/glibc/libc6_2.36-9+deb12u14_arm64.deb",
        2_324_660,
        "01f4330719fd4f65580e16ea5a0527f372fca750e8f588d26deaf09f2d3b1cf4",
    ),
    Deb(
        "pool/main/g/gcc-12/libgcc-s1_12.2.0-14+deb12u1_arm64.deb",
        34_816,
        "576926b283613db80168ddf76380a3bd877602778cf0d226caa7bfbfa71eacf3",
    ),
    Deb(
        "pool/main/g/gcc-12/libstdc++6_12.2.0-14+deb12u1_arm64.deb",
        556_608,
        "26e138c677a985775331373828a6c286c551ff397cb735d00e2383cb273d1cb2",
    ),
    Deb(
        "pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_arm64.deb",
        82_744,
        "52b8b8a145bbe1956bba82034f77022cbef0c3d0885c9e32d9817a7932fe1913",
    ),
    Deb(
        "pool/main/e/expat/libexpat1_2.5.0-1+deb12u2_arm64.deb",
        86_280,
        "8dc1976735acf825e3a922d82f171e20feec7394da2b8c616091983e38706275",
    ),
    Deb(
        "pool/main/libf/libffi/libffi8_3.4.4-1_arm64.deb",
        20_492,
        "80b5c36177dc0e29d531c7eddbed3cc7355cb490e49f8cfa5959572d161f27b3",
    ),
    Deb(
        "pool/main/p/python3.11/libpython3.11-minimal_3.11.2-6+deb12u8_arm64.deb",
        810_796,
        "c48bac178c0fc43a2bf8ace784c762b5ee83e2b981894a991dc3ccfd3ec7cd4b",
    ),
    Deb(
        "pool/main/p/python3.11/libpython3.11-stdlib_3.11.2-6+deb12u8_arm64.deb",
        1_749_796,
        "e79876de55c6c2dca10d044b2fa69ccd863950ea01714220c1982d16008105f9",
    ),
    Deb(
        "pool/main/p/python3.11/python3.11-minimal_3.11.2-6+deb12u8_arm64.deb",
        1_861_304,
        "6a07dd571f1a15af2f855d64571766fe44b73a57cc3b5ca79502bc89156a5e12",
    ),
)


def wheels() -> tuple[Wheel, ...]:
    """NumPy, and each runtime that is installed here, in the version installed here."""
    chosen = {"numpy": NUMPY_VERSION}
    for runtime in RUNTIMES:
        found = _installed(runtime)
        if found is not None:
            chosen[runtime] = found
            chosen |= {name: at for name in BESIDE.get(runtime, ()) if (at := _installed(name))}
    return tuple(Wheel(name, at) for name, at in sorted(chosen.items()))


def _installed(package: str) -> str | None:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return None
