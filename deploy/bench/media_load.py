"""`python -m deploy.bench.media_load`: what steady calls cost one worker, with nothing around it.

Starts a Redis and one worker, plays the gateway's part of many links from this process, and reads
the CPU time the kernel has noted for the worker. Its agent tells a story without end; the callers
are silent, or a line's noise is, so that nothing is recognised: what is left is the media path. One
frame comes and one goes for each call each 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import uvloop

from deploy.bench.path import own_cpu_s
from deploy.local import install
from deploy.local.embedded_redis import EmbeddedRedis, free_port
from shared.audio.format import FRAME_BYTES, FRAME_S
from shared.audio.g711 import encode_ulaw
from shared.protocol.call import CallId, StreamId
from shared.protocol.telephony import (
    ClearedAudio,
    Media,
    PlayedStream,
    Start,
    serialize_inbound,
)
from shared.protocol.worker import LinkRequest
from shared.runtime.settings import DEFAULT_LINK_SECRET

_STORY = "Once upon a time there was a telephone that nobody ever hung up, and it went on and on. "
_AGENT = f"greeting: {_STORY * 60}\nprompt: You tell stories.\nflow: parley\n"
_START_TIMEOUT_S = 60.0
_SETTLE_S = 6.0
_NOISE_FRAMES = 500
_SILENCE = b"\xff" * FRAME_BYTES
_PLAY = b'"playAudio"'
_CHECKPOINT = re.compile(rb'"checkpoint".*"name":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class MediaCost:
    """One worker with so many calls.

    Attributes:
        calls: at once.
        cpu_s: of the worker's process alone, for each call-minute.
        redis_cpu_s: the same of Redis.
        frames_out: a second and call; 50 where nothing is missing.
        scoring_wait_ms: p95 from a frame's arrival until it was scored, of the first of each batch.
        lateness_ms: p95 of frames as the worker wrote them, by its own histogram.
        client_late_ms: p99 of this process's own lateness; some milliseconds are well.
    """

    calls: int
    cpu_s: float
    redis_cpu_s: float
    frames_out: float
    scoring_wait_ms: float
    lateness_ms: float
    client_late_ms: float


class _Line(asyncio.Protocol):
    """One link as its gateway has it: unmasked frames in, masked ones out."""

    def __init__(self, number: int, run: str) -> None:
        self._request = LinkRequest(CallId(f"load-{run}-{number}"))
        self._stream = StreamId(f"stream-{run}-{number}")
        self._rest = b""
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self._played_until_s = 0.0
        self._sent = 0
        self.frames_in = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment] # uvloop's inherit nothing
        headers = self._request.headers(DEFAULT_LINK_SECRET, time.time())
        lines = [
            f"GET {self._request.path} HTTP/1.1",
            "Host: worker",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._is_open:
            head, mark, data = data.partition(b"\r\n\r\n")
            if not mark:
                self._rest = head
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(f"the worker refused a call: {head[:80]!r}")
            self._is_open = True
            self.send(serialize_inbound(Start(self._request.call_id, self._stream)))
        at = 0
        while (end := _frame_end(data, at)) is not None:
            self._take(data[at:end])
            at = end
        self._rest = data[at:]

    def _take(self, frame: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if _PLAY in frame:
            self.frames_in += 1
            self._played_until_s = max(self._played_until_s, now_s) + FRAME_S
        elif mark := _CHECKPOINT.search(frame):
            played = serialize_inbound(PlayedStream(mark[1].decode()))
            loop = asyncio.get_running_loop()
            loop.call_at(self._played_until_s, self.send, played)
        elif b'"clearAudio"' in frame:
            self._played_until_s = now_s
            self.send(serialize_inbound(ClearedAudio(self._stream)))

    def speak(self, payload: bytes, wall_ms: int) -> None:
        """Send 20 ms of the caller."""
        if self._is_open:
            self._sent += 1
            media = Media(payload, self._stream, wall_ms, self._sent, self._sent)
            self.send(serialize_inbound(media))

    def send(self, text: str) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        data, key = text.encode(), secrets.token_bytes(4)
        size = len(data)
        mask = int.from_bytes(key * (size // 4 + 1), "big") >> 8 * (4 - size % 4)
        masked = (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._write(b"\x81" + length + key + masked)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._write(b"\x88\x82\0\0\0\0\x03\xe8")  # a close frame, 1000
            self._transport.close()


def _frame_end(data: bytes, at: int) -> int | None:
    """Where a server's frame ends; None where not all of it is there."""
    if len(data) < at + 2:
        return None
    size, head = data[at + 1], 2
    if size == 126:
        if len(data) < at + 4:
            return None
        size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
    end = at + head + size
    return end if end <= len(data) else None


