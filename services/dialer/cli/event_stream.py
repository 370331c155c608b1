"""PURE. Server-sent events out of lines of text.

Source: HTML Living Standard, 9.2.6 Interpreting an event stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_MAX_DATA_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """An event; a comment, which only says that the stream lives, has no data."""

    kind: str = ""
    data: str = ""
    event_id: str | None = None

    @property
    def is_comment(self) -> bool:
        """Whether nothing happened."""
        return not self.data

    def fields(self) -> dict[str, Any]:
        """Return the data as an object, empty when it is none."""
        try:
            found = json.loads(self.data)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class EventReader:
    """Takes lines, without their ends, and returns an event at the empty line behind it."""

    def __init__(self) -> None:
        self._kind = ""
        self._data: list[str] = []
        self._chars = 0
        self._last_id: str | None = None

    def on_line(self, line: str) -> Event | None:
        """Return the event that this line completes, or the comment that it is."""
        if not line:
            return self._complete()
        if line.startswith(":"):
            return Event()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and self._chars + len(value) <= _MAX_DATA_CHARS:
            self._data.append(value)
            self._chars += len(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._last_id = value
        return None

    def _complete(self) -> Event | None:
        kind, data = self._kind, "\n".join(self._data)
        self._kind, self._data, self._chars = "", [], 0
        return Event(kind, data, self._last_id) if data else None
