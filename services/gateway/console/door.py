"""Who may use the console, and from where.

A local gateway without a password is open to its own machine, and to pages of its own names alone:
a site of somebody else's whose name is made to point here must not read calls. `CONSOLE_NAMES` says
that nobody but its users reaches the port. With `CONSOLE_PASSWORD` one logs in. A
public gateway without a password has no console. What changes anything is taken as JSON, a list of
numbers as a table, from the console's own page only: neither is what a form of another site can
send.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.access.trusted_proxies import client_of
from services.gateway.access.webhook_auth import same_secret
from services.gateway.calls.routing import base_of_host
from services.gateway.console.problem import Problem
from services.gateway.console.sessions import Attempts, is_session, make_session, session_key
from services.gateway.state import GatewayState, gateway_state

_log = structlog.get_logger(__name__)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - names nothing that could be called
_BODY_MAX_BYTES = 16_384
JSON, CSV = "application/json", "text/csv"
_WANTED = {JSON: "Send JSON, as application/json.", CSV: "Send a table, as text/csv."}
NO_PASSWORD = (
    "This gateway can be reached from outside and its console has no password. "  # noqa: S105
    "Set CONSOLE_PASSWORD and start the gateway again."
)


class Mode(StrEnum):
    """How one gets in."""

    OPEN = "open"
    LOGIN = "login"
    SHUT = "shut"


class Door:
    """Decides who comes in; one for each gateway."""

    def __init__(self, state: GatewayState) -> None:
        settings = state.settings
        password = settings.console_password
        self._state = state
        self._password = password.get_secret_value() if password is not None else None
        self._key = session_key(self._password, settings.link_secret) if self._password else b""
        self._attempts = Attempts()
        self._names = _LOCAL_NAMES | settings.own_console_names
        self._has_own_names = bool(settings.own_console_names)
        if settings.gateway_host not in _ANY_ADDRESS:
            self._names |= {settings.gateway_host.lower()}

    @property
    def mode(self) -> Mode:
        """How one gets in."""
        if self._password is not None:
            return Mode.LOGIN
        return Mode.SHUT if self._state.settings.is_public else Mode.OPEN

    @property
    def is_https(self) -> bool:
        """Whether browsers reach us by https alone."""
        return (self._state.public_base or "").startswith("https:")

    @property
    def cookie_name(self) -> str:
        """The session cookie's; the prefix has browsers take it from https and this host alone."""
        return "__Host-parley_console" if self.is_https else "parley_console"

    def check_place(self, request: Request) -> None:
        """Raise Problem where there is no console, or none under the name it is asked for by."""
        mode = self.mode
        if mode is Mode.SHUT:
            raise Problem(403, NO_PASSWORD)
        base = base_of_host(request.headers.get("host", ""))
        name = urlsplit(base).hostname if base is not None else None
        if name is None or (mode is Mode.OPEN and name.lower() not in self._names):
            raise Problem(
                403,
                "The console without a password answers to localhost only. Open it under that name,"
                " list this one in CONSOLE_NAMES, or set CONSOLE_PASSWORD.",
            )
        if mode is Mode.OPEN and not self._has_own_names and not self._is_of_this_machine(request):
            raise Problem(
                403,
                "The console without a password is for this machine alone. Set CONSOLE_PASSWORD, or"
                " CONSOLE_NAMES where nobody else reaches this port.",
            )

    def is_logged_in(self, request: Request) -> bool:
        """Whether a request may see calls."""
        if self.mode is not Mode.LOGIN:
            return self.mode is Mode.OPEN
        value = request.cookies.get(self.cookie_name, "")
        return is_session(self._key, value, self._state.clock.wall().timestamp())

    def check_write(self, request: Request, wanted: str = JSON) -> None:
        """Raise Problem unless a request that changes something comes from our own page."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != wanted:
            raise Problem(415, _WANTED[wanted])
        origin = urlsplit(request.headers.get("origin", ""))
        public = urlsplit(self._state.public_base or "")
        is_own = origin.netloc == request.headers.get("host") or (
            bool(public.netloc) and (origin.scheme, origin.netloc) == (public.scheme, public.netloc)
        )
        if origin.scheme not in {"http", "https"} or not is_own:
            raise Problem(403, "This request did not come from the console's own page.")

    def log_in(self, request: Request, password: str, response: Response) -> None:
        """Give a session to whoever knows the password, or raise Problem."""
        client = self._client(request)
        wait_s = self._attempts.take(client, self._state.clock.now_s())
        is_right = self._password is not None and same_secret(password, self._password)
        if wait_s > 0 or not is_right:
            self._state.metrics.refused_requests.labels(reason="unauthorized").inc()
            _log.warning("console_login_refused", is_throttled=wait_s > 0)
            if wait_s > 0:
                raise Problem(429, f"Too many attempts. Wait {math.ceil(wait_s)} seconds.")
            raise Problem(401, "That is not the password.")
        self._attempts.forget(client)
        life_s = self._state.settings.console_session_s
        expires_s = self._state.clock.wall().timestamp() + life_s
        response.set_cookie(
            self.cookie_name,
            make_session(self._key, expires_s),
            max_age=int(life_s),
            path="/",
            secure=self.is_https,
            httponly=True,
            samesite="strict",
        )

    def log_out(self, response: Response) -> None:
        """Have the browser forget its session."""
        response.delete_cookie(
            self.cookie_name, path="/", secure=self.is_https, httponly=True, samesite="strict"
        )

    def _client(self, request: Request) -> str:
        """Return who a request comes from, behind proxies that are trusted."""
        forwarded = request.headers.getlist("x-forwarded-for")
        return client_of(_peer(request), forwarded, self._state.settings.trusted_proxies)

    def _is_of_this_machine(self, request: Request) -> bool:
        """Whether the connection itself comes from here: a Host header is anybody's to write.

        Nor does a proxy of this machine make it so for those it speaks for.
        """
        return _is_loopback(_peer(request)) and _is_loopback(self._client(request))


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def door_of(request: Request) -> Door:
    """Return the console's door; a FastAPI dependency."""
    door: Door = request.app.state.console_door
    return door


