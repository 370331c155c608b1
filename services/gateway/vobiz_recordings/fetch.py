"""Fetches Vobiz's own recordings: bounded in size and time, the secret for Vobiz's hosts alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from services.gateway.vobiz_recordings.rules import Place, judge_url
from shared.runtime.outbound_http import (
    AddressRefused,
    PinnedTransport,
    Resolver,
    resolve_host,
)
from shared.vobiz.account import VobizAccount

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_S = 5.0


class NotFetched(Exception):
    """A file was not fetched.

    Args:
        reason: without the URL, which may hold a secret.
        may_come_later: whether it is worth asking again.
        outcome: for the counter.
    """

    def __init__(self, reason: str, *, may_come_later: bool, outcome: str = "failed") -> None:
        super().__init__(reason)
        self.may_come_later = may_come_later
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class FetchBounds:
    """How large a file may be, and how long one attempt may take."""

    size_bytes: int
    timeout_s: float


class CopyFetcher:
    """Fetches files for an account.

    Args:
        account: whose recordings they are.
        bounds: see there.
        resolve: how names become addresses.
    """

    def __init__(
        self, account: VobizAccount, bounds: FetchBounds, *, resolve: Resolver = resolve_host
    ) -> None:
        self._account = account
        self._bounds = bounds
        self._resolve = resolve

    def judge(self, url: str) -> Place | None:
        """See rules.judge_url."""
        return judge_url(url, self._account.api_base)

    async def fetch(self, url: str) -> bytes:
        """Return a file.

        Raises:
            NotFetched: whatever the reason.
        """
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                for _ in range(_MOST_REDIRECTS + 1):
                    found = await self._ask(url)
                    if isinstance(found, bytes):
                        return found
                    url = found
        except AddressRefused as exc:
            raise NotFetched(str(exc), may_come_later=False, outcome="refused") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise NotFetched(type(exc).__name__, may_come_later=True) from exc
        except TimeoutError as exc:
            raise NotFetched("no answer in time", may_come_later=True) from exc
        raise NotFetched("too many redirects", may_come_later=False)

    async def _ask(self, url: str) -> bytes | str:
        """Return the file, or where else it is said to be."""
        place = self.judge(url)
        if place is None:
            raise NotFetched("not a URL to ask", may_come_later=False, outcome="refused")
        headers = {"accept-encoding": "identity", "user-agent": "parley-gateway"}
        if place.is_trusted:
            headers |= {
                "X-Auth-ID": self._account.auth_id,
                "X-Auth-Token": self._account.auth_token,
            }
        transport = PinnedTransport(allow_private=place.may_be_private, resolve=self._resolve)
        timeout = httpx.Timeout(self._bounds.timeout_s, connect=_CONNECT_S)
        async with (
            httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as http,
            http.stream("GET", url, headers=headers, follow_redirects=False) as response,
        ):
            location = response.headers.get("location")
            if response.status_code in _REDIRECTS and location:
                return str(response.url.join(location))
            if response.status_code != 200:
                # Also 404: the file may come a while after the news of it.
                raise NotFetched(f"status {response.status_code}", may_come_later=True)
            return await self._read(response)

    async def _read(self, response: httpx.Response) -> bytes:
        most, body = self._bounds.size_bytes, bytearray()
        said = response.headers.get("content-length", "")
        is_said_large = said.isascii() and said.isdigit() and int(said[:20]) > most
        # As it comes, not unpacked: what is small on the way can't become large here.
        async for part in response.aiter_raw():
            body += part
            if is_said_large or len(body) > most:
                text = f"more than {most} bytes"
                raise NotFetched(text, may_come_later=False, outcome="too_large")
        return bytes(body)
