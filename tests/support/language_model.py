"""A language model whose answers are written by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.agent.providers.base import (
    ChatMessage,
    LanguageDelta,
    TextDelta,
    ToolCall,
    ToolSpec,
)

Answer: TypeAlias = str | Sequence[LanguageDelta | str | Exception]
"""A text (given word by word), or deltas, texts and the exception it ends with."""


@dataclass
class FakeLanguageModel:
    """Gives the script's answers in turn; when it is over, says back the last user message.

    Attributes:
        script: the answers.
        before_delta: awaited before each delta, so that a test decides when it comes.
        asked: what was given to read, and the names of the tools, at each request.
        closed_early: requests that were not read to their end.
    """

    script: Sequence[Answer] = ()
    before_delta: Callable[[], Awaitable[None]] | None = None
    asked: list[tuple[list[ChatMessage], list[str]]] = field(default_factory=list)
    given: int = 0
    closed_early: int = 0

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        number = len(self.asked)
        self.asked.append((list(messages), [tool.name for tool in tools]))
        if number < len(self.script):
            answer = self.script[number]
        else:
            last = next((m.text for m in reversed(messages) if m.role == "user"), "nothing")
            answer = f"You said {last}."
        is_done = False
        try:
            for delta in _deltas(answer):
                await (self.before_delta() if self.before_delta is not None else asyncio.sleep(0))
                if isinstance(delta, Exception):
                    raise delta
                self.given += 1
                yield delta
            is_done = True
        finally:
            self.closed_early += not is_done


def _deltas(answer: Answer) -> list[LanguageDelta | Exception]:
    if isinstance(answer, str):
        answer = [answer]
    deltas: list[LanguageDelta | Exception] = []
    for part in answer:
        if isinstance(part, str):
            words = part.split(" ")
            deltas += [
                TextDelta(word if place == 0 else f" {word}") for place, word in enumerate(words)
            ]
        else:
            deltas.append(part)
    return deltas


def call_of(name: str, arguments: str = "{}", call_id: str = "") -> ToolCall:
    return ToolCall(call_id, name, arguments)
