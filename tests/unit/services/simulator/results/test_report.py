from __future__ import annotations

import numpy as np

from services.simulator.line.handset import Handset
from services.simulator.line.line import AgentSpan, SaidSpan, SpanEnd
from services.simulator.person.speech_span import find_speech
from services.simulator.results import report
from shared.audio.g711 import encode_ulaw
from tests.support.vendor_server import tone


def said(onset_s: float, end_s: float, label: str = "words") -> SaidSpan:
    onset, end = round(onset_s * 8000), round(end_s * 8000)
    return SaidSpan(label, onset, onset, end, -20.0, is_over_agent=False, end=end)


def agent(start_s: float, end_s: float, ended_by: SpanEnd = SpanEnd.DRY) -> AgentSpan:
    return AgentSpan(round(start_s * 8000), round(end_s * 8000), ended_by)


def handset(*spans: AgentSpan, quiet_head_s: float = 0.0) -> Handset:
    heard = np.zeros(max(span.end for span in spans), np.int16)
    for span in spans:
        start = span.start + round(quiet_head_s * 8000)
        heard[start : span.end] = tone((span.end - start) / 8000)
    made = Handset()
    made.hear(encode_ulaw(heard))
    return made


def test_speech_begins_and_ends_within_25_db_of_the_talkers_level() -> None:
    quiet = tone(0.5, dbfs=-55)
    found = find_speech(np.concatenate([quiet, tone(1.0, dbfs=-20), quiet]))
    assert found is not None
    assert (found.onset, found.end) == (4000, 12000)
    assert abs(found.level_dbfs + 20) < 0.2


def test_digital_silence_is_no_speech() -> None:
    assert find_speech(np.zeros(8000, np.int16)) is None
    assert find_speech(np.zeros(0, np.int16)) is None


def test_a_turn_lasts_from_the_end_of_speech_to_the_first_sound() -> None:
    spans = [agent(0, 1), agent(3.0, 4.0)]
    (turn,) = report.turn_latencies([said(1.5, 2.5)], spans, handset(*spans))
    assert turn.latency_ms == 500.0


def test_silence_at_the_beginning_of_an_answer_counts_as_waiting() -> None:
    spans = [agent(3.0, 4.0)]
    heard = handset(*spans, quiet_head_s=0.2)
    (turn,) = report.turn_latencies([said(1.5, 2.5)], spans, heard)
    assert turn.latency_ms == 700.0


def test_what_was_playing_already_is_no_answer() -> None:
    spans = [agent(0, 3.0)]
    (turn,) = report.turn_latencies([said(1.5, 2.5)], spans, handset(*spans))
    assert turn.latency_ms is None


def test_an_answer_to_the_next_words_is_none_to_these() -> None:
    spans = [agent(6.0, 7.0)]
    turns = report.turn_latencies([said(1, 2), said(4, 5)], spans, handset(*spans))
    assert [turn.latency_ms for turn in turns] == [None, 1000.0]


def test_an_answer_before_the_caller_has_finished_waits_for_nothing() -> None:
    spans = [agent(2.0, 4.0)]
    (turn,) = report.turn_latencies([said(1.5, 2.5)], spans, handset(*spans))
    assert turn.latency_ms == 0.0


def test_a_barge_in_lasts_from_the_onset_to_silence() -> None:
    (found,) = report.barge_ins([said(1.0, 2.0)], [agent(0, 1.13, SpanEnd.CLEAR)])
    assert (found.latency_ms, found.how) == (130.0, "cleared")


def test_an_agent_that_talks_on_was_not_interrupted() -> None:
    (found,) = report.barge_ins([said(1.0, 2.0)], [agent(0, 9.0)])
    assert (found.latency_ms, found.how) == (None, "talked on")


def test_speech_into_silence_is_no_barge_in() -> None:
    assert report.barge_ins([said(1.0, 2.0)], [agent(0, 0.9)]) == []


def test_a_short_dry_spell_is_a_gap_and_a_long_one_a_pause() -> None:
    spans = [agent(0, 1), agent(1.1, 2), agent(4, 5, SpanEnd.CHECKPOINT), agent(5.2, 6)]
    gaps = report.gaps(spans)
    assert [(gap.at_ms, gap.duration_ms, gap.is_mid_sentence) for gap in gaps] == [
        (1000.0, 100.0, True),
        (5000.0, 200.0, False),
    ]


def test_a_clear_is_no_gap() -> None:
    assert report.gaps([agent(0, 1, SpanEnd.CLEAR), agent(1.1, 2)]) == []


def test_a_clear_without_speech_is_a_false_interruption() -> None:
    spans = [agent(0, 1.0, SpanEnd.CLEAR), agent(3, 4.2, SpanEnd.CLEAR)]
    assert report.false_interruptions([said(4.0, 5.0)], spans) == [1000.0]


def test_a_summary_leaves_out_what_was_not_measured() -> None:
    values = report.summary([None, 10.0, 30.0, 20.0])
    assert values == {"count": 3, "p50": 20.0, "p95": 30.0, "max": 30.0}
    assert report.summary([None])["p50"] is None


def test_of_what_should_be_high_the_low_end_is_told() -> None:
    lows = report.lows([None, *map(float, range(100, 0, -1))])
    assert lows == {"count": 100, "least": 1.0, "p5": 6.0, "p50": 50.5}
    assert report.in_hand(lows["least"]) == ", at least 1 ms in hand"
    nothing = report.lows([None])
    assert nothing == {"count": 0, "least": None, "p5": None, "p50": None}
    assert report.in_hand(nothing["least"]) == ""
