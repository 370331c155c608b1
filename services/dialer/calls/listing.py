"""Lists of calls, filtered: pages of records, looked through within bounds."""

from __future__ import annotations

from dataclasses import dataclass

from shared.bus.base import CallStore
from shared.protocol.call import CallId, CallRecord, CallState, Direction

_PAGE = 200
_MOST_LOOKED_AT = 2000
"""Records that one request reads; it goes on from there when asked for more."""


@dataclass(frozen=True, slots=True)
class CallFilter:
    """PURE. Which calls are wanted; None: whatever it is. `to_number` is E.164."""

    state: CallState | None = None
    direction: Direction | None = None
    agent: str | None = None
    campaign: str | None = None
    to_number: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether every call is wanted."""
        return self == CallFilter()

    def takes(self, record: CallRecord) -> bool:
        """Whether a call is wanted."""
        return (
            self.state in (None, record.state)
            and self.direction in (None, record.direction)
            and self.agent in (None, record.agent)
            and self.campaign in (None, record.metadata.get("campaign"))
            and self.to_number in (None, record.to_number)
        )


async def page_of_calls(
    calls: CallStore, wanted: CallFilter, *, limit: int, before: CallId | None = None
) -> tuple[list[CallRecord], CallId | None]:
    """Return the newest calls that are wanted, and what to give as `before` for those that follow.

    Few, even none, with more to follow means that many were looked through in vain. None follow
    where the second is None; nor where `before` is not known any more.

    Raises:
        BusUnavailable: they can't be read.
    """
    found: list[CallRecord] = []
    looked_at, last = 0, before
    size = limit if wanted.is_open else _PAGE
    while looked_at < _MOST_LOOKED_AT:
        page = await calls.recent(size, before=last)
        for record in page:
            looked_at += 1
            last = record.call_id
            if wanted.takes(record):
                found.append(record)
                if len(found) == limit:
                    return found, last
        if len(page) < size:
            return found, None
    return found, last
