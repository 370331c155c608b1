"""One sentence being made for everybody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from services.agent.providers.base import Usage
from services.agent.providers.errors import ProviderFailed
from shared.runtime.tasks import TaskOwner, closing

_STOP_S = 1.0


@dataclass(frozen=True, slots=True)
class PhoneChunk:
    """A piece of a sentence: mu-law 8 kHz, and the level of its speech so far.

    `usage` is what providers charge for since the chunk before; it is told to one listener alone.
    """

    ulaw: bytes
    level_dbfs: float
    is_last: bool
    usage: tuple[Usage, ...] = ()


class Flight:
    """Reads a sentence's chunks once and hands them to any number of listeners.

    It ends with the sentence, or when the last listener has gone: then nobody pays for the rest.

    Args:
        chunks: the sentence; closed by this.
        owner: of the task that reads it.
        on_over: called once, when nobody may join any more.
    """

    def __init__(
        self,
        chunks: AsyncIterator[PhoneChunk],
        owner: TaskOwner,
        *,
        on_over: Callable[[Flight], None],
    ) -> None:
        self._chunks: list[PhoneChunk] = []
        self._error: Exception | None = None
        self._is_over = False
        self._on_over = on_over
        self._news = asyncio.Event()
        self._listeners = 0
        self._has_told_usage = False
        self._task: asyncio.Task[Any] = owner.start(self._read(chunks), name="speak")

    async def listen(self) -> AsyncIterator[PhoneChunk]:
        """Yield the sentence from its beginning; what failed is raised to every listener."""
        tells_usage, self._has_told_usage = not self._has_told_usage, True
        self._listeners += 1
        try:
            place = 0
            while True:
                while place < len(self._chunks):
                    chunk = self._chunks[place]
                    place += 1
                    yield chunk if tells_usage else replace(chunk, usage=())
                if self._is_over:
                    break
                await self._news.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._listeners -= 1
            if self._listeners == 0 and not self._is_over:
                await self._stop()

    async def _stop(self) -> None:
        self._end(ProviderFailed("speech", "nobody listens any more"))
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=_STOP_S)

    async def _read(self, chunks: AsyncIterator[PhoneChunk]) -> None:
        try:
            async with closing(chunks):
                async for chunk in chunks:
                    self._chunks.append(chunk)
                    self._tell()
                    # A voice that has its audio at hand never waits: others want the loop too.
                    await asyncio.sleep(0)
            self._end(None)
        except Exception as exc:  # noqa: BLE001 - top of a task: its listeners have it raised
            self._end(exc)
        finally:
            self._end(ProviderFailed("speech", "the worker stops"))

    def _end(self, error: Exception | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._error = error
        self._on_over(self)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
