"""Every container of a Compose stack is restarted, one after another, under calls: none is lost.

Long, so it is run by `make soak`. ROLLING_CALLS says how many calls there are at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.containers.test_compose import ROOT, Stack
from tests.support.engine import docker
from tests.support.ports import free_ports
from tests.support.story import SHORT_CALLER, STORY, storyteller

pytestmark = [pytest.mark.containers, pytest.mark.soak, pytest.mark.timeout(1200)]

AT_ONCE = int(os.environ.get("ROLLING_CALLS", "30"))
CALL_S, LASTS_S, FIRST_S = 34.0, 150.0, 20.0
ROLLED = ("agent", "gateway", "dialer", "redis", "simulator", "prometheus")
FIGURES = ROOT / ".parley" / "rolling.json"


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("calls"))
    agents = tmp_path_factory.mktemp("agents")
    (agents / "default.yaml").write_text(yaml.safe_dump(storyteller(STORY[:6])))
    agents.chmod(0o755)  # it is read by another user, in the container
    first = max(free_ports(4))
    stack.environment |= {
        "AGENT_FILES": str(agents),
        "AGENT_DRAIN_S": "5",
        "GATEWAY_DRAIN_S": "5",
        "GATEWAY_PUBLISHED_PORT": f"{first + 1}-{first + 9}",
    }
    scale = ("--scale", "agent=3", "--scale", "gateway=2")
    try:
        stack.compose("build", "--quiet", timeout_s=600)
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "90", *scale)
        yield stack
    finally:
        (stack.calls / "logs.txt").write_text(stack.compose("logs", "--no-color"))
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", timeout_s=120)


def _is_healthy(container: str) -> bool:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container).stdout.strip() in (
        "healthy",
        "",  # an image without a check of its own
    )


def _restart_each(stack: Stack, rolled: list[str]) -> None:
    """Restart containers one by one, each time waiting until the last one is ready."""
    time.sleep(FIRST_S)
    for service in ROLLED:
        for container in stack.containers(service):
            done = docker("restart", "--time", "30", container)
            assert done.returncode == 0, done.stderr
            deadline_s = time.monotonic() + 60
            while not _is_healthy(container):
                assert time.monotonic() < deadline_s, f"not healthy: {service}"
                time.sleep(0.5)
            rolled.append(service)


def test_every_service_is_restarted_under_calls_and_none_is_lost(stack: Stack) -> None:
    rolled: list[str] = []
    beside = threading.Thread(target=_restart_each, args=(stack, rolled))
    beside.start()
    calls = round(AT_ONCE * LASTS_S / CALL_S)
    folder = stack.calls / "rolling"
    stack.simulate(
        *("load", "--calls", str(calls), "--over", str(LASTS_S), "--out", str(folder)),
        *SHORT_CALLER,
    )
    was_over = not beside.is_alive()
    beside.join(120)
    report = json.loads((folder / "report.json").read_text())
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(report, indent=1))
    assert was_over, f"calls ended before all was restarted: {rolled}"
    assert len(rolled) == 9
    assert report["calls"] == calls
    assert report["failed"] == 0, report["failures"]
    assert report["most_at_once"] >= AT_ONCE * 0.8
    assert report["endings"] == {"4000 Normal Hangup by Answer XML": calls}
