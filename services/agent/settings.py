"""The agent's settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from services.agent.agents.overrides import Overrides
from services.agent.providers.names import Kind, is_known
from shared.recordings.settings import RecordingSettings
from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount, account_of

# Names joined by commas, not JSON.
ProviderNames = Annotated[tuple[str, ...], NoDecode]


def _known(kind: Kind, names: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if not is_known(kind, name):
            raise ValueError(f"{name!r} is no provider of {kind}")
    return tuple(names)


class AgentSettings(RecordingSettings):
    """Read once at start. See the README's table."""

    ws_host: str = Field(
        "0.0.0.0",  # noqa: S104 - gateways on other hosts connect here; links are signed
        validation_alias=AliasChoices("agent_ws_host", "ws_host"),
        description="address the WebSocket binds",
    )
    ws_port: int = Field(
        5001,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("agent_ws_port", "ws_port"),
        description="port of the WebSocket; 0 takes a free one",
    )
    agent_metrics_port: int = Field(
        9101, ge=0, le=65535, description="port of /metrics, /healthz and /readyz"
    )
    agent_advertise_host: str | None = Field(
        None, description="host gateways reach this worker at; unset: this host's own address"
    )
    agent_capacity: int = Field(25, ge=1, le=1000, description="calls taken at once")
    agent_lateness_budget_s: float = Field(
        0.06,
        ge=0.02,
        le=10.0,
        description="95th percentile of frames' lateness above which no new calls are taken",
    )
    agent_zone: str = Field("", description="zone told to the pool")
    agent_drain_s: float = Field(120.0, ge=0, description="longest wait for calls when stopping")
    agent_lead_s: float = Field(
        0.3, ge=0.06, le=2.0, description="how far playback is kept ahead of real time"
    )
    agent_burst_s: float = Field(
        0.1,
        ge=0.02,
        le=0.4,
        description="audio written at a time, in frames of 20 ms; more is cheaper",
    )
    agent_endpointing_s: float = Field(
        0.5, ge=0.1, le=3.0, description="silence after which a caller's turn is over"
    )
    agent_silence_s: float = Field(7.0, ge=1, description="wait for a silent caller")
    agent_max_call_s: float = Field(3600.0, ge=10, description="the agent ends a longer call")
    agent_echo_margin_db: float = Field(
        13.0,
        ge=0,
        le=40,
        description="while the agent speaks, callers must be louder than its level less this",
    )
    agent_stt_processes: int = Field(1, ge=1, le=16, description="processes that recognise speech")
    agent_voice: str | None = Field(None, description="offline voice, e.g. slt; unset: the best")

    agent_files: Path = Field(
        Path("deploy/agents"),
        description="folder of the agents' files; read again when they change",
    )
    agent_default: str = Field(
        "default", min_length=1, description="agent of calls that no other is chosen for"
    )
    agent_system_prompt: str = Field(
        "", description="prompt of the default agent, in place of its file's"
    )
    openai_tts_voice: str = Field(
        "", description="OpenAI voice of the default agent, in place of its file's"
    )
    agent_stt: ProviderNames = Field(
        (), description="providers of speech recognition for every agent, comma-joined, for trials"
    )
    agent_llm: ProviderNames = Field((), description="the same for language models")
    agent_tts: ProviderNames = Field((), description="the same for speech")
    deepgram_api_key: SecretStr | None = Field(
        None, description="Deepgram's key; unset: left out of every chain"
    )
    deepgram_base_url: str = Field(
        "", description="server that speaks Deepgram's protocol; unset: Deepgram's own"
    )
    openai_api_key: SecretStr | None = Field(
        None, description="OpenAI's key; unset: left out of every chain"
    )
    openai_base_url: str = Field(
        "", description="server that speaks OpenAI's protocol; unset: OpenAI's own"
    )

    agent_tools: Path | None = Field(
        None, description="folder of the modules of agents' Python tools; unset: there are none"
    )
    vobiz_auth_id: str | None = Field(None, description="the Vobiz account")
    vobiz_auth_token: SecretStr | None = Field(None, description="its token")
    vobiz_api_base: str = Field(VOBIZ_API_BASE, description="Vobiz's REST API")
    agent_trial_api_base: str | None = Field(
        None, description="a stand-in for it, used until VOBIZ_AUTH_ID is set"
    )
    agent_vobiz_timeout_s: float = Field(5.0, gt=0, le=60, description="of a request to Vobiz")

    agent_recording_block_s: float = Field(
        1.0,
        ge=0.2,
        le=30,
        description="how much of a call a block of its recording holds; lost when the worker is",
    )
    agent_recording_sweep_s: float = Field(
        600.0, ge=1, le=86_400, description="how often recordings kept long enough are removed"
    )

    @field_validator("agent_stt", "agent_llm", "agent_tts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("agent_stt")
    @classmethod
    def _known_stt(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("stt", names)

    @field_validator("agent_llm")
    @classmethod
    def _known_llm(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("llm", names)

    @field_validator("agent_tts")
    @classmethod
    def _known_tts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("tts", names)

    @property
    def overrides(self) -> Overrides:
        """What these settings change in agents' files."""
        return Overrides(
            prompt=self.agent_system_prompt,
            openai_voice=self.openai_tts_voice,
            stt=self.agent_stt,
            llm=self.agent_llm,
            tts=self.agent_tts,
        )

    @property
    def vobiz_account(self) -> VobizAccount | None:
        """The account that transfers callers and presses keys; None: there is none."""
        token = self.vobiz_auth_token
        return account_of(
            self.vobiz_auth_id,
            token.get_secret_value() if token is not None else None,
            self.vobiz_api_base.rstrip("/"),
            self.agent_trial_api_base.rstrip("/") if self.agent_trial_api_base else None,
        )
