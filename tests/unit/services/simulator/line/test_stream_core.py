from __future__ import annotations

import base64
import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from services.simulator.calls.knobs import Knobs
from services.simulator.calls.timeline import Timeline
from services.simulator.calls.verbs import Verb, stream_plan
from services.simulator.line.garbage import garbage
from services.simulator.line.line import Line, LineQuality
from services.simulator.line.stream_core import (
    Action,
    Callback,
    EndStream,
    SendText,
    StreamCore,
    StreamIdentity,
)
from services.simulator.person.caller import Caller, CallerScript

IDENTITY = StreamIdentity("call-1", "stream-1", "528191", "918000000001", "918000000002", 1000)
MULAW = {"bidirectional": "true", "contentType": "audio/x-mulaw;rate=8000"}
AUDIO = {"contentType": "audio/x-mulaw", "sampleRate": 8000}


class Wire:
    """A core with its line, and what it has sent."""

    def __init__(self, knobs: Knobs | None = None, **attributes: str) -> None:
        script = CallerScript(hangup_at_s=99.0)
        self.line = Line(Caller(script), LineQuality(), default_rng(1))
        plan = stream_plan(Verb("Stream", MULAW | attributes, "ws://app.example/m"))
        self.timeline = Timeline()
        self.core = StreamCore(
            IDENTITY, plan, self.line, knobs or Knobs(), Random(1), self.timeline
        )
        self.line.is_answered = True
        self.line.step()

    def open(self, *, sends_start: bool = True) -> list[dict[str, Any]]:
        return sent(self.core.open(0.0, sends_start=sends_start))

    def step(self, steps: int = 1) -> list[dict[str, Any]]:
        actions: list[Action] = []
        for _ in range(steps):
            actions += self.core.on_step(self.line.step(), 0.0)
        return sent(actions)

    def do(self, event: str, now_s: float = 0.0, **fields: Any) -> list[Action]:
        message = {"event": event, "streamId": "stream-1", **fields}
        return self.core.on_text(json.dumps(message), now_s)

    def play(self, samples: int, now_s: float = 0.0) -> None:
        payload = base64.b64encode(b"\x80" * samples).decode()
        assert self.do("playAudio", now_s, media={**AUDIO, "payload": payload}) == []


def sent(actions: list[Action]) -> list[dict[str, Any]]:
    return [json.loads(a.text) for a in actions if isinstance(a, SendText)]


def test_start_is_number_0_and_media_count_on() -> None:
    wire = Wire()
    (start,) = wire.open()
    media = wire.step(3)
    assert (start["event"], start["sequenceNumber"]) == ("start", 0)
    assert [m["sequenceNumber"] for m in media] == [1, 2, 3]
    assert [m["media"]["chunk"] for m in media] == [1, 2, 3]
    assert [m["media"]["timestamp"] for m in media] == ["1000", "1020", "1040"]


def test_without_a_start_the_media_come_alone() -> None:
    wire = Wire()
    assert wire.open(sends_start=False) == []
    assert [m["event"] for m in wire.step(2)] == ["media", "media"]


def test_a_knob_sends_frames_before_the_start() -> None:
    wire = Wire(Knobs(media_before_start=2))
    assert wire.open() == []
    assert [m["event"] for m in wire.step(4)] == ["media", "media", "start", "media", "media"]


def test_a_checkpoint_comes_back_on_the_socket_and_as_a_webhook() -> None:
    wire = Wire()
    wire.play(320)
    assert wire.do("checkpoint", name="end") == []
    actions = [a for _ in range(2) for a in wire.core.on_step(wire.line.step(), 0.0)]
    assert {"event": "playedStream", "name": "end"} in sent(actions)
    assert Callback("PlayedStream", {"Name": "end"}) in actions


def test_a_clear_is_acknowledged_within_20_ms_and_posts_a_webhook() -> None:
    wire = Wire()
    wire.play(1600)
    wire.do("checkpoint", name="void")
    ack, callback = wire.do("clearAudio")
    assert isinstance(ack, SendText)
    assert 0.001 <= ack.after_s <= 0.020
    assert sent([ack])[0]["event"] == "clearedAudio"
    assert isinstance(callback, Callback)
    assert callback.event == "ClearedAudio"
    assert all(m["event"] == "media" for m in wire.step(12))


