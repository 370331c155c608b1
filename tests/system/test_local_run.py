"""`python -m deploy.local` without containers, as a newcomer runs it, on ports of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.plan import Port
from tests.support.local_run import LocalRun

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalRun]:
    run = LocalRun(tmp_path / "state")
    yield run
    run.finish("down")


def _nobody_listens(local: LocalRun) -> bool:
    for port in local.ports.values():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


def test_one_command_plays_a_call_through_every_part_and_cleans_up(local: LocalRun) -> None:
    status, said = local.finish("run", RUN_ONCE="1")
    assert status == 0, said
    assert "mode: local processes with an embedded Redis, because" in said
    assert f"http://127.0.0.1:{local.ports['HTTP_PORT']}" in said
    assert "answer to first agent audio" in said
    report = json.loads((local.directory / "calls/demonstration/report.json").read_text())
    assert report["ok"]
    assert report["barge_ins"]
    assert (local.directory / "calls/demonstration/handset.wav").stat().st_size > 100_000
    assert said.rstrip().endswith("stopped")
    assert local.pids() == {}
    assert _nobody_listens(local)


def test_up_returns_when_all_is_ready_and_down_stops_all(local: LocalRun) -> None:
    status, said = local.finish("up", AGENT_REPLICAS="2")
    assert status == 0, said
    ready = urllib.request.urlopen(f"http://127.0.0.1:{local.ports['HTTP_PORT']}/readyz", timeout=5)
    with ready:
        assert ready.status == 200
    status, said = local.finish("status")
    assert status == 0
    running = [line.split()[0] for line in said.splitlines() if "running" in line]
    assert set(running) >= {"redis", "gateway", "agent-1", "agent-2", "dialer", "simulator"}

    again, said = local.finish("up")
    assert (again, "already running" in said) == (0, True)

    status, said = local.finish("down")
    assert (status, said.strip()) == (0, "stopped")
    assert _nobody_listens(local)
    assert local.finish("status")[0] == 1


def test_containers_are_none_of_the_processes_business(local: LocalRun, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    docker.chmod(0o755)
    path = f"{docker.parent}:{local.environment['PATH']}"
    assert local.finish("down", PATH=path) == (0, "nothing was running\n")
    assert local.finish("status", PATH=path) == (1, "nothing is running\n")
    assert not (tmp_path / "asked").exists()


def test_a_signal_ends_a_run_cleanly(local: LocalRun) -> None:
    said = _run_until(local, "following the logs", signal.SIGINT)
    assert said.rstrip().endswith("stopped")
    assert local.pids() == {}
    assert _nobody_listens(local)


def test_a_signal_while_starting_leaves_nothing_behind(local: LocalRun) -> None:
    said = _run_until(local, "mode: local processes", signal.SIGTERM)
    assert said.rstrip().endswith("stopped")
    assert local.pids() == {}
    assert _nobody_listens(local)


def _run_until(local: LocalRun, words: str, number: signal.Signals) -> str:
    run = local.start("run")
    assert run.stdout is not None
    said = ""
    for line in run.stdout:
        said += line
        if words in line:
            break
    run.send_signal(number)
    rest, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said + rest
    return said + rest


def test_a_taken_port_is_named_in_one_line_and_nothing_stays_behind(local: LocalRun) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", local.ports["DIALER_PORT"]))
        other.listen()
        status, said = local.finish("up")
    assert status == 1
    line = said.strip().splitlines()[-1]
    assert line == "parley: " + Port(local.ports["DIALER_PORT"], "DIALER_PORT").taken("dialer")
    assert local.pids() == {}


def test_a_service_that_cannot_start_shows_its_last_lines_and_stops_the_rest(
    local: LocalRun,
) -> None:
    status, said = local.finish("up", GATEWAY_PATH_SECRET="short")
    assert status == 1
    assert "GATEWAY_PATH_SECRET" in said
    assert "ended while starting" in said.strip().splitlines()[-1]
    assert local.pids() == {}
    assert _nobody_listens(local)


def test_a_redis_url_that_names_none_is_one_line(local: LocalRun) -> None:
    status, said = local.finish("up", REDIS_URL="redis+sentinel://:hush@redis")
    assert status == 1
    line = said.strip().splitlines()[-1]
    assert line.startswith("parley: REDIS_URL: the name of the set is missing")
    assert "hush" not in said


def test_down_leaves_a_stranger_with_a_reused_id_alone(local: LocalRun) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        local.directory.mkdir(parents=True)
        (local.directory / "state.json").write_text(
            json.dumps(
                {
                    "mode": "processes",
                    "processes": [
                        {"name": "gateway", "pid": stranger.pid, "began": "1", "log": "none"}
                    ],
                    "addresses": [],
                }
            )
        )
        local.finish("down")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
