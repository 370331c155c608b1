"""The stack file keeps what a call needs; that Swarm takes it, a container test shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.deployments import DEPLOY, SERVICES, drain_s, setting_names

FILES = ("stack.yml", "vendors.yml", "trial.yml")


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "swarm" / name).read_text()))


@pytest.mark.parametrize("service", SERVICES)
def test_a_task_is_given_longer_than_its_drain_takes(service: str) -> None:
    task = read("stack.yml")["services"][service]
    grace_s = float(task["stop_grace_period"].removesuffix("s"))
    assert grace_s > drain_s(service, task["environment"])


@pytest.mark.parametrize("service", SERVICES)
def test_an_update_starts_the_new_before_it_stops_the_old(service: str) -> None:
    update = read("stack.yml")["services"][service]["deploy"]["update_config"]
    assert (update["order"], update["parallelism"]) == ("start-first", 1)
    assert update["failure_action"] == "rollback"


@pytest.mark.parametrize("file", FILES)
def test_every_setting_and_secret_is_one_that_a_service_reads(file: str) -> None:
    known = setting_names()
    stack = read(file)
    for name in SERVICES:
        service = stack["services"].get(name, {})
        assert set(service.get("environment", {})) <= known
        assert {secret.upper() for secret in service.get("secrets", [])} <= known
    assert {name.upper() for name in stack.get("secrets", {})} <= known


@pytest.mark.parametrize("service", [*SERVICES, "redis"])
def test_nothing_writes_its_own_image_or_keeps_a_capability(service: str) -> None:
    task = read("stack.yml")["services"][service]
    assert task["read_only"]
    assert task["cap_drop"] == ["ALL"]


def test_redis_and_workers_are_published_nowhere() -> None:
    services = read("stack.yml")["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"gateway"}


def test_prometheus_scrapes_each_task_with_the_jobs_of_compose() -> None:
    jobs: dict[str, dict[str, Any]] = {}
    for name in ("swarm", "prometheus"):
        text = (DEPLOY / name / "prometheus.yml").read_text()
        jobs[name] = yaml.safe_load(re.sub(r"\btasks\.", "", text))
    assert jobs["swarm"] == jobs["prometheus"]
