"""Throw damaged and hostile files at everything that reads files, within limits, and count what happens.

    python -m scripts.fuzz_sources --mutants 2000 --out results/fuzz.json

Mutants are read as a press reads them, many in one forked child with limits on memory and time, which is
forked again when it ends.  Kinds that a press reads in a child process first (`CONTAINED`) are read by what
that child runs, and then as a whole: what ends the first reading would end that child, and becomes a clear
error.  An outcome is a network (``read``), a clear error (``SourceError`` and its like, one line), a failure
of the first reading (``contained``), or a failure: another exception (``unclear``), a signal (``crash``), the
time limit (``hang``), the memory limit (``memory``), or a side effect.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.fuzz_mutants import MARK, mutant
from scripts.fuzz_seeds import READERS, Seeds, make_seeds

from pocketpress.sources import vetted

MEMORY_BYTES = 6 << 30
"""Address space above what the parent has: torch alone maps gigabytes."""
SECONDS = 20
FIRST_SECONDS = 4
"""For the first reading of kinds that have one: a press waits for two minutes, and gives an error then."""
LONGEST_MESSAGE = 2000
BATCH = 200
WALL = 6
"""Seconds on the clock for one of the processor: machines may be busy."""
CONTAINED = {
    "onnx": "onnx",
    "onnx-external": "onnx",
    "keras": "keras",
    "h5": "keras",
    "pt2": "pt2",
    "pt": "state",
}
"""Kinds that are read in a child process first, and the names of their readers there."""
FAILURES = ("unclear", "crash", "hang", "memory", "side effect", "long message")
PACKAGES = ("torch", "onnx-ir", "onnx", "keras", "h5py", "safetensors", "numpy")


@dataclass
class Tally:
    """What became of the mutants of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def main(argv: list[str] | None = None) -> None:
    """Run all kinds, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1000, help="of each kind")
    parser.add_argument("--kinds", default=",".join(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for mutants that fail")
    parser.add_argument("--seeds", type=Path, help="folder of valid files, made when it is empty")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    tallies = {}
    with tempfile.TemporaryDirectory() as folder:
        place = given.seeds or Path(folder) / "seeds"
        place.mkdir(parents=True, exist_ok=True)
        kinds = given.kinds.split(",")
        seeds = make_seeds(place, kinds)
        for kind in kinds:
            begin = time.monotonic()
            tallies[kind] = fuzz(kind, seeds, given.mutants, given.seed, Path(folder), given.keep)
            seconds = time.monotonic() - begin
            print(kind, dict(tallies[kind].outcomes), f"{seconds:.0f} s", file=sys.stderr, flush=True)
            for line in tallies[kind].failures[:20]:
                print("   ", line, file=sys.stderr, flush=True)
            if given.out is not None:  # what is done so far
                given.out.write_text(json.dumps(summary(tallies, given.mutants, given.seed), indent=1) + "\n")
    if any(tally.failures for tally in tallies.values()):
        sys.exit(1)


def summary(tallies: dict[str, Tally], mutants: int, seed: int) -> dict[str, Any]:
    """The run as data."""
    return {
        "mutants_per_kind": mutants,
        "seed": seed,
        "limits": {"memory_bytes": MEMORY_BYTES, "seconds": SECONDS, "first_reading_seconds": FIRST_SECONDS},
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "kinds": {
            kind: {
                "outcomes": dict(sorted(tally.outcomes.items())),
                "errors": dict(tally.errors.most_common(12)),
                "failures": tally.failures[:50],
                "slowest_s": round(tally.slowest_s, 2),
            }
            for kind, tally in tallies.items()
        },
    }


def fuzz(kind: str, seeds: Seeds, count: int, seed: int, folder: Path, keep: Path | None = None) -> Tally:
    """Read ``count`` mutants of one kind.

    Args:
        kind: of `READERS`.
        seeds: valid files of every kind.
        count: mutants.
        seed: with the mutant's number it decides the mutant.
        folder: where a mutant lies while it is read.
        keep: where those that fail are kept.
    """
    tally = Tally()
    place = folder / f"mutant-{kind}"
    place.mkdir(exist_ok=True)
    for beside, data in seeds.beside.get(kind, {}).items():
        (place / beside).write_bytes(data)
    bench = Bench(kind, seeds, seed, place)
    number = 0
    while number < count:
        for found in run_batch(bench, range(number, min(number + BATCH, count))):
            _note(tally, bench, found, keep)
            number = found.number + 1
    return tally


def _note(tally: Tally, bench: Bench, found: Outcome, keep: Path | None) -> None:
    tally.outcomes[found.word] += 1
    tally.slowest_s = max(tally.slowest_s, found.seconds)
    if found.word in ("error", "contained"):
        tally.errors[found.detail] += 1
    if found.word in FAILURES:
        tally.failures.append(f"{bench.kind} {found.number}: {found.word}: {found.detail}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            name = f"{bench.kind}-{found.number}{READERS[bench.kind].suffix}"
            (keep / name).write_bytes(bench.mutant(found.number))


@dataclass(frozen=True)
class Outcome:
    """What reading one mutant did: a word, the error's type or text, and how long it took."""

    number: int
    word: str
    detail: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What a batch needs: the kind, valid files, the seed, a folder, and limits."""

    kind: str
    seeds: Seeds
    seed: int
    place: Path
    seconds: int = SECONDS
    memory_bytes: int = MEMORY_BYTES

    def mutant(self, number: int) -> bytes:
        """The same for the same kind, seed and number."""
        files = self.seeds.files[self.kind]
        rng = random.Random(f"{self.kind} {self.seed} {number}")
        return mutant(self.kind, files[number % len(files)], rng)[1]

    def read(self, number: int, passed: Callable[[], None] = lambda: None) -> tuple[str, str]:
        """Word and detail, in this process.

        Args:
            number: of the mutant.
            passed: called when the reading that a press does in a child process has come to its end.
        """
        reader = READERS[self.kind]
        path = self.place / f"file{reader.suffix}"
        path.write_bytes(self.mutant(number))
        said = self._first(path) or self._whole(path, passed)
        marks = [mark for mark in (self.place / MARK, Path(MARK)) if mark.exists()]
        for mark in marks:
            mark.unlink()
        return ("side effect", f"{MARK} was written") if marks else said

    def _first(self, path: Path) -> tuple[str, str] | None:
        """What the child says where it refuses the file; None where it does not, or there is none."""
        from pocketpress.core.errors import BlockedError, UserError

        if self.kind not in CONTAINED:
            return None
        try:
            vetted.READERS[CONTAINED[self.kind]](path)
        except BlockedError:
            return None
        except UserError as error:
            return _clear(error)
        except BaseException as error:
            return "contained", type(error).__name__
        return None

    def _whole(self, path: Path, passed: Callable[[], None]) -> tuple[str, str]:
        from pocketpress.core.errors import UserError

        passed()
        try:
            READERS[self.kind].read(path)
        except UserError as error:
            return _clear(error)
        except MemoryError as error:
            return "memory", str(error)[:200]
        except BaseException as error:
            return "unclear", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return "read", ""


def _clear(error: Exception) -> tuple[str, str]:
    text = str(error)
    clear = "\n" not in text and len(text) <= LONGEST_MESSAGE
    return ("error", type(error).__name__) if clear else ("long message", text[:200])


def run_batch(bench: Bench, numbers: range) -> list[Outcome]:
    """Read mutants one after another in one forked child, up to the first that ends it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _serve(bench, numbers, sender)
    sender.close()
    found: list[Outcome] = []
    hangs, first = False, bench.kind in CONTAINED
    try:
        while len(found) < len(numbers):
            if not receiver.poll(WALL * bench.seconds):
                hangs = True
                os.kill(child, signal.SIGKILL)
                break
            said = receiver.recv()
            if said is not None:
                found.append(Outcome(*said))
            first = said is not None and bench.kind in CONTAINED
    except EOFError:
        pass
    receiver.close()
    _, status = os.waitpid(child, 0)
    if len(found) < len(numbers):
        word, detail = ("hang", "no end") if hangs else _ending(status)
        if first:
            word, detail = "contained", f"{word} {detail}"
        found.append(Outcome(numbers[len(found)], word, detail))
    return found


def _ending(status: int) -> tuple[str, str]:
    if not os.WIFSIGNALED(status):
        return "crash", f"exit status {os.waitstatus_to_exitcode(status)}"
    name = signal.Signals(os.WTERMSIG(status)).name
    return ("hang" if name == "SIGXCPU" else "crash"), name


def _serve(bench: Bench, numbers: range, sender: Any) -> None:
    """Never returns: the child of a fork must not run what its parent would."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_mapped_bytes() + bench.memory_bytes,) * 2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        for number in numbers:
            begin = time.process_time()
            _limit_time(FIRST_SECONDS if bench.kind in CONTAINED else bench.seconds)
            said = bench.read(number, lambda: _passed(bench, sender))
            sender.send((number, *said, time.process_time() - begin))
    finally:
        os._exit(0)


def _passed(bench: Bench, sender: Any) -> None:
    sender.send(None)
    _limit_time(bench.seconds)


def _limit_time(seconds: int) -> None:
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
