"""services.gateway.media.tally."""

from __future__ import annotations

from services.gateway.media.tally import Tally


def test_a_counter_hears_of_each_fiftieth_and_of_the_rest_at_the_end() -> None:
    heard: list[float] = []
    tally = Tally(heard.append)
    marks = [n for n in range(1, 121) if tally.add()]
    assert (marks, heard) == ([50, 100], [50, 50])
    tally.flush()
    tally.flush()
    assert heard == [50, 50, 20]


def test_many_at_once_may_make_more_than_fifty() -> None:
    heard: list[float] = []
    tally = Tally(heard.append)
    assert [tally.add(15) for _ in range(4)] == [False, False, False, True]
    assert heard == [60]
