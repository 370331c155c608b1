"""The simulated cloud's REST side on loopback, with an application behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from services.simulator.calls.cloud import Cloud
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.rest.app import create_app
from services.simulator.rest.server import serve_cloud
from services.simulator.settings import SimulatorSettings
from tests.support.simulated_call import no_voice
from tests.support.vendor_server import VendorServer

AUTH_ID, TOKEN = "MA_TEST", "test-token"
CALLS = f"/Account/{AUTH_ID}/Call/"
TO = "+918000000002"


@dataclass
class Rest:
    """The API, an application behind it, and the cloud they share."""

    client: httpx.AsyncClient
    server: VendorServer
    cloud: Cloud

    def body(self, **changes: Any) -> dict[str, Any]:
        url = self.server.url
        return {
            "from": "+918000000001",
            "to": TO,
            "answer_url": f"{url}/answer?c=our-id",
            "hangup_url": f"{url}/hangup?c=our-id",
            "ring_url": f"{url}/ring?c=our-id",
        } | changes

    async def dial(self, **changes: Any) -> httpx.Response:
        return await self.client.post(CALLS, json=self.body(**changes))

    async def person(self, **person: Any) -> None:
        person = {"after_s": 0.1, "hangup_after_s": 1.0} | person
        response = await self.client.post(f"{self.root}/simulator/people", json=person)
        assert response.status_code == 200, response.text

    @property
    def root(self) -> str:
        return str(self.client.base_url).removesuffix("/api/v1/")

    async def over(self, call_uuid: str) -> None:
        call = self.cloud.find(call_uuid)
        assert call is not None
        async with asyncio.timeout(20):
            await call.over.wait()

    async def cdr(self, call_uuid: str) -> dict[str, Any]:
        """The record, as soon as it can be read: up to three seconds after the end."""
        async with asyncio.timeout(10):
            while True:
                response = await self.client.get(f"/Account/{AUTH_ID}/cdr/{call_uuid}")
                if response.status_code == 200:
                    data: dict[str, Any] = response.json()["data"]
                    return data
                assert response.status_code == 404
                await asyncio.sleep(0.1)


@asynccontextmanager
async def open_rest() -> AsyncIterator[Rest]:
    """Serve both: five calls a second, four at once, everybody answers after a moment."""
    settings = SimulatorSettings(
        vobiz_auth_id=AUTH_ID,
        vobiz_auth_token=SecretStr(TOKEN),
        simulator_say="",
        simulator_answer_after_s=0.1,
        simulator_cps=5,
        simulator_concurrency=4,
    )
    async with (
        VendorServer() as server,
        Cloud(SimulatedClock(), open_engine=no_voice) as cloud,
        serve_cloud(create_app(cloud, settings), host="127.0.0.1", port=0) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/api/v1",
            headers={"X-Auth-ID": AUTH_ID, "X-Auth-Token": TOKEN},
        ) as client,
    ):
        yield Rest(client, server, cloud)
