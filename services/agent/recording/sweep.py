"""Removes recordings that were kept long enough, and completes those whose worker was lost.

Every worker runs it; one at a time does the work, by a lock on the bus.
"""

from __future__ import annotations

import asyncio

import structlog

from services.agent.recording.writer import OnFailure
from shared.bus.base import Bus, BusUnavailable
from shared.metrics.catalogue import RecordingMetrics
from shared.protocol.call import CallId
from shared.recordings.archive import RecordingArchive
from shared.recordings.errors import StoreUnavailable
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
_LOCK = "recordings:sweep"
_LEFTOVERS_EVERY_S = 3600.0
_LEFTOVER_S = 3600.0
"""Nothing is written for so long: what is older was given up."""


class Sweep:
    """A worker's share in it.

    Args:
        archive: the recordings.
        bus: knows which calls are over, and has the lock.
        worker: names this worker.
        metrics: what was removed.
        clock: the worker's.
        every_s: how often the whole platform sweeps.
        on_failure: told of a bug: what failed, and how.
    """

    def __init__(
        self,
        archive: RecordingArchive,
        bus: Bus,
        *,
        worker: str,
        metrics: RecordingMetrics,
        clock: Clock,
        every_s: float,
        on_failure: OnFailure,
    ) -> None:
        self._archive = archive
        self._bus = bus
        self._worker = worker
        self._metrics = metrics
        self._clock = clock
        self._every_s = every_s
        self._on_failure = on_failure
        self._seen_open: set[CallId] = set()
        self._leftovers_due_s = 0.0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.once()

    async def once(self) -> None:
        """Sweep, unless another worker has done so in this interval; never raises."""
        try:
            is_ours = await self._bus.values.put(
                _LOCK, self._worker, ttl_s=self._every_s * 0.9, only_if_absent=True
            )
            if is_ours:
                await self._sweep()
        except (BusUnavailable, StoreUnavailable) as exc:
            _log.warning("recordings_not_swept", error=str(exc))
        except Exception as exc:  # noqa: BLE001 - a bug in one sweep leaves the next to be done
            _log.exception("recordings_sweep_crashed")
            self._on_failure("sweep", exc)

    async def _sweep(self) -> None:
        now_s = self._clock.wall().timestamp()
        removed = await self._archive.remove_expired(now_s, self._is_over)
        self._metrics.removed.inc(removed)
        await self._complete_left()
        await self._remove_leftovers(now_s)
        if removed:
            _log.info("recordings_removed", count=removed)

    async def _remove_leftovers(self, now_s: float) -> None:
        if now_s < self._leftovers_due_s:
            return
        self._leftovers_due_s = now_s + _LEFTOVERS_EVERY_S
        if count := await self._archive.remove_leftovers(now_s - _LEFTOVER_S):
            _log.info("recording_leftovers_removed", count=count)

    async def _complete_left(self) -> None:
        """Complete what nobody has completed since the last sweep though its call is over."""
        left = set(await self._archive.left_open())
        for call_id in sorted(left & self._seen_open):
            record = await self._bus.calls.get(call_id)
            if record is not None and not record.state.is_final:
                continue
            stopped = str((record.recording if record else {}).get("stopped", ""))
            try:
                index = await self._archive.complete(call_id, stopped=stopped)
            except StoreUnavailable as exc:
                _log.warning("recording_not_completed", call_id=call_id, error=str(exc))
                continue
            except Exception as exc:  # noqa: BLE001 - a recording that a bug is in holds up no other
                _log.exception("recording_crashed", what="late", call_id=call_id)
                self._on_failure("late", exc)
                continue
            self._metrics.completed.labels("empty" if index is None else "late").inc()
            left.discard(call_id)
        self._seen_open = left

    async def _is_over(self, call_id: CallId) -> bool:
        """Whether a call has ended; one that nobody remembers has."""
        record = await self._bus.calls.get(call_id)
        return record is None or record.state.is_final
