"""Whether the bus is away, as one gateway has found out, so that not every call waits for it.

Without this each question to a bus that hangs would wait for its time limit, a caller for all of
them together.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from shared.bus.base import BusUnavailable, KeyValue
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
T = TypeVar("T")
ASK_AGAIN_S = 3.0
"""More than from one look at the pool until the failure of the next: callers never wait for it."""


class Outage:
    """Remembers for a few seconds that the bus did not answer, or until it does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = float("-inf")
        self._is_noted = False

    @property
    def is_on(self) -> bool:
        """Whether the bus need not be asked now."""
        return self._clock.now_s() < self._until_s

    def begin(self) -> None:
        """The bus did not answer."""
        if not self._is_noted:
            _log.warning("bus_away")
        self._is_noted = True
        self._until_s = self._clock.now_s() + ASK_AGAIN_S

    def end(self) -> bool:
        """The bus has answered; return whether it was away before."""
        was_away, self._is_noted = self._is_noted, False
        self._until_s = float("-inf")
        if was_away:
            _log.info("bus_back")
        return was_away


class PromptValues:
    """KeyValue that says at once that the bus is away where that is known."""

    def __init__(self, values: KeyValue, outage: Outage) -> None:
        self._values = values
        self._outage = outage

    async def get(self, key: str) -> str | None:
        """Return a value, or None."""
        self._check()
        return await self._noting(self._values.get(key))

    async def put(
        self, key: str, value: str, *, ttl_s: float, only_if_absent: bool = False
    ) -> bool:
        """Set a value; False when it was to be absent and was not."""
        self._check()
        return await self._noting(
            self._values.put(key, value, ttl_s=ttl_s, only_if_absent=only_if_absent)
        )

    async def delete(self, key: str) -> None:
        """Remove a value if it is there."""
        self._check()
        await self._noting(self._values.delete(key))

    async def increment(self, key: str, *, ttl_s: float, above: int = 0) -> int:
        """Count up."""
        self._check()
        return await self._noting(self._values.increment(key, ttl_s=ttl_s, above=above))

    def _check(self) -> None:
        if self._outage.is_on:
            raise BusUnavailable("away")

    async def _noting(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except BusUnavailable:
            self._outage.begin()
            raise
