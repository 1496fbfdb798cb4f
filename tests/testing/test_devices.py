"""The check of devices passes for those of this package, and finds what is wrong with others."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.devices import sshd
from tests.devices.adb_server import serving
from tests.devices.test_adb import phone_in

from pocketpress.core.device import Description
from pocketpress.core.devices import open_device
from pocketpress.core.errors import DeviceError
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.timing import Times, TimingPlan
from pocketpress.devices.adb.device import AdbDevice
from pocketpress.devices.ssh import SshDevice, parse_destination
from pocketpress.testing import check_device

pytest.importorskip("ai_edge_litert")


def test_this_machine_conforms() -> None:
    result = check_device(open_device("host"), "litert")
    assert result.conforms, result.problems
    assert result.description is not None and result.description.name == "host"


@pytest.mark.skipif(sshd.SERVER is None or sshd.CLIENT is None, reason=sshd.MISSING)
def test_a_board_conforms(tmp_path: Path) -> None:
    with sshd.serving(tmp_path) as server:
        server.has_python(sys.executable)
        device = SshDevice(f"ssh:{server.rest}", parse_destination(server.rest), server.environment)
        assert check_device(device, "litert").problems == ()
        assert server.settled() == ([], []) and server.deserted()


def test_a_phone_conforms(tmp_path: Path) -> None:
    phone = phone_in(tmp_path)
    with serving(phone) as server:
        assert check_device(AdbDevice(None, server.environment), "litert").problems == ()
        assert phone.settled() == ([], [])


class Wrapped:
    """This machine, with one promise broken."""

    def __init__(self, **broken: Any) -> None:
        self._device, self._broken = open_device("host"), broken

    def describe(self) -> Description:
        change = self._broken.get("description")
        found = self._device.describe()
        return found if change is None else Description(**{**vars(found), **change})

    def refuses(self, spec: TargetSpec) -> str | None:
        return self._broken.get("refusal")

    def connect(self) -> Connected:
        return Connected(self._device.connect(), self._broken)

    def close(self) -> None:
        self._device.close()


class Connected:
    def __init__(self, connection: Any, broken: dict[str, Any]) -> None:
        self._connection, self._broken = connection, broken

    def open(self, path: Path, spec: TargetSpec | None = None, threads: int = 1) -> Runner:
        if "opens" in self._broken:
            return self._broken["opens"](self._connection, path, spec)  # type: ignore[no-any-return]
        return Running(self._connection.open(path, spec, threads), self._broken)

    def time(self, pairs: list[tuple[Any, list[Array]]], plan: TimingPlan | None = None) -> Times:
        times = self._connection.time(
            [(r.runner if isinstance(r, Running) else r, f) for r, f in pairs], plan
        )
        return Times(self._broken.get("seconds", lambda s: s)(times.seconds), 1, 0.0)

    def close(self) -> None:
        self._connection.close()


class Running:
    def __init__(self, runner: Any, broken: dict[str, Any]) -> None:
        self.runner, self._broken, self.signature = runner, broken, runner.signature

    def run(self, feeds: list[Array]) -> list[Array]:
        try:
            return [self._broken.get("output", lambda v: v)(value) for value in self.runner.run(feeds)]
        except DeviceError:
            if "ends" in self._broken:
                return self._broken["ends"]()  # type: ignore[no-any-return]
            raise

    def close(self) -> None:
        self.runner.close()


def raising(error: type[Exception]) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error("of its own")

    return fail


def opened_anyway(connection: Any, path: Path, spec: TargetSpec | None) -> Any:
    try:
        return Running(connection.open(path, spec), {})
    except Exception as error:
        raise DeviceError(str(error)) from error


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"description": {"words": "a\nb"}}, "its words is no line of text: 'a\\nb'"),
        ({"description": {"name": ""}}, "its name is no line of text: ''"),
        ({"description": {"runtimes": {"x": "1"}}}, "it has runtimes of targets that are not known: x"),
        ({"refusal": "not today"}, "it refuses litert: not today"),
        ({"output": lambda v: v + 1}, "is not the reference's"),
        ({"output": lambda v: v.astype(np.float64)}, "is float64 of"),
        ({"seconds": lambda s: s[0]}, r"times are of shape \(3, 2\), not \(2, rounds, block\)"),
        ({"seconds": lambda s: s * 0}, "times are not all positive"),
        ({"opens": opened_anyway}, "a missing file is a DeviceError, not an ArtifactError"),
        ({"ends": list}, "it still runs after closing"),
        ({"ends": raising(OSError)}, "running after closing is a OSError, not a DeviceError: of its own"),
    ],
)
def test_a_broken_promise_is_found(broken: dict[str, Any], problem: str) -> None:

    result = check_device(Wrapped(**broken), "litert")
    assert not result.conforms
    assert any(re.search(problem, text) or problem == text for text in result.problems), result.problems
