"""Brings Vobiz's own recordings to ours: each once, however often and late its RecordStop comes.

A call never notices: what is asked for here happens beside it, most often after its end. A file
that is on its way when this gateway is killed is not fetched by another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.gateway.vobiz_recordings.fetch import CopyFetcher, NotFetched
from services.gateway.vobiz_recordings.rules import Notice, format_of, read_notice
from shared.bus.base import BusUnavailable, CallStore, KeyValue
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId
from shared.protocol.webhook import Webhook
from shared.recordings.archive import RecordingArchive
from shared.recordings.errors import StoreUnavailable
from shared.recordings.layout import is_recordable
from shared.recordings.vobiz_copy import VobizCopy
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_MEMORY_S = 604_800.0
_AT_ONCE = 2
_MOST_WAITING = 200
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class PullRules:
    """How long a file without a recording of ours is kept, and the waits between attempts."""

    keep_days: float
    retry_s: Sequence[float] = (2.0, 10.0, 30.0, 120.0)

    @property
    def most_s(self) -> float:
        """After so long nobody is at a file any more who was at it."""
        return sum(self.retry_s) + 3600.0


class VobizRecordings:
    """Fetches and keeps what RecordStop callbacks tell of.

    Args:
        archive: where they go.
        calls: knows for how long a call's data are kept.
        values: knows which were fetched, and which recordings were removed.
        fetcher: brings them.
        metrics: what became of them.
        clock: the gateway's.
        tasks: owns what is under way.
        rules: see there.
    """

    def __init__(
        self,
        archive: RecordingArchive,
        calls: CallStore,
        values: KeyValue,
        fetcher: CopyFetcher,
        *,
        metrics: GatewayMetrics,
        clock: Clock,
        tasks: TaskOwner,
        rules: PullRules,
    ) -> None:
        self._archive = archive
        self._calls = calls
        self._values = values
        self._fetcher = fetcher
        self._metrics = metrics
        self._clock = clock
        self._tasks = tasks
        self._rules = rules
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._under_way = 0

    async def take(self, call_id: CallId, webhook: Webhook) -> bool:
        """Have a file fetched; False where the callback should come again. Never waits for it."""
        notice = read_notice(webhook)
        if notice is None or not is_recordable(call_id) or self._fetcher.judge(notice.url) is None:
            _log.warning("vobiz_recording_refused", call_id=call_id, problem="no URL to ask")
            self._count("refused")
            return True
        if self._under_way >= _MOST_WAITING:
            self._count("full")
            return False
        try:
            is_first = await self._values.put(
                _claim(call_id), "begun", ttl_s=self._rules.most_s, only_if_absent=True
            )
        except BusUnavailable:
            return False
        if not is_first:
            self._count("repeated")
            return True
        self._under_way += 1
        self._tasks.start(self._pull(call_id, notice), name=f"vobiz_recording/{call_id}")
        return True

    async def on_removed(self, call_id: CallId) -> None:
        """A recording was removed for good: what is told of later does not bring it back."""
        try:
            await self._values.put(_gone(call_id), "1", ttl_s=_MEMORY_S)
        except BusUnavailable:
            _log.warning("removal_not_remembered", call_id=call_id)

    async def _pull(self, call_id: CallId, notice: Notice) -> None:
        try:
            outcome = await self._bring(call_id, notice)
        except Exception:  # noqa: BLE001 - a bug is told as such, and leaves the next to be fetched
            _log.exception("vobiz_recording_crashed", call_id=call_id)
            outcome = "failed"
        finally:
            self._under_way -= 1
        self._count(outcome)
        try:
            if outcome == "failed":
                await self._values.delete(_claim(call_id))
            else:
                await self._values.put(_claim(call_id), outcome, ttl_s=_MEMORY_S)
        except BusUnavailable:
            _log.warning("vobiz_recording_not_noted", call_id=call_id, outcome=outcome)

    async def _bring(self, call_id: CallId, notice: Notice) -> str:
        """Fetch a file and keep it; return what came of it."""
        for wait_s in (*self._rules.retry_s, None):
            try:
                async with self._places:  # not while it waits: one that fails holds up no other
                    return await self._keep(call_id, notice, await self._fetcher.fetch(notice.url))
            except NotFetched as exc:
                problem, outcome = str(exc), exc.outcome
                may_come_later = exc.may_come_later
            except (StoreUnavailable, BusUnavailable) as exc:
                problem, outcome, may_come_later = str(exc), "failed", True
            if not may_come_later or wait_s is None:
                break
            _log.info("vobiz_recording_delayed", call_id=call_id, problem=problem)
            await asyncio.sleep(wait_s)
        _log.warning("vobiz_recording_not_kept", call_id=call_id, problem=problem)
        return outcome

    async def _keep(self, call_id: CallId, notice: Notice, audio: bytes) -> str:
        audio_format = format_of(audio[:16])
        if audio_format is None:
            raise NotFetched("neither MP3 nor WAV", may_come_later=True)
        if await self._values.get(_gone(call_id)) is not None:
            return "removed"
        now_s = self._clock.wall().timestamp()
        copy = VobizCopy(
            format=audio_format,
            size_bytes=len(audio),
            duration_ms=notice.duration_ms,
            recording_id=notice.recording_id,
            end_reason=notice.end_reason,
            fetched_unix_s=round(now_s, 3),
        )
        until_s = now_s + await self._keep_s(call_id)
        await self._archive.keep_copy(call_id, copy, audio, until_unix_s=until_s)
        _log.info("vobiz_recording_kept", call_id=call_id, bytes=len(audio), format=audio_format)
        return "kept"

    async def _keep_s(self, call_id: CallId) -> float:
        """Return how long a file is kept: no longer than the call's record, where that is short."""
        record = await self._calls.get(call_id)
        kept_s = self._rules.keep_days * _DAY_S
        shorter_s = None if record is None else record.retention_s
        return kept_s if shorter_s is None else min(kept_s, shorter_s)

    def _count(self, outcome: str) -> None:
        self._metrics.vobiz_recordings.labels(outcome).inc()


def _claim(call_id: CallId) -> str:
    return f"vobiz-recording:{call_id}"


def _gone(call_id: CallId) -> str:
    return f"recording-removed:{call_id}"
