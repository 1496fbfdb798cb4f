"""Start a worker on a machine where nothing of ours is, through its shell.

One command line makes a temporary folder, finds a Python and lets it read the runner (`devices.runner`) from
standard input; whatever becomes of that process, and of the connection, the folder is removed after it, with
all that a runtime left there.
The text has no single quotes, backslashes or line ends, so that the login shell may be any: sh, csh, fish.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

from pocketpress.core.errors import DeviceError, PocketpressError, UserError
from pocketpress.devices.runner import LEAST_PYTHON, VENV, runner_bytes

NO_FOLDER, NO_PYTHON, CUT_SHORT = 90, 91, 92
LOST = 255
"""Of ssh, when there is no connection."""
IDLE_LIMIT_S = 900
"""A worker that hears nothing for so long ends: its machine may not notice that the other one is gone."""
FOLDER = "pocketpress."
PYTHON = "POCKETPRESS_DEVICE_PYTHON"
"""Environment variable: the interpreter to use on the device."""

TERMUX = "/data/data/com.termux/files/usr/bin/python3"

QUIETLY = 'TMPDIR="$PWD" XDG_CACHE_HOME="$PWD" ORT_DISABLE_TELEMETRY=1'
"""Of runtimes: what they keep for later goes with the folder, and nothing is reported to anybody."""

_SCRIPT = (
    'trap "" HUP; d=; for t in "$TMPDIR" /tmp /data/local/tmp "$HOME"; do '
    f'[ -n "$t" ] && d=$(mktemp -d "$t/{FOLDER}XXXXXX" 2>/dev/null) && break; done; '
    f'[ -n "$d" ] && cd "$d" || exit {NO_FOLDER}; '
    f'q=; for p in "$1" "$HOME/{VENV[2:]}/bin/python" python3 {TERMUX}; do '
    '[ -n "$p" ] && command -v "$p" >/dev/null 2>&1 && q=$p && break; [ -n "$1" ] && break; done; '
    f's={NO_PYTHON}; if [ -n "$q" ]; then export {QUIETLY}; "$q" -c "$2" "$3"; s=$?; fi; '
    'cd /; rm -rf "$d"; exit "$s"'
)
_CODE = (
    "import os,sys;n=int(sys.argv[1]);b=sys.stdin.buffer.read(n);"
    f"len(b)==n or sys.exit({CUT_SHORT});"
    'f=open("runner.pyz","wb");f.write(b);f.close();'
    f'os.execv(sys.executable,[sys.executable,"runner.pyz","--idle-limit={IDLE_LIMIT_S}"])'
)


def boot_command(environment: Mapping[str, str]) -> str:
    """The command line for the device's shell.

    Raises:
        UserError: the interpreter named in the environment is no path.
    """
    python = environment.get(PYTHON, "")
    if not python.isprintable():
        raise UserError(f"{PYTHON} is not a path", got=repr(python), allowed="printable characters")
    words = ["exec", "sh", "-c", _SCRIPT, "pocketpress", python, _CODE, str(len(runner_bytes()))]
    return " ".join(shlex.quote(word) for word in words)


def send_runner(stream: BinaryIO) -> None:
    """Write the runner in a thread: nobody reads before the connection stands, and it may never."""

    def write() -> None:
        with suppress(OSError, ValueError):  # it ended: its exit status says why
            stream.write(runner_bytes())
            stream.flush()

    threading.Thread(target=write, daemon=True).start()


def exit_status(status: int | None) -> int | None:
    """A shell's exit status as one of Python's: negative for a signal."""
    return -(status - 128) if status is not None and 128 < status < LOST else status


def boot_error(status: int | None, place: str) -> PocketpressError | None:
    """Why no worker started, where the exit status says so."""
    if status == NO_FOLDER:
        return DeviceError(
            f"no folder to write in on {place}",
            allowed="$TMPDIR, /tmp, /data/local/tmp or the home folder",
            next_step="free some space there",
        )
    if status == NO_PYTHON:
        return DeviceError(
            f"no Python on {place}",
            allowed=f"{VENV}/bin/python, python3, or what ${PYTHON} names",
            next_step=f"install Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer there",
        )
    if status == CUT_SHORT:
        return DeviceError(f"the connection to {place} was lost while the runner was sent")
    return None
