"""Check that a device keeps what `core.device` promises, with one small artifact that really runs on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketpress.core.device import Connection, Description, Device
from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.testing.case_builder import FLOAT, INTEGER, Case
from pocketpress.testing.cases import all_cases
from pocketpress.testing.conformance import FLOAT_TOLERANCE
from pocketpress.verify.reference import interpret

CASE = "conv2d"
PLAN = TimingPlan(warmup=1, block=2, min_rounds=3, max_rounds=3, budget_s=60.0)


@dataclass(frozen=True)
class DeviceResult:
    """What was found.

    Attributes:
        description: what the device says of itself, or None when it does not.
        problems: promises that it does not keep, in words; none for a device that conforms.
    """

    description: Description | None
    problems: tuple[str, ...]

    @property
    def conforms(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems


def check_device(device: Device, target: str) -> DeviceResult:
    """Describe, refuse, connect, open, run, time and close; files that are none; what is left closed.

    Args:
        device: can be reached, and executes the target's artifacts.
        target: name of a target whose packages are installed here too.

    Raises:
        PocketpressError: the device cannot be reached at all.
    """
    description = device.describe()
    spec = all_targets()[target]
    problems = list(_described(description))
    reason = device.refuses(spec)
    if reason is not None:
        return DeviceResult(description, (*problems, f"it refuses {target}: {reason}"))
    with tempfile.TemporaryDirectory() as name:
        problems += _executed(device, spec, Path(name))
    device.close()
    device.close()
    return DeviceResult(description, tuple(problems))


def _described(description: Description) -> Iterator[str]:
    for field in ("name", "kind", "words"):
        text = getattr(description, field)
        if not text or not text.isprintable():
            yield f"its {field} is no line of text: {text!r}"
    unknown = sorted(set(description.runtimes) - set(all_targets()))
    if unknown:
        yield f"it has runtimes of targets that are not known: {', '.join(unknown)}"


def _case(spec: TargetSpec) -> Case:
    wanted = INTEGER if INTEGER in spec.precisions else FLOAT
    return next(c for c in all_cases() if (c.op, c.precision, c.island) == (CASE, wanted, False))


def _executed(device: Device, spec: TargetSpec, folder: Path) -> list[str]:
    case, path = _case(spec), folder / f"case one{spec.suffix}"
    signature = signature_of(case.program, precision=case.precision)
    spec.lower(case.program, signature, path)
    feeds = [case.feeds[name] for name in case.program.inputs]
    problems: list[str] = []
    connection = device.connect()
    try:
        runner = connection.open(path, spec)
        if runner.signature != signature:
            problems.append("the signature is not the artifact's")
        problems += _computed(runner, feeds, case)
        problems += _timed(connection, runner, connection.open(path), feeds)
        problems += _refused(connection, spec, folder, path)
        again = device.connect()  # a second process beside the first
        problems += [f"in a second process: {p}" for p in _computed(again.open(path, spec), feeds, case)]
        again.close()
    finally:
        connection.close()
        connection.close()
    return [*problems, *_closed(runner, feeds)]


def _computed(runner: Runner, feeds: list[Array], case: Case) -> Iterator[str]:
    expected = interpret(case.program, case.feeds)
    for _ in range(2):
        for name, got in zip(case.program.outputs, runner.run(feeds), strict=True):
            wanted = expected[name]
            if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
                yield f"output {name} is {got.dtype} of {got.shape}, not {wanted.dtype} of {wanted.shape}"
            elif not _alike(got, wanted, case.precision):
                yield f"output {name} is not the reference's"


def _alike(got: Array, wanted: Array, precision: str) -> bool:
    if precision == INTEGER:
        return np.array_equal(got, wanted)
    return bool(np.abs(got - wanted).max() <= FLOAT_TOLERANCE * np.ptp(wanted))


def _timed(connection: Connection, first: Runner, second: Runner, feeds: list[Array]) -> Iterator[str]:
    times = connection.time([(first, feeds), (second, feeds)], PLAN)
    if times.seconds.ndim != 3 or times.seconds.shape[0] != 2 or not times.seconds.size:
        yield f"times are of shape {times.seconds.shape}, not (2, rounds, block)"
    elif not (np.isfinite(times.seconds).all() and (times.seconds > 0).all()):
        yield "times are not all positive"


def _refused(connection: Connection, spec: TargetSpec, folder: Path, good: Path) -> Iterator[str]:
    damaged = folder / f"damaged{spec.suffix}"
    damaged.write_bytes(good.read_bytes()[:100] if good.is_file() else b"no artifact")
    for what, path in (("a missing file", folder / f"none{spec.suffix}"), ("a damaged file", damaged)):
        try:
            connection.open(path, spec)
        except ArtifactError:
            continue
        except PocketpressError as error:
            yield f"{what} is a {type(error).__name__}, not an ArtifactError: {error}"
        else:
            yield f"{what} is opened"


def _closed(runner: Runner, feeds: list[Array]) -> Iterator[str]:
    try:
        runner.run(feeds)
    except DeviceError:
        return
    except Exception as error:
        yield f"running after closing is a {type(error).__name__}, not a DeviceError: {error}"
    else:
        yield "it still runs after closing"
