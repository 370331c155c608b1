"""What an agent's file may say of OpenAI and of servers like it. Importing this costs no SDK."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from services.agent.providers.registry import Options, Secrets

_URL = r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$"
_NAME = r"^[A-Za-z0-9._:/@-]{1,128}$"
PRODUCTION_URL = "https://api.openai.com/v1"


class OpenAiOptions(Options):
    """What all kinds have in common.

    Attributes:
        api_key_env: empty for a server that wants no key.
        base_url: with its version, as `http://127.0.0.1:8000/v1`; empty, OPENAI_BASE_URL counts,
            then OpenAI's own.
        timeout_s: longest silence of the server within one answer.
    """

    api_key_env: str = Field("OPENAI_API_KEY", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    base_url: str = Field("", pattern=_URL)
    timeout_s: float = Field(10.0, gt=0, le=120)

    def url(self, secrets: Secrets) -> str:
        """Return the base URL that counts."""
        found = secrets.get("OPENAI_BASE_URL")
        return self.base_url or (found.get_secret_value() if found is not None else PRODUCTION_URL)


class OpenAiChatOptions(OpenAiOptions):
    """Chat completions.

    Attributes:
        most_tokens: longest answer; None leaves it to the server.
        tokens_field: what the server calls that; older ones know `max_tokens` alone.
        has_usage: ask for the tokens used; some servers refuse it.
        extra_body: further fields of the request, as `{"top_k": 20}`.
    """

    model: str = Field("gpt-4.1-mini", pattern=_NAME)
    temperature: float | None = Field(None, ge=0, le=2)
    most_tokens: int | None = Field(500, ge=1, le=100_000)
    tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high"] = ""
    has_usage: bool = True
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)


class OpenAiSpeechOptions(OpenAiOptions):
    """Speech.

    Attributes:
        instructions: how to speak; for models that take it.
        rate_hz: of the server's `pcm`; OpenAI's is 24 kHz.
        gain_db: added to what the server sends, to come near -20 dBFS.
    """

    model: str = Field("gpt-4o-mini-tts", pattern=_NAME)
    voice: str = Field("alloy", pattern=_NAME)
    instructions: str = Field("", max_length=2000)
    speed: float | None = Field(None, ge=0.25, le=4)
    rate_hz: int = Field(24_000, ge=8000, le=48_000)
    gain_db: float = Field(0.0, ge=-30, le=30)


class OpenAiTranscriptionOptions(OpenAiOptions):
    """Transcription.

    Attributes:
        mode: `realtime` sends audio while the caller speaks (OpenAI's own and servers that know
            `/realtime`); `file` posts each utterance when it is over, which every server takes.
        language: in place of the agent's.
        prompt: names and words to be expected.
        is_streamed: in mode `file`, have the text in pieces; not every server knows it.
        noise_reduction: of the server, in mode `realtime`.
    """

    model: str = Field("gpt-4o-mini-transcribe", pattern=_NAME)
    mode: Literal["realtime", "file"] = "realtime"
    language: str = Field("", pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")
    prompt: str = Field("", max_length=2000)
    is_streamed: bool = True
    noise_reduction: Literal["", "near_field", "far_field"] = ""


def primary_language(tag: str) -> str:
    """Return a BCP 47 tag's language alone, as these servers want it: `en` of `en-IN`."""
    return tag.partition("-")[0].lower()
