"""The events of one call's ear on their way to the session: bounded, in order, ended once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.agent.providers.base import TranscriberEvent, TranscriberFailed

_KEPT = 64


class TranscriptEvents:
    """A queue of events; when nobody reads, the oldest is dropped, which is worth least.

    Attributes:
        is_ended: nothing more comes; whatever is put then is ignored.
        dropped: events lost because nobody read.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue(_KEPT)
        self.is_ended = False
        self.dropped = 0

    def put(self, event: TranscriberEvent) -> None:
        """Give an event; a TranscriberFailed that is not recoverable is the last one."""
        if self.is_ended:
            return
        self._put(event)
        if isinstance(event, TranscriberFailed) and not event.is_recoverable:
            self.is_ended = True
            self._put(None)

    def close(self) -> None:
        """Drop what waits and end the iteration."""
        if not self.is_ended:
            self.is_ended = True
            while not self._queue.empty():
                self._queue.get_nowait()
            self._put(None)

    async def __aiter__(self) -> AsyncIterator[TranscriberEvent]:
        while (event := await self._queue.get()) is not None:
            yield event
        self._put(None)  # a second iteration ends as well

    def _put(self, event: TranscriberEvent | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(event)
