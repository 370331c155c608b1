from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from services.simulator.line.line import Line, LineQuality, SpanEnd, is_audible
from services.simulator.line.playback import PlaybackQueue
from services.simulator.person.caller import Caller, CallerScript, Utterance
from shared.audio.g711 import encode_ulaw
from shared.audio.level import level_dbfs
from tests.support.vendor_server import tone

TONE = encode_ulaw(tone(1.0))
SILENT = b"\xff" * 160


def a_line(
    *turns: Utterance, quality: LineQuality | None = None, hangup_at_s: float = 60.0
) -> Line:
    script = CallerScript(turns, hangup_at_s=hangup_at_s)
    line = Line(Caller(script), quality or LineQuality(), default_rng(1))
    line.is_answered = True
    return line


def run(line: Line, steps: int) -> None:
    for _ in range(steps):
        line.step()


def test_agent_audio_lands_on_the_right_side_at_the_slot_that_follows_it() -> None:
    line = a_line()
    run(line, 5)
    line.playback.push(TONE)
    run(line, 60)
    stereo = line.handset.stereo()
    assert not stereo[:, 0].any()
    heard = np.flatnonzero(np.abs(stereo[:, 1]) > 500)
    assert 800 <= heard[0] <= 802
    assert abs(int(heard[-1]) - (800 + 8000)) <= 10


def test_the_caller_side_is_one_slot_behind_because_speech_must_be_over_to_be_sent() -> None:
    line = a_line(Utterance(tone(0.1), "hm", at_s=0.0))
    first = line.step()
    assert first.said is None
    assert line.handset.heard_samples == 160
    second = line.step()
    assert second.said is not None
    assert second.said != SILENT
    assert second.began is line.said_spans[0]
    assert line.said_spans[0].start == 0


def test_a_clear_is_silence_from_the_next_slot_on_to_the_sample() -> None:
    line = a_line()
    line.playback.push(TONE)
    run(line, 7)
    dropped = line.clear()
    run(line, 20)
    assert dropped.samples == 8000 - 7 * 160
    heard = line.handset.heard()
    assert np.abs(heard[: 7 * 160]).max() > 5000
    assert np.abs(heard[7 * 160 - 40 : 7 * 160]).max() > 5000
    assert not heard[7 * 160 :].any()
    (span,) = line.agent_spans
    assert (span.start, span.end, span.ended_by) == (0, 7 * 160, SpanEnd.CLEAR)


def test_a_queue_that_runs_dry_ends_a_span_where_it_ran_dry() -> None:
    line = a_line()
    line.playback.push(TONE[:400])
    run(line, 5)
    line.playback.push(TONE[:160])
    run(line, 5)
    spans = [(s.start, s.end, s.ended_by) for s in line.agent_spans]
    assert spans == [(0, 400, SpanEnd.DRY), (800, 960, SpanEnd.DRY)]


@pytest.mark.parametrize("samples", [400, 480])
def test_a_queue_that_runs_dry_at_a_checkpoint_has_finished(samples: int) -> None:
    line = a_line()
    line.playback.push(TONE[:samples])
    line.playback.checkpoint("end")
    names = [name for _ in range(5) for name in line.step().checkpoints]
    assert names == ["end"]
    assert [s.ended_by for s in line.agent_spans] == [SpanEnd.CHECKPOINT]


def test_a_lost_socket_takes_its_queue_with_it() -> None:
    line = a_line()
    line.playback.push(TONE)
    run(line, 2)
    line.replace_playback(PlaybackQueue())
    run(line, 5)
    assert [(s.end, s.ended_by) for s in line.agent_spans] == [(320, SpanEnd.LOST)]
    assert not line.handset.heard()[320:].any()


def test_a_person_gives_a_lost_agent_twice_the_silence() -> None:
    for is_away, begun_at in ((False, 7), (True, 14)):
        script = CallerScript((Utterance(tone(0.1), "hm"),), turn_silence_s=0.1)
        line = Line(Caller(script), LineQuality(), default_rng(1))
        line.is_answered = True
        line.playback.push(TONE[:320])
        run(line, 2)
        line.is_agent_away = is_away
        steps = [line.step() for _ in range(30)]
        begun = next(index for index, step in enumerate(steps, start=2) if step.began)
        assert begun == pytest.approx(begun_at, abs=2)


def test_nobody_speaks_before_the_line_is_answered() -> None:
    line = a_line(Utterance(tone(0.1), "hm", at_s=0.0))
    line.is_answered = False
    run(line, 20)
    assert line.said_spans == []
    assert not line.handset.said().any()


def test_prompts_are_heard_and_mixed_into_what_plays() -> None:
    in_phase = encode_ulaw(tone(0.1, hz=400.0))  # whole cycles in a slot
    line = a_line()
    line.prompts.push(in_phase)
    run(line, 3)
    line.playback.push(in_phase)
    run(line, 2)
    heard = line.handset.heard()
    assert level_dbfs(heard[480:800]) == pytest.approx(level_dbfs(heard[:480]) + 6.0, abs=0.3)


def test_line_noise_has_the_stated_level() -> None:
    line = a_line(quality=LineQuality(noise_dbfs=-45.0))
    run(line, 200)
    assert level_dbfs(line.handset.said()) == pytest.approx(-45.0, abs=0.5)


def test_the_agents_echo_comes_back_late_and_quieter() -> None:
    line = a_line(quality=LineQuality(echo_db=-20.0, echo_delay_s=0.12))
    line.playback.push(TONE)
    run(line, 70)
    said, heard = line.handset.said(), line.handset.heard()
    delay = round(0.12 * 8000)
    assert not said[: delay - 1].any()
    echo, original = said[delay : delay + 7000], heard[:7000]
    assert level_dbfs(echo) == pytest.approx(level_dbfs(original) - 20.0, abs=0.3)


def test_speech_and_noise_are_added() -> None:
    line = a_line(Utterance(tone(1.0), "la", at_s=0.0), quality=LineQuality(noise_dbfs=-40.0))
    run(line, 52)
    said = line.handset.said()
    assert level_dbfs(said[:8000]) == pytest.approx(-15.0, abs=0.5)
    assert line.said_spans[0].end == 8000


def test_an_utterance_over_the_agent_is_marked_as_such() -> None:
    line = a_line(Utterance(tone(0.2), "wait", barge_in_s=0.2))
    line.playback.push(TONE)
    run(line, 30)
    assert line.said_spans[0].is_over_agent


def test_silence_is_not_audible_and_tone_is() -> None:
    assert not is_audible(SILENT)
    assert not is_audible(encode_ulaw(np.full(160, 20, np.int16)))
    assert is_audible(TONE[:160])
