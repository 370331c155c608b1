"""Vobiz's REST API, as far as calls go: a Protocol, and its implementation over httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Final, Protocol

import httpx

from shared.vobiz.account import VobizAccount
from shared.vobiz.answers import (
    Balance,
    is_already_over,
    read_balance,
    read_failure,
    read_make_call,
)
from shared.vobiz.errors import Verdict, VobizFailure
from shared.vobiz.lookup import (
    CALLS_OVER_A_PAGE,
    QUEUED_SHOWN,
    CallFacts,
    CallsUp,
    read_call_over,
    read_call_up,
    read_calls_over,
    read_uuids,
)

_MAX_ANSWER_BYTES = 64 * 1024
_MAX_CONNECTIONS = 50


BeforeSending = Callable[[], Awaitable[None]]
AfterSending = Callable[[], Awaitable[None]]


class HangupOutcome(StrEnum):
    """What came of a hang-up; both are success."""

    ENDED = "ended"
    ALREADY_OVER = "already_over"


class CallAction(StrEnum):
    """What came of a request about a call that is up."""

    DONE = "done"
    CALL_OVER = "call_over"


class CallControl(Protocol):
    """Whoever can dial and hang up."""

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> str | None:
        """Dial, once, and return Vobiz's id of the call, None when it gave none.

        Args:
            body: of Make Call.
            before_sending: awaited once there is a connection to Vobiz, right before the request
                goes out, and again right before its last part does, without which Vobiz can't
                dial; whatever it raises goes to the caller, and nobody is dialled.
            after_sending: awaited when all of it has gone out, before the answer.

        Raises:
            VobizFailure: its verdict tells whether the phone may be ringing all the same.
        """
        ...

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        """End a call.

        Raises:
            VobizFailure: nobody knows whether it ended; asking again does no harm.
        """
        ...


class CallSteering(Protocol):
    """Whoever can act on the caller's leg of a call that is up."""

    async def transfer(self, call_uuid: str, *, url: str, method: str = "POST") -> CallAction:
        """Have the caller's leg go on with the XML of another URL; its media stream ends.

        Not to be repeated once Vobiz may have done it: the XML would begin anew.

        Raises:
            VobizFailure: its verdict tells whether the leg may have gone there all the same.
        """
        ...

    async def send_digits(self, call_uuid: str, digits: str) -> CallAction:
        """Press keys on the caller's leg (0-9 * # A-D, w and W wait).

        Never to be repeated: keys pressed twice mean something else.

        Raises:
            VobizFailure: its verdict tells whether they may have been pressed all the same.
        """
        ...


class CallVoice(Protocol):
    """Whoever can have something said on a call that is up."""

    async def speak(
        self, call_uuid: str, text: str, *, voice: str | None = None, language: str | None = None
    ) -> CallAction:
        """Have Vobiz read a text to the caller; None leaves it Vobiz's own choice.

        Never to be repeated: it would be heard twice.

        Raises:
            VobizFailure: its verdict tells whether it may be heard all the same.
        """
        ...


class AccountView(Protocol):
    """Whoever can tell how an account stands."""

    async def balance(self, currency: str) -> Balance:
        """Return what the account can spend.

        Args:
            currency: of the account, as INR.

        Raises:
            VobizFailure: nobody knows.
        """
        ...


class CallSearch(Protocol):
    """Whoever can tell what became of calls. Asking does no harm, however often."""

    async def calls_up(self) -> CallsUp:
        """Return the calls that are up or about to be.

        Raises:
            VobizFailure: nobody knows.
        """
        ...

    async def call_up(self, call_uuid: str) -> CallFacts | None:
        """Return one of these, None when it is over or never was.

        Raises:
            VobizFailure: nobody knows.
        """
        ...

    async def call_over(self, call_uuid: str) -> CallFacts | None:
        """Return a call that is over; None when there is none, or it is over since a moment.

        Raises:
            VobizFailure: nobody knows.
        """
        ...

    async def calls_over(self, page: int) -> list[CallFacts]:
        """Return a page of the calls that are over, newest first; pages count from 1.

        Raises:
            VobizFailure: nobody knows.
        """
        ...


