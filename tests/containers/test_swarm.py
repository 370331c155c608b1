"""The stack file on a real Swarm of one host: it comes up, and is updated under calls.

It takes minutes, so it is run by `make soak`. SWARM_CALLS says how many calls there are at once.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import (
    PROMETHEUS_IMAGE,
    PYTHON_IMAGE,
    REDIS_IMAGE,
    docker,
    why_no_engine,
)

pytestmark = [pytest.mark.containers, pytest.mark.soak, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
BUILT = ("gateway", "agent", "dialer", "simulator")
SECRETS = ("redis_password", "parley_link_secret")
AT_ONCE = int(os.environ.get("SWARM_CALLS", "30"))
CALL_S, LASTS_S = 20.0, 200.0
UPDATED = ("agent", "gateway", "dialer", "redis")
FIGURES = ROOT / ".parley" / "swarm.json"
REPORTS = "/tmp/load"  # noqa: S108 - in the container, where nothing else is writable
READ_ENDS = """
import collections, json, pathlib, redis
password = pathlib.Path("/run/secrets/redis_password").read_text().strip()
entries = redis.Redis("redis", password=password, decode_responses=True).xrange("{parley}:events")
events = [json.loads(fields["event"]) for _, fields in entries]
print(json.dumps(collections.Counter(e["call_id"] for e in events if e["kind"] == "hangup")))
"""


def run(*arguments: str, timeout_s: float = 120.0, may_fail: bool = False, **more: Any) -> str:
    """Run the docker command line; what it said, or a failed test unless it `may_fail`."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
        **more,
    )
    said = f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert may_fail or done.returncode == 0, said
    return done.stdout


class Swarm:
    """A stack of a name of its own, on a Swarm that was made for it."""

    def __init__(self) -> None:
        self.name = f"parley-test-{os.getpid()}"
        self.tag = f"test-{os.getpid()}"

    def build(self) -> None:
        for service in BUILT:
            file = f"services/{service}/Dockerfile"
            image = f"parley-{service}:{self.tag}"
            run("build", "--quiet", "-f", file, "-t", image, ".", timeout_s=600)

    def deploy(self) -> None:
        environment = {
            **os.environ,
            "PARLEY_VERSION": self.tag,
            # Without Swarm's own balancer, for which this kernel may lack IPVS.
            "GATEWAY_PORT_MODE": "host",
            "GATEWAY_ENDPOINT_MODE": "dnsrr",
            "GATEWAY_PUBLISHED_PORT": "0",
            "AGENT_LATENESS_BUDGET_S": "1",  # a machine that runs tests is late now and then
        }
        files = ("-c", "deploy/swarm/stack.yml", "-c", "deploy/swarm/trial.yml")
        run("stack", "deploy", "--resolve-image", "never", *files, self.name, env=environment)

    def replicas(self) -> dict[str, str]:
        lines = run("stack", "services", "--format", "{{.Name}} {{.Replicas}}", self.name)
        pairs = [line.split(" ", 1) for line in lines.splitlines()]
        return {name.removeprefix(f"{self.name}_"): count for name, count in pairs}

    def is_up(self) -> bool:
        return all(
            count.partition("/")[0] == count.partition("/")[2]
            for count in (count.split(" ")[0] for count in self.replicas().values())
        )

    def update(self, service: str) -> None:
        """Replace every task of a service, and wait until that is done."""
        run("service", "update", "--force", "--quiet", f"{self.name}_{service}", timeout_s=400)

    def in_simulator(self, *arguments: str, **how: Any) -> str:
        return self._in_task("simulator", *arguments, **how)

    def ends(self) -> dict[str, int]:
        """How often the end of each call was told on the bus."""
        ends: dict[str, int] = json.loads(self._in_task("gateway", "python", "-c", READ_ENDS))
        return ends

    def _in_task(self, service: str, *arguments: str, **how: Any) -> str:
        label = f"label=com.docker.swarm.service.name={self.name}_{service}"
        task = run("ps", "--quiet", "--filter", label).split()[0]
        return run("exec", task, *arguments, **how)

    def keep_logs(self, folder: Path) -> None:
        """Write what every task has said, those replaced among them, a file for each."""
        folder.mkdir(parents=True, exist_ok=True)
        listed = run("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={self.name}")
        for task in listed.split():
            (folder / f"{task}.log").write_text(docker("logs", task).stdout)


