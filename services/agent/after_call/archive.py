"""Where calls go when they are over: their record into the store, their end into the outbox."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from services.agent.after_call.aftermath import Aftermath
from services.agent.after_call.post_call import CallEnd
from shared.bus.base import BusUnavailable, CallStore
from shared.bus.messages import OutboxItem
from shared.protocol.call import CallChange, CallRecord

_log = structlog.get_logger(__name__)
_WRITE_S = 2.0


class Postman(Protocol):
    """Whoever posts the ends of calls."""

    async def hand_over(self, item: OutboxItem) -> None:
        """Take an ended call; never raises."""
        ...


class Archive:
    """Keeps what is left of calls.

    Args:
        store: the calls' records.
        postman: posts the ends of calls to those who asked for it.
    """

    def __init__(self, store: CallStore, postman: Postman) -> None:
        self._store = store
        self._postman = postman

    async def keep(self, change: CallChange, aftermath: Aftermath, end: CallEnd) -> None:
        """Write a call's last change and have its end posted; never raises, bounded in time."""
        item = aftermath.item(change, await self._write(change), end)
        if item is not None:
            await self._postman.hand_over(item)

    async def _write(self, change: CallChange) -> CallRecord | None:
        try:
            async with asyncio.timeout(_WRITE_S):
                return (await self._store.apply(change)).record
        except (BusUnavailable, TimeoutError) as exc:
            _log.warning("record_not_written", call_id=change.call_id, error=str(exc))
            return None
