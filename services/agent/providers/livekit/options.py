"""PURE. What an agent's file may say of a provider named `livekit:<plugin>`.

    stt: [{livekit:deepgram: {model: nova-3}}]
    tts: [{livekit:cartesia: {voice: 6f84f4b8, speed: 1.1, gain_db: 3}}]

The fields below are ours. Everything else is handed to the plugin's class as a keyword argument,
under the name that the plugin gives it; which names those are is known only once the plugin is
imported, so a misspelt one is refused when the provider is opened.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from services.agent.providers.registry import Options

# Arguments that hold a secret, or an object that no file can hold.
_NEVER = ("api_key", "http_session", "client", "self")


class LiveKitOptions(Options):
    """A plugin, ours of its options, and its own.

    Attributes:
        plugin: the part of the name after `livekit:`; set by whoever looks the provider up.
        api_key_env: where it is not given, `<PLUGIN>_API_KEY` in upper case.
        key_argument: the class's argument that takes the key.
        class_name: another class than `STT`, `LLM` or `TTS`, such as `STTv2`.
        gain_db: added to the level of a voice that is too quiet or too loud.
        timeout_s: the longest wait for a connection and for each next piece of an answer.
        final_s: the longest wait for a transcript after the caller has ended.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    plugin: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    key_argument: str = Field("api_key", pattern=r"^[a-z][a-z0-9_]*$")
    class_name: str = Field("", pattern=r"^([A-Z][A-Za-z0-9_]*)?$")
    gain_db: float = Field(0.0, ge=-40, le=40)
    timeout_s: float = Field(10.0, gt=0, le=120)
    final_s: float = Field(2.0, gt=0, le=30)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        refused = [name for name in value if name in _NEVER or str(name).startswith("_")]
        if refused:
            raise ValueError(
                f"{', '.join(sorted(refused))}: not for a file; "
                "api_key_env names the environment variable that holds the key"
            )
        plugin = value.get("plugin")
        if isinstance(plugin, str) and not value.get("api_key_env"):
            return {**value, "api_key_env": f"{plugin.upper()}_API_KEY"}
        return value

    @property
    def provider(self) -> str:
        """The name that errors and metrics use."""
        return f"livekit:{self.plugin}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What goes to the plugin's class as it is."""
        return dict(self.model_extra or {})
