from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.agent.recording.sweep import Sweep
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import RecordingMetrics
from shared.protocol.call import CallChange, CallId, CallState
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import Block, CallerPiece, Facts
from shared.recordings.errors import StoreFault
from shared.recordings.index import RecordingIndex
from tests.support.clock import ManualClock
from tests.support.phone_line import FRAME
from tests.support.recording_store import MemoryStore

HOUR_S = 3600.0


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.archive = RecordingArchive(self.store)
        self.bus = MemoryBus()
        self.registry = CollectorRegistry()
        self.failures: list[tuple[str, type[BaseException]]] = []
        self.metrics = RecordingMetrics(self.registry)

    def sweep(self, worker: str = "worker-1", *, every_s: float = 600.0) -> Sweep:
        return Sweep(
            self.archive,
            self.bus,
            worker=worker,
            metrics=self.metrics,
            clock=self.clock,
            every_s=every_s,
            on_failure=lambda what, error: self.failures.append((what, type(error))),
        )

    async def swept(self) -> None:
        """Sweep as if the interval were over."""
        await self.bus.values.delete("recordings:sweep")
        await self.sweep().once()

    async def record(self, call_id: str, *, keep_s: float | None, is_complete: bool = True) -> None:
        zero_s = self.clock.wall().timestamp()
        facts = Facts(CallId(call_id), 1, "worker-1", "default", zero_s, keep_s)
        await self.archive.begin(facts)
        piece = CallerPiece(0, b"\x01" * FRAME)
        await self.archive.write(Block(facts, 0, caller=(piece,), is_last=True))
        if is_complete:
            await self.archive.complete(CallId(call_id))

    async def state(self, call_id: str, state: CallState) -> None:
        await self.bus.calls.apply(CallChange(CallId(call_id), state))

    async def has(self, call_id: str) -> bool:
        return await self.archive.find(CallId(call_id)) is not None


async def test_what_was_kept_long_enough_is_removed_without_a_trace() -> None:
    stage = Stage()
    await stage.record("short", keep_s=HOUR_S)
    await stage.record("long", keep_s=100 * HOUR_S)
    await stage.record("forever", keep_s=None)
    stage.clock.advance(HOUR_S - 60)
    await stage.swept()
    assert await stage.has("short")
    stage.clock.advance(120)
    await stage.swept()
    assert not await stage.has("short")
    assert await stage.has("long")
    assert await stage.has("forever")
    assert not [path for path in stage.store.objects if "short" in path]
    assert stage.registry.get_sample_value("voice_agent_recordings_removed_total") == 1


async def test_a_call_that_goes_on_is_kept_until_it_has_ended() -> None:
    stage = Stage()
    await stage.record("call", keep_s=60, is_complete=False)
    await stage.state("call", CallState.IN_PROGRESS)
    stage.clock.advance(120)
    await stage.swept()
    assert await stage.has("call")
    await stage.state("call", CallState.COMPLETED)
    stage.clock.advance(2 * HOUR_S)
    await stage.swept()
    assert not await stage.has("call")


async def test_a_long_call_expires_by_its_end() -> None:
    stage = Stage()
    await stage.record("call", keep_s=HOUR_S, is_complete=False)
    zero_s = stage.clock.wall().timestamp()
    facts = Facts(CallId("call"), 1, "worker-1", "default", zero_s, HOUR_S)
    late = CallerPiece(8000 * 1800, b"\x01" * FRAME)
    await stage.archive.write(Block(facts, 1, caller=(late,), is_last=True))
    await stage.archive.complete(CallId("call"))
    stage.clock.advance(1.2 * HOUR_S)
    await stage.swept()
    assert await stage.has("call")
    stage.clock.advance(0.4 * HOUR_S)
    await stage.swept()
    assert not await stage.has("call")


async def test_the_recording_of_a_lost_worker_is_completed_once_its_call_is_over() -> None:
    stage = Stage()
    await stage.record("lost", keep_s=None, is_complete=False)
    await stage.record("live", keep_s=None, is_complete=False)
    await stage.state("live", CallState.IN_PROGRESS)
    sweep = stage.sweep()
    await sweep.once()
    assert await stage.archive.index(CallId("lost")) is None, "its worker may be at it still"
    await stage.bus.values.delete("recordings:sweep")
    await sweep.once()
    assert await stage.archive.index(CallId("lost")) is not None
    assert await stage.archive.index(CallId("live")) is None
    late = {"outcome": "late"}
    name = "voice_agent_recordings_completed_total"
    assert stage.registry.get_sample_value(name, late) == 1


async def test_one_worker_at_a_time_sweeps() -> None:
    stage = Stage()
    await stage.record("short", keep_s=1)
    stage.clock.advance(60)
    await stage.bus.values.put("recordings:sweep", "another", ttl_s=60)
    await stage.sweep().once()
    assert await stage.has("short")


async def test_a_store_that_is_away_is_tried_again() -> None:
    stage = Stage()
    await stage.record("short", keep_s=1)
    stage.clock.advance(60)
    stage.store.fault = StoreFault.FAILED
    await stage.swept()
    stage.store.fault = None
    await stage.swept()
    assert not await stage.has("short")


async def test_what_was_left_half_written_is_looked_for_once_an_hour() -> None:
    stage = Stage()
    sweep = stage.sweep()
    for _ in range(7):
        await stage.bus.values.delete("recordings:sweep")
        await sweep.once()
        stage.clock.advance(600)
    first_s, second_s = stage.store.asked_leftovers
    assert second_s - first_s == HOUR_S
    assert stage.clock.wall().timestamp() - second_s == HOUR_S + 600


async def test_a_recording_that_a_bug_is_in_holds_up_no_other_and_is_told() -> None:
    stage = Stage()
    for name in ("a-broken", "b-fine"):
        await stage.record(name, keep_s=None, is_complete=False)
    complete = stage.archive.complete

    async def broken(call_id: CallId, *, stopped: str = "") -> RecordingIndex | None:
        if call_id == "a-broken":
            raise ZeroDivisionError
        return await complete(call_id, stopped=stopped)

    stage.archive.complete = broken  # type: ignore[method-assign]
    sweep = stage.sweep()
    for _ in range(2):
        await stage.bus.values.delete("recordings:sweep")
        await sweep.once()
    assert await stage.archive.index(CallId("b-fine")) is not None
    assert stage.failures == [("late", ZeroDivisionError)]


async def test_a_sweep_that_a_bug_is_in_is_told_and_the_next_one_done() -> None:
    stage = Stage()
    await stage.record("short", keep_s=1)
    stage.clock.advance(60)
    removes = stage.archive.remove_expired

    async def broken(*_: object) -> int:
        raise ZeroDivisionError

    stage.archive.remove_expired = broken  # type: ignore[method-assign, assignment]
    await stage.swept()
    assert stage.failures == [("sweep", ZeroDivisionError)]
    stage.archive.remove_expired = removes  # type: ignore[method-assign]
    await stage.swept()
    assert not await stage.has("short")
