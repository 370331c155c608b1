"""`parley-dialer setup` against the simulated cloud's REST side and a gateway that answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.dialer.cli.settings import CliSettings
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.rest.app import create_app
from services.simulator.settings import SimulatorSettings
from shared.runtime.http import serve_app
from tests.support.dialer_cli import Ran, run_command
from tests.support.simulated_call import no_voice

pytestmark = pytest.mark.system

AUTH_ID, TOKEN = "MA_TEST", "test-token-of-the-account"
SECRET = "an-unguessable-first-part"
NUMBER, OTHER = "+918000000001", "+918000000003"


@dataclass
class Gateway:
    """Answers /readyz as a gateway does."""

    is_ready: bool = True
    public_url: str | None = None
    base: str = ""

    async def on_ready(self, _: Request) -> Response:
        body = {"ready": self.is_ready, "redis": "ok", "public_url": self.public_url}
        return JSONResponse(body, 200 if self.is_ready else 503)


@dataclass
class Stage:
    """The cloud's REST side, a gateway, and what the command is told of them."""

    cloud: httpx.AsyncClient
    gateway: Gateway
    settings: CliSettings
    requests: list[tuple[str, str]] = field(default_factory=list)

    async def setup(self, *flags: str, **changes: Any) -> Ran:
        settings = self.settings.model_copy(update=changes)
        ran = await run_command("setup", *flags, settings=settings)
        for secret in (TOKEN, SECRET):
            assert secret not in ran.out + ran.err
        return ran

    async def applications(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self.cloud.get(f"/api/v1/Account/{AUTH_ID}/Application/")
        ).json()["objects"]
        return found

    async def attached_to(self, number: str) -> str | None:
        numbers = (await self.cloud.get(f"/api/v1/Account/{AUTH_ID}/numbers")).json()["items"]
        found: str | None = next(n["application_id"] for n in numbers if n["e164"] == number)
        return found

    async def make_application(self, name: str, **fields: Any) -> str:
        body = {"app_name": name, "answer_url": "https://other.example.com/answer"} | fields
        made = await self.cloud.post(f"/api/v1/Account/{AUTH_ID}/Application/", json=body)
        app_id: str = made.json()["app_id"]
        return app_id

    async def attach(self, number: str, app_id: str) -> None:
        path = f"/api/v1/Account/{AUTH_ID}/numbers/{number.replace('+', '%2B')}/application"
        assert (await self.cloud.post(path, json={"application_id": app_id})).is_success

    async def change_account(self, **changes: Any) -> None:
        assert (await self.cloud.post("/simulator/account", json=changes)).is_success


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    simulator = SimulatorSettings(vobiz_auth_id=AUTH_ID, vobiz_auth_token=SecretStr(TOKEN))
    gateway = Gateway()
    route = Starlette(routes=[Route("/readyz", gateway.on_ready)])
    async with (
        Cloud(SimulatedClock(), open_engine=no_voice) as cloud,
        serve_app(create_app(cloud, simulator), host="127.0.0.1", port=0) as cloud_port,
        serve_app(route, host="127.0.0.1", port=0) as gateway_port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{cloud_port}",
            headers={"X-Auth-ID": AUTH_ID, "X-Auth-Token": TOKEN},
            trust_env=False,
        ) as client,
    ):
        gateway.base = f"http://127.0.0.1:{gateway_port}"
        settings = CliSettings(
            vobiz_auth_id=AUTH_ID,
            vobiz_auth_token=SecretStr(TOKEN),
            vobiz_api_base=f"http://127.0.0.1:{cloud_port}/api/v1",
            gateway_path_secret=SecretStr(SECRET),
            http_port=gateway_port,
            public_url=gateway.base,
        )
        stage = Stage(client, gateway, settings)
        await stage.change_account(numbers=[NUMBER, OTHER])
        yield stage


async def test_a_dry_run_shows_what_would_change_and_changes_nothing(stage: Stage) -> None:
    ran = await stage.setup("--number", NUMBER)
    assert ran.status == 0
    assert "100.00 INR" in ran.out
    assert "50, 0 in use" in ran.out
    for words in ("what", "before", "after", "(none)", "parley", f"number {NUMBER}"):
        assert words in ran.out
    assert "/.../answer" in ran.out
    assert ran.out.endswith("Nothing was changed yet: run it again with --apply.\n")
    assert ran.widest <= 80
    assert await stage.applications() == []
    assert await stage.attached_to(NUMBER) is None


async def test_applied_it_makes_the_application_and_a_second_run_has_nothing_to_do(
    stage: Stage,
) -> None:
    ran = await stage.setup("--number", NUMBER, "--apply")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith(f"Done: calls to {NUMBER} go to the gateway.\n")
    (application,) = await stage.applications()
    base = f"{stage.gateway.base}/{SECRET}"
    assert application["app_name"] == "parley"
    assert application["answer_url"] == f"{base}/answer"
    assert application["hangup_url"] == f"{base}/hangup"
    assert application["fallback_answer_url"] == f"{base}/fallback"
    assert await stage.attached_to(NUMBER) == application["app_id"]

    again = await stage.setup("--number", NUMBER, "--apply")
    assert again.status == 0
    assert again.out.endswith("Nothing to change.\n")
    assert await stage.applications() == [application]


