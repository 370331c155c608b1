"""services.gateway.bridge, with sockets and links that are queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.bridge import Bridge, BridgeHooks, BridgeLimits, CallerGone
from services.gateway.links import LinkClosed, NoWorker, WorkerLink
from services.gateway.routing import Parting
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkClose
from shared.runtime.clock import SystemClock

LIMITS = BridgeLimits(
    queue_frames=10,
    message_rate=1000,
    message_max_chars=1000,
    caller_idle_s=5,
    reconnect_grace_s=5,
    send_timeout_s=0.05,
    worker_tries=2,
)
START = '{"event":"start","start":{"streamId":"s-1"}}'


class FakeCaller:
    """A caller's socket; `sent` is what it was told, `is_stuck` makes sends wait for ever."""

    def __init__(self, *messages: str | bytes) -> None:
        self.inbox: asyncio.Queue[str | bytes | int] = asyncio.Queue()
        for message in messages:
            self.inbox.put_nowait(message)
        self.sent: asyncio.Queue[str] = asyncio.Queue()
        self.closed_with: int | None = None
        self.is_aborted = False
        self.is_stuck = False
        self.is_gone = False

    async def accept(self) -> None:
        return

    async def receive(self) -> str | bytes:
        message = await self.inbox.get()
        if isinstance(message, int):
            raise CallerGone(message)
        return message

    async def send(self, text: str) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.is_gone:
            raise CallerGone(1006)
        self.sent.put_nowait(text)

    async def close(self, code: int) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.is_gone:
            raise CallerGone(1006)
        self.closed_with = code
        self.inbox.put_nowait(code)

    def abort(self) -> None:
        self.is_aborted = True
        self.inbox.put_nowait(1006)


class FakeLink:
    """A worker's link."""

    def __init__(self, name: str) -> None:
        self.worker_id = WorkerId(name)
        self.is_open = True
        self.is_stuck = False
        self.got: asyncio.Queue[str] = asyncio.Queue()
        self.outbox: asyncio.Queue[str | bytes | int] = asyncio.Queue()
        self.closed_with: int | None = None

    async def send(self, text: str) -> None:
        if self.is_stuck:
            raise TimeoutError
        if not self.is_open:
            raise LinkClosed(1006)
        self.got.put_nowait(text)

    async def receive(self) -> str | bytes:
        message = await self.outbox.get()
        if isinstance(message, int):
            self.is_open = False
            raise LinkClosed(message)
        return message

    async def close(self, code: int) -> None:
        if self.is_open:
            self.is_open = False
            self.closed_with = code
            self.outbox.put_nowait(code)


@dataclass
class Stage:
    """A bridge and what it asked others for."""

    links: list[FakeLink]
    limits: BridgeLimits
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    given_up: list[WorkerId] = field(default_factory=list)
    partings: list[Parting | None] = field(default_factory=list)
    first_frames: list[WorkerId | None] = field(default_factory=list)
    may_open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_open.set()
        hooks = BridgeHooks(
            open_link=self._open,
            give_up=self._give_up,
            on_first_frame=self.first_frames.append,
            on_over=self._on_over,
        )
        metrics = GatewayMetrics(self.registry)
        first = self.links.pop(0) if self.links else None
        self.bridge = Bridge(CallId("c"), first, hooks, self.limits, metrics, SystemClock())

    async def _open(self, exclude: Collection[WorkerId]) -> WorkerLink:
        await self.may_open.wait()
        for link in self.links:
            if link.worker_id not in exclude:
                self.links.remove(link)
                return link
        raise NoWorker

    async def _give_up(self, worker_id: WorkerId) -> None:
        self.given_up.append(worker_id)

    async def _on_over(self, parting: Parting | None) -> None:
        self.partings.append(parting)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(*links: FakeLink, limits: BridgeLimits = LIMITS) -> AsyncIterator[Stage]:
    stage = Stage(list(links), limits)
    task = asyncio.ensure_future(stage.bridge.run())
    try:
        async with asyncio.timeout(5):
            yield stage
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(is_so: Callable[[], object]) -> None:
    """Let the other tasks go on until something is so."""
    while not is_so():  # noqa: ASYNC110 - what they do has no event of its own
        await asyncio.sleep(0.001)


async def test_a_caller_that_falls_silent_is_dropped_and_waited_for() -> None:
    link = FakeLink("a")
    limits = replace(LIMITS, caller_idle_s=0.05, reconnect_grace_s=0.05)
    async with running(link, limits=limits) as stage:
        caller = FakeCaller(START)
        await stage.bridge.serve(caller)
        assert caller.closed_with == 1011
        assert not stage.bridge.has_live_caller
        await until(lambda: stage.partings)
        assert stage.partings == [Parting.CARRIER_LOST]
        assert link.closed_with == 1001


async def test_no_worker_at_all_stops_the_stream() -> None:
    async with running() as stage:
        stage.may_open.clear()
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await until(lambda: stage.first_frames)
        stage.may_open.set()
        assert '"stop"' in await caller.sent.get()
        await serving
        assert caller.closed_with == 1011
        assert stage.partings == [Parting.LOST]
        assert stage.first_frames == [None]


