"""A worker on a real socket: links, a call over the wire, refusals, garbage, hang-ups, draining."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.agent.after_call.archive import Archive
from services.agent.after_call.deliver import Deliverer
from services.agent.agents.file import AgentFile
from services.agent.call.parts import Parts
from services.agent.company.cast import Cast, Tongue
from services.agent.providers.base import EndCall, Say
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import EndpointingRules, TurnTaking
from services.agent.turn.vad import SpeechDetector, VadTuning
from services.agent.wire.network import VobizNetwork
from services.agent.wire.scorer import FrameScorer
from services.agent.worker import Worker
from shared.audio.g711 import encode_ulaw
from shared.bus.memory import MemoryBus
from shared.bus.messages import BusEvent, Channel, WorkerLease
from shared.metrics.catalogue import AfterCallMetrics, AgentMetrics, RuntimeMetrics
from shared.protocol.call import CallChange, CallId, CallState, EndClass, EndReason, WorkerId
from shared.protocol.live import EVENT_WATCH, ShownAgent
from shared.protocol.telephony import Media, Start, serialize_inbound
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import SystemClock
from shared.runtime.lifecycle import LoopLag
from tests.support.fragile_bus import FragileBus
from tests.support.providers import (
    FakeBrain,
    FakeSynthesiser,
    FakeTranscriber,
    LevelVoiceActivity,
)

SECRET = "worker-test"
QUIET = b"\xff" * 160
LOUD = encode_ulaw((np.sin(np.arange(160) * 0.4) * 9000).astype(np.int16))


@dataclass
class Stand:
    worker: Worker
    bus: MemoryBus
    registry: CollectorRegistry
    port: int
    brain: FakeBrain

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def link(self, call_id: str = "call-1", **more: Any) -> AsyncIterator[ClientConnection]:
        request = LinkRequest(CallId(call_id), **more)
        async with connect(
            f"ws://127.0.0.1:{self.port}{request.path}",
            additional_headers=request.headers(SECRET, time.time()),
            compression=None,
            proxy=None,
        ) as link:
            yield link


class OneCast:
    """A company of one."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.calls = 0

    def choose(self, asked: str, called_number: str) -> Cast:
        return self.cast

    def shown(self) -> list[ShownAgent]:
        return [ShownAgent("default", "v1", "en", "Hello.")]

    def enter(self, cast: Cast) -> None:
        self.calls += 1

    def leave(self, cast: Cast) -> None:
        self.calls -= 1


def quiet_deliverer(bus: MemoryBus | FragileBus, registry: CollectorRegistry) -> Deliverer:
    return Deliverer(
        bus.outbox,
        worker="w1",
        secret_of=lambda _: None,
        metrics=AfterCallMetrics(registry),
        clock=SystemClock(),
        chance=random.Random(1),
    )


@asynccontextmanager
async def standing(brain: FakeBrain | None = None, **more: Any) -> AsyncIterator[Stand]:
    registry = CollectorRegistry()
    bus = more.pop("bus", None) or MemoryBus()
    brain = brain or FakeBrain()
    endpointing = EndpointingRules(wait_s=0.1, least_wait_s=0.1, most_wait_s=0.1)
    tongue = Tongue(
        FakeTranscriber(more.pop("script", ["a", "b", "c"])),
        PhoneSpeech(FakeSynthesiser()),
        TurnTaking(silence_s=20.0, endpointing=endpointing),
    )
    cast = Cast(AgentFile(), "v1", {"en": tongue}, brain)
    metrics = AgentMetrics(registry)
    parts = Parts(
        worker_id=WorkerId("w1"),
        scorer=FrameScorer(LevelVoiceActivity(), metrics, SystemClock()),
        make_detector=lambda: SpeechDetector(VadTuning()),
        archive=Archive(bus.calls, quiet_deliverer(bus, registry)),
        network=VobizNetwork(bus.values, None),
        metrics=metrics,
        clock=SystemClock(),
        **more,
    )
    lease = WorkerLease(WorkerId("w1"), "127.0.0.1:0", 2)
    lag = LoopLag(RuntimeMetrics(registry))
    worker = Worker(lease, parts, OneCast(cast), bus=bus, secret=SECRET, lag=lag)
    server = await asyncio.get_running_loop().create_server(worker.make_link, "127.0.0.1", 0)
    worker.start()
    try:
        yield Stand(worker, bus, registry, server.sockets[0].getsockname()[1], brain)
    finally:
        server.close()
        await worker.stop()
        await server.wait_closed()


