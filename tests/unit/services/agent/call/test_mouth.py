"""One call's voice: in order of asking, two at once, abandoned, switched, failing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.agent.call.mouth import Mouth
from services.agent.providers.base import Pcm, Usage
from services.agent.providers.errors import ProviderFailed
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn import events as ev
from shared.runtime.tasks import TaskOwner
from tests.support.providers import FakeSynthesiser


class HeldSynthesiser(FakeSynthesiser):
    """Begins a text only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.spoken.append(text)
        await self.goes_on.wait()
        async for pcm in super().speak(text):
            yield pcm


class Stage:
    def __init__(self, owner: TaskOwner, synthesiser: FakeSynthesiser | None = None) -> None:
        self.synthesiser = synthesiser or FakeSynthesiser()
        self.speech = PhoneSpeech(self.synthesiser)
        self.events: list[ev.Event] = []
        self.usage: list[Usage] = []
        self.failures: list[Exception] = []
        self.full = 0
        self.mouth = Mouth(
            self.speech,
            owner,
            on_event=self.events.append,
            on_usage=self.usage.append,
            on_failed=self.failures.append,
            on_full=self._on_full,
        )

    def _on_full(self) -> None:
        self.full += 1

    def audio(self, name: str) -> list[ev.SentenceAudio]:
        return [e for e in self.events if isinstance(e, ev.SentenceAudio) and e.name == name]


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


def sentence(number: int, text: str = "Hello there.") -> ev.Speak:
    return ev.Speak(f"{number}.1", number, text, is_first=True)


async def settle() -> None:
    await asyncio.sleep(0.01)
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_sentence_comes_in_pieces_with_its_end_marked(owner: TaskOwner) -> None:
    stage = Stage(owner)
    stage.mouth.speak(sentence(1))
    await settle()
    pieces = stage.audio("1.1")
    assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert sum(len(piece.ulaw) for piece in pieces) == pytest.approx(
        stage.synthesiser.duration_s("Hello there.") * 8000, abs=400
    )
    await stage.speech.aclose()


async def test_two_sentences_are_in_the_making_and_no_third(owner: TaskOwner) -> None:
    held = HeldSynthesiser()
    stage = Stage(owner, held)
    for number, text in enumerate(("One.", "Two.", "Three."), 1):
        stage.mouth.speak(sentence(number, text))
    await settle()
    assert held.spoken == ["One.", "Two."]
    held.goes_on.set()
    await settle()
    assert "Three." in held.spoken
    await stage.speech.aclose()


async def test_what_is_abandoned_is_not_heard(owner: TaskOwner) -> None:
    held = HeldSynthesiser()
    stage = Stage(owner, held)
    stage.mouth.speak(sentence(1, "Old words."))
    await settle()
    stage.mouth.abandon(1)
    stage.mouth.speak(sentence(2, "New words."))
    held.goes_on.set()
    await settle()
    assert stage.audio("1.1") == []
    assert stage.audio("2.1")[-1].is_last
    await stage.speech.aclose()


async def test_another_voice_speaks_from_the_next_sentence_on(owner: TaskOwner) -> None:
    held = HeldSynthesiser()
    stage = Stage(owner, held)
    stage.mouth.speak(sentence(1, "Mine."))
    other = FakeSynthesiser()
    speech = PhoneSpeech(other)
    stage.mouth.switch(speech)
    stage.mouth.speak(sentence(2, "Namaste."))
    held.goes_on.set()
    await settle()
    assert (set(held.spoken), other.spoken) == ({"Mine."}, ["Namaste."])
    await stage.speech.aclose()
    await speech.aclose()


async def test_a_sentence_that_cannot_be_made_is_told_of(owner: TaskOwner) -> None:
    stage = Stage(owner)
    stage.synthesiser.broken.add("Broken, that one.")
    stage.mouth.speak(sentence(1, "Broken, that one."))
    await settle()
    assert stage.events[-1] == ev.SentenceFailed("1.1")
    assert [type(failure) for failure in stage.failures] == [ProviderFailed]
    await stage.speech.aclose()


async def test_what_was_prepared_is_there_at_once(owner: TaskOwner) -> None:
    stage = Stage(owner)
    await stage.speech.prepare(["I am sorry. Goodbye."])
    stage.mouth.speak_prepared(ev.SpeakPrepared("9.1", 9, "I am sorry. Goodbye."))
    (audio,) = stage.events
    assert isinstance(audio, ev.SentenceAudio)
    assert audio.is_last
    assert len(audio.ulaw) > 4000
    await stage.speech.aclose()


async def test_what_was_not_prepared_has_failed_at_once(owner: TaskOwner) -> None:
    stage = Stage(owner)
    stage.mouth.speak_prepared(ev.SpeakPrepared("9.1", 9, "Nobody thought of that."))
    assert stage.events == [ev.SentenceFailed("9.1")]
    await stage.speech.aclose()
