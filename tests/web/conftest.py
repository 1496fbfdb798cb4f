"""One site and one browser for the tests of a worker; a new page for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.web.site import Site, browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Any]:
    context = chromium.new_context()
    opened = context.new_page()
    opened.goto(f"http://127.0.0.1:{site.port}/blank")
    yield opened
    context.close()
