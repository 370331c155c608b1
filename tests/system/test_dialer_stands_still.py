"""A dialer that the machine stops between grant and sending keeps to the calls per second."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from shared.runtime.tasks import TaskOwner
from tests.support.campaigns import number
from tests.support.ports import free_ports
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.vobiz_rest import VobizStandIn

pytestmark = pytest.mark.system

CPS, ROWS, STILL_S = 10, 45, 0.5
LEAST_STOPS = 5
LIMIT_S = 60.0


def dialer(module: str, name: str, vobiz: VobizStandIn, redis_url: str, logs: Path) -> Process:
    (port,) = free_ports(1)
    settings = {
        "DIALER_PORT": str(port),
        "DIALER_HOST": "127.0.0.1",
        "DIALER_API_KEY": "still-key",
        "DIALER_CPS": str(CPS),
        "DIALER_CONCURRENCY": "1000",
        "DIALER_PACE_MARGIN_S": "0.2",
        "FROM_NUMBER": number(999),
        "REDIS_URL": redis_url,
        "VOBIZ_AUTH_ID": "MA_TEST",
        "VOBIZ_AUTH_TOKEN": "test-token",
        "VOBIZ_API_BASE": vobiz.base,
    }
    return Process(name, module, f"http://127.0.0.1:{port}", settings, logs)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def let_go_on(process: Process, stops: list[float]) -> None:
    """Wake a process half a second after it has stopped, again and again."""
    while True:
        if is_stopped(process.pid):
            stops.append(time.monotonic())
            await asyncio.sleep(STILL_S)
            os.kill(process.pid, signal.SIGCONT)
        await asyncio.sleep(0.005)


async def all_are_asked(vobiz: VobizStandIn) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(vobiz.seen) < ROWS:  # noqa: ASYNC110 - other processes ask
            await asyncio.sleep(0.05)


def most_in_a_second(times: list[float]) -> int:
    return max(sum(at <= other < at + 1.0 for other in times) for at in times)


@pytest.mark.timeout(120)
async def test_a_dialer_stopped_between_grant_and_sending_exceeds_no_second(
    tmp_path: Path,
) -> None:
    """Its grant was good when it looked; half a second later it was sent, beside the next ones."""
    server = RedisServer(tmp_path)
    server.start()
    stops: list[float] = []
    try:
        async with VobizStandIn().serve() as vobiz, TaskOwner("stops") as tasks:
            late = dialer("tests.support.stopping_dialer", "late", vobiz, server.url, tmp_path)
            other = dialer("services.dialer", "other", vobiz, server.url, tmp_path)
            try:
                for process in (late, other):
                    process.start()
                for process in (late, other):
                    await asyncio.to_thread(process.wait_ready)
                tasks.start(let_go_on(late, stops), name="let_go_on")
                wanted = {
                    "name": "still",
                    "windows": {"always": True},
                    "require_free_agent": False,
                    "rows": [{"to": number(n)} for n in range(1, ROWS + 1)],
                    "start": True,
                }
                headers = {"Authorization": "Bearer still-key"}
                async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
                    made = await client.post(f"{other.url}/v1/campaigns", json=wanted)
                assert made.status_code == 201, made.text
                await all_are_asked(vobiz)
            finally:
                late.kill()
                other.kill()
    finally:
        server.stop()
    assert Counter(seen.body["to"] for seen in vobiz.seen) == Counter(
        number(n) for n in range(1, ROWS + 1)
    )
    assert len(stops) >= LEAST_STOPS
    assert most_in_a_second([seen.at_s for seen in vobiz.seen]) <= CPS
