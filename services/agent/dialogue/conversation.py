"""One call's dialogue with a language model.

What needs no model is answered without it: the greeting, silence, speech that could not be
understood, keys until they are all there. The rest is the model's, see `answering.py`. Everything
that must outlive this process is in `variables`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import assert_never

from services.agent.agents.file import AgentFile
from services.agent.dialogue.answering import Answerer, Turn
from services.agent.dialogue.asides import Aside, place_of
from services.agent.dialogue.prompt import Bounds, fill_facts
from services.agent.dialogue.state import DialogueState
from services.agent.providers.base import (
    CallFacts,
    Confirmation,
    Digit,
    Digits,
    EndCall,
    Expect,
    Expectation,
    Heard,
    LanguageModel,
    Message,
    Piece,
    Say,
    Silence,
    Words,
)
from services.agent.providers.warmth import warm
from services.agent.tools.toolbox import ToolBox
from shared.runtime.tasks import TaskOwner, closing

KEY_PAUSE_S = 2.5
_MAX_KEYS = 64


class LanguageConversation:
    """See Conversation; for its variables see DialogueState.

    Keys are collected until `#` or a pause of 2.5 s, or until the caller speaks; the model then
    reads them as a note before what was said.
    """

    def __init__(
        self,
        file: AgentFile,
        model_for: Callable[[str], LanguageModel],
        toolbox: ToolBox,
        call: CallFacts,
        variables: Mapping[str, str],
        bounds: Bounds,
        *,
        phrases: tuple[str, ...] = (),
    ) -> None:
        self._file = file
        self._call = call
        self._state = DialogueState(file, call, variables)
        self._last_words = (-1, "", "")
        self._again = self._state.asked
        self._turns = _number_of(self._again)
        self._model_for = model_for
        self._owner = TaskOwner(f"dialogue:{call.call_id}")
        self._phrases = phrases
        self._answerer = Answerer(file, model_for, toolbox, call, self._state, bounds)

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation."""
        return self._state.variables

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation. What tools have done to the world is not forgotten."""
        self._state.rewind(variables)

    async def greet(self) -> AsyncIterator[Piece]:
        """See Conversation. The model is warmed meanwhile."""
        self._owner.start(warm(self._model_for(self._state.language)), name="warm")
        if self._state.is_resumed:
            yield Say(self._state.texts.phrases.resumed)
        elif greeting := self._fill(self._state.texts.greeting):
            yield Say(greeting, is_interruptible=self._file.greeting_interruptible)
        yield self._expect()

    async def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """See Conversation."""
        self._state.advance("turn")
        turn, had_keys = self._begin(heard, history), bool(self._state.keys)
        pieces = list(self._without_model(heard)) if turn is None else []
        if turn is not None:
            self._state.set(keys="", misses="0")
            self._state.begin_turn(turn.key)
        for used in self._answerer.take_unreported():
            yield used
        for piece in pieces:
            yield piece
        if turn is None:
            return
        if had_keys:
            yield self._expect()
        try:
            async with closing(self._answerer.answer(turn, confirmation)) as answer:
                async for piece in answer:
                    yield piece
        finally:
            self._state.end_turn()

    async def aclose(self) -> None:
        """See Conversation. Tools that act come to their end first, 10 s at most."""
        await self._owner.stop()
        await self._answerer.aclose()

    # --- with the model ---

    def _begin(self, heard: Heard, history: Sequence[Message]) -> Turn | None:
        """Return the turn for the model, its keys noted; None where no model is asked."""
        keys = self._state.keys
        again, self._again = self._again, ""
        if again and not isinstance(heard, Words):
            return Turn(again, history, *place_of(history, len(history)))
        match heard:
            case Words():
                if not heard.is_understood and not heard.text.strip():
                    return None
                return self._begin_words(heard, history, keys, again)
            case Digit():
                if heard.digit != "#":
                    return None
                return self._begin_keys(f"(keypad) {_spell(keys or heard.digit)}", history)
            case Digits():
                pressed = keys + heard.digits
                text = f"(keypad) {_spell(pressed)}" if pressed else "(the caller pressed no key)"
                return self._begin_keys(text, history)
            case Silence():
                return self._begin_keys(f"(keypad) {_spell(keys)}", history) if keys else None
            case _:
                assert_never(heard)

    def _begin_words(self, words: Words, history: Sequence[Message], keys: str, again: str) -> Turn:
        if not history or history[-1].role != "caller":
            history = [*history, Message("caller", words.text)]
        if keys:
            at, after = place_of(history, len(history) - 1)
            self._state.add(Aside(at, after, keys=f"(keypad) {_spell(keys)}"))
        at, after = place_of(history, len(history))
        key = self._key_of(at, words.text, again)
        if not words.is_understood:
            history = [*history[:-1], Message("caller", f"(unclear) {history[-1].text}")]
        return Turn(key, history, at, after)

    def _key_of(self, at: int, text: str, again: str) -> str:
        """Name a turn: as before when it goes on with the words of one that nobody answered.

        A caller who speaks on before the answer is heard says both at once then, at the same
        place; what a tool has done for the first words is not done again for the whole. So does a
        turn that another worker has begun to answer (`again`).
        """
        before_at, before_text, key = self._last_words
        if again:
            key = again
        elif at != before_at or not text.startswith(before_text):
            self._turns += 1  # not the variable `turn`, which a rewind takes back
            key = f"words {self._turns}"
        self._last_words = (at, text, key)
        return key

    def _begin_keys(self, text: str, history: Sequence[Message]) -> Turn:
        at, after = place_of(history, len(history))
        self._state.add(Aside(at, after, keys=text))
        return Turn(f"keys {at} {text}", history, at, after)

    # --- without it ---

    def _without_model(self, heard: Heard) -> Iterator[Piece]:
        assert not isinstance(heard, Digits), "gathered keys are always the model's"
        match heard:
            case Digit():
                self._state.set(keys=(self._state.keys + heard.digit)[-_MAX_KEYS:])
                yield self._expect()
            case Words():
                texts = self._state.texts.phrases.not_caught
                yield Say(texts[self._state.advance("misses") % len(texts)])
            case Silence():
                yield from self._on_silence(heard)
            case _:
                assert_never(heard)

    def _on_silence(self, silence: Silence) -> Iterator[Piece]:
        rules = self._state.texts.silence
        if silence.count <= len(rules.prompts):
            yield Say(self._fill(rules.prompts[silence.count - 1]))
            return
        if goodbye := self._fill(rules.goodbye):
            yield Say(goodbye)
        yield EndCall("caller_silent")

    def _expect(self) -> Expect:
        """Keys are waited for shortly, the caller as long as the agent's file says."""
        silence_s = KEY_PAUSE_S if self._state.keys else self._state.texts.silence.after_s
        return Expect(Expectation(self._phrases, digits=True, silence_s=silence_s))

    def _fill(self, text: str) -> str:
        return fill_facts(text, self._call).strip()


def _number_of(key: str) -> int:
    """Return the number in the name of a turn by words; 0 in another's."""
    kind, _, number = key.partition(" ")
    return int(number) if kind == "words" and number.isdecimal() else 0


def _spell(keys: str) -> str:
    return " ".join(keys)
