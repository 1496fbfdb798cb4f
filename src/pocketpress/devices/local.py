"""The device ``host``: this machine, in a child process."""

from __future__ import annotations

from pocketpress.core.errors import UserError
from pocketpress.devices.isolated import Patience
from pocketpress.devices.link import local_link
from pocketpress.devices.python_device import PythonDevice


def open_host(rest: str) -> PythonDevice:
    """This machine.

    Raises:
        UserError: something follows the name.
    """
    if rest:
        raise UserError("the device host takes nothing behind a colon", got=f"host:{rest}", allowed="host")
    return PythonDevice("host", "host", local_link, patience=Patience(), install=_install)


def _install(*packages: str) -> str:
    names = " ".join(package.replace("_", "-") for package in packages if package != "numpy")
    return f"run: pip install {names}"
