from __future__ import annotations

from services.gateway.calls.routing import PublicAddress, hold_answer
from services.gateway.workers.waiting_line import Turn, WaitingLine
from shared.protocol.call import CallId

A, B, C = CallId("a"), CallId("b"), CallId("c")


def test_without_places_nobody_waits() -> None:
    assert WaitingLine(0, 60).ask(A, 0.0) is Turn.FULL


def test_a_full_line_takes_no_more_until_somebody_is_served() -> None:
    line = WaitingLine(2, 60)
    assert [line.ask(call, 0.0) for call in (A, B, C)] == [Turn.JOINED, Turn.JOINED, Turn.FULL]
    assert line.leave(A)
    assert not line.leave(A)
    assert line.ask(C, 1.0) is Turn.JOINED
    assert len(line) == 2


def test_waiting_is_bounded_from_when_it_began() -> None:
    line = WaitingLine(2, 60)
    line.ask(A, 100.0)
    assert [line.ask(A, 100.0 + n) for n in (20, 40, 59)] == [Turn.WAITS] * 3
    assert line.ask(A, 160.0) is Turn.TOO_LONG
    assert len(line) == 0


def test_who_does_not_come_back_has_hung_up() -> None:
    line = WaitingLine(2, 600)
    line.ask(A, 0.0)
    line.ask(B, 20.0)
    assert line.forget_gone(30.0) == 0
    assert line.forget_gone(31.0) == 1
    assert line.leave(B)


def test_hold_words_are_followed_by_another_try() -> None:
    xml = hold_answer(PublicAddress("https://x.example"), {"agent": "sales"}, "Hold on.", 5)
    assert b"<Speak>Hold on.</Speak>" in xml
    assert b'<Wait length="5"' in xml
    assert b"https://x.example/answer?agent=sales</Redirect>" in xml
