"""Run web artifacts in a page of a headless browser of this machine.

One browser and one page serve all artifacts of a process, so that a compressed network and its float
original are timed in the same worker.  Python talks to the page through the DevTools pipe; what is timed is
timed by the page's own clock.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.devices import chromium
from pocketpress.devices.chromium import Browser, Page, PageError

HARNESS = "harness.html"
MAX_OUTPUT_BYTES = 1 << 30


class WebRunner:
    """An artifact loaded by a browser runtime.

    Attributes:
        runtime: name, version, backend and browser, for people.
        load_s: to fetch and compile it, as the page says.
    """

    def __init__(self, place: _Place, address: str, opened: Mapping[str, Any], signature: Signature) -> None:
        self._place, self._address, self._signature = place, address, signature
        self._number = int(opened["id"])
        self._fed: list[Array] | None = None
        self._baseline = place.resident_before
        found = opened["runtime"]
        self.load_s = float(opened["loadMs"]) / 1000
        title = TITLES[str(found["name"])][0]
        self.runtime = f"{title} {found['version']} ({found['backend']}) in {place.browser.version}"

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; inputs already have the file's dtype and shape.

        Raises:
            DeviceError: the runtime fails, or the page is gone.
        """
        try:
            results = self._place.page.call("window.harness.run", self._number, packed(feeds))
        except PageError as error:
            raise DeviceError(f"in the browser: {error.text}") from error
        wanted = self._signature.outputs
        if not isinstance(results, list) or len(results) != len(wanted):
            raise DeviceError("the page answers nonsense", got=type(results).__name__)
        return [unpacked(r, spec.dtype, spec.shape) for r, spec in zip(results, wanted, strict=True)]

    def time_block(self, feeds: list[Array], count: int) -> list[float]:
        """Seconds of each of ``count`` consecutive inferences by the page's clock, one before them untimed.

        Raises:
            DeviceError: as `run`.
        """
        again = self._fed is feeds
        given = None if again else packed(feeds)
        try:
            times = self._place.page.call("window.harness.block", self._number, given, count)
        except PageError as error:
            raise DeviceError(f"in the browser: {error.text}") from error
        self._fed = feeds
        numbers = isinstance(times, list) and all(isinstance(value, int | float) for value in times)
        if not numbers or len(times) != count:
            raise DeviceError("the page answers nonsense", got=str(times)[:100], allowed=f"{count} times")
        return [float(milliseconds) / 1000 for milliseconds in times]

    def resident_bytes(self) -> tuple[int, int]:
        """(largest so far, before this artifact was loaded) of the browser's page processes."""
        return self._place.browser.resident_bytes()[0], self._baseline

    def close(self) -> None:
        """Release the artifact; safe to call twice."""
        if self._number in self._place.open_numbers:
            self._place.open_numbers.discard(self._number)
            self._place.browser.server.withdraw(self._address)
            with contextlib.suppress(DeviceError, PageError):
                self._place.page.call("window.harness.close", self._number)


class _Place:
    """The browser and the page of this process."""

    def __init__(self, folder: Path) -> None:
        self.browser = Browser(folder)
        self.page: Page = self.browser.open(HARNESS)
        self.open_numbers: set[int] = set()
        self.resident_before = 0

    def renew(self) -> None:
        """A fresh page, when the old one may be out of order and nothing else lives in it."""
        self.page.close()
        self.page = self.browser.open(HARNESS)


_places: list[_Place] = []


def _place() -> _Place:
    from pocketpress.web.assets import static_folder

    if _places and not _places[0].page.crashed:
        return _places[0]
    close_browser()
    _places.append(_Place(static_folder()))
    return _places[0]


def close_browser() -> None:
    """End this process's browser, with all artifacts in it; the next artifact starts another."""
    while _places:
        _places.pop().browser.close()


def open_in_browser(path: Path, signature: Signature, runtime: str, threads: int = 1) -> WebRunner:
    """Load an artifact in a page.

    Args:
        path: of the artifact.
        signature: embedded in it, as already read and checked.
        runtime: ``litert`` or ``onnxruntime``.
        threads: of WebAssembly; 1 for the single-threaded build.

    Raises:
        ArtifactError: the runtime refuses the file.
        DeviceError: there is no browser, or the page has crashed.
    """
    place = _place()
    place.resident_before = place.browser.resident_bytes()[1]
    address = place.browser.publish(path)
    options = {"runtime": runtime, "backend": "wasm", "threads": threads}
    try:
        opened = place.page.call("window.harness.open", address, options)
    except PageError as error:
        place.browser.server.withdraw(address)
        if not place.open_numbers:
            place.renew()
        raise ArtifactError(f"{path.name}: {error.text}") from error
    runner = WebRunner(place, address, opened, signature)
    place.open_numbers.add(int(opened["id"]))
    return runner


def obstacle() -> str | None:
    """What this machine lacks to run web artifacts, with the next step; None where it can."""
    from pocketpress.core.errors import MissingExtraError
    from pocketpress.web.assets import static_folder

    if (lacking := chromium.obstacle()) is not None:
        return lacking
    try:
        static_folder()
    except MissingExtraError as error:
        return str(error)
    return None


TITLES = {"litert": ("LiteRT.js", "litert"), "onnxruntime": ("ONNX Runtime Web", "onnxruntime")}
"""Runtimes of the page: the name for people, and the stem of the folder that its files lie in."""


def runtime_name(runtime: str) -> str:
    """A runtime and the browser, with their versions, without starting either."""
    from pocketpress.web.assets import static_folder

    title, stem = TITLES[runtime]
    folders = sorted((static_folder() / "runtimes").glob(f"{stem}-*"))
    number = folders[-1].name.removeprefix(f"{stem}-") if folders else ""
    return f"{title} {number}".strip() + f" in {chromium.version()}"


def packed(arrays: list[Array]) -> list[dict[str, str]]:
    """Arrays as the page reads them."""
    return [
        {"dtype": array.dtype.name, "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}
        for array in map(np.asarray, arrays)
    ]


def unpacked(result: Mapping[str, Any], dtype: str, shape: tuple[int, ...]) -> Array:
    """An array from the page, whose runtime a malicious file may have taken over.

    Raises:
        DeviceError: it is not what was expected.
    """
    text = result.get("data") if isinstance(result, dict) else None
    if not isinstance(text, str) or result.get("dtype") != dtype or len(text) > MAX_OUTPUT_BYTES * 4 // 3:
        raise DeviceError("the page answers nonsense", allowed=dtype)
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DeviceError("the page answers nonsense", allowed="base64") from error
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if len(content) != size:
        raise DeviceError(
            "the runtime's output has another size", got=f"{len(content)} bytes", allowed=f"{size} bytes"
        )
    return np.frombuffer(content, dtype).reshape(shape).copy()
