"""Ears, wits and mouth in one language, then in another; with a brain that hears by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from services.agent.call.faculties import Faculties
from services.agent.providers import base
from services.agent.providers.errors import ProviderFailed
from services.agent.turn import events as ev
from shared.protocol.worker import LinkRequest
from tests.support.lone_call import CALL, LoneCall
from tests.support.providers import FakeBrain, FakeConversation
from tests.support.workshop import FakeSpeechBrain

Make = Callable[..., LoneCall]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    scenes: list[LoneCall] = []

    def make_one(**more: Any) -> LoneCall:
        scenes.append(LoneCall(**more))
        return scenes[-1]

    yield make_one
    for scene in scenes:
        await scene.aclose()


def faculties_of(scene: LoneCall) -> Faculties:
    return scene.call._performer.faculties


async def test_another_language_has_its_own_ears_and_rules_with_the_calls_facts(
    make: Make,
) -> None:
    scene = make(request=LinkRequest(CALL, from_number="+918000000001"))
    await scene.begin()
    rules = faculties_of(scene).change_language("hi")
    assert faculties_of(scene).language == "hi"
    assert (rules.language, rules.machine.message) == ("hi", "Hello +918000000001.")
    await scene.pass_time(0.1)
    assert scene.transcriber.streams[0].is_closed
    assert len(scene.hindi.streams) == 1


async def test_a_brain_that_hears_by_itself_keeps_its_ears_in_any_language(make: Make) -> None:
    scene = make(speech_brain=FakeSpeechBrain())
    await scene.begin()
    faculties_of(scene).change_language("hi")
    await scene.pass_time(0.1)
    assert (scene.transcriber.streams, scene.hindi.streams) == ([], [])


class _Mute(FakeSpeechBrain):
    """Refuses when it is to speak first."""

    def open(
        self, call: base.CallFacts, variables: Any
    ) -> tuple[FakeConversation, base.TranscriberStream]:
        conversation, ear = super().open(call, variables)
        conversation._brain.greeting = (ProviderFailed("openai", "no"),)
        return conversation, ear


async def test_a_brain_that_hears_by_itself_and_cannot_begin_gives_way_to_ears_and_a_brain(
    make: Make,
) -> None:
    scene = make(speech_brain=_Mute())
    await scene.begin()
    await scene.pass_time(0.2)
    assert len(scene.transcriber.streams) == 1
    assert len(scene.brain.conversations) == 1
    assert "playAudio" in scene.link.events
    assert scene.value("voice_agent_providers_exhausted_total", kind="brain") == 1


async def test_a_brain_that_cannot_begin_has_nobody_to_give_way_to(make: Make) -> None:
    scene = make(brain=FakeBrain(greeting=(ProviderFailed("openai", "no"),)))
    await scene.begin()
    await scene.pass_time(0.2)
    assert len(scene.brain.conversations) == 1


async def test_what_is_abandoned_is_neither_thought_nor_spoken_any_further(make: Make) -> None:
    scene = make()
    faculties, heard = faculties_of(scene), list[ev.Event]()
    faculties.mouth._on_event = heard.append
    faculties.mouth.speak(ev.Speak("one#1", 5, "A long sentence.", is_first=True))
    faculties.abandon(5, rewinds=False)
    await scene.pass_time(0.2)
    assert heard == []


async def test_letting_go_closes_the_ear_and_the_dialogue(make: Make) -> None:
    scene = make()
    await faculties_of(scene).aclose()
    assert scene.transcriber.streams[0].is_closed
    assert scene.brain.conversations[0].is_closed