def test_a_knob_loses_audio_that_overtakes_the_ack() -> None:
    knobs = Knobs(loses_audio_before_ack=True, clear_ack_min_s=0.02)
    wire = Wire(knobs)
    wire.do("clearAudio", 1.0)
    wire.play(1600, 1.01)
    assert len(wire.line.playback) < 1600
    held = len(wire.line.playback)
    wire.play(1600, 1.03)
    assert len(wire.line.playback) == held + 1600


def test_a_stop_ends_the_stream_and_drops_what_is_queued() -> None:
    wire = Wire()
    wire.play(1600)
    assert wire.do("stop") == [EndStream()]
    assert len(wire.line.playback) == 0


@pytest.mark.parametrize("missing", ["payload", "contentType"])
def test_incomplete_audio_is_ignored(missing: str) -> None:
    media = {**AUDIO, "payload": "AAAA"}
    del media[missing]
    wire = Wire()
    assert wire.do("playAudio", media=media) == []
    assert (wire.core.ignored_commands, len(wire.line.playback)) == (1, 0)


def test_a_missing_stream_id_is_tolerated_unless_the_knob_asks_for_it() -> None:
    text = json.dumps({"event": "playAudio", "media": {**AUDIO, "payload": "////"}})
    tolerant, strict = Wire(), Wire(Knobs(needs_stream_id=True))
    tolerant.core.on_text(text, 0.0)
    strict.core.on_text(text, 0.0)
    assert (len(tolerant.line.playback), len(strict.line.playback)) == (3, 0)


def test_a_foreign_stream_id_is_ignored() -> None:
    wire = Wire()
    assert wire.do("clearAudio", streamId="other") == []
    assert wire.core.ignored_commands == 1


def test_a_knob_reports_the_first_bad_command_only() -> None:
    wire = Wire(Knobs(reports_bad_commands=True))
    first, second = wire.core.on_text("{", 0.0), wire.core.on_text("{", 0.0)
    assert sent(first) == [{"event": "incorrectPayload"}]
    assert second == []


def test_a_one_way_stream_takes_no_commands() -> None:
    wire = Wire(bidirectional="false")
    wire.do("clearAudio")
    assert wire.core.ignored_commands == 1


@pytest.mark.parametrize(("is_big_endian", "order"), [(False, "<i2"), (True, ">i2")])
@pytest.mark.parametrize(("rate_hz", "size"), [(8000, 320), (16000, 640)])
def test_l16_frames_hold_20_ms_in_the_knobs_byte_order(
    rate_hz: int, size: int, is_big_endian: bool, order: str
) -> None:
    knobs = Knobs(is_l16_big_endian=is_big_endian)
    wire = Wire(knobs, contentType=f"audio/x-l16;rate={rate_hz}")
    wire.line.handset.say(b"\x80" * 160)
    payloads = [base64.b64decode(m["media"]["payload"]) for m in wire.step(10)]
    assert {len(payload) for payload in payloads} == {size}
    assert not np.frombuffer(payloads[-1], order).any()


def test_audio_at_24_khz_ends_with_its_last_sample() -> None:
    wire = Wire()
    pcm = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)).astype("<i2")
    media = {"contentType": "audio/x-l16", "sampleRate": 24000}
    for at in range(0, 24000, 480):
        payload = base64.b64encode(pcm[at : at + 480].tobytes()).decode()
        wire.do("playAudio", media={**media, "payload": payload})
    wire.do("checkpoint", name="end")
    assert wire.line.playback.received_samples == 8000


@given(st.text(max_size=200))
def test_any_text_is_a_command_or_ignored(text: str) -> None:
    wire = Wire()
    actions = wire.core.on_text(text, 0.0)
    assert actions == [] or isinstance(actions[0], SendText | EndStream)


def test_garbage_is_what_it_says_and_repeats_by_its_seed() -> None:
    first, again = (list(garbage(Random(3), 100)) for _ in range(2))
    assert first == again
    assert len(first) == 100
    assert sum(len(text) > 65_536 for text in first) == 2


