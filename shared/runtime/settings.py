"""Settings: one frozen class a service, read once at start.

From the environment, from `.env`, or from files of a secret's name in `/run/secrets`, where Docker
Swarm and Compose put them; what comes first here counts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.bus.redis_address import parse_address

SECRETS_DIR = Path("/run/secrets")
DEFAULT_LINK_SECRET = "parley-local"  # noqa: S105 - stands for "none was set", see warn_if_default


class ServiceSettings(BaseSettings):
    """What every service reads. Empty variables count as absent, so `.env` may list them all."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="where Redis is: redis://, redis+sentinel://host,host/name or redis+cluster://",
    )
    redis_password: SecretStr | None = Field(None, description="its password, if not in the URL")
    redis_prefix: str = Field("{parley}", description="prefix of every key, with one hash tag")
    redis_timeout_s: float = Field(1.0, gt=0, le=30, description="bound of a command to Redis")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level"
    )
    log_format: str = Field("auto", pattern="^(auto|json|console)$", description="how logs look")
    parley_link_secret: SecretStr = Field(
        SecretStr(DEFAULT_LINK_SECRET), description="shared by gateways and workers, signs links"
    )

    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+.*$",
        description="collector of traces (OTLP over HTTP), as http://host:4318; unset: no traces",
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        None, description="headers for it, as name=value, comma-joined"
    )
    otel_service_name: str = Field("", description="name in traces; unset: parley- and the service")
    otel_resource_attributes: str = Field(
        "", description="more to say of this process in traces, as name=value, comma-joined"
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="share of calls that are traced; the same for all services"
    )

    @field_validator("redis_url")
    @classmethod
    def _names_a_redis(cls, value: str) -> str:
        parse_address(value)
        return value

    @property
    def traced_share(self) -> float:
        """The share of calls that are traced, nought where nobody takes traces."""
        return self.otel_traces_sampler_arg if self.otel_exporter_otlp_endpoint else 0.0

    @property
    def password(self) -> str | None:
        """The Redis password in the clear, for the client alone."""
        return self.redis_password.get_secret_value() if self.redis_password else None

    @property
    def link_secret(self) -> str:
        """The link secret in the clear."""
        return self.parley_link_secret.get_secret_value()

    @property
    def has_default_link_secret(self) -> bool:
        """Whether nobody set a link secret."""
        return self.link_secret == DEFAULT_LINK_SECRET


S = TypeVar("S", bound=ServiceSettings)


def load_settings(kind: type[S], secrets_dir: Path = SECRETS_DIR) -> S:
    """Read a service's settings, or end the process listing every fault, one a line.

    Values are never repeated in the message: one of them may be a secret.
    """
    try:
        return kind(_secrets_dir=secrets_dir if secrets_dir.is_dir() else None)
    except ValidationError as exc:
        lines = [
            "  " + ": ".join([*(str(part).upper() for part in error["loc"]), error["msg"]])
            for error in exc.errors(include_input=False, include_url=False)
        ]
        sys.stderr.write("These settings are wrong:\n" + "\n".join(lines) + "\n")
        raise SystemExit(2) from None
