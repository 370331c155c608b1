"""The dialer's whole API in this process: a real Redis, and a Vobiz that says yes until told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.dialer.access.account import AccountLook
from services.dialer.assembly import Parts, assemble
from services.dialer.calls.dialer import Dialer
from services.dialer.calls.permit import NoPermit, Permit
from services.dialer.campaigns.pacing import UNKNOWN_CONCURRENCY, Pacing
from services.dialer.settings import DialerSettings
from shared.bus.redis import open_bus
from shared.bus.redis.bus import RedisBus
from shared.metrics.catalogue import DialerMetrics
from shared.vobiz.answers import Balance
from shared.vobiz.client import CallAction, HangupOutcome
from shared.vobiz.errors import VobizFailure

ROOT_KEY = "root-key-of-the-tests"
TO, FROM = "+918000000002", "+918000000001"
ORDER = {"to": TO, "from": FROM}


@dataclass
class WillingVobiz:
    """CallControl, CallSteering, CallVoice and AccountView: does as asked, or fails as told."""

    failure: VobizFailure | None = None
    is_over: bool = False
    holds: asyncio.Event | None = None
    made: list[dict[str, str | int]] = field(default_factory=list)
    acts: list[tuple[Any, ...]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: Callable[[], Awaitable[None]] | None = None,
        after_sending: Callable[[], Awaitable[None]] | None = None,
    ) -> str | None:
        """Dial; waits for `holds` to be set where there is one."""
        if before_sending is not None:
            await before_sending()
        self.made.append(dict(body))
        self.asked.set()
        if after_sending is not None:
            await after_sending()
        if self.holds is not None:
            await self.holds.wait()
        self._fail()
        return f"uuid-{len(self.made)}"

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        """End a call."""
        self.acts.append(("hang_up", call_uuid))
        self._fail()
        return HangupOutcome.ALREADY_OVER if self.is_over else HangupOutcome.ENDED

    async def transfer(self, call_uuid: str, *, url: str, method: str = "POST") -> CallAction:
        """Have a call go on elsewhere."""
        return self._act("transfer", call_uuid, url)

    async def send_digits(self, call_uuid: str, digits: str) -> CallAction:
        """Press keys."""
        return self._act("dtmf", call_uuid, digits)

    async def speak(
        self, call_uuid: str, text: str, *, voice: str | None = None, language: str | None = None
    ) -> CallAction:
        """Read a text out."""
        return self._act("speak", call_uuid, text, voice, language)

    async def balance(self, currency: str) -> Balance:
        """Tell what the account can spend."""
        self._fail()
        return Balance(812.4, None)

    def _act(self, *act: Any) -> CallAction:
        self.acts.append(act)
        self._fail()
        return CallAction.CALL_OVER if self.is_over else CallAction.DONE

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass
class DialerApi:
    """A dialer with its API. `api` asks with the root key."""

    app: FastAPI
    api: httpx.AsyncClient
    bus: RedisBus
    vobiz: WillingVobiz
    dialer: Dialer
    draining: asyncio.Event

    def client(self, key: str | None) -> httpx.AsyncClient:
        """Return a client with another key, or none; to be closed by who asks for it."""
        return _client(self.app, key)

    async def make_key(self, *scopes: str, rate_per_minute: int | None = None) -> str:
        """Make a key and return its text."""
        body = {"name": "tester", "scopes": list(scopes), "rate_per_minute": rate_per_minute}
        answer = await self.api.post("/v1/keys", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])


def new_prefix() -> str:
    """Return a prefix that nobody else has."""
    return "{" + uuid.uuid4().hex + "}"


def _client(app: FastAPI, key: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://dialer",
        headers={"Authorization": f"Bearer {key}"} if key is not None else {},
    )


@asynccontextmanager
async def open_dialer_api(
    redis_url: str,
    *,
    prefix: str = "{parley}",
    permit: Permit | None = None,
    timeout_s: float = 1.0,
    **settings: Any,
) -> AsyncIterator[DialerApi]:
    """Open one; its settings are the defaults, with a root key."""
    made = DialerSettings(dialer_api_key=ROOT_KEY, **settings)
    registry, vobiz, draining = CollectorRegistry(), WillingVobiz(), asyncio.Event()
    metrics = DialerMetrics(registry)
    async with open_bus(redis_url, prefix=prefix, timeout_s=timeout_s) as bus:
        dialer = Dialer(
            vobiz,
            bus.calls,
            metrics,
            gateway=made.gateway,
            limits=made.limits,
            permit_for=lambda _: permit or NoPermit(),
        )
        pacing = Pacing(bus.store, made.pace_rules, metrics, concurrency=UNKNOWN_CONCURRENCY)
        look = AccountLook(vobiz, pacing, currency=made.dialer_balance_currency)
        app = assemble(Parts(made, bus, vobiz, dialer, metrics, registry, draining, look))
        async with _client(app, ROOT_KEY) as api:
            yield DialerApi(app, api, bus, vobiz, dialer, draining)
