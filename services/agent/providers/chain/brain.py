"""A chain of brains, to its user one Brain: a language model's, and a flow that needs nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from services.agent.providers.base import (
    Brain,
    CallFacts,
    Confirmation,
    Conversation,
    EndCall,
    Heard,
    Message,
    Piece,
    Say,
    Spoken,
    Transfer,
)
from services.agent.providers.chain.asking import close_quietly
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Attempt, Breakers, Chain, Link
from services.agent.providers.errors import ProviderError, ProviderUnavailable
from shared.runtime.tasks import closing

_ACTIVE = "chain_brain"
"""The variable that says whose variables they are; absent: the first brain's."""


class FallbackBrain:
    """The first brain that answers.

    Each turn begins with the first again, unless its breaker is open. How long a brain may think
    is not judged here: its model and its tools have their limits.
    """

    def __init__(
        self, links: Sequence[Link[Brain]], limits: ChainLimits, breakers: Breakers
    ) -> None:
        self._chain = Chain("brain", links, limits, breakers)

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> FallbackConversation:
        """See Brain; raises ProviderUnavailable when none can be opened."""
        return FallbackConversation(self._chain, call, variables)


class FallbackConversation:
    """One call's dialogue over several brains; each is opened when it is first needed."""

    def __init__(self, chain: Chain[Brain], call: CallFacts, variables: Mapping[str, str]) -> None:
        self._chain = chain
        self._call = call
        self._opened: dict[Link[Brain], Conversation] = {}
        self._active = self._link_of(variables)
        self._variables = _without_mark(variables)
        self._open_first()

    def _open_first(self) -> None:
        failure: ProviderUnavailable | None = None
        active = self._active
        for link in (active, *(link for link in self._chain.links if link is not active)):
            try:
                self._conversation(link)
            except ProviderUnavailable as exc:
                self._chain.attempt(link).on_failure(exc)
                failure = exc
            else:
                self._active = link
                return
        assert failure is not None, "a chain has one link at least"
        raise failure

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation; those of the brain that answered last, with its name."""
        variables = self._opened[self._active].variables
        if self._active is self._chain.links[0]:
            return variables
        return {**variables, _ACTIVE: self._active.name}

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation."""
        self._active = self._link_of(variables)
        self._conversation(self._active).rewind(_without_mark(variables))

    async def greet(self) -> AsyncIterator[Piece]:
        """See Conversation. A greeting that breaks off after some words is left at that."""
        failure: ProviderError | None = None
        for link in self._chain.usable():
            turn = _Turn()
            try:
                async with closing(self._asked(link, turn, lambda one: one.greet())) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ProviderError as exc:
                if turn.said or turn.has_ended:
                    return
                failure = exc
        assert failure is not None, "a chain asks one link at least"
        raise failure

    async def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """See Conversation; raises the last brain's error when all have failed."""
        failure: ProviderError | None = None
        said: list[str] = []
        for link in self._chain.usable():
            turn = _Turn()
            known = [*history, Message("agent", " ".join(said))] if said else history

            def ask(one: Conversation, known: Sequence[Message] = known) -> AsyncIterator[Piece]:
                return one.reply(heard, known, confirmation)

            try:
                async with closing(self._asked(link, turn, ask)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ProviderError as exc:
                if turn.has_ended:
                    return
                said += turn.said
                failure = exc
        assert failure is not None, "a chain asks one link at least"
        raise failure

    async def aclose(self) -> None:
        """See Conversation."""
        while self._opened:
            _, conversation = self._opened.popitem()
            await close_quietly(conversation)

    async def _asked(
        self,
        link: Link[Brain],
        turn: _Turn,
        ask: Callable[[Conversation], AsyncIterator[Piece]],
    ) -> AsyncIterator[Piece]:
        with self._chain.attempt(link) as attempt:
            conversation = self._conversation(link)
            self._active = link
            async with closing(ask(conversation)) as pieces:
                async for piece in pieces:
                    turn.note(piece, attempt)
                    yield piece

    def _conversation(self, link: Link[Brain]) -> Conversation:
        """Return a brain's conversation, opened with the variables so far."""
        conversation = self._opened.get(link)
        if conversation is None:
            before = self._opened.get(self._active)
            variables = before.variables if before is not None else self._variables
            conversation = self._opened[link] = link.part.open(self._call, variables)
        return conversation

    def _link_of(self, variables: Mapping[str, str]) -> Link[Brain]:
        name = variables.get(_ACTIVE)
        return next((link for link in self._chain.links if link.name == name), self._chain.links[0])


class _Turn:
    """What a brain has said in one reply, and whether it has ended the call by it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.has_ended = False

    def note(self, piece: Piece, attempt: Attempt) -> None:
        """Take a piece into account."""
        if isinstance(piece, Say | Spoken):
            attempt.on_piece()
            if piece.text:
                self.said.append(piece.text)
        elif isinstance(piece, EndCall | Transfer):
            self.has_ended = True


def _without_mark(variables: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in variables.items() if name != _ACTIVE}
