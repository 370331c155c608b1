"""What waits to be written to a media socket, and what happens when it is read too slowly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from shared.audio.format import FRAME_S

_DEGRADED_AT = (0.3, 0.6, 0.9)


class Outbox:
    """The one writer of a socket, and its queue.

    Args:
        backlog_s: how much media may wait; a message counts as 20 ms.
        on_degraded: told how many seconds wait, at 30, 60 and 90 % of the backlog.
        on_overflow: told once, when it is full; the socket is to be dropped.
    """

    def __init__(
        self,
        backlog_s: float,
        on_degraded: Callable[[float], None],
        on_overflow: Callable[[], None],
    ) -> None:
        self._limit = backlog_s / FRAME_S
        self._on_degraded = on_degraded
        self._on_overflow = on_overflow
        self._texts: deque[str] = deque()
        self._wake = asyncio.Event()
        self._warned = 0
        self._is_over = False

    def put(self, text: str) -> None:
        """Queue a message; nothing is taken any more after an overflow."""
        if self._is_over:
            return
        self._texts.append(text)
        self._wake.set()
        share = len(self._texts) / self._limit
        if self._warned < len(_DEGRADED_AT) and share >= _DEGRADED_AT[self._warned]:
            self._warned += 1
            self._on_degraded(len(self._texts) * FRAME_S)
        if share >= 1:
            self._is_over = True
            self._on_overflow()

    def clear(self) -> None:
        """Forget what waits."""
        self._texts.clear()

    async def write_to(self, opened: ClientConnection) -> None:
        """Write until cancelled or closed. A slow reader blocks here until the overflow."""
        try:
            while True:
                while self._texts:
                    await opened.send(self._texts.popleft())
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            return  # the reader of this socket sees the same and acts on it
