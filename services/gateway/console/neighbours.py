"""The parts beside the gateway that the console speaks for: Prometheus and the dialer."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from services.gateway.console.dialer_api import DialerApi
from services.gateway.console.problem import Problem

_CHARTS_S = 5.0
_READY_S = 1.0


class Neighbours:
    """Clients of both; a context, leaving which closes what is open.

    Args:
        prometheus_url: None: there is none.
        dialer_url: None: there is none.
        dialer_key: the dialer's, where it has one.
        transport: in place of the network.
    """

    def __init__(
        self,
        prometheus_url: str | None,
        dialer_url: str | None,
        dialer_key: str | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._prometheus_url = prometheus_url
        self._dialer_url = dialer_url
        self._client = httpx.AsyncClient(trust_env=False, transport=transport)
        self._dialer = DialerApi(self._client, dialer_url, dialer_key) if dialer_url else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    @property
    def has_charts(self) -> bool:
        """Whether there is a Prometheus to ask."""
        return self._prometheus_url is not None

    @property
    def has_dialer(self) -> bool:
        """Whether there is a dialer to place calls."""
        return self._dialer is not None

    @property
    def dialer(self) -> DialerApi:
        """The dialer; raises Problem where there is none."""
        if self._dialer is None:
            raise Problem(503, "There is no dialer here: set CONSOLE_DIALER_URL.")
        return self._dialer

    async def health(self) -> dict[str, str]:
        """Return how each of them is: "ok", or words."""
        found = {}
        if self._prometheus_url is not None:
            found["prometheus"] = await self._look(f"{self._prometheus_url}/-/ready")
        if self._dialer_url is not None:
            found["dialer"] = await self._look(f"{self._dialer_url}/readyz")
        return found

    async def _look(self, url: str) -> str:
        try:
            answer = await self._client.get(url, timeout=_READY_S)
        except httpx.HTTPError:
            return "does not answer"
        return "ok" if answer.status_code == 200 else f"not ready ({answer.status_code})"

    async def query_range(self, query: str, *, start_s: float, end_s: float, step_s: float) -> Any:
        """Ask Prometheus for a range; return `data.result`.

        Raises:
            httpx.HTTPError, ValueError, KeyError: no answer, or none that can be used.
        """
        parameters: dict[str, str | float] = {
            "query": query,
            "start": start_s,
            "end": end_s,
            "step": step_s,
        }
        url = f"{self._prometheus_url}/api/v1/query_range"
        answer = await self._client.get(url, params=parameters, timeout=_CHARTS_S)
        answer.raise_for_status()
        return answer.json()["data"]["result"]
