"""The agent's settings."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from services.agent.turn.rules import TurnTaking
from shared.runtime.settings import ServiceSettings


class AgentSettings(ServiceSettings):
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
    agent_zone: str = Field("", description="zone told to the pool")
    agent_drain_s: float = Field(120.0, ge=0, description="longest wait for calls when stopping")
    agent_lead_s: float = Field(
        0.3, ge=0.06, le=2.0, description="how far playback is kept ahead of real time"
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
    agent_provider_timeout_s: float = Field(
        10.0, gt=0, description="longest wait for the next piece of any provider"
    )
    agent_stt_processes: int = Field(1, ge=1, le=16, description="processes that recognise speech")
    agent_voice: str | None = Field(None, description="offline voice, e.g. slt; unset: the best")

    @property
    def turn_taking(self) -> TurnTaking:
        """The rules of turn-taking these settings make."""
        return TurnTaking(silence_s=self.agent_silence_s, max_call_s=self.agent_max_call_s)
