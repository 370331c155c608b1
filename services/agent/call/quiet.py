"""PURE. Silence that a caller waits in: after another worker was lost, and for an answer."""

from __future__ import annotations

from services.agent.turn.states import State

DEAD_AIR_S = 4.0
_AGENTS_TURN = (State.THINKING, State.SPEAKING, State.CLOSING)
_CALLERS_TURN = (State.LISTENING, State.HEARING)


class Quiet:
    """One call's.

    Attributes:
        is_resuming: a call that another worker had has not been heard from here yet.
    """

    def __init__(self) -> None:
        self.is_resuming = False
        self._resumed_s = 0.0
        self._silent_since_s: float | None = None
        self._is_told = False

    def resume(self, at_s: float) -> None:
        """The call has come from another worker; its link opened at `at_s`."""
        self.is_resuming, self._resumed_s = True, at_s

    def on_state(self, state: State) -> None:
        """Note whose turn it is: once it is the caller's, nobody waits to hear us again."""
        if self.is_resuming and state in _CALLERS_TURN:
            self.is_resuming = False

    def on_audio(self, now_s: float) -> float:
        """Audio is written while `is_resuming`: return how long that took, in seconds."""
        self.is_resuming = False
        return max(0.0, now_s - self._resumed_s)

    def look(self, state: State, now_s: float, *, is_audible: bool) -> bool:
        """Return whether dead air has just become too long; told once for each stretch of it.

        Args:
            state: of the conversation.
            now_s: monotonic.
            is_audible: the caller hears the agent.
        """
        if is_audible or state not in _AGENTS_TURN:
            self._silent_since_s, self._is_told = None, False
            return False
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if self._is_told or now_s - self._silent_since_s < DEAD_AIR_S:
            return False
        self._is_told = True
        return True
