"""PURE. A line whose frames come in bursts, as over a crowded radio link: jitter without loss."""

from __future__ import annotations

from collections.abc import Callable

_STEP_S = 0.02


class Bursts:
    """Holds messages back and lets them go together, in order.

    Args:
        longest_s: the longest that a message is held; each burst's length is drawn.
        draw: returns a number from 0 to below the one given, by chance.
    """

    def __init__(self, longest_s: float, draw: Callable[[int], int]) -> None:
        self._most_steps = max(1, round(longest_s / _STEP_S))
        self._draw = draw
        self._held: list[str] = []
        self._steps_left = 0

    def step(self, texts: list[str]) -> list[str]:
        """Take the messages of 20 ms; return those that go out now."""
        self._held += texts
        if self._steps_left > 0:
            self._steps_left -= 1
            return []
        self._steps_left = self._draw(self._most_steps)
        out, self._held = self._held, []
        return out
