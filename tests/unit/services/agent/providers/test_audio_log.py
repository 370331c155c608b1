"""What a caller said lately, by its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.audio_log import AudioLog


def numbered(start: int, end: int) -> bytes:
    return bytes(n % 251 for n in range(start, end))


def test_what_was_pushed_is_read_by_its_place() -> None:
    log = AudioLog(100)
    log.push(numbered(0, 30))
    log.push(numbered(30, 50))
    assert (log.begin, log.end) == (0, 50)
    assert log.read(10, 40) == numbered(10, 40)
    assert log.read(45, 99) == numbered(45, 50)
    assert log.read(50, 99) == b""


def test_the_oldest_is_dropped_and_counted_when_it_is_full() -> None:
    log = AudioLog(100)
    assert log.push(numbered(0, 90)) == 0
    assert log.push(numbered(90, 130)) == 30
    assert (log.begin, log.end) == (30, 130)
    assert log.read(0, 40) == numbered(30, 40)


def test_what_is_given_up_is_gone_for_good() -> None:
    log = AudioLog(100)
    log.push(numbered(0, 50))
    log.trim(20)
    log.trim(10)
    assert (log.begin, log.read(0, 25)) == (20, numbered(20, 25))
    log.trim(999)
    assert (log.begin, log.end, log.read(0, 999)) == (50, 50, b"")
    log.push(numbered(50, 60))
    assert log.read(50, 60) == numbered(50, 60)


@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 9000)), max_size=30))
def test_any_pushes_and_trims_keep_places_right(steps: list[tuple[int, int]]) -> None:
    log = AudioLog(20_000)
    for size, back in steps:
        log.push(numbered(log.end, log.end + size))
        log.trim(log.end - back)
        assert log.end - log.begin <= 20_000
        assert log.read(log.begin, log.end) == numbered(log.begin, log.end)
