"""PURE. What a dialogue with a language model remembers: texts by name, and the tools' deeds."""

from __future__ import annotations

from collections.abc import Mapping

from services.agent.agents.file import AgentFile
from services.agent.dialogue.asides import Aside, add_aside, read_asides, write_asides
from services.agent.dialogue.deeds import Deed, read_deeds, write_deeds
from services.agent.dialogue.local import LocalTexts, first_language, local_texts
from services.agent.providers.base import CallFacts

_BRAIN = "language/1"


class DialogueState:
    """The variables of one conversation, replaced at each change.

    They are: `brain`, `agent` (another one's begin anew), `language`, `turn` (counts replies),
    `misses` (not understood in a row), `filler` (the next one), `keys` (pressed, not answered yet),
    `asides` (keys and tools for the model to read), `asked` (names the turn while it is being
    answered), `deeds` (what tools have done to the world for it).
    """

    def __init__(self, file: AgentFile, call: CallFacts, variables: Mapping[str, str]) -> None:
        self._file = file
        self.is_resumed = variables.get("brain") == _BRAIN and variables.get("agent") == file.name
        fresh = {"brain": _BRAIN, "agent": file.name, "language": first_language(file, call)}
        self._variables = dict(variables) if self.is_resumed else fresh
        self._variables.setdefault("language", fresh["language"])
        self._deeds: tuple[Aside, ...] = ()
        self._turn, self._done = self.asked, self.done

    @property
    def variables(self) -> Mapping[str, str]:
        """All of it, for a snapshot."""
        return self._variables

    @property
    def language(self) -> str:
        """The language spoken now."""
        return self._variables["language"]

    @property
    def texts(self) -> LocalTexts:
        """The agent's texts in that language."""
        return local_texts(self._file, self.language)

    @property
    def keys(self) -> str:
        """Keys that were pressed and not answered yet."""
        return self._variables.get("keys", "")

    @property
    def asides(self) -> tuple[Aside, ...]:
        """Keys and tools so far, in order of their places."""
        return read_asides(self._variables.get("asides", ""))

    @property
    def asked(self) -> str:
        """The turn that is being answered, or was when another worker broke off; else empty."""
        return self._variables.get("asked", "")

    @property
    def done(self) -> tuple[Deed, ...]:
        """What tools have done for it."""
        return read_deeds(self._variables.get("deeds", ""))

    def begin_turn(self, key: str) -> None:
        """A turn is being answered; the same as before keeps its deeds."""
        if key != self._turn:
            self._turn, self._done = key, ()
            self._drop("deeds")
        self.set(asked=key)

    def end_turn(self) -> None:
        """It is answered, or will never be."""
        self._drop("asked")

    def set(self, **changes: str) -> None:
        """Change variables."""
        self._variables = {**self._variables, **changes}

    def _drop(self, name: str) -> None:
        self._variables = {one: text for one, text in self._variables.items() if one != name}

    def count(self, name: str) -> int:
        """Return a variable that counts; 0 when it is not there."""
        text = self._variables.get(name, "")
        return int(text) if text.isdecimal() else 0

    def advance(self, name: str) -> int:
        """Count one more; return the count before."""
        before = self.count(name)
        self.set(**{name: str(before + 1)})
        return before

    def add(self, aside: Aside) -> None:
        """Remember an aside."""
        self.set(asides=write_asides(add_aside(self.asides, aside)))

    def add_deed(self, aside: Aside) -> None:
        """Remember what a tool did to the world; no rewind makes it undone."""
        self._deeds = add_aside(self._deeds, aside)
        self.add(aside)

    def add_done(self, turn: str, deed: Deed) -> None:
        """Remember what was done for a turn, in place of its beginning; not if it is over."""
        if turn != self._turn:
            return
        kept = [one for one in self._done if one.wish != deed.wish]
        self._done = (*kept, deed)
        self.set(deeds=write_deeds(self._done))

    def rewind(self, variables: Mapping[str, str]) -> None:
        """Take back to earlier variables, all but deeds."""
        self._variables = dict(variables)
        if self._done:
            self.set(deeds=write_deeds(self._done))
        for aside in self._deeds:
            self.add(aside)
