"""Who a speech brain is to be: an agent's prompt, greeting and tools, without its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.agent.providers.base import CallFacts, Confirmation, Piece, ToolCall, ToolSpec


class ToolRunner(Protocol):
    """Runs the tools that the model calls, for one conversation."""

    async def __call__(
        self, call: ToolCall, confirmation: Confirmation
    ) -> tuple[str, Sequence[Piece]]:
        """Run one, once it may be run.

        Returns:
            what the model is told of it, and what becomes of it for the call (EndCall, Transfer,
            ToolUsed and the like), in order.

        A tool that fails says so in its text; it raises nothing of its own.
        """
        ...


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the brain is to be.

    Attributes:
        instructions: the prompt, filled in for a call.
        greeting: what is said first; empty: the caller speaks first.
        tools: what may be called.
        open_tools: makes the runner of one call's tools.
    """

    instructions: Callable[[CallFacts], str]
    greeting: Callable[[CallFacts], str]
    tools: tuple[ToolSpec, ...] = ()
    open_tools: Callable[[CallFacts], ToolRunner] | None = None