async def test_what_differs_is_changed_and_the_rest_is_left(stage: Stage) -> None:
    app_id = await stage.make_application("parley", default_endpoint_app=True, hangup_method="GET")
    ran = await stage.setup("--apply")
    assert ran.status == 0
    assert "hangup method" in ran.out
    assert "answer method" not in ran.out
    (application,) = await stage.applications()
    assert application["app_id"] == app_id
    assert application["hangup_method"] == "POST"
    assert application["default_endpoint_app"] is True
    assert "number" not in ran.out.partition("what")[2]
    assert ran.out.endswith("Done.\n")


async def test_the_application_is_found_behind_twenty_others(stage: Stage) -> None:
    for index in range(20):
        await stage.make_application(f"other-{index}")
    app_id = await stage.make_application("parley")
    assert (await stage.setup("--apply")).status == 0
    shown = await stage.cloud.get(f"/api/v1/Account/{AUTH_ID}/Application/{app_id}/")
    assert shown.json()["answer_url"].endswith("/answer")
    assert SECRET in shown.json()["answer_url"]


async def test_two_applications_of_the_name_are_left_to_a_person(stage: Stage) -> None:
    ids = {await stage.make_application("parley"), await stage.make_application("parley")}
    ran = await stage.setup("--apply")
    assert ran.status == 1
    assert all(app_id in ran.err for app_id in ids)


@pytest.mark.parametrize("keeps_attachments", [False, True])
async def test_a_number_of_another_application_is_taken_only_with_leave(
    stage: Stage, keeps_attachments: bool
) -> None:
    other = await stage.make_application("shop")
    await stage.attach(NUMBER, other)
    await stage.change_account(keeps_attachments=keeps_attachments)
    ran = await stage.setup("--number", NUMBER, "--apply")
    assert ran.status == 1
    assert "attached to the Application shop" in ran.err
    assert "--take-over" in ran.err
    assert [app["app_name"] for app in await stage.applications()] == ["shop"]
    assert await stage.attached_to(NUMBER) == other

    ran = await stage.setup("--number", NUMBER, "--take-over", "--apply")
    assert ran.status == 0, ran.err
    ours = next(app for app in await stage.applications() if app["app_name"] == "parley")
    assert await stage.attached_to(NUMBER) == ours["app_id"]


async def test_a_number_of_somebody_else_is_named(stage: Stage) -> None:
    ran = await stage.setup("--number", "+918000000009", "--apply")
    assert ran.status == 1
    assert "+918000000009 is no number of this account" in ran.err
    assert NUMBER in ran.err
    assert await stage.applications() == []


async def test_programs_get_one_document(stage: Stage) -> None:
    ran = await stage.setup("--json", "--number", NUMBER)
    document = json.loads(ran.out)
    assert document["applied"] is False
    assert document["account"]["account"].startswith(AUTH_ID)
    assert document["changes"][0]["what"] == "Application"
    assert json.loads((await stage.setup("--json", "--number", NUMBER, "--apply")).out)["applied"]
    assert json.loads((await stage.setup("--json", "--number", NUMBER)).out)["changes"] == []


async def test_a_gateway_that_is_away_or_not_ready_is_warned_of(stage: Stage) -> None:
    stage.gateway.is_ready = False
    assert "not ready for calls" in (await stage.setup()).err
    ran = await stage.setup("--public-url", "http://127.0.0.1:9")
    assert ran.status == 0
    assert "no gateway answers at http://127.0.0.1:9/readyz" in " ".join(ran.err.split())


async def test_the_public_url_is_asked_of_the_running_gateway(stage: Stage) -> None:
    stage.gateway.public_url = "https://tunnel.example.com"
    ran = await stage.setup(public_url=None)
    assert "https://tunnel.example.com/.../answer" in "".join(ran.out.split())
    stage.gateway.public_url = None
    assert f"{stage.gateway.base}/" in (await stage.setup(public_url=None)).out
    nowhere = await stage.setup(public_url=None, http_port=9)
    assert (nowhere.status, "--public-url" in nowhere.err) == (2, True)


async def test_an_account_that_cannot_call_is_warned_of(stage: Stage) -> None:
    await stage.change_account(balance=0, is_active=False)
    ran = await stage.setup()
    assert "no balance left" in ran.err
    assert "not active" in ran.err


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "check VOBIZ_AUTH_ID"), (403, "inactive, blocked"), (500, "run it again later")],
)
async def test_vobizs_refusal_is_one_line(stage: Stage, status: int, words: str) -> None:
    fault = {"status": status, "count": 5, "operation": "GET /auth/me"}
    assert (await stage.cloud.post("/simulator/faults", json=fault)).is_success
    ran = await stage.setup("--apply")
    assert ran.status == 1
    assert words in ran.err
    assert ran.err.count("\n") == 1


async def test_an_application_that_vobiz_refuses_to_make_is_no_success(stage: Stage) -> None:
    fault = {"status": 403, "operation": f"POST /Account/{AUTH_ID}/Application/"}
    assert (await stage.cloud.post("/simulator/faults", json=fault)).is_success
    ran = await stage.setup("--apply")
    assert ran.status == 1
    assert "Done" not in ran.out


async def test_without_an_account_it_says_what_to_set(stage: Stage) -> None:
    ran = await stage.setup(
        vobiz_auth_id=None, vobiz_auth_token=None, vobiz_api_base="https://api.vobiz.ai/api/v1"
    )
    assert ran.status == 2
    assert "VOBIZ_AUTH_ID" in ran.err
