"""services.gateway.media.bridge, with sockets and links that are queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.media.bridge import Bridge, BridgeHooks, BridgeLimits
from services.gateway.media.relay import Parting
from services.gateway.wire.frame_socket import Listener
from services.gateway.workers.links import NoWorker, WorkerLink
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
    worker_tries=2,
    worker_wait_s=0,
)
START = '{"event":"start","start":{"streamId":"s-1"}}'


class Inlet:
    """What a socket brings: given to whoever listens, kept until somebody does.

    A number is a close code; after it nothing more is heard.
    """

    def __init__(self) -> None:
        self._kept: list[str | bytes | int] = []
        self.listener: Listener | None = None
        self.is_closed = False

    def put_nowait(self, message: str | bytes | int) -> None:
        self._kept.append(message)
        self._deliver()

    def listen(self, listener: Listener) -> None:
        self.listener = listener
        self._deliver()

    def _deliver(self) -> None:
        while self.listener is not None and self._kept and not self.is_closed:
            message = self._kept.pop(0)
            if isinstance(message, int):
                self.is_closed = True
                self.listener.on_closed(message)
            else:
                self.listener.on_message(message)


class FakeSocket:
    """What both sides have in common: `sent` is what this one was told."""

    def __init__(self) -> None:
        self.inlet = Inlet()
        self.sent: asyncio.Queue[str] = asyncio.Queue()
        self.closed_with: int | None = None
        self.is_writable = True

    def listen(self, listener: Listener) -> None:
        self.inlet.listen(listener)

    def send_text(self, text: str) -> None:
        if not self.inlet.is_closed:
            self.sent.put_nowait(text)

    def write_frames(self, frames: bytes) -> None:
        raise AssertionError("these sockets have messages alone")

    def does_not_read(self) -> None:
        self.is_writable = False
        assert self.inlet.listener is not None
        self.inlet.listener.on_writable(False)

    def reads_again(self) -> None:
        self.is_writable = True
        assert self.inlet.listener is not None
        self.inlet.listener.on_writable(True)

    def is_cut_for_not_reading(self) -> None:
        assert self.inlet.listener is not None
        self.inlet.listener.on_stuck()
        self.inlet.put_nowait(1006)


class FakeCaller(FakeSocket):
    """A caller's socket."""

    def __init__(self, *messages: str | bytes) -> None:
        super().__init__()
        self.inbox = self.inlet
        for message in messages:
            self.inbox.put_nowait(message)

    def close(self, code: int) -> None:
        if not self.inlet.is_closed:
            self.closed_with = code
            self.inlet.put_nowait(code)


