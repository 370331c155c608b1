"""Finished sentences that the workers share.

Nobody who is on the phone waits for it for more than a moment: a list of what is there is fetched
now and then, only what is on it is asked for, and what takes too long is synthesised instead.
Writing is done behind everybody's back. Without the store all goes on, with every worker for
itself.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import structlog

from services.agent.speech.speech_record import (
    MOST_BYTES,
    SpeechRecord,
    parse_speech,
    serialize_speech,
)
from shared.bus.base import BusUnavailable, SharedCache
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_MOST_AT_ONCE = 16


class SharedSpeech:
    """A worker's side of the store; an asynchronous context manager that keeps its list fresh.

    Args:
        cache: the store; bounds what is kept in all.
        metrics: where what is not shared is counted.
        ttl_s: how long a sentence is kept.
        refresh_s: how often the list of what is there is fetched.
        wait_s: the longest a sentence on its way to a caller is waited for.
    """

    def __init__(
        self,
        cache: SharedCache,
        metrics: ProviderMetrics,
        *,
        ttl_s: float = 86_400.0,
        refresh_s: float = 10.0,
        wait_s: float = 0.03,
    ) -> None:
        self._cache = cache
        self._metrics = metrics
        self._ttl_s = ttl_s
        self._refresh_s = refresh_s
        self._wait_s = wait_s
        self._keys: frozenset[str] = frozenset()
        self._own_keys: set[str] = set()
        self._reads = TaskOwner("speech_read")
        self._writes = TaskOwner("speech_write")
        self._refresher = TaskOwner("speech_list")
        self._is_away = False

    async def __aenter__(self) -> Self:
        """Fetch the list once, as far as the store answers, and then now and then."""
        await self.refresh()
        self._refresher.start(self._keep_fresh(), name="refresh")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for owner in (self._refresher, self._reads, self._writes):
            await owner.stop()

    def has(self, key: str) -> bool:
        """Whether a sentence is likely to be there."""
        return not self._is_away and (key in self._keys or key in self._own_keys)

    async def get(self, key: str, *, wait_s: float | None = None) -> SpeechRecord | None:
        """Return a sentence that `has` told of; None where it is not there in time."""
        if not self.has(key) or len(self._reads) >= _MOST_AT_ONCE:
            return None
        # Not cancelled when it is late: the connection would be lost with it.
        read = self._reads.start(self._read(key), name="get")
        done, _ = await asyncio.wait({read}, timeout=self._wait_s if wait_s is None else wait_s)
        return read.result() if done and not read.cancelled() else None

    def offer(self, key: str, record: SpeechRecord) -> None:
        """Have a sentence stored some time soon; dropped and counted where that can't be."""
        reason = ""
        if len(record.ulaw) > MOST_BYTES or not record.ulaw:
            reason = "too_large"
        elif self._is_away:
            reason = "away"
        elif len(self._writes) >= _MOST_AT_ONCE or self._writes.is_stopping:
            reason = "busy"
        if reason:
            self._metrics.speech_not_shared.labels(reason).inc()
            return
        self._writes.start(self._write(key, record), name="put")

    async def refresh(self) -> None:
        """Fetch the list of what is there."""
        try:
            self._keys = await self._cache.keys()
            self._own_keys.clear()
            self._is_away = False
        except BusUnavailable as exc:
            self._on_away(exc)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            await self.refresh()

    async def _read(self, key: str) -> SpeechRecord | None:
        try:
            text = await self._cache.get(key)
        except BusUnavailable as exc:
            self._on_away(exc)
            return None
        return None if text is None else parse_speech(text)

    async def _write(self, key: str, record: SpeechRecord) -> None:
        try:
            is_kept = await self._cache.put(key, serialize_speech(record), ttl_s=self._ttl_s)
        except BusUnavailable as exc:
            self._metrics.speech_not_shared.labels("away").inc()
            self._on_away(exc)
            return
        if is_kept:
            self._own_keys.add(key)
        else:
            self._metrics.speech_not_shared.labels("too_large").inc()

    def _on_away(self, error: BusUnavailable) -> None:
        """Leave the store alone until the next fetch of the list finds it again."""
        if not self._is_away:
            _log.warning("speech_store_away", error=str(error))
        self._is_away = True
