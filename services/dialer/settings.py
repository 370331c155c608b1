"""The dialer's settings, from the environment; README.md has the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from services.dialer.calls.machine import MachineDetection
from services.dialer.calls.order import CallLimits, GatewayAddress
from services.dialer.calls.routes import OrderRules
from services.dialer.campaigns.holidays import NO_HOLIDAYS, Holidays, parse_holidays
from services.dialer.campaigns.pacing import PaceRules
from services.dialer.campaigns.requests import LIST_MAX_BYTES, CampaignRules
from services.dialer.desk.body import BodyBounds
from services.dialer.desk.upload import UploadBounds
from services.dialer.numbers.e164 import NumberCheck
from shared.runtime.setting_kinds import BaseUrl, PathSecret
from shared.runtime.settings import ServiceSettings
from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount, account_of, api_base_of

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_MAX_HOLIDAY_CHARS = 1_048_576
_TRIAL_NUMBER = "+918000000001"
_VOBIZ_TIME_LIMIT_S = 14_400
_LATE_S = 5.0
"""A request to Vobiz may be under way for its timeout, and be dealt with a little later."""


class DialerSettings(ServiceSettings):
    """Read once at start."""

    dialer_port: int = Field(5002, ge=0, le=65535, description="port of the API")
    dialer_host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - a server
    dialer_api_key: SecretStr | None = Field(None, description="bearer key of the dialer's API")
    dialer_gateway_url: BaseUrl | None = Field(
        None, description="gateway's base URL as Vobiz sees it"
    )
    dialer_number_check: NumberCheck = Field(NumberCheck.POSSIBLE, description="see README")
    dialer_ring_timeout_s: int | None = Field(None, ge=5, le=600, description="None: Vobiz's 120")
    dialer_time_limit_s: int | None = Field(
        None, ge=10, le=86_400, description="longest call; None: Vobiz's 14400"
    )
    dialer_machine_detection: MachineDetection = Field(
        MachineDetection.OFF, description="of orders that don't say: off, detect or hangup"
    )
    dialer_vobiz_timeout_s: float = Field(20.0, gt=0, le=120, description="of a request to Vobiz")
    dialer_vobiz_connect_s: float = Field(5.0, gt=0, le=60, description="to connect to Vobiz")
    dialer_silent_after_s: float = Field(
        600.0, ge=150, le=86_400, description="a queued call without any news has failed"
    )
    dialer_balance_currency: str = Field(
        "INR", pattern="^[A-Z]{3}$", description="of the account's balance that is watched"
    )
    dialer_look_every_s: float = Field(
        300.0, ge=1, le=86_400, description="between looks at the balance and the certificate"
    )
    dialer_body_max_bytes: int = Field(65_536, ge=1024, le=1_048_576, description="of a request")
    dialer_body_timeout_s: float = Field(10.0, gt=0, le=60, description="to receive a body")
    dialer_list_max: int = Field(200, ge=1, le=1000, description="most records in one list")
    dialer_rate_per_minute: int | None = Field(
        600, ge=1, le=100_000, description="requests of a key that says nothing of it; None: any"
    )
    dialer_cps: float = Field(
        1.0, gt=0, le=1000, description="new calls per second that the account may have"
    )
    dialer_concurrency: int | None = Field(
        None, ge=1, le=100_000, description="calls at once; None: Vobiz is asked, 3 until it says"
    )
    dialer_pace_margin_s: float = Field(
        0.1, ge=0.02, le=2, description="added to each second in which calls are counted"
    )
    dialer_pace_wait_s: float = Field(
        5.0, ge=0, le=60, description="a single call may wait so long for its turn"
    )
    dialer_agents_kept_free: int = Field(
        0, ge=0, le=100_000, description="agents that campaigns leave to inbound calls"
    )
    dialer_lease_s: float = Field(
        30.0, ge=12, le=600, description="a row is taken back from a dialer that died"
    )
    dialer_reconcile_s: float = Field(
        180.0,
        ge=1,
        le=3600,
        description="without news of a call for so long, Vobiz is asked; not while its answer may"
        " still come",
    )
    dialer_rows_max: int = Field(
        1_000_000, ge=1, le=10_000_000, description="most rows of a campaign"
    )
    dialer_upload_max_bytes: int = Field(
        268_435_456, ge=1024, le=4_294_967_296, description="of a table of rows or numbers"
    )
    dialer_upload_timeout_s: float = Field(
        600.0, gt=0, le=86_400, description="to receive a table, all of it"
    )
    dialer_upload_pause_s: float = Field(
        30.0, gt=0, le=600, description="longest silence while a table is received"
    )
    dialer_holidays_file: Path | None = Field(
        None, description="days on which no campaign calls; see README"
    )
    dialer_followers_max: int = Field(
        100, ge=1, le=10_000, description="streams of events that are open at once"
    )
    dialer_stream_s: float = Field(
        3600.0,
        ge=0.05,
        le=86_400,
        description="then a stream of events ends, and who follows asks again",
    )
    dialer_drain_s: float = Field(25.0, ge=0, le=600, description="to finish after SIGTERM")

    public_url: BaseUrl | None = Field(None, description="gateway's public URL")
    ngrok_auth_token: SecretStr | None = Field(None, description="tells that the gateway is public")
    gateway_path_secret: PathSecret | None = Field(None, description="as set for the gateway")
    from_number: str | None = Field(
        None, description="caller of orders that name none; a trial without an account makes one up"
    )
    vobiz_auth_id: str | None = Field(None, description="the Vobiz account")
    vobiz_auth_token: SecretStr | None = Field(None, description="its token")
    vobiz_api_base: BaseUrl = Field(VOBIZ_API_BASE, description="Vobiz's REST API")
    dialer_trial_api_base: BaseUrl | None = Field(
        None, description="a stand-in for Vobiz's REST API, used as long as VOBIZ_AUTH_ID is unset"
    )

    @field_validator("dialer_holidays_file")
    @classmethod
    def _has_holidays(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                _read_holidays(value)
            except (OSError, ValueError) as exc:
                raise ValueError(f"can't be used: {exc}") from exc
        return value

    @field_validator("vobiz_auth_id")
    @classmethod
    def _is_auth_id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
            raise ValueError("must be letters, digits, - or _ as in MA_XXXXXXXX")
        return value

    @model_validator(mode="after")
    def _key_where_public(self) -> Self:
        if self.is_public and self.dialer_api_key is None:
            raise ValueError(
                "DIALER_API_KEY is needed once the gateway is public: without it whoever reaches"
                " this port can place calls at your cost"
            )
        if self.vobiz_auth_id is not None and self.vobiz_auth_token is None:
            raise ValueError("VOBIZ_AUTH_ID needs VOBIZ_AUTH_TOKEN beside it")
        return self

    @property
    def is_public(self) -> bool:
        """Whether this is more than a local trial: strangers' phones can be reached."""
        return (
            self.public_url is not None
            or self.ngrok_auth_token is not None
            or (self.dialer_gateway_url or "").startswith("https:")
        )

    @property
    def is_unreachable_for_vobiz(self) -> bool:
        """Whether the real Vobiz is told to call back an address that only this machine has."""
        is_local = urlsplit(self.gateway.base).hostname in _LOOPBACK
        return is_local and urlsplit(self.api_base).hostname not in _LOOPBACK

    @property
    def gateway(self) -> GatewayAddress:
        """Where webhooks go."""
        base = self.dialer_gateway_url or self.public_url or "http://127.0.0.1:5000"
        return GatewayAddress(base, _text(self.gateway_path_secret))

    @property
    def limits(self) -> CallLimits:
        """What Vobiz enforces for each call."""
        return CallLimits(self.dialer_ring_timeout_s, self.dialer_time_limit_s)

    @property
    def api_base(self) -> str:
        """Where requests for Vobiz go: to the stand-in until somebody gives an account."""
        return api_base_of(self.vobiz_auth_id, self.vobiz_api_base, self.dialer_trial_api_base)

    @property
    def account(self) -> VobizAccount | None:
        """The account; made up towards a stand-in for Vobiz, None when the real one has none."""
        return account_of(
            self.vobiz_auth_id,
            _text(self.vobiz_auth_token),
            self.vobiz_api_base,
            self.dialer_trial_api_base,
        )

    @property
    def _trial_number(self) -> str | None:
        """The caller towards the stand-in for Vobiz, so that a number to call is all it takes."""
        is_trial = self.vobiz_auth_id is None and self.dialer_trial_api_base is not None
        return _TRIAL_NUMBER if is_trial else None

    @property
    def order_rules(self) -> OrderRules:
        """What single calls are held against."""
        return OrderRules(
            from_number=self.from_number or self._trial_number,
            number_check=self.dialer_number_check,
            machine_detection=self.dialer_machine_detection,
        )

    @property
    def pace_rules(self) -> PaceRules:
        """How fast may be dialled."""
        return PaceRules(
            cps=self.dialer_cps,
            margin_s=self.dialer_pace_margin_s,
            agents_kept_free=self.dialer_agents_kept_free,
            look_after_s=max(self.dialer_reconcile_s, self.dialer_vobiz_timeout_s + _LATE_S),
            call_max_s=float(self.dialer_time_limit_s or _VOBIZ_TIME_LIMIT_S),
        )

    @property
    def campaign_rules(self) -> CampaignRules:
        """What campaigns are held against."""
        file = self.dialer_holidays_file
        return CampaignRules(
            has_caller=self.order_rules.from_number is not None,
            number_check=self.dialer_number_check,
            holidays=_read_holidays(file) if file is not None else NO_HOLIDAYS,
            list_body=BodyBounds(LIST_MAX_BYTES, self.dialer_upload_pause_s),
            upload=self.upload_bounds,
        )

    @property
    def upload_bounds(self) -> UploadBounds:
        """Of tables."""
        return UploadBounds(
            self.dialer_upload_max_bytes, self.dialer_upload_timeout_s, self.dialer_upload_pause_s
        )

    @property
    def root_key(self) -> str | None:
        """The key that may do everything; None: the door is open."""
        return _text(self.dialer_api_key)

    @property
    def body_bounds(self) -> BodyBounds:
        """Of the bodies of requests."""
        return BodyBounds(self.dialer_body_max_bytes, self.dialer_body_timeout_s)


def _read_holidays(path: Path) -> Holidays:
    """Read the file. Raises OSError, ValueError."""
    with path.open(encoding="utf-8") as file:
        text = file.read(_MAX_HOLIDAY_CHARS + 1)
    if len(text) > _MAX_HOLIDAY_CHARS:
        raise ValueError(f"has more than {_MAX_HOLIDAY_CHARS} characters")
    return parse_holidays(text)


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
