"""A browser and the page's API for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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


@dataclass
class Opened:
    """A page that several tests use in turn, and what went wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def checked(self) -> Iterator[Page]:
        """Lend it to a test, after which nothing may be amiss but what it provoked."""
        self.faults.clear()
        yield self.page
        hang_up = self.page.get_by_role("button", name="Hang up")
        if hang_up.count():
            hang_up.click()
        assert [fault for fault in self.faults if "Failed to load" not in fault] == []
        self.page.goto("about:blank")


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Opened]:
    with _opened(browser) as opened:
        yield opened


@pytest.fixture
def page(opened: Opened) -> Iterator[Page]:
    yield from opened.checked()


@pytest.fixture
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page of the test's own, for what it does to it before it is opened."""
    with _opened(browser) as opened:
        yield from opened.checked()


@pytest.fixture(scope="module")
def hearing(browser: Browser) -> Iterator[Opened]:
    with _opened(browser, bypass_csp=True) as opened:
        keep_what_is_heard(opened.page)
        yield opened


@pytest.fixture
def heard_page(hearing: Opened) -> Iterator[Page]:
    """A page that keeps what its loudspeaker plays."""
    yield from hearing.checked()


@contextmanager
def _opened(browser: Browser, *, bypass_csp: bool = False) -> Iterator[Opened]:
    context = browser.new_context(
        viewport={"width": DESK_WIDTH, "height": 800},
        permissions=["microphone"],
        bypass_csp=bypass_csp,
    )
    opened = Opened(context.new_page())
    opened.page.set_default_timeout(5000)

    def on_said(said: ConsoleMessage) -> None:
        if said.type == "error":
            opened.faults.append(said.text)

    opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.page.on("console", on_said)
    yield opened
    context.close()
