"""One call's voice: sentences made one after another, the next one while the first still comes."""

from __future__ import annotations

from collections.abc import Callable

from services.agent.call.lane import Lane
from services.agent.providers.base import Usage
from services.agent.providers.errors import ProviderError
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn import events as ev
from shared.runtime.tasks import TaskOwner, closing

AT_ONCE = 2
"""Sentences in the making: the next one's wait is over when the first has been spoken."""


class Mouth:
    """Speaks for one call.

    Args:
        speech: makes the audio.
        owner: of the tasks.
        on_event: takes the audio.
        on_usage: takes what voices will charge for.
        on_failed: told of each sentence that could not be made.
        on_full: called when too many sentences wait.
    """

    def __init__(
        self,
        speech: PhoneSpeech,
        owner: TaskOwner,
        *,
        on_event: Callable[[ev.Event], None],
        on_usage: Callable[[Usage], None],
        on_failed: Callable[[Exception], None],
        on_full: Callable[[], None],
    ) -> None:
        self._speech = speech
        self._owner = owner
        self._lane = Lane(owner, "voice", on_full=on_full, width=AT_ONCE)
        self._on_event = on_event
        self._on_usage = on_usage
        self._on_failed = on_failed

    def warm(self) -> None:
        """Have the voice ready: the first sentence is soon to come."""
        self._owner.start(self._speech.warm(), name="warm")

    def switch(self, speech: PhoneSpeech) -> None:
        """Speak by another voice from the next sentence on."""
        self._speech = speech

    def speak(self, action: ev.Speak) -> None:
        """Have a sentence made; SentenceAudio or SentenceFailed follows."""
        speech = self._speech
        self._lane.add(action.generation, lambda: self._synthesise(speech, action))

    def speak_prepared(self, action: ev.SpeakPrepared) -> None:
        """Give a sentence that was made in advance."""
        chunk = self._speech.prepared(action.text)
        if chunk is None:
            self._on_event(ev.SentenceFailed(action.name))
            return
        self._on_event(ev.SentenceAudio(action.name, chunk.ulaw, chunk.level_dbfs, is_last=True))

    def abandon(self, generation: int) -> None:
        """Stop the sentences of this generation and all before it."""
        self._lane.abandon(generation)

    async def _synthesise(self, speech: PhoneSpeech, action: ev.Speak) -> None:
        try:
            async with closing(speech.speak(action.text, is_first=action.is_first)) as chunks:
                async for chunk in chunks:
                    for usage in chunk.usage:
                        self._on_usage(usage)
                    self._on_event(
                        ev.SentenceAudio(
                            action.name, chunk.ulaw, chunk.level_dbfs, is_last=chunk.is_last
                        )
                    )
        except (ProviderError, TimeoutError) as exc:
            self._on_failed(exc)
            self._on_event(ev.SentenceFailed(action.name))
