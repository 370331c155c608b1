"""PURE. The offline dialogue as its owner writes it: `deploy/agents/flows/*.yaml`, or in an agent.

What a flow does is told in `services/agent/providers/offline/flow.py`; here is how it is written,
and what must hold of one: every step that something leads to exists, every phrase is made of words
that the recogniser can hear, every step can be reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from services.agent.agents.faults import FieldPath, Problem, did_you_mean
from services.agent.agents.file import Name, Part, Seconds, Texts
from services.agent.agents.plain_words import problems_of
from services.agent.agents.template import unknown_names
from services.agent.providers.offline import flow as script

_PHRASE = re.compile(r"[a-z0-9']+( [a-z0-9']+)*")
_VARIABLES = frozenset(("digits", "spoken_digits"))


def _word(value: Any) -> Any:
    """Take a key of the keypad for the text it is, though it looks like a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ThenPart(Part):
    """What follows an answer: exactly one of these. In short: stay, repeat or hang_up.

    Attributes:
        goto: a step; its prompt follows.
        clear_number: the same, and the number collected is forgotten.
        hang_up: the call ends, for this reason in the record.
        transfer: the caller is handed over, after these words, when there is somebody; else the
            answer (`say`) is given, and should say that there is not.
        to: of `transfer`: a name of the agent's transfer numbers; empty: `operator`, or the first.
    """

    stay: Literal[True] | None = None
    repeat: Literal[True] | None = None
    goto: Name | None = None
    clear_number: Name | None = None
    hang_up: str | None = None
    transfer: Texts | None = None
    to: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        short = {"stay": True, "repeat": True, "hang_up": "goodbye"}
        if isinstance(value, str):
            if value not in short:
                known = (*short, "goto", "clear_number", "transfer")
                raise ValueError(
                    f"{value!r} is nothing that can follow{did_you_mean(value, known)}"
                )
            return {value: short[value]}
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> ThenPart:
        if len(self.model_fields_set - {"to"}) != 1:
            raise ValueError("should hold exactly one of goto, clear_number, hang_up, transfer")
        if self.to is not None and self.transfer is None:
            raise ValueError("`to` belongs to transfer")
        return self

    def make(self) -> script.Then:
        """The step's end as the flow knows it."""
        if self.goto is not None:
            return script.Goto(self.goto)
        if self.clear_number is not None:
            return script.ClearNumber(self.clear_number)
        if self.hang_up is not None:
            return script.HangUp(self.hang_up)
        if self.transfer is not None:
            return script.ToOperator(self.transfer, self.to or "")
        return script.Repeat() if self.repeat else script.Stay()


class IntentPart(Part):
    """Something the caller may want. `unknown` is said where a variable of `say` has no value."""

    phrases: Texts
    say: Texts = ()
    unknown: Texts = ()
    then: ThenPart = ThenPart(stay=True)
    key: Annotated[str, BeforeValidator(_word), Field(pattern=r"^[0-9*#]{0,4}$")] = ""

    def make(self, name: str) -> script.Intent:
        """The intent as the flow knows it."""
        then = self.then.make()
        return script.Intent(name, self.phrases, self.say, self.unknown, then, self.key)


class DigitsPart(Part):
    """A number is collected at this step, then the flow goes to `then`."""

    then: Name
    least: int = Field(1, ge=1, le=64)
    enough: int | None = Field(None, ge=1, le=64)
    most: int = Field(15, ge=1, le=64)
    more: Texts = ("Go on.", "Yes?")
    too_few: Texts = ("That seems too short. Please go on, or press star to start again.",)

    def make(self) -> script.Digits:
        """The rule as the flow knows it."""
        enough = self.most if self.enough is None else self.enough
        return script.Digits(self.then, self.least, enough, self.most, self.more, self.too_few)


class StepPart(Part):
    """A place in the conversation. `prompt` is said on the way in."""

    prompt: Texts
    intents: dict[Name, IntentPart] = Field(default_factory=dict)
    no_input: Texts = ("Are you still there?",)
    no_match: Texts = ("Sorry, I did not understand that.",)
    digits: DigitsPart | None = None

    def make(self, name: str) -> script.Step:
        """The step as the flow knows it."""
        intents = tuple(intent.make(key) for key, intent in self.intents.items())
        digits = self.digits.make() if self.digits else None
        return script.Step(name, self.prompt, intents, self.no_input, self.no_match, digits)


class FlowPart(Part):
    """A whole flow; the first of its steps is where a call begins.

    `name` should change when a call that is going on could not continue in the new version.
    `greeting` gives way to the agent's own, where that has one.
    """

    name: Name | None = None
    greeting: Texts = ()
    welcome_back: Texts = ("Sorry, I was away for a moment.",)
    steps: dict[Name, StepPart] = Field(min_length=1)
    common: dict[Name, IntentPart] = Field(default_factory=dict)
    farewell: Texts = ("I cannot hear you, so I will hang up now. Goodbye!",)
    keypad: Name | None = None
    most_silences: int = Field(3, ge=1, le=20)
    pause_s: Seconds = 3.0

    def make(self, *, default_name: str, greeting: str) -> script.Flow:
        """The flow to run."""
        return script.Flow(
            name=self.name or default_name,
            greeting=(greeting,) if greeting else self.greeting,
            welcome_back=self.welcome_back,
            steps=tuple(step.make(name) for name, step in self.steps.items()),
            common=tuple(intent.make(name) for name, intent in self.common.items()),
            farewell=self.farewell,
            keypad=self.keypad,
            most_silences=self.most_silences,
            pause_s=self.pause_s,
        )


def read_flow(
    data: Any, *, default_name: str, greeting: str = "", transfer: Mapping[str, str] | None = None
) -> tuple[script.Flow | None, list[Problem]]:
    """Read a flow from the data of its YAML.

    Args:
        data: as `read_document` gives it.
        default_name: the flow's name where it gives none.
        greeting: the agent's own; empty: the flow's.
        transfer: names of transfer numbers; None: not known here, so not looked at.

    Returns:
        The flow, None where there are problems; and the problems.
    """
    try:
        part = FlowPart.model_validate(data)
    except ValidationError as exc:
        return None, problems_of(exc, FlowPart)
    problems = [
        *_texts(part),
        *_targets(part),
        *_keys(part),
        *([] if greeting or part.greeting else [Problem(("greeting",), "is missing")]),
        *([] if transfer is None else _transfers(part, transfer)),
    ]
    if problems:
        return None, problems
    unreached = sorted(set(part.steps) - _reached(part))
    if unreached:
        return None, [Problem(("steps", name), "nothing leads to this step") for name in unreached]
    return part.make(default_name=default_name, greeting=greeting), []


def has_transfer(flow: script.Flow) -> bool:
    """Whether somewhere in a flow callers are handed over."""
    intents = (*flow.common, *(intent for step in flow.steps for intent in step.intents))
    return any(isinstance(intent.then, script.ToOperator) for intent in intents)


def _intents(part: FlowPart) -> Iterator[tuple[FieldPath, IntentPart]]:
    for name, intent in part.common.items():
        yield ("common", name), intent
    for step_name, step in part.steps.items():
        for name, intent in step.intents.items():
            yield ("steps", step_name, "intents", name), intent


