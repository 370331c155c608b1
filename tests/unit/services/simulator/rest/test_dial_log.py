from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.simulator.rest.dial_log import DialLog, DialVerdict

ORIGIN = datetime(2026, 11, 26, 12, tzinfo=UTC)
TO = "+918000000002"


def book(max_kept: int = 100) -> DialLog:
    return DialLog(ORIGIN, 1000.0, max_kept=max_kept)


def dial(log: DialLog, at_s: float, number: str = TO, **more: object) -> None:
    uuid, channels = str(more.get("uuid") or f"u{at_s}"), more.get("channels", 1)
    assert isinstance(channels, int)
    log.note(
        at_s,
        to_number=number,
        from_number="+918000000001",
        query={"c": "our-id"},
        verdict=DialVerdict.ACCEPTED,
        status=201,
        call_uuid=uuid,
        channels=channels,
    )


def refuse(log: DialLog, at_s: float, status: int = 429) -> None:
    verdict = DialVerdict.FAILED if status >= 500 else DialVerdict.REFUSED
    log.note(at_s, to_number=TO, verdict=verdict, status=status)


def test_a_call_is_written_down_as_it_arrived_and_as_it_ended() -> None:
    log = book()
    dial(log, 1000.25, uuid="u1", channels=3)
    log.ended(
        "u1",
        ended=ORIGIN + timedelta(seconds=4),
        answered=ORIGIN + timedelta(seconds=2),
        cause_code=4000,
        is_machine=True,
    )
    assert log.page(0, 10) == [
        {
            "n": 1,
            "at": "2026-11-26T12:00:00.250+00:00",
            "at_ms": ORIGIN.timestamp() * 1000 + 250,
            "at_s": 1000.25,
            "to": TO,
            "from": "+918000000001",
            "query": {"c": "our-id"},
            "verdict": "accepted",
            "status": 201,
            "call_uuid": "u1",
            "channels": 3,
            "answered_s": 1002.0,
            "ended_s": 1004.0,
            "cause_code": 4000,
            "is_machine": True,
        }
    ]


def test_refused_calls_are_kept_too() -> None:
    log = book()
    refuse(log, 1000.0)
    refuse(log, 1000.1, status=500)
    first, second = log.page(0, 10)
    assert (first["verdict"], first["status"], first["call_uuid"]) == ("refused", 429, None)
    assert (second["verdict"], second["ended_s"]) == ("failed", None)
    assert log.figures()["verdicts"] == {"refused": 1, "failed": 1}
    assert log.figures()["statuses"] == {"429": 1, "500": 1}


def test_the_most_in_any_second_is_found_wherever_the_second_begins() -> None:
    log = book()
    for at_s in (1000.0, 1000.9, 1001.5):
        dial(log, at_s)
    refuse(log, 1001.7)
    dial(log, 1001.8)
    dial(log, 1002.6)
    figures = log.figures()
    assert figures["most_dialled_in_a_second"] == 3
    assert figures["most_asked_in_a_second"] == 4


def test_calls_exactly_a_second_apart_are_in_no_second_together() -> None:
    log = book()
    dial(log, 1000.0)
    dial(log, 1001.0)
    assert log.figures()["most_dialled_in_a_second"] == 1


def test_the_most_channels_and_the_most_dialled_numbers_are_told() -> None:
    log = book()
    dial(log, 1000.0, channels=1)
    dial(log, 1001.0, channels=7)
    dial(log, 1002.0, "+918000000003", channels=2)
    refuse(log, 1003.0)
    figures = log.figures(numbers=1)
    assert figures["most_channels"] == 7
    assert figures["dialled_by_number"] == {TO: 2}


def test_the_book_is_read_in_pages() -> None:
    log = book()
    for second in range(5):
        refuse(log, 1000.0 + second)
    assert [call["n"] for call in log.page(0, 2)] == [1, 2]
    assert [call["n"] for call in log.page(2, 2)] == [3, 4]
    assert [call["n"] for call in log.page(4, 2)] == [5]
    assert log.page(5, 2) == log.page(99, 2) == []
    assert book().page(0, 10) == []


def test_the_oldest_calls_are_forgotten_and_counted_all_the_same() -> None:
    log = book(max_kept=2)
    for second in range(4):
        dial(log, 1000.0 + second, uuid=f"u{second}")
    log.ended("u0", ended=ORIGIN, answered=None, cause_code=4000, is_machine=False)
    assert [call["n"] for call in log.page(0, 10)] == [3, 4]
    assert (len(log), log.figures()["asked"], log.figures()["kept"]) == (2, 4, 2)


def test_a_call_of_another_book_is_none_of_this_one() -> None:
    log = book()
    log.ended("u9", ended=ORIGIN, answered=None, cause_code=4000, is_machine=False)
    assert log.page(0, 10) == []
