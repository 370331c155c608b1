from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from services.agent.agents.file import AgentFile
from services.agent.recording.recorder import BUG, Recorder
from services.agent.recording.writer import (
    QUEUE_FULL,
    QUEUE_SLOW,
    RecordingWriter,
    WriterBounds,
)
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import RecordingMetrics, RuntimeMetrics
from shared.protocol.call import CallChange, CallId, CallState
from shared.protocol.telephony import Media
from shared.protocol.worker import LinkRequest
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import Block
from shared.recordings.errors import StoreFault
from shared.recordings.index import RecordingIndex
from tests.support.clock import ManualClock
from tests.support.phone_line import FIRST_MS, FRAME
from tests.support.recording_store import MemoryStore

BOUNDS = WriterBounds(waiting=20, hands=2, settle_s=1.0, stop_s=0.5)
RECORDED = AgentFile.model_validate({"recording": {"enabled": True, "keep_days": 7}})


class Stage:
    def __init__(self, bounds: WriterBounds = BOUNDS) -> None:
        self.store = MemoryStore(timeout_s=0.2)
        self.archive = RecordingArchive(self.store)
        self.registry = CollectorRegistry()
        self.clock = ManualClock()
        self.bus = MemoryBus()
        self.writer = RecordingWriter(
            self.archive,
            worker="worker-1",
            metrics=RecordingMetrics(self.registry),
            clock=self.clock,
            bounds=bounds,
            calls=self.bus.calls,
            on_failure=RuntimeMetrics(self.registry).failures_of("recordings"),
        )

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"voice_agent_{name}", labels) or 0.0

    def open(self, call_id: str = "call-1", file: AgentFile = RECORDED) -> Recorder:
        recorder = self.writer.open(LinkRequest(CallId(call_id)), file, None)
        assert recorder is not None
        recorder.on_stream("s", None, self.clock.now_s())
        return recorder

    def hear(self, *recorders: Recorder, frames: int, first: int = 0) -> None:
        for n in range(first, first + frames):
            self.clock.advance(0.02)
            for recorder in recorders:
                media = Media(b"\x01" * FRAME, timestamp_ms=FIRST_MS + 20 * n)
                recorder.on_media(media, self.clock.now_s())
                recorder.flush_if_due(self.clock.now_s())


@asynccontextmanager
async def running(bounds: WriterBounds = BOUNDS) -> AsyncIterator[Stage]:
    stage = Stage(bounds)
    async with stage.writer:
        yield stage


async def settled() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def end(recorder: Recorder) -> None:
    recorder.close(is_call_over=True)
    recorder.complete()


async def test_a_call_is_written_while_it_goes_on_and_whole_at_its_end() -> None:
    async with running() as stage:
        recorder = stage.open()
        stage.hear(recorder, frames=120)
        await settled()
        live = await stage.archive.find(CallId("call-1"))
        assert live is not None
        assert not live.index.is_complete
        assert live.index.duration_ms >= 1000
        end(recorder)
    recording = await stage.archive.find(CallId("call-1"))
    assert recording is not None
    assert recording.index.is_complete
    assert recording.index.duration_ms == 2400
    assert recording.index.parts[0].is_whole
    assert await recording.read(0, 4) == b"\x01\xff\x01\xff"
    assert not [path for path in stage.store.objects if path.startswith("open/")]
    assert stage.value("recordings_total") == 1
    assert stage.value("recordings_completed_total", outcome="complete") == 1
    assert stage.value("recording_blocks_total") == 3
    assert stage.value("recording_written_bytes_total") > 120 * FRAME
    assert stage.value("recording_block_seconds_count") == 3
    assert stage.value("recording_queue_blocks") == 0


