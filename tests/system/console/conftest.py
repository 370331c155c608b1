"""A browser and the page's API for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.support.browser import MICROPHONE, chromium, keep_what_is_heard
from tests.support.console_api import ConsoleApi, console_api
from tests.support.console_page import DESK_WIDTH, NAME


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(*MICROPHONE, f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def served() -> Iterator[ConsoleApi]:
    with console_api(console_names=NAME) as api:
        yield api


@pytest.fixture
def api(served: ConsoleApi) -> ConsoleApi:
    fresh = ConsoleApi(url=served.url)
    served.__dict__.update(fresh.__dict__)
    return served


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with _opened(browser) as opened:
        yield opened


@pytest.fixture
def heard_page(browser: Browser) -> Iterator[Page]:
    """A page that keeps what its loudspeaker plays."""
    with _opened(browser, bypass_csp=True) as opened:
        keep_what_is_heard(opened)
        yield opened


@contextmanager
def _opened(browser: Browser, *, bypass_csp: bool = False) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": DESK_WIDTH, "height": 800},
        permissions=["microphone"],
        bypass_csp=bypass_csp,
    )
    opened = context.new_page()
    opened.set_default_timeout(5000)
    faults: list[str] = []

    def on_said(said: ConsoleMessage) -> None:
        if said.type == "error":
            faults.append(said.text)

    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", on_said)
    yield opened
    context.close()
    # What a test provokes on purpose shows up as a failed load; nothing else may be amiss.
    assert [fault for fault in faults if "Failed to load" not in fault] == []
