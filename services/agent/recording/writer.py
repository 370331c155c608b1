"""Writes the blocks of all calls of a worker, and puts recordings together when calls are over.

Calls give and go on: blocks wait in one bounded queue for a few hands. A block that finds it full,
that has waited too long or that the store does not take ends its call's recording, and nothing
else. Hands that hang in the store hang alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog

from services.agent.agents.file import AgentFile
from services.agent.recording.lanes import Cargo
from services.agent.recording.recorder import BUG, Recorder
from shared.bus.base import BusUnavailable, CallStore
from shared.metrics.catalogue import RecordingMetrics
from shared.protocol.call import CallChange
from shared.protocol.worker import LinkRequest
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import Facts
from shared.recordings.errors import StoreUnavailable
from shared.recordings.layout import is_recordable
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_DAY_S = 86_400.0
_AMEND_S = 2.0
QUEUE_FULL, QUEUE_SLOW = "queue_full", "queue_slow"
OnFailure = Callable[[str, BaseException], None]


def _tell_nobody(_what: str, _error: BaseException) -> None: ...


@dataclass(frozen=True, slots=True)
class WriterBounds:
    """How a worker writes recordings.

    Attributes:
        block_s: how much of a call a block holds.
        waiting: blocks that wait, of all calls together.
        oldest_s: how long one may wait.
        ended: calls whose recordings wait to be put together; a sweep does what is beyond it.
        hands: blocks that are being written at once.
        settle_s: how long the blocks of a call that is over are waited for.
        stop_s: how long, when the worker stops, what is begun may take.
    """

    block_s: float = 1.0
    waiting: int = 256
    oldest_s: float = 5.0
    ended: int = 500
    hands: int = 8
    settle_s: float = 20.0
    stop_s: float = 5.0


@dataclass(frozen=True, slots=True)
class _Job:
    recorder: Recorder
    cargo: Cargo
    given_s: float
    is_last: bool


class RecordingWriter:
    """The recordings of a worker's calls, for as long as its context lasts.

    Leaving the context writes what waits still, in bounded time; what is left over is put together
    by another worker.

    Args:
        archive: where they go.
        worker: its id, told with each block.
        metrics: what became of them.
        clock: the worker's.
        bounds: see there.
        calls: told of what stops a recording after its call's record was written.
        on_failure: told of a bug: what failed, and how. That block's or that call's recording is
            given up, and the next one is taken.
    """

    def __init__(
        self,
        archive: RecordingArchive,
        *,
        worker: str,
        metrics: RecordingMetrics,
        clock: Clock,
        bounds: WriterBounds | None = None,
        calls: CallStore | None = None,
        on_failure: OnFailure = _tell_nobody,
    ) -> None:
        self._archive = archive
        self._worker = worker
        self._metrics = metrics
        self._clock = clock
        self._bounds = bounds or WriterBounds()
        self._calls = calls
        self._on_failure = on_failure
        self._owner = TaskOwner("recordings", on_failure=on_failure)
        self._jobs: deque[_Job] = deque()
        self._news = asyncio.Condition()
        self._pending: dict[Recorder, int] = {}
        self._over: asyncio.Queue[Recorder] = asyncio.Queue(self._bounds.ended)
        self._wake = asyncio.Semaphore(0)
        self._unfinished = 0

    async def __aenter__(self) -> Self:
        for number in range(self._bounds.hands):
            self._owner.start(self._write_all(), name=f"hand-{number}")
        self._owner.start(self._complete_all(), name="complete")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            async with asyncio.timeout(self._bounds.stop_s), self._news:
                await self._news.wait_for(lambda: not self._unfinished)
        except TimeoutError:
            _log.warning("recordings_left", left=self._unfinished)
        await self._owner.stop()

    # --- what calls ask for ------------------------------------------------------------------

    def open(
        self, request: LinkRequest, file: AgentFile, kept: Mapping[str, Any] | None
    ) -> Recorder | None:
        """See Recordings."""
        rules = file.recording
        if not rules.enabled or not is_recordable(request.call_id):
            return None
        kept_s = [] if rules.keep_days is None else [rules.keep_days * _DAY_S]
        kept_s += [] if file.data.keep_s is None else [file.data.keep_s]
        facts = Facts(
            request.call_id,
            request.epoch,
            self._worker,
            file.name,
            self._clock.wall().timestamp(),
            min(kept_s, default=None),
        )
        self._metrics.begun.inc()
        return Recorder(facts, self, self._clock, block_s=self._bounds.block_s, kept=kept)

    def put(self, recorder: Recorder, cargo: Cargo, *, is_last: bool) -> None:
        """See BlockWriter."""
        if len(self._jobs) >= self._bounds.waiting:
            recorder.give_up(QUEUE_FULL)
            return
        self._jobs.append(_Job(recorder, cargo, self._clock.now_s(), is_last))
        self._pending[recorder] = self._pending.get(recorder, 0) + 1
        self._unfinished += 1
        self._metrics.queue.set(len(self._jobs))
        self._wake.release()

    def complete(self, recorder: Recorder) -> None:
        """See BlockWriter."""
        try:
            self._over.put_nowait(recorder)
        except asyncio.QueueFull:
            self._metrics.completed.labels("failed").inc()
            return
        self._unfinished += 1

    def on_stopped(self, reason: str) -> None:
        """See BlockWriter."""
        self._metrics.stopped.labels(reason).inc()

    # --- writing -----------------------------------------------------------------------------

    async def _write_all(self) -> None:
        while True:
            await self._wake.acquire()
            job = self._jobs.popleft()
            self._metrics.queue.set(len(self._jobs))
            try:
                await self._write(job)
            except Exception as exc:  # noqa: BLE001 - one block that a bug is in stops no hand
                self._on_bug("block", job.recorder, exc)
                job.recorder.give_up(BUG)
            finally:
                await self._on_done(job.recorder)

    def _on_bug(self, what: str, recorder: Recorder, error: Exception) -> None:
        call_id = recorder.facts.call_id
        _log.error("recording_crashed", what=what, call_id=call_id, exc_info=error)
        self._on_failure(what, error)

    async def _on_done(self, recorder: Recorder) -> None:
        self._pending[recorder] -= 1
        if not self._pending[recorder]:
            del self._pending[recorder]
        await self._on_finished()

    async def _on_finished(self) -> None:
        self._unfinished -= 1
        async with self._news:
            self._news.notify_all()

    async def _write(self, job: _Job) -> None:
        recorder = job.recorder
        if recorder.stopped:
            return
        started_s = self._clock.now_s()
        if started_s - job.given_s > self._bounds.oldest_s:
            recorder.give_up(QUEUE_SLOW)
            return
        block = recorder.block(job.cargo, is_last=job.is_last)
        try:
            if block.number == 0:
                await self._archive.begin(block.facts)
            size_bytes = await self._archive.write(block)
        except StoreUnavailable as exc:
            _log.info("recording_block_not_written", error=str(exc))
            recorder.give_up(exc.fault.value)
            return
        self._metrics.blocks.inc()
        self._metrics.bytes.inc(size_bytes)
        self._metrics.seconds.observe(self._clock.now_s() - started_s)

    # --- putting together --------------------------------------------------------------------

    async def _complete_all(self) -> None:
        while True:
            recorder = await self._over.get()
            try:
                await self._complete(recorder)
            except Exception as exc:  # noqa: BLE001 - nor does one recording end the others
                self._metrics.completed.labels("failed").inc()
                self._on_bug("complete", recorder, exc)
            finally:
                await self._on_finished()

    async def _complete(self, recorder: Recorder) -> None:
        call_id = recorder.facts.call_id
        try:
            async with asyncio.timeout(self._bounds.settle_s), self._news:
                await self._news.wait_for(lambda: recorder not in self._pending)
            index = await self._archive.complete(call_id, stopped=recorder.stopped)
        except TimeoutError:
            self._metrics.completed.labels("failed").inc()
            _log.warning("recording_not_completed", call_id=call_id, error="blocks not written")
        except StoreUnavailable as exc:
            self._metrics.completed.labels("failed").inc()
            _log.warning("recording_not_completed", call_id=call_id, error=str(exc))
        else:
            self._metrics.completed.labels("empty" if index is None else "complete").inc()
        if recorder.stopped != recorder.told:
            await self._amend(recorder)

    async def _amend(self, recorder: Recorder) -> None:
        """Add to the call's record what was not known yet when it was written."""
        if self._calls is None:
            return
        call_id, said = recorder.facts.call_id, recorder.summary()
        try:
            async with asyncio.timeout(_AMEND_S):
                await self._calls.apply(CallChange(call_id, fields={"recording": said}))
        except (BusUnavailable, TimeoutError) as exc:
            _log.warning("record_not_amended", call_id=call_id, error=str(exc))