def test_knobs_are_frozen_and_replaceable() -> None:
    assert replace(Knobs(), seed=7).seed == 7


def test_keys_carry_the_media_clock() -> None:
    wire = Wire()
    step = replace(wire.line.step(), digit="5")
    key = sent(wire.core.on_step(step, 0.0))[-1]
    assert (key["event"], key["dtmf"]["digit"], key["dtmf"]["timestamp"]) == ("dtmf", "5", "1020")


def test_comfort_noise_leaves_frames_out_while_nobody_speaks() -> None:
    wire = Wire(Knobs(has_comfort_noise_gaps=True))
    assert wire.step(5) == []
    (media,) = sent(wire.core.on_step(replace(wire.line.step(), is_quiet=False), 0.0))
    assert (media["media"]["chunk"], media["media"]["timestamp"]) == (1, "1100")


def test_audio_of_an_unknown_kind_is_ignored() -> None:
    wire = Wire()
    for content_type, rate_hz in (("audio/mpeg", 8000), ("audio/x-mulaw", 16000)):
        media = {"contentType": content_type, "sampleRate": rate_hz, "payload": "AAAA"}
        assert wire.do("playAudio", media=media) == []
    assert (wire.core.ignored_commands, len(wire.line.playback)) == (2, 0)


def test_audio_may_change_its_rate_and_loses_nothing() -> None:
    wire = Wire()
    for rate_hz in (24000, 16000, 8000):
        payload = base64.b64encode(bytes(2 * rate_hz)).decode()
        media = {"contentType": "audio/x-l16", "sampleRate": rate_hz, "payload": payload}
        wire.do("playAudio", media=media)
    wire.play(80)
    assert wire.line.playback.received_samples == 3 * 8000 + 80


def test_what_a_resampler_holds_back_is_played_when_the_queue_runs_dry() -> None:
    wire = Wire()
    payload = base64.b64encode(bytes(2 * 2400)).decode()
    wire.do("playAudio", media={"contentType": "raw", "sampleRate": 24000, "payload": payload})
    wire.step(12)
    assert wire.line.playback.received_samples == 800


def test_the_stop_event_names_call_and_stream() -> None:
    (stop,) = sent([Wire().core.stop_event()])
    assert stop == {
        "event": "stop",
        "streamId": "stream-1",
        "callId": "call-1",
        "reason": "call_ended",
    }


def test_the_longest_queue_is_remembered() -> None:
    wire = Wire()
    wire.play(800)
    wire.step(5)
    assert wire.core.longest_queue == 800


def test_what_is_in_hand_when_more_comes_is_what_the_handset_has_left() -> None:
    """Jitter was measured, and a call by an application that writes 100 ms at a time had much."""
    wire = Wire()
    for now_s, played_steps, messages in ((0.0, 0, 15), (0.1, 5, 5), (0.25, 7, 5), (0.34, 5, 5)):
        wire.step(played_steps)
        for n in range(messages):
            wire.play(160, now_s + n * 0.001)
    # 300 ms begin the utterance; then 100, 240 and 340 ms of it have been played.
    assert wire.core.pacing.in_hand_ms == [200.0, 160.0, 160.0]


def test_the_last_moment_is_nothing_in_hand_and_later_is_another_utterance() -> None:
    wire = Wire()
    wire.play(320, 0.0)
    wire.step(2)
    wire.play(160, 0.03)
    assert wire.core.pacing.in_hand_ms == [0.0]
    wire.step(2)
    wire.play(160, 0.09)
    assert wire.core.pacing.in_hand_ms == [0.0]


def test_after_its_checkpoint_or_a_clear_an_utterance_is_complete() -> None:
    wire = Wire()
    wire.play(320, 0.0)
    wire.do("checkpoint", name="end")
    wire.play(160, 0.02)
    wire.step(3)
    wire.do("checkpoint", name="played already")
    wire.play(1600, 0.05)
    wire.do("clearAudio")
    wire.play(160, 0.1)
    assert wire.core.pacing.in_hand_ms == []
    wire.play(160, 0.11)
    assert wire.core.pacing.in_hand_ms == [20.0]
