from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.agent.agents.overrides import Overrides
from services.agent.settings import AgentSettings


def test_names_of_providers_are_joined_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_STT", "deepgram, offline,")
    monkeypatch.setenv("AGENT_TTS", "livekit:cartesia")
    monkeypatch.setenv("AGENT_SYSTEM_PROMPT", "be brief")
    monkeypatch.setenv("OPENAI_TTS_VOICE", "nova")
    assert AgentSettings().overrides == Overrides(
        prompt="be brief",
        openai_voice="nova",
        stt=("deepgram", "offline"),
        tts=("livekit:cartesia",),
    )


def test_without_settings_the_files_stay_as_they_are() -> None:
    assert AgentSettings().overrides == Overrides()


@pytest.mark.parametrize(
    ("name", "value"),
    [("AGENT_STT", "deepgrm"), ("AGENT_LLM", "deepgram"), ("AGENT_TTS", "livekit")],
)
def test_a_name_that_is_none_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=f"'{value}' is no provider of"):
        AgentSettings()


def test_keys_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hidden-1")
    monkeypatch.setenv("DEEPGRAM_API_KEY", "hidden-2")
    settings = AgentSettings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "hidden-1"
    assert "hidden" not in repr(settings)