class VobizClient:
    """CallControl, CallSteering, CallVoice, CallSearch and AccountView on Vobiz.

    Make Call is sent once, on a new connection: on a kept one, a server that closes it while we
    write would leave us not knowing whether it dialled. Nothing is retried but a path's other form.

    Args:
        account: None: every call fails as NOT_CONFIGURED.
        http: sends the requests; owned by who made it.
        timeout_s: bound of a request, from connecting to the last byte of the answer.
    """

    def __init__(
        self, account: VobizAccount | None, http: httpx.AsyncClient, *, timeout_s: float
    ) -> None:
        self._account = account
        self._http = http
        self._timeout_s = timeout_s

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> str | None:
        """POST Call/: any 2xx is a yes."""
        # The slash at the end matters: without it Vobiz answers 401 or 404.
        path = f"Account/{self.auth_id}/Call/"
        status, headers, answer = await self.ask(
            "POST", path, dict(body), before_sending, after_sending
        )
        return read_make_call(status, headers, answer)

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        """DELETE Call/{uuid}/."""
        done = await self._act("DELETE", f"Call/{call_uuid}")
        return HangupOutcome.ENDED if done is CallAction.DONE else HangupOutcome.ALREADY_OVER

    async def transfer(self, call_uuid: str, *, url: str, method: str = "POST") -> CallAction:
        """POST Call/{uuid}/ for the A-leg, which is the caller's."""
        body = {"legs": "aleg", "aleg_url": url, "aleg_method": method}
        return await self._act("POST", f"Call/{call_uuid}", body)

    async def send_digits(self, call_uuid: str, digits: str) -> CallAction:
        """POST Call/{uuid}/DTMF/."""
        body = {"digits": digits, "leg": "aleg"}
        return await self._act("POST", f"Call/{call_uuid}/DTMF", body)

    async def speak(
        self, call_uuid: str, text: str, *, voice: str | None = None, language: str | None = None
    ) -> CallAction:
        """POST Call/{uuid}/Speak/."""
        body = {"text": text, "legs": "aleg"}
        body |= {"voice": voice} if voice is not None else {}
        body |= {"language": language} if language is not None else {}
        return await self._act("POST", f"Call/{call_uuid}/Speak", body)

    async def balance(self, currency: str) -> Balance:
        """GET account/{auth_id}/balance/{currency}; other pages write it with a capital."""
        for place in ("account", "Account"):
            path = f"balance/{currency}"
            status, headers, answer = await self._send("GET", path, place=place)
            if status not in {401, 404}:
                break
        return read_balance(status, headers, answer)

    async def calls_up(self) -> CallsUp:
        """GET Call/ for both states; the queued ones are shown twenty at most."""
        live = read_uuids(*await self._look("Call", "status=live"))
        queued = read_uuids(*await self._look("Call", "status=queued"))
        return CallsUp(tuple(dict.fromkeys((*live, *queued))), len(queued) < QUEUED_SHOWN)

    async def call_up(self, call_uuid: str) -> CallFacts | None:
        """GET Call/{uuid}/ in either state."""
        for state in ("live", "queued"):
            answer = await self._look(f"Call/{call_uuid}", f"status={state}")
            if answer[0] != 404:
                return read_call_up(*answer)
        return None

    async def call_over(self, call_uuid: str) -> CallFacts | None:
        """GET cdr/{uuid}."""
        answer = await self._send("GET", f"cdr/{call_uuid}")
        return None if answer[0] == 404 else read_call_over(*answer)

    async def calls_over(self, page: int) -> list[CallFacts]:
        """GET cdr."""
        return read_calls_over(
            *await self._send("GET", f"cdr?page={page}&per_page={CALLS_OVER_A_PAGE}")
        )

    async def _look(self, path: str, query: str) -> tuple[int, Mapping[str, str], bytes]:
        """GET something about calls; on 401 or 404 in the path's other form too."""
        first = await self._send("GET", f"{path}/?{query}")
        if first[0] not in {401, 404}:
            return first
        second = await self._send("GET", f"{path}?{query}")
        return first if second[0] in {401, 404} else second

    async def _act(
        self, method: str, path: str, body: Mapping[str, str | int] | None = None
    ) -> CallAction:
        """Ask for something about a call; on 401 or 404 once more without the slash.

        Neither status means that anything was done, so the second request repeats nothing.
        """
        statuses = []
        for form in (f"{path}/", path):
            status, headers, answer = await self._send(method, form, json=body)
            if 200 <= status < 300:
                return CallAction.DONE
            statuses.append(status)
            if status not in {401, 404}:
                break
        if is_already_over(statuses):
            return CallAction.CALL_OVER
        raise read_failure(status, headers, answer)

    @property
    def auth_id(self) -> str:
        """The account's id, as it stands in paths; empty without an account."""
        return "" if self._account is None else self._account.auth_id

    async def ask(
        self,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request, once, and return status, headers and body of the answer.

        Args:
            method: of HTTP.
            path: what follows the API's base, as auth/me, query included.
            json: the body.
            before_sending: as of make_call; what it takes is not part of the request's time.
            after_sending: as of make_call.

        Raises:
            VobizFailure: there was no answer, or there is no account.
        """
        if self._account is None:
            raise VobizFailure(Verdict.NOT_CONFIGURED)
        url = f"{self._account.api_base}/{path}"
        credentials = {
            "X-Auth-ID": self._account.auth_id,
            "X-Auth-Token": self._account.auth_token,
        }
        gate = _Gate(method, before_sending, after_sending, self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s) as gate.deadline:
                async with self._http.stream(
                    method, url, json=json, headers=credentials, extensions=gate.extensions
                ) as response:
                    return response.status_code, response.headers, await _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise VobizFailure(Verdict.UNREACHABLE, message=type(exc).__name__) from exc
        except (httpx.HTTPError, TimeoutError) as exc:
            verdict = Verdict.OUTCOME_UNKNOWN if gate.is_open else Verdict.UNREACHABLE
            raise VobizFailure(verdict, message=type(exc).__name__) from exc

    async def _send(
        self,
        method: str,
        path: str,
        json: Mapping[str, str | int] | None = None,
        *,
        place: str = "Account",
    ) -> tuple[int, Mapping[str, str], bytes]:
        return await self.ask(method, f"{place}/{self.auth_id}/{path}", json)


_HEAD: Final = ".send_request_headers.started"
_BODY: Final = ".send_request_body.started"
_SENT: Final = ".send_request_body.complete"


class _Gate:
    """Stands between a connection and the request that is to go out on it: its head, its body."""

    def __init__(
        self,
        method: str,
        before_sending: BeforeSending | None,
        after_sending: AfterSending | None,
        timeout_s: float,
    ) -> None:
        self._method = method.encode()
        self._before_sending = before_sending
        self._after_sending = after_sending
        self._timeout_s = timeout_s
        self.deadline = asyncio.timeout(None)
        self.is_open = before_sending is None
        """Whether so much may have been sent that it is a request."""

    @property
    def extensions(self) -> dict[str, Any]:
        """What httpx is to call on the way."""
        return {} if self._before_sending is None else {"trace": self._on_step}

    async def _on_step(self, name: str, info: Mapping[str, Any]) -> None:
        if self.is_open:
            if name.endswith(_SENT) and self._after_sending is not None:
                await self._after_sending()
            return
        # A proxy is sent a CONNECT before, which is not our request.
        is_ours = name.endswith((_HEAD, _BODY)) and info["request"].method == self._method
        if not is_ours or self._before_sending is None:
            return
        self.deadline.reschedule(None)
        await self._before_sending()
        self.deadline.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
        self.is_open = name.endswith(_BODY)


async def _read(response: httpx.Response) -> bytes:
    """Return the answer's first 64 KiB; more of it is not waited for."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= _MAX_ANSWER_BYTES:
            break
    return bytes(body[:_MAX_ANSWER_BYTES])


@asynccontextmanager
async def open_vobiz(
    account: VobizAccount | None,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    user_agent: str = "parley",
) -> AsyncIterator[VobizClient]:
    """Open a client.

    Args:
        account: None when nobody gave one.
        timeout_s: bound of a whole request.
        connect_timeout_s: bound of connecting; its end means that nothing was sent.
        user_agent: by which Vobiz's support can tell our services apart.
    """
    is_local = account is not None and httpx.URL(account.api_base).host in {
        "127.0.0.1",
        "localhost",
        "::1",
    }
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s, pool=connect_timeout_s),
        limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0),
        follow_redirects=False,
        trust_env=not is_local,  # a proxy can't reach our loopback
        headers={"User-Agent": user_agent},
    ) as http:
        yield VobizClient(account, http, timeout_s=timeout_s)
