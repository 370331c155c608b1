"""Numbers that are never dialled, in Redis: looked at by the script that grants each call.

{parley}:dial:dnc        hash number -> JSON: reason, at, by
{parley}:dial:dnc:order  the same numbers, sorted, so that lists have pages
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.bus.redis.store import Store

MAX_REASON_CHARS = 200

# ARGV: prefix, then number, record. A number that is there already keeps its record.
_ADD = """
local name, added = ARGV[1] .. ':dial:dnc', 0
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', name, ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', name .. ':order', 0, ARGV[i])
    added = added + 1
  end
end
return added
"""

# ARGV: prefix, number
_REMOVE = """
local name = ARGV[1] .. ':dial:dnc'
redis.call('ZREM', name .. ':order', ARGV[2])
return redis.call('HDEL', name, ARGV[2])
"""

# ARGV: prefix, least (as ZRANGEBYLEX has it), how many
_PAGE = """
local name = ARGV[1] .. ':dial:dnc'
local numbers = redis.call('ZRANGEBYLEX', name .. ':order', ARGV[2], '+', 'LIMIT', 0, ARGV[3])
if #numbers == 0 then return {{}, {}} end
return {numbers, redis.call('HMGET', name, unpack(numbers))}
"""


@dataclass(frozen=True, slots=True)
class Barred:
    """A number on the list. `at` is ISO-8601 UTC text, `by` the name of who put it there."""

    number: str
    reason: str
    at: str
    by: str

    def to_json(self) -> dict[str, Any]:
        """Return what the API shows."""
        return {"number": self.number, "reason": self.reason, "at": self.at, "by": self.by}


class DoNotCallList:
    """The list. Every step is one script, so it may be read and written by all dialers at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, entries: Sequence[Barred]) -> int:
        """Add some hundreds of numbers at once; return how many were new.

        Raises:
            BusUnavailable: nobody knows; the same may come again.
        """
        if not entries:
            return 0
        args = [
            part
            for entry in entries
            for part in (
                entry.number,
                json.dumps({"reason": entry.reason, "at": entry.at, "by": entry.by}),
            )
        ]
        return int(await self._store.script("do_not_call_add", _ADD, *args))

    async def remove(self, number: str) -> bool:
        """Take a number off; False: it was not on. Raises BusUnavailable."""
        return bool(await self._store.script("do_not_call_remove", _REMOVE, number))

    async def get(self, number: str) -> Barred | None:
        """Return what is known of a number on the list; None: it is not on it.

        Raises:
            BusUnavailable: nobody knows.
        """
        command = self._store.redis.hget(f"{self._store.prefix}:dial:dnc", number)
        text = await self._store.run("do_not_call_get", command)
        return _read(number, text) if text is not None else None

    async def page(self, limit: int, *, after: str | None = None) -> list[Barred]:
        """Return at most `limit` numbers in their order, after one. Raises BusUnavailable."""
        least = "-" if after is None else f"({after}"
        numbers, texts = await self._store.script("do_not_call_page", _PAGE, least, limit)
        return [_read(number, text) for number, text in zip(numbers, texts, strict=True)]


def _read(number: str, text: str) -> Barred:
    kept = json.loads(text)
    return Barred(number, kept["reason"], kept["at"], kept["by"])
