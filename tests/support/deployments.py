"""What tests of deployment files share: their documents and the bounds they must keep."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from deploy.documents import environment_name
from services.agent.settings import AgentSettings
from services.dialer.settings import DialerSettings
from services.gateway.settings import GatewaySettings

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES: dict[str, type[BaseModel]] = {
    "gateway": GatewaySettings,
    "agent": AgentSettings,
    "dialer": DialerSettings,
}


def drain_s(service: str, environment: dict[str, str]) -> float:
    """How long a service of these settings may take to stop."""
    name = f"{service}_drain_s"
    default = SERVICES[service].model_fields[name].default
    return float(environment.get(name.upper(), default))


def setting_names() -> set[str]:
    """Every setting of every service, as variables are named."""
    return {
        environment_name(name, field)
        for kind in SERVICES.values()
        for name, field in kind.model_fields.items()
    }
