"""PURE. How long a silent caller has been waited for, and how often in a row."""

from __future__ import annotations

from services.agent.providers import base


class SilenceWatch:
    """Counts the caller's silences while it is the caller's turn.

    Args:
        usual_s: how long to wait where the dialogue does not say.
    """

    def __init__(self, *, usual_s: float) -> None:
        self._usual_s = usual_s
        self._since_s = 0.0
        self.count = 0

    def begin(self, now_s: float) -> None:
        """It is the caller's turn from now on."""
        self._since_s = now_s

    def on_caller(self) -> None:
        """The caller did something: the next silence is the first."""
        self.count = 0

    def due(self, expectation: base.Expectation, now_s: float) -> base.Silence | None:
        """Return the silence that the dialogue is to be told of now, mostly None."""
        waited_s = now_s - self._since_s
        wait_s = self._usual_s if expectation.silence_s is None else expectation.silence_s
        if waited_s < wait_s:
            return None
        self.count += 1
        return base.Silence(waited_s, self.count)
