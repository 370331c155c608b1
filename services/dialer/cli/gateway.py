"""What a running gateway says of itself."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from services.dialer.cli.gateway_urls import base_url, is_loopback, parts_of
from services.dialer.cli.settings import CliSettings

_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class GatewayNews:
    """What a gateway answered to /readyz: whether it takes calls, and how Vobiz reaches it."""

    is_ready: bool
    public_url: str | None = None


async def ask_gateway(base: str, transport: httpx.AsyncBaseTransport | None = None) -> GatewayNews:
    """Ask a gateway how it is.

    Raises:
        httpx.HTTPError: there is no answer, or it is no gateway's.
    """
    async with httpx.AsyncClient(
        timeout=_TIMEOUT_S,
        transport=transport,
        trust_env=not is_loopback(base),
        # ngrok shows browsers a page of its own first.
        headers={"User-Agent": "parley-dialer", "ngrok-skip-browser-warning": "1"},
    ) as http:
        answer = await http.get(f"{base}/readyz")
    if answer.status_code not in {200, 503} or len(answer.content) > _MAX_ANSWER_BYTES:
        raise httpx.RemoteProtocolError(f"answered {answer.status_code}")
    try:
        body = answer.json()
    except ValueError as exc:
        raise httpx.RemoteProtocolError("is no gateway") from exc
    if not isinstance(body, dict) or "ready" not in body:
        raise httpx.RemoteProtocolError("is no gateway")
    url = body.get("public_url")
    return GatewayNews(body["ready"] is True, url if isinstance(url, str) and url else None)


async def find_public_url(settings: CliSettings) -> str | None:
    """Return how Vobiz reaches the gateway: by the settings, else as a running one says.

    A gateway without a public URL serves a stand-in for Vobiz on the same machine or network, so
    its own address is the answer then. None: nobody knows.
    """
    if settings.public_url is not None:
        return base_url(settings.public_url, "PUBLIC_URL")
    is_real = settings.vobiz_auth_id is not None and not is_loopback(settings.api_base)
    near = [f"http://127.0.0.1:{settings.http_port}"]
    if settings.dialer_gateway_url is not None:
        near.insert(0, base_url(settings.dialer_gateway_url, "DIALER_GATEWAY_URL"))
    for base in near:
        try:
            news = await ask_gateway(base)
        except httpx.HTTPError:
            continue
        if news.public_url is not None:
            return news.public_url.rstrip("/")
        if not is_real:
            return base
    # Set for Vobiz' eyes, it need not answer here; a name without a dot is a container's.
    parts = parts_of(near[0]) if len(near) > 1 and not is_loopback(near[0]) else None
    return near[0] if parts is not None and "." in (parts.hostname or "") else None
