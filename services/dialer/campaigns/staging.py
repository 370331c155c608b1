"""Where the rows of an upload wait until all of it has been read.

They wait in Redis, batch by batch, so that a dialer holds one batch of even the longest list, and
nobody is dialled from a list that breaks off. What is forgotten here by a dialer that died goes by
itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from services.dialer.campaigns.model import NewRow
from services.dialer.desk.slices import Slices
from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store

T = TypeVar("T")
_KEPT_S: Final = 1800
_WAITS_S: Final = (0.1, 0.5)

# ARGV: prefix, name, place, rows, seconds. Harmless when it comes twice.
_PUT: Final = """
local key = ARGV[1] .. ':dial:staged:' .. ARGV[2]
redis.call('HSET', key, ARGV[3], ARGV[4])
return redis.call('EXPIRE', key, ARGV[5])
"""


class Stage:
    """The rows of one upload, in their order."""

    def __init__(self, store: Store) -> None:
        self.name = secrets.token_hex(8)
        self._store = store
        self._key = f"{store.prefix}:dial:staged:{self.name}"
        self._batches = 0

    async def put(self, rows: Sequence[str]) -> None:
        """Add a batch of rows' texts at the end.

        Raises:
            BusUnavailable: it may be there or not: the upload has failed.
        """
        text = "\n".join(rows)  # a row's text is JSON: it has no line break

        async def put_once() -> None:
            await self._store.script("upload_put", _PUT, self.name, self._batches, text, _KEPT_S)

        await try_again(put_once)
        self._batches += 1

    async def batches(self) -> AsyncIterator[tuple[list[NewRow], bool]]:
        """Yield each batch, with whether it is the last. Raises BusUnavailable."""
        slices = Slices()

        async def get(place: int) -> str:
            command = self._store.redis.hget(self._key, str(place))
            text = await self._store.run("upload_get", command)
            if not isinstance(text, str):
                raise BusUnavailable("upload_get: what was set aside is gone")
            return text

        for place in range(self._batches):
            text = await try_again(partial(get, place))
            slices.begin()
            rows = []
            for line in text.split("\n"):
                rows.append(NewRow.from_text(line))
                await slices.breathe()
            yield rows, place == self._batches - 1

    async def clear(self) -> None:
        """Forget them. Raises BusUnavailable; they go by themselves in half an hour."""
        await self._store.run("upload_clear", self._store.redis.unlink(self._key))


async def try_again(step: Callable[[], Awaitable[T]]) -> T:
    """Take a step that may be taken more than once, again after a moment when Redis fails.

    Raises:
        BusUnavailable: it failed three times.
    """
    for wait_s in _WAITS_S:
        try:
            return await step()
        except BusUnavailable:
            await asyncio.sleep(wait_s)
    return await step()
