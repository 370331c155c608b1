"""The providers named `livekit:<plugin>`: what a registry holds of them.

Whoever looks `livekit:<plugin>` up puts the plugin's name into the options:

    kind, _, plugin = choice.name.partition(":")
    options = entry.options.model_validate({**choice.options, "plugin": plugin})

LiveKit is imported when the first of them is opened (about two seconds, once a process), so that a
worker without it runs all else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from services.agent.providers.base import LanguageModel, Synthesiser, Transcriber
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.registry import Entry, Secrets

if TYPE_CHECKING:
    from services.agent.providers.livekit.plugin import Kind, Plugin


def open_transcriber(options: LiveKitOptions, language: str, secrets: Secrets) -> Transcriber:
    """Make a Transcriber of a plugin's STT class. See Entry.open."""
    plugin = _open("STT", options, language, secrets)
    from services.agent.providers.livekit.transcriber import LiveKitTranscriber

    return LiveKitTranscriber(plugin, options)


def open_language_model(options: LiveKitOptions, language: str, secrets: Secrets) -> LanguageModel:
    """Make a LanguageModel of a plugin's LLM class. See Entry.open."""
    plugin = _open("LLM", options, language, secrets)
    from services.agent.providers.livekit.language_model import LiveKitLanguageModel

    return LiveKitLanguageModel(plugin, options)


def open_synthesiser(options: LiveKitOptions, language: str, secrets: Secrets) -> Synthesiser:
    """Make a Synthesiser of a plugin's TTS class. See Entry.open."""
    plugin = _open("TTS", options, language, secrets)
    from services.agent.providers.livekit.synthesiser import LiveKitSynthesiser

    return LiveKitSynthesiser(plugin, options)


def stt_entry() -> Entry[Transcriber]:
    """Return the registry's entry `livekit` of transcribers."""
    return Entry(LiveKitOptions, open_transcriber)


def llm_entry() -> Entry[LanguageModel]:
    """Return the registry's entry `livekit` of language models."""
    return Entry(LiveKitOptions, open_language_model)


def tts_entry() -> Entry[Synthesiser]:
    """Return the registry's entry `livekit` of voices."""
    return Entry(LiveKitOptions, open_synthesiser)


def _open(kind: Kind, options: LiveKitOptions, language: str, secrets: Secrets) -> Plugin:
    key = secrets.get(options.api_key_env)
    if key is None:
        raise ProviderUnavailable(
            options.provider, f"{options.api_key_env} is not set", FailureCause.MISSING
        )
    try:
        import_module("livekit.agents")
    except ImportError as exc:
        raise ProviderUnavailable(
            options.provider,
            "LiveKit is not installed: pip install livekit-agents "
            f"livekit-plugins-{options.plugin.replace('_', '-')}",
            FailureCause.MISSING,
        ) from exc
    from services.agent.providers.livekit.plugin import Plugin

    return Plugin(kind, options, language, key.get_secret_value())
