"""PURE. Scripted conversations with an agent, and what is expected of it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from services.agent.agents.file import Language, Part
from shared.protocol.call import Direction


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from None
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_regex)]


class Said(Part):
    """Words of the agent: every pattern of `all_of`, one at least of `any_of`.

    Patterns are regular expressions, found anywhere, capitals or not. A text alone, or a list, is
    `all_of`.
    """

    all_of: tuple[Pattern, ...] = ()
    any_of: tuple[Pattern, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"all_of": [value]}
        return {"all_of": value} if isinstance(value, list) else value


class ToolExpected(Part):
    """A tool that is to be used. `arguments` are those that matter; others may be there.

    An argument written as `/.../` is a regular expression.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Within(Part):
    """Time budgets in milliseconds: until the first words, until the end of the answer."""

    first: float | None = Field(None, gt=0)
    total: float | None = Field(None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"first": value} if isinstance(value, int | float) else value


class Expected(Part):
    """What is expected of one turn of the agent. What is not stated may be as it likes.

    `ends` is the reason; an end that is not expected is a failure all the same, except after the
    last turn. `says_nothing`: not a word.
    """

    says: Said | None = None
    not_says: Said | None = None
    says_nothing: bool = False
    tool: ToolExpected | None = None
    no_tool: bool = False
    ends: str | None = None
    transfers: str | None = None
    language: Language | None = None
    within_ms: Within | None = None


class Interruption(Part):
    """The caller speaks when so many words of the agent's last answer were heard."""

    after_words: int = Field(ge=0)
    say: str = Field(min_length=1)


class Turn(Part):
    """One turn of the caller: words, keys, silence, or words over the agent's."""

    say: str | None = Field(None, min_length=1)
    press: str | None = Field(None, pattern=r"^[0-9*#]{1,64}$")
    silence: bool = False
    interrupt: Interruption | None = None
    expect: Expected = Expected()

    @model_validator(mode="after")
    def _is_one(self) -> Turn:
        given = [self.say is not None, self.press is not None, self.silence]
        if sum(given) + (self.interrupt is not None) != 1:
            raise ValueError("a turn is one of say, press, silence: true, interrupt")
        return self

    def __str__(self) -> str:
        if self.say is not None:
            return f'say "{self.say}"'
        if self.press is not None:
            return f"press {self.press}"
        if self.interrupt is not None:
            return f'interrupt at {self.interrupt.after_words} "{self.interrupt.say}"'
        return "silence"


class Scenario(Part):
    """One conversation.

    Attributes:
        tools: what tools give back instead of being used, by name.
        greeting: what is expected of the agent's first words.
    """

    name: str = Field(min_length=1, max_length=200)
    direction: Direction = Direction.INBOUND
    from_number: str = "+918000000001"
    to_number: str = "+918000000002"
    metadata: dict[str, str] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    language: Language | None = None
    tools: dict[str, Any] = Field(default_factory=dict)
    greeting: Expected = Expected()
    turns: tuple[Turn, ...] = Field(min_length=1)


class Scenarios(Part):
    """A whole file. `within_ms` holds for every turn that has none of its own."""

    within_ms: Within | None = None
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
