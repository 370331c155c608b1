"""Following a call until it has ended, by the dialer's events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from services.dialer.cli.client import DialerClient
from services.dialer.cli.event_stream import Event
from services.dialer.cli.failure import CommandFailed, Exit, Refused
from services.dialer.cli.screen import Screen

_AGAIN_S = 1.0
_MAX_FAILURES = 5
_FINAL = {"completed", "busy", "failed", "timeout", "no-answer", "cancel"}


async def follow_call(dialer: DialerClient, screen: Screen, call_id: str) -> dict[str, Any]:
    """Report a call's states until it has ended, and return its record.

    An event only says that there is news: what is shown is the record, so that nothing is missed
    between two connections and an end before the first one is seen as well.

    Raises:
        CommandFailed: the dialer knows no such call, or went away; the call goes on.
    """
    path = f"/v1/calls/{quote(call_id, safe='')}"
    seen = ""
    async for event in _news(dialer, f"{path}/events"):
        record = await dialer.get(path)
        state = str(record.get("state", ""))
        if screen.is_json and not event.is_comment:
            screen.document(event.fields() or {"event": event.kind}, is_line=True)
        if state and state != seen:
            screen.say(f"  {state}")
            seen = state
        if state in _FINAL:
            if screen.is_json:
                screen.document(record, is_line=True)
            screen.say(f"  ended: {end_of(record)}")
            return record
    raise CommandFailed(Exit.UNKNOWN, "The dialer went away; the call goes on.")


def end_of(record: Mapping[str, Any]) -> str:
    """Return in a line how a call ended."""
    duration_s = record.get("duration_s")
    parts = [
        str(record.get("end_reason") or record.get("state") or "unknown"),
        f"{duration_s if isinstance(duration_s, int | float) else 0:g} s",
    ]
    if record.get("hangup_cause"):
        parts.append(f"cause {record['hangup_cause']}")
    return ", ".join(parts)


async def _news(dialer: DialerClient, path: str) -> AsyncIterator[Event]:
    """Yield whenever there may be news: at once, at each event, and at each new connection."""
    last_id: str | None = None
    failures = 0
    yield Event()
    while failures < _MAX_FAILURES:
        try:
            async for event in dialer.events(path, last_id):
                failures = 0
                last_id = event.event_id or last_id
                yield event
        except Refused as exc:
            if exc.http_status < 500 and exc.http_status != 429:
                raise
        failures += 1
        await asyncio.sleep(_AGAIN_S)
        yield Event()
