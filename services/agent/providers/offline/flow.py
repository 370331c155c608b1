"""PURE. A scripted Brain: steps, expected phrases, digits, and what to do about silence.

A flow is data (`deploy/agents/flows/`). At each step the agent expects certain phrases; they make
the recogniser's grammar, so what is understood is exactly what the flow can answer. Free text, of
another recogniser or a terminal, is matched to the nearest phrase where it is near enough.

All state is in a conversation's `variables`, texts only, so that another worker can go on with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from services.agent.providers import base
from services.agent.providers.base import (
    CallFacts,
    Confirmation,
    Digit,
    EndCall,
    Expect,
    Expectation,
    Heard,
    Message,
    Piece,
    Say,
    Silence,
    Transfer,
    Words,
)

# --- what a flow is made of ---------------------------------------------------------------------

Texts: TypeAlias = tuple[str, ...]
"""Ways to say one thing, used in turn. `{name}` is replaced by that variable, `{variables.x}`,
`{metadata.x}`, `{call.from}`, `{call.to}` and `{call.id}` by what is known of the call."""


@dataclass(frozen=True, slots=True)
class Goto:
    """Go to another step after the answer; its prompt follows."""

    step: str


@dataclass(frozen=True, slots=True)
class Stay:
    """Stay, and wait for what the caller says next."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Say the last thing again."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call after the answer."""

    reason: str = "goodbye"


@dataclass(frozen=True, slots=True)
class ToOperator:
    """Transfer the caller when there is somebody; else the answer says that there is not.

    `to` is a name of the agent's transfer numbers; empty: the operator.
    """

    found: Texts
    to: str = ""


@dataclass(frozen=True, slots=True)
class ClearNumber:
    """Forget the digits collected, then go to a step."""

    step: str


Then: TypeAlias = Goto | Stay | Repeat | HangUp | ToOperator | ClearNumber


@dataclass(frozen=True, slots=True)
class Intent:
    """Something the caller may want: how they say it (or key it), the answer, what comes then.

    `unknown` is said instead where the answer names a variable that has no value yet.
    """

    name: str
    phrases: Texts
    say: Texts = ()
    unknown: Texts = ()
    then: Then = field(default_factory=Stay)
    key: str = ""


@dataclass(frozen=True, slots=True)
class Digits:
    """Collect a number at this step, spoken or keyed, until `#`, a pause, or enough of it.

    `*` begins again; one digit and a pause is the key of an intent, where there is such. A spoken
    group that makes fewer than `least` digits in all is answered by `more`; with `enough` spoken,
    or `most` keyed, no pause is waited for. Then the flow goes to step `then`, with the number in
    the variables `digits` and `spoken_digits`.
    """

    then: str
    least: int
    enough: int
    most: int
    more: Texts
    too_few: Texts


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the conversation. Its own intents come before the flow's common ones."""

    name: str
    prompt: Texts
    intents: tuple[Intent, ...]
    no_input: Texts
    no_match: Texts
    digits: Digits | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole script.

    Attributes:
        name: with a version; variables of another name begin anew.
        greeting: said first, then the first step waits (its prompt is not said).
        welcome_back: said first by a worker that goes on with a call.
        steps: the first one is where the call begins.
        common: intents of every step.
        keypad: the step that a digit goes to where the present step has no use for it.
        farewell: said before hanging up on a caller who stays silent.
        most_silences: silences in a row until then.
        pause_s: the pause that ends a number being keyed.
    """

    name: str
    greeting: Texts
    welcome_back: Texts
    steps: tuple[Step, ...]
    common: tuple[Intent, ...]
    farewell: Texts
    keypad: str | None = None
    most_silences: int = 3
    pause_s: float = 3.0

    def step(self, name: str) -> Step:
        """Return a step by name.

        Raises:
            KeyError: there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def intents(self, step: Step) -> tuple[Intent, ...]:
        """Return what can be meant at a step, its own intents first."""
        return (*step.intents, *self.common)


# --- understanding ------------------------------------------------------------------------------