def in_place(request: Request, door: Annotated[Door, Depends(door_of)]) -> Door:
    """Let in who asks for a console that is there; they may be strangers still."""
    door.check_place(request)
    return door


def signed_in(
    request: Request, response: Response, door: Annotated[Door, Depends(in_place)]
) -> Door:
    """Let in who may see calls; what changes something must come from our own page besides.

    Nothing of the answer stays in the browser.
    """
    return _let_in(request, response, door, JSON)


def signed_in_with_table(
    request: Request, response: Response, door: Annotated[Door, Depends(in_place)]
) -> Door:
    """Let in who may see calls and brings a table; nothing of its body has been read yet."""
    return _let_in(request, response, door, CSV)


def _let_in(request: Request, response: Response, door: Door, wanted: str) -> Door:
    response.headers["cache-control"] = "no-store"
    if not door.is_logged_in(request):
        raise Problem(401, "Log in first.")
    if request.method not in {"GET", "HEAD"}:
        door.check_write(request, wanted)
    return door


async def json_body(
    request: Request, state: Annotated[GatewayState, Depends(gateway_state)]
) -> Mapping[str, Any]:
    """Read a small JSON object; nothing at all counts as an empty one."""
    try:
        async with asyncio.timeout(state.settings.gateway_body_timeout_s):
            body = await request.body()
    except TimeoutError:
        raise Problem(408, "The request did not come to its end in time.") from None
    if len(body) > _BODY_MAX_BYTES:
        raise Problem(413, "That is too much text.")
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Problem(400, "That is not JSON.") from None
    if not isinstance(data, dict):
        raise Problem(400, "A JSON object is wanted.")
    return data
