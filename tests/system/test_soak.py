"""Calls for a long time: nothing fails, nothing grows. `make soak`; SOAK_MINUTES, 10 by default."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.install import ROOT
from tests.support.local_run import LocalRun

_MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
_GROWTH_MAX_MB = 20.0
_SERVICES = ("gateway", "agent-1", "dialer")

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(_MINUTES * 60 + 600)]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalRun]:
    run = LocalRun(tmp_path / "state")
    status, said = run.finish("up")
    assert status == 0, said
    yield run
    run.finish("down")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _play(local: LocalRun, out: Path) -> None:
    command = [sys.executable, "-m", "services.simulator", "load", "--calls", "4", "--over", "2"]
    command += ["--say", "How does this work?", "--say", "What can you do?", "--say", "Goodbye."]
    command += ["--barge-in-at", "turn,turn,2", "--out", str(out)]
    command += ["--gateway", f"http://127.0.0.1:{local.ports['HTTP_PORT']}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert json.loads((out / "report.json").read_text())["failed"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_calls_for_a_long_time_fail_nothing_and_grow_nothing(
    local: LocalRun, tmp_path: Path
) -> None:
    pids = local.pids()
    for _ in range(2):  # what is loaded and cached at first does not count
        _play(local, tmp_path / "load")
    memory = {name: _resident_mb(pids[name]) for name in _SERVICES}
    descriptors = {name: _descriptors(pids[name]) for name in _SERVICES}
    end_s = time.monotonic() + _MINUTES * 60
    while time.monotonic() < end_s:
        _play(local, tmp_path / "load")
    assert local.pids() == pids
    grown = {name: _resident_mb(pids[name]) - memory[name] for name in _SERVICES}
    assert max(grown.values()) < _GROWTH_MAX_MB, grown
    more = {name: _descriptors(pids[name]) - descriptors[name] for name in _SERVICES}
    assert max(more.values()) <= 5, more