class FakeLink(FakeSocket):
    """A worker's link."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.worker_id = WorkerId(name)
        self.was_silent = False
        self.quiet_s = 0.0
        self.is_read = True
        self.got = self.sent
        self.outbox = self.inlet

    @property
    def is_open(self) -> bool:
        return not self.inlet.is_closed

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    async def close(self, code: int) -> None:
        if self.is_open:
            self.closed_with = code
            self.inlet.put_nowait(code)


@dataclass
class Stage:
    """A bridge and what it asked others for."""

    links: list[FakeLink]
    limits: BridgeLimits
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    given_up: list[WorkerId] = field(default_factory=list)
    partings: list[Parting | None] = field(default_factory=list)
    first_frames: list[WorkerId | None] = field(default_factory=list)
    holders: list[WorkerId] = field(default_factory=list)
    opened: list[bool] = field(default_factory=list)
    """For each link opened, whether its worker was told to go on with a conversation."""
    may_open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_open.set()
        hooks = BridgeHooks(
            open_link=self._open,
            give_up=self.given_up.append,
            on_worker=self.holders.append,
            on_first_frame=self.first_frames.append,
            on_over=self._on_over,
        )
        metrics = GatewayMetrics(self.registry)
        first = self.links.pop(0) if self.links else None
        self.bridge = Bridge(CallId("c"), first, hooks, self.limits, metrics, SystemClock())

    async def _open(self, exclude: Collection[WorkerId], resume: bool) -> WorkerLink:
        await self.may_open.wait()
        for link in self.links:
            if link.worker_id not in exclude:
                self.links.remove(link)
                self.opened.append(resume)
                return link
        raise NoWorker

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


async def test_a_worker_that_does_not_read_in_time_is_counted_and_lost() -> None:
    link = FakeLink("a")
    limits = replace(LIMITS, worker_tries=0)
    async with running(link, limits=limits) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.is_cut_for_not_reading()
        await serving
        assert stage.metric("voice_gateway_send_timeouts_total", to="worker") == 1
        assert stage.partings == [Parting.LOST]


async def test_a_caller_that_does_not_read_in_time_is_counted_and_waited_for() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        caller.is_cut_for_not_reading()
        await serving
        assert stage.metric("voice_gateway_send_timeouts_total", to="caller") == 1
        assert stage.partings == []


async def test_a_worker_waits_for_a_caller_that_does_not_keep_up_and_for_no_other() -> None:
    link, other = FakeLink("a"), FakeLink("b")
    async with running(link, other) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.outbox.put_nowait("words")
        caller.does_not_read()
        assert not link.is_read
        link.outbox.put_nowait(1006)
        assert await other.got.get() == START
        assert not other.is_read
        caller.reads_again()
        assert other.is_read
        caller.does_not_read()
        back = FakeCaller(START)
        serving_again = asyncio.ensure_future(stage.bridge.serve(back))
        await serving
        assert caller.closed_with == LinkClose.SUPERSEDED
        assert other.is_read
        assert stage.metric("voice_gateway_slow_sockets_total", to="caller") == 2
        await other.close(LinkClose.ENDED)
        await serving_again


async def test_frames_wait_for_a_worker_that_does_not_keep_up_in_their_order() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.does_not_read()
        for text in MEDIA[:3]:
            caller.inbox.put_nowait(text)
        assert link.got.empty()
        link.reads_again()
        assert stage.metric("voice_gateway_slow_sockets_total", to="worker") == 1
        caller.inbox.put_nowait(MEDIA[3])
        assert [link.got.get_nowait() for _ in range(4)] == MEDIA[:4]
        await link.close(LinkClose.ENDED)
        await serving


async def test_of_frames_that_wait_too_long_the_oldest_are_dropped_and_counted() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        link.does_not_read()
        for n in range(LIMITS.queue_frames + 3):
            caller.inbox.put_nowait(f'{{"event":"media","chunk":{n}}}')
        assert stage.metric("voice_gateway_dropped_frames_total", reason="queue_full") == 3
        link.reads_again()
        assert link.got.qsize() == LIMITS.queue_frames
        assert '"chunk":3}' in link.got.get_nowait()
        await link.close(LinkClose.ENDED)
        await serving


async def test_frames_for_a_caller_that_is_away_are_counted() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        link.outbox.put_nowait("early")
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        caller.inbox.put_nowait(1006)
        await serving
        link.outbox.put_nowait("late")
        link.outbox.put_nowait(b"binary")
        assert stage.metric("voice_gateway_dropped_frames_total", reason="binary") == 1
        assert stage.metric("voice_gateway_dropped_frames_total", reason="no_caller") == 2


async def test_frames_are_counted_by_the_time_the_call_is_over() -> None:
    link = FakeLink("a")
    async with running(link) as stage:
        caller = FakeCaller(START)
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await link.got.get()
        for n in range(75):
            caller.inbox.put_nowait(f'{{"event":"media","chunk":{n}}}')
            link.outbox.put_nowait("words")
        await link.close(LinkClose.ENDED)
        await serving
        relayed = "voice_gateway_relayed_frames_total"
        assert (stage.metric(relayed, to="worker"), stage.metric(relayed, to="caller")) == (76, 75)


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


MEDIA = [f'{{"event":"media","chunk":{n}}}' for n in range(8)]
REATTACHED = "voice_gateway_reattachments_total"


async def speaking(stage: Stage, link: FakeLink, caller: FakeCaller) -> asyncio.Future[None]:
    """A caller who has said something, and heard something."""
    serving = asyncio.ensure_future(stage.bridge.serve(caller))
    assert await link.got.get() == START
    link.outbox.put_nowait("hello")
    assert await caller.sent.get() == "hello"
    return serving


@pytest.mark.parametrize(
    ("code", "was_silent", "cause"),
    [
        (1006, False, "broken"),
        (1006, True, "silent"),
        (1011, False, "broken"),
        (1012, False, "broken"),
        (int(LinkClose.HANDOVER), False, "handover"),
    ],
)
async def test_a_lost_worker_is_followed_by_one_that_goes_on(
    code: int, was_silent: bool, cause: str
) -> None:
    first, second = FakeLink("a"), FakeLink("b")
    first.was_silent, first.quiet_s = was_silent, 0.75
    async with running(first, second) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        for text in MEDIA[:3]:
            caller.inbox.put_nowait(text)
        assert [await first.got.get() for _ in range(3)] == MEDIA[:3]
        first.outbox.put_nowait(code)
        caller.inbox.put_nowait(MEDIA[3])
        assert [await second.got.get() for _ in range(5)] == [START, *MEDIA[:4]]
        second.outbox.put_nowait("as I said")
        assert await caller.sent.get() == "as I said"
        assert stage.opened == [True]
        assert (stage.given_up, stage.holders) == (["a"], ["b"])
        assert stage.metric(REATTACHED, cause=cause, outcome="attached") == 1
        assert stage.metric("voice_gateway_reattach_seconds_count") == 1
        took_s = stage.metric("voice_gateway_reattach_seconds_sum")
        gap_s = stage.metric("voice_gateway_resume_gap_seconds_sum")
        assert gap_s == pytest.approx(0.75 + took_s)
        assert stage.metric("voice_gateway_replayed_frames_total") == 4
        assert (caller.closed_with, stage.partings) == (None, [])
        await second.close(LinkClose.ENDED)
        await serving
        assert stage.partings == [Parting.ENDED]


async def test_a_lost_worker_says_nothing_more() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, second) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        first.outbox.put_nowait(1006)
        first.outbox.put_nowait("from the grave")
        assert await second.got.get() == START
        second.outbox.put_nowait("alive")
        assert await caller.sent.get() == "alive"
        assert caller.sent.empty()
        await second.close(LinkClose.ENDED)
        await serving


async def test_two_workers_lost_in_a_row_are_the_last() -> None:
    links = [FakeLink(name) for name in "abc"]
    async with running(*links) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, links[0], caller)
        links[0].outbox.put_nowait(1006)
        assert await links[1].got.get() == START
        links[1].outbox.put_nowait(1006)
        await serving
        assert stage.partings == [Parting.LOST]
        assert '"stop"' in await caller.sent.get()
        assert stage.opened == [True]
        assert stage.metric(REATTACHED, cause="broken", outcome="second_loss") == 1


async def test_workers_that_hand_over_are_followed_as_long_as_there_are_any() -> None:
    links = [FakeLink(name) for name in "abcdef"]
    async with running(*links) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, links[0], caller)
        for link, following in pairwise(links):
            link.outbox.put_nowait(int(LinkClose.HANDOVER))
            assert await following.got.get() == START
        assert stage.metric(REATTACHED, cause="handover", outcome="attached") == 5
        await links[-1].close(LinkClose.ENDED)
        await serving


async def test_a_caller_waits_a_while_for_a_worker() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, limits=replace(LIMITS, worker_wait_s=5)) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        first.outbox.put_nowait(1006)
        await until(lambda: stage.given_up)
        stage.links.append(second)
        assert await second.got.get() == START
        await second.close(LinkClose.ENDED)
        await serving


@pytest.mark.parametrize("was_silent", [True, False])
async def test_a_worker_that_was_only_silent_may_have_its_call_again(was_silent: bool) -> None:
    """One worker alone, its loop held up for a second: its calls were lost for good."""
    first, awake = FakeLink("a"), FakeLink("a")
    first.was_silent = was_silent
    async with running(first, awake, limits=replace(LIMITS, worker_wait_s=0.3)) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        first.outbox.put_nowait(1006)
        if was_silent:
            assert await awake.got.get() == START
            await awake.close(LinkClose.ENDED)
        await serving
        assert stage.partings == [Parting.ENDED if was_silent else Parting.LOST]


async def test_a_caller_does_not_wait_for_ever() -> None:
    first = FakeLink("a")
    async with running(first, limits=replace(LIMITS, worker_wait_s=0.1)) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        first.outbox.put_nowait(1006)
        await serving
        assert stage.partings == [Parting.LOST]
        assert stage.metric(REATTACHED, cause="broken", outcome="no_worker") == 1


async def test_a_hangup_ends_the_wait_for_a_worker() -> None:
    first = FakeLink("a")
    async with running(first, limits=replace(LIMITS, worker_wait_s=60)) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        first.outbox.put_nowait(1006)
        await until(lambda: stage.given_up)
        await stage.bridge.close(LinkClose.NORMAL)
        await serving
        assert stage.partings == [Parting.ENDED]
        assert stage.metric(REATTACHED, cause="broken", outcome="ended") == 1


async def test_a_call_nobody_has_heard_begins_anew() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, second) as stage:
        caller = FakeCaller(START, MEDIA[0])
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        assert [await first.got.get() for _ in range(2)] == [START, MEDIA[0]]
        first.outbox.put_nowait(1006)
        assert [await second.got.get() for _ in range(2)] == [START, MEDIA[0]]
        assert stage.opened == [False]
        await second.close(LinkClose.ENDED)
        await serving


async def test_a_caller_who_has_said_more_than_is_remembered_is_not_greeted_again() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, second, limits=replace(LIMITS, replay_s=0)) as stage:
        caller = FakeCaller(START, MEDIA[0])
        serving = asyncio.ensure_future(stage.bridge.serve(caller))
        await first.got.get()
        await first.got.get()
        await asyncio.sleep(0.002)
        caller.inbox.put_nowait(MEDIA[1])
        await first.got.get()
        first.outbox.put_nowait(1006)
        assert [await second.got.get() for _ in range(2)] == [START, MEDIA[1]]
        assert stage.opened == [True]
        await second.close(LinkClose.ENDED)
        await serving


async def test_a_key_pressed_between_two_workers_reaches_the_second() -> None:
    first, second = FakeLink("a"), FakeLink("b")
    async with running(first, second) as stage:
        caller = FakeCaller(START)
        serving = await speaking(stage, first, caller)
        stage.may_open.clear()
        first.outbox.put_nowait(1006)
        await until(lambda: stage.given_up)
        key = '{"event":"dtmf","dtmf":{"digit":"5"}}'
        caller.inbox.put_nowait(key)
        for n in range(3 * LIMITS.queue_frames):
            caller.inbox.put_nowait(f'{{"event":"media","chunk":{n}}}')
        stage.may_open.set()
        assert [await second.got.get() for _ in range(2)] == [START, key]
        await second.close(LinkClose.ENDED)
        await serving
