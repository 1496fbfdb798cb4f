"""Load and run an artifact in a child process, so that whatever its runtime does stays there.

A corrupt file can make a runtime abort, hang or eat memory; in the parent each of these is one line:
an `ArtifactError` when the file could not be loaded, a `DeviceError` when the machine or the runtime failed.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import (
    ArtifactError,
    DataError,
    DeviceError,
    InternalError,
    MissingExtraError,
    PocketpressError,
    UnsupportedError,
    UserError,
)
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.targets import check_exists, target_of
from pocketpress.core.timing import Times, TimingPlan
from pocketpress.devices.deadline import deadline
from pocketpress.devices.frames import Frame, FrameError, read_frame, write_frame
from pocketpress.devices.link import Link, ending, local_link, printable
from pocketpress.devices.runner import check_greeting

PIECE_BYTES = 1 << 20
NOISE_BYTES = 1 << 16
"""That a login shell may write before the worker speaks."""
KINDS = {
    kind.__name__: kind
    for kind in (
        ArtifactError, DataError, DeviceError, InternalError, MissingExtraError, UnsupportedError, UserError,
    )
}  # fmt: skip
"""Errors of a worker that keep their kind here."""


@dataclass(frozen=True)
class Patience:
    """Time-outs in seconds, after which the child is killed.

    Attributes:
        start_s: to import NumPy and answer.
        load_s: to import a runtime and load an artifact.
        run_s: for one inference.
    """

    start_s: float = 60.0
    load_s: float = 120.0
    run_s: float = 60.0


@dataclass(frozen=True)
class Memory:
    """Resident memory of a child.

    Attributes:
        peak_rss_bytes: the largest so far, Python and runtime included.
        baseline_rss_bytes: just before the last artifact was loaded.
    """

    peak_rss_bytes: int
    baseline_rss_bytes: int


class Child:
    """A worker process that can hold several artifacts of any targets."""

    def __init__(
        self,
        *,
        patience: Patience | None = None,
        memory_limit_bytes: int | None = None,
        link: Link | None = None,
    ) -> None:
        """Start the process and wait until it answers.

        Args:
            patience: time-outs.
            memory_limit_bytes: allocations of the child beyond this fail (Linux only).
            link: the way to a worker that is being started elsewhere, which the child then owns; without one
                it is a process of this interpreter.

        Raises:
            DeviceError: the process does not start, or lacks what a worker needs.
        """
        self.patience = patience or Patience()
        self._local = link is None
        self._link: Link = link or local_link(memory_limit_bytes)
        self._timed_out, self._greeted, self._placed = False, False, 0
        with self._ending_on_error(), deadline(self.patience.start_s, self._expire):
            noise_bytes = 0 if self._link.shares_files else NOISE_BYTES
            doing = "starting the process"
            greeting = self._receive(doing, self.patience.start_s, DeviceError, noise_bytes)
            self._link.met(greeting.header)
            check_greeting(greeting.header)
            self._greeted = True

    def open(self, path: Path, spec: TargetSpec | None = None, threads: int = 1) -> IsolatedRunner:
        """Load an artifact.

        Args:
            path: the artifact.
            spec: its target; by default the one whose suffix the file carries.
            threads: threads for the runtime.

        Raises:
            MissingExtraError: the target's packages are not installed.
            ArtifactError: the file is missing, refused by its runtime, or makes the runtime crash.
            DeviceError: the runtime hangs, or the machine has no memory left.
        """
        path, spec = _known(path, spec, installed_here=self._local)
        return self._load(path.name, self._place(path), spec, threads)

    def _load(self, name: str, there: str, spec: TargetSpec, threads: int) -> IsolatedRunner:
        answer = self._call(
            {"op": "open", "package": spec.package, "path": there, "threads": threads},
            doing=f"loading {name} in {spec.title}",
            patience_s=self.patience.load_s,
            blame=ArtifactError,
        )
        with self._ending_on_error(), _sensible(f"loading {name}"):
            signature = Signature.from_json(str(answer.header["signature"]))
            number, load_s = int(answer.header["number"]), float(answer.header["load_s"])
        return IsolatedRunner(
            self, number, signature, name, load_s, lambda: self._load(name, there, spec, threads)
        )

    def _place(self, path: Path) -> str:
        """Where the worker finds an artifact: the same path, or that of a copy sent to it."""
        if self._link.shares_files:
            return str(path)
        self._placed += 1
        there = f"{self._placed}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)}"
        for part in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            inside = part.relative_to(path).as_posix()
            self._send(part, there if inside == "." else f"{there}/{inside}")
        return there

    def _send(self, path: Path, there: str) -> None:
        """Send one file in pieces, each within the time for one inference."""
        try:
            with path.open("rb") as file:
                piece, first = file.read(PIECE_BYTES), True
                while piece or first:
                    self._call(
                        {"op": "put", "path": there, "first": first},
                        (np.frombuffer(piece, np.uint8),),
                        doing=f"sending {path.name}",
                        patience_s=self.patience.run_s,
                    )
                    piece, first = file.read(PIECE_BYTES), False
        except OSError as error:
            raise ArtifactError("cannot read artifact", got=f"{path}: {error.strerror}") from error

    def describe(self, packages: Sequence[str] = ()) -> dict[str, Any]:
        """What the worker's machine says of itself.

        Args:
            packages: import names.

        Returns:
            ``python``, ``platform``, ``machine``, ``cpu``, ``cores``, ``memory_bytes``, ``os``, and under
            ``packages`` the version of each that is there.
        """
        header = {"op": "describe", "packages": list(packages)}
        return self._call(header, doing="describing the machine", patience_s=self.patience.start_s).header

    def run(self, number: int, feeds: list[Array], name: str) -> list[Array]:
        """Compute one inference of artifact ``number``."""
        answer = self._call(
            {"op": "run", "number": number},
            tuple(feeds),
            doing=f"running {name}",
            patience_s=self.patience.run_s,
        )
        return list(answer.arrays)

    def time(self, pairs: Sequence[tuple[Runner, list[Array]]], plan: TimingPlan | None = None) -> Times:
        """Time artifacts of this child against each other, inside the child (see `timing.interleave`).

        Args:
            pairs: a runner of this child and its inputs, each.
            plan: how long.
        """
        plan = plan or TimingPlan()
        runners = [self._own(runner) for runner, _ in pairs]
        feeds = [(runner.number, len(arrays)) for runner, (_, arrays) in zip(runners, pairs, strict=True)]
        answer = self._call(
            {"op": "time", "feeds": feeds, "plan": asdict(plan)},
            tuple(array for _, arrays in pairs for array in arrays),
            doing="timing " + ", ".join(runner.name for runner in runners),
            patience_s=plan.budget_s + 3 * self.patience.run_s * max(1, len(pairs)),
        )
        with _sensible("timing"):
            (seconds,) = answer.arrays
            if seconds.ndim != 3 or len(seconds) != len(pairs) or seconds.dtype != np.float64:
                raise ValueError(f"times of shape {seconds.shape}")
            return Times(seconds, int(answer.header["warmup"]), float(answer.header["overhead_s"]))

    def _own(self, runner: Runner) -> IsolatedRunner:
        if isinstance(runner, IsolatedRunner) and runner.is_in(self):
            return runner
        raise InternalError("the runner is not one of this process", got=type(runner).__name__)

    def memory(self) -> Memory:
        """Ask the child for its resident memory."""
        header = self._call({"op": "memory"}, doing="measuring memory", patience_s=self.patience.run_s).header
        with _sensible("measuring memory"):
            return Memory(int(header["peak_rss_bytes"]), int(header["baseline_rss_bytes"]))

    def release(self, number: int) -> None:
        """Unload artifact ``number``."""
        if self._link.ended() is None:
            self._call({"op": "close", "number": number}, doing="unloading", patience_s=self.patience.run_s)

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._link.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(
        self,
        header: dict[str, Any],
        arrays: tuple[Array, ...] = (),
        *,
        doing: str,
        patience_s: float,
        blame: type[PocketpressError] = DeviceError,
    ) -> Frame:
        if self._link.ended() is not None or self._link.requests.closed:
            broken = self._link.broken()
            if broken is not None:
                raise type(broken)(f"{doing}: {broken}")
            raise DeviceError(f"{doing}: the child process has ended", next_step="open the artifact again")
        with self._ending_on_error(), deadline(patience_s, self._expire):
            with contextlib.suppress(OSError, ValueError):  # it died: `_receive` says of what
                write_frame(self._link.requests, Frame({**header, "timeout_s": patience_s}, arrays))
            answer = self._receive(doing, patience_s, blame)
        if "error" in answer.header:
            raise _foreign(answer.header, doing, blame)
        return answer

    def _receive(
        self, doing: str, patience_s: float, blame: type[PocketpressError], noise_bytes: int = 0
    ) -> Frame:
        try:
            frame = read_frame(self._link.answers, noise_bytes)
        except FrameError as error:
            frame, problem = None, str(error)
        except (OSError, ValueError):  # closed under the reader
            frame, problem = None, "no answer"
        else:
            problem = "no answer"
        if frame is not None:
            return frame
        if not self._timed_out:
            self._link.ended(1.0)
        raise self._death(doing, patience_s, blame, problem)

    def _death(
        self, doing: str, patience_s: float, blame: type[PocketpressError], problem: str
    ) -> PocketpressError:
        status = self._link.ended()
        if self._timed_out and not self._greeted:
            return DeviceError(f"{doing}: it does not answer", got=f"nothing in {patience_s:g} s")
        if self._timed_out:
            return DeviceError(
                f"{doing}: the runtime hangs",
                got=f"no answer in {patience_s:g} s",
                next_step="the file may be corrupt, or the machine too slow",
            )
        broken = self._link.broken()
        if broken is not None:
            return type(broken)(f"{doing}: {broken}")
        if not self._greeted:
            return DeviceError(
                f"{doing}: it did not start",
                got=self._link.last_line() or (ending(status) if status else problem),
            )
        last = self._link.last_line()
        how = problem if status is None else ending(status)
        if status == -getattr(signal, "SIGKILL", 9):
            return DeviceError(
                f"{doing}: the process was killed", got=how, next_step="is there enough memory?"
            )
        return blame(
            f"{doing}: the runtime crashed",
            got=f"{how} ({last})" if last else how,
            next_step="the file may be corrupt or truncated; press it again",
        )

    @contextlib.contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """Leave no child behind after a failed exchange: its next answer would be out of step."""
        try:
            yield
        except BaseException:
            self._kill()
            self.close()
            raise

    def _expire(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        self._link.kill()


class IsolatedRunner:
    """A `Runner` whose artifact lives in a child process.

    Attributes:
        number: of the artifact within its child.
        name: of the file.
        load_s: time to load it, the import of its runtime included when it was the child's first.
        again: opens a second copy in the same child.
    """

    def __init__(
        self,
        child: Child,
        number: int,
        signature: Signature,
        name: str,
        load_s: float,
        again: Callable[[], IsolatedRunner],
    ) -> None:
        self._child, self._signature = child, signature
        self.number, self.name, self.load_s = number, name, load_s
        self.again = again
        self._owns_child = False

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; inputs already have the file's dtype and shape."""
        results = self._child.run(self.number, feeds, self.name)
        got = [(value.shape, str(value.dtype)) for value in results]
        wanted = [(spec.shape, spec.dtype) for spec in self._signature.outputs]
        if got != wanted:
            raise DeviceError(
                f"running {self.name}: outputs differ from the embedded signature", got=got, allowed=wanted
            )
        return results

    def is_in(self, child: Child) -> bool:
        """Whether the artifact lives in that process."""
        return self._child is child

    def memory(self) -> Memory:
        """Resident memory of the child."""
        return self._child.memory()

    def close(self) -> None:
        """Unload the artifact, and end the child when it was started for this artifact alone."""
        if self._owns_child:
            self._child.close()
        else:
            self._child.release(self.number)

    def own_child(self) -> None:
        """Make `close` end the child."""
        self._owns_child = True


