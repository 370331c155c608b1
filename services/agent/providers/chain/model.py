"""A chain of language models, to its user one LanguageModel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from services.agent.providers.base import (
    ChatMessage,
    LanguageDelta,
    LanguageModel,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from services.agent.providers.chain.asking import pieces_of
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers, Chain, Link
from services.agent.providers.chain.seam import Seam
from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.warmth import warm
from shared.runtime.tasks import closing

_GO_ON = (
    "(The line broke while you were speaking. Go on with your last answer from exactly where it "
    "stops. Repeat nothing of it and don't mention the break.)"
)
"""From the user: many servers accept a system message at the beginning alone."""


class FallbackModel:
    """The first model that answers.

    A model that breaks off within a text is followed by the next one, which is told what was said
    and asked to go on from there. After a tool call nothing is asked again: it may have been done.
    """

    def __init__(
        self, links: Sequence[Link[LanguageModel]], limits: ChainLimits, breakers: Breakers
    ) -> None:
        self._chain = Chain("llm", links, limits, breakers)

    async def warm(self) -> None:
        """See Warmable; the first of the chain."""
        await warm(self._chain.links[0].part)

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        """See LanguageModel; raises the last model's error when all have failed."""
        said = ""
        has_called = False
        failure: ProviderError | None = None
        for link in self._chain.usable():
            seam = Seam(said)
            asked = _going_on(messages, seam.told) if said else messages
            try:
                async with closing(self._ask(link, asked, tools)) as deltas:
                    async for delta in deltas:
                        text = _joined(seam, delta)
                        if text:
                            said += text
                            yield TextDelta(text)
                        has_called = has_called or isinstance(delta, ToolCall)
                        if not isinstance(delta, TextDelta):
                            yield self._counted(link, delta)
                if text := seam.flush():
                    yield TextDelta(text)
                return
            except ProviderError as exc:
                if has_called:
                    raise
                failure = exc
        assert failure is not None, "a chain asks one link at least"
        raise failure

    def _ask(
        self,
        link: Link[LanguageModel],
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSpec],
    ) -> AsyncIterator[LanguageDelta]:
        def ask(model: LanguageModel) -> AsyncIterator[LanguageDelta]:
            return _some(link.name, model, messages, tools)

        limits = self._chain.limits
        return pieces_of(self._chain, link, ask, first_s=limits.first_s, next_s=limits.next_s)

    def _counted(self, link: Link[LanguageModel], delta: LanguageDelta) -> LanguageDelta:
        if not isinstance(delta, Usage):
            return delta
        labels = ("llm", link.name, delta.unit)
        self._chain.metrics.usage.labels(*labels).inc(delta.amount)
        return replace(delta, provider=link.name)


def _joined(seam: Seam, delta: LanguageDelta) -> str:
    return seam.push(delta.text) if isinstance(delta, TextDelta) else seam.flush()


async def _some(
    name: str,
    model: LanguageModel,
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolSpec],
) -> AsyncIterator[LanguageDelta]:
    """Yield a model's answer; one without a word or a call is no answer."""
    has_some = False
    async with closing(model.stream(messages, tools)) as deltas:
        async for delta in deltas:
            has_some = has_some or not isinstance(delta, Usage)
            yield delta
    if not has_some:
        raise ProviderFailed(name, "an empty answer", FailureCause.GARBAGE)


def _going_on(messages: Sequence[ChatMessage], told: str) -> Sequence[ChatMessage]:
    if not told:
        return messages
    return [*messages, ChatMessage("assistant", told), ChatMessage("user", _GO_ON)]
