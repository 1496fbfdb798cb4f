"""Artifacts executed by the runtimes' own benchmark programs: push, run, pull."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pocketpress.core.errors import ArtifactError, DeviceError, InternalError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.timing import Times, TimingPlan
from pocketpress.devices.adb.folder import Folder
from pocketpress.devices.adb.server import Phone, Server
from pocketpress.devices.adb.sync import pull, push, push_bytes
from pocketpress.devices.adb.tools import WARMUP, Call, Tool, outputs_of, size_bytes
from pocketpress.devices.isolated import Patience
from pocketpress.devices.link import ending

RUNS = 20
"""Inferences of one process."""
MAX_RESULT_BYTES = 1 << 20


class ProgramRunner:
    """An artifact on the phone, executed by a process for every call."""

    def __init__(
        self, owner: Programs, number: int, tool: Tool, signature: Signature, name: str, threads: int
    ) -> None:
        self._owner, self._signature = owner, signature
        self.number, self.tool, self.name, self.threads = number, tool, name, threads

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact, read on this machine."""
        return self._signature

    @property
    def mute(self) -> str | None:
        """Why its outputs cannot be had, or None."""
        return None if self.tool.gives_outputs else self.tool.about

    @property
    def about(self) -> str:
        """What its times are."""
        return self.tool.about

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference, in a process of its own."""
        self._owner.give(self, feeds)
        call = self._owner.execute(self, 1)[0]
        limit_bytes = sum(size_bytes(spec) for spec in self._signature.outputs)
        files = [self._owner.fetch(path, limit_bytes) for path in call.outputs]
        return outputs_of(self._signature, files)

    def is_in(self, owner: Programs) -> bool:
        """Whether it is one of that folder."""
        return self._owner is owner

    def close(self) -> None:
        """Nothing: the files go with the folder."""


class Programs:
    """A folder on the phone with programs and artifacts."""

    def __init__(
        self,
        server: Server,
        phone: Phone,
        tools: Mapping[str, tuple[Tool, Path]],
        patience: Patience,
    ) -> None:
        """Make the folder.

        Args:
            server: of adb.
            phone: to execute on.
            tools: by target name, with the path of the program on this machine.
            patience: time-outs.

        Raises:
            DeviceError: the phone is gone, or has no place.
        """
        self._server, self._phone, self._tools, self._patience = server, phone, tools, patience
        self._folder = Folder(server, phone)
        self._there: set[str] = set()
        self._opened = 0

    def open(self, path: Path, spec: TargetSpec, threads: int = 1) -> ProgramRunner:
        """Send an artifact, and its program if it is not there.

        Raises:
            ArtifactError: the file cannot be read, or is not one of this target.
            DeviceError: the phone is gone, or refuses it.
        """
        tool, program = self._tools[spec.name]
        signature = spec.read_signature(path)
        if not program.is_file():
            raise DeviceError(f"no {tool.program} at the place that ${tool.variable} names", got=program)
        if tool.program not in self._there:
            push(self._server, self._phone, program, f"{self._folder.path}/{tool.program}", 0o755)
            self._there.add(tool.program)
        number = self._opened
        self._opened += 1
        there = tool.place(number)
        for name in tool.inputs(number, signature, [np.zeros(s.shape, s.dtype) for s in signature.inputs]):
            if "/" in name:
                self._folder.make(name.rpartition("/")[0])
        push(self._server, self._phone, path, f"{self._folder.path}/{there}")
        return ProgramRunner(self, number, tool, signature, path.name, threads)

    def give(self, runner: ProgramRunner, feeds: Sequence[Array]) -> None:
        """Send inputs."""
        for name, content in runner.tool.inputs(runner.number, runner.signature, feeds).items():
            push_bytes(self._server, self._phone, content, f"{self._folder.path}/{name}")

    def execute(self, runner: ProgramRunner, runs: int) -> tuple[Call, str]:
        """Run the program; returns how it was called and what it printed.

        Raises:
            ArtifactError: it does not execute the artifact.
            DeviceError: the phone is gone, or the program hangs.
        """
        call = runner.tool.call(runner.number, runner.signature, runner.threads, runs)
        patience = self._patience.load_s + 3 * self._patience.run_s
        done = self._folder.execute(runner.tool.program, call.arguments, patience)
        if done.status:
            raise ArtifactError(
                f"{runner.tool.program} does not execute {runner.name}",
                got=f"{ending(done.status)} ({done.last_line()})",
                next_step="is the program one for this phone, and as new as the artifact?",
            )
        return call, done.out

    def fetch(self, path: str, limit_bytes: int) -> bytes:
        """A file of the folder."""
        return pull(self._server, self._phone, f"{self._folder.path}/{path}", limit_bytes)

    def time(self, pairs: Sequence[tuple[Runner, list[Array]]], plan: TimingPlan | None = None) -> Times:
        """One process of each artifact after the other, in turn, until the plan's time is over."""
        plan = plan or TimingPlan()
        runners = [self._own(runner) for runner, _ in pairs]
        for runner, (_, feeds) in zip(runners, pairs, strict=True):
            self.give(runner, feeds)
        began, rounds = time.monotonic(), list[list[list[float]]]()
        while len(rounds) < plan.max_rounds:
            if len(rounds) >= plan.min_rounds and time.monotonic() - began >= plan.budget_s:
                break
            order = runners if len(rounds) % 2 == 0 else runners[::-1]
            times = {runner.number: self._timed(runner) for runner in order}
            rounds.append([times[runner.number] for runner in runners])
        block = min(len(each) for one in rounds for each in one)
        seconds = np.asarray([[each[:block] for each in one] for one in rounds], np.float64)
        return Times(seconds.transpose(1, 0, 2), WARMUP, 0.0)

    def _timed(self, runner: ProgramRunner) -> list[float]:
        call, printed = self.execute(runner, RUNS)
        result = ""
        if call.result is not None:
            result = self.fetch(call.result, MAX_RESULT_BYTES).decode(errors="replace")
            self._folder.remove(call.result)
        times = runner.tool.seconds(printed, result)
        if not times or not all(np.isfinite(seconds) and seconds > 0 for seconds in times):
            last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
            raise DeviceError(
                f"{runner.tool.program} prints no times that can be read",
                got=last.strip()[:120],
                next_step="use the program of a newer version",
            )
        return times

    def _own(self, runner: Runner) -> ProgramRunner:
        if isinstance(runner, ProgramRunner) and runner.is_in(self):
            return runner
        raise InternalError("the runner is not one of this folder", got=type(runner).__name__)

    def close(self) -> None:
        """Remove the folder; safe to call twice."""
        self._folder.close()
