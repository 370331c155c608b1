"""One Redis, with every command bounded in time, measured and translated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.bus.base import BusUnavailable
from shared.metrics.catalogue import BusMetrics

_AT_ONCE = 16
"""Commands on their way: as many connections are opened, and kept, at most. Others wait their turn,
which costs them nothing while Redis answers in a millisecond."""


class Store:
    """One Redis, with every command bounded, timed and translated."""

    def __init__(
        self, redis: Redis, *, prefix: str, timeout_s: float, metrics: BusMetrics | None
    ) -> None:
        self.redis = redis
        self.prefix = prefix
        self._timeout_s = timeout_s
        self.metrics = metrics
        self._scripts: dict[str, Any] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def run(self, operation: str, command: Awaitable[Any]) -> Any:
        """Await a command; raise BusUnavailable on any failure of the store."""
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await command
        except (RedisError, OSError, TimeoutError, RuntimeError) as exc:
            # RuntimeError is what uvloop raises on a connection that broke in the same moment.
            if self.metrics is not None:
                self.metrics.errors.labels(operation).inc()
            raise BusUnavailable(f"{operation}: {type(exc).__name__}: {exc}") from exc
        finally:
            if asyncio.iscoroutine(command):
                command.close()  # its turn may never have come
            if self.metrics is not None:
                self.metrics.latency.labels(operation).observe(time.perf_counter() - started_s)

    async def script(self, operation: str, text: str, *args: str | int | float) -> Any:
        """Run a script by its hash; keys are made inside from the prefix (one hash tag)."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self.redis.register_script(text)
        keys = [f"{self.prefix}:events"]
        return await self.run(operation, script(keys=keys, args=[self.prefix, *args]))
