"""How long each service takes from its start until it says that it is ready.

The agents are those that come with the platform, everything offline: the worker reads their files,
starts its recogniser and has their fixed sentences spoken before it takes calls. `agent-first` is
the first worker of a new platform, which speaks all of them; `agent` finds them in Redis, as any
later one does. Files are in the system's cache after the first run, which medians leave behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.bench.rig.processes import cpu_of, memory_mb
from deploy.bench.rig.stage import Stage
from deploy.local import install
from deploy.local.embedded_redis import free_port

_PORTS = {"agent": "AGENT_METRICS_PORT", "gateway": "HTTP_PORT", "dialer": "DIALER_PORT"}
"""Where each says that it is ready."""
_STARTED = ("agent-first", "agent", "gateway", "dialer")
"""In this order; a gateway is not ready before there is a worker."""
_LONGEST_S = 60.0
_STOP_S = 20.0
_LOOK_EACH_S = 0.005


@dataclass(frozen=True, slots=True)
class Startup:
    """One start.

    Attributes:
        ready_s: from the start of its process to the first 200 of /readyz.
        cpu_s: that it and its children had used by then, on all cores.
        memory_mb: that they held.
    """

    service: str
    ready_s: float
    cpu_s: float
    memory_mb: float


def measure_startup() -> Iterator[Startup]:
    """Start each service once, one after the other, and stop all of them.

    Raises:
        RuntimeError: one did not become ready.
    """
    with (
        tempfile.TemporaryDirectory(prefix="parley-startup-") as folder,
        Stage(Path(folder)) as stage,
        ExitStack() as running,
    ):
        stage.redis()
        for name in _STARTED:
            port, service = free_port(), name.partition("-")[0]
            settings = {
                **_settings(),
                "REDIS_URL": stage.redis_url,
                _PORTS[service]: str(port),
            }
            began_s = time.monotonic()
            started = running.enter_context(ExitStack())
            process = started.enter_context(_started(service, settings, Path(folder)))
            _await_ready(process, port, Path(folder) / f"{service}.log")
            ready_s = time.monotonic() - began_s
            yield Startup(
                name,
                round(ready_s, 3),
                round(cpu_of(process.pid).all_s, 3),
                round(memory_mb(process.pid), 1),
            )
            if name != service:
                started.close()


def _settings() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "AGENT_FILES": str(install.ROOT / "deploy" / "agents"),
        "AGENT_WS_HOST": "127.0.0.1",
        "AGENT_WS_PORT": str(free_port()),
        "AGENT_ADVERTISE_HOST": "127.0.0.1",
        "GATEWAY_HOST": "127.0.0.1",
        "DIALER_HOST": "127.0.0.1",
    }


@contextmanager
def _started(
    service: str, settings: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{service}.log").open("wb") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", f"services.{service}"),
            env=dict(settings),
            cwd=install.ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=_STOP_S)


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until_s = time.monotonic() + _LONGEST_S
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"{log.stem} is not ready:\n{log.read_text()[-2000:]}")
        time.sleep(_LOOK_EACH_S)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
