"""Load and run an artifact in a child process, so that whatever its runtime does stays there.

A corrupt file can make a runtime abort, hang or eat memory; in the parent each of these is one line:
an `ArtifactError` when the file could not be loaded, a `DeviceError` when the machine or the runtime failed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from pocketpress.core import errors
from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, TargetSpec
from pocketpress.core.targets import target_of
from pocketpress.core.timing import Times, TimingPlan
from pocketpress.devices.frames import Frame, FrameError, read_frame, write_frame

STDERR_BYTES = 8192
GOODBYE_S = 10.0
"""For a child to end by itself: one with a browser closes that and removes its profile."""
TEXT_CHARACTERS = 200


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

    def __init__(self, *, patience: Patience | None = None, memory_limit_bytes: int | None = None) -> None:
        """Start the process and wait until it answers.

        Args:
            patience: time-outs.
            memory_limit_bytes: allocations of the child beyond this fail (Linux only).

        Raises:
            DeviceError: the process does not start.
        """
        self.patience = patience or Patience()
        command = [sys.executable, "-m", "pocketpress.devices.worker"]
        if memory_limit_bytes is not None:
            command.append(f"--memory-limit={memory_limit_bytes}")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError("cannot start a process to load the artifact in", got=error.strerror) from error
        self._said = _Tail(cast("IO[bytes]", self._process.stderr))
        self._timed_out = False
        with self._ending_on_error(), self._watched(self.patience.start_s):
            self._receive("starting the process", self.patience.start_s, DeviceError)

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
        path, spec = _known(path, spec)
        answer = self._call(
            {"op": "open", "package": spec.package, "path": str(path), "threads": threads},
            doing=f"loading {path.name} in {spec.title}",
            patience_s=self.patience.load_s,
            blame=ArtifactError,
        )
        try:
            signature = Signature.from_json(str(answer.header["signature"]))
            number, load_s = int(answer.header["number"]), float(answer.header["load_s"])
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise DeviceError(f"loading {path.name}: the child answers nonsense") from error
        return IsolatedRunner(
            self, number, signature, path.name, load_s, lambda: self.open(path, spec, threads)
        )

    def run(self, number: int, feeds: list[Array], name: str) -> list[Array]:
        """Compute one inference of artifact ``number``."""
        answer = self._call(
            {"op": "run", "number": number},
            tuple(feeds),
            doing=f"running {name}",
            patience_s=self.patience.run_s,
        )
        return list(answer.arrays)

    def time(
        self, pairs: Sequence[tuple[IsolatedRunner, list[Array]]], plan: TimingPlan | None = None
    ) -> Times:
        """Time artifacts of this child against each other, inside the child (see `timing.interleave`).

        Args:
            pairs: a runner of this child and its inputs, each.
            plan: how long.
        """
        plan = plan or TimingPlan()
        feeds = [(runner.number, len(arrays)) for runner, arrays in pairs]
        answer = self._call(
            {"op": "time", "feeds": feeds, "plan": asdict(plan)},
            tuple(array for _, arrays in pairs for array in arrays),
            doing="timing " + ", ".join(runner.name for runner, _ in pairs),
            patience_s=plan.budget_s + 3 * self.patience.run_s * max(1, len(pairs)),
        )
        return Times(answer.arrays[0], int(answer.header["warmup"]), float(answer.header["overhead_s"]))

    def memory(self) -> Memory:
        """Ask the child for its resident memory."""
        header = self._call({"op": "memory"}, doing="measuring memory", patience_s=self.patience.run_s).header
        return Memory(int(header["peak_rss_bytes"]), int(header["baseline_rss_bytes"]))

    def release(self, number: int) -> None:
        """Unload artifact ``number``."""
        if self._process.poll() is None:
            self._call({"op": "close", "number": number}, doing="unloading", patience_s=self.patience.run_s)

    def close(self) -> None:
        """End the process; safe to call twice."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast("IO[bytes]", stream).close()
        try:
            self._process.wait(timeout=GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._said.close()

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
        if self._process.poll() is not None or cast("IO[bytes]", self._process.stdin).closed:
            raise DeviceError(f"{doing}: the child process has ended", next_step="open the artifact again")
        with self._ending_on_error(), self._watched(patience_s):
            with contextlib.suppress(BrokenPipeError):  # it died: `_receive` says of what
                write_frame(
                    cast("BinaryIO", self._process.stdin), Frame({**header, "timeout_s": patience_s}, arrays)
                )
            answer = self._receive(doing, patience_s, blame)
        if "error" in answer.header:
            raise _foreign(answer.header, doing, blame)
        return answer

    def _receive(self, doing: str, patience_s: float, blame: type[PocketpressError]) -> Frame:
        try:
            frame = read_frame(cast("BinaryIO", self._process.stdout))
        except FrameError as error:
            frame, problem = None, str(error)
        else:
            problem = "no answer"
        if frame is not None:
            return frame
        if not self._timed_out:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
        raise self._death(doing, patience_s, blame, problem)

    def _death(
        self, doing: str, patience_s: float, blame: type[PocketpressError], problem: str
    ) -> PocketpressError:
        status = self._process.poll()
        if self._timed_out:
            return DeviceError(
                f"{doing}: the runtime hangs",
                got=f"no answer in {patience_s:g} s",
                next_step="the file may be corrupt, or the machine too slow",
            )
        last = self._said.last_line()
        ending = problem if status is None else _ending(status)
        if status == -getattr(signal, "SIGKILL", 9):
            return DeviceError(
                f"{doing}: the process was killed", got=ending, next_step="is there enough memory?"
            )
        return blame(
            f"{doing}: the runtime crashed",
            got=f"{ending} ({last})" if last else ending,
            next_step="the file may be corrupt or truncated; press it again",
        )

    @contextlib.contextmanager
    def _watched(self, seconds: float) -> Any:
        """Kill the child when the block takes longer: its pipes then close, and blocking reads return."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _ending_on_error(self) -> Any:
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
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()


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
        return self._child.run(self.number, feeds, self.name)

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
    path, spec = _known(path, spec)
    child = Child(patience=patience, memory_limit_bytes=memory_limit_bytes)
    try:
        runner = child.open(path, spec, threads)
    except BaseException:
        child.close()
        raise
    runner.own_child()
    return runner


def _known(path: Path, spec: TargetSpec | None) -> tuple[Path, TargetSpec]:
    path = path.absolute()
    if not path.exists():
        raise ArtifactError("no such artifact", got=path)
    spec = spec or target_of(path)
    spec.check_installed()
    return path, spec


class _Tail:
    """Drains a stream in a thread and keeps its last bytes, so that a chatty runtime cannot block."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._kept = stream, b""
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                self._kept = (self._kept + part)[-STDERR_BYTES:]

    def last_line(self) -> str:
        """The last line with text in it, printable characters only, shortened."""
        self._thread.join(timeout=1.0)
        lines = [_printable(line) for line in self._kept.decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def close(self) -> None:
        """Stop, once the process has ended."""
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._stream.close()


def _printable(text: str) -> str:
    """One short line without control characters: it may come from a malicious file."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.split())[:TEXT_CHARACTERS]


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _foreign(header: Mapping[str, Any], doing: str, blame: type[PocketpressError]) -> PocketpressError:
    """The child's error in the parent's terms; ours keep their kind and text."""
    message = _printable(str(header.get("message", "")))
    kind = getattr(errors, str(header["error"]), None)
    if isinstance(kind, type) and issubclass(kind, PocketpressError):
        return kind(message)
    if message.startswith("MemoryError"):
        return DeviceError(f"{doing}: no memory left", got=message)
    return blame(f"{doing}: the runtime refuses", got=message)


def _environment() -> dict[str, str]:
    """The parent's import path, so that the child finds the same plug-ins, and nothing from its folder."""
    path = os.pathsep.join(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if entry))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
