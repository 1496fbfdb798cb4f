"""The child process: ``python -m pocketpress.devices.worker`` loads and runs artifacts for `isolated`.

It reads frames from its standard input and answers on what was its standard output; anything a runtime
prints goes to standard error.  It imports only the ``run`` module of the target it is told to open, and ends
when its input ends.  On another machine (`devices.runner`) it takes the artifacts themselves, too, and keeps
them in the folder that it was started in.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pocketpress.core.errors import DeviceError, PocketpressError
from pocketpress.core.target import Array, BlockTimer, OpenFunction, Resident, Runner
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.frames import Frame, read_frame, write_frame
from pocketpress.devices.machine import describe_machine
from pocketpress.devices.memory import peak_rss_bytes, reset_peak, rss_bytes
from pocketpress.devices.timing import interleave

GRACE_S = 5.0


class Service:
    """The artifacts this process holds, by number, and the requests it understands."""

    def __init__(self) -> None:
        self._runners: dict[int, Runner] = {}
        self._baseline = 0
        self._last: Runner | None = None
        self._opened = 0

    def answer(self, request: Frame) -> Frame:
        """Carry out one request; an exception becomes an error frame."""
        actions: dict[str, Callable[[Frame], Frame]] = {
            "open": self._open,
            "run": self._run,
            "time": self._time,
            "memory": self._memory,
            "close": self._close,
            "put": self._put,
            "describe": self._describe,
        }
        try:
            return actions[request.header["op"]](request)
        except Exception as error:
            ours = isinstance(error, PocketpressError)
            text = str(error) if ours else f"{type(error).__name__}: {error}"
            return Frame({"error": type(error).__name__ if ours else "", "message": text[:4096]})

    def _describe(self, request: Frame) -> Frame:
        return Frame(describe_machine(request.header["packages"]))

    def _put(self, request: Frame) -> Frame:
        """Write a piece of a file below the working folder."""
        path = Path(request.header["path"])
        if path.is_absolute() or ".." in path.parts:
            raise DeviceError("not a path below the working folder", got=path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb" if request.header["first"] else "ab") as file:
                file.write(request.arrays[0].tobytes())
        except OSError as error:
            raise DeviceError("the device cannot store the artifact", got=error.strerror) from error
        return Frame({})

    def _open(self, request: Frame) -> Frame:
        module = importlib.import_module(f"{request.header['package']}.run")
        open_runner: OpenFunction = module.open_runner
        reset_peak()
        self._baseline = rss_bytes()
        start = time.perf_counter()
        runner = open_runner(Path(request.header["path"]), request.header["threads"])
        load_s = time.perf_counter() - start
        number = self._opened
        self._opened += 1
        self._runners[number] = runner
        self._last = runner
        return Frame({"number": number, "signature": runner.signature.to_json(), "load_s": load_s})

    def _run(self, request: Frame) -> Frame:
        results = self._runners[request.header["number"]].run(list(request.arrays))
        return Frame({}, tuple(np.asarray(result) for result in results))

    def _time(self, request: Frame) -> Frame:
        feeds = list(request.arrays)
        calls = []
        for number, count in request.header["feeds"]:
            calls.append(_bind(self._runners[number], feeds[:count]))
            feeds = feeds[count:]
        times = interleave(calls, TimingPlan(**request.header["plan"]))
        return Frame({"warmup": times.warmup, "overhead_s": times.overhead_s}, (times.seconds,))

    def _memory(self, request: Frame) -> Frame:
        peak, baseline = peak_rss_bytes(), self._baseline
        if isinstance(self._last, Resident):
            peak, baseline = self._last.resident_bytes()
        return Frame({"peak_rss_bytes": peak, "baseline_rss_bytes": baseline})

    def _close(self, request: Frame) -> Frame:
        self._runners.pop(request.header["number"]).close()
        return Frame({})


class _Inference:
    """One inference of a runner on the same feeds, timed by the runner itself where it can."""

    def __init__(self, runner: Runner, feeds: list[Array]) -> None:
        self._runner, self._feeds = runner, feeds

    def __call__(self) -> object:
        return self._runner.run(self._feeds)


class _TimedInference(_Inference):
    def time_block(self, count: int) -> list[float]:
        assert isinstance(self._runner, BlockTimer)
        return self._runner.time_block(self._feeds, count)


def _bind(runner: Runner, feeds: list[Array]) -> Callable[[], object]:
    timed = isinstance(runner, BlockTimer)
    return (_TimedInference if timed else _Inference)(runner, feeds)


def serve(requests: BinaryIO, answers: BinaryIO, idle_limit_s: float = 0.0) -> None:
    """Answer until the requests end, or for so long there is none (0 for ever)."""
    service = Service()
    write_frame(answers, Frame({"ready": True, "pid": os.getpid()}))
    _alarm(idle_limit_s)
    while (request := read_frame(requests)) is not None:
        _alarm(float(request.header.get("timeout_s", 0)))
        answer = service.answer(request)
        _alarm(idle_limit_s)
        write_frame(answers, answer)


def _alarm(seconds: float) -> None:
    """End this process if a request outlives its parent's patience (the parent may be gone)."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_S if seconds > 0 else 0)


def _limit_memory(size_bytes: int) -> None:
    """Let allocations beyond ``size_bytes`` fail.

    The limit is on data and not on address space, of which runtimes map far more than they use.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))


def main() -> None:
    """Set up the pipes and limits, and serve."""
    parser = argparse.ArgumentParser(description="Load and run artifacts for a parent process.")
    parser.add_argument("--memory-limit", type=int, default=0, metavar="BYTES")
    parser.add_argument("--idle-limit", type=float, default=0.0, metavar="SECONDS")
    options = parser.parse_args()
    if options.memory_limit:
        _limit_memory(options.memory_limit)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    requests = os.fdopen(os.dup(0), "rb")
    with contextlib.suppress(BrokenPipeError):
        serve(requests, answers, options.idle_limit)


if __name__ == "__main__":
    main()
