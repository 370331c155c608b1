"""PURE. How evenly an application delivers its audio."""

from __future__ import annotations

from shared.audio.jitter import InterarrivalJitter

_LEAD_GAP_S = 0.005


class ArrivalPacing:
    """Jitter of playAudio arrivals within utterances, as RFC 3550 defines it.

    An utterance begins with the lead that applications build up, several frames at once; these
    are not jitter and are left out: measuring begins with the first frame that keeps a distance.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.samples_s: list[float] = []
        self._jitter = InterarrivalJitter()
        self._sent_s = 0.0
        self._last_s: float | None = None
        self._is_leading = True

    def on_audio(self, now_s: float, samples: int, *, is_queue_empty: bool) -> None:
        """Take note of a playAudio of so many samples at 8 kHz.

        Args:
            now_s: when it arrived.
            samples: how much it adds to the queue.
            is_queue_empty: whether the queue had run dry: a new utterance begins.
        """
        self.frames += 1
        if is_queue_empty:
            self._jitter = InterarrivalJitter()
            self._sent_s, self._last_s, self._is_leading = 0.0, None, True
        if self._last_s is not None and now_s - self._last_s >= _LEAD_GAP_S:
            self._is_leading = False
        if not self._is_leading:
            self.samples_s.append(self._jitter.update(now_s, self._sent_s))
        self._sent_s += samples / 8000
        self._last_s = now_s
