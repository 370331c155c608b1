"""The whole platform in containers: built, scaled to three workers, loaded, looked at, stopped."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.engine import (
    PROMETHEUS_IMAGE,
    PYTHON_IMAGE,
    REDIS_IMAGE,
    docker,
    why_no_engine,
)
from tests.support.ports import free_ports

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
WORKERS, CALLS = 3, 12
MOST_MB = {"gateway": 150, "dialer": 150, "agent": 350}
"""Of an image over its base."""
SERVICES = ("redis", "gateway", "agent", "dialer", "simulator", "prometheus")


class Stack:
    """One Compose project with a name, ports and volumes of its own."""

    def __init__(self, calls: Path) -> None:
        self.calls = calls
        self.calls_before: dict[str, float] = {}
        self.project = f"parley-test-{os.getpid()}"
        gateway, dialer, simulator, prometheus = free_ports(4)
        self.gateway = f"http://127.0.0.1:{gateway}"
        self.dialer = f"http://127.0.0.1:{dialer}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        self.environment = {
            **os.environ,
            "GATEWAY_PUBLISHED_PORT": str(gateway),
            "DIALER_PUBLISHED_PORT": str(dialer),
            "SIMULATOR_PUBLISHED_PORT": str(simulator),
            "PROMETHEUS_PUBLISHED_PORT": str(prometheus),
            "AGENT_LATENESS_BUDGET_S": "1",  # a machine that runs tests is late now and then
        }

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        run = subprocess.run(
            ["docker", "compose", "-p", self.project, "--profile", "simulator", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert run.returncode == 0, f"{arguments}: {run.stdout[-2000:]}{run.stderr[-4000:]}"
        return run.stdout

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = _get_json(f"{self.prometheus}/api/v1/query", query=expression)
        assert answer["status"] == "success"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def calls_by_worker(self) -> dict[str, float]:
        result = self.query("sum by (instance) (voice_agent_calls_total)")
        return {series["metric"]["instance"]: float(series["value"][1]) for series in result}

    def simulate(self, *arguments: str) -> None:
        """Run a command of the simulator inside the stack; files end up in `calls`."""
        self.compose(
            *("run", "--rm", "--no-deps", "-T", "--user", f"{os.getuid()}:{os.getgid()}"),
            *("--volume", f"{self.calls}:{self.calls}", "simulator", *arguments),
            *("--gateway", "http://gateway:5000"),
            timeout_s=240,
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    reason = why_no_engine(PYTHON_IMAGE, REDIS_IMAGE, PROMETHEUS_IMAGE)
    if reason is not None:
        pytest.skip(reason)
    stack = Stack(tmp_path_factory.mktemp("calls"))
    try:
        stack.compose("build", "--quiet", timeout_s=600)
        stack.compose(
            *("up", "--detach", "--wait", "--wait-timeout", "90", "--scale", f"agent={WORKERS}"),
            timeout_s=180,
        )
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", timeout_s=120)


@pytest.fixture(scope="module")
def loaded(stack: Stack) -> Stack:
    """The stack after twelve callers at once, each of whom interrupted the agent."""
    _eventually(lambda: len(_workers_in_pool(stack)) == WORKERS)
    stack.calls_before = stack.calls_by_worker()
    stack.simulate(
        *("load", "--calls", str(CALLS), "--over", "2", "--out", str(stack.calls / "load")),
        *("--say", "What can you do?", "--say", "Goodbye.", "--barge-in-at", "2,turn"),
    )
    return stack


def _get_json(url: str, **parameters: str) -> Any:
    answer = httpx.get(url, params=parameters, timeout=10, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def _eventually(is_so: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for what Prometheus learns at its next scrape, or a worker tells at its next beat."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not become so in time"
        time.sleep(0.5)


def _value(stack: Stack, expression: str) -> float:
    (series,) = stack.query(expression)
    return float(series["value"][1])


def _workers_in_pool(stack: Stack) -> list[dict[str, Any]]:
    return stack.query("voice_agent_capacity_calls > 0")


def _agent_targets(stack: Stack) -> list[str]:
    targets = _get_json(f"{stack.prometheus}/api/v1/targets?state=active")["data"]["activeTargets"]
    return [t["health"] for t in targets if t["labels"]["job"] == "agent"]


@pytest.mark.parametrize("service", MOST_MB)
def test_an_image_adds_little_to_its_base(stack: Stack, service: str) -> None:
    def size_mb(image: str) -> float:
        return float(docker("image", "inspect", "--format", "{{.Size}}", image).stdout) / 1e6

    assert size_mb(f"parley-{service}") - size_mb(PYTHON_IMAGE) < MOST_MB[service]


def test_prometheus_lists_every_worker_as_up(stack: Stack) -> None:
    _eventually(lambda: _agent_targets(stack) == ["up"] * WORKERS)


def test_twelve_callers_at_once_are_spread_over_three_workers(loaded: Stack) -> None:
    report = json.loads((loaded.calls / "load" / "report.json").read_text())
    assert report["calls"] == CALLS
    assert report["failed"] == 0, report["failures"]
    assert report["most_at_once"] == CALLS

    def added() -> list[float]:
        now, before = loaded.calls_by_worker(), loaded.calls_before
        return [count - before.get(instance, 0) for instance, count in now.items()]

    _eventually(lambda: sum(added()) >= CALLS)
    assert len(added()) == WORKERS
    # Workers are drawn, and how late their loops are counts as well as their calls.
    assert min(added()) >= 1, f"badly spread: {added()}"
    assert max(added()) <= CALLS * 3 / 4, f"badly spread: {added()}"


def test_prometheus_answers_for_jitter_barge_in_and_active_calls(loaded: Stack) -> None:
    def has_all() -> bool:
        return all(
            result and result[0]["value"][1] != "NaN"
            for result in map(
                loaded.query,
                (
                    "histogram_quantile(0.95, sum by (le)"
                    " (voice_agent_frame_jitter_seconds_bucket))",
                    "histogram_quantile(0.5, sum by (le) (voice_agent_barge_in_seconds_bucket))",
                    "sum(voice_agent_active_calls)",
                    "parley:active_calls",
                ),
            )
        )

    _eventually(has_all)
    report = json.loads((loaded.calls / "load" / "report.json").read_text())
    heard = report["barge_ins"] - report["barge_ins_talked_over"]
    assert heard >= CALLS / 2
    _eventually(lambda: _value(loaded, "sum(voice_agent_barge_in_seconds_count)") >= heard)
    assert _value(loaded, "sum(voice_agent_sessions_crashed_total)") == 0


def test_an_outbound_call_goes_from_queued_to_completed(stack: Stack) -> None:
    order = {"to": "+918000000002", "from": "+918000000001"}
    answer = httpx.post(f"{stack.dialer}/v1/calls", json=order, timeout=20, trust_env=False)
    assert answer.status_code == 201, answer.text
    call_id = answer.json()["call_id"]
    url = f"{stack.dialer}/v1/calls/{call_id}"
    _eventually(lambda: _get_json(url)["state"] == "completed", within_s=90)
    record = _get_json(url)
    assert record["direction"] == "outbound"
    assert record["created_at"] <= record["ringing_at"] <= record["answered_at"]
    assert record["answered_at"] <= record["ended_at"]
    assert record["hangup_cause"]
    assert record["duration_s"] > 0


def test_redis_cannot_be_reached_from_this_machine(stack: Stack) -> None:
    (redis,) = stack.containers("redis")
    bindings = docker("inspect", "-f", "{{json .HostConfig.PortBindings}}", redis).stdout.strip()
    assert bindings in ("{}", "null")


def test_redis_asks_for_a_password(stack: Stack) -> None:
    assert "NOAUTH" in stack.compose("exec", "-T", "redis", "redis-cli", "ping")


@pytest.mark.parametrize("service", SERVICES)
def test_containers_are_not_root_and_cannot_write(stack: Stack, service: str) -> None:
    for container in stack.containers(service):
        uid = docker("exec", container, "id", "-u")
        assert uid.returncode == 0
        assert uid.stdout.strip() not in ("", "0")
        status = docker("exec", container, "cat", "/proc/1/status").stdout
        owners = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert "0" not in owners, f"process 1 of {service} is root"
        capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
        assert int(capabilities.split()[1], 16) == 0
        assert "Read-only" in docker("exec", container, "touch", "/made").stderr


@pytest.mark.parametrize("service", ["gateway", "agent", "dialer", "simulator"])
def test_an_image_holds_no_other_service(stack: Stack, service: str) -> None:
    found = stack.compose("exec", "-T", service, "ls", "/app", "/app/services").split()
    assert set(found) - {"/app:", "/app/services:", "__init__.py", "__pycache__"} == {
        *("services", "shared", service),
        *(["deploy"] if service == "agent" else []),  # the agents' files
    }


def test_the_dialers_command_is_at_hand_in_its_image(stack: Stack) -> None:
    ran = stack.compose("exec", "-T", "dialer", "parley-dialer", "account")
    assert "calls at once" in ran
    planned = stack.compose("exec", "-T", "dialer", "parley-dialer", "setup")
    assert "http://gateway:5000/answer" in planned
    assert "Nothing was changed yet" in planned
    applied = stack.compose("exec", "-T", "dialer", "parley-dialer", "setup", "--apply")
    assert applied.splitlines()[-1] == "Done."
    again = stack.compose("exec", "-T", "dialer", "parley-dialer", "setup")
    assert "Nothing to change." in again


def test_agents_can_be_checked_where_they_run(stack: Stack) -> None:
    checked = stack.compose("exec", "-T", "agent", "parley-agent", "check", "deploy/agents")
    assert "deploy/agents/default.yaml: fine" in checked


def test_the_simulator_has_its_voice(stack: Stack) -> None:
    """Without libflite in the image the callers of the demonstration would be mute."""
    stack.simulate(
        *("call", "--say", "Goodbye.", "--out", str(stack.calls / "one"), "--no-picture")
    )
    report = json.loads((stack.calls / "one" / "report.json").read_text())
    assert report["ok"], report["failures"]


def test_prometheus_accepts_the_configuration() -> None:
    reason = why_no_engine(PROMETHEUS_IMAGE)
    if reason is not None:
        pytest.skip(reason)
    checked = docker(
        *("run", "--rm", "--entrypoint", "promtool"),
        *("-v", f"{ROOT / 'deploy/prometheus'}:/etc/prometheus:ro", PROMETHEUS_IMAGE),
        *("check", "config", "/etc/prometheus/prometheus.yml"),
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout
