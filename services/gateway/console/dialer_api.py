"""The dialer's API as the console speaks it: questions, tables passed on, results passed back.

Its problems become the page's. A table is never held: what comes in goes out, piece by piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import structlog

from services.gateway.console.problem import Problem

_log = structlog.get_logger(__name__)
_ANSWER_S = 10.0
_CONNECT_S = 5.0
_PAUSE_S = 30.0
"""Longest silence within a table, either way."""
_FILL_S = 300.0
"""Until the dialer has added the rows of a table it has read: it answers after that."""
_AWAY = "The dialer does not answer."
_PASSED_ON = frozenset({400, 402, 404, 408, 409, 413, 415, 422, 429, 503})
_SHOWN = ("bad_rows", "refused", "line", "state", "field")
"""Members of its problems that the page shows beside their words."""


class DialerApi:
    """The dialer, spoken to with the gateway's key.

    Args:
        client: shared with other neighbours, and closed by who made it.
        url: of the dialer.
        key: where it has one.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, key: str | None) -> None:
        self._client = client
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        wait_s: float = _ANSWER_S,
    ) -> dict[str, Any]:
        """Ask for something small; return its answer, empty where there is none.

        Raises:
            Problem: the dialer refused, or gave no answer that can be used.
        """
        async with self._spoken_to():
            answer = await self._client.request(
                method,
                self._url + path,
                json=None if body is None else dict(body),
                params=query,
                headers=self._headers,
                timeout=wait_s,
            )
        return _read(answer)

    async def send_table(
        self,
        path: str,
        parts: AsyncIterator[bytes],
        *,
        declared_bytes: int | None,
        query: Mapping[str, str | int],
    ) -> dict[str, Any]:
        """Pass a table on as it comes; the sender is held back as long as the dialer is.

        Args:
            path: what takes it.
            parts: its text. What it raises is raised; then the dialer gets a table that breaks off.
            declared_bytes: how long it will be, None: nobody said.
            query: goes with it.

        Raises:
            Problem: as `ask`.
        """
        headers = self._headers | {"content-type": "text/csv"}
        if declared_bytes is not None:
            headers["content-length"] = str(declared_bytes)
        timeout = httpx.Timeout(_CONNECT_S, write=_PAUSE_S, read=_FILL_S)
        async with self._spoken_to("The dialer broke off. Try again: no row is added twice."):
            answer = await self._client.post(
                self._url + path, content=parts, params=query, headers=headers, timeout=timeout
            )
        return _read(answer)

    @asynccontextmanager
    async def results(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a long answer; what it gives is read while the context lasts.

        Raises:
            Problem: as `ask`; once begun it breaks off with an httpx.HTTPError.
        """
        timeout = httpx.Timeout(_CONNECT_S, read=_PAUSE_S)
        request = self._client.build_request(
            "GET", self._url + path, headers=self._headers, timeout=timeout
        )
        async with self._spoken_to():
            answer = await self._client.send(request, stream=True)
        try:
            if answer.status_code != 200:
                async with self._spoken_to():
                    await answer.aread()
                _read(answer)
            yield answer.aiter_bytes()
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def _spoken_to(self, broken: str = _AWAY) -> AsyncIterator[None]:
        """Say what went wrong; `broken` where there was a connection."""
        try:
            yield
        except httpx.HTTPError as exc:
            _log.warning("dialer_not_reached", error=type(exc).__name__)
            is_away = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
            raise Problem(502, _AWAY if is_away else broken) from exc


def _read(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code == 204:
        return {}
    try:
        said = answer.json()
    except ValueError as exc:
        raise Problem(502, "The dialer's answer can't be read.") from exc
    if not isinstance(said, dict):
        raise Problem(502, "The dialer's answer can't be read.")
    if answer.status_code not in {200, 201}:
        raise _problem(answer.status_code, said)
    return said


def _problem(status: int, said: Mapping[str, Any]) -> Problem:
    title = str(said.get("title") or "The dialer refused")
    detail = str(said.get("detail") or "")
    words = f"{title}. {detail}".replace("..", ".").strip()
    more = {name: said[name] for name in _SHOWN if name in said}
    # Its 401 is not the page's own, and no answer of the page may be a success.
    return Problem(status if status in _PASSED_ON else 502, words, more)
