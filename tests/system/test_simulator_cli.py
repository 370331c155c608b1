"""The simulator as a program: what it prints, writes and returns."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from shared.audio.wav import write_wav
from tests.support.ports import free_ports
from tests.support.vendor_server import ToneAgent, VendorServer, tone

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--turn-silence", "0.3", "--linger", "0.3", "--patience", "3", "--hangup-delay", "0.02")


@dataclass
class Ended:
    status: int
    out: str
    err: str


async def simulator(*arguments: str) -> Ended:
    environment = {**os.environ, "MPLBACKEND": "Agg", "LOG_FORMAT": "json"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.simulator", *arguments),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def urls(server: VendorServer) -> tuple[str, ...]:
    return ("--answer-url", f"{server.url}/answer", "--hangup-url", f"{server.url}/hangup")


async def test_a_call_writes_its_recording_report_and_picture(tmp_path: Path) -> None:
    wav, folder = tmp_path / "question.wav", tmp_path / "out"
    write_wav(wav, np.repeat(tone(0.6, dbfs=-20.0), 2), 16000)
    async with VendorServer(ToneAgent(reply_s=0.5)) as server:
        ended = await simulator(
            "call", *urls(server), *QUICK, "--wav", str(wav), "--out", str(folder)
        )
    assert ended.status == 0, ended.out + ended.err
    lines = ended.out.splitlines()
    assert "fine" in lines[0]
    assert any(line.strip() == "caller: question.wav" for line in lines)
    for name in ("handset.wav", "report.json", "timeline.png"):
        assert any(str(folder / name) in line for line in lines)
        assert (folder / name).stat().st_size > 1000
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "report.json").read_text())
    assert report["ok"]
    assert report["turn_latency_ms"]["count"] == 1
    assert report["transcript"] == []


async def test_a_call_that_fails_says_why_and_returns_1(tmp_path: Path) -> None:
    async with VendorServer() as server:
        server.answers["/answer"] = "<Response><Oops></Response>"
        ended = await simulator(
            "call", *urls(server), *QUICK, "--out", str(tmp_path), "--no-picture"
        )
    assert ended.status == 1
    assert "FAILED" in ended.out
    assert "8011 Invalid Answer XML" in ended.out
    assert not (tmp_path / "timeline.png").exists()


async def test_a_recording_that_is_missing_is_an_error_of_the_options(tmp_path: Path) -> None:
    ended = await simulator("call", "--wav", str(tmp_path / "none.wav"))
    assert ended.status == 2
    assert "none.wav" in ended.err
    assert "Traceback" not in ended.err


async def test_a_load_reports_over_all_calls(tmp_path: Path) -> None:
    wav = tmp_path / "hm.wav"
    write_wav(wav, tone(0.5, dbfs=-20.0), 8000)
    load = ("load", "--calls", "6", "--over", "0.3", "--wav", str(wav), "--barge-in-at", "0.4")
    async with VendorServer(ToneAgent(greeting_s=2.0, reply_s=0.4)) as server:
        ended = await simulator(
            *load, *urls(server), *QUICK, "--out", str(tmp_path), "--json", "--keep", "all"
        )
    assert ended.status == 0, ended.out + ended.err
    report = json.loads(ended.out)
    assert (report["calls"], report["failed"], report["most_at_once"]) == (6, 0, 6)
    assert report["barge_in_latency_ms"]["count"] == 6
    assert report["barge_in_latency_ms"]["max"] < 200
    assert report["endings"] == {"4000 Normal Hangup by Caller": 6}
    assert report["simulator_lag"]["ticks"] > 300
    assert sum(name.endswith("handset.wav") for name in _files(tmp_path)) == 6


def _files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*")]


async def test_a_load_counts_what_failed(tmp_path: Path) -> None:
    async with VendorServer() as server:
        server.statuses["/answer"] = [500] * 3
        ended = await simulator(
            "load", "--calls", "2", "--over", "4", *urls(server), *QUICK, "--out", str(tmp_path)
        )
    assert ended.status == 1
    assert "1 failed" in ended.out
    assert "1 x 7011 Answer URL fetch error" in ended.out


async def test_serve_answers_and_stops_at_a_signal() -> None:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.simulator", "serve", "--port", str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            ready = (await process.stdout.readline()).decode()
        assert "simulator_ready" in ready
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"X-Auth-ID": "MA_LOCAL", "X-Auth-Token": "local-token"}
            url = f"http://127.0.0.1:{port}/api/v1/auth/me"
            response = await client.get(url, headers=headers)
        assert response.json()["auth_id"] == "MA_LOCAL"
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
