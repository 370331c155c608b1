"""A hundred thousand rows by a real dialer: how much memory, how long, who is held up.

Long, so it is run by `make soak`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_ports
from tests.support.processes import Process
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(300)]

ROWS = 100_000
PART_BYTES = 65_536


@pytest.fixture
def dialer(redis_server: RedisServer, tmp_path: Path) -> Iterator[Process]:
    (port,) = free_ports(1)
    environment = {
        "DIALER_PORT": str(port),
        "DIALER_HOST": "127.0.0.1",
        "DIALER_API_KEY": "process-key",
        "FROM_NUMBER": "+918000000001",
        "REDIS_URL": redis_server.url,
        "DIALER_RATE_PER_MINUTE": "100000",
    }
    process = Process(
        "dialer", "services.dialer", f"http://127.0.0.1:{port}", environment, tmp_path
    )
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


def peak_mb(process: Process) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM")]
    return int(peak.split()[1]) * 1024 / 1e6


def plain(n: int) -> str:
    return f"+9180{n:08},Name {n},Pune,\n"


def varied(n: int) -> str:
    """Numbers of many zones, half of them looked up; one row in ten bad, all over two lines."""
    zone = "America/Denver" if n % 2 else ""
    number = f"+1{201 + n % 700}{2_000_000 + n}" if n % 10 else "nobody"
    return f'"{number}",Name {n},"{"Long street " * 8}\nsecond line",{zone}\n'


@pytest.mark.parametrize("row", [plain, varied])
def test_a_hundred_thousand_rows_fit_in_150_megabytes(
    dialer: Process, row: Callable[[int], str], record_property: Callable[[str, object], None]
) -> None:
    def parts() -> Iterator[bytes]:
        text = ["to,name,city,zone\n"]
        for n in range(ROWS):
            text.append(row(n))
            if len(text) == 1000:
                yield "".join(text).encode()
                text.clear()
        yield "".join(text).encode()

    waits_s, done = list[float](), threading.Event()

    def look() -> None:
        with httpx.Client(trust_env=False) as client:
            while not done.wait(0.02):
                began_s = time.perf_counter()
                client.get(f"{dialer.url}/healthz")
                waits_s.append(time.perf_counter() - began_s)

    idle_mb = dialer.resident_mb
    looking = threading.Thread(target=look)
    looking.start()
    headers = {"Authorization": "Bearer process-key", "Content-Type": "text/csv"}
    began_s = time.perf_counter()
    with httpx.Client(base_url=dialer.url, headers=headers, trust_env=False, timeout=200) as api:
        answer = api.post("/v1/campaigns", params={"name": "list"}, content=parts())
        took_s = time.perf_counter() - began_s
        done.set()
        looking.join()
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert told["total"] + told["refused"] + told["duplicates"] == ROWS
        assert told["total"] > 0.85 * ROWS
        results = api.get(f"/v1/campaigns/{told['id']}/results.csv")
        assert results.text.count("waiting") >= told["total"]
    waits_s.sort()
    figures = {
        "idle_mb": idle_mb,
        "peak_mb": peak_mb(dialer),
        "took_s": took_s,
        "health_p50_ms": waits_s[len(waits_s) // 2] * 1000,
        "health_worst_ms": waits_s[-1] * 1000,
    }
    for name, value in figures.items():
        record_property(name, round(value, 1))
    assert figures["peak_mb"] < 150
    assert figures["health_p50_ms"] < 50
