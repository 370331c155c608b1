"""Deepgram's entries of the registry. The SDK is imported by the first provider that is opened."""

from __future__ import annotations

from services.agent.providers.base import Synthesiser, Transcriber
from services.agent.providers.deepgram.options import DeepgramListenOptions, DeepgramSpeakOptions
from services.agent.providers.registry import Entry, Secrets


def open_transcriber(
    options: DeepgramListenOptions, language: str, secrets: Secrets
) -> Transcriber:
    """Return a Transcriber over /v1/listen."""
    from services.agent.providers.deepgram.listen import DeepgramTranscriber

    return DeepgramTranscriber(options, language, secrets)


def open_synthesiser(
    options: DeepgramSpeakOptions, _language: str, secrets: Secrets
) -> Synthesiser:
    """Return a Synthesiser over /v1/speak; its voice says the language."""
    from services.agent.providers.deepgram.aura import DeepgramSynthesiser

    return DeepgramSynthesiser(options, secrets)


STT: dict[str, Entry[Transcriber]] = {"deepgram": Entry(DeepgramListenOptions, open_transcriber)}
TTS: dict[str, Entry[Synthesiser]] = {"deepgram": Entry(DeepgramSpeakOptions, open_synthesiser)}
