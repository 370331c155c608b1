"""services.gateway.media.short_way, beside the general way: the same bytes, the same effects.

A call is played twice over sockets that only remember: once as it is, once with sockets that know
no short way. What both peers and every later worker are told, and what is counted, must be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from websockets.utils import apply_mask

from services.gateway.media.bridge import Bridge, BridgeHooks, BridgeLimits
from services.gateway.media.relay import FloodGate
from services.gateway.media.replay import CallerMessages, ReplayLimits
from services.gateway.media.short_way import ToCaller, ToWorker
from services.gateway.media.tally import Tally
from services.gateway.wire.frame_socket import FrameSocket, Listener, SocketLimits
from services.gateway.wire.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, FrameReader
from services.gateway.workers.links import SocketLink, WorkerLink
from services.gateway.workers.liveness import Liveness
from services.gateway.workers.pulses import Pulse
from shared.bus.messages import WorkerLease
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId

KEY = b"\x91\x02\xf3\x44"
SOCKET = SocketLimits(message_max_bytes=3000, send_s=60, close_s=60, slice_bytes=1500)
LIMITS = BridgeLimits(
    queue_frames=5,
    message_rate=40,
    message_max_chars=600,
    caller_idle_s=60,
    reconnect_grace_s=60,
    worker_tries=3,
    replay_s=0.5,
)


def frame(
    opcode: int, payload: bytes, *, key: bytes = b"", fin: bool = True, is_wide: bool = False
) -> bytes:
    bit = 0x80 if key else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126 and not is_wide:
        head += bytes([bit | len(payload)])
    else:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    return head + key + (apply_mask(payload, key) if key else payload)


def media(number: int, *, event: str = '"event": "media"', pad: str = "A" * 150) -> bytes:
    text = (
        f'{{"sequenceNumber": {number}, "streamId": "s-{number % 3}", {event}, "payload": "{pad}"}}'
    )
    return text.encode()


AUDIO = media(7)
STOP = media(3, event='"event":"stop"')
FROM_CALLER = [
    (TEXT, AUDIO),
    (TEXT, media(8, event='"event":"media"')),
    (TEXT, media(1, event='"event":"start"')),
    (TEXT, media(2, event='"event" : "media"')),
    (TEXT, media(3, event='"event":"dtmf","was":{"event":"media"}')),
    (TEXT, media(4, event='"event":"stop"')),
    (TEXT, media(5, pad="न" * 40)),
    (TEXT, media(6, pad="A" * 700)),
    (TEXT, b'{"event":"media"}'),
    (TEXT, b'{"event":"stop"}'),
    (BINARY, AUDIO),
    (PING, b"?"),
]
FROM_WORKER = [
    (TEXT, media(7, event='"event":"playAudio"')),
    (TEXT, media(9, event='"event":"playAudio"', pad="A" * 900)),
    (TEXT, media(7, event='"event":"playAudio"', pad="न" * 40)),
    (TEXT, b'{"event":"clearAudio"}'),
    (TEXT, STOP),
    (TEXT, b'{"event":"stop"}'),
    (BINARY, AUDIO),
    (PING, b"?"),
]


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = 0
        self.is_read = True
        self.is_ended = False
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_ended

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.is_ended:
            self.is_ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class GeneralSocket(FrameSocket):
    """Knows no short way."""

    def listen(self, listener: Listener) -> None:
        super().listen(replace(listener, short_way=None))


class Hands:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        return self.at_s

    def wall(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Step:
    """Who does what: bytes that are read, in pieces; or a change of a socket; or time."""

    who: str
    reads: tuple[bytes, ...] = ()
    seconds: float = 0.0


class Stage:
    """One call, its caller's socket and its links one after another."""

    def __init__(self, kind: type[FrameSocket]) -> None:
        self.kind = kind
        self.clock = Hands()
        self.registry = CollectorRegistry()
        self.caller = Transport()
        self.links: list[Transport] = []
        self.first_frames = 0
        hooks = BridgeHooks(
            open_link=self._open,
            give_up=lambda worker_id: None,
            on_worker=lambda worker_id: None,
            on_first_frame=self._on_first_frame,
            on_over=self._on_over,
        )
        metrics = GatewayMetrics(self.registry)
        self.bridge = Bridge(CallId("c"), self._link(), hooks, LIMITS, metrics, self.clock)
        self.running = asyncio.ensure_future(self.bridge.run())
        self.serving = asyncio.ensure_future(self.bridge.serve(self._socket(self.caller)))

    def _socket(self, transport: Transport, *, is_server: bool = True) -> FrameSocket:
        given: Any = transport
        return self.kind(given, SOCKET, is_server=is_server)

    def _link(self) -> SocketLink:
        transport = Transport()
        self.links.append(transport)
        now_s = asyncio.get_running_loop().time()
        lease = WorkerLease(WorkerId(f"w-{len(self.links)}"), "10.0.0.1:9000", 10)
        socket = self._socket(transport, is_server=False)
        return SocketLink(socket, lease, Liveness(600, 600, now_s), Pulse(now_s))

    async def _open(self, exclude: Collection[WorkerId], resume: bool) -> WorkerLink:
        return self._link()

    async def _on_over(self, parting: object) -> None:
        self.over = parting

    def _on_first_frame(self, worker_id: object) -> None:
        self.first_frames += 1

    async def take(self, step: Step) -> None:
        self.clock.at_s += step.seconds
        transport = self.caller if step.who.startswith("caller") else self.links[-1]
        for read in step.reads:
            if transport.is_ended:
                break
            if transport.is_read:
                transport.protocol.data_received(read)
            await asyncio.sleep(0)
        if transport.is_ended:
            return
        if step.who.endswith("slow") and transport.protocol.is_writable:
            transport.protocol.pause_writing()
        elif step.who.endswith("keeps up") and not transport.protocol.is_writable:
            transport.protocol.resume_writing()
        elif step.who.endswith("lost"):
            transport.abort()
        for _ in range(8):
            await asyncio.sleep(0)

    async def end(self) -> dict[str, object]:
        """Break everything off, and tell what was to be seen of it."""
        told = {
            "caller": _frames(self.caller.written, is_masked=False),
            "links": [_frames(link.written, is_masked=True) for link in self.links],
            "is_read": [side.is_read for side in (self.caller, *self.links)],
            "is_ended": [side.is_ended for side in (self.caller, *self.links)],
            "heard_at": self.bridge._caller.last_frame_s,
            "stream": self.bridge._caller.stream_id,
            "stopped": (self.bridge._caller.has_stopped, self.bridge._caller.has_heard),
            "first": (self.first_frames, self.bridge._milestones.first_sound_s),
        }
        self.running.cancel()
        await asyncio.sleep(0)
        for side in (self.caller, *self.links):
            side.abort()
        done, _ = await asyncio.wait({self.running, self.serving}, timeout=5)
        assert len(done) == 2
        told["dropped"] = dict(self.bridge._milestones.dropped)
        told["metrics"] = {
            (sample.name, *sample.labels.values()): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            # How often the queue is looked at may differ by how many frames were counted at once.
            if not sample.name.endswith("_created") and "relay_queue" not in sample.name
            # These are by the loop's clock.
            if "seconds" not in sample.name
        }
        return told


