"""One call's ears, wits and mouth, in the language that is spoken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from services.agent.call.belongings import Belongings
from services.agent.call.ears import Ears
from services.agent.call.facts import with_facts
from services.agent.call.mouth import Mouth
from services.agent.call.wits import Wits
from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import TurnTaking
from shared.runtime.concern import About


class Faculties:
    """Hears, thinks and speaks for one call, by its cast's providers.

    Args:
        own: the call's.
        language: the one to begin with.
        variables: the dialogue's, as another worker left them.
        on_event: takes what was thought.
        on_heard: takes what was recognised, and the audio that was made.
        on_full: called when too many replies or sentences wait.

    Raises:
        ProviderError: nobody can hear or think for this call.
    """

    def __init__(
        self,
        own: Belongings,
        language: str,
        variables: Mapping[str, str],
        *,
        on_event: Callable[[ev.Event], None],
        on_heard: Callable[[ev.Event], None],
        on_full: Callable[[], None],
    ) -> None:
        self._cast = own.cast
        self._facts = own.facts
        self._language = language
        guard, tongue = own.guard, own.cast.tongue(language)
        with About(own.witnesses.trace.concern):
            conversation, ear = own.cast.open(replace(own.facts, language=language), variables)
        self.ears = Ears(
            ear,
            tongue.transcriber.open,
            own.owner,
            on_event=on_heard,
            on_failed=lambda: guard.on_part_failed("stt"),
            end_of_turn=own.cast.end_of_turn,
        )
        self.wits = Wits(
            conversation,
            own.owner,
            on_event=on_event,
            on_failed=lambda exc: guard.on_part_failed("brain", exc),
            on_full=on_full,
            piece_timeout_s=own.parts.piece_timeout_s,
        )
        self.mouth = Mouth(
            tongue.speech,
            own.owner,
            on_event=on_heard,
            on_usage=own.witnesses.account.on_note,
            on_failed=lambda exc: guard.on_part_failed("tts", exc),
            on_full=on_full,
        )

    @property
    def language(self) -> str:
        """The one that is spoken."""
        return self._language

    def start(self) -> None:
        """Begin to hear, and have the voice ready."""
        self.ears.start()
        self.mouth.warm()

    def greet(self, generation: int) -> None:
        """Have the first words thought, by the cast's other brain if its first one has none."""
        has_other = self._cast.speech_brain is not None
        self.wits.greet(generation, otherwise=self._leave_speech_brain if has_other else None)

    def _leave_speech_brain(self) -> base.Conversation:
        """Go on with ears, brain and voice of their own: speech to speech can't be had."""
        self.ears.switch(self._cast.tongue(self._language).transcriber.open)
        return self._cast.brain.open(self._facts, {})

    def abandon(self, generation: int, *, rewinds: bool) -> None:
        """Neither think nor speak any more of this generation and all before it; see Abandon."""
        self.wits.abandon(generation, rewinds=rewinds)
        self.mouth.abandon(generation)

    def change_language(self, language: str) -> TurnTaking:
        """Hear and speak another language from now on; return its rules for this call."""
        tongue = self._cast.tongue(language)
        self._language = language
        self.mouth.switch(tongue.speech)
        if self._cast.speech_brain is None:
            self.ears.switch(tongue.transcriber.open)
        return with_facts(tongue.rules, self._facts)

    async def aclose(self) -> None:
        """Let go of the recogniser and the dialogue."""
        await self.ears.aclose()
        await self.wits.aclose()