@contextmanager
def _worker(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int, int]]:
    """Run a Redis and a worker; yield the worker, its two ports, and Redis's process id."""
    agents = folder / "agents"
    agents.mkdir()
    (agents / "flows").symlink_to(install.ROOT / "deploy" / "agents" / "flows")
    (agents / "default.yaml").write_text(_AGENT)
    redis = EmbeddedRedis(install.ensure_redis_server(), folder)
    store = redis.start(subprocess.DEVNULL)
    port, metrics_port = free_port(), free_port()
    environment = {
        **os.environ,
        "REDIS_URL": redis.url_with_password,
        "AGENT_WS_HOST": "127.0.0.1",
        "AGENT_WS_PORT": str(port),
        "AGENT_METRICS_PORT": str(metrics_port),
        "AGENT_CAPACITY": "400",
        "AGENT_LATENESS_BUDGET_S": "5",
        "AGENT_FILES": str(agents),
    }
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "services.agent"],
            cwd=install.ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(worker, metrics_port, folder / "worker.log")
        yield worker, port, metrics_port, store.pid
    finally:
        for process in (worker, store):
            process.terminate()
        worker.terminate()  # a second time: the calls need not end by themselves
        for process in (worker, store):
            process.wait(timeout=20)


def _await_ready(worker: subprocess.Popen[bytes], metrics_port: int, log: Path) -> None:
    until_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < until_s and worker.poll() is None:
        try:
            _scrape(metrics_port)
        except OSError:
            time.sleep(0.2)
            continue
        return
    raise RuntimeError(f"the worker did not start:\n{log.read_text()[-2000:]}")


def _scrape(metrics_port: int) -> str:
    url = f"http://127.0.0.1:{metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
    return text


async def _play(lines: Sequence[_Line], frames: Sequence[bytes], seconds: float) -> list[float]:
    """Send a frame of every line each 20 ms, spread over them; return how late this was, each."""
    loop = asyncio.get_running_loop()
    start_s, wall_ms, late = loop.time(), round(time.time() * 1000), list[float]()
    for tick in range(round(seconds / FRAME_S)):
        for number, line in enumerate(lines):
            due_s = start_s + (tick + number / len(lines)) * FRAME_S
            if number % 4 == 0 and (wait_s := due_s - loop.time()) > 0.001:
                await asyncio.sleep(wait_s)
            late.append(max(0.0, loop.time() - due_s))
            line.speak(frames[(tick + 7 * number) % len(frames)], wall_ms + tick * 20)
    return late


async def _measure(
    pids: tuple[int, int], port: int, metrics_port: int, calls: int, seconds: float, noise: float
) -> MediaCost:
    loop, run = asyncio.get_running_loop(), secrets.token_hex(3)
    lines = [_Line(number, run) for number in range(calls)]
    for line in lines:
        await loop.create_connection(partial(_same, line), "127.0.0.1", port)
    frames = _caller(noise)
    await _play(lines, frames, _SETTLE_S)
    before = [own_cpu_s(pid) for pid in pids]
    text, sent = await asyncio.to_thread(_scrape, metrics_port), sum(x.frames_in for x in lines)
    late = await _play(lines, frames, seconds)
    used = [own_cpu_s(pid) - cpu_s for pid, cpu_s in zip(pids, before, strict=True)]
    after = await asyncio.to_thread(_scrape, metrics_port)
    frames_out = sum(line.frames_in for line in lines) - sent
    for line in lines:
        line.hang_up()
    await asyncio.sleep(2.0)
    minutes = calls * seconds / 60
    return MediaCost(
        calls,
        round(used[0] / minutes, 3),
        round(used[1] / minutes, 3),
        round(frames_out / calls / seconds, 2),
        _p95_ms(text, after, "voice_agent_scoring_wait_seconds"),
        _p95_ms(text, after, "voice_agent_pacing_lateness_seconds"),
        round(float(np.percentile(late, 99)) * 1000, 1),
    )


def _same(line: _Line) -> _Line:
    return line


def _caller(noise_dbfs: float) -> list[bytes]:
    """What the callers' side carries; -127: digital silence."""
    if noise_dbfs <= -127:
        return [_SILENCE]
    rng = np.random.default_rng(1)
    pcm = rng.standard_normal((_NOISE_FRAMES, FRAME_BYTES)) * 32768 * 10 ** (noise_dbfs / 20)
    return [encode_ulaw(row) for row in np.round(pcm).astype(np.int16)]


def _p95_ms(before: str, after: str, name: str) -> float:
    """The bound of the bucket that holds the 95th percentile of what came between two scrapes."""
    counts = [
        (le, int(float(_buckets(after, name)[le])) - int(float(count)))
        for le, count in _buckets(before, name).items()
    ]
    total = counts[-1][1]
    return next((float(le) * 1000 for le, count in counts if count >= 0.95 * total), 0.0)


def _buckets(text: str, name: str) -> dict[str, str]:
    return dict(re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', text, re.MULTILINE))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench.media_load", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[13, 40])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--noise-dbfs", type=float, default=-65.0, help="-127: digital silence")
    parser.add_argument("--pid-file", type=Path, help="gets the worker's process id: to profile it")
    options = parser.parse_args()
    print("CPU-seconds for each call-minute, one worker:")
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        _worker(Path(folder)) as (worker, port, metrics_port, redis_pid),
    ):
        if options.pid_file is not None:
            options.pid_file.write_text(str(worker.pid))
        for calls in options.calls:
            cost = uvloop.run(
                _measure(
                    (worker.pid, redis_pid),
                    port,
                    metrics_port,
                    calls,
                    options.seconds,
                    options.noise_dbfs,
                )
            )
            print(json.dumps(asdict(cost)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
