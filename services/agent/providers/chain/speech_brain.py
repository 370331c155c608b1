"""A speech-to-speech provider behind a breaker, so that a call can do without it at once.

There is nobody to take over within a call: its ear and its voice are one connection. But a call
whose provider can't be reached learns that before anybody has spoken, and calls after it don't
try: `open` raises ProviderUnavailable, and the classic three are opened instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from services.agent.providers.base import (
    CallFacts,
    Confirmation,
    Conversation,
    Heard,
    Message,
    Piece,
    SpeechBrain,
    TranscriberStream,
    Usage,
)
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers, Chain, Link
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.runtime.tasks import closing


class GuardedSpeech:
    """A SpeechBrain whose failures are counted and remembered."""

    def __init__(self, link: Link[SpeechBrain], limits: ChainLimits, breakers: Breakers) -> None:
        self._chain = Chain("realtime", [link], limits, breakers)
        self._link = link

    def open(
        self, call: CallFacts, variables: Mapping[str, str]
    ) -> tuple[Conversation, TranscriberStream]:
        """See SpeechBrain.

        The conversation's `greet` raises ProviderError within `first_s` when there is no
        connection by then; nothing has been said, so the call may begin with others.

        Raises:
            ProviderUnavailable: it has failed too often of late, or for good.
        """
        name = self._link.name
        breaker = self._chain.breaker(self._link)
        if not breaker.permits(self._chain.now_s()):
            self._chain.metrics.fallbacks.labels("realtime", name).inc()
            raise ProviderUnavailable(name, "left alone for a while", FailureCause.UNREACHABLE)
        try:
            conversation, ear = self._link.part.open(call, variables)
        except ProviderError as exc:
            self._chain.attempt(self._link).on_failure(exc)
            raise ProviderUnavailable(name, exc.detail, exc.cause) from exc
        # How it goes is known when it greets or replies; until then other calls may try as well.
        self._chain.attempt(self._link).on_abandoned()
        return _GuardedConversation(conversation, self._chain, self._link), ear


class _GuardedConversation:
    """A conversation whose replies are measured."""

    def __init__(
        self, conversation: Conversation, chain: Chain[SpeechBrain], link: Link[SpeechBrain]
    ) -> None:
        self._conversation = conversation
        self._chain = chain
        self._link = link

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation."""
        return self._conversation.variables

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation."""
        self._conversation.rewind(variables)

    def greet(self) -> AsyncIterator[Piece]:
        """See Conversation."""
        return self._measured(self._conversation.greet(), first_s=self._chain.limits.first_s)

    def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """See Conversation; a tool may take its time, so the first piece is not bounded here."""
        return self._measured(self._conversation.reply(heard, history, confirmation), first_s=None)

    async def aclose(self) -> None:
        """See Conversation."""
        await self._conversation.aclose()

    async def _measured(
        self, pieces: AsyncIterator[Piece], *, first_s: float | None
    ) -> AsyncIterator[Piece]:
        wait_s = first_s
        with self._chain.attempt(self._link) as attempt:
            async with closing(pieces):
                while True:
                    try:
                        async with asyncio.timeout(wait_s):
                            piece = await anext(pieces, None)
                    except TimeoutError as exc:
                        raise ProviderTimeout(self._link.name, "no connection in time") from exc
                    if piece is None:
                        return
                    attempt.on_piece()
                    wait_s = None
                    if isinstance(piece, Usage):
                        labels = (piece.kind, self._link.name, piece.unit)
                        self._chain.metrics.usage.labels(*labels).inc(piece.amount)
                    yield piece