def _texts(part: FlowPart) -> Iterator[Problem]:
    """Phrases that can be heard, texts whose variables exist."""
    spoken: list[tuple[FieldPath, tuple[str, ...]]] = [
        (("greeting",), part.greeting),
        (("welcome_back",), part.welcome_back),
        (("farewell",), part.farewell),
    ]
    for path, intent in _intents(part):
        if not intent.phrases:
            yield Problem((*path, "phrases"), "is empty")
        for place, phrase in enumerate(intent.phrases):
            if not _PHRASE.fullmatch(phrase):
                reason = f"{phrase!r} should be words in small letters with single spaces, no signs"
                yield Problem((*path, "phrases", place), reason)
        spoken += [((*path, "say"), intent.say), ((*path, "unknown"), intent.unknown)]
        spoken += [((*path, "then", "transfer"), intent.then.transfer or ())]
    for name, step in part.steps.items():
        path = ("steps", name)
        for key, texts in (
            ("prompt", step.prompt),
            ("no_input", step.no_input),
            ("no_match", step.no_match),
        ):
            if not texts:
                yield Problem((*path, key), "is empty")
            spoken.append(((*path, key), texts))
    for path, texts in spoken:
        for place, text in enumerate(texts):
            for reason in unknown_names(text, _VARIABLES):
                yield Problem((*path, place), reason)


def _targets(part: FlowPart) -> Iterator[Problem]:
    """Steps that are named, and numbers that are possible."""

    def lost(path: FieldPath, target: str) -> Problem:
        return Problem(path, f"there is no step {target!r}{did_you_mean(target, part.steps)}")

    for path, intent in _intents(part):
        for key in ("goto", "clear_number"):
            target = getattr(intent.then, key)
            if target is not None and target not in part.steps:
                yield lost((*path, "then", key), target)
    for name, step in part.steps.items():
        rule, path = step.digits, ("steps", name, "digits")
        if rule is None:
            continue
        if rule.then not in part.steps:
            yield lost((*path, "then"), rule.then)
        if not rule.least <= (rule.enough or rule.most) <= rule.most:
            yield Problem(path, "should have least <= enough <= most")
    if part.keypad is not None:
        if part.keypad not in part.steps:
            yield lost(("keypad",), part.keypad)
        elif part.steps[part.keypad].digits is None:
            yield Problem(("keypad",), f"step {part.keypad!r} collects no digits")


def _keys(part: FlowPart) -> Iterator[Problem]:
    """No key, and no phrase, that means two things among a step's intents or the common ones."""
    groups: list[tuple[FieldPath, Mapping[str, IntentPart]]] = [(("common",), part.common)]
    groups += [(("steps", name, "intents"), step.intents) for name, step in part.steps.items()]
    for path, intents in groups:
        keys: dict[str, str] = {}
        phrases: dict[str, str] = {}
        for name, intent in intents.items():
            if intent.key and keys.setdefault(intent.key, name) != name:
                reason = f"{intent.key} is the key of {keys[intent.key]!r} already"
                yield Problem((*path, name, "key"), reason)
            for place, phrase in enumerate(intent.phrases):
                if phrases.setdefault(phrase, name) != name:
                    reason = f"{phrase!r} is a phrase of {phrases[phrase]!r} already"
                    yield Problem((*path, name, "phrases", place), reason)


def _transfers(part: FlowPart, known: Mapping[str, str]) -> Iterator[Problem]:
    for path, intent in _intents(part):
        to = intent.then.to
        if to is not None and to not in known:
            reason = f"there is no {to!r} in the agent's transfer numbers{did_you_mean(to, known)}"
            yield Problem((*path, "then", "to"), reason)


def _reached(part: FlowPart) -> set[str]:
    """The steps that a call can come to."""
    everywhere = [intent.then for intent in part.common.values()]
    seen: set[str] = set()
    waiting = [next(iter(part.steps)), *([part.keypad] if part.keypad else [])]
    waiting += [then.goto or then.clear_number or "" for then in everywhere]
    while waiting:
        name = waiting.pop()
        if name and name not in seen:
            seen.add(name)
            step = part.steps[name]
            ends = [intent.then for intent in step.intents.values()]
            waiting += [then.goto or then.clear_number or "" for then in ends]
            waiting += [step.digits.then] if step.digits else []
    return seen
