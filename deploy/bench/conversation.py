"""What a whole conversation costs with everything offline, the recogniser told apart.

Starts the platform as processes on loopback, plays calls through it with the simulator's `load`,
and reads the CPU time the kernel has noted for each process and its children.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bench.rig.local_platform import bench_platform
from deploy.bench.rig.processes import cpu_of
from deploy.local import install
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
class ConversationCost:
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


def measure_conversations(counts: Sequence[int]) -> Iterator[ConversationCost]:
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
            before = {name: cpu_of(pids[name]) for name in _PARTS}
            minutes_before = _call_minutes(ports["AGENT_METRICS_PORT"])
            report = _load(calls, ports["HTTP_PORT"], Path(folder) / f"load-{calls}")
            minutes = _call_minutes(ports["AGENT_METRICS_PORT"]) - minutes_before
            used = {name: cpu_of(pids[name]) - before[name] for name in _PARTS}
            yield ConversationCost(
                calls=calls,
                call_minutes=round(minutes, 2),
                gateway=round(used["gateway"].all_s / minutes, 3),
                agent=round(used["agent-1"].all_s / minutes, 3),
                agent_recogniser=round(used["agent-1"].children_s / minutes, 3),
                redis=round(used["redis"].all_s / minutes, 3),
                report=report,
            )


def _idle_cost(pids: dict[str, int]) -> ConversationCost:
    before = {name: cpu_of(pids[name]) for name in _PARTS}
    time.sleep(_IDLE_S)
    used = {name: (cpu_of(pids[name]) - before[name]).all_s * 60 / _IDLE_S for name in _PARTS}
    used = {name: round(cpu_s, 3) for name, cpu_s in used.items()}
    return ConversationCost(0, 0.0, used["gateway"], used["agent-1"], 0.0, used["redis"], {})


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
