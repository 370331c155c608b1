"""docker-compose.yml against the settings and against what containers are promised to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.documents import CLASSES, entries_of, settings_of

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

# Where a service listens is Compose's to decide, and a worker's address is its container's.
DECIDED_HERE = {
    *("GATEWAY_HOST", "AGENT_WS_HOST", "DIALER_HOST", "SIMULATOR_HOST"),
    *("AGENT_ADVERTISE_HOST", "AGENT_ADVERTISE_PORT"),
}
# The simulator shares the class of settings but not the bus, and makes no traces.
UNUSED = {
    "simulator": {
        *("REDIS_URL", "REDIS_PASSWORD", "REDIS_PREFIX", "REDIS_TIMEOUT_S", "PARLEY_LINK_SECRET"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"),
        *("OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER_ARG"),
    }
}


@pytest.mark.parametrize("service", CLASSES)
def test_every_setting_of_a_service_reaches_its_container_and_nobody_elses_does(
    service: str,
) -> None:
    read = {entry.name for entry in entries_of(service)} - DECIDED_HERE
    assert set(SERVICES[service]["environment"]) == read - UNUSED.get(service, set())


@pytest.mark.parametrize("service", CLASSES)
def test_a_setting_without_need_of_a_value_has_none_here(service: str) -> None:
    """A default written twice would differ one day."""
    fixed = {name for name, value in SERVICES[service]["environment"].items() if value is not None}
    assert fixed <= {
        *("REDIS_URL", "REDIS_PASSWORD", "LOG_FORMAT"),
        *("HTTP_PORT", "AGENT_WS_PORT", "AGENT_METRICS_PORT", "DIALER_PORT", "SIMULATOR_PORT"),
        *("DIALER_GATEWAY_URL", "DIALER_TRIAL_API_BASE", "GATEWAY_TRIAL_API_BASE"),
        *("CONSOLE_NAMES", "CONSOLE_DIALER_URL", "PROMETHEUS_URL", "RECORDINGS_URL"),
        *("AGENT_FILES", "AGENT_TRIAL_API_BASE", "RECORDINGS_URL"),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_do_little(service: str) -> None:
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert definition["init"] is True
    assert definition["restart"] == "unless-stopped"
    assert definition["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not definition.get("privileged")


def test_redis_is_never_published() -> None:
    assert "ports" not in SERVICES["redis"]
    assert "network_mode" not in SERVICES["redis"]


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_unless_told_otherwise(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert re.match(r"(\$\{PUBLISH_ADDRESS:-127\.0\.0\.1\}|127\.0\.0\.1):", port)


def test_agents_can_be_scaled() -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES["agent"].keys()


@pytest.mark.parametrize("service", ["gateway", "agent", "dialer"])
def test_the_grace_period_outlasts_the_drain(service: str) -> None:
    """A container killed while its calls finish would cut them."""
    drain_s = settings_of(service).model_fields[f"{service}_drain_s"].default
    grace = re.fullmatch(r"(\d+)s", SERVICES[service]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > drain_s


@pytest.mark.parametrize("service", CLASSES)
def test_an_image_holds_its_own_service_and_dependencies_only(service: str) -> None:
    dockerfile = (ROOT / "services" / service / "Dockerfile").read_text()
    copied = [line.split()[1] for line in dockerfile.splitlines() if re.match(r"COPY (?!--)", line)]
    assert copied == [
        f"requirements/{'${AGENT_REQUIREMENTS}' if service == 'agent' else service}.txt",
        "shared",
        "services/__init__.py",
        f"services/{service}",
        *(["deploy/agents"] if service == "agent" else []),
    ]
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER (?!root|0)", dockerfile, re.MULTILINE)
    assert "HEALTHCHECK" in dockerfile


def test_prometheus_looks_for_every_service_where_it_serves_metrics() -> None:
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    found = {
        (name, job["dns_sd_configs"][0]["port"])
        for job in configuration["scrape_configs"]
        if "dns_sd_configs" in job
        for name in job["dns_sd_configs"][0]["names"]
    }
    defaults = {
        (service, settings_of(service).model_fields[field].default)
        for service, field in (
            ("gateway", "http_port"),
            ("agent", "agent_metrics_port"),
            ("dialer", "dialer_port"),
        )
    }
    assert found == defaults


def test_dialer_and_simulator_agree_on_the_made_up_account() -> None:
    from services.dialer.settings import DialerSettings
    from services.simulator.settings import SimulatorSettings

    account = DialerSettings(dialer_trial_api_base="http://127.0.0.1:5003/api/v1").account
    simulator = SimulatorSettings()
    assert account is not None
    assert account.auth_id == simulator.vobiz_auth_id
    assert account.auth_token == simulator.token
