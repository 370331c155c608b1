"""What all calls of an agent share: its part in a language, and how a call begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from services.agent.agents.file import AgentFile
from services.agent.company.cast import Cast, Tongue
from services.agent.providers.errors import ProviderFailed
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import TurnTaking
from tests.support.providers import FakeBrain, FakeSynthesiser, FakeTranscriber
from tests.support.workshop import FACTS, FakeSpeechBrain


def tongue(language: str) -> Tongue:
    return Tongue(FakeTranscriber(), PhoneSpeech(FakeSynthesiser()), TurnTaking(language=language))


@pytest.fixture
def cast() -> Cast:
    tongues = {"en": tongue("en"), "hi": tongue("hi")}
    return Cast(AgentFile(), "v1", tongues, FakeBrain())


def test_a_language_it_does_not_have_is_its_own(cast: Cast) -> None:
    assert cast.tongue("hi").rules.language == "hi"
    assert cast.tongue("fr").rules.language == "en"


def test_a_call_begins_in_its_language(cast: Cast) -> None:
    _, ear = cast.open(replace(FACTS, language="hi"), {})
    hindi, english = cast.tongue("hi").transcriber, cast.tongue("en").transcriber
    assert isinstance(hindi, FakeTranscriber)
    assert isinstance(english, FakeTranscriber)
    assert hindi.streams == [ear]
    assert english.streams == []


def test_variables_are_handed_on(cast: Cast) -> None:
    conversation, _ = cast.open(FACTS, {"turn": "3"})
    assert conversation.variables == {"turn": "3"}


def test_a_speech_brain_hears_by_itself(cast: Cast) -> None:
    cast = replace(cast, speech_brain=FakeSpeechBrain())
    cast.open(FACTS, {})
    english = cast.tongue("en").transcriber
    assert isinstance(english, FakeTranscriber)
    assert english.streams == []


def test_a_speech_brain_that_refuses_is_left_for_this_call(cast: Cast) -> None:
    brain = FakeSpeechBrain()
    brain.failure = ProviderFailed("openai", "no")
    with capture_logs() as logs:
        _, ear = replace(cast, speech_brain=brain).open(FACTS, {})
    english = cast.tongue("en").transcriber
    assert isinstance(english, FakeTranscriber)
    assert english.streams == [ear]
    assert [log["event"] for log in logs] == ["speech_brain_left"]
