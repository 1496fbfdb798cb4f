"""docs/devices.md names every device and every variable, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pocketpress.core.devices import all_devices
from pocketpress.devices import boot, ssh
from pocketpress.devices.adb.tools import TOOLS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "devices.md").read_text()


def test_every_device_and_variable_is_there() -> None:
    for name in all_devices():
        assert f"`{name}" in PAGE, name
    variables = {boot.PYTHON, ssh.COMMAND, *(tool.variable for tool in TOOLS.values())}
    assert set(re.findall(r"`(POCKETPRESS_(?:ADB|SSH|DEVICE_PYTHON)\w*)`", PAGE)) == variables


def test_the_example_runs() -> None:
    pytest.importorskip("ai_edge_litert")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
