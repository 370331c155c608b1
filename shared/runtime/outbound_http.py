"""Requests to addresses that others chose: resolved once, checked, and connected to as checked.

Checking a name and then leaving it to the client to resolve it again would let a name server give
another answer the second time. Here the address that was checked is the one connected to, while
the certificate and the Host header stay those of the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import httpx

from shared.runtime.addresses import is_public

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host and a port into addresses, the preferred one first; OSError where it can't."""

_MOST_ADDRESSES = 3
_RESOLVE_S = 5.0


class AddressRefused(httpx.RequestError):
    """The host leads to private addresses alone; nothing was sent."""

    def __init__(self, host: str, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"{host} is not on the public internet", request=request)
        self.host = host


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Resolve by the system's resolver, in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class PinnedTransport(httpx.AsyncBaseTransport):
    """A transport of httpx that connects to checked addresses only.

    No connection is kept for a second request: a kept one would be found again by its address, and
    its certificate was checked for one name. Proxies are not used; redirects are the client's, and
    each goes through here again.

    Args:
        allow_private: connect wherever the name leads; for owners who mean their own network.
        resolve: how names become addresses.
        tls: how certificates are checked; None: by the authorities that httpx brings.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolver = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._inner = httpx.AsyncHTTPTransport(
            verify=True if tls is None else tls,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of its host's permitted addresses that can be reached.

        Raises:
            AddressRefused: there is none that is permitted.
            httpx.UnsupportedProtocol: neither http nor https.
            httpx.ConnectError: the name can't be resolved, or no address answers.
            httpx.RequestError: any other failure, as of every transport.
        """
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("neither http nor https", request=request)
        host = request.url.raw_host.decode("ascii")
        addresses = await self._permitted(host, request)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, host, addresses[-1]))

    async def _permitted(self, host: str, request: httpx.Request) -> list[str]:
        limit_s = (request.extensions.get("timeout") or {}).get("connect") or _RESOLVE_S
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            async with asyncio.timeout(limit_s):
                found = list(await self._resolve(host.strip("[]"), port))
        except TimeoutError as exc:
            raise httpx.ConnectTimeout(f"{host}: no address in time", request=request) from exc
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(f"{host}: no address", request=request) from exc
        if not found:
            raise httpx.ConnectError(f"{host}: no address", request=request)
        permitted = [ip for ip in found if self._allow_private or is_public(ip)]
        if not permitted:
            raise AddressRefused(host, request=request)
        return permitted[:_MOST_ADDRESSES]

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def _pinned(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """Return the same request to an address, still under the name; its body must be in memory."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host.strip("[]")},
    )
