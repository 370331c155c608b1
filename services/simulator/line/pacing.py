"""PURE. How far ahead of being heard an application delivers its audio.

How evenly it comes does not matter at the handset, which plays from its queue: an application may
write a tenth of a second at a time, or a whole utterance. What matters is how much was left to play
when more came, and that is what is noted, within utterances.
"""

from __future__ import annotations

_PAUSE_S = 0.005


class ArrivalPacing:
    """What the queue still held at each arrival of playAudio that others had not just preceded.

    Messages that come at one go are one arrival: the first of them says how late it was. The first
    of an utterance is no arrival, for nothing had to be there before.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.in_hand_ms: list[float] = []
        self._last_s = float("-inf")

    def on_audio(self, now_s: float, queued_samples: int, *, is_within: bool) -> None:
        """Take note of a playAudio.

        Args:
            now_s: when it arrived.
            queued_samples: what was left to play, at 8 kHz, less what is sounding at the moment.
            is_within: whether it goes on with an utterance that has not been played to its end.
        """
        self.frames += 1
        if is_within and now_s - self._last_s >= _PAUSE_S:
            self.in_hand_ms.append(queued_samples / 8)
        self._last_s = now_s
