"""Who plays an agent: what all its calls share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.agent.agents.file import AgentFile
from services.agent.providers import base
from services.agent.providers.errors import ProviderError
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import TurnTaking
from shared.protocol.live import ShownAgent

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tongue:
    """An agent's ears, voice and manners in one language."""

    transcriber: base.Transcriber
    speech: PhoneSpeech
    rules: TurnTaking


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """One version of an agent's file, ready to take calls.

    Attributes:
        file: as its owner wrote it.
        version: of the file; part of each call's record.
        tongues: by language; the file's own is always among them.
        brain: the dialogue.
        speech_brain: hears and speaks by itself, in place of the first language's ears and brain.
        end_of_turn: judges by sound whether a turn is over; None: nobody does.
    """

    file: AgentFile
    version: str
    tongues: Mapping[str, Tongue]
    brain: base.Brain
    speech_brain: base.SpeechBrain | None = None
    end_of_turn: base.EndOfTurn | None = None

    def tongue(self, language: str) -> Tongue:
        """Return a language's part; the agent's own where it does not have that one."""
        return self.tongues.get(language) or self.tongues[self.file.language]

    def open(
        self, call: base.CallFacts, variables: Mapping[str, str]
    ) -> tuple[base.Conversation, base.TranscriberStream]:
        """Begin a call's dialogue together with its ear.

        Raises:
            ProviderError: nobody can think, or nobody can hear.
        """
        if self.speech_brain is not None:
            try:
                return self.speech_brain.open(call, variables)
            except ProviderError as exc:
                _log.warning("speech_brain_left", call_id=call.call_id, error=str(exc))
        transcriber = self.tongue(call.language).transcriber
        return self.brain.open(call, variables), transcriber.open(base.Expectation())


class Company(Protocol):
    """The agents of a worker, each ready to take calls."""

    def choose(self, asked: str, called_number: str) -> Cast:
        """Return who takes a call.

        Args:
            asked: by name; empty or `default`: nobody in particular.
            called_number: as the network gave it.
        """
        ...

    def shown(self) -> Sequence[ShownAgent]:
        """Return those that can take calls, for who looks at the worker."""
        ...

    def enter(self, cast: Cast) -> None:
        """A call begins with this cast: it is kept until `leave`."""
        ...

    def leave(self, cast: Cast) -> None:
        """A call with this cast is over."""
        ...
