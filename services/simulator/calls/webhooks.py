"""Delivers webhooks as Vobiz does: signed forms, retries, time limits, fallback."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import structlog

from services.simulator.calls.forms import Form
from services.simulator.calls.knobs import Knobs, SignatureKnob
from services.simulator.calls.wheel import SimulatedClock
from shared.protocol.signature import main_account_headers, signed_headers

_log = structlog.get_logger(__name__)
MAX_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a webhook. `status` is None when there was no answer."""

    event: str
    path: str
    attempt: int
    sent_s: float
    took_ms: float
    status: int | None
    problem: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the receiver said 200."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a webhook that asks for XML."""

    body: bytes
    content_type: str
    url: str


def open_client(*, max_calls: int = 200) -> httpx.AsyncClient:
    """Return the HTTP client for webhooks; it belongs to the caller, who closes it."""
    limits = httpx.Limits(max_connections=max_calls, max_keepalive_connections=max_calls)
    return httpx.AsyncClient(
        headers={"User-Agent": "Vobiz", "Accept": "*/*"},
        limits=limits,
        trust_env=False,
        follow_redirects=True,
    )


class WebhookSender:
    """Sends the webhooks of one call.

    Args:
        client: shared by all calls.
        clock: simulated time.
        knobs: signatures, retries, duplicates.
        token: the account's auth token, which signs.
        note: told of every attempt.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        clock: SimulatedClock,
        knobs: Knobs,
        token: str,
        note: Callable[[Delivery], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._knobs = knobs
        self._token = token
        self._note = note
        self._random = random.Random()  # nonces must differ between calls and runs

    async def ask(self, url: str, method: str, form: Form) -> Answer | None:
        """Ask for XML; None when every attempt failed (network, time, or not a 2xx)."""
        for attempt in range(1, self._knobs.answer_attempts + 1):
            response = await self._send(url, method, form, attempt, self._knobs.answer_timeout_s)
            if response is not None and response.is_success:
                if self._knobs.duplicates_webhooks and attempt == 1:
                    await self._send(url, method, form, 0, self._knobs.answer_timeout_s)
                content_type = response.headers.get("content-type", "")
                return Answer(response.content[:MAX_ANSWER_BYTES], content_type, url)
            await self._pause(attempt, self._knobs.answer_attempts)
        return None

    async def tell(self, url: str, method: str, form: Form) -> bool:
        """Report a status, again while the answer is not 200; returns whether it arrived."""
        for attempt in range(1, self._knobs.status_attempts + 1):
            response = await self._send(url, method, form, attempt, self._knobs.status_timeout_s)
            if response is not None and response.status_code == 200:
                if self._knobs.duplicates_webhooks:
                    await self._send(url, method, form, 0, self._knobs.status_timeout_s)
                return True
            await self._pause(attempt, self._knobs.status_attempts)
        return False

    async def _pause(self, attempt: int, attempts: int) -> None:
        if attempt < attempts:
            await self._clock.sleep(self._knobs.retry_delay_s * 2 ** (attempt - 1))

    async def _send(
        self, url: str, method: str, form: Form, attempt: int, timeout_s: float
    ) -> httpx.Response | None:
        sent_s = self._clock.now_s()
        response: httpx.Response | None = None
        problem = ""
        request: dict[str, object] = {"params": _merged_query(url, form)}
        if method.upper() != "GET":
            request = {"data": form}
        try:
            response = await self._client.request(
                method.upper(),
                url,
                headers=self.headers(url),
                timeout=timeout_s,
                **request,  # type: ignore[arg-type] # one of two keyword sets
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            problem = f"{type(exc).__name__}: {exc}".rstrip(": ")
        took_ms = round((self._clock.now_s() - sent_s) * 1000, 1)
        status = response.status_code if response is not None else None
        path = urlsplit(url).path or "/"
        event = form.get("Event", "")
        self._note(Delivery(event, path, attempt, sent_s, took_ms, status, problem))
        return response

    def headers(self, url: str) -> dict[str, str]:
        """Return the signature headers of one request, as the knob has it."""
        nonce_v3, nonce_v2 = self._nonce(), self._nonce()
        match self._knobs.signature:
            case SignatureKnob.NONE:
                return {}
            case SignatureKnob.WRONG:
                return signed_headers(url, self._token + "-not", nonce_v3, nonce_v2)
            case SignatureKnob.MAIN_ACCOUNT_ONLY:
                nonces = {
                    "X-Vobiz-Signature-V3-Nonce": nonce_v3,
                    "X-Vobiz-Signature-V2-Nonce": nonce_v2,
                }
                return nonces | main_account_headers(url, self._token, nonce_v3, nonce_v2)
            case _:
                return signed_headers(url, self._token, nonce_v3, nonce_v2)

    def _nonce(self) -> str:
        return f"{self._random.randrange(10**20):020d}"


def _merged_query(url: str, form: Form) -> dict[str, object]:
    """Return query parameters of a GET: those of the URL stay, the form's come behind."""
    merged: dict[str, object] = dict(httpx.URL(url).params)
    return merged | dict(form)
