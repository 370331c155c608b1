"""The gateway's settings, from the environment; README.md has the table."""

from __future__ import annotations

import hashlib
import secrets
import socket
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.gateway.access.trusted_proxies import Network, parse_networks
from services.gateway.access.webhook_auth import WebhookAuth
from shared.recordings.settings import RecordingSettings
from shared.runtime.setting_kinds import BaseUrl, PathSecret
from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount, account_of


class GatewaySettings(RecordingSettings):
    """Read once at start."""

    http_port: int = Field(5000, ge=0, le=65535, description="port of webhooks and media sockets")
    gateway_host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - a server
    gateway_trusted_proxies: str = Field(
        "", description="networks of proxies whose X-Forwarded-For counts, comma-joined"
    )
    gateway_id: str | None = Field(None, description="name of this gateway; made up when absent")

    public_url: BaseUrl | None = Field(None, description="base URL under which Vobiz reaches us")
    ngrok_auth_token: SecretStr | None = Field(None, description="opens a tunnel when set")
    gateway_tunnel_timeout_s: float = Field(20.0, gt=0, le=120, description="to open the tunnel")

    vobiz_auth_token: SecretStr | None = Field(None, description="checks webhook signatures")
    vobiz_auth_id: str | None = Field(None, description="the Vobiz account")
    vobiz_api_base: str = Field(VOBIZ_API_BASE, description="Vobiz's REST API")
    gateway_trial_api_base: str | None = Field(
        None, description="a stand-in for it, used until VOBIZ_AUTH_ID is set"
    )
    gateway_vobiz_recorded_agents: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.,* -]*$",
        description="agents whose calls Vobiz records too, comma-joined; *: all; unset: none",
    )
    gateway_vobiz_recording_format: Literal["mp3", "wav"] = Field(
        "mp3", description="of these recordings: mp3 or wav"
    )
    gateway_vobiz_recording_max_bytes: int = Field(
        134_217_728, ge=65_536, le=1_073_741_824, description="larger ones are not fetched"
    )
    gateway_vobiz_recording_timeout_s: float = Field(
        120.0, gt=0, le=3600, description="of an attempt to fetch one"
    )
    gateway_vobiz_recording_keep_days: float = Field(
        30.0, gt=0, le=36_500, description="of one whose call has no recording of ours beside it"
    )
    gateway_extra_auth_tokens: SecretStr | None = Field(
        None, description="further tokens that may sign, comma-joined (sub-accounts, rotation)"
    )
    gateway_webhook_auth: WebhookAuth = Field(
        WebhookAuth.AUTO, description="auto, signature, path or none: what webhooks must show"
    )
    gateway_path_secret: PathSecret | None = Field(None, description="unguessable first path part")
    gateway_token_secret: SecretStr | None = Field(None, description="signs media tokens")
    gateway_api_key: SecretStr | None = Field(
        None, description="bearer key of /calls and /recordings"
    )
    console_password: SecretStr | None = Field(
        None, description="lets into the console; without it a local one is open, a public one shut"
    )
    console_session_s: float = Field(
        43_200.0, ge=60, le=2_592_000, description="until one must log in to the console again"
    )
    prometheus_url: BaseUrl | None = Field(
        None, description="where the console's charts come from; unset: it has none"
    )
    console_dialer_url: BaseUrl | None = Field(
        None, description="the dialer that the console places calls by; unset: it places none"
    )
    console_pages_max: int = Field(
        200, ge=1, le=10_000, description="pages of the console that may follow what happens"
    )
    dialer_api_key: SecretStr | None = Field(None, description="bearer key of the dialer's API")
    console_names: str = Field(
        "", description="names beside localhost that an open console answers to, comma-joined"
    )

    gateway_token_lifetime_s: float = Field(
        30.0, ge=5, le=3600, description="from the answer until the media socket must have come"
    )
    gateway_call_max_s: float = Field(
        86_400.0, ge=60, le=172_800, description="how long answers and tokens are remembered"
    )
    gateway_stream_max_retries: int = Field(
        10, ge=0, le=10, description="reconnects of a media socket that Vobiz may try"
    )
    gateway_busy_text: str = Field(
        "All our lines are busy at the moment. Please call again in a few minutes. Goodbye.",
        min_length=1,
        max_length=500,
        description="said when no worker has room",
    )
    gateway_waiting_calls: int = Field(
        0, ge=0, le=10_000, description="calls that may wait while no worker has room, each gateway"
    )
    gateway_waiting_s: float = Field(
        60.0, gt=0, le=3600, description="longest wait; then the busy text"
    )
    gateway_hold_text: str = Field(
        "All our lines are busy at the moment. Please stay on the line.",
        min_length=1,
        max_length=500,
        description="said to calls that wait, each time they ask again",
    )
    gateway_hold_pause_s: int = Field(
        5, ge=1, le=15, description="silence between hold texts; then a worker is asked for again"
    )
    gateway_apology_text: str = Field(
        "We are sorry, there is a technical problem. Please call again in a few minutes. Goodbye.",
        min_length=1,
        max_length=500,
        description="said when the agent was lost",
    )

    gateway_zone: str = Field("", description="workers of this zone are taken first")
    gateway_pool_memory_s: float = Field(
        60.0, ge=0, le=3600, description="calls go by the pool as last seen, while Redis is away"
    )
    gateway_reserve_s: float = Field(
        0.4, gt=0, le=10, description="a slower reservation counts as Redis being away"
    )
    gateway_worker_tries: int = Field(3, ge=1, le=10, description="workers asked for one call")
    gateway_link_connect_s: float = Field(1.0, gt=0, le=10, description="to open a worker's link")
    gateway_link_ping_s: float = Field(
        0.25, ge=0.05, le=60, description="a worker that says nothing this long is pinged"
    )
    gateway_link_pong_s: float = Field(
        0.65,
        ge=0.1,
        le=60,
        description="and counts as lost after this long more, if others can take its calls",
    )
    gateway_replay_s: float = Field(
        4.0, ge=0, le=30, description="of a caller's messages that the next worker gets again"
    )
    gateway_worker_wait_s: float = Field(
        3.0, ge=0, le=30, description="a caller whose worker was lost or stands still waits"
    )
    gateway_caller_ping_s: float = Field(15.0, gt=0, le=120, description="between pings to Vobiz")
    gateway_caller_idle_s: float = Field(
        30.0, ge=10, le=600, description="without any frame until a caller's socket counts as lost"
    )
    gateway_send_timeout_s: float = Field(5.0, gt=0, le=60, description="of one send, either side")
    gateway_close_timeout_s: float = Field(1.0, gt=0, le=10, description="of a closing handshake")
    gateway_reconnect_grace_s: float = Field(
        5.0, ge=0, le=60, description="a lost caller's worker link is kept for a reconnect"
    )

    gateway_body_max_bytes: int = Field(65_536, ge=1024, le=1_048_576, description="of a webhook")
    gateway_header_max_bytes: int = Field(16_384, ge=2048, le=65_536, description="all headers")
    gateway_body_timeout_s: float = Field(10.0, gt=0, le=60, description="to receive a body")
    gateway_message_max_bytes: int = Field(
        65_536, ge=1024, le=1_048_576, description="longer messages are dropped"
    )
    gateway_message_hard_max_bytes: int = Field(
        1_048_576, ge=65_536, le=16_777_216, description="longer ones close the socket with 1009"
    )
    gateway_relay_queue_frames: int = Field(
        250, ge=10, le=10_000, description="frames waiting for a worker; then the oldest is dropped"
    )
    gateway_message_rate: float = Field(
        500.0, ge=100, le=100_000, description="messages a second taken from one caller"
    )
    gateway_nonce_memory_s: float = Field(
        86_400.0, ge=60, le=604_800, description="how long a webhook's nonce is remembered"
    )
    gateway_drain_s: float = Field(
        120.0, ge=0, le=7200, description="calls may finish this long after SIGTERM"
    )

    @field_validator("gateway_trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            parse_networks(value)
        except ValueError:
            raise ValueError("must be networks such as 10.0.0.0/8, or addresses") from None
        return value

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        if self.gateway_message_hard_max_bytes < self.gateway_message_max_bytes:
            raise ValueError("GATEWAY_MESSAGE_HARD_MAX_BYTES is below GATEWAY_MESSAGE_MAX_BYTES")
        return self

    @model_validator(mode="after")
    def _recordings_have_a_place(self) -> Self:
        if self.vobiz_recorded_agents and not self.recordings_url:
            raise ValueError("GATEWAY_VOBIZ_RECORDED_AGENTS needs RECORDINGS_URL")
        if self.vobiz_recorded_agents and self.vobiz_account is None:
            raise ValueError(
                "GATEWAY_VOBIZ_RECORDED_AGENTS needs VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN"
            )
        return self

    @property
    def vobiz_recorded_agents(self) -> frozenset[str]:
        """Whose calls Vobiz is asked to record; `*` is all."""
        names = (name.strip() for name in self.gateway_vobiz_recorded_agents.split(","))
        return frozenset(name for name in names if name)

    @property
    def vobiz_account(self) -> VobizAccount | None:
        """The account whose recordings are fetched; None: there is none."""
        trial = self.gateway_trial_api_base
        return account_of(
            self.vobiz_auth_id,
            _text(self.vobiz_auth_token),
            self.vobiz_api_base.rstrip("/"),
            trial.rstrip("/") if trial else None,
        )

    @property
    def is_public(self) -> bool:
        """Whether strangers can reach the webhooks: by a public URL or by a tunnel."""
        return self.public_url is not None or self.ngrok_auth_token is not None

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """Every token that may sign a webhook."""
        extra = _text(self.gateway_extra_auth_tokens) or ""
        tokens = [_text(self.vobiz_auth_token) or "", *extra.split(",")]
        return tuple(token.strip() for token in tokens if token.strip())

    @cached_property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """Networks of the proxies that may say whom they speak for."""
        return parse_networks(self.gateway_trusted_proxies)

    @property
    def path_secret(self) -> str | None:
        """The path secret in the clear."""
        return _text(self.gateway_path_secret)

    @property
    def api_key(self) -> str | None:
        """The key of /calls in the clear."""
        return _text(self.gateway_api_key)

    @property
    def dialer_key(self) -> str | None:
        """The dialer's key in the clear."""
        return _text(self.dialer_api_key)

    @property
    def own_console_names(self) -> frozenset[str]:
        """What an open console answers to beside localhost, in lower case."""
        names = [name.strip().lower() for name in self.console_names.split(",")]
        return frozenset(name for name in names if name)

    @cached_property
    def own_id(self) -> str:
        """This gateway's name on the bus."""
        return self.gateway_id or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"

    @cached_property
    def has_own_token_secret(self) -> bool:
        """Whether media tokens are signed with a secret that no other gateway has.

        So it is when the gateway is public and nobody set a secret: the default link secret is
        printed in our source, and tokens made from it would be anybody's to make.
        """
        return self.gateway_token_secret is None and self.is_public and self.has_default_link_secret

    @cached_property
    def token_secret(self) -> bytes:
        """The key of media tokens."""
        if self.has_own_token_secret:
            return secrets.token_bytes(32)
        chosen = _text(self.gateway_token_secret) or f"media-token:{self.link_secret}"
        return hashlib.sha256(chosen.encode()).digest()


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
