"""Throw damaged and hostile files at everything that reads files, within limits, and count what happens.

    python -m scripts.fuzz_sources --mutants 2000 --out results/fuzz.json

Every mutant is read in a forked child with limits on memory and time, as a press reads it.  An outcome is a
network (``read``), a clear error (``SourceError`` and its like, one line), a failure of the child process
that reads first, which became a clear error (``contained``), or a failure: another exception (``unclear``),
a signal (``crash``), the time limit (``hang``), the memory limit (``memory``), or a side effect.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.fuzz_mutants import MARK, mutant
from scripts.fuzz_seeds import READERS, Seeds, make_seeds

MEMORY_BYTES = 6 << 30
"""Address space above what the parent has: torch alone maps gigabytes."""
SECONDS = 20
LONGEST_MESSAGE = 2000
CONTAINED = ("onnx", "onnx-external", "keras", "h5", "pt2", "pt")
"""Kinds that are read in a child process first; here that is tried when reading without it fails."""
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
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    tallies = {}
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
        for kind in given.kinds.split(","):
            begin = time.monotonic()
            tallies[kind] = fuzz(kind, seeds, given.mutants, given.seed, Path(folder), given.keep)
            seconds = time.monotonic() - begin
            print(kind, dict(tallies[kind].outcomes), f"{seconds:.0f} s", file=sys.stderr, flush=True)
            for line in tallies[kind].failures[:20]:
                print("   ", line, file=sys.stderr, flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps(summary(tallies, given.mutants, given.seed), indent=1) + "\n")
    if any(tally.failures for tally in tallies.values()):
        sys.exit(1)


def summary(tallies: dict[str, Tally], mutants: int, seed: int) -> dict[str, Any]:
    """The run as data."""
    return {
        "mutants_per_kind": mutants,
        "seed": seed,
        "limits": {"memory_bytes": MEMORY_BYTES, "seconds": SECONDS},
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
        seed: of the generator.
        folder: where a mutant lies while it is read.
        keep: where those that fail are kept.
    """
    tally = Tally()
    for number, (name, content) in enumerate(mutants(kind, seeds, count, seed)):
        place = folder / f"mutant-{kind}"
        place.mkdir(exist_ok=True)
        mark = place / MARK
        path = place / f"file{READERS[kind].suffix}"
        path.write_bytes(content)
        for beside, data in seeds.beside.get(kind, {}).items():
            (place / beside).write_bytes(data)
        begin = time.monotonic()
        outcome, detail = outcome_of(lambda path: READERS[kind].read(path, False), path)
        if outcome in FAILURES and kind in CONTAINED:
            again = outcome_of(lambda path: READERS[kind].read(path, True), path, seconds=4 * SECONDS)
            outcome, detail = ("contained", f"{outcome} {detail}") if again[0] == "error" else again
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - begin)
        if mark.exists() or Path(MARK).exists():
            outcome, detail = "side effect", f"{MARK} was written"
            mark.unlink(missing_ok=True)
        tally.outcomes[outcome] += 1
        if outcome in ("error", "contained"):
            tally.errors[detail] += 1
        if outcome in FAILURES:
            tally.failures.append(f"{kind} {number} {name}: {outcome}: {detail}")
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{number}{READERS[kind].suffix}").write_bytes(content)
    return tally


def mutants(kind: str, seeds: Seeds, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name of the mutation, and the file."""
    rng = random.Random(f"{kind} {seed}")
    files = seeds.files[kind]
    for number in range(count):
        yield mutant(kind, files[number % len(files)], rng)


def outcome_of(
    read: Callable[[Path], object], path: Path, *, seconds: int = SECONDS, memory: int = MEMORY_BYTES
) -> tuple[str, str]:
    """What reading a file does, in a forked child: outcome and the error's type and text."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _read_and_exit(read, path, sender, seconds, memory)
    sender.close()
    said = _said(receiver, child, seconds)
    receiver.close()
    _, status = os.waitpid(child, 0)
    if said == ("hang", ""):
        return said
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return ("hang", name) if name in ("SIGXCPU", "SIGALRM") else ("crash", name)
    return said or ("crash", f"exit status {os.waitstatus_to_exitcode(status)}")


def _said(receiver: Any, child: int, seconds: int) -> tuple[str, str] | None:
    try:
        if not receiver.poll(6 * seconds):
            os.kill(child, signal.SIGKILL)
            return "hang", ""
        outcome, detail = receiver.recv()
        return str(outcome), str(detail)
    except EOFError:
        return None


def _read_and_exit(
    read: Callable[[Path], object], path: Path, sender: Any, seconds: int, memory: int
) -> None:
    """Never returns: the child of a fork must not run what its parent would."""
    from pocketpress.core.errors import UserError

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_mapped_bytes() + memory,) * 2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            read(path)
            said = ("read", "")
        except UserError as error:
            text = str(error)
            clear = "\n" not in text and len(text) <= LONGEST_MESSAGE
            said = ("error", type(error).__name__) if clear else ("long message", text[:200])
        except MemoryError as error:
            said = ("memory", str(error)[:200])
        except BaseException as error:
            said = ("unclear", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        sender.send(said)
    finally:
        os._exit(0)


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
