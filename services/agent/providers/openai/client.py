"""OpenAI's SDK, opened the way this project needs it, and its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any, cast

import httpx
import openai
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    failure_of_status,
)
from services.agent.providers.openai.options import OpenAiOptions
from services.agent.providers.registry import Secrets
from services.agent.providers.tls import trusted_authorities
from services.agent.providers.warmth import WARM_S

NAME = "openai"
CONNECT_S = 1.5
KEEP_ALIVE_S = 55.0
"""Longer than a caller thinks and speaks, shorter than the minute after which front ends hang up;
httpx's own 5 s would have nearly every turn open a connection anew."""
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NO_KEY = "none"


def open_client(options: OpenAiOptions, secrets: Secrets) -> openai.AsyncOpenAI:
    """Return a client without retries of its own: the chain knows better when to try again.

    Its HTTP client is httpx's, whose errors can then be told apart where the SDK lets them through.

    Raises:
        ProviderUnavailable: no key, or no address.
    """
    key = secrets.get(options.api_key_env) if options.api_key_env else None
    if key is None and options.api_key_env:
        raise ProviderUnavailable(NAME, f"{options.api_key_env} is not set", FailureCause.MISSING)
    url = options.url(secrets)
    if not url.startswith(("http://", "https://")):
        raise ProviderUnavailable(NAME, "its base URL is no http address", FailureCause.MISSING)
    timeout = httpx.Timeout(options.timeout_s, connect=CONNECT_S, pool=CONNECT_S)
    http = httpx.AsyncClient(
        verify=trusted_authorities(),
        timeout=timeout,
        limits=httpx.Limits(
            max_connections=200, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_S
        ),
        follow_redirects=True,
    )
    return openai.AsyncOpenAI(
        api_key=key.get_secret_value() if key is not None else _NO_KEY,
        base_url=url,
        max_retries=0,
        timeout=cast(Any, timeout),
        http_client=cast(Any, http),
    )


def socket_options(client: openai.AsyncOpenAI) -> dict[str, Any]:
    """Return how a client's WebSockets are opened: bounded, and dead networks noticed in 10 s."""
    is_secure = client.base_url.scheme == "https"
    return {
        "open_timeout": CONNECT_S,
        "close_timeout": 0.5,
        "ping_interval": 5.0,
        "ping_timeout": 5.0,
        "compression": None,
        "max_size": 1 << 20,
        **({"ssl": trusted_authorities()} if is_secure else {}),
    }


async def open_connection(client: openai.AsyncOpenAI) -> None:
    """Have a connection ready; see Warmable."""
    with contextlib.suppress(*SDK_ERRORS):
        async with asyncio.timeout(WARM_S):
            # Light, free of charge, and known to every server that speaks this protocol.
            get: Any = client.get
            await get("/models", cast_to=httpx.Response)


SDK_ERRORS = (
    *(openai.OpenAIError, httpx.HTTPError, WebSocketException),
    *(OSError, TimeoutError, ValueError, TypeError, AttributeError),
)
"""What may come out of the SDK; the last three from answers of a wrong shape, which it does not
check."""


def failure_of(exc: Exception, *, has_begun: bool = False) -> ProviderError:
    """Return our error for one of the SDK's; its detail holds no text that came from outside.

    Args:
        exc: one of SDK_ERRORS.
        has_begun: whether the answer had begun, so that a lost connection cut it.
    """
    if isinstance(exc, openai.APIStatusError):
        return failure_of_status(NAME, exc.status_code, _code(exc.code))
    if isinstance(exc, InvalidStatus):
        return failure_of_status(NAME, exc.response.status_code, "")
    if isinstance(exc, openai.APITimeoutError | httpx.TimeoutException | TimeoutError):
        return ProviderTimeout(NAME, "no answer in time")
    lost = (openai.APIConnectionError, httpx.TransportError, ConnectionClosed, OSError)
    if isinstance(exc, (*lost, WebSocketException)):
        if has_begun:
            return ProviderFailed(NAME, "the connection was lost", FailureCause.CUT)
        return ProviderFailed(NAME, "no connection", FailureCause.UNREACHABLE)
    if isinstance(exc, openai.APIError) and not isinstance(exc, openai.APIResponseValidationError):
        return error_event(exc.code)
    return ProviderFailed(NAME, "an answer that can't be read", FailureCause.GARBAGE)


def error_event(code: object) -> ProviderError:
    """Return our error for an error that the server told of within an answer."""
    return ProviderFailed(NAME, f"error {_code(code)}".strip(), FailureCause.SERVER_ERROR)


def _code(code: object) -> str:
    """Servers put codes there, and nothing else is believed: a text might quote the key."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
