"""PURE. What happens to a session, and what a session wants done.

Events come from the wire, from the providers and from the clock; actions go back to them. Nothing
here knows of sockets or tasks, so a whole call can be played in a test by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from services.agent.providers.base import (
    Expectation,
    Final,
    GatherDigits,
    Heard,
    Message,
    Partial,
    Piece,
    ToolUsed,
    Usage,
)
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
class TranscriptGrew:
    """What the recogniser has heard of the utterance in hand so far."""

    partial: Partial


@dataclass(frozen=True, slots=True)
class TurnScored:
    """How likely the caller's turn is over, by the model asked with `ScoreTurn(number)`."""

    number: int
    probability: float


@dataclass(frozen=True, slots=True)
class DigitsGathered:
    """The network has collected keys for a GatherDigits; none when nothing was pressed."""

    digits: str


@dataclass(frozen=True, slots=True)
class MachineJudged:
    """Who answered an outbound call, by the network's or our own detection."""

    is_machine: bool


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
class TransferFailed:
    """The network would not hand the caller over; the agent has the call still."""


@dataclass(frozen=True, slots=True)
class HearingFailed:
    """No recogniser hears this caller any more, however often they are asked."""


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
    | TranscriptGrew
    | TurnScored
    | DigitsGathered
    | MachineJudged
    | TransferFailed
    | ReplyPiece
    | ReplyRead
    | ReplyFailed
    | SentenceAudio
    | SentenceFailed
    | HearingFailed
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
    """Ask the brain for an answer.

    `is_speculative`: the caller may go on still. `Confirm` follows when the answer is wanted;
    `Abandon(rewinds=True)` when it is not. `history` is the conversation that the answer goes on
    from, `heard` its last entry when in words; of a speculative answer it is known here alone.
    """

    generation: int
    heard: Heard
    is_speculative: bool = False
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirm:
    """The speculative answer of this generation is wanted."""

    generation: int


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
class SpeakPrepared:
    """Speak a sentence whose audio was made in advance, now: no provider is waited for.

    SentenceAudio follows within this turn of the loop, or SentenceFailed where it is not at hand.
    """

    name: str
    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop everything that still works on this generation or an earlier one.

    `rewinds`: nothing of this generation's answer was heard and its question will be asked anew,
    so the brain's state is taken back to before its `Ask`.
    """

    generation: int
    rewinds: bool = False


@dataclass(frozen=True, slots=True)
class BeginListening:
    """The caller began to speak."""


@dataclass(frozen=True, slots=True)
class EndListening:
    """The caller ended; a Transcribed is owed for it."""


@dataclass(frozen=True, slots=True)
class ListenFor:
    """What to expect from now on."""

    expectation: Expectation


@dataclass(frozen=True, slots=True)
class ScoreTurn:
    """Ask the end-of-turn model about the utterance in hand; TurnScored(number) may follow."""

    number: int


@dataclass(frozen=True, slots=True)
class SendKeys:
    """Press keys towards the other side."""

    digits: str


@dataclass(frozen=True, slots=True)
class ChangeLanguage:
    """Hear and speak another language from now on."""

    language: str


@dataclass(frozen=True, slots=True)
class LeaveToGather:
    """Have the network collect keys; the stream ends for it and comes back by itself."""

    request: GatherDigits


@dataclass(frozen=True, slots=True)
class LeaveToTransfer:
    """Hand the caller over by the network; TransferFailed follows when it would not."""

    to: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the record: a tool, a usage. Nothing for the caller."""

    piece: ToolUsed | Usage


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
    FILLER = "filler"
    APOLOGY = "apology"
    SPECULATION_USED = "speculation_used"
    SPECULATION_DROPPED = "speculation_dropped"


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
    | Confirm
    | Speak
    | SpeakPrepared
    | Abandon
    | BeginListening
    | EndListening
    | ListenFor
    | ScoreTurn
    | SendKeys
    | ChangeLanguage
    | LeaveToGather
    | LeaveToTransfer
    | Note
    | Measure
    | Count
    | End
)
