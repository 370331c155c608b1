"""The offline providers as agents' files name them: `offline` of stt and tts.

The recogniser's processes are started once for a worker, so it is passed in; a voice is opened for
each choice of one. The offline dialogue is no language model: it is the agent's flow.
"""

from __future__ import annotations

from pydantic import Field

from services.agent.providers import base
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.offline.voice import OfflineSynthesiser
from services.agent.providers.registry import Entry, Options, Secrets

NAME = "offline"


class SttOptions(Options):
    """None: the recogniser listens for the phrases of the flow, in English."""


class TtsOptions(Options):
    """`voice`: such as slt (flite) or en-gb (eSpeak NG); unset: AGENT_VOICE, else the best."""

    voice: str | None = Field(None, max_length=64)


def stt_entry(transcriber: base.Transcriber | None = None) -> Entry[base.Transcriber]:
    """Return the entry of speech recognition.

    Args:
        transcriber: the worker's, who starts and ends it; None: only options can be looked at.
    """

    def open_transcriber(
        _options: SttOptions, language: str, _secrets: Secrets
    ) -> base.Transcriber:
        if transcriber is None:
            raise ProviderUnavailable(NAME, "the recogniser is not started", FailureCause.MISSING)
        if language.partition("-")[0].lower() != "en":
            detail = f"the offline recogniser knows English only, not {language}"
            raise ProviderUnavailable(NAME, detail, FailureCause.MISSING)
        return transcriber

    return Entry(SttOptions, open_transcriber, needs_key=False, is_lent=True)


def tts_entry(default_voice: str | None = None) -> Entry[base.Synthesiser]:
    """Return the entry of speech synthesis; `default_voice` is for English choices without one."""

    def open_voice(options: TtsOptions, language: str, _secrets: Secrets) -> base.Synthesiser:
        if options.voice is not None:
            return OfflineSynthesiser.open(options.voice)
        spoken = language.partition("-")[0].lower()
        return OfflineSynthesiser.open(default_voice if spoken == "en" else spoken)

    return Entry(TtsOptions, open_voice, needs_key=False)
