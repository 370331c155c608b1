from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

import pytest

from deploy.local.plan import (
    MOST_AGENTS,
    BadSetting,
    Plan,
    Port,
    Program,
    make_plan,
    parse_env_file,
)
from deploy.local.prometheus import local_configuration

REDIS = {"REDIS_URL": "redis://127.0.0.1:40000/0", "REDIS_PASSWORD": "generated"}


def _free_port() -> Callable[[], int]:
    return itertools.count(30000).__next__


def _plan(environment: Mapping[str, str] | None = None) -> Plan:
    return make_plan(environment or {}, redis=REDIS, free_port=_free_port())


def _program(plan: Plan, name: str) -> Program:
    return next(program for program in plan.programs if program.name == name)


def test_without_settings_every_service_runs_once_on_its_usual_port() -> None:
    plan = _plan()
    assert {(p.name, *(port.number for port in p.ports)) for p in plan.programs} == {
        ("agent-1", 5001, 9101),
        ("gateway", 5000),
        ("dialer", 5002),
        ("simulator", 5003),
    }


def test_everything_listens_on_loopback_and_uses_the_embedded_redis() -> None:
    for program in _plan().programs:
        hosts = [v for k, v in program.environment.items() if k.endswith("_HOST")]
        assert hosts, program.name
        assert set(hosts) == {"127.0.0.1"}
        assert REDIS.items() <= program.environment.items()


def test_the_console_knows_the_dialer_and_a_prometheus_that_is_there() -> None:
    environment = _program(_plan(), "gateway").environment
    assert environment["CONSOLE_DIALER_URL"] == "http://127.0.0.1:5002"
    assert "PROMETHEUS_URL" not in environment
    with_one = make_plan(
        {}, redis=REDIS, free_port=_free_port(), prometheus_url="http://127.0.0.1:9090"
    )
    assert _program(with_one, "gateway").environment["PROMETHEUS_URL"] == "http://127.0.0.1:9090"


def test_what_the_user_set_is_left_to_the_user() -> None:
    gateway = _program(_plan({"GATEWAY_HOST": "192.0.2.1"}), "gateway")
    assert "GATEWAY_HOST" not in gateway.environment


def test_further_agents_get_free_ports() -> None:
    plan = _plan({"AGENT_REPLICAS": "3"})
    ports = [
        (p.environment["AGENT_WS_PORT"], p.environment["AGENT_METRICS_PORT"])
        for p in plan.programs
        if p.module == "services.agent"
    ]
    assert ports == [("5001", "9101"), ("30000", "30001"), ("30002", "30003")]


def test_the_dialer_is_told_of_the_simulator_and_its_own_rule_decides() -> None:
    environment = _program(_plan(), "dialer").environment
    assert environment["DIALER_TRIAL_API_BASE"] == "http://127.0.0.1:5003/api/v1"
    assert "VOBIZ_API_BASE" not in environment


def test_moved_ports_move_every_address_that_names_them() -> None:
    plan = _plan({"HTTP_PORT": "5100", "SIMULATOR_PORT": "5103"})
    assert plan.gateway_url == "http://127.0.0.1:5100"
    dialer = _program(plan, "dialer")
    assert dialer.environment["DIALER_GATEWAY_URL"] == "http://127.0.0.1:5100"
    assert dialer.environment["DIALER_TRIAL_API_BASE"] == "http://127.0.0.1:5103/api/v1"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "٣"])
def test_a_senseless_port_is_refused_by_name(port: str) -> None:
    with pytest.raises(BadSetting, match="HTTP_PORT"):
        _plan({"HTTP_PORT": port})


@pytest.mark.parametrize("count", ["0", "-2", "many", str(MOST_AGENTS + 1)])
def test_a_senseless_number_of_agents_is_refused_by_name(count: str) -> None:
    with pytest.raises(BadSetting, match="AGENT_REPLICAS"):
        _plan({"AGENT_REPLICAS": count})


def test_prometheus_gets_every_agent_and_no_simulator() -> None:
    text = local_configuration(_plan({"AGENT_REPLICAS": "2"}), rules=PurePosixPath("/here"))
    configuration = json.loads(text)
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in configuration["scrape_configs"]
    }
    assert jobs == {
        "agent": ["127.0.0.1:9101", "127.0.0.1:30001"],
        "gateway": ["127.0.0.1:5000"],
        "dialer": ["127.0.0.1:5002"],
    }
    assert configuration["rule_files"] == [
        "/here/prometheus/rules.yml",
        "/here/prometheus/alerts.yml",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("  A = 1  # why", {"A": "1"}),
        ("A='x # y'", {"A": "x # y"}),
        ('A="x y" # why', {"A": "x y"}),
        ("A=#nothing", {"A": ""}),
        ("A=", {"A": ""}),
        ("# A=1", {}),
        ("A", {}),
        ("=1", {}),
        ("A='open", {"A": "'open"}),
    ],
)
def test_an_env_line_is_read_as_people_mean_it(line: str, expected: dict[str, str]) -> None:
    assert parse_env_file(line) == expected


@pytest.mark.parametrize(("taken", "offered"), [(5000, 6000), (64_535, 65_535), (65_535, 64_535)])
def test_a_taken_port_is_named_with_a_port_to_try(taken: int, offered: int) -> None:
    assert Port(taken, "HTTP_PORT").taken("gateway") == (
        f"port {taken} (gateway) is in use by another program;"
        f" free it, or choose another: HTTP_PORT={offered}"
    )


def test_recordings_are_kept_where_the_user_says_or_beside_the_rest() -> None:
    def url(environment: Mapping[str, str], name: str) -> str | None:
        plan = make_plan(
            environment, redis=REDIS, free_port=_free_port(), recordings="/somewhere/recordings"
        )
        return _program(plan, name).environment.get("RECORDINGS_URL")

    for name in ("gateway", "agent-1"):
        assert url({}, name) == "/somewhere/recordings"
        assert url({"RECORDINGS_URL": "s3://bucket"}, name) is None
    assert url({}, "dialer") is None
