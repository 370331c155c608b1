"""Frames of many calls scored together: each call's in order, and no call for another's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from services.agent.providers.base import VadState
from services.agent.wire.caller_audio import CallerAudio, CallerFrame
from services.agent.wire.scorer import FrameScorer
from shared.audio.g711 import encode_ulaw
from shared.audio.level import level_dbfs
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import L16, Media, MediaFormat
from shared.runtime.clock import SystemClock
from tests.support.providers import FakeVadState

UNBEARABLE = 31_100  # a sample that the model below breaks on


class FragileActivity:
    """Scores a frame by its first sample; keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def open(self) -> VadState:
        return FakeVadState()

    def score(
        self, states: Sequence[VadState], frames: NDArray[np.int16] | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if (frames > UNBEARABLE).any():
            raise RuntimeError("unbearable")
        self.batches.append(len(states))
        return (frames[:, 0] / 32768).astype(np.float32)


@dataclass
class Desk:
    """A scorer and its calls; each call's frames and faults are kept."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    activity: FragileActivity = field(default_factory=FragileActivity)

    def __post_init__(self) -> None:
        self.metrics = AgentMetrics(self.registry)
        self.scorer = FrameScorer(self.activity, self.metrics, SystemClock())

    def call(self) -> HeardCall:
        return HeardCall(self)


class HeardCall:
    def __init__(self, desk: Desk) -> None:
        self.frames: list[CallerFrame] = []
        self.faults = 0
        self._desk = desk
        self.audio = CallerAudio(
            desk.activity.open(), desk.metrics, self.frames.append, self._on_broken
        )

    def _on_broken(self) -> None:
        self.faults += 1

    def say(self, *values: int, at_s: float = 1.0) -> None:
        for value in values:
            payload = encode_ulaw(np.full(160, value, np.int16))
            self.audio.take(Media(payload), at_s)
            self._desk.scorer.ask(self.audio)

    @property
    def heard(self) -> list[int]:
        return [int(frame.pcm[0]) for frame in self.frames]


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_frames_of_several_calls_are_scored_in_one_run(desk: Desk) -> None:
    calls = [desk.call() for _ in range(3)]
    for number, call in enumerate(calls):
        call.say(1000 * number, at_s=float(number))
    assert not any(call.frames for call in calls)
    desk.scorer.score_all()
    assert desk.activity.batches == [3]
    for number, call in enumerate(calls):
        (frame,) = call.frames
        assert frame.at_s == number
        assert frame.level_dbfs == level_dbfs(frame.pcm)
        assert frame.probability == pytest.approx(frame.pcm[0] / 32768)


async def test_they_are_scored_without_being_asked_for_again(desk: Desk) -> None:
    call = desk.call()
    call.say(1000)
    await asyncio.sleep(0.001)
    assert len(call.frames) == 1
    call.say(2000)
    await asyncio.sleep(0.001)
    assert len(call.frames) == 2


async def test_with_many_frames_about_one_waits_for_others_but_not_long(desk: Desk) -> None:
    call, others = desk.call(), [desk.call() for _ in range(6)]
    for other in others:
        other.say(1000)
    desk.scorer.on_turn()
    call.say(1000)
    await asyncio.sleep(0.001)
    assert not call.frames
    await asyncio.sleep(0.015)
    assert len(call.frames) == 1


async def test_a_calls_frames_keep_their_order_however_many_come_at_once(desk: Desk) -> None:
    call, other = desk.call(), desk.call()
    said = [100 * n for n in range(1, 40)]
    call.say(*said)
    other.say(5000)
    desk.scorer.score_all()
    assert call.heard == sorted(call.heard)
    assert len(call.heard) == 39
    assert len(other.heard) == 1


async def test_a_call_alone_is_scored_at_once_when_something_else_happens_to_it(desk: Desk) -> None:
    call, other = desk.call(), desk.call()
    call.say(1000)
    other.say(2000)
    desk.scorer.score_now(call.audio)
    assert len(call.frames) == 1
    assert not other.frames
    desk.scorer.score_all()
    assert len(call.frames) == len(other.frames) == 1


async def test_a_frame_that_breaks_the_model_costs_no_other_call_anything(desk: Desk) -> None:
    calls = [desk.call() for _ in range(4)]
    for number, call in enumerate(calls):
        call.say(32_000 if number == 2 else 1000)
    desk.scorer.score_all()
    assert [len(call.frames) for call in calls] == [1, 1, 0, 1]
    assert [call.faults for call in calls] == [0, 0, 1, 0]


async def test_linear_and_coded_audio_share_a_batch(desk: Desk) -> None:
    coded, linear = desk.call(), desk.call()
    linear.audio.begin(MediaFormat(L16, 8000))
    linear.audio.take(Media(np.full(160, 1234, "<i2").tobytes()), 1.0)
    desk.scorer.ask(linear.audio)
    coded.say(1000)
    desk.scorer.score_all()
    assert desk.activity.batches == [2]
    assert linear.heard == [1234]
    assert len(coded.heard) == 1


async def test_samples_are_the_frames_own(desk: Desk) -> None:
    calls = [desk.call() for _ in range(2)]
    for call in calls:
        call.say(1000)
    desk.scorer.score_all()
    assert all(call.frames[0].pcm.base is None for call in calls)


async def test_the_wait_is_measured(desk: Desk) -> None:
    call = desk.call()
    call.say(1000, at_s=SystemClock().now_s() - 0.004)
    desk.scorer.score_all()
    waited_s = desk.registry.get_sample_value("voice_agent_scoring_wait_seconds_sum")
    assert waited_s == pytest.approx(0.004, abs=0.003)


async def test_what_another_worker_missed_waited_for_nothing_here(desk: Desk) -> None:
    """Each call that came from a dead worker brought some hundred waits of seconds."""
    call = desk.call()
    call.say(1000, at_s=SystemClock().now_s() - 8.0)
    desk.scorer.score_now(call.audio, is_live=False)
    assert len(call.frames) == 1
    assert desk.registry.get_sample_value("voice_agent_scoring_wait_seconds_count") == 0
