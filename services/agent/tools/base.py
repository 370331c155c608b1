"""The seam between a dialogue and the tools of its agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from services.agent.providers.base import CallFacts, Piece, ToolSpec

Outcome: TypeAlias = Literal["ok", "failed", "refused", "timeout"]


class ToolUnusable(ValueError):
    """A tool cannot be made as the agent's file states it; the text says why, for its owner."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the conversation that uses it.

    Attributes:
        call: the call's facts.
        language: what is spoken now.
        has_spoken: whether the answer that uses the tool has said something already.
        variables: the conversation's own, see Conversation.
    """

    call: CallFacts
    language: str
    has_spoken: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool.

    Attributes:
        text: for the model to read; never holds a secret.
        pieces: for the call, in order.
        ends_reply: the model is not asked to go on.
    """

    text: str
    pieces: tuple[Piece, ...] = ()
    ends_reply: bool = False
    outcome: Outcome = "ok"


class Tool(Protocol):
    """One tool of an agent, shared by all its calls."""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told of it."""
        ...

    @property
    def acts(self) -> bool:
        """Whether a use changes the world: never on a guess, never twice."""
        ...

    @property
    def timeout_s(self) -> float:
        """The longest a use may take; the holder of the tool sees to it."""
        ...

    @property
    def filler(self) -> str | None:
        """What is said while it works; None: one of the agent's; empty: nothing."""
        ...

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Use it.

        Args:
            arguments: fit the schema of `spec`.
            context: of the conversation.

        Any exception is a failure of the tool and concerns this use alone. Cancelling the wait
        ends the work where it can be ended.
        """
        ...

    async def aclose(self) -> None:
        """Free what the tool holds; may be called twice."""
        ...
