"""What tests do with the console's page in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page

from tests.support.console_api import ConsoleApi

PHONE_WIDTH, DESK_WIDTH = 360, 1280
NAME = "box.test"
"""Another name of this machine, for the browsers of these tests."""


def show(page: Page, api: ConsoleApi, view: str = "talk") -> None:
    page.goto(f"{api.url}/console/#{view}")
    page.wait_for_selector("html[data-ready]")


def until(holds: Callable[[], object], limit_s: float = 5.0) -> None:
    """Wait for something that another thread brings about."""
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.02)


def talk(page: Page, api: ConsoleApi) -> None:
    """Begin a call and wait until it is up."""
    show(page, api)
    page.get_by_role("button", name="Talk", exact=True).click()
    until(lambda: api.events("media"))
