"""Deepgram's SDK, opened the way this project needs it, and its errors as ours."""

from __future__ import annotations

import asyncio
import re
import warnings
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from services.agent.providers.deepgram.options import DeepgramOptions
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    failure_of_status,
)
from services.agent.providers.registry import Secrets
from services.agent.providers.tls import trusted_authorities

with warnings.catch_warnings():
    # The SDK names parts of websockets that are deprecated. It does not use them here: sockets are
    # opened by ListenTransport.
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.listen.v1 import client as _listen_v1  # noqa: F401 # loaded lazily otherwise
    from deepgram.transport import install_transport

NAME = "deepgram"
_NO_KEY = "none"  # the SDK wants one; a server of one's own may not
_KEEP_ALIVE_S = 55.0  # see openai/client.py
_CONNECT_S = 1.5
_CLOSE_S = 0.5
_PING_S = 5.0
_MOST_MESSAGE_BYTES = 1 << 20
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class ListenTransport:
    """The SDK's way to a WebSocket, by websockets' present client in place of its legacy one.

    The SDK wants the transport at once and connects nothing; so this connects at the first send.
    Bounds: 1.5 s to connect, pings that notice a dead network within 10 s, 1 MiB a message.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._connection: ClientConnection | None = None
        self._connecting = asyncio.Lock()

    async def _open(self) -> ClientConnection:
        async with self._connecting:
            if self._connection is None:
                self._connection = await connect(
                    self._url,
                    additional_headers=self._headers,
                    user_agent_header=None,
                    compression=None,
                    open_timeout=_CONNECT_S,
                    close_timeout=_CLOSE_S,
                    ping_interval=_PING_S,
                    ping_timeout=_PING_S,
                    max_size=_MOST_MESSAGE_BYTES,
                    ssl=trusted_authorities() if self._url.startswith("wss:") else None,
                )
            return self._connection

    async def send(self, data: str | bytes) -> None:
        """Send one message, after connecting if need be."""
        await (await self._open()).send(data)

    async def recv(self) -> str | bytes:
        """Receive one message."""
        return await (await self._open()).recv()

    async def __aiter__(self) -> Any:
        async for message in await self._open():
            yield message

    async def close(self) -> None:
        """Close, within half a second."""
        if self._connection is not None:
            await self._connection.close()


def open_client(
    options: DeepgramOptions, secrets: Secrets, *, read_timeout_s: float = 10.0
) -> tuple[AsyncDeepgramClient, httpx.AsyncClient]:
    """Return the SDK's client and the HTTP client that it uses, which is the caller's to close.

    Raises:
        ProviderUnavailable: no key, or no address.
    """
    key = secrets.get(options.api_key_env) if options.api_key_env else None
    if key is None and options.api_key_env:
        raise ProviderUnavailable(NAME, f"{options.api_key_env} is not set", FailureCause.MISSING)
    url = options.url(secrets)
    if not url.startswith(("http://", "https://")):
        raise ProviderUnavailable(NAME, "its base URL is no http address", FailureCause.MISSING)
    socket_url = "ws" + url.removeprefix("http")
    http = httpx.AsyncClient(
        verify=trusted_authorities(),
        timeout=httpx.Timeout(read_timeout_s, connect=_CONNECT_S, pool=_CONNECT_S),
        limits=httpx.Limits(
            max_connections=200, max_keepalive_connections=20, keepalive_expiry=_KEEP_ALIVE_S
        ),
    )
    install_transport(async_factory=ListenTransport)
    client = AsyncDeepgramClient(
        api_key=key.get_secret_value() if key is not None else _NO_KEY,
        environment=DeepgramClientEnvironment(
            base=url, production=socket_url, agent=socket_url, agent_rest=url
        ),
        httpx_client=http,
        max_retries=0,
        transport_factory=ListenTransport,
    )
    return client, http


SDK_ERRORS = (ApiError, httpx.HTTPError, WebSocketException, OSError, TimeoutError, ValueError)
"""What may come out of the SDK; TypeError and AttributeError too, from answers of a wrong shape."""


def failure_of(exc: Exception, *, has_begun: bool = False) -> ProviderError:
    """Return our error for one of the SDK's; its detail holds no text that came from outside.

    Args:
        exc: one of SDK_ERRORS.
        has_begun: whether the answer had begun, so that a lost connection cut it.
    """
    if isinstance(exc, ProviderError):
        return exc
    if isinstance(exc, ApiError):
        return failure_of_status(NAME, exc.status_code or 0, _code_of(exc.body))
    if isinstance(exc, InvalidStatus):
        return failure_of_status(NAME, exc.response.status_code, "")
    if isinstance(exc, httpx.TimeoutException | TimeoutError):
        return ProviderTimeout(NAME, "no answer in time")
    if isinstance(exc, httpx.TransportError | ConnectionClosed | OSError | WebSocketException):
        if has_begun:
            return ProviderFailed(NAME, "the connection was lost", FailureCause.CUT)
        return ProviderFailed(NAME, "no connection", FailureCause.UNREACHABLE)
    return ProviderFailed(NAME, "an answer that can't be read", FailureCause.GARBAGE)


def _code_of(body: Any) -> str:
    code = body.get("err_code", "") if isinstance(body, dict) else ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
