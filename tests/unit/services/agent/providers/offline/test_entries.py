from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline import entries
from services.agent.providers.offline.voice import OfflineSynthesiser
from tests.support.agents import FixedSecrets
from tests.support.providers import FakeTranscriber

SECRETS = FixedSecrets()


def test_the_workers_recogniser_serves_english_alone() -> None:
    transcriber = FakeTranscriber()
    entry = entries.stt_entry(transcriber)
    assert entry.open(entry.options(), "en-IN", SECRETS) is transcriber
    with pytest.raises(ProviderUnavailable, match="knows English only, not hi"):
        entry.open(entry.options(), "hi", SECRETS)
    assert not entry.needs_key


def test_a_recogniser_that_is_not_started_is_not_there() -> None:
    entry = entries.stt_entry()
    with pytest.raises(ProviderUnavailable, match="not started"):
        entry.open(entry.options(), "en", SECRETS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The voices that were asked for, in place of opening them."""
    asked: list[str | None] = []
    monkeypatch.setattr(OfflineSynthesiser, "open", asked.append)
    return asked


def test_a_voice_is_the_choices_own_or_that_of_the_language(opened: list[str | None]) -> None:
    entry = entries.tts_entry("slt")
    entry.open(entry.options.model_validate({"voice": "rms"}), "hi", SECRETS)
    entry.open(entry.options(), "en-GB", SECRETS)
    entry.open(entry.options(), "hi-IN", SECRETS)
    assert opened == ["rms", "slt", "hi"]


def test_options_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError):
        entries.SttOptions.model_validate({"voice": "slt"})