def _frames(written: bytes, *, is_masked: bool) -> list[tuple[int, bytes]]:
    reader = FrameReader(is_masked=is_masked, max_bytes=10_000, unmask=apply_mask)
    found = reader.feed(written)
    assert reader.error is None
    return found


def play(steps: list[Step], kind: type[FrameSocket]) -> dict[str, object]:
    async def played() -> dict[str, object]:
        stage = Stage(kind)
        for _ in range(4):
            await asyncio.sleep(0)
        for step in steps:
            await stage.take(step)
        return await stage.end()

    return asyncio.run(played())


@st.composite
def reads(draw: st.DrawFn, usual: list[tuple[int, bytes]], key: bytes) -> tuple[bytes, ...]:
    """Frames in a row, in one read or in several, mostly audio."""
    written = b""
    for _ in range(draw(st.integers(1, 7))):
        is_usual = draw(st.integers(0, 3)) > 0
        opcode, payload = usual[0] if is_usual else draw(st.sampled_from(usual))
        if draw(st.integers(0, 30)) == 0:
            cut = len(payload) // 2
            written += frame(opcode if opcode < CLOSE else TEXT, payload[:cut], key=key, fin=False)
            opcode, payload = CONTINUATION, payload[cut:]
        written += frame(opcode, payload, key=key, is_wide=draw(st.integers(0, 15)) == 0)
    cuts = draw(st.lists(st.integers(1, len(written)), max_size=2))
    marks = sorted({0, *cuts, len(written)})
    return tuple(written[a:b] for a, b in pairwise(marks))


CHANGES = ["link slow", "link keeps up", "caller slow", "caller keeps up", "link lost"]
STEPS = st.one_of(
    st.builds(Step, st.just("caller"), reads(FROM_CALLER, KEY), st.sampled_from([0.02, 0.2, 2])),
    st.builds(Step, st.just("caller"), reads(FROM_CALLER[:1], KEY), st.just(0.02)),
    st.builds(Step, st.just("link"), reads(FROM_WORKER, b""), st.just(0.02)),
    st.builds(Step, st.just("link"), reads(FROM_WORKER[:1], b""), st.just(0.02)),
    st.builds(Step, st.sampled_from(CHANGES)),
)
BEGUN = [
    Step("caller", (frame(TEXT, media(1, event='"event":"start"'), key=KEY),)),
    Step("caller", (frame(TEXT, AUDIO, key=KEY),)),
    Step("link", (frame(TEXT, FROM_WORKER[0][1]),)),
]
SPOKEN = Step("caller", (frame(TEXT, AUDIO, key=KEY),), 0.02)
PLAYED = Step("link", (frame(TEXT, FROM_WORKER[0][1]) * 5,), 0.1)


@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[SPOKEN] * 60)
@example(steps=[*[SPOKEN] * 60, Step("link lost"), SPOKEN, Step("link lost"), SPOKEN])
@example(steps=[Step("caller", (frame(TEXT, AUDIO, key=KEY) * 7,), 0.001)] * 12)
@example(steps=[PLAYED, Step("caller slow"), PLAYED, Step("caller keeps up"), PLAYED])
@example(steps=[Step("link", (frame(TEXT, b"\xff" * 130),)), PLAYED])
@example(steps=[Step("caller", (frame(TEXT, b"\xff" * 130, key=KEY),)), SPOKEN])
@example(steps=[Step("caller", (frame(TEXT, AUDIO + b"\xff", key=KEY),)), SPOKEN])
@example(steps=[Step("caller", (frame(TEXT, AUDIO, key=KEY, fin=False),)), SPOKEN])
@example(steps=[Step("link", (frame(TEXT, AUDIO, fin=False),)), PLAYED])
@example(steps=[Step("link", (frame(TEXT, STOP),)), PLAYED])
@example(steps=[Step("caller", (frame(CLOSE, b"\x03\xe8", key=KEY),)), SPOKEN, PLAYED])
@settings(max_examples=150, deadline=None)
def test_no_difference_is_to_be_seen(steps: list[Step]) -> None:
    assert play([*BEGUN, *steps], FrameSocket) == play([*BEGUN, *steps], GeneralSocket)


def to_caller(*, has_caller: bool = True) -> tuple[ToCaller, list[bytes]]:
    written: list[bytes] = []
    way = ToCaller(Tally(lambda frames: None))
    way.write = written.append if has_caller else None
    return way, written


def test_all_frames_of_a_workers_read_pass_in_one_write_as_they_are() -> None:
    way, written = to_caller()
    read = frame(TEXT, FROM_WORKER[0][1]) * 5
    assert way.take(read) == len(read)
    assert written == [read]
    assert written[0] is read


@pytest.mark.parametrize(
    "rest",
    [
        frame(TEXT, AUDIO)[:-1],
        frame(TEXT, AUDIO)[:3],
        frame(TEXT, "न".encode() * 50),
        frame(TEXT, b"short"),
        frame(TEXT, b"short", is_wide=True),
        frame(TEXT, AUDIO, key=KEY),
        frame(TEXT, AUDIO, fin=False),
        frame(BINARY, AUDIO),
        frame(PING, b"x" * 126),
        frame(CLOSE, b"\x03\xe8"),
    ],
)
def test_what_is_unusual_behind_a_workers_audio_is_left(rest: bytes) -> None:
    way, written = to_caller()
    first = frame(TEXT, AUDIO) * 2
    assert way.take(first + rest) == len(first)
    assert written == [first]


