"""What the commands read from the environment or `.env`; the names are the services' own."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.dialer.cli.failure import CommandFailed, Exit
from shared.runtime.settings import SECRETS_DIR
from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount, account_of, api_base_of


class CliSettings(BaseSettings):
    """Read once at the start of a command."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    from_number: str | None = None
    to_number: str | None = None
    dialer_url: str | None = None
    dialer_port: int = Field(5002, ge=1, le=65535)
    dialer_api_key: SecretStr | None = None
    dialer_gateway_url: str | None = None
    dialer_balance_currency: str = Field("INR", pattern="^[A-Z]{3}$")
    dialer_trial_api_base: str | None = None
    http_port: int = Field(5000, ge=1, le=65535)
    public_url: str | None = None
    gateway_path_secret: SecretStr | None = None
    vobiz_auth_id: str | None = None
    vobiz_auth_token: SecretStr | None = None
    vobiz_api_base: str = VOBIZ_API_BASE

    @property
    def dialer_base(self) -> str:
        """Where the dialer is."""
        return (self.dialer_url or f"http://127.0.0.1:{self.dialer_port}").rstrip("/")

    @property
    def path_secret(self) -> str | None:
        """The first part of the webhooks' paths, in the clear."""
        return _text(self.gateway_path_secret)

    @property
    def api_base(self) -> str:
        """Where requests for Vobiz go."""
        return api_base_of(
            self.vobiz_auth_id, self.vobiz_api_base.rstrip("/"), self.dialer_trial_api_base
        )

    @property
    def account(self) -> VobizAccount | None:
        """The account; made up towards a stand-in for Vobiz, None when the real one has none."""
        return account_of(
            self.vobiz_auth_id,
            _text(self.vobiz_auth_token),
            self.vobiz_api_base.rstrip("/"),
            self.dialer_trial_api_base,
        )


def read_settings(secrets_dir: Path = SECRETS_DIR) -> CliSettings:
    """Read the settings.

    Raises:
        CommandFailed: some are wrong; they are named, their values are not.
    """
    try:
        return CliSettings(_secrets_dir=secrets_dir if secrets_dir.is_dir() else None)
    except ValidationError as exc:
        names = ", ".join(str(fault["loc"][-1]).upper() for fault in exc.errors())
        raise CommandFailed(Exit.MISUSED, f"These settings are wrong: {names}.") from None


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
