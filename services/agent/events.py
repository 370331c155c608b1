"""PURE. What happens to a session, and what a session wants done.

Events come from the wire, from the providers and from the clock; actions go back to them. Nothing
here knows of sockets or tasks, so a whole call can be played in a test by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from services.agent.providers.base import Expectation, Final, Heard, Piece
from shared.protocol.call import EndReason, StreamId
from shared.protocol.telephony import OutboundCommand

# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The caller's audio begins, by `start` or by a first media message without one.

    A second one means that the caller's socket was lost and has come back.
    """

    stream_id: StreamId | None


@dataclass(frozen=True, slots=True)
class FrameScored:
    """20 ms of the caller: speech probability 0..1 and level in dB of full scale."""

    probability: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class CheckpointPlayed:
    """The caller has heard everything up to this checkpoint."""

    name: str


@dataclass(frozen=True, slots=True)
class AudioCleared:
    """Vobiz has dropped what was queued."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """One key: 0-9, * or #."""

    digit: str


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The caller's utterance in words, or the news that it could not be had."""

    final: Final


@dataclass(frozen=True, slots=True)
class ReplyPiece:
    """One piece of the brain's answer."""

    generation: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class ReplyRead:
    """The brain has given its whole answer."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The brain broke off."""

    generation: int


@dataclass(frozen=True, slots=True)
class SentenceAudio:
    """Speech of a sentence as mu-law 8 kHz; `is_last` after its end."""

    name: str
    ulaw: bytes
    level_dbfs: float
    is_last: bool


@dataclass(frozen=True, slots=True)
class SentenceFailed:
    """The synthesiser could not speak a sentence to its end."""

    name: str


@dataclass(frozen=True, slots=True)
class CallOver:
    """The other side ended: hang-up webhook, socket closed for good, worker stopping."""

    reason: EndReason


Event: TypeAlias = (
    StreamStarted
    | FrameScored
    | CheckpointPlayed
    | AudioCleared
    | DigitPressed
    | Transcribed
    | ReplyPiece
    | ReplyRead
    | ReplyFailed
    | SentenceAudio
    | SentenceFailed
    | CallOver
)

# --- actions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Write:
    """Write a command to the wire now, before any audio that still waits."""

    command: OutboundCommand


@dataclass(frozen=True, slots=True)
class Greet:
    """Ask the brain for its first words."""

    generation: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the brain for an answer."""

    generation: int
    heard: Heard


@dataclass(frozen=True, slots=True)
class Speak:
    """Synthesise a sentence; sentences are spoken in the order of these actions.

    `is_first` of its answer: the caller waits for it, so it begins with its first sound.
    """

    name: str
    generation: int
    text: str
    is_first: bool


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop thinking and synthesising for this generation and all before it."""

    generation: int


@dataclass(frozen=True, slots=True)
class BeginListening:
    """The caller began to speak."""


@dataclass(frozen=True, slots=True)
class EndListening:
    """The caller stopped speaking: settle the words."""


@dataclass(frozen=True, slots=True)
class ListenFor:
    """From now on this is expected."""

    expectation: Expectation


class Stage(StrEnum):
    """What a measured time is of; the metrics catalogue says from which moment to which."""

    BARGE_IN = "barge_in"
    CLEAR_ACK = "clear_ack"
    FIRST_AUDIO = "first_audio"
    ENDPOINTING = "endpointing"
    TRANSCRIPTION = "transcription"
    BRAIN = "brain"
    SYNTHESIS = "synthesis"
    PLATFORM = "platform"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Measure:
    """A time to observe, in seconds."""

    stage: Stage
    seconds: float


class Tally(StrEnum):
    """What can be counted."""

    INTERRUPTION_COMMITTED = "interruption_committed"
    INTERRUPTION_RESUMED = "interruption_resumed"
    CLEAR_TIMEOUT = "clear_timeout"
    UNDERRUN = "underrun"
    TURN_UNDERSTOOD = "turn_understood"
    TURN_NOT_UNDERSTOOD = "turn_not_understood"
    TURN_SILENCE = "turn_silence"
    TURN_DTMF = "turn_dtmf"


@dataclass(frozen=True, slots=True)
class Count:
    """Something to count."""

    tally: Tally


@dataclass(frozen=True, slots=True)
class End:
    """The session is over.

    `by_agent`: the agent hangs up, so `stop` is to be written and the link closed; otherwise the
    other side is gone already, or (with a platform or provider reason) the caller is to get the
    fallback.
    """

    reason: EndReason
    by_agent: bool


Action: TypeAlias = (
    Write
    | Greet
    | Ask
    | Speak
    | Abandon
    | BeginListening
    | EndListening
    | ListenFor
    | Measure
    | Count
    | End
)
