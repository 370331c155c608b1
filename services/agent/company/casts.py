"""The agents of this worker, ready to take calls: made at the start, made anew when files change.

Calls keep the cast they began with. What a new version replaces is let go of when its last call is
over; a version that can't be made leaves the old one in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.agent.agents.library import Library
from services.agent.agents.load import Agent
from services.agent.company.cast import Cast
from services.agent.company.casting import Production
from services.agent.providers.errors import ProviderError
from services.agent.tools.base import ToolUnusable
from shared.protocol.live import ShownAgent
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_CHANGES = 256
_MADE_AT_ONCE = 8
_SHOWN_CHARS = 300

Produce = Callable[[Agent], Awaitable[Production]]


class Casts:
    """See Company.

    Args:
        library: the agents' files.
        produce: makes one ready.
    """

    def __init__(self, library: Library, produce: Produce) -> None:
        self._library = library
        self._produce = produce
        self._ready: dict[str, Production] = {}
        self._calls: dict[Cast, int] = {}
        self._retired: dict[Cast, Production] = {}
        self._owner = TaskOwner("casts")
        self._changes: asyncio.Queue[tuple[Agent | None, Agent | None]] = asyncio.Queue(_CHANGES)

    async def open(self) -> None:
        """Make every agent ready, and begin to follow the files.

        An agent that can't be made is left out, but not the default one.

        Raises:
            ProviderError, ToolUnusable: the default agent can't be made.
        """
        gate = asyncio.Semaphore(_MADE_AT_ONCE)
        agents = self._library.agents
        failures = await asyncio.gather(*(self._first(agent, gate) for agent in agents))
        for agent, failure in zip(agents, failures, strict=True):
            if failure is None:
                continue
            if agent is self._library.default:
                raise failure
            _log.error("agent_left_out", agent=agent.file.name, error=str(failure))
        self._library.listen(self._on_change)
        self._owner.start(self._library.watch(), name="watch")
        self._owner.start(self._follow(), name="follow")

    async def _first(
        self, agent: Agent, gate: asyncio.Semaphore
    ) -> ProviderError | ToolUnusable | None:
        """Make an agent ready, beside others: a vendor that hangs holds up its own agents alone."""
        async with gate:
            try:
                self._ready[agent.file.name] = await self._produce(agent)
            except (ProviderError, ToolUnusable) as exc:
                return exc
        return None

    @property
    def names(self) -> list[str]:
        """The agents that can take calls."""
        return sorted(self._ready)

    def shown(self) -> list[ShownAgent]:
        """Return those that can take calls, by name."""
        casts = [self._ready[name].cast for name in self.names]
        return [
            ShownAgent(
                cast.file.name, cast.version, cast.file.language, cast.file.greeting[:_SHOWN_CHARS]
            )
            for cast in casts
        ]

    # --- calls -------------------------------------------------------------------------------

    def choose(self, asked: str, called_number: str) -> Cast:
        """Return who takes a call; see Library.choose."""
        name = self._library.choose(asked, called_number).file.name
        found = self._ready.get(name) or self._ready[self._library.default.file.name]
        return found.cast

    def enter(self, cast: Cast) -> None:
        """A call begins with this cast."""
        self._calls[cast] = self._calls.get(cast, 0) + 1

    def leave(self, cast: Cast) -> None:
        """A call with this cast is over."""
        self._calls[cast] -= 1
        if self._calls[cast] == 0:
            del self._calls[cast]
            retired = self._retired.pop(cast, None)
            if retired is not None and not self._owner.is_stopping:
                self._owner.start(retired.aclose(), name="retire")

    # --- changes -----------------------------------------------------------------------------

    def _on_change(self, old: Agent | None, new: Agent | None) -> None:
        try:
            self._changes.put_nowait((old, new))
        except asyncio.QueueFull:
            _log.error("agent_changes_lost", waiting=_CHANGES)

    async def _follow(self) -> None:
        while True:
            old, new = await self._changes.get()
            if new is None:
                if old is not None:
                    await self._replace(old.file.name, None)
                continue
            try:
                production = await self._produce(new)
            except (ProviderError, ToolUnusable) as exc:
                _log.error("agent_not_replaced", agent=new.file.name, error=str(exc))
                continue
            await self._replace(new.file.name, production)
            _log.info("agent_ready", agent=new.file.name, version=new.version)

    async def _replace(self, name: str, production: Production | None) -> None:
        before = self._ready.pop(name, None)
        if production is not None:
            self._ready[name] = production
        if before is None:
            return
        if before.cast in self._calls:
            self._retired[before.cast] = before
        else:
            await before.aclose()

    async def aclose(self) -> None:
        """Follow the files no more, and let go of everything."""
        await self._owner.stop()
        for production in (*self._ready.values(), *self._retired.values()):
            await production.aclose()
        self._ready.clear()
        self._retired.clear()
