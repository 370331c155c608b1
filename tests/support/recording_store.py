"""A store of recordings in memory that can be made to hang, fail or fill up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.recordings.errors import StoreFault, StoreUnavailable


class MemoryStore:
    """RecordingStore. `fault` is raised by all that is asked; while `hangs`, nothing answers.

    `trip_s` is how long each thing asked takes, `most_at_once` how many were asked together, and
    `rounds` how often something was asked while nothing else was.
    """

    def __init__(self, *, timeout_s: float = 5.0) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: StoreFault | None = None
        self.hangs = False
        self.puts = 0
        self.trip_s = 0.0
        self.asked_leftovers: list[float] = []
        self.at_once = self.most_at_once = self.rounds = 0
        self._timeout_s = timeout_s

    def close(self) -> None: ...

    async def _ask(self) -> None:
        self.rounds += not self.at_once
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.trip_s)
        finally:
            self.at_once -= 1
        if self.hangs:
            await asyncio.sleep(self._timeout_s)
            raise StoreUnavailable(StoreFault.SLOW)
        if self.fault is not None:
            raise StoreUnavailable(self.fault)

    async def put(self, path: str, data: bytes) -> None:
        self.puts += 1
        await self._ask()
        self.objects[path] = bytes(data)

    async def get(self, path: str) -> bytes | None:
        await self._ask()
        return self.objects.get(path)

    async def get_range(self, path: str, start: int, length: int) -> bytes | None:
        data = await self.get(path)
        return None if data is None else data[start : start + length]

    async def names(self, folder: str) -> list[str]:
        await self._ask()
        return sorted(p for p in self.objects if p.rpartition("/")[0] == folder.rstrip("/"))

    async def folders(self, folder: str) -> list[str]:
        await self._ask()
        below = {p[len(folder) :] for p in self.objects if p.startswith(folder)}
        return sorted({folder + rest.partition("/")[0] for rest in below if "/" in rest})

    async def delete(self, paths: Sequence[str]) -> None:
        await self._ask()
        for path in paths:
            self.objects.pop(path, None)

    async def remove_leftovers(self, before_unix_s: float) -> int:
        self.asked_leftovers.append(before_unix_s)
        await self._ask()
        return 0
