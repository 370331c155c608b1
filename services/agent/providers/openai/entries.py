"""OpenAI's entries of the registry. The SDK is imported by the first provider that is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.agent.providers.base import LanguageModel, SpeechBrain, Synthesiser, Transcriber
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.openai.options import (
    OpenAiChatOptions,
    OpenAiSpeechOptions,
    OpenAiTranscriptionOptions,
)
from services.agent.providers.openai.realtime_options import OpenAIRealtimeOptions
from services.agent.providers.registry import Entry, Secrets

if TYPE_CHECKING:
    from services.agent.providers.openai.realtime import OpenAIRealtimeBrain


def open_transcriber(
    options: OpenAiTranscriptionOptions, language: str, secrets: Secrets
) -> Transcriber:
    """Return a Transcriber, by the realtime protocol or by files as its options say."""
    if options.mode == "file":
        from services.agent.providers.openai.transcription_file import OpenAiFileTranscriber

        return OpenAiFileTranscriber(options, language, secrets)
    from services.agent.providers.openai.transcription import OpenAiRealtimeTranscriber

    return OpenAiRealtimeTranscriber(options, language, secrets)


def open_language_model(
    options: OpenAiChatOptions, _language: str, secrets: Secrets
) -> LanguageModel:
    """Return a LanguageModel over chat completions."""
    from services.agent.providers.openai.chat import OpenAiLanguageModel

    return OpenAiLanguageModel(options, secrets)


def open_synthesiser(options: OpenAiSpeechOptions, _language: str, secrets: Secrets) -> Synthesiser:
    """Return a Synthesiser over audio.speech; its voices speak whatever language the text is in."""
    from services.agent.providers.openai.speech import OpenAiSynthesiser

    return OpenAiSynthesiser(options, secrets)


def open_realtime(
    options: OpenAIRealtimeOptions, language: str, secrets: Secrets
) -> OpenAIRealtimeBrain:
    """Return a speech brain; it has to be told who it is by `for_agent`."""
    key = secrets.get(options.api_key_env)
    if key is None:
        raise ProviderUnavailable(
            "openai", f"{options.api_key_env} is not set", FailureCause.MISSING
        )
    from services.agent.providers.openai.realtime import OpenAIRealtimeBrain

    return OpenAIRealtimeBrain(options, language, key.get_secret_value())


STT: dict[str, Entry[Transcriber]] = {"openai": Entry(OpenAiTranscriptionOptions, open_transcriber)}
LLM: dict[str, Entry[LanguageModel]] = {"openai": Entry(OpenAiChatOptions, open_language_model)}
TTS: dict[str, Entry[Synthesiser]] = {"openai": Entry(OpenAiSpeechOptions, open_synthesiser)}
REALTIME: dict[str, Entry[SpeechBrain]] = {"openai": Entry(OpenAIRealtimeOptions, open_realtime)}
