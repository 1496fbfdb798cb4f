"""`bench_phones` in a thread, as a command would run it, for pages to talk to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketpress.devices.phone.sessions import Patience
from pocketpress.devices.store import Store
from pocketpress.pipeline.bench.phone_tasks import PhoneOptions, Work, prepare_work
from pocketpress.pipeline.bench.phones import Found, Place, Serving, Watch, bench_phones
from pocketpress.pipeline.bench.rows import Row

QUICK = {"warmup": 10, "block": 2, "repeats": 3, "rounds": 4, "repeat_s": 0.2}
PATIENCE_S = 90.0


class Bench(Watch):
    """`bench_phones` in a thread, as a command would run it."""

    def __init__(self, paths: list[Path], store: Store | None = None, **options: Any) -> None:
        plan = options.pop("plan", QUICK)
        how = {k: options.pop(k) for k in ("wait", "timeout_s", "patience") if k in options}
        self.work: Work = prepare_work(PhoneOptions(tuple(paths), **options))
        self.work.job["plan"] = plan
        how.setdefault("patience", Patience(5, 60))
        self.how = Serving(linger_s=2.5, **{"timeout_s": PATIENCE_S, **how})
        self.store, self.notes, self.rows = store, list[str](), list[Row]()
        self.found: Found | None = None
        self.place: Place | None = None
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def opened(self, place: Place) -> None:
        self.place = place
        self._ready.set()

    def changed(self, rows: list[Row]) -> None:
        self.rows = rows

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _run(self) -> None:
        try:
            self.found = bench_phones(
                self.work, self.how, self.store, lambda: "2026-01-01T00:00:00+00:00", self
            )
        except BaseException as error:
            self._failed = error
            self._ready.set()

    def __enter__(self) -> Bench:
        self._thread.start()
        self._ready.wait(30)
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S + 10)
        if self._failed is not None:
            raise self._failed

    @property
    def address(self) -> str:
        assert self.place is not None
        return self.place.address

    def end(self) -> Found:
        """Wait for the command to end by itself."""
        self._thread.join(PATIENCE_S + 10)
        assert not self._thread.is_alive()
        if self._failed is not None:
            raise self._failed
        assert self.found is not None
        return self.found


def until(what: Callable[[], Any], seconds: float = 60.0, page: Any = None) -> Any:
    """Poll; the browser works on only while Playwright waits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        if page is None:
            time.sleep(0.1)
        else:
            page.wait_for_timeout(100)
    raise AssertionError("it did not happen")


def status(page: Any) -> str:
    return str(page.locator("#status").text_content())
