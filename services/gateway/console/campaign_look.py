"""Campaigns that run or have paused, for whoever looks at what goes on now."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from services.gateway.console.neighbours import Neighbours
from services.gateway.console.problem import Problem

_log = structlog.get_logger(__name__)
_EACH_S = 2.0
_AGAIN_S = 5.0
"""After the dialer did not answer: what else is shown must not wait for it each time."""
_LOOK_S = 1.0
_PAGES = 4
_SHOWN = 12
_FIELDS = (
    *("id", "name", "state", "reason", "total", "ended", "in_call", "dialling", "outcomes"),
    *("dialled_per_minute", "estimate_s"),
)


class CampaignLook:
    """Asks the dialer every other second, while anybody wants to know.

    Args:
        neighbours: the dialer among them, or not.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self._next_s = float("-inf")
        self._seen: list[dict[str, Any]] = []

    async def seen(self) -> list[dict[str, Any]]:
        """Return campaigns, running ones first; none where the dialer does not answer."""
        loop = asyncio.get_running_loop()
        if not self._neighbours.has_dialer or loop.time() < self._next_s:
            return self._seen
        wait_s = _EACH_S
        try:
            async with asyncio.timeout(_LOOK_S):
                running = await self._in_state("running")
                self._seen = [*running, *await self._in_state("paused")][:_SHOWN]
        except (TimeoutError, Problem) as exc:
            # That the dialer is not well is told under health.
            _log.info("campaigns_not_seen", error=str(exc) or type(exc).__name__)
            self._seen, wait_s = [], _AGAIN_S
        self._next_s = loop.time() + wait_s
        return self._seen

    async def _in_state(self, state: str) -> list[dict[str, Any]]:
        """Return campaigns in a state; those behind some two hundred newer ones are not found."""
        found: list[dict[str, Any]] = []
        query: dict[str, str | int] = {"state": state}
        for _ in range(_PAGES):
            page = await self._neighbours.dialer.ask("GET", "/v1/campaigns", query=query)
            for campaign in page.get("campaigns", []):
                found.append({name: campaign.get(name) for name in _FIELDS})
            cursor = page.get("next")
            if cursor is None or len(found) >= _SHOWN:
                break
            query["cursor"] = cursor
        return found
