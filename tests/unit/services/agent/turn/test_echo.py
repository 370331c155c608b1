"""The echo's memory says what looking at every frame would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.echo import EchoMemory

LEAST, MOST, FRESH = 4, 12, 3


@given(st.lists(st.integers(-60, 0), max_size=60))
def test_the_peak_is_the_loudest_of_those_looked_back_on(levels_db: list[int]) -> None:
    memory = EchoMemory(least_frames=LEAST, most_frames=MOST, fresh_frames=FRESH)
    for count, level_db in enumerate(levels_db, 1):
        memory.push(level_db)
        settled = levels_db[: max(0, count - FRESH)]
        wanted = max(settled[-MOST:]) if len(settled) >= LEAST else None
        assert memory.peak_db == wanted


def test_the_newest_frames_do_not_count_yet() -> None:
    memory = EchoMemory(least_frames=1, most_frames=100, fresh_frames=2)
    for level_db in (-40.0, -30.0, -20.0):
        memory.push(level_db)
    assert memory.peak_db == -40.0
