from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.vobiz_recordings.fetch import CopyFetcher, FetchBounds, NotFetched
from services.gateway.vobiz_recordings.pull import PullRules, VobizRecordings
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallChange, CallId, CallState
from shared.protocol.webhook import Webhook, parse_webhook
from shared.recordings.archive import RecordingArchive
from shared.recordings.errors import StoreFault
from shared.recordings.layout import read_expiry_marker
from shared.runtime.tasks import TaskOwner
from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount
from tests.support.clock import ManualClock
from tests.support.recording_store import MemoryStore

CALL = CallId("call-1")
MP3 = b"ID3" + bytes(500)


class ScriptedFetcher(CopyFetcher):
    """Gives what the script has, one after the other; the last again and again."""

    def __init__(self, *script: bytes | Exception) -> None:
        account = VobizAccount("MA_TEST", "secret-token", VOBIZ_API_BASE)
        super().__init__(account, FetchBounds(10_000, 1.0))
        self.script = list(script)
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(found, Exception):
            raise found
        return found


class Stage:
    def __init__(self, *script: bytes | Exception, retry_s: tuple[float, ...] = (0.0, 0.0)) -> None:
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.archive = RecordingArchive(self.store)
        self.bus = MemoryBus()
        self.fetcher = ScriptedFetcher(*(script or (MP3,)))
        self.registry = CollectorRegistry()
        self.tasks = TaskOwner("test")
        self.pulling = VobizRecordings(
            self.archive,
            self.bus.calls,
            self.bus.values,
            self.fetcher,
            metrics=GatewayMetrics(self.registry),
            clock=self.clock,
            tasks=self.tasks,
            rules=PullRules(30.0, retry_s=retry_s),
        )

    async def take(self, call_id: CallId = CALL, **fields: str) -> bool:
        is_taken = await self.pulling.take(call_id, stopped(**fields))
        await self.settle()
        return is_taken

    async def settle(self) -> None:
        for _ in range(300):
            await asyncio.sleep(0)

    def count(self, outcome: str) -> float:
        name = "voice_gateway_vobiz_recordings_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0


def stopped(**fields: str) -> Webhook:
    usual = {
        "Event": "RecordStop",
        "CallUUID": "call-1",
        "RecordUrl": "https://media.vobiz.ai/r.mp3",
        "RecordingID": "rec-1",
        "RecordingDurationMs": "7240",
    }
    return parse_webhook(usual | fields)


async def test_a_file_is_kept_once_however_often_it_is_told_of() -> None:
    stage = Stage()
    for _ in range(3):
        assert await stage.take()
    assert stage.fetcher.asked == ["https://media.vobiz.ai/r.mp3"]
    copy = await stage.archive.copy(CALL)
    assert copy is not None
    assert (copy.format, copy.size_bytes, copy.duration_ms) == ("mp3", len(MP3), 7240)
    assert await stage.archive.read_copy(CALL, copy, 0, 10**6) == MP3
    assert (stage.count("kept"), stage.count("repeated")) == (1, 2)


async def test_what_is_told_twice_while_it_is_fetched_is_fetched_once() -> None:
    stage = Stage()
    stage.fetcher.gate.clear()
    await stage.take()
    await stage.take()
    stage.fetcher.gate.set()
    await stage.settle()
    assert len(stage.fetcher.asked) == 1
    assert stage.count("kept") == 1


async def test_a_file_that_is_not_there_yet_is_asked_for_again() -> None:
    stage = Stage(NotFetched("status 404", may_come_later=True), b"<html>soon</html>", MP3)
    assert await stage.take()
    assert len(stage.fetcher.asked) == 3
    assert stage.count("kept") == 1


async def test_one_that_never_comes_is_failed_and_may_be_told_of_again() -> None:
    stage = Stage(NotFetched("status 500", may_come_later=True))
    assert await stage.take()
    assert len(stage.fetcher.asked) == 3
    assert stage.count("failed") == 1
    stage.fetcher.script = [MP3]
    assert await stage.take()
    assert stage.count("kept") == 1


async def test_what_may_not_be_asked_or_is_too_large_is_asked_once_at_most() -> None:
    stage = Stage(NotFetched("more", may_come_later=False, outcome="too_large"))
    assert await stage.take()
    assert len(stage.fetcher.asked) == 1
    assert stage.count("too_large") == 1
    assert await stage.take(CallId("call-2"), RecordUrl="http://10.0.0.1/r.mp3")
    assert await stage.take(CallId("call-3"), RecordUrl="")
    assert len(stage.fetcher.asked) == 1
    assert stage.count("refused") == 2


async def test_a_store_that_is_away_is_tried_again() -> None:
    stage = Stage()
    stage.store.fault = StoreFault.FAILED
    assert await stage.take()
    assert stage.count("failed") == 1
    stage.store.fault = None
    assert await stage.take()
    assert stage.count("kept") == 1


async def test_a_recording_that_was_removed_does_not_come_back() -> None:
    stage = Stage()
    await stage.pulling.on_removed(CALL)
    assert await stage.take()
    assert await stage.archive.copy(CALL) is None
    assert stage.count("removed") == 1


@pytest.mark.parametrize(("retention_s", "days"), [(None, 30), (86_400.0, 1), (1e9, 30)])
async def test_it_is_kept_no_longer_than_the_calls_record(
    retention_s: float | None, days: int
) -> None:
    stage = Stage()
    change = CallChange(CALL, CallState.COMPLETED, retention_s=retention_s)
    await stage.bus.calls.apply(change)
    assert await stage.take()
    (marker,) = [path for path in stage.store.objects if path.startswith("expiry/")]
    expires = read_expiry_marker(marker)
    assert expires is not None
    kept_s = expires.at_ms / 1000 - stage.clock.wall().timestamp()
    assert kept_s == pytest.approx(days * 86_400, abs=2)


async def test_one_that_waits_for_another_attempt_holds_up_no_other() -> None:
    stage = Stage(NotFetched("status 404", may_come_later=True), retry_s=(3600.0,))
    for n in range(3):
        assert await stage.take(CallId(f"late-{n}"))
    stage.fetcher.script = [MP3]
    assert await stage.take()
    assert stage.count("kept") == 1
    await stage.tasks.stop()


async def test_a_bug_is_counted_and_the_next_is_fetched() -> None:
    stage = Stage(ZeroDivisionError(), MP3)
    assert await stage.take()
    assert stage.count("failed") == 1
    assert await stage.take(CallId("call-2"))
    assert stage.count("kept") == 1


async def test_only_so_many_wait_and_the_rest_is_told_to_come_again() -> None:
    stage = Stage()
    stage.fetcher.gate.clear()
    taken = [await stage.pulling.take(CallId(f"call-{n}"), stopped()) for n in range(202)]
    assert taken == [True] * 200 + [False] * 2
    assert stage.count("full") == 2
    await stage.settle()
    assert len(stage.fetcher.asked) == 2, "two are fetched at once"
    await stage.tasks.stop()


async def test_while_the_bus_is_away_it_is_told_to_come_again() -> None:
    stage = Stage()

    async def away(*_: object, **__: object) -> bool:
        raise BusUnavailable("put")

    put = stage.bus.values.put
    stage.bus.values.put = away  # type: ignore[method-assign]
    assert not await stage.take()
    await stage.pulling.on_removed(CALL)
    stage.bus.values.put = put  # type: ignore[method-assign]
    assert await stage.take()
    assert stage.count("kept") == 1
