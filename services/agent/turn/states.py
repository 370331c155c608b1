"""PURE. What a session can be doing, and every move there is between these states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What the session is doing. `MOVES` lists every move there is."""

    WAITING = "waiting"
    LISTENING = "listening"
    HEARING = "hearing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PAUSED = "paused"
    HOLDING = "holding"
    AWAY = "away"
    CLOSING = "closing"
    ENDED = "ended"


_S = State
MOVES: Final[dict[State, frozenset[State]]] = {
    # The worker knows of the call; the caller's audio is not there yet.
    _S.WAITING: frozenset({_S.THINKING, _S.HOLDING, _S.ENDED}),
    # It is the caller's turn and the caller is silent.
    _S.LISTENING: frozenset({_S.HEARING, _S.THINKING, _S.HOLDING, _S.CLOSING, _S.ENDED}),
    # The caller speaks.
    _S.HEARING: frozenset({_S.THINKING, _S.HOLDING, _S.CLOSING, _S.ENDED}),
    # Words or an answer are being made; nothing is audible.
    _S.THINKING: frozenset(
        {
            _S.SPEAKING,
            _S.LISTENING,
            _S.HEARING,
            _S.PAUSED,
            _S.HOLDING,
            _S.AWAY,
            _S.CLOSING,
            _S.ENDED,
        }
    ),
    # The agent speaks.
    _S.SPEAKING: frozenset(
        {
            _S.PAUSED,
            _S.LISTENING,
            _S.HEARING,
            _S.THINKING,
            _S.HOLDING,
            _S.AWAY,
            _S.CLOSING,
            _S.ENDED,
        }
    ),
    # The agent fell silent because the caller spoke; whether that was a turn is open.
    _S.PAUSED: frozenset({_S.HEARING, _S.THINKING, _S.HOLDING, _S.CLOSING, _S.ENDED}),
    # A machine has answered; its greeting is waited out.
    _S.HOLDING: frozenset({_S.CLOSING, _S.ENDED}),
    # The network has the caller: it collects keys, or hands the caller over.
    _S.AWAY: frozenset({_S.THINKING, _S.ENDED}),
    # The last words are being played.
    _S.CLOSING: frozenset({_S.AWAY, _S.ENDED}),
    _S.ENDED: frozenset(),
}


class IllegalMove(Exception):
    """The session was asked for a move that its table does not have: a bug."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(before, after)
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return f"a session cannot move from {self.before} to {self.after}"
