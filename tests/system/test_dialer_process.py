"""The dialer and make_call.py as processes, on a real Redis and a stand-in for Vobiz."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.runtime.http import serve_app
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.support.vobiz_rest import Answer, VobizStandIn

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
TO, FROM = "+918000000002", "+918000000001"
ORDER = {"to": TO, "from": FROM}
WAIT_S = 30.0


async def run(*arguments: str, directory: Path, **settings: str) -> asyncio.subprocess.Process:
    """Start Python in a directory without `.env`, with no settings but these."""
    foreign = ("VOBIZ_", "DIALER_", "PUBLIC_", "FROM_", "TO_", "GATEWAY_", "NGROK_", "REDIS_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=directory,
        env={**kept, "PYTHONPATH": str(ROOT), **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def finished(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(WAIT_S):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def until(claim: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await claim():  # noqa: ASYNC110 - another process's state has no event here
            await asyncio.sleep(0.05)


class DialerProcess:
    """A running dialer."""

    def __init__(self, process: asyncio.subprocess.Process, api: httpx.AsyncClient) -> None:
        self.process = process
        self.api = api

    async def readiness(self) -> int:
        try:
            return (await self.api.get("/readyz")).status_code
        except httpx.HTTPError:
            return 0

    async def is_ready(self) -> bool:
        return await self.readiness() == 200

    async def is_unready(self) -> bool:
        return await self.readiness() == 503


@asynccontextmanager
async def open_dialer(
    vobiz: VobizStandIn, redis: RedisServer, directory: Path
) -> AsyncIterator[DialerProcess]:
    (port,) = free_ports(1)
    process = await run(
        *("-m", "services.dialer"),
        directory=directory,
        DIALER_PORT=str(port),
        DIALER_HOST="127.0.0.1",
        DIALER_API_KEY="process-key",
        DIALER_VOBIZ_TIMEOUT_S="2",
        REDIS_URL=redis.url,
        VOBIZ_AUTH_ID="MA_EXAMPLE1",
        VOBIZ_AUTH_TOKEN="example-token",
        VOBIZ_API_BASE=vobiz.base,
    )
    headers = {"Authorization": "Bearer process-key"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=10
        ) as api:
            yield DialerProcess(process, api)
    finally:
        if process.returncode is None:
            process.kill()
        await finished(process)


@pytest.fixture
async def vobiz() -> AsyncIterator[VobizStandIn]:
    async with VobizStandIn().serve() as stand_in:
        yield stand_in


async def call(dialer: DialerProcess, directory: Path, *flags: str, **settings: str) -> Any:
    process = await run(
        str(ROOT / "make_call.py"),
        *flags,
        directory=directory,
        DIALER_URL=str(dialer.api.base_url),
        DIALER_API_KEY="process-key",
        **settings,
    )
    return await finished(process)


async def test_make_call_places_a_call_through_the_dialer_or_says_why_not(
    vobiz: VobizStandIn, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with open_dialer(vobiz, redis_server, tmp_path) as dialer:
        await until(dialer.is_ready)
        status, said = await call(
            dialer, tmp_path, "--metadata", "lead=42", FROM_NUMBER=FROM, TO_NUMBER=TO
        )
        assert status == 0, said
        assert f"Calling {TO} from {FROM}." in said
        (record,) = (await dialer.api.get("/v1/calls")).json()["calls"]
        assert record["call_id"] in said
        assert record["metadata"] == {"lead": "42"}
        assert len(vobiz.seen) == 1

        vobiz.answers = [Answer.of(402, {"error": "insufficient balance"})]
        status, said = await call(dialer, tmp_path, "--to", TO, "--from", FROM)
        assert status == 1
        assert said == (
            "Error: The Vobiz account has no balance left: top it up."
            " (Vobiz: insufficient balance)\n"
        )

        vobiz.answers = [Answer.of(500, {})]
        status, said = await call(dialer, tmp_path, "--to", TO, "--from", FROM)
        assert (status, "may have dialled" in said) == (3, True)

        status, said = await call(dialer, tmp_path, "--to", "12", "--from", FROM)
        assert (status, said.count("\n")) == (1, 1)
        assert "international number" in said


async def test_a_terminated_dialer_writes_down_the_outcome_it_waited_for(
    vobiz: VobizStandIn, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with open_dialer(vobiz, redis_server, tmp_path) as dialer:
        await until(dialer.is_ready)
        vobiz.answers = [Answer(hangs=True)]
        placing = asyncio.ensure_future(dialer.api.post("/v1/calls", json=ORDER))
        await vobiz.arrived.wait()
        dialer.process.send_signal(signal.SIGTERM)
        answer = await placing
        assert answer.status_code == 504
        status, said = await finished(dialer.process)
        assert status == 0, said
        assert "Traceback" not in said
        assert "example-token" not in said
        assert "process-key" not in said
    async with open_dialer(vobiz, redis_server, tmp_path) as dialer:
        await until(dialer.is_ready)
        record = (await dialer.api.get(f"/v1/calls/{answer.json()['call_id']}")).json()
        assert record["state"] == "queued"
        assert "may be ringing" in record["error"]


async def test_a_dialer_lives_through_the_loss_of_redis(
    vobiz: VobizStandIn, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.stop()
    async with open_dialer(vobiz, redis_server, tmp_path) as dialer:
        await until(dialer.is_unready)
        refused = await dialer.api.post("/v1/calls", json=ORDER)
        assert (refused.status_code, vobiz.seen) == (503, [])
        redis_server.start()
        await until(dialer.is_ready)
        assert (await dialer.api.post("/v1/calls", json=ORDER)).status_code == 201

        async def shows_the_call() -> bool:
            return "voice_dialer_active_calls 1.0" in (await dialer.api.get("/metrics")).text

        await until(shows_the_call)


async def test_wrong_settings_stop_the_start_with_a_line_each(tmp_path: Path) -> None:
    process = await run(
        *("-m", "services.dialer"),
        directory=tmp_path,
        PUBLIC_URL="https://voice.example.com",
        VOBIZ_AUTH_TOKEN="example-token",
    )
    status, said = await finished(process)
    assert status == 2
    assert "DIALER_API_KEY is needed" in said
    assert "Traceback" not in said
    assert "example-token" not in said


# --- make_call.py without a dialer --------------------------------------------------------------

NO_DIALER = {"DIALER_URL": "http://127.0.0.1:9", "HTTP_PORT": "9"}


async def direct(
    vobiz: VobizStandIn, directory: Path, *flags: str, **settings: str
) -> tuple[int | None, str]:
    process = await run(
        str(ROOT / "make_call.py"),
        *("--to", TO, "--from", FROM),
        *flags,
        directory=directory,
        **NO_DIALER
        | {
            "VOBIZ_AUTH_ID": "MA_EXAMPLE1",
            "VOBIZ_AUTH_TOKEN": "example-token",
            "VOBIZ_API_BASE": vobiz.base,
        }
        | settings,
    )
    return await finished(process)


@pytest.mark.parametrize(
    "flags",
    [("--answer-url", "https://voice.example.com/answer"), ("--host", "voice.example.com")],
)
async def test_make_call_asks_vobiz_itself_when_told_where_the_gateway_is(
    vobiz: VobizStandIn, tmp_path: Path, flags: tuple[str, str]
) -> None:
    status, said = await direct(vobiz, tmp_path, *flags)
    assert status == 0, said
    assert "vobiz-uuid-1" in said
    assert vobiz.seen[0].body == {
        "from": FROM,
        "to": TO,
        "answer_url": "https://voice.example.com/answer",
        "answer_method": "POST",
        "hangup_url": "https://voice.example.com/hangup",
        "hangup_method": "POST",
    }


async def test_make_call_asks_the_running_gateway_for_its_url(
    vobiz: VobizStandIn, tmp_path: Path
) -> None:
    """A tunnel's URL is known to the gateway alone."""

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": False, "public_url": "https://tunnel.example.com"}, 503)

    app = Starlette(routes=[Route("/readyz", ready)])
    async with serve_app(app, host="127.0.0.1", port=0) as port:
        status, said = await direct(vobiz, tmp_path, HTTP_PORT=str(port))
    assert status == 0, said
    assert vobiz.seen[0].body["answer_url"] == "https://tunnel.example.com/answer"
    assert vobiz.seen[0].body["hangup_url"] == "https://tunnel.example.com/hangup"


async def test_make_call_without_anybody_to_ask_says_what_to_set(
    vobiz: VobizStandIn, tmp_path: Path
) -> None:
    status, said = await direct(vobiz, tmp_path)
    assert status == 2
    assert said.splitlines()[-1].startswith("Error: Where does Vobiz find the gateway?")
    script = str(ROOT / "make_call.py")
    for flags, words in (
        ((), "Whom to call?"),
        (("--to", TO), "Which number to call from?"),
        (("--to", TO, "--from", FROM, "--host", "voice.example.com"), "Set VOBIZ_AUTH_ID"),
    ):
        status, said = await finished(await run(script, *flags, directory=tmp_path, **NO_DIALER))
        assert (status, words in said) == (2, True), said


async def test_make_call_repeats_vobizs_refusal_in_plain_words(
    vobiz: VobizStandIn, tmp_path: Path
) -> None:
    vobiz.answers = [Answer.of(401, {"error": "Invalid authentication credentials"})]
    status, said = await direct(vobiz, tmp_path, "--host", "voice.example.com")
    assert status == 1
    assert "does not accept our credentials" in said
    assert "example-token" not in said
