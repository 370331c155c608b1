"""`parley-dialer` as a process, and following a call over real server-sent events."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from shared.runtime.http import serve_app
from tests.support.dialer_cli import Ran, run_command

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
CALL_ID = "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7"
WAIT_S = 20.0


class RingingDialer:
    """Serves one call whose states are set, and streams that are cut when told."""

    def __init__(self) -> None:
        self.state = "queued"
        self.streams: list[str | None] = []
        self.looked = asyncio.Event()
        self.closing = asyncio.Event()
        self.asked = 0
        self._events: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()

    @property
    def record(self) -> dict[str, Any]:
        return {
            "call_id": CALL_ID,
            "from_number": "+918000000001",
            "to_number": "+918000000002",
            "state": self.state,
            "end_reason": "hung_up" if self.state == "completed" else None,
            "hangup_cause": "NORMAL_CLEARING" if self.state == "completed" else None,
            "duration_s": 12.0 if self.state == "completed" else None,
        }

    def become(self, state: str, event_id: str) -> None:
        self.state = state
        self._events.put_nowait((event_id, state))

    def cut(self) -> None:
        self._events.put_nowait(None)

    async def on_call(self, request: Request) -> Response:
        self.asked += 1
        self.looked.set()
        status = 201 if request.method == "POST" else 200
        return JSONResponse(self.record, status)

    async def on_events(self, request: Request) -> Response:
        self.streams.append(request.headers.get("last-event-id"))
        return StreamingResponse(self._texts(), media_type="text/event-stream")

    async def _texts(self) -> AsyncIterator[str]:
        yield "retry: 1000\n\n: still here\n\n"
        while (event := await self._events.get()) is not None:
            event_id, state = event
            data = json.dumps({"kind": state})
            yield f"id: {event_id}\nevent: {state}\ndata: {data}\n\n"

    async def on_health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def on_hang(self, _: Request) -> Response:
        self.looked.set()
        await self.closing.wait()
        return JSONResponse({})

    @property
    def app(self) -> Starlette:
        path = f"/v1/calls/{CALL_ID}"
        return Starlette(
            routes=[
                Route("/healthz", self.on_health),
                Route("/v1/calls", self.on_call, methods=["POST"]),
                Route(path, self.on_call),
                Route(f"{path}/events", self.on_events),
                Route("/v1/account", self.on_hang),
            ]
        )


@pytest.fixture
def dialer() -> RingingDialer:
    return RingingDialer()


@pytest.fixture
async def base(dialer: RingingDialer) -> AsyncIterator[str]:
    async with serve_app(dialer.app, host="127.0.0.1", port=0) as port:
        yield f"http://127.0.0.1:{port}"
        dialer.closing.set()
        dialer.cut()


async def states_pass(dialer: RingingDialer) -> None:
    """Let a call ring, lose the stream while it is answered, and end."""
    while not dialer.streams:  # noqa: ASYNC110 - another task's state has no event here
        await asyncio.sleep(0.01)
    dialer.become("ringing", "1-0")
    seen = dialer.asked
    while dialer.asked == seen:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    dialer.cut()
    dialer.state = "in-progress"
    while len(dialer.streams) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    dialer.become("completed", "9-0")


async def follow(dialer: RingingDialer, base: str, *flags: str) -> Ran:
    async with (
        asyncio.timeout(WAIT_S),
        asyncio.TaskGroup() as tasks,
        httpx.AsyncClient(base_url=base, trust_env=False) as http,
    ):
        tasks.create_task(states_pass(dialer))
        return await run_command("call", "--to", "+918000000002", "--follow", *flags, http=http)


async def test_a_call_is_followed_through_a_lost_stream(dialer: RingingDialer, base: str) -> None:
    ran = await follow(dialer, base)
    assert ran.status == 0
    assert ran.out.splitlines()[3:] == [
        "  queued",
        "  ringing",
        "  in-progress",
        "  completed",
        "  ended: hung_up, 12 s, cause NORMAL_CLEARING",
    ]
    assert dialer.streams == [None, "1-0"]


async def test_a_program_follows_by_lines_of_json(dialer: RingingDialer, base: str) -> None:
    ran = await follow(dialer, base, "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert lines[0] == {"kind": "ringing"}
    # The record may tell of the end before its event comes.
    assert lines[1:-1] in ([], [{"kind": "completed"}])
    assert lines[-1] == dialer.record


async def test_a_call_that_is_over_already_is_told_at_once(
    dialer: RingingDialer, base: str
) -> None:
    dialer.state = "completed"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        ran = await run_command("calls", "follow", CALL_ID, http=http)
    assert (ran.status, dialer.streams) == (0, [])


async def start(*arguments: str, directory: Path, **settings: str) -> asyncio.subprocess.Process:
    foreign = ("VOBIZ_", "DIALER_", "PUBLIC_", "FROM_", "TO_", "GATEWAY_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return await asyncio.create_subprocess_exec(
        *arguments,
        cwd=directory,
        env={**kept, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finished(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_in_the_root_runs_from_anywhere(
    dialer: RingingDialer, base: str, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"DIALER_URL={base}\n")
    command = str(ROOT / "parley-dialer")
    status, out, err = await finished(
        await start(command, "calls", "show", CALL_ID, directory=tmp_path)
    )
    assert (status, err) == (0, "")
    assert CALL_ID in out
    status, out, err = await finished(await start(command, "dance", directory=tmp_path))
    assert (status, out) == (2, "")
    assert "invalid choice" in err


async def test_wrong_settings_are_named_without_their_values(tmp_path: Path) -> None:
    status, _, err = await finished(
        await start(
            *(sys.executable, "-m", "services.dialer.cli", "account"),
            directory=tmp_path,
            PYTHONPATH=str(ROOT),
            DIALER_PORT="not-a-port",
        )
    )
    assert (status, err) == (2, "Error: These settings are wrong: DIALER_PORT.\n")


async def test_an_interrupted_command_ends_at_once_and_without_a_traceback(
    dialer: RingingDialer, base: str, tmp_path: Path
) -> None:
    process = await start(
        *(sys.executable, "-m", "services.dialer.cli", "account"),
        directory=tmp_path,
        PYTHONPATH=str(ROOT),
        DIALER_URL=base,
    )
    async with asyncio.timeout(WAIT_S):
        await dialer.looked.wait()
    process.send_signal(signal.SIGINT)
    assert await finished(process) == (130, "", "Interrupted.\n")
