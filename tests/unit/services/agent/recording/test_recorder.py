from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from services.agent.recording.lanes import Cargo, Lanes
from services.agent.recording.recorder import Recorder
from shared.audio.g711 import encode_ulaw
from shared.protocol.call import StreamId
from shared.protocol.telephony import (
    L16,
    Checkpoint,
    ClearAudio,
    Media,
    MediaFormat,
    PlayAudio,
    StopStream,
)
from shared.recordings.block import Block
from shared.recordings.timeline import Timeline
from tests.support.clock import ManualClock
from tests.support.phone_line import FIRST_MS, FRAME, facts, sides


@dataclass
class FakeWriter:
    blocks: list[Block] = field(default_factory=list)
    completed: int = 0
    reasons: list[str] = field(default_factory=list)

    def put(self, recorder: Recorder, cargo: Cargo, *, is_last: bool) -> None:
        self.blocks.append(recorder.block(cargo, is_last=is_last))

    def complete(self, recorder: Recorder) -> None:
        self.completed += 1

    def on_stopped(self, reason: str) -> None:
        self.reasons.append(reason)


class Stage:
    """A recorder, its clock, and what it has written."""

    def __init__(self, kept: dict[str, object] | None = None, clock: ManualClock | None = None):
        self.clock = clock or ManualClock()
        self.writer = FakeWriter()
        self.recorder = Recorder(facts(), self.writer, self.clock, block_s=1.0, kept=kept)
        self.frames = 0

    def hear(self, frames: int, code: int = 1) -> None:
        for _ in range(frames):
            self.clock.advance(0.02)
            at_ms = FIRST_MS + 20 * self.frames
            media = Media(bytes([code]) * FRAME, StreamId("s"), at_ms)
            self.recorder.on_media(media, self.clock.now_s())
            self.frames += 1
            self.recorder.flush_if_due(self.clock.now_s())

    def sides(self) -> tuple[bytes, bytes]:
        timeline = Timeline()
        for block in self.writer.blocks:
            timeline.add(block)
        return sides(timeline.render())


def begun() -> Stage:
    stage = Stage()
    stage.recorder.on_stream("s", None, stage.clock.now_s())
    return stage


def test_a_block_is_given_each_second() -> None:
    stage = begun()
    stage.hear(160)
    assert [block.number for block in stage.writer.blocks] == [0, 1, 2]
    assert all(not block.is_last for block in stage.writer.blocks)


def test_nothing_is_given_while_nothing_happens() -> None:
    stage = begun()
    for _ in range(300):
        stage.clock.advance(0.02)
        stage.recorder.flush_if_due(stage.clock.now_s())
    assert stage.writer.blocks == []


def test_it_begins_with_the_first_stream() -> None:
    stage = Stage()
    stage.clock.advance(3.0)
    stage.recorder.on_stream("s", None, stage.clock.now_s())
    assert stage.recorder.facts.zero_unix_s == stage.clock.wall().timestamp()
    stage.clock.advance(3.0)
    stage.recorder.on_stream("t", None, stage.clock.now_s())
    assert stage.recorder.facts.zero_unix_s == stage.clock.wall().timestamp() - 3.0


def test_what_is_written_to_the_stream_is_heard() -> None:
    stage = begun()
    stage.hear(5)
    now_s = stage.clock.now_s()
    stage.recorder.on_written((PlayAudio(b"\x09" * FRAME), Checkpoint("c")), now_s)
    stage.hear(2)
    stage.recorder.on_played("c")
    stage.recorder.on_written((PlayAudio(b"\x08" * FRAME * 20),), stage.clock.now_s())
    stage.hear(3)
    stage.recorder.on_written((ClearAudio(),), stage.clock.now_s())
    stage.hear(3)
    stage.recorder.close(is_call_over=True)
    _, agent = stage.sides()
    assert agent.count(b"\x09") == FRAME
    assert agent.count(b"\x08") == 3 * FRAME


def test_a_stopped_stream_plays_no_more() -> None:
    stage = begun()
    stage.hear(5)
    stage.recorder.on_written((PlayAudio(b"\x08" * FRAME * 20),), stage.clock.now_s())
    stage.hear(3)
    stage.recorder.on_written((StopStream(),), stage.clock.now_s())
    stage.hear(8)
    stage.recorder.close(is_call_over=True)
    assert stage.sides()[1].count(b"\x08") == 3 * FRAME


