"""Every provider there is, by kind and name: where the vendors' entries come together."""

from __future__ import annotations

from services.agent.providers import base
from services.agent.providers.deepgram import entries as deepgram
from services.agent.providers.livekit import entries as livekit
from services.agent.providers.offline import entries as offline
from services.agent.providers.openai import entries as openai
from services.agent.providers.registry import Registry
from services.agent.turn_models.entries import END_OF_TURN


def make_registry(
    *, transcriber: base.Transcriber | None = None, voice: str | None = None
) -> Registry:
    """Return all providers.

    Args:
        transcriber: the worker's offline recogniser; None where only options are checked.
        voice: the offline voice of choices that name none.
    """
    return Registry(
        stt={
            "offline": offline.stt_entry(transcriber),
            **deepgram.STT,
            **openai.STT,
            "livekit": livekit.stt_entry(),
        },
        llm={**openai.LLM, "livekit": livekit.llm_entry()},
        tts={
            "offline": offline.tts_entry(voice),
            **deepgram.TTS,
            **openai.TTS,
            "livekit": livekit.tts_entry(),
        },
        realtime=openai.REALTIME,
        end_of_turn=END_OF_TURN,
    )
