"""The platform as processes on ports of their own, each of which a test may kill and restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.install import ROOT
from tests.support.ports import free_ports

_READY_S = 60.0
_STOP_S = 15.0
_HOST = "127.0.0.1"


class Process:
    """One service. `url` is where its /readyz and /metrics are."""

    def __init__(
        self,
        name: str,
        module: str,
        url: str,
        environment: Mapping[str, str],
        logs: Path,
        *arguments: str,
    ) -> None:
        self.name = name
        self.url = url
        self.started_s = 0.0
        self.starts = 0
        self._module = module
        self._arguments = arguments
        self._environment = {**os.environ, "LOG_FORMAT": "json", **environment}
        self._log = logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged, all lives of it."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def start(self, module: str | None = None) -> None:
        """Start it, or another module in its place; `wait_ready` tells when it takes calls."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module or self._module, *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.started_s = time.monotonic()
        self.starts += 1

    def wait_ready(self, limit_s: float = _READY_S) -> None:
        """Wait until it says that it is ready."""
        deadline_s = time.monotonic() + limit_s
        while not self.is_ready():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.name} is not ready: {self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether /readyz says so now."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """Ask it to end, and cut it when that takes too long. Harmless when it is not running."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    # --- what it holds -----------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as in the text format."""
        text = httpx.get(f"{self.url}/metrics", timeout=5, trust_env=False).text
        return {
            sample_key(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @property
    def resident_mb(self) -> float:
        """Memory it has now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def descriptors(self) -> int:
        """Files and sockets it has open now."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def sample_key(name: str, labels: Mapping[str, str] | None = None) -> str:
    """Name a sample as `Process.metrics` does."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted((labels or {}).items()))
    return f"{name}{{{inside}}}" if inside else name


@dataclass
class Crew:
    """Gateways behind a splitter, workers, dialers and the simulator's REST side.

    The agent is one file in `agents`; `settings` are every process's.
    """

    directory: Path
    redis_url: str
    gateways_wanted: int = 1
    workers_wanted: int = 2
    has_dialer: bool = False
    dialers_wanted: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    gateways: list[Process] = field(init=False)
    workers: list[Process] = field(init=False)
    dialers: list[Process] = field(init=False)
    others: list[Process] = field(init=False)
    url: str = field(init=False)
    dialer_url: str = field(init=False)
    simulator_url: str = field(init=False)

    def __post_init__(self) -> None:
        logs = self.directory / "logs"
        logs.mkdir()
        (self.directory / "agents").mkdir()
        splitter, simulator, *ports = free_ports(
            2 + self.dialers_wanted + self.gateways_wanted + 2 * self.workers_wanted
        )
        dialer_ports = [ports.pop() for _ in range(self.dialers_wanted)]
        self.url = f"http://{_HOST}:{splitter}"
        self.dialer_url = f"http://{_HOST}:{dialer_ports[0]}"
        self.simulator_url = f"http://{_HOST}:{simulator}"
        common = {
            "REDIS_URL": self.redis_url,
            "GATEWAY_HOST": _HOST,
            "AGENT_WS_HOST": _HOST,
            "AGENT_ADVERTISE_HOST": _HOST,
            "AGENT_FILES": str(self.directory / "agents"),
            "AGENT_LATENESS_BUDGET_S": "1",
            "AGENT_DRAIN_S": "5",
            "GATEWAY_DRAIN_S": "5",
            "AGENT_TRIAL_API_BASE": f"{self.simulator_url}/api/v1",
            "DIALER_TRIAL_API_BASE": f"{self.simulator_url}/api/v1",
            "DIALER_GATEWAY_URL": self.url,
            "DIALER_HOST": _HOST,
            **({"CONSOLE_DIALER_URL": self.dialer_url} if self.has_dialer else {}),
            "SIMULATOR_HOST": _HOST,
            "SIMULATOR_PORT": str(simulator),
            **self.settings,
        }

        def process(name: str, module: str, port: int, *arguments: str, **more: str) -> Process:
            url = f"http://{_HOST}:{port}"
            return Process(name, module, url, {**common, **more}, logs, *arguments)

        gateway_ports = [ports.pop() for _ in range(self.gateways_wanted)]
        self.gateways = [
            process(f"gateway-{number}", "services.gateway", port, HTTP_PORT=str(port))
            for number, port in enumerate(gateway_ports, 1)
        ]
        self.workers = []
        for number in range(1, self.workers_wanted + 1):
            media, metrics = ports.pop(), ports.pop()
            self.workers.append(
                process(
                    f"agent-{number}",
                    "services.agent",
                    metrics,
                    AGENT_WS_PORT=str(media),
                    AGENT_METRICS_PORT=str(metrics),
                )
            )
        backends = [str(port) for port in gateway_ports]
        self.others = [
            process("splitter", "tests.support.splitter", splitter, str(splitter), *backends)
        ]
        self.dialers = []
        if self.has_dialer:
            self.dialers = [
                process(f"dialer-{number}", "services.dialer", port, DIALER_PORT=str(port))
                for number, port in enumerate(dialer_ports, 1)
            ]
            simulated = process("simulator", "services.simulator", simulator, "serve")
            self.others += [simulated, *self.dialers]

    def write_agent(self, greeting: str, **more: Any) -> None:
        """Write the agent's file: offline, says its greeting, and goodbye to whoever does."""
        goodbye = {"phrases": ["goodbye"], "say": "Goodbye.", "then": "hang_up"}
        agent = {
            "greeting": greeting,
            "prompt": "Answer calls.",
            "providers": {"stt": ["offline"], "llm": ["offline"], "tts": ["offline"]},
            "greeting_interruptible": False,
            "flow": {
                "steps": {"menu": {"prompt": "What else?", "intents": {}}},
                "common": {"bye": goodbye},
            },
            **more,
        }
        (self.directory / "agents" / "default.yaml").write_text(yaml.safe_dump(agent))

    def start(self) -> None:
        """Start all; calls are taken then."""
        for process in (*self.workers, *self.gateways, *self.others):
            process.start()
        for process in (*self.workers, *self.gateways, *self.others):
            process.wait_ready()

    def stop(self) -> None:
        """Stop all."""
        for process in (*self.others, *self.gateways, *self.workers):
            process.stop()

    def load(self, out: Path, calls: int, over_s: float, *options: str) -> subprocess.Popen[str]:
        """Begin a load of calls, each kept in a folder of its own below `out`."""
        command = [sys.executable, "-m", "services.simulator", "load", "--calls", str(calls)]
        command += ["--over", str(over_s), "--gateway", self.url, "--out", str(out)]
        command += ["--keep", "all", "--no-picture", "--platform", "none", *options]
        with (self.directory / "logs" / "load.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )


def reports_in(folder: Path) -> list[dict[str, Any]]:
    """The reports of a load's calls."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*/report.json"))]


def grown(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """By how much samples have grown, over several processes that were not started again."""
    total: dict[str, float] = {}
    for old, new in zip(before, after, strict=True):
        for key, value in new.items():
            total[key] = total.get(key, 0.0) + value - old.get(key, 0.0)
    return total
