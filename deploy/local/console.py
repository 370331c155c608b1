"""What the local run says, and how it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopAsked(Exception):
    """SIGINT (Ctrl-C) or SIGTERM arrived."""


class StartFailed(Exception):
    """Something did not start; the text is one plain line, what it logged was shown before."""


def say(text: str = "") -> None:
    """Write one line for the user."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Write one line about something that went wrong."""
    print(f"parley: {text}", file=sys.stderr, flush=True)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `StopAsked`, raised wherever the program is.

    Installed even where a shell started us with SIGINT ignored, as it does for background jobs.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise StopAsked(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