@pytest.mark.parametrize("fault", StoreFault)
async def test_a_store_that_fails_ends_that_recording_and_nothing_else(fault: StoreFault) -> None:
    async with running() as stage:
        broken = stage.open("broken")
        stage.hear(broken, frames=60)
        await settled()
        stage.store.fault = fault
        stage.hear(broken, frames=60, first=60)
        await settled()
        stage.store.fault = None
        fine = stage.open("fine")
        stage.hear(fine, broken, frames=120, first=120)
        end(broken)
        end(fine)
    assert broken.summary()["stopped"] == fault.value
    assert stage.value("recordings_stopped_total", reason=fault.value) == 1
    index = await stage.archive.index(CallId("broken"))
    assert index is not None
    assert index.stopped == fault.value
    assert index.duration_ms == pytest.approx(1020, abs=40), "what was written before"
    other = await stage.archive.index(CallId("fine"))
    assert other is not None
    assert other.stopped == ""


async def test_while_the_store_hangs_blocks_wait_up_to_a_bound() -> None:
    async with running() as stage:
        stage.store.hangs = True
        recorders = [stage.open(f"call-{n}") for n in range(30)]
        stage.hear(*recorders, frames=120)
        await settled()
        reasons = {recorder.stopped for recorder in recorders}
        assert stage.value("recording_queue_blocks") <= 20
        assert "queue_full" in reasons
        assert stage.value("recordings_stopped_total", reason="queue_full") > 0


async def test_a_block_that_has_waited_too_long_ends_its_recording() -> None:
    async with running() as stage:
        stage.store.hangs = True
        recorders = [stage.open(f"call-{n}") for n in range(3)]
        stage.hear(*recorders, frames=55)
        await settled()  # two hands have a block each; the third waits
        stage.clock.advance(6.0)
        await asyncio.sleep(0.3)
        assert [recorder.stopped for recorder in recorders] == ["slow", "slow", "queue_slow"]


async def test_a_store_that_hangs_holds_up_nobody() -> None:
    async with running(replace(BOUNDS, settle_s=0.1)) as stage:
        stage.store.hangs = True
        recorder = stage.open()
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        stage.hear(recorder, frames=500)
        end(recorder)
        assert loop.time() - started_s < 0.2
    assert stage.value("recordings_completed_total", outcome="failed") == 1
    assert loop.time() - started_s < 2.0, "stopping is bounded"


async def test_what_was_written_before_a_failed_end_is_there_still() -> None:
    async with running() as stage:
        recorder = stage.open()
        stage.hear(recorder, frames=120)
        await settled()
        stage.store.fault = StoreFault.FAILED
        end(recorder)
        await settled()
        stage.store.fault = None
        live = await stage.archive.find(CallId("call-1"))
        assert live is not None
        assert live.index.duration_ms == pytest.approx(2040, abs=40)
        assert not live.index.is_complete


async def test_a_call_nothing_was_heard_of_has_an_empty_recording() -> None:
    async with running() as stage:
        recorder = stage.writer.open(LinkRequest(CallId("call-1")), RECORDED, None)
        assert recorder is not None
        end(recorder)
    index = await stage.archive.index(CallId("call-1"))
    assert index is not None
    assert index.samples == 0


async def test_the_agents_file_says_whether_and_for_how_long() -> None:
    async with running() as stage:
        for fields, keep_s in (
            ({"enabled": True}, 30 * 86_400.0),
            ({"enabled": True, "keep_days": 2}, 2 * 86_400.0),
            ({"enabled": True, "keep_days": None}, None),
        ):
            file = AgentFile.model_validate({"recording": fields})
            assert stage.open(file=file).facts.keep_s == keep_s
        gone_soon = AgentFile.model_validate(
            {"recording": {"enabled": True}, "data": {"keep_s": 3600}}
        )
        assert stage.open(file=gone_soon).facts.keep_s == 3600
        assert stage.writer.open(LinkRequest(CallId("c")), AgentFile(), None) is None
        assert stage.writer.open(LinkRequest(CallId("../c")), RECORDED, None) is None


