"""PURE. Lines of the services' logs: read, and those of one call found among them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# What Compose, and `make logs`, put before each line: the container or the process.
_PREFIX = re.compile(r"^\s*(?P<source>[A-Za-z0-9][\w.-]*)\s*\|\s*$")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line about a call.

    Attributes:
        at_s: Unix time by the clock of whoever wrote it.
        source: the process, as far as is known: a container, a file, else the service.
        service: as the line says.
        call_id: as the line says.
        event: what happened.
        values: what else it says.
        raw: the JSON as it was written.
    """

    at_s: float
    source: str
    service: str
    call_id: str
    event: str
    values: Mapping[str, Any]
    raw: str

    @property
    def level(self) -> str:
        """How grave it is."""
        return str(self.values.get("level", "info"))


class NoSuchCall(Exception):
    """No line is about such a call; the text says so."""


def read_line(text: str, source: str) -> Line | None:
    """Read a line of a log; None where it is about no call, or is not one of ours.

    Args:
        text: JSON, with or without Compose's prefix.
        source: where it comes from, where no prefix says so.
    """
    before, brace, rest = _TERMINAL_CODES.sub("", text).partition("{")
    if not brace:
        return None
    try:
        data = json.loads(brace + rest)
        call_id, event = data["call_id"], data["event"]
        at_s = datetime.fromisoformat(data["timestamp"]).timestamp()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(call_id, str) or not call_id:
        return None
    match = _PREFIX.match(before)
    service = str(data.get("service", ""))
    named = match["source"] if match else source
    raw = (brace + rest).strip()
    return Line(at_s, named or service, service, call_id, str(event), data, raw)


def read_lines(texts: Iterable[str], source: str) -> list[Line]:
    """Read the lines of one log, in their order."""
    return [line for text in texts if (line := read_line(text, source)) is not None]


def newest_call(lines: Sequence[Line]) -> str:
    """Return the call whose first line came last.

    Raises:
        NoSuchCall: there is none at all.
    """
    first: dict[str, float] = {}
    for line in lines:
        first[line.call_id] = min(line.at_s, first.get(line.call_id, line.at_s))
    if not first:
        raise NoSuchCall("no line of these logs is about a call")
    return max(first, key=lambda call_id: first[call_id])


def find_call(lines: Sequence[Line], wanted: str) -> str:
    """Return the id of the call that is meant.

    Args:
        lines: of all calls.
        wanted: its id, Vobiz's id of it, or the beginning of either that no other call has.

    Raises:
        NoSuchCall: none, or several.
    """
    ids = {line.call_id for line in lines}
    if wanted in ids:
        return wanted
    found = {call_id for call_id in ids if call_id.startswith(wanted)}
    # A call that was dialled has an id of ours, and Vobiz's is told beside it.
    found |= {
        line.call_id for line in lines if str(line.values.get("call_uuid", "")).startswith(wanted)
    }
    if len(found) == 1:
        return found.pop()
    if not found:
        raise NoSuchCall(f"no line is about a call {wanted}")
    some = ", ".join(sorted(found)[:5]) + (", ..." if len(found) > 5 else "")
    raise NoSuchCall(f"{len(found)} calls begin with {wanted}: {some}")
