"""How the bench takes a turn apart, from what the stand-ins and the cloud saw of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.bench.turns.costs import Seen, TurnCost, cost_of, covered_s, first_frame, summaries
from deploy.bench.turns.tape import (
    CHAT,
    LISTEN,
    SPEECH,
    Exchange,
    Tape,
    TurnTimes,
    frames_came,
    trip_of,
)

STAGES = {"endpointing": 340.0, "transcription": 0.0, "brain": 280.0, "synthesis": 100.0}


def result(words: str, *, is_final: bool = True, from_finalize: bool = False) -> str:
    return json.dumps(
        {
            "type": "Results",
            "is_final": is_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": words}]},
        }
    )


def token(text: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n".encode()


def chat(trip: int) -> str:
    messages = [
        {"role": "user", "content": f"Tell me about trip {trip}."},
        {"role": "assistant", "content": "One moment."},
    ]
    return json.dumps({"messages": messages})


def taped(*, finalised: bool = False) -> Tape:
    """Trip 3, heard at 1.0, asked at 1.01, spoken at 1.2."""
    tape = Tape(0.06)
    tape.note(0.5, LISTEN, 1, b"\xff" * 160, goes_out=False)
    tape.note(0.6, LISTEN, 1, json.dumps({"type": "SpeechStarted"}), goes_out=True)
    tape.note(0.7, LISTEN, 1, result("Tell me", is_final=False), goes_out=True)
    tape.note(0.8, LISTEN, 1, result("Tell me about trip 3,"), goes_out=True)
    tape.note(1.0, LISTEN, 1, result("please."), goes_out=True)
    if finalised:
        tape.note(1.1, LISTEN, 1, result("", from_finalize=True), goes_out=True)
    tape.note(1.005, CHAT, 2, chat(2), goes_out=False)
    tape.note(1.01, CHAT, 3, chat(3), goes_out=False)
    for at_s, text in ((1.1, "Trip 3"), (1.12, " goes."), (1.14, " It"), (1.9, " ends.")):
        tape.note(at_s, CHAT, 3, token(text), goes_out=True)
    tape.note(1.95, CHAT, 3, b"data: [DONE]\n\n", goes_out=True)
    tape.note(1.15, SPEECH, 4, json.dumps({"input": "Trip 3 goes."}), goes_out=False)
    tape.note(1.24, SPEECH, 4, b"\x00\x00", goes_out=True)
    return tape


def test_a_turn_is_read_from_its_requests_and_answers() -> None:
    turn = taped().turn(3)
    assert turn == TurnTimes(
        words=(1.0 - 0.06, 1.0),
        settled=None,
        thought=(1.01, 1.14),  # the sign after the full stop says that it was one
        sentence_s=1.12,
        last_token_s=1.9,
        spoke=(1.15, 1.24),
    )


def test_words_asked_for_at_the_end_are_told_apart_from_those_asked_with() -> None:
    turn = taped(finalised=True).turn(3)
    assert turn is not None
    assert turn.words[1] == 1.0
    assert turn.settled == (1.1 - 0.06, 1.1)


def test_the_last_sentence_is_known_to_be_one_when_the_answer_ends() -> None:
    tape = taped()
    tape.exchanges[3].went = [(1.1, token("Trip 3 goes."))]
    turn = tape.turn(3)
    assert turn is not None
    assert (turn.thought[1], turn.last_token_s) == (1.1, 1.1)


@pytest.mark.parametrize("without", [1, 3, 4])
def test_a_turn_that_misses_a_stage_is_none(without: int) -> None:
    tape = taped()
    del tape.exchanges[without]
    assert tape.turn(3) is None


def test_a_turn_without_samples_or_with_other_words_is_none() -> None:
    silent, other = taped(), taped()
    silent.exchanges[4].went.clear()
    other.exchanges[3].went = [(1.1, token("Something else."))]
    assert silent.turn(3) is None
    assert other.turn(3) is None
    assert taped().turn(9) is None


def test_frames_are_counted_however_they_are_packed() -> None:
    socket = Exchange(LISTEN, came=[(1.0, b"x" * 400), (1.1, "text"), (1.2, b"x" * 80)])
    assert frames_came(socket) == [1.0, 1.0, 1.2]
    assert trip_of("nothing") is None


def test_the_first_frame_is_found_by_the_quickest_of_a_call() -> None:
    # The line began at 10.0; its frame 7 was the first sent, the quickest took 3 ms.
    came_s = [10.0 + (7 + n + 1) * 0.02 + delay for n, delay in enumerate((0.09, 0.07, 0.003))]
    assert first_frame(came_s, 10.0) == 7


def test_overlapping_spans_are_counted_once_and_only_inside() -> None:
    spans = [(0.0, 1.0), (3.0, 4.0), (3.5, 3.6), (3.9, 4.5), (9.0, 9.9)]
    assert covered_s(spans, (0.5, 5.0)) == pytest.approx(2.0)
    assert covered_s([], (0.0, 1.0)) == 0


def seen(**stages: float) -> Seen:
    return Seen(0.6, 0.61, 0.613, 0.98, 1.243, 1.26, {**STAGES, **stages})


def test_the_parts_of_a_turn_make_its_total() -> None:
    turn = taped().turn(3)
    assert turn is not None
    cost = cost_of(seen(), turn)
    assert cost.total == pytest.approx(660)
    assert cost.line == pytest.approx(27)
    assert cost.waiting == pytest.approx(367)
    # 20 ms of the recogniser's are after the decision, all of the model's and the voice's.
    assert cost.providers == pytest.approx(20 + 130 + 90)
    assert cost.overhead == pytest.approx(3 + 10 + 10 + 3)
    assert cost.line + cost.waiting + cost.providers + cost.overhead == pytest.approx(cost.total)
    assert (cost.way_in, cost.to_model, cost.to_voice, cost.to_ear) == (3.0, 10.0, 10.0, 3.0)
    assert cost.lookahead == pytest.approx(20)
    assert cost.before_last_token == pytest.approx(657)
    assert cost.worker_providers == 380.0


def test_words_settled_late_are_the_providers_time_only_where_the_answer_waited() -> None:
    turn = taped().turn(3)
    assert turn is not None
    late = TurnTimes(turn.words, (1.0, 1.01), turn.thought, 1.12, 1.9, turn.spoke)
    assert cost_of(seen(), late).overhead == pytest.approx(26)
    assert cost_of(seen(transcription=10.0), late).overhead == pytest.approx(16)


def test_each_part_is_summed_up() -> None:
    turn = taped().turn(3)
    assert turn is not None
    cost: TurnCost = cost_of(seen(), turn)
    found: dict[str, dict[str, Any]] = summaries([cost, cost])
    assert found["overhead"]["count"] == 2
    assert found["total"]["p50"] == cost.total
    assert summaries([]) == {}
