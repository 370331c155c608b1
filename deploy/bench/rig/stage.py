"""The platform's processes for a measurement: a Redis, a gateway, workers, with default settings.

What is not default is said here: ports, how many calls a worker takes, and that it goes on taking
them while it is late: the bench wants to see that, not to be turned away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from deploy.bench.rig.processes import Cpu, cpu_of, memory_mb
from deploy.local import install
from deploy.local.embedded_redis import EmbeddedRedis, free_port

_START_S = 60.0
_STOP_S = 20.0
_SCRAPE_S = 10.0
_QUIET_S = 0.5
_QUIET_SHARE = 0.1
"""Of a core: a worker without calls takes two hundredths."""
_CAPACITY = "400"
_LATENESS_BUDGET_S = "10"
_FAILED = install.ROOT / ".parley" / "bench" / "failed"
_FLOWS = install.ROOT / "deploy" / "agents" / "flows"


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stage.

    Attributes:
        port: where it serves; `metrics_port`: where its /metrics are, 0: nowhere.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def cpu(self) -> Cpu:
        """What it has used by now."""
        return cpu_of(self.pid)

    def memory_mb(self) -> float:
        """What it holds."""
        return memory_mb(self.pid)

    def scrape(self) -> str:
        """Return its metrics.

        Raises:
            RuntimeError: it does not give them: it has more to do than it can.
        """
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=_SCRAPE_S) as answer:
                text: str = answer.read().decode()
        except OSError as error:
            raise RuntimeError(f"{self.name} gives no metrics: {error}") from error
        return text


class Stage:
    """A platform that is started part by part and ends with its context.

    Args:
        folder: for logs, data and agents' files.
        agents: the text of each agent's file, by its name; `default` takes the calls.
        flows: the text of further flows, by name.

    Attributes:
        redis_url: of the store, once it was started.
    """

    def __init__(
        self,
        folder: Path,
        agents: Mapping[str, str] | None = None,
        flows: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._agents = folder / "agents"
        (self._agents / "flows").mkdir(parents=True)
        for path in _FLOWS.glob("*.yaml"):
            (self._agents / "flows" / path.name).symlink_to(path)
        for name, text in (flows or {}).items():
            (self._agents / "flows" / f"{name}.yaml").write_text(text)
        for name, text in (agents or {}).items():
            (self._agents / f"{name}.yaml").write_text(text)
        self._cleanup = ExitStack()
        self.redis_url = ""
        self._has_workers = False

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()
        if isinstance(error, RuntimeError):
            self.keep_logs()

    def keep_logs(self) -> None:
        """Put the logs where they can be read: something failed."""
        _FAILED.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.log"):
            shutil.copy(path, _FAILED / path.name)
        print(f"  logs are in {_FAILED}")

    def redis(self) -> Program:
        """Start the store all others talk to."""
        server = EmbeddedRedis(install.ensure_redis_server(), self._folder, append_only=False)
        with (self._folder / "redis.log").open("wb") as log:
            program = Program("redis", server.start(log), server.port)
        self._cleanup.callback(_stop, program)
        self._await(program, server.answers)
        self.redis_url = server.url_with_password
        return program

    def gateway(self) -> Program:
        """Start a gateway; it knows of the workers that run by then."""
        port = free_port()
        settings = {"HTTP_PORT": str(port), "GATEWAY_HOST": "127.0.0.1"}
        command = (sys.executable, "-m", "services.gateway")
        gateway = self._start("gateway", command, settings, port, port)
        if self._has_workers:
            self._await(gateway, lambda: _says_yes(port, "readyz"))
        return gateway

    def worker(self, number: int = 1, settings: Mapping[str, str] | None = None) -> Program:
        """Start a worker, further settings given by name."""
        port, metrics_port = free_port(), free_port()
        own = {
            "AGENT_WS_HOST": "127.0.0.1",
            "AGENT_WS_PORT": str(port),
            "AGENT_ADVERTISE_HOST": "127.0.0.1",
            "AGENT_METRICS_PORT": str(metrics_port),
            "AGENT_CAPACITY": _CAPACITY,
            "AGENT_LATENESS_BUDGET_S": _LATENESS_BUDGET_S,
            "AGENT_FILES": str(self._agents),
            **(settings or {}),
        }
        command = (sys.executable, "-m", "services.agent")
        program = self._start(f"worker-{number}", command, own, port, metrics_port)
        await_quiet(program)
        self._has_workers = True
        return program

    def _start(
        self,
        name: str,
        command: Sequence[str],
        settings: Mapping[str, str],
        port: int,
        metrics_port: int,
    ) -> Program:
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**environment, "REDIS_URL": self.redis_url, **settings},
                cwd=install.ROOT,
                stdout=log,
                stderr=log,
            )
        program = Program(name, process, port, metrics_port)
        self._cleanup.callback(_stop, program)
        self._await(program, lambda: _says_yes(metrics_port, "healthz"))
        return program

    def _await(self, program: Program, is_up: Callable[[], bool]) -> None:
        until_s = time.monotonic() + _START_S
        while not is_up():
            if program.process.poll() is not None or time.monotonic() > until_s:
                text = (self._folder / f"{program.name}.log").read_text()[-2000:]
                raise RuntimeError(f"{program.name} did not start:\n{text}")
            time.sleep(0.05)


def await_quiet(program: Program) -> None:
    """Wait until a process does next to nothing: a worker prepares its agents' speech first.

    Raises:
        RuntimeError: it is busy for more than a minute.
    """
    until_s, before = time.monotonic() + _START_S, program.cpu()
    while time.monotonic() < until_s:
        time.sleep(_QUIET_S)
        before, after = program.cpu(), before
        if (before - after).all_s < _QUIET_SHARE * _QUIET_S:
            return
    raise RuntimeError(f"{program.name} does not come to rest")


def _says_yes(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(program: Program) -> None:
    """Twice: calls need not end by themselves."""
    for _ in range(2):
        program.process.terminate()
        time.sleep(0.1)
    try:
        program.process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        program.process.kill()
        program.process.wait(timeout=_STOP_S)
