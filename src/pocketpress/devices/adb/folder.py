"""A temporary folder on a phone, and programs executed in it.

A shell on the phone waits for the end of its input and then removes the folder: so it goes when this process
does, however it ends.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Sequence

from pocketpress.core.errors import DeviceError
from pocketpress.devices.adb.server import ANSWER_S, Phone, Server, lost
from pocketpress.devices.adb.shell import Finished, Session, run
from pocketpress.devices.boot import FOLDER, NO_FOLDER, QUIETLY, boot_error
from pocketpress.devices.link import printable

KILLING_S = 5.0
LOG_TAG = "ExecuTorch"
_MAKE = (
    'trap "" HUP; d=; for t in "$TMPDIR" /data/local/tmp; do '
    f'[ -n "$t" ] && d=$(mktemp -d "$t/{FOLDER}XXXXXX" 2>/dev/null) && break; done; '
    f'[ -n "$d" ] || exit {NO_FOLDER}; echo "$d"; cat >/dev/null; rm -rf "$d"'
)


class Folder:
    """A folder that exists until it is closed."""

    def __init__(self, server: Server, phone: Phone) -> None:
        """Make it.

        Raises:
            DeviceError: the phone is gone, or has no place.
        """
        self._server, self._phone = server, phone
        self._keeper = Session(server, phone, _MAKE)
        try:
            self.path = self._made()
        except BaseException:
            self._keeper.close()
            raise

    def _made(self) -> str:
        with self._keeper.limited(ANSWER_S):
            line = self._keeper.answers.readline(4096).decode(errors="replace").strip()
        if re.fullmatch(r"/[A-Za-z0-9._/-]+", line):
            return line
        error = boot_error(self._keeper.ended(1.0), f"the phone {self._phone.serial}")
        raise error or lost(self._phone, self._keeper.errors() or printable(line))

    def execute(self, program: str, arguments: Sequence[str], timeout_s: float) -> Finished:
        """Run a program of the folder in it; what it writes to the phone's log is put behind its output.

        Raises:
            DeviceError: the phone is gone, or the program hangs; it is ended then.
        """
        words = " ".join(shlex.quote(word) for word in (f"./{program}", *arguments))
        command = (
            f"cd {shlex.quote(self.path)} && export {QUIETLY} && {{ {words} </dev/null 2>&1 & p=$!; "
            f"echo $p >pid; wait $p; s=$?; logcat -d --pid=$p -s {LOG_TAG} 2>/dev/null; exit $s; }}"
        )
        try:
            return run(self._server, self._phone, command, timeout_s)
        except BaseException:  # of Ctrl-C too: the program would run on without its folder
            with contextlib.suppress(DeviceError):
                end = f"kill -9 $(cat {shlex.quote(f'{self.path}/pid')})"
                run(self._server, self._phone, end, KILLING_S)
            raise

    def remove(self, path: str) -> None:
        """Remove a file of it: programs append to theirs."""
        run(self._server, self._phone, f"rm -f {shlex.quote(f'{self.path}/{path}')}", KILLING_S)

    def make(self, path: str) -> None:
        """Make a folder within it."""
        done = run(self._server, self._phone, f"mkdir -p {shlex.quote(f'{self.path}/{path}')}", KILLING_S)
        if done.status:
            raise DeviceError("the phone makes no folder", got=done.last_line())

    def close(self) -> None:
        """Remove it; safe to call twice."""
        self._keeper.close()
