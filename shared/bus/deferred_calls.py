"""Changes of calls' records that wait while the store is away, and are written when it is back.

They are written in the order in which they were asked for, each once: a change that may have been
written before its answer was lost is merged again, which changes nothing, and the store itself
tells of a call's end only once. What waits is in memory: whoever must know that a change is safe
goes by the answer, which says `WriteDeferred` until it is.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from shared.bus.base import BusUnavailable, CallStore
from shared.bus.messages import Applied
from shared.metrics.catalogue import DeferredMetrics
from shared.protocol.call import CallChange, CallId, CallRecord, at_time
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
MAX_WAITING = 10_000
_SLOW_S = 1.5
_RETRY_S = (0.1, 0.2, 0.5, 1.0)
_FINISH_S = 15.0


class WriteDeferred(BusUnavailable):
    """Not written yet: kept, and written in its turn when the store is back."""


@dataclass(order=True, slots=True)
class _Waiting:
    number: int
    change: CallChange = field(compare=False)
    asked: CallChange = field(compare=False)


class DeferredCalls:
    """CallStore that keeps what another could not take.

    At most `max_waiting` changes wait. Only ends of calls may fill the second half of that; what
    finds no place is refused with a plain BusUnavailable and counted. The end of a call that is
    told again while it waits takes no second place.

    A context: leaving it writes what waits, for `_FINISH_S` at most.
    """

    def __init__(
        self,
        store: CallStore,
        metrics: DeferredMetrics,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._max_waiting = max_waiting
        self._waiting: list[_Waiting] = []
        self._ends: dict[CallId, _Waiting] = {}
        self._asked = 0
        self._news = asyncio.Event()
        self._owner = TaskOwner("deferred_calls")

    def __len__(self) -> int:
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        self._owner.start(self._run(), name="writer")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._owner.stop()
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._write_waiting()
        except TimeoutError:
            _log.error("records_lost", changes=len(self._waiting))
            self._metrics.writes.labels("lost").inc(len(self._waiting))

    async def apply(self, change: CallChange) -> Applied:
        """Merge a change now where nothing waits before it.

        Raises:
            WriteDeferred: kept.
            BusUnavailable: not even that.
        """
        self._asked += 1
        number = self._asked
        if not self._waiting:
            try:
                async with asyncio.timeout(_SLOW_S):
                    return await self._store.apply(change)
            except (BusUnavailable, TimeoutError) as exc:
                self._keep(number, change)
                raise WriteDeferred(str(exc)) from exc
        self._keep(number, change)
        raise WriteDeferred("others wait before it")

    def _keep(self, number: int, change: CallChange) -> None:
        is_end = change.state is not None and change.state.is_final
        known = self._ends.get(change.call_id) if is_end else None
        if known is not None and known.asked == change:
            return
        room = self._max_waiting if is_end else self._max_waiting // 2
        if len(self._waiting) >= room:
            self._metrics.writes.labels("refused").inc()
            _log.error("record_not_kept", call_id=change.call_id, waiting=len(self._waiting))
            raise BusUnavailable("too many changes wait")
        now_iso = self._clock.wall().isoformat(timespec="milliseconds")
        waiting = _Waiting(number, at_time(change, now_iso), change)
        if is_end:
            self._ends[change.call_id] = waiting
        # One that hung until its time limit comes after others that were refused at once.
        insort(self._waiting, waiting)
        self._metrics.writes.labels("kept").inc()
        self._metrics.waiting.set(len(self._waiting))
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        failures = 0
        while self._waiting:
            first = self._waiting[0]
            try:
                async with asyncio.timeout(_SLOW_S):
                    await self._store.apply(first.change)
                outcome, failures = "written", 0
            except (BusUnavailable, TimeoutError):
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
                continue
            except Exception:  # noqa: BLE001 - one change that is wrong must not hold the rest up
                _log.error("record_unwritable", call_id=first.change.call_id, exc_info=True)
                outcome = "unwritable"
            self._let_go(first, outcome)

    def _let_go(self, waiting: _Waiting, outcome: str) -> None:
        self._waiting.remove(waiting)
        if self._ends.get(waiting.change.call_id) is waiting:
            del self._ends[waiting.change.call_id]
        self._metrics.writes.labels(outcome).inc()
        self._metrics.waiting.set(len(self._waiting))

    async def get(self, call_id: CallId) -> CallRecord | None:
        """Read one record, without what waits."""
        return await self._store.get(call_id)

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        """Read the newest records, without what waits."""
        return await self._store.recent(limit, before=before)
