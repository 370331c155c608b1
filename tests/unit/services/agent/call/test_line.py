"""The way to a call's gateway: one link at a time, and a wait for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from services.agent.call.line import Line
from services.agent.turn.playout import Due
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import ClearAudio, OutboundCommand, PlayAudio, StopStream
from shared.protocol.worker import LinkClose, LinkRequest
from tests.support.lone_call import CALL, FakeLink

REQUEST = LinkRequest(CALL)


class FakeRecorder:
    """Keeps what it hears was written, and when."""

    def __init__(self) -> None:
        self.written: list[tuple[OutboundCommand, float]] = []

    def on_written(self, commands: Iterable[OutboundCommand], now_s: float) -> None:
        self.written += [(command, now_s) for command in commands]


class Scene:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.recorder = FakeRecorder()
        metrics = AgentMetrics(self.registry)
        self.line = Line(REQUEST, metrics, self.recorder)  # type: ignore[arg-type] # a part of it
        self.link = FakeLink()

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def test_a_link_takes_the_place_of_the_one_before() -> None:
    scene, second = Scene(), FakeLink()
    scene.line.attach(scene.link.as_link, REQUEST)
    scene.line.attach(second.as_link, LinkRequest(CALL, epoch=2))
    assert (scene.link.code, second.code) == (LinkClose.SUPERSEDED, None)
    assert scene.line.request.epoch == 2
    scene.line.write(ClearAudio(None), 1.0)
    assert (scene.link.events, second.events) == ([], ["clearAudio"])


def test_the_end_of_an_older_link_means_nothing() -> None:
    scene, second = Scene(), FakeLink()
    scene.line.attach(scene.link.as_link, REQUEST)
    scene.line.attach(second.as_link, REQUEST)
    assert not scene.line.forget(scene.link.as_link)
    assert scene.line.link is second.as_link
    assert scene.line.forget(second.as_link)
    assert scene.line.link is None


def test_without_a_link_nothing_is_written_and_nothing_recorded() -> None:
    scene = Scene()
    scene.line.write(ClearAudio(None), 1.0)
    scene.line.close(LinkClose.NORMAL)
    assert scene.recorder.written == []


def test_what_is_written_is_recorded_with_its_time() -> None:
    scene = Scene()
    scene.line.attach(scene.link.as_link, REQUEST)
    audio = PlayAudio(b"\xff" * 160)
    scene.line.write(ClearAudio(None), 1.0)
    scene.line.write_due(Due((audio, audio), (0.001, 0.002), has_underrun=True), 2.0)
    assert scene.recorder.written == [(ClearAudio(None), 1.0), (audio, 2.0), (audio, 2.0)]
    assert scene.link.events == ["clearAudio", "playAudio", "playAudio"]


def test_what_is_due_is_counted() -> None:
    scene = Scene()
    scene.line.attach(scene.link.as_link, REQUEST)
    audio = PlayAudio(b"\xff" * 160)
    scene.line.write_due(Due((audio, audio), (0.001, 0.002), has_underrun=True), 2.0)
    scene.line.write_due(Due((audio,), (0.001,), has_underrun=False), 2.1)
    assert scene.value("voice_agent_frames_total", direction="out") == 3
    assert scene.value("voice_agent_pacing_lateness_seconds_count") == 3
    assert scene.value("voice_agent_underruns_total") == 1


def test_a_stream_is_stopped_before_its_link_is_closed_and_once() -> None:
    scene = Scene()
    scene.line.attach(scene.link.as_link, REQUEST)
    for _ in range(2):
        scene.line.close(LinkClose.AWAY, stops=StopStream(None))
    assert (scene.link.events, scene.link.code) == (["stop"], LinkClose.AWAY)


async def test_a_wait_that_nobody_ends_is_told_of() -> None:
    scene, missed = Scene(), []
    scene.line.wait(0.01, lambda: missed.append(1))
    await asyncio.sleep(0.03)
    assert missed == [1]


async def test_a_link_ends_the_wait_for_one() -> None:
    scene, missed = Scene(), []
    scene.line.wait(0.01, lambda: missed.append(1))
    scene.line.attach(scene.link.as_link, REQUEST)
    await asyncio.sleep(0.03)
    assert missed == []
