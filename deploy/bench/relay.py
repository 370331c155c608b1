"""What the gateway's relay costs and how long it keeps a frame: `python -m deploy.bench.relay`.

A gateway process stands between callers and a worker that send one frame each 20 ms, both ways,
and do nothing else; so does a floor, a relay that passes bytes and looks at none: judge by the
ratio. The CPU time is the kernel's, from /proc; a frame's delay is from before it is written at one
end until it has been read at the other, both in one process. How late that process itself is stands
beside it: it shares the machine, and its lateness is in every delay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import httpx
import uvloop

from deploy.bench.relay_ends import CallerEnd, WorkerEnd
from deploy.local import install
from deploy.local.embedded_redis import EmbeddedRedis, free_port
from shared.bus.base import Bus
from shared.bus.messages import WorkerLease
from shared.bus.redis import open_bus
from shared.protocol.call import WorkerId
from shared.runtime.tasks import TaskOwner

_FRAME_S = 0.020
_SLOTS = 20
_SETTLE_S = 2.0
_REST_S = 0.3
_SPLICE_START_S = 1.0
_START_S = 15.0
_HEARTBEAT_S = 1.0
_CAPACITY = 1000
_HEAD = """CPU-seconds a call-minute; a frame's delay, and the load's own lateness, in milliseconds
relay    calls    CPU-s     p50     p95     p99     max  load p99  lost     MB"""


@dataclass(frozen=True, slots=True)
class RelayCost:
    """One run. Delays hold both directions; `late_ms_p99` is how late the load's own beat was.

    `cpu_s` is of the gateway, user and system, for each call-minute.
    """

    relay: str
    calls: int
    seconds: float
    cpu_s: float
    frames: int
    lost_frames: int
    delay_ms_p50: float
    delay_ms_p95: float
    delay_ms_p99: float
    delay_ms_max: float
    late_ms_p99: float
    resident_mb: float


class _Load:
    """So many calls, each with its two ends, on one beat."""

    def __init__(self, base: str, bus: Bus, burst: int) -> None:
        self._base = base
        self._burst = burst
        self._bus = bus
        self._delays_us = array("d")
        self._late_ms = array("d")
        self._callers: list[CallerEnd] = []
        self._workers: list[WorkerEnd] = []
        self._sent = 0
        self._is_over = False

    def take_link(self) -> WorkerEnd:
        """Make the worker's end of a link that the gateway opens."""
        end = WorkerEnd(self._delays_us)
        self._workers.append(end)
        return end

    async def heartbeat(self, port: int) -> None:
        """Stay in the pool."""
        lease = WorkerLease(WorkerId("bench-worker"), f"127.0.0.1:{port}", _CAPACITY)
        while True:
            await self._bus.workers.heartbeat(lease, [])
            await asyncio.sleep(_HEARTBEAT_S)

    async def open_calls(self, calls: int) -> None:
        """Have the gateway answer, and open the media sockets."""
        async with httpx.AsyncClient(timeout=10) as client:
            for _ in range(calls):
                call_id = str(uuid.uuid4())
                form = {
                    **{"Event": "StartApp", "CallUUID": call_id, "From": "15550100001"},
                    **{"To": "918000000001", "Direction": "inbound", "CallStatus": "ringing"},
                }
                answer = await client.post(f"{self._base}/answer", data=form)
                stream = ElementTree.fromstring(answer.content).find("Stream")  # noqa: S314 - ours
                if stream is None or stream.text is None:
                    raise RuntimeError(f"the gateway gave no stream: {answer.content[:200]!r}")
                await self._open(stream.text.strip())

    async def open_spliced(self, calls: int, port: int) -> None:
        """Open the media sockets through a relay that only passes bytes."""
        for _ in range(calls):
            await self._open(f"ws://127.0.0.1:{port}/calls/spliced")

    async def _open(self, url: str) -> None:
        end = CallerEnd(url, self._delays_us)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: end, *end.address)
        end.ask()
        async with asyncio.timeout(5):
            await end.is_upgraded.wait()
        self._callers.append(end)

    async def speak(self, relay: str, seconds: float, pid: int) -> RelayCost:
        """Send frames for so long after a while to settle, and measure that time."""
        await self._beat(_SETTLE_S)
        await asyncio.sleep(_REST_S)
        self._sent = 0
        del self._delays_us[:], self._late_ms[:]
        before_s, began_s = _cpu_s(pid), time.monotonic()
        await self._beat(seconds)
        took_s, used_s = time.monotonic() - began_s, _cpu_s(pid) - before_s
        await asyncio.sleep(_REST_S)
        if any(end.is_lost for end in (*self._callers, *self._workers)):
            raise RuntimeError("a call was lost while it was measured")
        calls = len(self._callers)
        delays_ms = sorted(delay_us / 1000 for delay_us in self._delays_us)
        return RelayCost(
            relay=relay,
            calls=calls,
            seconds=round(took_s, 2),
            cpu_s=round(used_s * 60 / took_s / calls, 4),
            frames=self._sent,
            lost_frames=self._sent - len(delays_ms),
            delay_ms_p50=round(statistics.median(delays_ms), 3),
            delay_ms_p95=round(_percentile(delays_ms, 0.95), 3),
            delay_ms_p99=round(_percentile(delays_ms, 0.99), 3),
            delay_ms_max=round(delays_ms[-1], 3),
            late_ms_p99=round(_percentile(sorted(self._late_ms), 0.99), 3),
            resident_mb=round(_resident_mb(pid), 1),
        )

    async def _beat(self, seconds: float) -> None:
        """Let each end say its 20 ms in its own slot of the beat, worker and caller apart.

        A worker that sends bursts says as many frames at once each so many beats.
        """
        loop = asyncio.get_running_loop()
        slot_s = _FRAME_S / _SLOTS
        ends: list[CallerEnd | WorkerEnd] = [*self._callers, *self._workers]
        slots = [ends[n::_SLOTS] for n in range(_SLOTS)]
        began_s = loop.time()
        for tick in range(round(seconds / slot_s)):
            due_s = began_s + tick * slot_s
            if (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self._late_ms.append(1000 * (loop.time() - due_s))
            for n, end in enumerate(slots[tick % _SLOTS]):
                if isinstance(end, CallerEnd):
                    end.say()
                    self._sent += 1
                elif (tick // _SLOTS + n) % self._burst == 0:
                    end.say(self._burst)
                    self._sent += self._burst

    def close(self) -> None:
        """Cut every socket."""
        for end in (*self._callers, *self._workers):
            end.cut()


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    server = EmbeddedRedis(install.ensure_redis_server(), folder, append_only=False)
    with (folder / "redis.log").open("wb") as log:
        process = server.start(log)
    try:
        deadline_s = time.monotonic() + _START_S
        while not server.answers():
            if time.monotonic() > deadline_s:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)
        yield server.url_with_password
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def _gateway(redis_url: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Run a gateway; yield its base URL and process id."""
    port = free_port()
    ours = {"HTTP_PORT": str(port), "GATEWAY_HOST": "127.0.0.1", "REDIS_URL": redis_url}
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            env={"PATH": os.environ["PATH"], **ours},
            cwd=install.ROOT,
            stdout=log,
            stderr=log,
        )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + _START_S
        while not _is_up(base):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError((folder / "gateway.log").read_text()[-1000:])
            time.sleep(0.05)
        yield base, process.pid
    finally:
        process.kill()
        process.wait(10)


def _is_up(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


@asynccontextmanager
async def _load(base: str, redis_url: str, burst: int) -> AsyncIterator[tuple[_Load, int]]:
    async with open_bus(redis_url) as bus, TaskOwner("bench") as tasks:
        load = _Load(base, bus, burst)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(load.take_link, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        tasks.start(load.heartbeat(port), name="heartbeat")
        try:
            await asyncio.sleep(0.2)
            yield load, port
        finally:
            load.close()
            server.close()


_Opener = Callable[[], AbstractAsyncContextManager[tuple[_Load, int]]]


@contextmanager
def _splice(worker_port: int) -> Iterator[tuple[int, int]]:
    """Run the floor; yield its port and process id."""
    port = free_port()
    command = [sys.executable, "-m", "deploy.bench.relay_floor", str(port), str(worker_port)]
    process = subprocess.Popen(command, cwd=install.ROOT)
    try:
        yield port, process.pid
    finally:
        process.kill()
        process.wait(10)


def measure_relay(counts: Sequence[int], seconds: float, burst: int = 1) -> Iterator[RelayCost]:
    """Measure floor and gateway at each number of calls, a process of its own each time.

    The worker writes `burst` frames at once, and as much more seldom.

    Raises:
        RuntimeError: something did not start, or a call was lost.
    """
    for calls in counts:
        with tempfile.TemporaryDirectory(prefix="parley-relay-") as name:
            folder = Path(name)
            with _redis(folder) as redis_url, _gateway(redis_url, folder) as (base, pid):
                load = partial(_load, base, redis_url, burst)
                yield uvloop.run(_measure_floor(calls, seconds, load))
                yield uvloop.run(_measure(calls, seconds, load, pid))


async def _measure(calls: int, seconds: float, opened: _Opener, pid: int) -> RelayCost:
    async with opened() as (load, _):
        await load.open_calls(calls)
        return await load.speak("gateway", seconds, pid)


async def _measure_floor(calls: int, seconds: float, opened: _Opener) -> RelayCost:
    async with opened() as (load, worker_port):
        with _splice(worker_port) as (port, pid):
            await asyncio.sleep(_SPLICE_START_S)
            await load.open_spliced(calls, port)
            return await load.speak("floor", seconds, pid)


def _line(cost: RelayCost) -> str:
    delays = (cost.delay_ms_p50, cost.delay_ms_p95, cost.delay_ms_p99, cost.delay_ms_max)
    return (
        f"{cost.relay:8}{cost.calls:6}{cost.cpu_s:9.4f}"
        + "".join(f"{delay:8.3f}" for delay in delays)
        + f"{cost.late_ms_p99:10.2f}{cost.lost_frames:6}{cost.resident_mb:7.1f}"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench.relay", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[40, 100], help="at once")
    parser.add_argument("--seconds", type=float, default=15.0, help="measured, of each run")
    parser.add_argument("--burst", type=int, default=1, help="frames the worker writes at once")
    parser.add_argument("--out", type=Path, default=install.ROOT / ".parley" / "relay.json")
    options = parser.parse_args()
    print(_HEAD)
    costs = []
    for cost in measure_relay(options.calls, options.seconds, options.burst):
        costs.append(asdict(cost))
        print(_line(cost), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
