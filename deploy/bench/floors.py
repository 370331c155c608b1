"""The floors and the usual: what a call costs servers in C, and two servers of the usual design.

The same load client in front of each. `paced`: one server in C that reads, decodes and answers
frame by frame; `relay+paced`: with a relay in C before it, as many hops as ours; `lean`: one hop in
Python with care (`lean.py`); `usual`: the design of `vendor_shaped/`. None has voice activity.
Nobody can be much below the floor in any language, as most of it is the kernel's work for sockets.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.bench.report.lookup import HEARD_DBFS
from deploy.bench.rig.cloud import Cloud, CProgram
from deploy.bench.rig.figures import LoadReport
from deploy.bench.rig.processes import own_cpu_s
from deploy.local import install
from deploy.local.embedded_redis import free_port

_SETTLE_S = 4.0
"""Of the usual design, whose agents do a sentence's work at once; floors are steady at once."""
_FLOOR_SETTLE_S = 1.0
_START_S = 20.0
_ENOUGH_FRAMES_OUT = 49.0


@dataclass(frozen=True, slots=True)
class DesignCost:
    """One run: CPU-seconds for each call-minute, of relay and server.

    `is_whole`: every frame came that was due; else the design was at its limit, and its cost is
    of a part of the work.
    """

    design: str
    calls: int
    total: float
    relay: float
    server: float
    is_whole: bool
    handset: LoadReport


@dataclass(frozen=True, slots=True)
class _Running:
    relay_pid: int | None
    server_pid: int
    call: Callable[[Cloud, int], None]


def measure_floors(floors: Sequence[tuple[str, int]], seconds: float) -> Iterator[DesignCost]:
    """Measure floors, each with a number of calls.

    Raises:
        NoCompiler: they can't be built.
        RuntimeError: calls were lost.
    """
    for name, calls in floors:
        with _FLOORS[name]() as running:
            yield _measure(name, calls, seconds, running, settle_s=_FLOOR_SETTLE_S)


def measure_usual(counts: Sequence[int], seconds: float) -> Iterator[DesignCost]:
    """Measure the usual design at each number of calls, new servers each time."""
    for calls in counts:
        with _usual() as running:
            yield _measure("usual", calls, seconds, running)


def _measure(
    name: str, calls: int, seconds: float, running: _Running, *, settle_s: float = _SETTLE_S
) -> DesignCost:
    pids = (running.relay_pid, running.server_pid)
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        Cloud(Path(folder), line_dbfs=HEARD_DBFS) as cloud,
    ):
        running.call(cloud, calls)
        cloud.await_open(calls)
        time.sleep(settle_s)
        before = [own_cpu_s(pid) if pid else 0.0 for pid in pids]
        cloud.begin()
        time.sleep(seconds)
        handset = cloud.report()
        used = [
            (own_cpu_s(pid) if pid else 0.0) - cpu_s
            for pid, cpu_s in zip(pids, before, strict=True)
        ]
    minutes = handset.call_minutes
    return DesignCost(
        design=name,
        calls=calls,
        total=round(sum(used) / minutes, 4),
        relay=round(used[0] / minutes, 4),
        server=round(used[1] / minutes, 4),
        is_whole=handset.frames_out >= _ENOUGH_FRAMES_OUT,
        handset=handset,
    )


@contextmanager
def c_program(name: str, *arguments: str) -> Iterator[tuple[CProgram, int]]:
    """Run a server of native/; yield it and its port."""
    server = CProgram(name, *arguments)
    try:
        yield server, int(server.hear())
    finally:
        server.close()


@contextmanager
def python_program(module: str, port: int, *arguments: str) -> Iterator[int]:
    """Run a server that takes its port as its first argument; yield its process id."""
    command = [sys.executable, "-m", module, str(port), *arguments]
    process = subprocess.Popen(command, cwd=install.ROOT)
    try:
        until_s = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"{module} did not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sockets(port: int) -> Callable[[Cloud, int], None]:
    def call(cloud: Cloud, calls: int) -> None:
        for number in range(calls):
            cloud.open_socket(f"ws://127.0.0.1:{port}/calls/{number}")

    return call


@contextmanager
def _paced() -> Iterator[_Running]:
    with c_program("paced") as (server, port):
        yield _Running(None, server.pid, _sockets(port))


@contextmanager
def _relay_and_paced() -> Iterator[_Running]:
    with c_program("paced") as (server, port), c_program("relay", str(port)) as (relay, relay_port):
        yield _Running(relay.pid, server.pid, _sockets(relay_port))


@contextmanager
def _lean() -> Iterator[_Running]:
    port = free_port()
    with python_program("deploy.bench.lean", port) as pid:
        yield _Running(None, pid, _sockets(port))


_FLOORS = {"paced": _paced, "relay+paced": _relay_and_paced, "lean": _lean}
FLOORS = tuple(_FLOORS)


@contextmanager
def _usual() -> Iterator[_Running]:
    port, agent_port = free_port(), free_port()
    with ExitStack() as servers:
        agent_pid = servers.enter_context(
            python_program("deploy.bench.vendor_shaped.agent", agent_port)
        )
        relay_pid = servers.enter_context(
            python_program("deploy.bench.vendor_shaped.relay", port, str(agent_port))
        )
        base = f"http://127.0.0.1:{port}"
        yield _Running(relay_pid, agent_pid, lambda cloud, n: cloud.call_gateway(base, n))
