"""PURE. A dialogue by rules: steps, the phrases each expects, and what is said to them.

The offline brain. What a step expects becomes the recogniser's grammar, which is what makes a
small recogniser on a phone line useful; free text of another recogniser is matched loosely to the
same phrases. A flow is data (see services/agent/flows); this is what walks it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.agent.providers.base import (
    CallFacts,
    Digit,
    EndCall,
    Expect,
    Expectation,
    Heard,
    Message,
    Piece,
    Say,
    Silence,
    Words,
)

_ALIKE = 0.82
_DIGIT_WORDS = {
    "zero": "0",
    "oh": "0",
    "o": "0",
    "nought": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_REPEATS = {"double": 2, "triple": 3}
_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, slots=True)
class Intent:
    """Something a caller may want.

    Attributes:
        name: of the intent, for the state and for tests.
        phrases: what a caller may say for it, lower case; the first is the model.
        say: answers; the n-th time the n-th is given, and after the last one the last again.
        next: the step to go to; None stays.
        ends: hang up after the answer.
        repeats: say again what was said last, in place of an answer.
    """

    name: str
    phrases: tuple[str, ...]
    say: tuple[str, ...] = ()
    next: str | None = None
    ends: bool = False
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class NumberRule:
    """A step takes a number, by keypad or voice, and goes on when it has one.

    Attributes:
        shortest: fewer digits are not a number yet.
        longest: so many digits are complete without the hash key.
        next: the step that confirms; its prompts may name `{number}`.
        go_on: said when some digits came by voice and more are wanted.
        too_short: said when the caller ended a number that is too short.
    """

    shortest: int
    longest: int
    next: str
    go_on: str
    too_short: str


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the dialogue.

    Attributes:
        prompts: said on entering, by visits like an intent's answers.
        intents: what is understood here, beside the flow's own.
        number: set where a number is taken.
        no_match: said to speech that is not understood, by turns; examples help.
        no_input: said to a silent caller, by turns; after the last one the call is ended.
        silence_s: how long silence is waited for here.
    """

    name: str
    prompts: tuple[str, ...] = ()
    intents: tuple[Intent, ...] = ()
    number: NumberRule | None = None
    no_match: tuple[str, ...] = ()
    no_input: tuple[str, ...] = ()
    silence_s: float | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole dialogue.

    Attributes:
        greeting: the first words.
        welcome_back: the first words when a call is gone on with elsewhere.
        first: the step after them.
        steps: by name.
        always: intents understood in every step.
        no_match: said where a step has none of its own.
        no_input: likewise.
        farewell: said before hanging up on a silent caller.
    """

    greeting: str
    welcome_back: str
    first: str
    steps: Mapping[str, Step]
    always: tuple[Intent, ...]
    no_match: tuple[str, ...]
    no_input: tuple[str, ...]
    farewell: str

    def __post_init__(self) -> None:
        targets = {self.first, *(i.next for i in self._intents() if i.next is not None)}
        targets |= {step.number.next for step in self.steps.values() if step.number}
        if unknown := targets - set(self.steps):
            raise ValueError(f"a flow leads to steps it does not have: {sorted(unknown)}")

    def _intents(self) -> Iterable[Intent]:
        yield from self.always
        for step in self.steps.values():
            yield from step.intents


class FlowBrain:
    """The Brain that walks a flow."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> FlowConversation:
        """Begin, or go on where the variables say; unknown steps begin anew."""
        known = dict(variables) if variables.get("step") in self._flow.steps else {}
        return FlowConversation(self._flow, known)


