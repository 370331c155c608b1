"""Vobiz's own recordings, from the answer's verb to the API, with Vobiz played by the simulator."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from services.gateway.vobiz_recordings.fetch import CopyFetcher, FetchBounds, NotFetched
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.rest.app import create_app
from services.simulator.settings import SimulatorSettings
from shared.bus.memory import MemoryBus
from shared.protocol.call import CallId
from shared.recordings.archive import RecordingArchive
from shared.recordings.settings import RecordingSettings
from shared.recordings.store import open_store
from shared.runtime.http import serve_app
from shared.vobiz.account import VobizAccount
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import RunningGateway, new_call_id, running_gateway, verbs
from tests.support.simulated_call import no_voice

pytestmark = pytest.mark.system
AUTH_ID, TOKEN = "MA_TEST", "test-token"


@dataclass
class Stage:
    gateway: RunningGateway
    cloud: Cloud
    simulator: httpx.AsyncClient
    archive: RecordingArchive

    async def call(self, **inbound: Any) -> str:
        """Play one call of a second or so to its very end and return its id."""
        body = {
            "answer_url": f"{self.gateway.base}/answer",
            "hangup_url": f"{self.gateway.base}/hangup",
            "person": {"after_s": 0.1, "hangup_after_s": 1.0},
        } | inbound
        placed = await self.simulator.post("/simulator/inbound", json=body)
        assert placed.status_code == 200, placed.text
        call_id = str(placed.json()["call_uuid"])
        call = self.cloud.find(call_id)
        assert call is not None
        async with asyncio.timeout(15):
            await call.over.wait()
        return call_id

    async def fetched(self, call_id: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                said = await self.gateway.client.get(
                    f"{self.gateway.base}/calls/{call_id}/recording"
                )
                if said.status_code == 200:
                    data: dict[str, Any] = said.json()
                    return data
                await asyncio.sleep(0.05)

    def count(self, outcome: str) -> float:
        return self.gateway.metric("voice_gateway_vobiz_recordings_total", outcome=outcome)


@asynccontextmanager
async def stage_of(tmp_path: Path, **changes: Any) -> AsyncIterator[Stage]:
    settings = SimulatorSettings(
        vobiz_auth_id=AUTH_ID, vobiz_auth_token=SecretStr(TOKEN), simulator_say=""
    )
    store = open_store(RecordingSettings(_env_file=None, recordings_url=str(tmp_path)))
    assert store is not None
    bus = MemoryBus()
    async with (
        Cloud(SimulatedClock(), open_engine=no_voice) as cloud,
        serve_app(create_app(cloud, settings), host="127.0.0.1", port=0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as simulator,
        FakeWorker(bus.workers),
        running_gateway(
            bus,
            recordings_url=str(tmp_path),
            vobiz_auth_id=AUTH_ID,
            vobiz_auth_token=SecretStr(TOKEN),
            vobiz_api_base=f"http://127.0.0.1:{port}/api/v1",
            **({"gateway_vobiz_recorded_agents": "default"} | changes),
        ) as gateway,
    ):
        yield Stage(gateway, cloud, simulator, RecordingArchive(store))


async def test_a_call_is_recorded_by_vobiz_and_the_file_is_served_beside_ours(
    tmp_path: Path,
) -> None:
    async with stage_of(tmp_path, gateway_vobiz_recording_format="wav") as stage:
        await stage.simulator.post("/simulator/knobs", json={"duplicates_webhooks": True})
        call_id = await stage.call()
        said = (await stage.fetched(call_id))["vobiz"]
        assert said["format"] == "wav"
        assert said["end_reason"] == "HungUp"
        url = f"{stage.gateway.base}/calls/{call_id}/recording/vobiz"
        whole = await stage.gateway.client.get(url)
        assert whole.headers["content-type"] == "audio/wav"
        assert "no-store" in whole.headers["cache-control"]
        with wave.open(io.BytesIO(whole.content)) as file:
            assert file.getparams()[:3] == (2, 2, 8000)
            assert file.getnframes() / 8 == pytest.approx(said["duration_ms"], abs=100)
        part = await stage.gateway.client.get(url, headers={"range": "bytes=4-11"})
        assert (part.status_code, part.content) == (206, whole.content[4:12])
        beyond = await stage.gateway.client.get(url, headers={"range": "bytes=99999999-"})
        assert beyond.status_code == 416
        assert (stage.count("kept"), stage.count("repeated")) == (1, 1)
        assert (await stage.gateway.client.delete(url.removesuffix("/vobiz"))).status_code == 204
        assert (await stage.gateway.client.get(url)).status_code == 404
        assert (await stage.gateway.client.delete(url.removesuffix("/vobiz"))).status_code == 404
        assert await stage.archive.copy(CallId(call_id)) is None


async def test_an_mp3_is_one(tmp_path: Path) -> None:
    async with stage_of(tmp_path) as stage:
        call_id = await stage.call()
        said = (await stage.fetched(call_id))["vobiz"]
        assert said["format"] == "mp3"
        file = await stage.gateway.client.get(
            f"{stage.gateway.base}/calls/{call_id}/recording/vobiz"
        )
        assert file.headers["content-type"] == "audio/mpeg"
        assert len(file.content) == said["size_bytes"]


async def test_nobody_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with stage_of(tmp_path, gateway_vobiz_recorded_agents="sales") as stage:
        default = await stage.gateway.answer(new_call_id())
        assert verbs(default.content)[0] == "Stream"
        sales = await stage.gateway.answer(new_call_id(), path="/answer?agent=sales")
        assert verbs(sales.content)[:2] == ["Record", "Stream"]


async def test_the_action_is_answered_by_nothing_to_do(tmp_path: Path) -> None:
    async with stage_of(tmp_path) as stage:
        fields = {"Event": "Record", "CallUUID": new_call_id(), "RecordUrl": "https://a/b.mp3"}
        answer = await stage.gateway.post("/record-action", fields)
        assert answer.status_code == 200
        root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own XML
        assert (root.tag, len(root)) == ("Response", 0)


async def test_a_strangers_url_is_not_asked(tmp_path: Path) -> None:
    async with stage_of(tmp_path) as stage:
        for url in ("http://127.0.0.1:1/r.mp3", "file:///etc/passwd"):
            fields = {"Event": "RecordStop", "CallUUID": new_call_id(), "RecordUrl": url}
            assert (await stage.gateway.post("/record-stop", fields)).status_code == 200
        assert stage.count("refused") == 2


# --- fetching ---------------------------------------------------------------------------------


class Media:
    """A server of files that notes with which token it was asked."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.app = Starlette(
            routes=[
                Route("/small", self._small),
                Route("/large", self._large),
                Route("/untold", self._untold),
                Route("/to", self._to),
                Route("/never", self._never),
                Route("/no", self._no),
            ]
        )

    def _note(self, request: Request) -> None:
        self.tokens.append(request.headers.get("x-auth-token"))

    async def _small(self, request: Request) -> Response:
        self._note(request)
        return Response(b"ID3 small")

    async def _large(self, request: Request) -> Response:
        return Response(bytes(5000))

    async def _untold(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(200):  # without a length told before
                yield bytes(500)
                await asyncio.sleep(0.001)

        return StreamingResponse(parts())

    async def _to(self, request: Request) -> Response:
        self._note(request)
        return RedirectResponse(request.query_params["url"])

    async def _never(self, request: Request) -> Response:
        await asyncio.sleep(1.5)
        return Response()

    async def _no(self, request: Request) -> Response:
        return Response(status_code=403)


@dataclass
class Fetching:
    media: Media
    base: str
    fetcher: CopyFetcher


@pytest.fixture
async def fetching() -> AsyncIterator[Fetching]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    media = Media()
    async with serve_app(media.app, host="127.0.0.1", port=0) as port:
        base = f"http://vobiz-stand-in:{port}"
        account = VobizAccount(AUTH_ID, TOKEN, f"{base}/api/v1")
        bounds = FetchBounds(2000, timeout_s=0.7)
        yield Fetching(media, base, CopyFetcher(account, bounds, resolve=resolve))


async def test_a_file_is_fetched_with_the_accounts_token(fetching: Fetching) -> None:
    assert await fetching.fetcher.fetch(f"{fetching.base}/small") == b"ID3 small"
    url = f"{fetching.base}/to?url=/small"
    assert await fetching.fetcher.fetch(url) == b"ID3 small", "within the API's host"
    assert fetching.media.tokens == [TOKEN] * 3


@pytest.mark.parametrize(
    ("path", "outcome", "may_come_later"),
    [
        ("/large", "too_large", False),
        ("/untold", "too_large", False),
        ("/never", "failed", True),
        ("/no", "failed", True),
        ("/to?url=/to", "failed", True),
        ("/to?url=http://127.0.0.1:9/", "refused", False),
        ("/to?url=https://inside.example.com/", "refused", False),
        ("/to?url=file:///etc/passwd", "refused", False),
    ],
)
async def test_a_file_is_bounded_and_no_way_to_an_inside_is_followed(
    fetching: Fetching, path: str, outcome: str, may_come_later: bool
) -> None:
    with pytest.raises(NotFetched) as failed:
        await fetching.fetcher.fetch(f"{fetching.base}{path}")
    assert (failed.value.outcome, failed.value.may_come_later) == (outcome, may_come_later)
    assert TOKEN not in str(failed.value)


async def test_redirects_in_a_circle_come_to_an_end(fetching: Fetching) -> None:
    circle = f"{fetching.base}/to?url=%2Fto%3Furl%3D%2Fto%253Furl%253D%2Fto"
    with pytest.raises(NotFetched):
        await fetching.fetcher.fetch(circle)
    assert len(fetching.media.tokens) <= 4