def eventually(is_so: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait for what an orchestrator does in its own time."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not in time: {what}"
        time.sleep(1.0)


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    reason = why_no_engine(PYTHON_IMAGE, REDIS_IMAGE, PROMETHEUS_IMAGE)
    if reason is not None:
        pytest.skip(reason)
    if "inactive" not in run("info", "--format", "{{.Swarm.LocalNodeState}}"):
        pytest.skip("this host is in a Swarm already, which is not ours to use")
    swarm = Swarm()
    swarm.build()
    run("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        for name in SECRETS:
            run("secret", "create", name, "-", input=secrets.token_hex(24))
        swarm.deploy()
        yield swarm
    finally:
        docker("stack", "rm", swarm.name)
        eventually(lambda: not run("ps", "--quiet", "--filter", f"name={swarm.name}"), 60, "gone")
        docker("swarm", "leave", "--force")
        docker("volume", "rm", *(f"{swarm.name}_{name}" for name in ("redis", "prometheus")))
        docker("image", "rm", "--force", *(f"parley-{name}:{swarm.tag}" for name in BUILT))


@pytest.fixture(scope="module")
def ready(swarm: Swarm) -> Swarm:
    eventually(swarm.is_up, 120, "every task runs")
    eventually(lambda: _is_ready(swarm), 60, "the gateway is ready")
    return swarm


def _is_ready(swarm: Swarm) -> bool:
    look = "from urllib.request import urlopen; urlopen('http://gateway:5000/readyz', timeout=3)"
    try:
        swarm.in_simulator("python", "-c", look)
    except AssertionError:
        return False
    return True


def test_the_stack_comes_up_with_every_task_it_names(ready: Swarm) -> None:
    assert ready.replicas()["agent"] == "3/3"
    assert ready.replicas()["gateway"] == "2/2"


def test_a_rolling_update_of_every_service_under_calls_drops_none(ready: Swarm) -> None:
    count = round(AT_ONCE * LASTS_S / CALL_S)
    load = (
        *("load", "--calls", str(count), "--over", str(LASTS_S), "--out", REPORTS),
        # Keys, because recognition of so many would be the machine's whole work.
        *("--press", "12345678#", "--turn-silence", "1.5", "--linger", "5"),
        *("--gateway", "http://gateway:5000"),
    )
    with ThreadPoolExecutor(1) as beside:
        command = ("python", "-m", "services.simulator", *load)
        # It fails when a call has, of which its report says more.
        how = {"timeout_s": LASTS_S + 120, "may_fail": True}
        calls = beside.submit(ready.in_simulator, *command, **how)
        time.sleep(CALL_S)
        for service in UPDATED:
            ready.update(service)
        was_under_calls = not calls.done()
        calls.result(timeout=LASTS_S + 120)
    report = json.loads(ready.in_simulator("cat", f"{REPORTS}/report.json"))
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(report, indent=1))
    if report["failed"]:
        ready.keep_logs(FIGURES.parent / "swarm-logs")
    assert was_under_calls, "the calls were over before everything was updated"
    assert report["calls"] == count
    # Refused while Redis was away, and kept by the gateway nevertheless.
    assert set(report["failures"]) <= {"webhook Hangup was not accepted"}, report["failures"]
    eventually(lambda: len(ready.ends()) == count, 20, "every call's end was told")
    assert set(ready.ends().values()) == {1}
    assert report["most_at_once"] >= 0.7 * AT_ONCE