def test_a_workers_stop_and_what_nobody_hears_are_left() -> None:
    way, written = to_caller()
    assert way.take(frame(TEXT, AUDIO) + frame(TEXT, b'{"event":"stop"}')) == 0
    away, _ = to_caller(has_caller=False)
    assert away.take(frame(TEXT, AUDIO)) == 0
    assert written == []


class Caller:
    """Whose last frame is noted."""

    last_frame_s = 0.0


class Inward:
    """The way to a worker, and what it did."""

    def __init__(self, *, rate: float = 100.0) -> None:
        self.caller = Caller()
        self.messages = CallerMessages(5, ReplayLimits())
        self.written: list[bytes] = []
        self.handed_on: list[float] = []
        self.many = 0
        self.way = ToWorker(
            self.caller,
            FloodGate(rate, 7.0),
            self.messages,
            Tally(self.handed_on.append),
            most_bytes=600,
            now_s=lambda: 7.0,
            unmask=apply_mask,
            on_many=self._on_many,
        )
        self.way.is_begun = True
        self.way.write = self.written.append

    def _on_many(self) -> None:
        self.many += 1


def test_a_callers_audio_passes_as_it_is_and_is_said_again_as_it_is() -> None:
    inward = Inward()
    read = frame(TEXT, AUDIO, key=KEY)
    assert inward.way.take(read) == len(read)
    assert inward.written[0] is read
    assert inward.caller.last_frame_s == 7.0
    assert inward.messages.rewind() == 1
    assert inward.messages.take() is read


def test_frames_that_come_together_pass_one_by_one_and_are_counted() -> None:
    inward = Inward()
    one = frame(TEXT, AUDIO, key=KEY)
    assert inward.way.take(one * 50) == 50 * len(one)
    assert inward.written == [one] * 50
    assert (inward.handed_on, inward.many) == ([50], 1)
    assert inward.messages.rewind() == 50


def test_no_more_pass_than_the_gate_lets_in() -> None:
    inward = Inward(rate=3.0)
    one = frame(TEXT, AUDIO, key=KEY)
    assert inward.way.take(one * 5) == 3 * len(one)
    assert len(inward.written) == 3


def test_a_worker_that_no_longer_keeps_up_gets_no_more() -> None:
    inward = Inward()
    one = frame(TEXT, AUDIO, key=KEY)

    def write(data: bytes) -> None:
        inward.written.append(data)
        inward.way.write = None

    inward.way.write = write
    assert inward.way.take(one * 2) == len(one)


@pytest.mark.parametrize(
    "unusual",
    [
        *(frame(opcode, payload, key=KEY) for opcode, payload in FROM_CALLER[2:]),
        frame(TEXT, AUDIO, key=KEY)[:-1],
        frame(TEXT, AUDIO, key=KEY, fin=False),
        frame(TEXT, b'{"event":"media"}', key=KEY, is_wide=True),
        frame(TEXT, media(1, event='"is":"media"'), key=KEY),
        frame(TEXT, AUDIO),
    ],
)
def test_what_is_unusual_of_a_caller_is_left_untouched(unusual: bytes) -> None:
    inward = Inward()
    usual = frame(TEXT, AUDIO, key=KEY)
    assert inward.way.take(usual + unusual) == len(usual)
    assert inward.written == [usual]
    inward.messages.rewind()
    assert len(inward.messages) == 1


@pytest.mark.parametrize("lacks", ["worker", "first frame"])
def test_nothing_goes_short_before_there_are_a_worker_and_a_first_frame(lacks: str) -> None:
    inward = Inward()
    if lacks == "worker":
        inward.way.write = None
    else:
        inward.way.is_begun = False
    assert inward.way.take(frame(TEXT, AUDIO, key=KEY)) == 0
    assert inward.written == []
