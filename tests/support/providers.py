"""Fakes of the agent's providers, held to the same contract suites as the real ones.

They answer at once and always alike; what they say and hear is scripted. Fields that tests read
are plain attributes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    CallFacts,
    ChatMessage,
    Confirmation,
    EndCall,
    Expect,
    Expectation,
    Final,
    Heard,
    LanguageDelta,
    Message,
    Pcm,
    Piece,
    Say,
    TextDelta,
    ToolSpec,
    TranscriberEvent,
    TranscriberFailed,
    VadState,
    Words,
)
from services.agent.providers.errors import ProviderFailed
from shared.audio.level import level_dbfs

# --- voice activity -----------------------------------------------------------------------------


class FakeVadState:
    """Counts what it has seen."""

    def __init__(self) -> None:
        self.frames = 0

    def reset(self) -> None:
        self.frames = 0


class LevelVoiceActivity:
    """Calls everything above -40 dBFS speech: enough for tones, which is what fakes speak."""

    def __init__(self, threshold_dbfs: float = -40.0) -> None:
        self.threshold_dbfs = threshold_dbfs

    def open(self) -> FakeVadState:
        return FakeVadState()

    def score(
        self, states: Sequence[VadState], frames: NDArray[np.int16] | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if frames.shape != (len(states), FRAME_SAMPLES):
            raise ValueError(f"{len(states)} states do not fit frames {frames.shape}")
        scores = np.zeros(len(states), np.float32)
        for row, state in enumerate(states):
            assert isinstance(state, FakeVadState)
            state.frames += 1
            frame = frames[row] if frames.dtype == np.int16 else frames[row] * 32768
            is_loud = level_dbfs(np.rint(frame).astype(np.int16)) >= self.threshold_dbfs
            scores[row] = 0.95 if is_loud else 0.02
        return scores


# --- transcription ------------------------------------------------------------------------------


class FakeTranscriberStream:
    """Gives the script's next entry at each `end()`; see FakeTranscriber."""

    def __init__(self, script: deque[Final | TranscriberFailed], expect: Expectation) -> None:
        self.expectation = expect
        self.samples = 0
        self.utterances = 0
        self.is_closed = False
        self.is_listening = False
        self._script = script
        self._events: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue(1000)

    def push(self, pcm: Pcm) -> None:
        self.samples += len(pcm)

    def begin(self) -> None:
        self.is_listening = not self.is_closed

    def end(self) -> None:
        if self.is_closed:
            return
        event: Final | TranscriberFailed = Final("", is_understood=False, confidence=0.0)
        if self.is_listening:
            self.is_listening = False
            self.utterances += 1
            if self._script:
                event = self._script.popleft()
        self.emit(event)

    def expect(self, expectation: Expectation) -> None:
        self.expectation = expectation

    def emit(self, event: TranscriberEvent) -> None:
        """Let an event out now, as a test wants it."""
        self._events.put_nowait(event)
        if isinstance(event, TranscriberFailed) and not event.is_recoverable:
            self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[TranscriberEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            while not self._events.empty():
                self._events.get_nowait()
            self._events.put_nowait(None)


class FakeTranscriber:
    """Hears what the script says, one entry an utterance, whoever speaks; then nothing.

    Args:
        script: texts (understood) or events.
    """

    def __init__(self, script: Sequence[str | Final | TranscriberFailed] = ()) -> None:
        self.script = deque(
            Final(entry, is_understood=True, confidence=0.9) if isinstance(entry, str) else entry
            for entry in script
        )
        self.streams: list[FakeTranscriberStream] = []

    def open(self, expect: Expectation) -> FakeTranscriberStream:
        stream = FakeTranscriberStream(self.script, expect)
        self.streams.append(stream)
        return stream


# --- dialogue -----------------------------------------------------------------------------------

Reply = Sequence[Piece | Exception]


class FakeConversation:
    """Answers from the brain's script; `variables` counts the replies given."""

    def __init__(self, brain: FakeBrain, call: CallFacts, variables: Mapping[str, str]) -> None:
        self.call = call
        self.heard: list[Heard] = []
        self.histories: list[tuple[Message, ...]] = []
        self._brain = brain
        self._turn = int(variables.get("turn", "0"))
        self.is_closed = False

    @property
    def variables(self) -> Mapping[str, str]:
        return {"turn": str(self._turn)}

    async def greet(self) -> AsyncIterator[Piece]:
        async for piece in self._brain.play(self._brain.greeting):
            yield piece

    def rewind(self, variables: Mapping[str, str]) -> None:
        self._turn = int(variables.get("turn", "0"))

    async def aclose(self) -> None:
        self.is_closed = True

    async def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        self.heard.append(heard)
        self.histories.append(tuple(history))
        self._turn += 1
        async for piece in self._brain.play(self._brain.answer(heard, self._turn - 1)):
            yield piece


@dataclass
class FakeBrain:
    """Says back what it understood, or the script's replies in turn.

    Attributes:
        greeting: pieces of `greet`.
        script: the reply to each turn; an exception in it is raised. None: says back.
        on_piece: awaited before each piece, so that a test decides when it comes.
    """

    greeting: Reply = (Say("Hello."), Expect(Expectation(("yes", "no"))))
    script: Sequence[Reply] | None = None
    on_piece: Callable[[], asyncio.Future[None]] | None = None
    conversations: list[FakeConversation] = field(default_factory=list)

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> FakeConversation:
        conversation = FakeConversation(self, call, variables)
        self.conversations.append(conversation)
        return conversation

    def answer(self, heard: Heard, turn: int) -> Reply:
        if self.script is not None:
            return self.script[turn] if turn < len(self.script) else (EndCall("script_over"),)
        if isinstance(heard, Words) and heard.is_understood:
            return (Say(f"You said {heard.text}."),)
        return (Say("Pardon?"),)

    async def play(self, reply: Reply) -> AsyncIterator[Piece]:
        for piece in reply:
            if self.on_piece is not None:
                await self.on_piece()
            if isinstance(piece, Exception):
                raise piece
            yield piece


# --- language models ----------------------------------------------------------------------------

Deltas = Sequence[LanguageDelta | Exception]


@dataclass
class FakeLanguageModel:
    """Answers from a script, else says back the last message.

    Attributes:
        script: deltas of the answers in turn; an exception among them is raised.
        asked: messages and tools of every request.
        on_delta: awaited before each delta, so that a test decides when it comes.
        closed_early: answers that were not read to their end.
    """

    script: deque[Deltas] = field(default_factory=deque)
    asked: list[tuple[tuple[ChatMessage, ...], tuple[ToolSpec, ...]]] = field(default_factory=list)
    on_delta: Callable[[], Awaitable[None]] | None = None
    closed_early: int = 0

    def add(self, *answers: str | Deltas) -> None:
        """Answer with these next; a text comes word by word."""
        for answer in answers:
            self.script.append(_spelled(answer) if isinstance(answer, str) else answer)

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        self.asked.append((tuple(messages), tuple(tools)))
        answer = self.script.popleft() if self.script else _spelled(f"You said {messages[-1].text}")
        is_whole = False
        try:
            for delta in answer:
                await (self.on_delta() if self.on_delta is not None else asyncio.sleep(0))
                if isinstance(delta, Exception):
                    raise delta
                yield delta
            is_whole = True
        finally:
            self.closed_early += not is_whole


def _spelled(text: str) -> Deltas:
    words = text.split(" ")
    return [TextDelta(word if n == 0 else f" {word}") for n, word in enumerate(words)]


# --- speech synthesis ---------------------------------------------------------------------------


class FakeSynthesiser:
    """Speaks each text as a steady tone, 60 ms a letter or digit, -20 dBFS.

    The tone's frequency tells texts apart: 400 Hz for the first text ever spoken, 100 Hz more for
    each next, up to 3 kHz; `tone_hz(text)` says which. A text in `broken` fails after its first
    chunk.
    """

    def __init__(self, sample_rate_hz: int = PHONE_RATE_HZ, *, chunk_s: float = 0.1) -> None:
        self._rate_hz = sample_rate_hz
        self._chunk = int(sample_rate_hz * chunk_s)
        self._tones: dict[str, int] = {}
        self.spoken: list[str] = []
        self.broken: set[str] = set()
        self.closed_early = 0

    @property
    def sample_rate_hz(self) -> int:
        return self._rate_hz

    def tone_hz(self, text: str) -> int:
        return self._tones.setdefault(text, 400 + 100 * (len(self._tones) % 27))

    def duration_s(self, text: str) -> float:
        return 0.06 * sum(char.isalnum() for char in text)

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.spoken.append(text)
        time_s = np.arange(int(self.duration_s(text) * self._rate_hz)) / self._rate_hz
        tone = np.rint(4634 * np.sin(2 * np.pi * self.tone_hz(text) * time_s)).astype(np.int16)
        is_whole = False
        try:
            for start in range(0, len(tone), self._chunk):
                await asyncio.sleep(0)
                yield tone[start : start + self._chunk].copy()
                if text in self.broken:
                    raise ProviderFailed("fake_voice", "broken by the test")
            is_whole = True
        finally:
            self.closed_early += not is_whole