async def test_only_so_many_ended_calls_wait() -> None:
    async with running(replace(BOUNDS, ended=1)) as stage:
        stage.store.hangs = True
        for n in range(4):
            stage.open(f"call-{n}").complete()
        assert stage.value("recordings_completed_total", outcome="failed") >= 2
        stage.store.hangs = False


async def test_every_reason_that_a_recording_may_stop_for_is_there_from_nought() -> None:
    stage = Stage()
    reasons = [*(fault.value for fault in StoreFault), QUEUE_FULL, QUEUE_SLOW, BUG]
    name = "voice_agent_recordings_stopped_total"
    assert {r: stage.registry.get_sample_value(name, {"reason": r}) for r in reasons} == (
        dict.fromkeys(reasons, 0.0)
    )


async def test_a_bug_in_one_block_ends_its_recording_and_no_hand() -> None:
    """A hand that met one was gone for good: after eight of them no call was recorded any more."""
    async with running() as stage:
        write = stage.archive.write

        async def broken(block: Block) -> int:
            if block.facts.call_id == "broken":
                raise ZeroDivisionError
            return await write(block)

        stage.archive.write = broken  # type: ignore[method-assign]
        for _ in range(BOUNDS.hands + 2):
            recorder = stage.open("broken")
            stage.hear(recorder, frames=60)
            await settled()
            assert recorder.stopped == BUG
        fine = stage.open("fine")
        stage.hear(fine, frames=60)
        end(fine)
    assert (await stage.archive.index(CallId("fine"))) is not None
    assert fine.stopped == ""
    failures = {"owner": "recordings"}
    name = "voice_runtime_task_failures_total"
    assert stage.registry.get_sample_value(name, failures) == BOUNDS.hands + 2


async def test_a_bug_in_putting_one_together_leaves_the_others_to_be_done() -> None:
    async with running() as stage:
        complete = stage.archive.complete

        async def broken(call_id: CallId, *, stopped: str = "") -> RecordingIndex | None:
            if call_id == "broken":
                raise ZeroDivisionError
            return await complete(call_id, stopped=stopped)

        stage.archive.complete = broken  # type: ignore[method-assign]
        for name in ("broken", "fine"):
            recorder = stage.open(name)
            stage.hear(recorder, frames=60)
            end(recorder)
    assert (await stage.archive.index(CallId("fine"))) is not None
    assert stage.value("recordings_completed_total", outcome="failed") == 1
    assert stage.value("recordings_completed_total", outcome="complete") == 1
    failures = {"owner": "recordings"}
    assert stage.registry.get_sample_value("voice_runtime_task_failures_total", failures) == 1


async def test_the_record_of_a_very_short_call_says_why_its_recording_stopped() -> None:
    """Its only block was written after the record was, and nobody learned what became of it."""
    async with running() as stage:
        stage.store.fault = StoreFault.NO_SPACE
        recorder = stage.open()
        stage.hear(recorder, frames=10)
        end(recorder)
        at_the_end = recorder.summary()
        assert at_the_end == {"duration_ms": 200}
        change = CallChange(CallId("call-1"), CallState.COMPLETED, {"recording": at_the_end})
        await settled()
        await stage.bus.calls.apply(change)  # whichever of the two comes last
    record = await stage.bus.calls.get(CallId("call-1"))
    assert record is not None
    assert record.recording["stopped"] == "no_space"
    assert record.recording["duration_ms"] == 200


async def test_a_record_that_says_it_all_is_left_alone() -> None:
    async with running() as stage:
        fine, known = stage.open("fine"), stage.open("known")
        stage.hear(fine, known, frames=60)
        known.give_up(QUEUE_FULL)
        end(fine)
        end(known)
        assert fine.summary() | known.summary() == {"duration_ms": 1200, "stopped": QUEUE_FULL}
    assert await stage.bus.calls.get(CallId("fine")) is None
    assert await stage.bus.calls.get(CallId("known")) is None
