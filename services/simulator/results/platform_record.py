"""Asks the platform what it knows of a call: its record, with the transcript."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from services.simulator.calls.plan import CallPlan
from shared.protocol.call import CallState

_ATTEMPTS, _PAUSE_S, _TIMEOUT_S = 10, 0.3, 3.0


def platform_call_id(plan: CallPlan) -> str:
    """Return the platform's id of a call: what the answer URL carries as `c`, else CallUUID."""
    carried = parse_qs(urlsplit(plan.answer.url).query).get("c")
    return carried[0] if carried else plan.facts.call_uuid


async def fetch_record(
    client: httpx.AsyncClient, platform: str, plan: CallPlan
) -> dict[str, Any] | None:
    """Return the platform's record once it is final, the last one seen, or None without any."""
    record: dict[str, Any] | None = None
    for _ in range(_ATTEMPTS):
        found = await _get(client, f"{platform}/calls/{platform_call_id(plan)}")
        if found is None:
            return record
        record = found
        if record.get("state") in _FINAL:
            return record
        await asyncio.sleep(_PAUSE_S)
    return record


_FINAL = frozenset(state.value for state in CallState if state.is_final)


async def _get(client: httpx.AsyncClient, url: str) -> dict[str, Any] | None:
    try:
        response = await client.get(url, timeout=_TIMEOUT_S)
        body = response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return body if isinstance(body, dict) else None
