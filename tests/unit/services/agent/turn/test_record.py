"""History and transcript are written together."""

from __future__ import annotations

from services.agent.providers.base import Message
from services.agent.turn.record import Conversed


def test_both_sides_are_written_as_heard() -> None:
    record = Conversed()
    record.caller("hello", 100, is_understood=True)
    record.agent("Good day.", 900, heard_s=0.6, is_interrupted=True, latency_ms={"total": 800.0})
    assert record.history == [
        Message("caller", "hello"),
        Message("agent", "Good day.", is_interrupted=True, heard_s=0.6),
    ]
    assert record.transcript == [
        {"who": "caller", "text": "hello", "at_ms": 100, "is_understood": True},
        {
            "who": "agent",
            "text": "Good day.",
            "at_ms": 900,
            "is_interrupted": True,
            "heard_ms": 600,
            "latency_ms": {"total": 800.0},
        },
    ]


def test_what_was_not_heard_is_not_written() -> None:
    record = Conversed()
    record.agent("", 0, heard_s=0.0, is_interrupted=True, latency_ms={})
    record.caller("", 100, is_understood=False)
    assert record.history == []
    assert [entry["text"] for entry in record.transcript] == [""]


def test_only_the_last_words_are_taken_back_and_only_the_callers() -> None:
    record = Conversed()
    assert record.take_back_caller() is None
    record.caller("hello", 100, is_understood=True)
    assert record.take_back_caller() == ("hello", 100)
    assert record.history == []
    assert record.transcript == []
    record.caller("hello", 100, is_understood=True)
    record.agent("Yes.", 200, heard_s=0.1, is_interrupted=False, latency_ms={})
    assert record.take_back_caller() is None
    record.caller("", 300, is_understood=False)
    assert record.take_back_caller() is None
