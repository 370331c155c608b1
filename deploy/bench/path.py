"""What a call costs on the whole path: CPU of gateway and agent apart, at one and more calls.

Starts the platform as processes on loopback, plays calls through it with the simulator's `load`,
and reads the CPU time the kernel has noted for each process and its children.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import install
from deploy.local.embedded_redis import free_port
from deploy.local.processes import ProcessPlatform
from deploy.local.state import StateFile

# One conversation of about half a minute: the caller asks, listens, cuts in once, says goodbye.
_CONVERSATION = (
    *("--say", "How does this work?", "--say", "What can you do?", "--say", "Goodbye."),
    *("--barge-in-at", "turn,turn,2"),
)
_LOAD_TIMEOUT_S = 300.0
_IDLE_S = 10.0
_PARTS = ("gateway", "agent-1", "redis")


@dataclass(frozen=True, slots=True)
class PathCost:
    """CPU-seconds (user and system) for each call-minute, by process, at so many calls at once.

    With no calls at all: for each minute of waiting.

    `agent_recogniser` is the part of `agent` that its recogniser processes took. `report` is what
    the simulator measured, as it wrote it.
    """

    calls: int
    call_minutes: float
    gateway: float
    agent: float
    agent_recogniser: float
    redis: float
    report: dict[str, Any]


def measure_path(counts: Sequence[int]) -> Iterator[PathCost]:
    """Measure at each number of calls, one platform for all.

    Raises:
        StartFailed: the platform did not start.
        RuntimeError: calls failed; figures of failed calls mean nothing.
    """
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        bench_platform(folder) as ports,
    ):
        pids = _pids(Path(folder))
        _load(1, ports["HTTP_PORT"], Path(folder) / "warm-up")  # what loads at a first call
        yield _idle_cost(pids)
        for calls in counts:
            before = {name: _cpu_s(pids[name]) for name in _PARTS}
            minutes_before = _call_minutes(ports["AGENT_METRICS_PORT"])
            report = _load(calls, ports["HTTP_PORT"], Path(folder) / f"load-{calls}")
            minutes = _call_minutes(ports["AGENT_METRICS_PORT"]) - minutes_before
            used = {name: _cpu_s(pids[name]) - before[name] for name in _PARTS}
            yield PathCost(
                calls=calls,
                call_minutes=round(minutes, 2),
                gateway=round(used["gateway"].all_s / minutes, 3),
                agent=round(used["agent-1"].all_s / minutes, 3),
                agent_recogniser=round(used["agent-1"].children_s / minutes, 3),
                redis=round(used["redis"].all_s / minutes, 3),
                report=report,
            )


def _idle_cost(pids: dict[str, int]) -> PathCost:
    before = {name: _cpu_s(pids[name]) for name in _PARTS}
    time.sleep(_IDLE_S)
    used = {name: (_cpu_s(pids[name]) - before[name]).all_s * 60 / _IDLE_S for name in _PARTS}
    used = {name: round(cpu_s, 3) for name, cpu_s in used.items()}
    return PathCost(0, 0.0, used["gateway"], used["agent-1"], 0.0, used["redis"], {})


@dataclass(frozen=True, slots=True)
class _Cpu:
    """CPU-seconds of a process with its descendants, and of the descendants alone."""

    all_s: float
    children_s: float

    def __sub__(self, earlier: _Cpu) -> _Cpu:
        return _Cpu(self.all_s - earlier.all_s, self.children_s - earlier.children_s)


@contextmanager
def bench_platform(
    folder: str, settings: Mapping[str, str] | None = None
) -> Iterator[dict[str, int]]:
    """Run the platform as processes on free ports; yield the ports by their settings' names.

    Args:
        folder: for logs and data.
        settings: in place of those of this process's environment.
    """
    names = ("HTTP_PORT", "AGENT_WS_PORT", "AGENT_METRICS_PORT", "DIALER_PORT", "SIMULATOR_PORT")
    ports = {name: free_port() for name in (*names, "PROMETHEUS_PUBLISHED_PORT")}
    environment = {
        **os.environ,
        **{name: str(port) for name, port in ports.items()},
        **{"REDIS_URL": "", "PUBLIC_URL": "", "NGROK_AUTH_TOKEN": "", "AGENT_CAPACITY": "200"},
        **(settings or {}),
    }
    platform = ProcessPlatform(Path(folder), environment)
    platform.up()
    try:
        yield ports
    finally:
        platform.down()


def _pids(folder: Path) -> dict[str, int]:
    state = StateFile(folder).read()
    assert state is not None  # the platform is up
    return {process.name: process.pid for process in state.processes}


def _load(calls: int, port: int, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "services.simulator", "load", *_CONVERSATION]
    command += ["--calls", str(calls), "--over", str(min(10, calls / 2)), "--out", str(out)]
    command += ["--gateway", f"http://127.0.0.1:{port}", "--no-picture"]
    run = subprocess.run(
        command,
        cwd=install.ROOT,
        capture_output=True,
        text=True,
        timeout=_LOAD_TIMEOUT_S,
        check=False,
    )
    if run.returncode != 0:
        raise RuntimeError(f"calls failed:\n{run.stdout[-3000:]}{run.stderr[-1000:]}")
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def _call_minutes(metrics_port: int) -> float:
    url = f"http://127.0.0.1:{metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    line = next(x for x in text.splitlines() if x.startswith("voice_agent_call_seconds_sum"))
    return float(line.split()[-1]) / 60


def _cpu_s(pid: int) -> _Cpu:
    children_s = sum(own_cpu_s(child) for child in _descendants(pid))
    return _Cpu(own_cpu_s(pid) + children_s, children_s)


def own_cpu_s(pid: int) -> float:
    """Return the CPU-seconds (user and system) of one process; 0 where it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _descendants(pid: int) -> list[int]:
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        children = [child for child, stat in parents.items() if stat and int(stat[1]) == parent]
        found += children
        waiting += children
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