async def test_workers_are_tried_until_the_tries_are_used_up() -> None:
    links = [FakeLink(name) for name in "abcd"]
    for link in links:
        link.outbox.put_nowait(int(LinkClose.FULL))
    async with running(*links) as stage:
        await until(lambda: stage.partings)
        assert stage.partings == [Parting.LOST]
        assert stage.given_up == ["a", "b"]
        assert stage.metric("voice_gateway_worker_refusals_total", reason="closed") == 2


async def test_a_hangup_while_a_worker_is_looked_for_closes_what_comes() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, second) as stage:
        stage.may_open.clear()
        first.outbox.put_nowait(int(LinkClose.FULL))
        await until(lambda: stage.given_up)
        await stage.bridge.close(LinkClose.NORMAL)
        await stage.bridge.close(LinkClose.NORMAL)
        stage.may_open.set()
        await until(lambda: stage.partings)
        assert stage.partings == [Parting.ENDED]
        assert second.closed_with == LinkClose.NORMAL


async def test_a_worker_that_does_not_read_is_closed_and_counted() -> None:
    link = FakeLink("a")
    link.is_stuck = True
    limits = replace(LIMITS, worker_tries=0)
    async with running(link, limits=limits) as stage:
        caller = FakeCaller(START)
        await stage.bridge.serve(caller)
        assert link.closed_with == 1011
        assert stage.metric("voice_gateway_send_timeouts_total", to="worker") == 1
        assert stage.partings == [Parting.LOST]


async def test_a_caller_that_does_not_read_is_cut() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        caller.is_stuck = True
        link.outbox.put_nowait("words")
        await stage.bridge.serve(caller)
        assert caller.is_aborted
        assert stage.metric("voice_gateway_send_timeouts_total", to="caller") == 1
        assert stage.partings == []


async def test_a_caller_stuck_at_the_end_is_cut() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        caller.is_stuck = True
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        await link.close(LinkClose.ENDED)
        await serving
        assert caller.is_aborted
        assert stage.partings == [Parting.ENDED]


async def test_frames_for_a_caller_that_is_away_are_counted() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        link.outbox.put_nowait("early")
        caller = FakeCaller(START)
        caller.is_gone = True
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.outbox.put_nowait("late")
        link.outbox.put_nowait(b"binary")
        await until(lambda: stage.metric("voice_gateway_dropped_frames_total", reason="binary"))
        assert stage.metric("voice_gateway_dropped_frames_total", reason="no_caller") == 2
        await link.close(LinkClose.ENDED)
        caller.inbox.put_nowait(1006)
        await serving


async def test_a_call_that_moved_elsewhere_leaves_no_parting() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        await link.close(LinkClose.SUPERSEDED)
        await serving
        assert stage.partings == [None]
        assert caller.closed_with == LinkClose.SUPERSEDED
        assert caller.sent.empty()


async def test_a_bridge_that_is_cancelled_leaves_the_call_to_others() -> None:
    link = FakeLink("a")
    caller = FakeCaller(START)
    async with running(link) as stage:
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
    await serving
    assert stage.partings == [None]
    assert (link.closed_with, caller.closed_with) == (1001, 1012)
    assert caller.sent.empty()


@pytest.mark.parametrize("code", [1000, 1001])
async def test_what_the_caller_sent_last_still_reaches_the_worker(code: int) -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START, '{"event":"dtmf"}')
        caller.inbox.put_nowait(code)
        await stage.bridge.serve(caller)
        await until(lambda: not link.is_open)
        assert [link.got.get_nowait() for _ in range(2)] == [START, '{"event":"dtmf"}']
        assert link.closed_with == code


async def test_a_place_is_free_once_the_caller_is_silent_or_gone() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        assert await stage.bridge.caller_is_gone(silent_s=0.05, timeout_s=0.1)
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        assert not await stage.bridge.caller_is_gone(silent_s=60, timeout_s=0.02)
        assert await stage.bridge.caller_is_gone(silent_s=0.02, timeout_s=5)
        waiting = asyncio.ensure_future(stage.bridge.caller_is_gone(silent_s=60, timeout_s=60))
        await asyncio.sleep(0)
        caller.inbox.put_nowait(1006)
        assert await waiting
        await serving


async def test_a_worker_that_goes_away_has_the_stream_stopped_for_it() -> None:
    link, caller = FakeLink("a"), FakeCaller(START)
    async with running(link) as stage:
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.outbox.put_nowait(int(LinkClose.AWAY))
        await serving
        await until(lambda: caller.closed_with is not None)
        assert '"stop"' in caller.sent.get_nowait()
        assert caller.closed_with == 1000
        assert stage.partings == [Parting.AWAY]
        assert stage.given_up == []


async def test_what_a_worker_stopped_itself_is_not_stopped_again() -> None:
    link, caller = FakeLink("a"), FakeCaller(START)
    async with running(link) as stage:
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.outbox.put_nowait('{"event":"stop","streamId":"s-1"}')
        link.outbox.put_nowait(int(LinkClose.AWAY))
        await serving
        assert caller.sent.qsize() == 1
        assert stage.partings == [Parting.AWAY]
