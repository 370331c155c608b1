"""Faults that the stand-ins can be told to show, each a number of times, route by route."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong.

    REFUSED: the connection is cut before any answer. STATUS_n: that HTTP status, in the vendor's
    JSON. TIMEOUT: never an answer. Then faults of a stream that has begun: STALL: nothing more
    comes. CUT: the connection is torn down. GARBAGE: what can't be read comes in place of the rest.
    SLOW: `delay_s` before the first and every next piece.
    """

    REFUSED = "refused"
    STATUS_401 = "401"
    STATUS_429 = "429"
    STATUS_500 = "500"
    STATUS_503 = "503"
    TIMEOUT = "timeout"
    STALL = "stall"
    CUT = "cut"
    GARBAGE = "garbage"
    SLOW = "slow"


STATUS_OF = {
    Fault.STATUS_401: 401,
    Fault.STATUS_429: 429,
    Fault.STATUS_500: 500,
    Fault.STATUS_503: 503,
}


@dataclass(slots=True)
class PlannedFault:
    """A fault of one route. It strikes after so many bytes or events of the answer."""

    fault: Fault
    count: int = 1
    after_bytes: int = 0
    after_events: int = 0
    delay_s: float = 0.2


class Faults:
    """The plan: for each route the faults of its next requests, in order."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[PlannedFault]] = {}

    def plan(
        self,
        route: str,
        fault: Fault | str,
        count: int = 1,
        *,
        after_bytes: int = 0,
        after_events: int = 0,
        delay_s: float = 0.2,
    ) -> None:
        """Show a fault at the next `count` requests of a route, e.g. `/v1/listen`."""
        planned = PlannedFault(Fault(fault), count, after_bytes, after_events, delay_s)
        self._planned.setdefault(route, deque()).append(planned)

    def clear(self) -> None:
        """All is well again."""
        self._planned.clear()

    def take(self, route: str) -> PlannedFault | None:
        """The fault of this request, if one is planned."""
        waiting = self._planned.get(route)
        if not waiting:
            return None
        planned = waiting[0]
        planned.count -= 1
        if planned.count <= 0:
            waiting.popleft()
        return planned


class Afflicted:
    """Counts what goes out of one answer and says when its fault strikes."""

    def __init__(self, planned: PlannedFault | None) -> None:
        self.planned = planned
        self.fault = planned.fault if planned is not None else None
        self._bytes = 0
        self._events = 0

    def strikes(self, piece: bytes | str) -> bool:
        """Count a piece that is about to go out; whether the fault comes in its place."""
        planned = self.planned
        if planned is None or planned.fault is Fault.SLOW:
            return False
        is_due = self._bytes >= planned.after_bytes and self._events >= planned.after_events
        self._bytes += len(piece)
        self._events += 1
        return is_due

    async def pass_on(
        self,
        pieces: AsyncIterator[bytes],
        *,
        garbage: bytes,
        sleep: Callable[[float], Awaitable[None]],
        abort: Callable[[], None],
    ) -> AsyncIterator[bytes]:
        """Let an HTTP answer's pieces out, until the fault strikes."""
        async for piece in pieces:
            if self.planned is not None and self.fault is Fault.SLOW:
                await sleep(self.planned.delay_s)
            if not self.strikes(piece):
                yield piece
                continue
            if self.fault is Fault.STALL:
                await sleep(3600)
            elif self.fault is Fault.CUT:
                abort()
            else:
                yield garbage
            return
