"""The seams between a call and the parts that hear, understand and speak.

One Protocol a part, each with an embedded implementation, cloud ones, and the fakes in
`tests/support/providers.py`; `tests/contract/` holds one suite for each that all must pass.
What a turn is, when to interrupt and what the caller heard is not decided here: that is the
session's. Audio between these parts is mono int16 numpy; the telephone side is 8 kHz.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.agent.providers.errors import FailureCause
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
    """What has been said so far in this utterance, the whole of it; the next one replaces it.

    It may come before `begin()` was called for these words, or after `end()` and before the Final.

    Attributes:
        text: as in Final; punctuation and capitals are kept where the recogniser gives them.
        is_settled: the recogniser will not change these words any more.
        is_end: the recogniser believes that the speaker has ended.
    """

    text: str
    is_settled: bool = False
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Final:
    """The settled text of one utterance; exactly one comes for each `end()`.

    `text` has the capitals and the punctuation that the recogniser gives, or none. When
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
    `events()` ends after this one, and the session should open another stream. `cause` as in
    ProviderError.
    """

    detail: str
    is_recoverable: bool
    cause: FailureCause = FailureCause.BROKEN


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


# --- the end of a turn --------------------------------------------------------------------------


class EndOfTurn(Protocol):
    """A model that tells from the sound of it whether a speaker has said all they want to say."""

    async def probability(self, pcm: Pcm) -> float:
        """Return 0..1: how likely the turn is over.

        Args:
            pcm: the turn so far, 8 kHz, some 0.2 s of silence at its end included; the last 8 s
                count. Only read.

        Raises:
            ProviderError: the model broke; the caller of this goes by silence alone.
        """
        ...


# --- dialogue -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a dialogue may know of its call. Numbers are as the network gave them, or empty.

    `metadata` is what came with the call, `variables` what its order brought for the agent's texts.
    """

    call_id: CallId
    agent: str
    direction: Direction
    from_number: str
    to_number: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation as it was really heard: interrupted speech is already cut.

    `heard_s`: how many seconds of the agent's own audio the caller heard; None for a caller.
    """

    role: Literal["caller", "agent"]
    text: str
    is_interrupted: bool = False
    heard_s: float | None = None


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
class Digits:
    """The keys that a GatherDigits brought; none when the caller pressed nothing in time."""

    digits: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came from the caller for `seconds`; the `count`-th time in a row, from 1."""

    seconds: float
    count: int


Heard: TypeAlias = Words | Digit | Digits | Silence


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this next: one or a few whole sentences, plain text for the ear.

    `is_interruptible` False: the caller can't stop it (a legal text).
    """

    text: str
    is_interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech that the brain made itself (speech to speech): audio with its text, in order.

    Attributes:
        item: names one utterance; its pieces come one after another.
        text: what this piece adds to the utterance's words, perhaps nothing yet.
        ulaw: G.711 mu-law 8 kHz, perhaps empty.
        is_last: nothing more of this utterance follows.
    """

    item: str
    text: str
    ulaw: bytes
    is_last: bool = False


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


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Press keys towards the other side (0-9 * # A-D, w: wait half a second)."""

    digits: str


@dataclass(frozen=True, slots=True)
class GatherDigits:
    """Have the network collect keys, where the media socket brings none.

    The stream is left for it once everything said before has been played, and comes back by
    itself; the keys then arrive as one Digits.
    """

    prompt: str
    most: int = 32
    finish_on_key: str = "#"
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """Hear and speak another language from the next sentence on; a BCP 47 tag."""

    language: str


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool was called; for the record. Arguments and result are JSON-ready, secrets left out."""

    name: str
    arguments: Mapping[str, Any]
    outcome: Literal["ok", "failed", "refused", "timeout"]
    result: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider will charge for; for the record and the metrics.

    `unit` is one of: input_tokens, cached_tokens, output_tokens, characters, audio_seconds.
    """

    kind: Literal["stt", "llm", "tts", "realtime"]
    provider: str
    unit: str
    amount: float


Piece: TypeAlias = (
    Say
    | Spoken
    | Expect
    | EndCall
    | Transfer
    | SendDigits
    | GatherDigits
    | SwitchLanguage
    | ToolUsed
    | Usage
)


class Confirmation(Protocol):
    """Whether a reply that was begun on a mere guess is now wanted.

    A reply may begin before it is certain that the caller has ended. Until it is confirmed nothing
    may be done that can't be undone: no tool that acts on the world is run.
    """

    @property
    def is_given(self) -> bool:
        """Whether the reply is wanted for certain."""
        ...

    async def wait(self) -> None:
        """Wait until it is; a reply that turns out unwanted is cancelled instead."""
        ...


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

    def rewind(self, variables: Mapping[str, str]) -> None:
        """Take back to an earlier `variables`: the reply since then was thrown away unheard."""
        ...

    def greet(self) -> AsyncIterator[Piece]:
        """Yield what the agent says first; for a resumed call a short way back into the talk."""
        ...

    def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """Yield the answer to what was heard, piece by piece as it is thought.

        Args:
            heard: the newest turn of the caller; also the last entry of `history` when in words.
            history: the conversation so far, oldest first, as heard.
            confirmation: whether this reply is wanted for certain.

        No piece at all is a valid answer (a digit collected). Nothing that is heard follows
        EndCall or Transfer.

        Raises:
            ProviderError: the brain failed; pieces already given stand.
        """
        ...

    async def aclose(self) -> None:
        """Free what the conversation holds (sockets, running tools); may be called twice."""
        ...


class Brain(Protocol):
    """What decides the agent's words; shared by all calls of a worker."""

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> Conversation:
        """Begin a conversation, or go on with one: from a snapshot's variables as well as from {}.

        Variables that make no sense (of another version) begin anew rather than fail.

        Raises:
            ProviderUnavailable: it cannot be used at all.
        """
        ...


class SpeechBrain(Protocol):
    """A brain that hears and speaks by itself (speech to speech)."""

    def open(
        self, call: CallFacts, variables: Mapping[str, str]
    ) -> tuple[Conversation, TranscriberStream]:
        """Begin a conversation together with its ear: what goes into the one is what it hears.

        Its replies are Spoken pieces. See Brain.
        """
        ...


# --- language models ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a language model sees it. `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool. `arguments` is JSON as the model wrote it, maybe wrong."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One entry of what a language model reads.

    role `assistant` may carry `tool_calls`; role `tool` answers one of them, by `tool_call_id`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next characters of the answer."""

    text: str


LanguageDelta: TypeAlias = TextDelta | ToolCall | Usage


class LanguageModel(Protocol):
    """A model that goes on with a chat; shared by all calls of a worker."""

    def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        """Yield the answer as it is made: text, then whole tool calls, then Usage where known.

        `aclose()` on the iterator, or cancelling the wait, ends the request behind it.

        Raises:
            ProviderError: deltas already given stand; a stream that is cut before the vendor said
                that it is complete is an error too.
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
