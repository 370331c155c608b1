"""What a hundred thousand numbers cost a dialer: memory, the time to the first call, idling."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.campaign_proof import CampaignStage
from tests.support.dial_judge import Limits
from tests.support.processes import Process
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(400)]

ROWS = 100_000
MOST_MB = 150.0
FIRST_CALL_S = 3.0
IDLE_S = 60.0
IDLE_SHARE = 0.01


def table(rows: int) -> Iterator[bytes]:
    """A CSV of so many numbers with variables, in pieces as a network brings them."""
    yield b"to,name,city,amount,due\n"
    for start in range(0, rows, 500):
        lines = (
            f"+9180000{10_000 + n % 90_000:05d},Customer {n},City {n % 97},{n}.50,2026-12-01\n"
            if n < 90_000
            else f"+9180001{10_000 + n % 90_000:05d},Customer {n},City {n % 97},{n}.50,2026-12-01\n"
            for n in range(start, min(start + 500, rows))
        )
        yield "".join(lines).encode()


def most_resident_mb(process: Process) -> float:
    """The most memory it ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1000


def cpu_s(process: Process) -> float:
    """Seconds of a core it has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_hundred_thousand_rows_cost_little_to_take_in_to_start_and_to_keep(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    stage = CampaignStage(tmp_path, redis_server.url, Limits(5, 20), dialers=1)
    (dialer,) = stage.crew.dialers
    try:
        stage.crew.start()
        before_mb = dialer.resident_mb
        began_s = time.monotonic()
        made = httpx.post(
            f"{dialer.url}/v1/campaigns",
            params={"name": "large"},
            headers={"Content-Type": "text/csv"},
            content=table(ROWS),
            timeout=240,
            trust_env=False,
        )
        took_s = time.monotonic() - began_s
        assert made.status_code == 201, made.text
        campaign = made.json()
        assert (campaign["total"], campaign["refused"], campaign["duplicates"]) == (ROWS, 0, 0)
        peak_mb = most_resident_mb(dialer)

        patch = {"windows": {"always": True}}
        changed = stage.ask("PATCH", f"/v1/campaigns/{campaign['id']}", json=patch)
        assert changed.status_code == 200, changed.text
        started_ms = datetime.now(UTC).timestamp() * 1000
        started = stage.ask("POST", f"/v1/campaigns/{campaign['id']}/start")
        assert started.status_code == 200, started.text
        deadline_s = time.monotonic() + 30
        while not (lines := stage.book_lines()) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        first_s = (lines[0]["at_ms"] - started_ms) / 1000

        paused = stage.ask("POST", f"/v1/campaigns/{campaign['id']}/pause")
        assert paused.status_code == 200, paused.text
        time.sleep(5)
        used_s, since_s = cpu_s(dialer), time.monotonic()
        time.sleep(IDLE_S)
        share = (cpu_s(dialer) - used_s) / (time.monotonic() - since_s)
        called = len(stage.book_lines())
    finally:
        stage.stop()
    figures = {
        "before_mb": round(before_mb, 1),
        "upload_s": round(took_s, 1),
        "peak_mb": round(peak_mb, 1),
        "first_call_s": round(first_s, 2),
        "idle_share": round(share, 4),
    }
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    assert peak_mb < MOST_MB
    assert first_s < FIRST_CALL_S
    assert share < IDLE_SHARE
    assert called < ROWS
