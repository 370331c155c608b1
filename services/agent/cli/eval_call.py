"""A call in texts: what a session does with a brain, without sound and without time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from services.agent.cli.eval_outcome import Outcome
from services.agent.providers.base import (
    CallFacts,
    Conversation,
    Digit,
    Digits,
    EndCall,
    Expect,
    GatherDigits,
    Heard,
    Message,
    Piece,
    Say,
    Silence,
    Spoken,
    SwitchLanguage,
    ToolUsed,
    Transfer,
    Words,
)
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import ProviderError
from shared.runtime.tasks import closing

_SILENCE_S = 7.0
_CONFIRMED = ReplyConfirmation(is_given=True)


class TextCall:
    """Holds one conversation, with the history as a session would keep it.

    Args:
        conversation: the agent's.
        facts: of the call.
        now_s: monotonic seconds.
        on_piece: told of each piece as it comes.
    """

    def __init__(
        self,
        conversation: Conversation,
        facts: CallFacts,
        *,
        now_s: Callable[[], float],
        on_piece: Callable[[Piece], None] | None = None,
    ) -> None:
        self._conversation = conversation
        self._now_s = now_s
        self._on_piece = on_piece
        self._language = facts.language
        self._silences = 0
        self._wait_s: float | None = None
        self._is_gathering = False
        self.history: list[Message] = []

    async def greet(self) -> Outcome:
        """Let the agent begin."""
        return await self._read(Outcome(), self._conversation.greet())

    async def say(self, text: str) -> Outcome:
        """Say something and hear the agent out."""
        self._silences = 0
        self._is_gathering = False
        self.history.append(Message("caller", text))
        return await self._hear(Words(text, is_understood=True))

    async def interrupt(self, after_words: int, text: str) -> Outcome:
        """Say something when only so many words of the agent's last answer were heard."""
        if self.history and self.history[-1].role == "agent":
            words = self.history.pop().text.split()
            is_cut = after_words < len(words)
            if after_words:
                heard = " ".join(words[:after_words])
                self.history.append(Message("agent", heard, is_interrupted=is_cut))
        return await self.say(text)

    async def press(self, keys: str) -> Outcome:
        """Press keys, one after another, then rest as long as the agent waits for more."""
        self._silences = 0
        if self._is_gathering:
            self._is_gathering = False
            return await self._hear(Digits(keys.rstrip("#")))
        outcome = Outcome()
        for key in keys:
            said = outcome.said
            self._wait_s = None
            outcome = await self._hear(Digit(key), outcome)
            if outcome.is_over or outcome.error is not None:
                return outcome
        if self._wait_s is not None and outcome.said == said:
            outcome = await self._hear(Silence(self._wait_s, 1), outcome)
        return outcome

    async def silence(self) -> Outcome:
        """Say nothing until the agent notices."""
        if self._is_gathering:
            self._is_gathering = False
            return await self._hear(Digits(""))
        self._silences += 1
        return await self._hear(Silence(self._wait_s or _SILENCE_S, self._silences))

    async def _hear(self, heard: Heard, before: Outcome | None = None) -> Outcome:
        outcome = before if before is not None else Outcome()
        reply = self._conversation.reply(heard, tuple(self.history), _CONFIRMED)
        return await self._read(outcome, reply)

    async def _read(self, outcome: Outcome, pieces: AsyncIterator[Piece]) -> Outcome:
        begun_s = self._now_s()
        texts: list[str] = []
        try:
            async with closing(pieces) as reply:
                async for piece in reply:
                    if text := self._take(piece, outcome):
                        texts.append(text)
                        if outcome.first_ms is None:
                            outcome.first_ms = outcome.total_ms + self._since_ms(begun_s)
                    if self._on_piece is not None:
                        self._on_piece(piece)
        except ProviderError as exc:
            outcome.error = str(exc)
        outcome.total_ms += self._since_ms(begun_s)
        if texts:
            said = " ".join(texts)
            self.history.append(Message("agent", said))
            outcome.said = f"{outcome.said} {said}".strip()
        outcome.language = self._language
        return outcome

    def _take(self, piece: Piece, outcome: Outcome) -> str:
        """Take note of a piece; return the words that it lets the caller hear."""
        match piece:
            case Say() | Spoken():
                return piece.text
            case GatherDigits():
                self._is_gathering = True
                return piece.prompt
            case Expect():
                self._wait_s = piece.expectation.silence_s
            case ToolUsed():
                outcome.tools.append(piece)
            case EndCall():
                outcome.ends = piece.reason
            case Transfer():
                outcome.transfers = piece.to
            case SwitchLanguage():
                self._language = piece.language
            case _:
                pass
        return ""

    def _since_ms(self, begun_s: float) -> float:
        return round((self._now_s() - begun_s) * 1000, 1)

    async def aclose(self) -> None:
        """End the conversation."""
        await self._conversation.aclose()
