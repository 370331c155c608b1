"""Settings over files."""

from __future__ import annotations

from services.agent.agents.file import AgentFile, ProviderChoice, Providers
from services.agent.agents.overrides import Overrides

FILE = AgentFile.model_validate(
    {
        "prompt": "sell",
        "providers": {
            "stt": ["deepgram", "offline"],
            "tts": [{"openai": {"model": "m", "voice": "old"}}, "offline"],
            "realtime": "openai",
        },
        "languages": {"hi": {"providers": {"tts": ["openai"]}}, "fr": {"greeting": "Bonjour"}},
    }
)


def names(chain: tuple[ProviderChoice, ...]) -> list[str]:
    return [choice.name for choice in chain]


def test_nothing_set_changes_nothing() -> None:
    assert Overrides().apply(FILE, is_default=True) == FILE


def test_chains_are_replaced_in_every_agent_and_known_options_kept() -> None:
    overrides = Overrides(stt=("offline",), tts=("livekit:acme", "openai"))
    file = overrides.apply(FILE, is_default=False)
    assert names(file.providers.stt) == ["offline"]
    assert names(file.providers.llm) == ["offline"]
    assert names(file.providers.tts) == ["livekit:acme", "openai"]
    assert file.providers.tts[1].options == {"model": "m", "voice": "old"}
    assert file.providers.realtime is None


def test_other_languages_go_along() -> None:
    file = Overrides(tts=("offline",)).apply(FILE, is_default=False)
    assert file.languages["hi"].providers is not None
    assert names(file.languages["hi"].providers.tts) == ["offline"]
    assert file.languages["fr"] == FILE.languages["fr"]


def test_a_language_goes_on_saying_no_more_than_it_said() -> None:
    """A chain that a language does not name is its agent's: it must not become a default."""
    file = Overrides(openai_voice="nova").apply(FILE, is_default=True)
    providers = file.languages["hi"].providers
    assert providers is not None
    assert providers.model_fields_set == {"tts"}
    assert providers.tts[0].options == {"voice": "nova"}


def test_prompt_and_voice_are_the_default_agents() -> None:
    overrides = Overrides(prompt="be brief", openai_voice="nova")
    changed = overrides.apply(FILE, is_default=True)
    assert changed.prompt == "be brief"
    assert changed.providers.tts[0].options == {"model": "m", "voice": "nova"}
    assert changed.providers.tts[1].options == {}
    assert overrides.apply(FILE, is_default=False) == FILE


def test_a_voice_reaches_a_chain_that_a_setting_chose() -> None:
    overrides = Overrides(openai_voice="nova", tts=("openai",))
    file = overrides.apply(AgentFile(providers=Providers()), is_default=True)
    assert file.providers.tts == (ProviderChoice(name="openai", options={"voice": "nova"}),)
