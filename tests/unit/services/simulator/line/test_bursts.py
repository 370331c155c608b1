"""A line with jitter: nothing is lost or overtaken, and the jitter is what it is for."""

from __future__ import annotations

from random import Random

import pytest

from services.simulator.line.bursts import Bursts
from shared.audio.jitter import InterarrivalJitter


def arrivals(longest_s: float, steps: int = 2000) -> list[tuple[int, int]]:
    """Which message came in which step."""
    bursts = Bursts(longest_s, Random(3).randrange)
    return [(int(text), step) for step in range(steps) for text in bursts.step([str(step)])]


def test_messages_keep_their_order_and_none_is_lost() -> None:
    numbers = [number for number, _ in arrivals(0.3)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1980


def test_none_is_held_longer_than_asked_for() -> None:
    held = [step - number for number, step in arrivals(0.3)]
    assert 10 <= max(held) <= 15


@pytest.mark.parametrize(
    ("longest_s", "least_s", "most_s"), [(0.02, 0.0, 0.001), (0.3, 0.03, 0.06)]
)
def test_the_jitter_grows_with_the_bursts(longest_s: float, least_s: float, most_s: float) -> None:
    jitter = InterarrivalJitter()
    values = sorted(
        jitter.update(step * 0.02, number * 0.02) for number, step in arrivals(longest_s)
    )
    assert least_s <= values[len(values) * 95 // 100] <= most_s
