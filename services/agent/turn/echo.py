"""PURE. How much of the agent's own voice a line brings back: the loudest of the last seconds.

Kept so that a frame costs the same however far it is looked back: the newest values wait until they
are settled, of the others only those are remembered that may still become the loudest.
"""

from __future__ import annotations

from collections import deque


class EchoMemory:
    """One line's echo, in dB against the agent's level.

    Args:
        least_frames: so many must be settled before anything is said.
        most_frames: so many settled ones are looked back on.
        fresh_frames: the newest, which don't count yet: they may be the caller's first sounds.
    """

    def __init__(self, *, least_frames: int, most_frames: int, fresh_frames: int) -> None:
        self._least_frames = least_frames
        self._most_frames = most_frames
        self._fresh_frames = fresh_frames
        self._fresh: deque[float] = deque()
        self._settled = 0
        self._peaks: deque[tuple[int, float]] = deque()
        """The loudest, the loudest after it, and so on, with their numbers."""

    def push(self, echo_db: float) -> None:
        """Take the newest frame."""
        self._fresh.append(echo_db)
        if len(self._fresh) <= self._fresh_frames:
            return
        settled_db = self._fresh.popleft()
        while self._peaks and self._peaks[-1][1] <= settled_db:
            self._peaks.pop()
        self._peaks.append((self._settled, settled_db))
        self._settled += 1
        if self._peaks[0][0] < self._settled - self._most_frames:
            self._peaks.popleft()

    @property
    def peak_db(self) -> float | None:
        """The loudest that is looked back on; None before there is enough."""
        return self._peaks[0][1] if self._settled >= self._least_frames else None
