"""One call without a worker or a socket: its clock, link and providers are in the test's hands."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from prometheus_client import CollectorRegistry

from services.agent.after_call.archive import Archive
from services.agent.after_call.deliver import Deliverer
from services.agent.agents.file import AgentFile
from services.agent.call.call import Call
from services.agent.call.kept import KeptCall
from services.agent.call.parts import Parts
from services.agent.company.cast import Cast, Tongue
from services.agent.providers.base import Say
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import EndpointingRules, MachineRules, TurnTaking
from services.agent.turn.vad import SpeechDetector
from services.agent.wire.link import Link
from services.agent.wire.network import VobizNetwork
from services.agent.wire.scorer import FrameScorer
from shared.audio.g711 import encode_ulaw
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import AfterCallMetrics, AgentMetrics
from shared.protocol.call import CallId, StreamId, WorkerId
from shared.protocol.telephony import Media, Start, serialize_inbound
from shared.protocol.worker import LinkRequest
from tests.support.clock import ManualClock
from tests.support.providers import (
    FakeBrain,
    FakeSynthesiser,
    FakeTranscriber,
    LevelVoiceActivity,
)
from tests.support.workshop import FakeSpeechBrain

CALL = CallId("call-1")
GREETING = "Welcome, this is the answer to your call."
"""Two seconds of it."""
QUIET = b"\xff" * 160
LOUD = encode_ulaw((np.sin(np.arange(160) * 0.4) * 9000).astype(np.int16))


class FakeLink:
    """Keeps what is written and how it was closed; `stuck` is how long nobody has read."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.code: int | None = None
        self.is_cut = False
        self.stuck = 0.0

    @property
    def as_link(self) -> Link:
        return cast(Link, self)

    @property
    def events(self) -> list[str]:
        return [json.loads(text)["event"] for text in self.texts]

    @property
    def checkpoints(self) -> list[str]:
        commands = [json.loads(text) for text in self.texts]
        return [command["name"] for command in commands if command["event"] == "checkpoint"]

    def send_text(self, text: str) -> None:
        self.texts.append(text)

    def send_texts(self, texts: Sequence[str]) -> None:
        self.texts.extend(texts)

    def close(self, code: int) -> None:
        self.code = code

    def abort(self) -> None:
        self.is_cut = True

    def stuck_s(self) -> float:
        return self.stuck


class LoneCall:
    """A call with one link, of an agent that says GREETING and then what it has understood.

    It speaks English, and Hindi when it is told to.

    Args:
        script: what the caller's utterances are understood as.
        brain: the dialogue.
        speech_brain: hears and speaks by itself.
        kept: what another worker has left of it.
        request: what the gateway tells of the call.
        more: of Parts.

    Attributes:
        overs: how often it has said that nothing of it is left.
    """

    def __init__(
        self,
        script: Sequence[str] = (),
        *,
        brain: FakeBrain | None = None,
        speech_brain: FakeSpeechBrain | None = None,
        kept: KeptCall | None = None,
        request: LinkRequest | None = None,
        **more: Any,
    ) -> None:
        self.clock, self.bus, self.registry = ManualClock(), MemoryBus(), CollectorRegistry()
        metrics = AgentMetrics(self.registry)
        self.brain = brain or FakeBrain(greeting=(Say(GREETING),))
        self.transcriber, self.hindi = FakeTranscriber(script), FakeTranscriber()
        rules = TurnTaking(endpointing=EndpointingRules(0.1, 0.1, 0.1))
        deliverer = Deliverer(
            self.bus.outbox,
            worker="w1",
            secret_of=lambda _: None,
            metrics=AfterCallMetrics(self.registry),
            clock=self.clock,
            chance=random.Random(1),
        )
        self.scorer = FrameScorer(LevelVoiceActivity(), metrics, self.clock)
        parts = Parts(
            worker_id=WorkerId("w1"),
            scorer=self.scorer,
            make_detector=SpeechDetector,
            archive=Archive(self.bus.calls, deliverer),
            network=VobizNetwork(self.bus.values, None),
            metrics=metrics,
            clock=self.clock,
            **more,
        )
        message = MachineRules(message="Hello {call.from}.")
        tongues = {
            "en": Tongue(self.transcriber, PhoneSpeech(FakeSynthesiser()), rules),
            "hi": Tongue(
                self.hindi,
                PhoneSpeech(FakeSynthesiser()),
                replace(rules, language="hi", machine=message),
            ),
        }
        self.cast = Cast(AgentFile(), "v1", tongues, self.brain, speech_brain)
        self.request = request or LinkRequest(CALL)
        self.overs = 0
        self.link = FakeLink()
        self.call = Call(self.request, self.cast, parts, on_over=self._on_over, kept=kept)
        self.call.attach(self.link.as_link, self.request)

    def _on_over(self, _call: Call) -> None:
        self.overs += 1

    @property
    def is_over(self) -> bool:
        return self.overs > 0

    async def pass_time(self, seconds: float) -> None:
        """Let the wheel turn for so long."""
        for _ in range(round(seconds / 0.02)):
            self.clock.advance(0.02)
            self.scorer.on_turn()
            self.call.on_tick()
            await asyncio.sleep(0)

    async def begin(self) -> None:
        """Begin the call and its stream; the greeting is on its way then."""
        self.call.start()
        await asyncio.sleep(0.01)
        self.call.on_text(serialize_inbound(Start()))

    def hear(self, payload: bytes = QUIET, *, stream_id: str | None = None) -> None:
        """Have 20 ms of the caller come, and be scored."""
        stream = None if stream_id is None else StreamId(stream_id)
        self.call.on_text(serialize_inbound(Media(payload, stream)))
        self.scorer.score_all()

    async def ended(self) -> None:
        """Wait until nothing is left of the call."""
        async with asyncio.timeout(2):
            while not self.is_over:  # noqa: ASYNC110 - a thread has its record meanwhile
                await asyncio.sleep(0.005)

    def value(self, name: str, **labels: str) -> float:
        """Read a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def aclose(self) -> None:
        await self.call._own.keeper.aclose()
        await self.call.stop()
