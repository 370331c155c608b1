"""The rules of speech detection on scored frames; on sound: tests/contract."""

from __future__ import annotations

import pytest

from services.agent.turn.vad import (
    FRAME_S,
    SpeechDetector,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    VadTuning,
)

QUIET = (0.02, -65.0)
SPEECH = (0.9, -25.0)
AGENT = -20.0


class Line:
    """Feeds a detector frame by frame in virtual time."""

    def __init__(self, tuning: VadTuning | None = None) -> None:
        self.detector = SpeechDetector(tuning)
        self.now_s = 100.0
        self.events: list[tuple[float, SpeechEvent]] = []

    def feed(
        self, frame: tuple[float, float], seconds: float, agent_dbfs: float | None = None
    ) -> list[SpeechEvent]:
        events = []
        for _ in range(round(seconds / FRAME_S)):
            self.now_s += FRAME_S
            event = self.detector.on_frame(*frame, agent_dbfs, self.now_s)
            if event is not None:
                events.append(event)
                self.events.append((self.now_s, event))
        return events


def test_one_clear_frame_starts_speech() -> None:
    line = Line()
    line.feed(QUIET, 1.0)
    (event,) = line.feed(SPEECH, FRAME_S)
    assert isinstance(event, SpeechStarted)
    assert event.onset_s == pytest.approx(line.now_s - FRAME_S)
    assert line.detector.is_speaking


def test_sound_that_is_not_speech_starts_nothing_however_loud() -> None:
    assert Line().feed((0.39, -10.0), 5.0) == []


def test_speech_below_the_gate_starts_nothing() -> None:
    assert Line().feed((0.99, -45.1), 5.0) == []


def test_the_louder_of_two_frames_passes_the_gate() -> None:
    line = Line()
    line.feed((0.2, -30.0), FRAME_S)
    assert line.feed((0.6, -60.0), FRAME_S) != []


def test_onset_goes_back_to_the_consonant_before_the_vowel() -> None:
    line = Line()
    line.feed(QUIET, 1.0)
    began_s = line.now_s
    line.feed((0.1, -38.0), 0.06)
    (event,) = line.feed(SPEECH, FRAME_S)
    assert event.onset_s == pytest.approx(began_s)


def test_onset_never_goes_back_further_than_the_lookback() -> None:
    line = Line()
    line.feed((0.3, -26.0), 5.0)
    (event,) = line.feed(SPEECH, FRAME_S)
    assert line.now_s - event.onset_s <= VadTuning().lookback_s + 2 * FRAME_S


def test_speech_ends_after_the_set_silence_and_says_when_it_really_ended() -> None:
    line = Line(VadTuning(end_silence_s=0.4))
    line.feed(SPEECH, 1.0)
    ended_s = line.now_s
    (event,) = line.feed(QUIET, 1.0)
    assert isinstance(event, SpeechEnded)
    assert event.ended_s == pytest.approx(ended_s)
    assert line.events[-1][0] - ended_s == pytest.approx(0.4)
    assert not line.detector.is_speaking


def test_a_pause_shorter_than_the_end_silence_does_not_end_speech() -> None:
    line = Line()
    line.feed(SPEECH, 0.5)
    assert line.feed(QUIET, 0.44) == []
    assert line.feed(SPEECH, 0.5) == []


def test_uncertain_frames_keep_speech_alive_but_do_not_start_it() -> None:
    line = Line()
    assert line.feed((0.3, -30.0), 1.0) == []
    line.feed(SPEECH, 0.2)
    assert line.feed((0.3, -30.0), 2.0) == []


def test_speech_starts_again_after_it_ended() -> None:
    line = Line()
    for _ in range(3):
        line.feed(SPEECH, 0.5)
        line.feed(QUIET, 1.0)
    kinds = [type(event) for _, event in line.events]
    assert kinds == [SpeechStarted, SpeechEnded] * 3


@pytest.mark.parametrize("echo_db", [-20.0, -25.0, -30.0])
def test_the_agents_echo_does_not_start_speech(echo_db: float) -> None:
    peaks = AGENT + echo_db + 6.0
    assert Line().feed((0.99, peaks), 20.0, AGENT) == []


def test_the_echos_tail_is_held_off_after_the_agent_fell_silent() -> None:
    line = Line()
    line.feed((0.99, AGENT - 14), 1.0, AGENT)
    assert line.feed((0.99, AGENT - 14), 0.24) == []
    assert line.feed((0.99, AGENT - 14), 0.1) != []


def test_a_caller_louder_than_the_echo_interrupts() -> None:
    line = Line()
    line.feed((0.99, AGENT - 20), 5.0, AGENT)
    (event,) = line.feed((0.9, AGENT - 8), FRAME_S, AGENT)
    assert isinstance(event, SpeechStarted)


def test_a_quiet_caller_interrupts_where_the_line_has_no_echo() -> None:
    line = Line()
    line.feed(QUIET, 2.0, AGENT)
    assert line.feed((0.9, -40.0), FRAME_S, AGENT) != []


def test_a_quiet_caller_does_not_interrupt_before_the_line_is_known() -> None:
    line = Line()
    line.feed(QUIET, 0.5, AGENT)
    assert line.feed((0.9, -40.0), FRAME_S, AGENT) == []


def test_echo_that_comes_up_later_raises_the_gate_again() -> None:
    line = Line()
    line.feed(QUIET, 3.0, AGENT)
    line.feed((0.2, AGENT - 22), 1.0, AGENT)
    assert line.feed((0.9, AGENT - 17), FRAME_S, AGENT) == []


def test_the_callers_own_first_sounds_do_not_raise_the_gate_against_them() -> None:
    line = Line()
    line.feed(QUIET, 3.0, AGENT)
    line.feed((0.2, -39.0), 0.1, AGENT)
    assert line.feed((0.6, -38.0), FRAME_S, AGENT) != []


def test_the_gate_never_falls_below_that_of_a_silent_agent() -> None:
    line = Line()
    line.feed((0.0, -100.0), 5.0, AGENT)
    assert line.feed((0.99, -46.0), 1.0, AGENT) == []


def test_the_silence_that_ends_speech_may_change_while_it_lasts() -> None:
    detector = SpeechDetector()
    detector.on_frame(*SPEECH, None, 10.0)
    assert detector.on_frame(*QUIET, None, 10.3, end_silence_s=1.0) is None
    assert detector.quiet_s(10.3) == pytest.approx(0.3)
    assert detector.on_frame(*QUIET, None, 10.32, end_silence_s=0.3) is not None
    assert detector.quiet_s(10.4) == 0


def test_speech_in_hand_is_measured_by_its_sound() -> None:
    line = Line()
    assert (line.detector.speech_s, line.detector.voiced_frames) == (0.0, 0)
    line.feed(SPEECH, 0.4)
    line.feed(QUIET, 0.2)
    line.feed(SPEECH, 0.2)
    line.feed(QUIET, 0.2)
    assert line.detector.speech_s == pytest.approx(0.8, abs=0.03)
    assert line.detector.voiced_frames == pytest.approx(30, abs=1)
    line.feed(QUIET, 0.4)
    assert (line.detector.speech_s, line.detector.voiced_frames) == (0.0, 0)
