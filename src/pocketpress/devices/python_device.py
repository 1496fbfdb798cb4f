"""A device with Python on it: what it is, which runtimes it has, and workers that execute artifacts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketpress.core.device import Description
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.core.words import size
from pocketpress.devices.isolated import Child, Patience
from pocketpress.devices.link import Link, printable
from pocketpress.devices.runner import install, termux_install

PATIENCE = Patience(start_s=60.0, load_s=300.0, run_s=120.0)
"""For machines that may be ten times slower than this one."""


class PythonDevice:
    """A machine on which a worker is started through a link; see `pocketpress.core.device.Device`."""

    def __init__(
        self,
        name: str,
        kind: str,
        link: Callable[[], Link],
        *,
        emulated: bool = False,
        patience: Patience = PATIENCE,
        install: Callable[..., str] = install,
    ) -> None:
        """Remember how to reach it.

        Args:
            name: as typed after ``--device``.
            kind: see `Description`.
            link: starts a worker there.
            emulated: its times mean nothing.
            patience: time-outs of its workers.
            install: the next step where packages are missing, from their import names.
        """
        self.name, self.kind, self.emulated = name, kind, emulated
        self._link, self._patience, self._install = link, patience, install
        self._facts: dict[str, Any] | None = None

    def describe(self) -> Description:
        """Ask the device what it is, once."""
        facts = self._known()
        runtimes = {
            spec.name: self._runtime(spec) for spec in all_targets().values() if self._lacks(spec) is None
        }
        return Description(self.name, self.kind, words_of(facts), self.emulated, runtimes)

    def refuses(self, spec: TargetSpec) -> str | None:
        """Why the device cannot execute a target's artifacts, or None."""
        return self._lacks(spec)

    def connect(self) -> Child:
        """Start a worker there."""
        return Child(patience=self._patience, link=self._link())

    def close(self) -> None:
        """Forget what it is."""
        self._facts = None

    def _known(self) -> dict[str, Any]:
        if self._facts is None:
            needed = {name for spec in all_targets().values() for name in spec.needs_to_run}
            with self.connect() as child:
                facts = child.describe(sorted(needed))
            packages = facts.get("packages")
            self._facts = {**facts, "packages": packages if isinstance(packages, dict) else {}}
        return self._facts

    def _lacks(self, spec: TargetSpec) -> str | None:
        if spec.executor and self.kind == "host":
            return spec.obstacle()
        if spec.executor:
            return f"{spec.title} is no package of Python: pocketpress bench --phone measures in browsers"
        facts = self._known()
        system = str(facts.get("platform"))
        if {"android": "linux"}.get(system, system) not in spec.executes_on:
            return f"{spec.title} does not execute on {printable(system)}"
        missing = [name for name in spec.needs_to_run if name not in facts["packages"]]
        if missing:
            step = termux_install(missing) if system == "android" else self._install("numpy", *missing)
            return f"{', '.join(missing)} missing on the device; {step}"
        return None

    def _runtime(self, spec: TargetSpec) -> str:
        if spec.executor:
            return spec.runtime() or spec.title
        version = printable(str(self._known()["packages"].get(spec.runtime_package, "")))
        return f"{spec.runtime_package.replace('_', '-')} {version}".strip()


def words_of(facts: dict[str, Any]) -> str:
    """What a machine says of itself, for people."""
    cores, memory = facts.get("cores"), facts.get("memory_bytes")
    parts = [
        facts.get("model"),
        facts.get("cpu"),
        facts.get("machine"),
        f"{cores} cores" if isinstance(cores, int) else None,
        size(memory) if isinstance(memory, int) else None,
        facts.get("os"),
        f"Python {facts.get('python')}",
    ]
    return ", ".join(printable(str(part)) for part in parts if part)
