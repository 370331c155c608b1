"""What the gateway's relay costs and how long it keeps a frame, beside other relays.

Callers send one frame each 20 ms, workers as many at once as ours do by default; both do nothing
else, and are programs in C that write the time into what they send. Between them stands nothing, a
relay that passes bytes and looks at none (in C: the floor; in Python: the splice), the gateway, or
the usual relay. Judge by the ratio, and a delay by what it is with nothing in between.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.bench.floors import c_program, python_program
from deploy.bench.report.lookup import HEARD_DBFS
from deploy.bench.rig.cloud import Cloud, CProgram
from deploy.bench.rig.figures import Spread
from deploy.bench.rig.processes import memory_mb, own_cpu_s
from deploy.bench.rig.stage import Stage
from deploy.local.embedded_redis import free_port
from shared.bus.messages import WorkerLease
from shared.bus.redis import open_bus
from shared.protocol.call import WorkerId

_SETTLE_S = 2.0
_REST_S = 0.3
_POOL_S = 0.5
_HEARTBEAT_S = 1.0
_CAPACITY = 1000
BURST = 5
"""Frames that a worker writes at once."""
RELAYS = ("none", "floor", "splice", "gateway", "usual")


@dataclass(frozen=True, slots=True)
class RelayCost:
    """One run.

    Attributes:
        cpu_s: of the relay, user and system, for each call-minute.
        lost_frames: of both directions.
        to_worker_ms: how long frames were under way; `to_caller_ms` the other way.
        late_ms_p99: how late the callers' client sent.
    """

    relay: str
    calls: int
    cpu_s: float
    lost_frames: int
    to_worker_ms: Spread
    to_caller_ms: Spread
    late_ms_p99: float
    resident_mb: float

    @property
    def delay_ms_p50(self) -> float:
        """Median delay, of the slower direction."""
        return max(self.to_worker_ms.p50, self.to_caller_ms.p50)

    @property
    def delay_ms_p99(self) -> float:
        """99th percentile of the delay, of the slower direction."""
        return max(self.to_worker_ms.p99, self.to_caller_ms.p99)


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int | None
    call: Callable[[Cloud, int], None]


def measure_relay(
    counts: Sequence[int], seconds: float, relays: Sequence[str] = ("floor", "gateway")
) -> Iterator[RelayCost]:
    """Measure each relay at each number of calls, a process of its own each time.

    Raises:
        NoCompiler: the programs in C can't be built.
        RuntimeError: something did not start, or a call was lost.
    """
    for calls in counts:
        for relay in relays:
            with (
                tempfile.TemporaryDirectory(prefix="parley-relay-") as name,
                c_program("paced", "--stamp", "--burst", str(BURST)) as (worker, port),
                _run(relay, Path(name), port) as running,
                Cloud(Path(name), line_dbfs=HEARD_DBFS, has_stamps=True) as cloud,
            ):
                running.call(cloud, calls)
                cloud.await_open(calls)
                yield _measure(relay, running.pid, cloud, worker, seconds)


def _measure(
    relay: str, pid: int | None, cloud: Cloud, worker: CProgram, seconds: float
) -> RelayCost:
    time.sleep(_SETTLE_S)
    _have_both(cloud, worker, "pause")
    time.sleep(_REST_S)
    _have_both(cloud, worker, "begin")
    before_s, began_s = own_cpu_s(pid) if pid else 0.0, time.monotonic()
    _have_both(cloud, worker, "resume")
    time.sleep(seconds)
    _have_both(cloud, worker, "pause")
    time.sleep(_REST_S)
    used_s, took_s = (own_cpu_s(pid) if pid else 0.0) - before_s, time.monotonic() - began_s
    callers, far = cloud.report(), worker.ask("report")
    if callers.lost:
        raise RuntimeError(f"{callers.lost} calls were lost while they were measured")
    return RelayCost(
        relay=relay,
        calls=callers.open,
        cpu_s=round(used_s * 60 / (took_s - _REST_S) / callers.open, 4),
        lost_frames=_lost(callers.sent, far["received"]) + _lost(far["sent"], callers.received),
        to_worker_ms=Spread.of(far["delay_ms"]),
        to_caller_ms=callers.delay_ms,
        late_ms_p99=callers.late_ms.p99,
        resident_mb=round(memory_mb(pid), 1) if pid else 0.0,
    )


def _have_both(cloud: Cloud, worker: CProgram, what: str) -> None:
    getattr(cloud, what)()
    worker.tell(what)


def _lost(sent: int, received: int) -> int:
    return max(0, sent - received)


@contextmanager
def _run(relay: str, folder: Path, worker_port: int) -> Iterator[_Running]:
    match relay:
        case "none":
            yield _Running(None, _spliced(worker_port))
        case "floor":
            with c_program("relay", str(worker_port)) as (program, port):
                yield _Running(program.pid, _spliced(port))
        case "splice":
            port = free_port()
            with python_program("deploy.bench.splice", port, str(worker_port)) as pid:
                yield _Running(pid, _spliced(port))
        case "usual":
            port = free_port()
            module = "deploy.bench.vendor_shaped.relay"
            with python_program(module, port, str(worker_port)) as pid:
                yield _Running(pid, _answered(f"http://127.0.0.1:{port}"))
        case _:
            with Stage(folder) as stage:
                stage.redis()
                gateway = stage.gateway()
                with _in_the_pool(stage.redis_url, worker_port):
                    yield _Running(gateway.pid, _answered(f"http://127.0.0.1:{gateway.port}"))


def _spliced(port: int) -> Callable[[Cloud, int], None]:
    def call(cloud: Cloud, calls: int) -> None:
        for number in range(calls):
            cloud.open_socket(f"ws://127.0.0.1:{port}/calls/{number}")

    return call


def _answered(base: str) -> Callable[[Cloud, int], None]:
    return lambda cloud, calls: cloud.call_gateway(base, calls)


@contextmanager
def _in_the_pool(redis_url: str, port: int) -> Iterator[None]:
    """Have gateways know of a worker that can't tell of itself."""
    is_over = threading.Event()

    async def heartbeats() -> None:
        lease = WorkerLease(WorkerId("bench-worker"), f"127.0.0.1:{port}", _CAPACITY)
        async with open_bus(redis_url) as bus:
            while not is_over.is_set():
                await bus.workers.heartbeat(lease, [])
                await asyncio.to_thread(is_over.wait, _HEARTBEAT_S)

    thread = threading.Thread(target=lambda: asyncio.run(heartbeats()))
    thread.start()
    try:
        time.sleep(_POOL_S)
        yield
    finally:
        is_over.set()
        thread.join()
