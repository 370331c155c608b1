"""PURE. What an agent's file may say of speech to speech.

realtime: {openai: {model: gpt-realtime-2.1, voice: marin}}
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.agent.providers.openai.realtime_events import SessionConfig, TurnDetection
from services.agent.providers.registry import Options


class OpenAIRealtimeOptions(Options):
    """Of the Realtime API.

    Attributes:
        base_url: of a compatible host, such as `http://host/v1`; empty: OpenAI's own.
        transcription_model: writes down what the caller says, for the record; empty: nobody does.
        transcript_wait_s: how long a turn waits for its transcript. The model needs none; a wait
            gives the record (and rules that go by words) its text at the price of so much delay.
        turn_detection: the server's own, which is heard beside ours.
        silence_ms: of `server_vad`: silence that ends the caller's speech.
        connect_s: the longest wait for a connection.
        first_s: the longest wait for the first sound of an answer.
        next_s: the longest wait for each next piece of it.
    """

    api_key_env: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    model: str = Field("gpt-realtime-2.1", min_length=1)
    base_url: str = Field("", pattern=r"^(https?://.+)?$")
    voice: str = "marin"
    speed: float = Field(1.0, ge=0.25, le=1.5)
    transcription_model: str = "gpt-4o-mini-transcribe"
    transcript_wait_s: float = Field(0.0, ge=0, le=3)
    turn_detection: TurnDetection = "server_vad"
    silence_ms: int = Field(300, ge=100, le=5000)
    threshold: float = Field(0.5, ge=0, le=1)
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    max_output_tokens: int | None = Field(None, ge=1, le=4096)
    connect_s: float = Field(5.0, gt=0, le=60)
    first_s: float = Field(5.0, gt=0, le=60)
    next_s: float = Field(5.0, gt=0, le=60)

    def session(self, language: str) -> SessionConfig:
        """Return the session's configuration, but for the agent's instructions and tools."""
        return SessionConfig(
            instructions="",
            voice=self.voice,
            language=language,
            transcription_model=self.transcription_model,
            turn_detection=self.turn_detection,
            silence_ms=self.silence_ms,
            threshold=self.threshold,
            eagerness=self.eagerness,
            speed=self.speed,
            max_output_tokens=self.max_output_tokens,
        )
