"""One call's dialogue: replies read piece by piece, one at a time, some begun on a guess."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from services.agent.call.lane import Lane
from services.agent.providers import base
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import ProviderError
from services.agent.turn import events as ev
from shared.runtime.tasks import TaskOwner, closing


@dataclass(slots=True)
class _Asked:
    """The newest question, and the state to go back to when it turns out not to have been one."""

    generation: int
    confirmation: ReplyConfirmation
    before: Mapping[str, str]
    has_begun: bool = False


class Wits:
    """Thinks for one call.

    Args:
        conversation: the dialogue.
        owner: of the tasks.
        on_event: takes the pieces.
        on_failed: told of each failure of the brain.
        on_full: called when too many replies wait.
        piece_timeout_s: the longest wait for the next piece; a backstop behind the brain's own.
    """

    def __init__(
        self,
        conversation: base.Conversation,
        owner: TaskOwner,
        *,
        on_event: Callable[[ev.Event], None],
        on_failed: Callable[[Exception], None],
        on_full: Callable[[], None],
        piece_timeout_s: float,
    ) -> None:
        self._conversation = conversation
        self._lane = Lane(owner, "brain", on_full=on_full)
        self._on_event = on_event
        self._on_failed = on_failed
        self._piece_timeout_s = piece_timeout_s
        self._asked: _Asked | None = None
        self._has_spoken = False

    @property
    def variables(self) -> Mapping[str, str]:
        """The dialogue's state."""
        return self._conversation.variables

    @property
    def settled_variables(self) -> Mapping[str, str]:
        """The dialogue's state, an answer to a mere guess left out: for a snapshot."""
        asked = self._asked
        if asked is not None and asked.has_begun and not asked.confirmation.is_given:
            return asked.before
        return self._conversation.variables

    def greet(
        self, generation: int, *, otherwise: Callable[[], base.Conversation] | None = None
    ) -> None:
        """Have the first words thought; by another dialogue when this one can't even begin."""
        self._lane.add(generation, lambda: self._greet(generation, otherwise))

    def ask(self, action: ev.Ask) -> None:
        """Have an answer thought."""
        confirmation = ReplyConfirmation(is_given=not action.is_speculative)
        asked = _Asked(action.generation, confirmation, self._conversation.variables)
        self._asked = asked

        def reply() -> AsyncIterator[base.Piece]:
            asked.before, asked.has_begun = self._conversation.variables, True
            return self._conversation.reply(action.heard, action.history, confirmation)

        self._lane.add(
            action.generation,
            lambda: self._read(action.generation, reply),
            # A digit changes what the dialogue has collected, whatever becomes of the answer.
            keeps=isinstance(action.heard, base.Digit),
        )

    def confirm(self, generation: int) -> None:
        """An answer that was begun on a guess is wanted."""
        if self._asked is not None and self._asked.generation == generation:
            self._asked.confirmation.give()

    def abandon(self, generation: int, *, rewinds: bool) -> None:
        """Stop thinking about this generation and all before it; see Abandon."""
        self._lane.abandon(generation)
        asked = self._asked
        if rewinds and asked is not None and asked.generation == generation and asked.has_begun:
            # In the lane: after the reply that is being cancelled, before any other.
            self._lane.add(generation, lambda: self._take_back(asked.before), keeps=True)

    async def _take_back(self, variables: Mapping[str, str]) -> None:
        self._conversation.rewind(variables)

    async def _greet(
        self, generation: int, otherwise: Callable[[], base.Conversation] | None
    ) -> None:
        """Read the first words; a dialogue that has none gives way to another, if there is one."""
        error = await self._pieces(generation, self._conversation.greet)
        if error is not None and otherwise is not None and not self._has_spoken:
            self._on_failed(error)
            await self._conversation.aclose()
            self._conversation = otherwise()
            error = await self._pieces(generation, self._conversation.greet)
        self._on_read(generation, error)

    async def _read(self, generation: int, reply: Callable[[], AsyncIterator[base.Piece]]) -> None:
        self._on_read(generation, await self._pieces(generation, reply))

    def _on_read(self, generation: int, error: Exception | None) -> None:
        if error is not None:
            self._on_failed(error)
            self._on_event(ev.ReplyFailed(generation))
        else:
            self._on_event(ev.ReplyRead(generation))

    async def _pieces(
        self, generation: int, reply: Callable[[], AsyncIterator[base.Piece]]
    ) -> Exception | None:
        """Hand on a reply's pieces; return what broke it off."""
        try:
            async with closing(reply()) as pieces:
                while True:
                    async with asyncio.timeout(self._piece_timeout_s):
                        piece = await anext(pieces, None)
                    if piece is None:
                        return None
                    self._has_spoken = True
                    self._on_event(ev.ReplyPiece(generation, piece))
        except (ProviderError, TimeoutError) as exc:
            return exc

    async def aclose(self) -> None:
        """Let go of the dialogue."""
        await self._conversation.aclose()