class Phone:
    """The far side of a link: sends frames in real time, keeps what comes."""

    def __init__(self, link: ClientConnection) -> None:
        self.link = link
        self.events: list[dict[str, Any]] = []
        self._chunk = 0

    async def start(self) -> None:
        await self.link.send(serialize_inbound(Start()))

    async def send(self, frame: bytes, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self._chunk += 1
            media = Media(frame, timestamp_ms=self._chunk * 20, chunk=self._chunk)
            await self._say(serialize_inbound(media))
            await self.read(0.02)

    async def _say(self, text: str) -> None:
        """Send; on a link that has closed nothing, as what came before the close is yet to be read.

        Whoever reads on is told of the close behind that.
        """
        with suppress(ConnectionClosed):
            await self.link.send(text)

    async def read(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    event = json.loads(await self.link.recv())
                    self.events.append(event)
                    if event["event"] == "clearAudio":
                        await self._say('{"event":"clearedAudio"}')
                    if event["event"] == "checkpoint":
                        played = {"event": "playedStream", "name": event["name"]}
                        await self._say(json.dumps(played))
        except TimeoutError:
            return

    def count(self, event: str) -> int:
        return sum(e["event"] == event for e in self.events)


async def test_call_greets_hears_answers_and_is_written_down() -> None:
    async with standing() as stand:
        async with stand.link() as link:
            phone = Phone(link)
            await phone.start()
            await phone.send(QUIET, 0.6)
            assert phone.count("playAudio") >= 15
            audio = base64.b64decode(phone.events[0]["media"]["payload"])
            assert len(audio) == 160
            await phone.send(LOUD, 0.3)
            await phone.send(QUIET, 0.8)
            await link.close(1000)
        await stand.worker.wait_idle()
        record = await stand.bus.calls.get(CallId("call-1"))
    assert record is not None
    assert record.worker_id == "w1"
    assert [(entry["who"], entry["text"]) for entry in record.transcript][1] == ("caller", "a")
    assert record.milestones["first_audio_ms"] >= record.milestones["stream_ms"]
    assert stand.value("voice_agent_turns_total", outcome="understood") == 1
    assert stand.value("voice_agent_frames_total", direction="in") > 60
    assert stand.value("voice_agent_frame_jitter_seconds_count") > 60
    assert stand.value("voice_agent_turn_seconds_count", stage="total") == 1
    assert stand.value("voice_agent_call_seconds_count") == 1


async def test_barge_in_writes_clear_audio_at_once_and_is_measured() -> None:
    brain = FakeBrain(greeting=(Say("A long greeting that goes on and on and on and on."),))
    async with standing(brain) as stand, stand.link() as link:
        phone = Phone(link)
        await phone.start()
        await phone.send(QUIET, 0.5)
        assert phone.count("clearAudio") == 0
        await phone.send(LOUD, 0.1)
        assert phone.count("clearAudio") == 1
        await phone.send(QUIET, 0.3)
        kinds = [event["event"] for event in phone.events]
        after = kinds[kinds.index("clearAudio") + 1 :]
        assert after[0] == "playAudio"
        assert stand.value("voice_agent_barge_in_seconds_count") == 1
        assert stand.value("voice_agent_barge_in_seconds_sum") < 0.3
        assert stand.value("voice_agent_clear_ack_seconds_count") == 1
        assert stand.value("voice_agent_interruptions_total", outcome="committed") == 1


async def test_agent_says_goodbye_stops_the_stream_and_closes_as_ended() -> None:
    brain = FakeBrain(greeting=(Say("Bye."), EndCall("done")))
    async with standing(brain) as stand, stand.link() as link:
        phone = Phone(link)
        await phone.start()
        with pytest.raises(ConnectionClosed):
            await phone.send(QUIET, 5.0)
        assert [event["event"] for event in phone.events][-2:] == ["checkpoint", "stop"]
        assert link.close_code == LinkClose.ENDED
        record = await stand.bus.calls.get(CallId("call-1"))
        assert record is not None
        assert record.end_reason is EndReason.AGENT_HUNG_UP
        assert record.end_class is EndClass.SUCCESS


async def test_media_without_start_and_flat_shapes_are_a_call_too() -> None:
    async with standing() as stand, stand.link() as link:
        phone = Phone(link)
        await phone.send(QUIET, 0.2)
        assert phone.count("playAudio") > 10


async def test_garbage_on_one_call_disturbs_no_other() -> None:
    async with standing() as stand, stand.link("good") as good, stand.link("bad") as bad:
        phone = Phone(good)
        await phone.start()
        for n in range(10_000):
            await bad.send(("{", "[]", '{"event":7}', '{"event":"media"}', "\x00")[n % 5])
        await bad.send(b"\x00\xff")
        await bad.send('{"event":"media","media":{"payload":"' + "A" * 70_000 + '"}}')
        await phone.send(QUIET, 0.4)
        assert phone.count("playAudio") == 15
        malformed = stand.value("voice_agent_messages_total", event="malformed")
        assert malformed == 10_001
        assert stand.value("voice_agent_messages_total", event="oversized") == 1


async def test_full_unsigned_and_stale_links_are_refused_before_the_upgrade() -> None:
    async with standing() as stand:
        async with stand.link("a", epoch=2), stand.link("b"):
            for call_id, epoch, status in (("c", 1, 503), ("a", 2, 409), ("a", 1, 409)):
                with pytest.raises(InvalidStatus) as refused:
                    async with stand.link(call_id, epoch=epoch):
                        pass
                assert refused.value.response.status_code == status
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{stand.port}/calls/x", proxy=None):
                    pass
            assert refused.value.response.status_code == 401
        for reason in ("full", "stale", "unauthorized"):
            assert stand.value("voice_agent_refusals_total", reason=reason) >= 1


async def test_newer_link_takes_the_call_over_without_a_second_greeting() -> None:
    async with standing() as stand, stand.link(epoch=1) as old:
        first = Phone(old)
        await first.start()
        await first.send(QUIET, 0.4)
        async with stand.link(epoch=2, resume=True) as new:
            second = Phone(new)
            await second.start()
            await second.send(QUIET, 0.2)
            with pytest.raises(ConnectionClosed):
                await old.recv()
            assert old.close_code == LinkClose.SUPERSEDED
        assert len(stand.brain.conversations) == 1
        assert stand.value("voice_agent_active_calls") == 1


async def test_hang_up_event_ends_the_session_at_once() -> None:
    async with standing() as stand, stand.link() as link:
        await Phone(link).start()
        await stand.bus.calls.apply(
            CallChange(
                CallId("call-1"),
                CallState.COMPLETED,
                {"end_reason": EndReason.CALLER_HUNG_UP, "end_class": EndClass.CALLER},
            )
        )
        async with asyncio.timeout(1):
            await stand.worker.wait_idle()
        labels = {
            "agent": "default",
            "direction": "inbound",
            "end_class": "caller",
            "end_reason": "caller_hung_up",
        }
        assert stand.value("voice_agent_calls_total", **labels) == 1


async def test_bug_in_one_call_ends_that_call_alone() -> None:
    brain = FakeBrain(script=[(RuntimeError("a bug"),)])
    with capture_logs() as lines:
        await _with_a_bug(brain)
    (told,) = [line for line in lines if line["event"] == "call_ended" and line["why"]]
    assert (told["call_id"], told["log_level"]) == ("call-1", "error")
    assert (told["reason"], told["why"]) == ("agent_failed", "RuntimeError in brain")


async def _with_a_bug(brain: FakeBrain) -> None:
    async with standing(brain) as stand, stand.link("other") as other:
        async with stand.link() as link:
            phone = Phone(link)
            await phone.start()
            await phone.send(QUIET, 0.6)
            await phone.send(LOUD, 0.3)
            with pytest.raises(ConnectionClosed):
                await phone.send(QUIET, 2.0)
            assert link.close_code == 1011
        assert stand.value("voice_agent_sessions_crashed_total") == 1
        survivor = Phone(other)
        await survivor.start()
        await survivor.send(QUIET, 0.2)
        assert survivor.count("playAudio") > 5


async def test_bug_that_is_in_the_way_of_the_end_too_ends_that_call_alone() -> None:
    """It stopped the wheel: no call of the worker was spoken to any more."""
    async with standing() as stand, stand.link("other") as other:
        async with stand.link() as link:
            phone = Phone(link)
            await phone.start()
            await phone.send(QUIET, 0.2)
            call = stand.worker._calls[CallId("call-1")]
            call._own.session.playout._sentences.append(None)  # type: ignore[arg-type]
            with pytest.raises(ConnectionClosed):
                await phone.send(QUIET, 2.0)
            assert link.close_code == 1011
        survivor = Phone(other)
        await survivor.start()
        await survivor.send(QUIET, 0.2)
        assert survivor.count("playAudio") > 5


async def test_draining_worker_refuses_calls_and_ends_when_the_last_is_over() -> None:
    async with standing() as stand, stand.link() as link:
        await Phone(link).start()
        stand.worker.drain()
        with pytest.raises(InvalidStatus):
            async with stand.link("another"):
                pass
        await asyncio.sleep(0.05)
        assert [lease.draining for lease in await stand.bus.workers.workers()] == [True]
        waiting = asyncio.ensure_future(stand.worker.wait_idle())
        await link.close(1000)
        async with asyncio.timeout(2):
            await waiting


async def test_lost_link_waits_for_another_for_a_while_and_then_gives_up() -> None:
    async with standing(reattach_grace_s=0.3) as stand:
        async with stand.link() as link:
            await Phone(link).start()
            link.transport.abort()
        await asyncio.sleep(0.1)
        assert stand.value("voice_agent_active_calls") == 1
        async with asyncio.timeout(2):
            await stand.worker.wait_idle()
        assert stand.value("voice_agent_active_calls") == 0


async def test_a_worker_that_the_pool_knows_is_ready_while_redis_is_away() -> None:
    """Gateways go on giving it calls; one that started meanwhile is known to nobody."""
    bus = FragileBus()
    bus.is_away = True
    async with standing(bus=bus) as stand:
        await asyncio.sleep(0.05)
        assert stand.worker.pool_state == "unavailable"
        bus.is_away = False
        async with asyncio.timeout(3):
            while stand.worker.pool_state != "ok":  # noqa: ASYNC110 - by the next heartbeat
                await asyncio.sleep(0.05)
        bus.is_away = True
        stand.worker.drain()
        await asyncio.sleep(0.05)
        assert stand.worker.pool_state.startswith("ok: unreachable")
        bus.is_away = False


async def test_a_call_that_was_watched_before_it_came_is_told_of_from_its_beginning() -> None:
    """Whoever dials from the console watches while it rings: no worker has the call yet."""
    bus = MemoryBus()
    async with standing(bus=bus, live=bus.live) as stand:
        await asyncio.sleep(0.05)
        await bus.events.publish(BusEvent(Channel.CALLS, EVENT_WATCH, CallId("call-1")))
        await asyncio.sleep(0.05)
        async with bus.live.follow(CallId("call-1")) as texts, stand.link() as link:
            phone = Phone(link)
            await phone.start()
            await phone.send(QUIET, 0.4)
            async with asyncio.timeout(2):
                told = json.loads(await anext(texts))
            assert told["kind"] in {"state", "agent", "said"}
