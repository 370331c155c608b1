"""The seams between a call and the parts that hear, understand and speak.

Four Protocols, each with an embedded implementation, cloud ones, and the fakes in
`tests/support/providers.py`; `tests/contract/` holds one suite for each that all must pass.
What a turn is, when to interrupt and what the caller heard is not decided here: that is the
session's. Audio between these parts is mono int16 numpy; the telephone side is 8 kHz.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.protocol.call import CallId, Direction

PHONE_RATE_HZ = 8000
FRAME_SAMPLES = 160

Pcm: TypeAlias = NDArray[np.int16]


# --- voice activity -----------------------------------------------------------------------------


class VadState(Protocol):
    """What a voice-activity model remembers of one call. Opaque to its holder."""

    def reset(self) -> None:
        """Forget everything heard so far, as if the call began now."""
        ...


class VoiceActivity(Protocol):
    """A speech detector shared by all calls of a worker; not thread safe, never blocks for long."""

    def open(self) -> VadState:
        """Return the state of a call that has heard nothing yet."""
        ...

    def score(
        self, states: Sequence[VadState], frames: NDArray[np.int16] | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Score the newest 20 ms of several calls at once.

        Args:
            states: one state a call, all different, from `open()`; each is advanced in place.
            frames: `[n, 160]`, 8 kHz, row i belongs to states[i]; int16 at full scale or float32
                in -1..1. Only read, never kept.

        Returns:
            `[n]`, owned by the caller: probability (0..1) that the frame holds speech.

        Raises:
            ValueError: shapes that do not fit together.
            ProviderFailed: the model itself broke; the states are unchanged.
        """
        ...


# --- transcription ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the dialogue expects to hear next.

    `phrases` are plain lower-case texts (words, apostrophes, spaces). A recogniser with grammars
    listens for exactly these; one without uses them as hints or not at all. `digits` means that
    digits may come, spoken or by keypad. `silence_s` is how long to wait for the caller after the
    agent has finished before telling the dialogue of a Silence; None leaves it to the session.
    """

    phrases: tuple[str, ...] = ()
    digits: bool = False
    silence_s: float | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """A guess at what has been said so far in this utterance; the next one replaces it."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The settled text of one utterance; exactly one comes for each `end()`.

    `text` is lower case, without punctuation where the recogniser gives none. When
    `is_understood` is False the caller spoke but nothing was recognised with trust: `text` then
    is the best guess, often empty, and not to be acted on. `confidence` is 0..1, comparable only
    within one recogniser. A stream that heard no `begin()` since the last `end()` gives
    Final("", False, 0.0).
    """

    text: str
    is_understood: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class TranscriberFailed:
    """The utterance in hand is lost; it comes in place of its Final.

    `is_recoverable` True: the stream goes on with the next `begin()`. False: the stream is dead,
    `events()` ends after this one, and the session should open another stream.
    """

    detail: str
    is_recoverable: bool


TranscriberEvent: TypeAlias = Partial | Final | TranscriberFailed


class TranscriberStream(Protocol):
    """One call's ear.

    All methods but `events` and `aclose` return at once and never raise for a broken recogniser:
    trouble arrives as TranscriberFailed.
    """

    def push(self, pcm: Pcm) -> None:
        """Hear audio: mono int16 8 kHz, any length, in order, without gaps.

        Everything the caller says goes in, speech or not; the stream keeps the last 400 ms or so
        for the start of the next utterance. Bounded: when the recogniser is late the oldest audio
        is dropped and counted. The array is copied or fully used before return.
        """
        ...

    def begin(self) -> None:
        """Note that the caller began to speak; the pre-roll belongs to the utterance.

        A second `begin()` before `end()` changes nothing.
        """
        ...

    def end(self) -> None:
        """Note that the caller ended; one Final or TranscriberFailed follows, in order."""
        ...

    def expect(self, expectation: Expectation) -> None:
        """Replace what is expected; holds from the next `begin()` on."""
        ...

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """Yield events in the order of the utterances, until the stream is closed or dead.

        To be iterated once, by one task. Cancelling a wait loses no event.
        """
        ...

    async def aclose(self) -> None:
        """Free what the stream holds; may be called twice. Pending Finals are dropped."""
        ...


class Transcriber(Protocol):
    """A recogniser shared by all calls of a worker."""

    def open(self, expect: Expectation) -> TranscriberStream:
        """Open one call's stream.

        Raises:
            ProviderUnavailable: the recogniser is not started or has given up.
        """
        ...


# --- dialogue -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a dialogue may know of its call. Numbers are as the network gave them, or empty."""

    call_id: CallId
    agent: str
    direction: Direction
    from_number: str
    to_number: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation as it was really heard: interrupted speech is already cut."""

    role: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """The caller said something; see `Final` for the fields."""

    text: str
    is_understood: bool
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller pressed one key: 0-9, * or #. The dialogue collects, not the session."""

    digit: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came from the caller for `seconds`; the `count`-th time in a row, from 1."""

    seconds: float
    count: int


Heard: TypeAlias = Words | Digit | Silence


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this next: one or a few whole sentences, plain text for the ear."""

    text: str


@dataclass(frozen=True, slots=True)
class Expect:
    """From now on expect this of the caller; replaces the former expectation."""

    expectation: Expectation


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up once everything said before it has been played. `reason` is for the record."""

    reason: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to `to` (a number) once everything said before it has been played."""

    to: str


Piece: TypeAlias = Say | Expect | EndCall | Transfer


class Conversation(Protocol):
    """The dialogue of one call. One reply at a time.

    `variables` is everything needed to go on in another process: texts by name. It is replaced,
    never changed in place, and is up to date whenever a reply has been read to its end or closed.
    A reply that is closed early (`aclose` of the iterator, as at a barge-in) keeps the state of
    the whole reply; what the caller really heard of it arrives in the next `history`.
    """

    @property
    def variables(self) -> Mapping[str, str]:
        """The state to put into a snapshot."""
        ...

    def greet(self) -> AsyncIterator[Piece]:
        """Yield what the agent says first; for a resumed call a short way back into the talk."""
        ...

    def reply(self, heard: Heard, history: Sequence[Message]) -> AsyncIterator[Piece]:
        """Yield the answer to what was heard, piece by piece as it is thought.

        Args:
            heard: the newest turn of the caller; also the last entry of `history` when in words.
            history: the conversation so far, oldest first, as heard.

        No piece at all is a valid answer (a digit collected). Nothing follows EndCall or
        Transfer.

        Raises:
            ProviderError: the brain failed; pieces already given stand.
        """
        ...


class Brain(Protocol):
    """What decides the agent's words; shared by all calls of a worker."""

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> Conversation:
        """Begin a conversation, or go on with one: from a snapshot's variables as well as from {}.

        Variables that make no sense (of another version) begin anew rather than fail.
        """
        ...


# --- speech synthesis ---------------------------------------------------------------------------


class Synthesiser(Protocol):
    """A voice shared by all calls of a worker."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of everything `speak` yields."""
        ...

    def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text of any length; an empty or unpronounceable one yields nothing.

        Yields mono int16 chunks of any length but zero, in order, owned by the caller, as soon as
        they exist. The level is right for the phone (near -20 dBFS while speaking, no clipping).
        `aclose()` on the iterator, or cancelling the wait, stops the work behind it.

        Raises:
            ProviderError: from the iteration; chunks already given stand.
        """
        ...