class FlowConversation:
    """One call's walk. Variables: step, last, digits, misses, and how often things were said."""

    def __init__(self, flow: Flow, variables: Mapping[str, str]) -> None:
        self._flow = flow
        self._is_resumed = bool(variables)
        self._vars = {"step": flow.first, **variables}

    @property
    def variables(self) -> Mapping[str, str]:
        """The state, as texts."""
        return dict(self._vars)

    @property
    def _step(self) -> Step:
        return self._flow.steps[self._vars["step"]]

    async def greet(self) -> AsyncIterator[Piece]:
        """Say the first words."""
        yield self._say(self._flow.welcome_back if self._is_resumed else self._flow.greeting)
        yield self._expect()

    async def reply(self, heard: Heard, history: Sequence[Message]) -> AsyncIterator[Piece]:
        """Answer by the rules of the present step."""
        for piece in self._answer(heard):
            yield piece

    def _answer(self, heard: Heard) -> list[Piece]:
        match heard:
            case Digit():
                return self._on_digit(heard.digit)
            case Silence():
                return self._on_silence(heard)
            case Words():
                return self._on_words(heard)

    # --- what is heard -----------------------------------------------------------------------

    def _on_words(self, words: Words) -> list[Piece]:
        digits = spoken_digits(words.text) if self._step.number else ""
        if words.is_understood and digits:
            return self._on_spoken_number(digits)
        intent = self._match(words.text) if words.is_understood else None
        if intent is None:
            return self._on_no_match()
        self._vars["misses"] = "0"
        if intent.repeats:
            return [Say(self._vars.get("last", self._flow.greeting)), self._expect()]
        pieces: list[Piece] = []
        if intent.say:
            pieces.append(self._say(self._turn(f"said:{intent.name}", intent.say)))
        if intent.ends:
            return [*pieces, EndCall(intent.name)]
        if intent.next is not None:
            pieces += self._enter(intent.next)
        return [*pieces, self._expect()]

    def _match(self, text: str) -> Intent | None:
        said = " ".join(_WORD.findall(text.lower()))
        phrases = {p: i for i in (*self._flow.always, *self._step.intents) for p in i.phrases}
        if said in phrases:
            return phrases[said]
        contained = [p for p in phrases if f" {p} " in f" {said} "]
        if contained:
            return phrases[max(contained, key=len)]
        alike = difflib.get_close_matches(said, phrases, n=1, cutoff=_ALIKE)
        return phrases[alike[0]] if alike else None

    def _on_no_match(self) -> list[Piece]:
        misses = int(self._vars.get("misses", "0"))
        self._vars["misses"] = str(misses + 1)
        texts = self._step.no_match or self._flow.no_match
        return [self._say(texts[misses % len(texts)], is_last=False), self._expect()]

    def _on_silence(self, silence: Silence) -> list[Piece]:
        rule = self._step.number
        if rule is not None and self._vars.get("digits"):
            return self._end_number(rule)
        texts = self._step.no_input or self._flow.no_input
        if silence.count > len(texts):
            return [Say(self._flow.farewell), EndCall("silence")]
        return [self._say(texts[silence.count - 1], is_last=False), self._expect()]

    # --- numbers -----------------------------------------------------------------------------

    def _on_digit(self, digit: str) -> list[Piece]:
        rule = self._step.number
        if rule is None:
            return self._on_menu_digit(digit)
        if digit == "*":
            self._vars["digits"] = ""
            return [self._expect()]
        if digit == "#":
            return self._end_number(rule)
        return self._add_digits(rule, digit, is_spoken=False)

    def _on_menu_digit(self, digit: str) -> list[Piece]:
        intent = self._match(f"press {digit}")
        return self._on_words(Words(intent.phrases[0], is_understood=True)) if intent else []

    def _on_spoken_number(self, digits: str) -> list[Piece]:
        rule = self._step.number
        assert rule is not None
        return self._add_digits(rule, digits, is_spoken=True)

    def _add_digits(self, rule: NumberRule, digits: str, *, is_spoken: bool) -> list[Piece]:
        collected = (self._vars.get("digits", "") + digits)[: rule.longest]
        self._vars["digits"] = collected
        is_complete = len(collected) == rule.longest
        if is_complete or (is_spoken and len(collected) >= rule.shortest):
            return self._end_number(rule)
        return [self._say(rule.go_on, is_last=False), self._expect()] if is_spoken else []

    def _end_number(self, rule: NumberRule) -> list[Piece]:
        digits = self._vars.get("digits", "")
        self._vars["digits"] = ""
        if len(digits) < rule.shortest:
            return [self._say(rule.too_short), self._expect()]
        self._vars["number"] = digits
        return [*self._enter(rule.next), self._expect()]

    # --- what is said ------------------------------------------------------------------------

    def _enter(self, name: str) -> list[Piece]:
        self._vars |= {"step": name, "misses": "0", "digits": ""}
        step = self._flow.steps[name]
        if not step.prompts:
            return []
        return [self._say(self._turn(f"entered:{name}", step.prompts))]

    def _turn(self, counter: str, texts: Sequence[str]) -> str:
        """Return the text for this time, and count it."""
        times = int(self._vars.get(counter, "0"))
        self._vars[counter] = str(times + 1)
        return texts[min(times, len(texts) - 1)]

    def _say(self, text: str, *, is_last: bool = True) -> Say:
        spoken = text.replace("{number}", spell(self._vars.get("number", "")))
        if is_last:
            self._vars["last"] = spoken
        return Say(spoken)

    def _expect(self) -> Expect:
        step = self._step
        phrases = [p for i in (*self._flow.always, *step.intents) for p in i.phrases]
        return Expect(
            Expectation(
                tuple(dict.fromkeys(p for p in phrases if not p.startswith("press "))),
                digits=step.number is not None,
                silence_s=step.silence_s,
            )
        )


def spoken_digits(text: str) -> str:
    """Return the digits of a spoken number ("one two oh double five" is 12055).

    Empty when any other word is among them.
    """
    digits, times = "", 1
    for word in _WORD.findall(text.lower()):
        if word in _REPEATS:
            times = _REPEATS[word]
            continue
        digit = _DIGIT_WORDS.get(word, word if word.isdigit() else "")
        if not digit:
            return ""
        digits += digit * times
        times = 1
    return digits


def spell(number: str) -> str:
    """Return a number digit by digit, with pauses the ear likes: in groups of three or four."""
    size = 4 if len(number) % 3 == 1 and len(number) > 4 else 3
    groups = [number[i : i + size] for i in range(0, len(number), size)]
    return ", ".join(" ".join(group) for group in groups)
