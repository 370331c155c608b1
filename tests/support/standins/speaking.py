"""What the stand-ins say: chat answers by a script or by rules, speech by the offline voice."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.audio.resample import Resampler
from shared.runtime.tasks import closing
from shared.speech import Voice, open_voice

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class CallTool:
    """An answer that calls a tool. `arguments` is JSON, or what a bad model makes of it."""

    name: str
    arguments: str = "{}"
    text: str = ""


Answer: TypeAlias = str | CallTool | Sequence[CallTool]
Chooser: TypeAlias = Callable[[Mapping[str, Any]], Answer]


@dataclass
class Talker:
    """Chooses answers.

    Attributes:
        script: used up first, one entry a request: an answer or a function of the request's body.
        rules: regular expressions looked for in the last user text, with their answers; groups may
            be used in a text as `\\1`.
        token_s: pause before each next token.
        first_s: pause before the first.
    """

    script: deque[Answer | Chooser] = field(default_factory=deque)
    rules: list[tuple[str, Answer]] = field(default_factory=list)
    token_s: float = 0.0
    first_s: float = 0.0

    def add(self, *answers: Answer | Chooser) -> None:
        self.script.extend(answers)

    def answer(self, body: Mapping[str, Any]) -> Answer:
        """Return what is answered to a chat request."""
        if self.script:
            entry = self.script.popleft()
            return entry(body) if callable(entry) else entry
        messages = body.get("messages", [])
        last = messages[-1] if messages else {}
        text = _text_of(last)
        if last.get("role") == "tool":
            return f"The tool says: {text}"
        for pattern, answer in self.rules:
            found = re.search(pattern, text, re.IGNORECASE)
            if found is not None:
                return found.expand(answer) if isinstance(answer, str) else answer
        return f"You said: {text.rstrip('.!? ') or 'nothing'}. What else can I do for you?"


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, dict))


def tokens_of(text: str) -> list[str]:
    """Cut a text about as a model's tokens are."""
    return re.findall(r"\s*\S{1,6}", text)


class Mouth:
    """Makes speech.

    Attributes:
        first_s: pause before the first chunk.
        chunk_s: speech in a chunk.
        pace_s: pause before each next chunk.
        is_tone: a tone of 60 ms a letter at -20 dBFS in place of the voice: made at once.
        voice_name: offline voice; None for the best there is.
    """

    def __init__(self) -> None:
        self.first_s = 0.0
        self.chunk_s = 0.1
        self.pace_s = 0.0
        self.is_tone = False
        self.voice_name: str | None = None
        self._voice: Voice | None = None

    async def speak(self, text: str, rate_hz: int) -> AsyncIterator[Pcm]:
        """Yield speech at a rate as it is made."""
        if self.is_tone:
            times = np.arange(int(0.06 * sum(map(str.isalnum, text)) * rate_hz)) / rate_hz
            tone = np.rint(4634 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
            size = int(self.chunk_s * rate_hz)
            for at in range(0, len(tone), size):
                yield tone[at : at + size]
            return
        if self._voice is None:
            self._voice = open_voice(self.voice_name)
        resampler = Resampler(self._voice.sample_rate_hz, rate_hz)
        async with closing(self._voice.stream(text)) as chunks:
            async for chunk in chunks:
                out = resampler.push(chunk)
                if len(out):
                    yield out
        last = resampler.push(np.zeros(0, np.int16), last=True)
        if len(last):
            yield last

    def close(self) -> None:
        if self._voice is not None:
            self._voice.close()
            self._voice = None