def test_the_end_writes_what_is_left_once() -> None:
    stage = begun()
    stage.hear(30)
    stage.recorder.close(is_call_over=True)
    stage.recorder.close(is_call_over=True)
    stage.hear(30)
    stage.recorder.complete()
    assert [block.is_last for block in stage.writer.blocks] == [True]
    assert stage.sides()[0] == b"\x01" * FRAME * 30
    assert stage.writer.completed == 1
    assert stage.recorder.summary() == {"duration_ms": 600}


def test_what_is_left_to_another_worker_is_not_cut() -> None:
    stage = begun()
    stage.hear(5)
    stage.recorder.on_written((PlayAudio(b"\x08" * FRAME * 20),), stage.clock.now_s())
    stage.recorder.close(is_call_over=False)
    assert stage.writer.blocks[-1].cuts == ()
    assert stage.writer.blocks[-1].is_last


def test_another_worker_goes_on() -> None:
    first = begun()
    first.hear(50)
    kept = first.recorder.kept()
    first.recorder.close(is_call_over=False)
    second = Stage(kept, first.clock)
    second.frames = 50
    second.recorder.on_stream("s", None, second.clock.now_s())
    second.hear(10, code=2)
    assert second.recorder.facts.zero_unix_s == first.recorder.facts.zero_unix_s
    second.recorder.close(is_call_over=True)
    assert second.writer.blocks[0].caller[0].place == 50 * FRAME


def test_another_worker_begins_what_had_not_begun() -> None:
    second = Stage(Stage().recorder.kept())
    second.recorder.on_stream("s", None, second.clock.now_s())
    second.hear(1)
    assert second.recorder.facts.zero_unix_s == second.clock.wall().timestamp() - 0.02


def test_a_recording_that_was_given_up_stays_so() -> None:
    stage = begun()
    stage.hear(30)
    stage.recorder.give_up("slow")
    stage.recorder.give_up("queue_full")
    stage.hear(100)
    stage.recorder.close(is_call_over=True)
    assert stage.writer.blocks == []
    assert stage.writer.reasons == ["slow"]
    assert stage.recorder.summary() == {"duration_ms": 600, "stopped": "slow"}
    second = Stage(stage.recorder.kept(), stage.clock)
    second.recorder.on_stream("s", None, second.clock.now_s())
    second.hear(200)
    assert second.writer.blocks == []
    assert second.recorder.summary()["stopped"] == "slow"


def test_a_bug_ends_the_recording_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    acts: dict[str, Callable[[Stage], None]] = {
        "hear": lambda stage: stage.hear(2),
        "speak": lambda stage: stage.recorder.on_written([PlayAudio(b"x")], 0.0),
        "on_played": lambda stage: stage.recorder.on_played("c"),
        "on_cleared": lambda stage: stage.recorder.on_cleared(),
        "take": lambda stage: stage.hear(60),
        "begin": lambda stage: stage.recorder.on_stream("t", None, 0.0),
    }
    for name, act in acts.items():
        stage = begun()
        with monkeypatch.context() as patch:
            patch.setattr(Lanes, name, broken)
            act(stage)
        assert stage.writer.reasons == ["bug"], name


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_audio_of_another_kind_is_made_into_ours(rate_hz: int) -> None:
    stage = Stage()
    stage.recorder.on_stream("s", MediaFormat(L16, rate_hz), stage.clock.now_s())
    tone = (8000 * np.sin(np.arange(rate_hz) * 2 * np.pi * 300 / rate_hz)).astype("<i2")
    step = rate_hz // 50
    for n in range(50):
        stage.clock.advance(0.02)
        media = Media(tone[n * step :][:step].tobytes(), StreamId("s"), FIRST_MS + 20 * n)
        stage.recorder.on_media(media, stage.clock.now_s())
    stage.recorder.close(is_call_over=True)
    caller, _ = stage.sides()
    assert len(caller) == pytest.approx(8000, abs=4 * FRAME)
    if rate_hz == 8000:
        assert caller[:8000] == encode_ulaw(tone.astype(np.int16))
