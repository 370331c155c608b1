"""The simulator's settings, from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from shared.runtime.settings import ServiceSettings

LOCAL_AUTH_ID = "MA_LOCAL"
LOCAL_AUTH_TOKEN = "local-token"  # noqa: S105 - an account that exists only here


class SimulatorSettings(ServiceSettings):
    """What the simulated cloud is like. Redis is not used."""

    simulator_host: str = Field("127.0.0.1", description="address the REST side listens on")
    simulator_port: int = Field(5003, ge=0, le=65535, description="its port; 0 picks a free one")
    vobiz_auth_id: str = Field(LOCAL_AUTH_ID, description="the account's Auth ID")
    vobiz_auth_token: SecretStr = Field(
        SecretStr(LOCAL_AUTH_TOKEN), description="its Auth Token; it signs webhooks"
    )
    simulator_cps: int = Field(10, ge=1, le=1000, description="new calls per second allowed")
    simulator_concurrency: int = Field(50, ge=1, le=10000, description="calls at once allowed")
    simulator_answer_after_s: float = Field(
        1.0, ge=0, le=120, description="how long dialled people let it ring"
    )
    simulator_say: str = Field(
        "Hello?; What can you do?; Goodbye.",
        description="what a dialled person says unless scripted; separated by ;",
    )
    simulator_max_call_s: float = Field(
        120.0, gt=0, le=86400, description="a dialled person hangs up after this"
    )
    simulator_speed: float = Field(
        1.0, ge=0.1, le=100, description="simulated seconds per second; above 1 for tests only"
    )

    @property
    def token(self) -> str:
        """The Auth Token in the clear."""
        return self.vobiz_auth_token.get_secret_value()
