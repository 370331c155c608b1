"""PURE. How unevenly frames arrive."""

from __future__ import annotations


class InterarrivalJitter:
    """The interarrival jitter of RTP, in seconds: RFC 3550, 6.4.1 and A.8.

    J += (|D| - J) / 16, where D is how much later than its timestamp says a frame came after the
    one before it. Smoothed over about 16 frames; nought until the second.
    """

    def __init__(self) -> None:
        self.jitter_s = 0.0
        self._transit_s: float | None = None

    def update(self, arrival_s: float, timestamp_s: float) -> float:
        """Take a frame in and return the new estimate.

        Args:
            arrival_s: when it arrived, on the receiver's monotonic clock.
            timestamp_s: what its sender stamped it with, on any clock of the same pace.
        """
        transit_s = arrival_s - timestamp_s
        if self._transit_s is not None:
            self.jitter_s += (abs(transit_s - self._transit_s) - self.jitter_s) / 16
        self._transit_s = transit_s
        return self.jitter_s

    def restart(self) -> None:
        """Forget the last frame but not the estimate: the sender began new timestamps."""
        self._transit_s = None