_NAME = re.compile(r"{([A-Za-z_][\w.-]*)}")
_WORD = re.compile(r"[a-z0-9']+")
_FILLERS = frozenset(("uh", "um", "er", "hm", "well", "so", "okay", "ok", "please", "just", "and"))
_NEAR_ENOUGH = 0.82
_DIGIT_WORDS = {
    word: str(digit)
    for digit, words in enumerate(
        ("zero oh o nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    )
    for word in words.split()
}
_DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TIMES = {"double": 2, "triple": 3}


def normalise(text: str) -> str:
    """Return lower-case words with single spaces, small filling words and signs left out."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    return " ".join([word for word in words if word not in _FILLERS] or words)


def find_intent(text: str, intents: Sequence[Intent]) -> Intent | None:
    """Return what a text means: the same words, a phrase within it, or the nearest phrase."""
    said = normalise(text)
    if not said:
        return None
    phrases = {normalise(p): intent for intent in reversed(intents) for p in intent.phrases}
    if said in phrases:
        return phrases[said]
    within = [p for p in phrases if " " in p and f" {p} " in f" {said} "]
    if within:
        return phrases[max(within, key=len)]
    near = difflib.get_close_matches(said, phrases, n=1, cutoff=_NEAR_ENOUGH)
    return phrases[near[0]] if near else None


def read_digits(text: str) -> str:
    """Return the digits in a text: figures, and words like "one two oh double five"."""
    digits, times = "", 1
    for word in _WORD.findall(text.lower()):
        if word in _TIMES:
            times = _TIMES[word]
            continue
        digits += _DIGIT_WORDS.get(word, word if word.isdecimal() else "") * times
        times = 1
    return digits


def speak_digits(digits: str) -> str:
    """Return digits as words in groups for the ear: of three, the last of four."""
    groups = []
    while len(digits) > 4:
        groups.append(digits[:3])
        digits = digits[3:]
    groups.append(digits)
    return ", ".join(" ".join(_DIGIT_NAMES[int(d)] for d in group) for group in groups)


# --- conversing ---------------------------------------------------------------------------------


class FlowBrain:
    """Answers by a flow.

    Args:
        flow: the script.
        operator_number: where callers who ask for a human are transferred; None: nobody there.
        transfers: further numbers by the names that the flow's transfers use.
        is_greeting_interruptible: whether a caller can speak over the greeting.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        operator_number: str | None = None,
        transfers: Mapping[str, str] | None = None,
        is_greeting_interruptible: bool = True,
    ) -> None:
        self._flow = flow
        self._is_greeting_interruptible = is_greeting_interruptible
        self._numbers = dict(transfers or {})
        if operator_number is not None:
            self._numbers[""] = operator_number

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> FlowConversation:
        """See Brain."""
        return FlowConversation(
            self._flow,
            self._numbers,
            variables,
            _facts(call),
            is_greeting_interruptible=self._is_greeting_interruptible,
        )


def _facts(call: CallFacts) -> dict[str, str]:
    known = {"call.from": call.from_number, "call.to": call.to_number, "call.id": call.call_id}
    known |= {f"metadata.{name}": value for name, value in call.metadata.items()}
    return known | {f"variables.{name}": value for name, value in call.variables.items()}


class FlowConversation:
    """One call. See Conversation.

    Variables: `flow`, `step`, `digits` (collected), `spoken_digits`, `last` (what `Repeat` says),
    `misses` (not understood in a row), `turn` (counts answers, so that texts vary).
    """

    def __init__(
        self,
        flow: Flow,
        numbers: Mapping[str, str],
        variables: Mapping[str, str],
        facts: Mapping[str, str],
        *,
        is_greeting_interruptible: bool = True,
    ) -> None:
        self._flow = flow
        self._is_greeting_interruptible = is_greeting_interruptible
        self._numbers = numbers
        self._facts = facts
        known_steps = {step.name for step in flow.steps}
        self._is_resumed = (
            variables.get("flow") == flow.name and variables.get("step") in known_steps
        )
        fresh = {"flow": flow.name, "step": flow.steps[0].name}
        self._variables = dict(variables) if self._is_resumed else fresh

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation."""
        return self._variables

    @property
    def _step(self) -> Step:
        return self._flow.step(self._variables["step"])

    async def greet(self) -> AsyncIterator[Piece]:
        """See Conversation."""
        if self._is_resumed:
            pieces = [*self._say(self._flow.welcome_back), *self._say(self._step.prompt)]
        else:
            may_stop = self._is_greeting_interruptible
            greeting = self._say(self._flow.greeting)
            pieces = [replace(piece, is_interruptible=may_stop) for piece in greeting]
        self._set(last=" ".join(piece.text for piece in pieces))
        for piece in pieces:
            yield piece
        yield self._expect()

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation."""
        self._variables = dict(variables)

    async def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """See Conversation."""
        for piece in list(self._answer(heard)):
            yield piece

    async def aclose(self) -> None:
        """See Conversation."""

    def _answer(self, heard: Heard) -> Iterator[Piece]:
        self._set(turn=str(self._count("turn") + 1))
        match heard:
            case Words():
                yield from self._on_words(heard)
            case Digit():
                yield from self._on_digit(heard.digit)
            case base.Digits():
                for digit in heard.digits:
                    yield from self._on_digit(digit)
            case Silence():
                yield from self._on_silence(heard)
            case _:
                assert_never(heard)

    # --- what was heard ---

    def _on_words(self, words: Words) -> Iterator[Piece]:
        step = self._step
        if words.is_understood:
            digits = read_digits(words.text) if step.digits is not None else ""
            intent = find_intent(words.text, self._flow.intents(step))
            if intent is not None and not digits:
                yield from self._follow(intent)
                return
            if digits:
                yield from self._add_digits(digits, is_spoken=True)
                return
        misses = self._count("misses")
        self._set(misses=str(misses + 1))
        yield Say(self._fill(step.no_match[misses % len(step.no_match)]))
        yield self._expect()

    def _on_digit(self, digit: str) -> Iterator[Piece]:
        step = self._step
        keyed = next((i for i in self._flow.intents(step) if digit in i.key), None)
        if step.digits is not None:
            yield from self._key_digit(digit)
        elif keyed is not None:
            yield from self._follow(keyed)
        elif self._flow.keypad is not None and digit.isdecimal():
            self._set(step=self._flow.keypad, digits="")
            yield from self._add_digits(digit, is_spoken=False)

    def _on_silence(self, silence: Silence) -> Iterator[Piece]:
        step = self._step
        if step.digits is not None and self._variables.get("digits"):
            yield from self._finish_digits()
        elif silence.count >= self._flow.most_silences:
            yield from self._say(self._flow.farewell)
            yield EndCall("caller_silent")
        else:
            yield Say(self._fill(step.no_input[(silence.count - 1) % len(step.no_input)]))
            yield self._expect()

    # --- intents ---

    def _follow(self, intent: Intent) -> Iterator[Piece]:
        self._set(misses="0")
        match intent.then:
            case Repeat():
                yield Say(self._variables.get("last") or self._fill(self._step.prompt[0]))
                yield self._expect()
                return
            case ToOperator(found, to) if to in self._numbers:
                yield from self._say(found)
                yield Transfer(self._numbers[to])
                return
            case ClearNumber(step):
                self._set(digits="", spoken_digits="")
                then: Then = Goto(step)
            case _:
                then = intent.then
        is_known = all(self._value(n) for text in intent.say for n in _NAME.findall(text))
        said = [*self._say(intent.say if is_known else intent.unknown)]
        if isinstance(then, HangUp):
            yield from said
            yield EndCall(then.reason)
            return
        if isinstance(then, Goto):
            self._set(step=then.step)
            said += self._say(self._step.prompt)
        self._set(last=" ".join(piece.text for piece in said))
        yield from said
        yield self._expect()

    # --- digits ---

    def _key_digit(self, digit: str) -> Iterator[Piece]:
        if digit == "*":
            self._set(digits="")
            yield from self._say(self._step.prompt)
            yield self._expect()
        elif digit == "#":
            yield from self._finish_digits()
        else:
            yield from self._add_digits(digit, is_spoken=False)

    def _add_digits(self, digits: str, *, is_spoken: bool) -> Iterator[Piece]:
        rule = self._step.digits
        assert rule is not None
        digits = (self._variables.get("digits", "") + digits)[: rule.most]
        self._set(digits=digits, misses="0")
        if len(digits) >= (rule.enough if is_spoken else rule.most):
            yield from self._finish_digits()
            return
        if is_spoken and len(digits) < rule.least:
            yield from self._say(rule.more)
        yield self._expect()

    def _finish_digits(self) -> Iterator[Piece]:
        step, digits = self._step, self._variables.get("digits", "")
        rule = step.digits
        assert rule is not None
        keyed = next((i for i in self._flow.intents(step) if digits and digits == i.key), None)
        if keyed is not None:
            self._set(digits="")
            yield from self._follow(keyed)
        elif len(digits) < rule.least:
            yield from self._say(rule.too_few)
            yield self._expect()
        else:
            self._set(step=rule.then, spoken_digits=speak_digits(digits))
            said = [*self._say(self._step.prompt)]
            self._set(last=" ".join(piece.text for piece in said))
            yield from said
            yield self._expect()

    # --- saying ---

    def _say(self, texts: Texts) -> Iterator[Say]:
        if texts:
            yield Say(self._fill(texts[self._count("turn") % len(texts)]))

    def _fill(self, text: str) -> str:
        return _NAME.sub(lambda name: self._value(name[1]), text)

    def _value(self, name: str) -> str:
        return self._variables.get(name) or self._facts.get(name, "")

    def _expect(self) -> Expect:
        step = self._step
        phrases = tuple(p for intent in self._flow.intents(step) for p in intent.phrases)
        is_keying = step.digits is not None and bool(self._variables.get("digits"))
        return Expect(
            Expectation(
                phrases,
                digits=step.digits is not None,
                silence_s=self._flow.pause_s if is_keying else None,
            )
        )

    def _count(self, name: str) -> int:
        text = self._variables.get(name, "")
        return int(text) if text.isdecimal() else 0

    def _set(self, **changes: str) -> None:
        self._variables = {**self._variables, **changes}
