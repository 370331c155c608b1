from __future__ import annotations

from services.agent.speech.speech_memory import Entry, SpeechMemory
from services.agent.speech.speech_record import SpeechRecord


def entry(size: int) -> Entry:
    return Entry(SpeechRecord(b"x" * size, -20.0))


class Gauge:
    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int) -> None:
        self.value += amount


def test_the_least_used_makes_room() -> None:
    gauge = Gauge()
    memory: SpeechMemory[str] = SpeechMemory(100, on_bytes=gauge.inc)
    for key in "abcd":
        assert memory.put(key, entry(25)) == []
    assert memory.get("a") is not None
    (forgotten,) = memory.put("e", entry(10))
    assert forgotten[0] == "b"
    assert memory.get("b") is None
    assert memory.held_bytes == gauge.value == 85


def test_one_in_place_of_another_counts_once() -> None:
    gauge = Gauge()
    memory: SpeechMemory[str] = SpeechMemory(100, on_bytes=gauge.inc)
    memory.put("a", entry(20))
    memory.put("a", entry(10))
    assert gauge.value == 10
    memory.clear()
    assert gauge.value == memory.held_bytes == 0


def test_what_would_take_more_than_a_quarter_is_not_kept() -> None:
    memory: SpeechMemory[str] = SpeechMemory(100, on_bytes=Gauge().inc)
    large = entry(26)
    assert memory.put("a", large) == [("a", large)]
    assert memory.get("a") is None
    assert memory.held_bytes == 0
