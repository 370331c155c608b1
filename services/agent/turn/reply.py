"""PURE. One answer on its way: what it consists of and how far the caller has heard it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.spoken import HeardSentence
from services.agent.turn.words import are_same_words, plain_words

Deed: TypeAlias = ev.SendKeys | ev.LeaveToGather | ev.LeaveToTransfer | ev.End
Uttered: TypeAlias = (
    base.Say
    | base.Spoken
    | base.EndCall
    | base.Transfer
    | base.SendDigits
    | base.GatherDigits
    | base.SwitchLanguage
)
"""Pieces of an answer that keep their place in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something done once everything said before it has been heard."""

    after: str | None
    deed: Deed


@dataclass(slots=True)
class Reply:
    """An answer, from the moment it is asked for.

    Attributes:
        generation: changes when the rest of an answer is replaced by an apology.
        answers: what it answers; None: a greeting or words of the session's own.
        asked_s: when it was asked for, or confirmed.
        is_speculative: begun on a likely end of the caller's turn and not confirmed yet.
        is_own: the session's own last words, whose loss ends the call at once.
        has_used_tools: what it did can't be undone by asking anew.
        is_read: the brain has given all of it.
        may_fill: fillers may bridge the wait for it.
        fillers: names of the fillers in it.
        items: names of what the brain spoke itself.
        awaited: names of sentences that were not heard to their end yet.
        is_measured: its turn's clock was read.
        expectation: what to expect of the caller once a speculative answer is confirmed.
        kept: pieces that take effect only when a speculative answer is confirmed.
        at_s: when its first audio was written.
        latency_ms: its turn's times by stage, where the turn passed all of them.
        told: what the caller heard of it before it had to be asked for anew...
        sent: ...and what was on its way then: name and text.
    """

    generation: int
    answers: base.Heard | None
    asked_s: float
    is_speculative: bool = False
    is_own: bool = False
    has_used_tools: bool = False
    is_read: bool = False
    may_fill: bool = False
    fillers: set[str] = field(default_factory=set)
    items: set[str] = field(default_factory=set)
    awaited: dict[str, None] = field(default_factory=dict)
    steps: deque[Step] = field(default_factory=deque)
    is_measured: bool = False
    expectation: base.Expectation | None = None
    kept: list[Uttered] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    heard_s: float = 0.0
    at_s: float | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    told: deque[str] = field(default_factory=deque)
    sent: deque[tuple[str, str]] = field(default_factory=deque)
    _sentences: int = 0

    def next_name(self) -> str:
        """Name its next sentence and await it."""
        self._sentences += 1
        name = f"{self.generation}.{self._sentences}"
        self.awaited[name] = None
        return name

    def is_told(self, text: str) -> bool:
        """Whether the caller has heard its next sentence already; ask once for each."""
        is_same = bool(self.told) and are_same_words(self.told[0], text)
        if is_same:
            self.told.popleft()
        else:
            self.told.clear()
        return is_same

    def former_name(self, text: str) -> str | None:
        """Return the name under which its next sentence was on its way; ask once for each."""
        if self.sent and are_same_words(self.sent[0][1], text):
            return self.sent.popleft()[0]
        self.sent.clear()
        return None

    @property
    def is_first(self) -> bool:
        """Whether no more than one sentence was named so far."""
        return self._sentences <= 1

    def then(self, deed: Deed) -> None:
        """Do something once everything said so far was heard."""
        last = next(reversed(self.awaited), None)
        self.steps.append(Step(last, deed))

    def next_step(self) -> Deed | None:
        """Take what is to be done next if all before it was heard.

        What ends an answer is done only once all of it was read: notes may still come.
        """
        if not self.steps or self.steps[0].after in self.awaited:
            return None
        if not (self.is_read or isinstance(self.steps[0].deed, ev.SendKeys)):
            return None
        return self.steps.popleft().deed

    @property
    def last_deed(self) -> Deed | None:
        """What its last step does."""
        return self.steps[-1].deed if self.steps else None

    @property
    def is_closing(self) -> bool:
        """Whether it is known to be the conversation's last, which is not interrupted."""
        return (
            self.is_read
            and bool(self.steps)
            and isinstance(self.steps[-1].deed, ev.End | ev.LeaveToTransfer)
        )

    def is_guess_of(self, words: base.Words) -> bool:
        """Whether it was begun on a likely end, as the answer to these words."""
        return (
            self.is_speculative
            and words.is_understood
            and isinstance(self.answers, base.Words)
            and are_same_words(self.answers.text, words.text)
        )

    def hear(self, sentences: Sequence[HeardSentence]) -> None:
        """Take what was heard, whole or cut."""
        for sentence in sentences:
            self.awaited.pop(sentence.name, None)
            if sentence.text:
                self.texts.append(sentence.text)
                self.heard_s += sentence.heard_s

    @property
    def text(self) -> str:
        """All that was heard of it."""
        return " ".join(self.texts)

    @property
    def is_heard(self) -> bool:
        """Whether anything of it was heard."""
        return bool(self.texts)


class Passages:
    """Texts that are spoken to their end wherever they occur in an answer.

    Args:
        sentences: each passage's sentences.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self._sentences = frozenset(
            words for sentence in sentences if (words := plain_words(sentence))
        )

    def hold(self, sentence: str) -> bool:
        """Whether a sentence is of one of the passages."""
        return plain_words(sentence) in self._sentences
