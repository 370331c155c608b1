"""PURE. How a command ends: its exit status, and the one line that says why.

CommandFailed     the command did not do what was asked; its status is the exit status
  Refused         the dialer said no, by a problem document
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

_MAX_CHARS = 600
_PERHAPS_DONE = {"outcome_unknown", "platform_error"}


class Exit(IntEnum):
    """Exit statuses, the same for every command.

    `NO` is an answer, not a failure: the number is on the list, the campaign was cancelled.
    """

    DONE = 0
    REFUSED = 1
    MISUSED = 2
    UNKNOWN = 3
    NO = 4
    INTERRUPTED = 130


class CommandFailed(Exception):
    """The command did not do what was asked."""

    def __init__(self, status: Exit, text: str) -> None:
        super().__init__(text)
        self.status = status


class Refused(CommandFailed):
    """The dialer said no; `problem` is its problem document, empty when there was none."""

    def __init__(self, http_status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_exit_of(http_status, problem), _sentence(http_status, problem))
        self.http_status = http_status
        self.problem = problem


def one_line(text: object) -> str:
    """Return text that can stand in a terminal: no line breaks, no control characters."""
    return printable(" ".join(str(text).split()))


def printable(line: str) -> str:
    """Return a line with a replacement for each sign that a terminal may take for an order."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in line)


def _exit_of(http_status: int, problem: Mapping[str, Any]) -> Exit:
    # The dialer asked Vobiz, and nobody knows whether a phone rings.
    is_open = problem.get("verdict") in _PERHAPS_DONE or http_status == 504
    return Exit.UNKNOWN if is_open else Exit.REFUSED


def _sentence(http_status: int, problem: Mapping[str, Any]) -> str:
    said = problem.get("detail") or problem.get("title")
    if not isinstance(said, str) or not said.strip():
        if http_status == 401:
            return "The dialer wants a key: set DIALER_API_KEY."
        return f"The dialer answered {http_status} without saying why."
    line = one_line(said)[:_MAX_CHARS]
    wait_s = problem.get("retry_after_s")
    if isinstance(wait_s, int | float) and wait_s > 0:
        line = f"{line.rstrip('.')}. Try again in {wait_s:g} s."
    return line