def open_isolated(
    path: Path,
    threads: int = 1,
    *,
    spec: TargetSpec | None = None,
    patience: Patience | None = None,
    memory_limit_bytes: int | None = None,
) -> IsolatedRunner:
    """Load an artifact in a child process of its own; `close` ends that process.  Raises as `Child.open`."""
    path, spec = _known(path, spec, installed_here=True)
    child = Child(patience=patience, memory_limit_bytes=memory_limit_bytes)
    try:
        runner = child.open(path, spec, threads)
    except BaseException:
        child.close()
        raise
    runner.own_child()
    return runner


def _known(path: Path, spec: TargetSpec | None, *, installed_here: bool) -> tuple[Path, TargetSpec]:
    path = path.absolute()
    check_exists(path)
    spec = spec or target_of(path)
    if installed_here:
        spec.check_installed()
    return path, spec


@contextlib.contextmanager
def _sensible(doing: str) -> Iterator[None]:
    """The other side may be anything: what it answers is looked at here, and not trusted."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DeviceError(f"{doing}: the child answers nonsense", got=printable(str(error))) from error


def _foreign(header: Mapping[str, Any], doing: str, blame: type[PocketpressError]) -> PocketpressError:
    """The child's error in the parent's terms; ours keep their kind and text."""
    message = printable(str(header.get("message", "")))
    kind = KINDS.get(str(header["error"]))
    if kind is not None:
        return kind(message)
    if message.startswith("MemoryError"):
        return DeviceError(f"{doing}: no memory left", got=message)
    return blame(f"{doing}: the runtime refuses", got=message)
