"""Every provider there is, by kind and name: where the vendors' entries come together."""

from __future__ import annotations

from services.agent.providers import base
from services.agent.providers.offline import entries as offline
from services.agent.providers.registry import Registry


def make_registry(
    *, transcriber: base.Transcriber | None = None, voice: str | None = None
) -> Registry:
    """Return all providers.

    Args:
        transcriber: the worker's offline recogniser, started; None where only options are checked.
        voice: the offline voice of choices that name none.
    """
    return Registry(
        stt={"offline": offline.stt_entry(transcriber)},
        llm={},
        tts={"offline": offline.tts_entry(voice)},
        realtime={},
        end_of_turn={},
    )
