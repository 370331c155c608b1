"""PURE. What came of a scripted conversation, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.agent.providers.base import ToolUsed


@dataclass(slots=True)
class Outcome:
    """What the agent did in one turn.

    Attributes:
        said: all its words.
        tools: what it used.
        language: what is spoken after it.
        first_ms: until its first words were there; None: it said nothing.
        total_ms: until all was there.
        ends: why it ended the call, None when it did not.
        transfers: the number it handed the caller to, None when it did not.
        error: what broke, None when nothing did.
    """

    said: str = ""
    tools: list[ToolUsed] = field(default_factory=list)
    language: str = ""
    first_ms: float | None = None
    total_ms: float = 0.0
    ends: str | None = None
    transfers: str | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the agent has given the call away."""
        return self.ends is not None or self.transfers is not None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that was expected, and what came instead."""

    expected: str
    came: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A turn, what came of it, and what is wrong with that."""

    what: str
    outcome: Outcome
    faults: list[Fault]


@dataclass(slots=True)
class ScenarioResult:
    """A conversation that was run; cut short where the call ended before its script."""

    name: str
    turns: list[Judged] = field(default_factory=list)

    @property
    def is_passed(self) -> bool:
        """Whether no turn has a fault."""
        return not any(turn.faults for turn in self.turns)
