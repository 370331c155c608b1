"""The dialer's HTTP API as the commands use it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.dialer.cli.event_stream import Event, EventReader
from services.dialer.cli.failure import CommandFailed, Exit, Refused
from services.dialer.cli.settings import CliSettings

_CONNECT_S = 5.0
_TIMEOUT_S = 60.0
_UPLOAD_TIMEOUT_S = 900.0  # the answer to an upload comes when its last row is written
_STREAM_SILENT_S = 45.0  # three of the dialer's comments missed
_PAGE = 100
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class DialerClient:
    """Requests to the dialer, each sent once.

    Args:
        http: sends them; owned by who made it.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @property
    def base(self) -> str:
        """Where the dialer is, without anything secret that a URL may hold."""
        url = self._http.base_url
        port = f":{url.port}" if url.port is not None else ""
        return f"{url.scheme}://{url.host}{port}"

    async def answers(self) -> bool:
        """Whether a dialer is there at all."""
        try:
            return (await self._http.get("/healthz", timeout=2.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a document.

        Raises:
            CommandFailed: there is no answer, or the dialer refuses.
        """
        return await self._ask("GET", path, params=_given(params))

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Change something, and return what the dialer says of it, empty when it says nothing.

        Raises:
            CommandFailed: REFUSED when nothing was done, UNKNOWN when nobody knows.
        """
        return await self._ask(method, path, json=body, headers=dict(headers or {}))

    async def upload(
        self, path: str, rows: AsyncIterator[bytes], params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send CSV as it is read.

        Raises:
            CommandFailed: as of `send`.
        """
        return await self._ask(
            "POST",
            path,
            params=_given(params),
            content=rows,
            headers={"Content-Type": "text/csv; charset=utf-8"},
            timeout=httpx.Timeout(_UPLOAD_TIMEOUT_S, connect=_CONNECT_S),
        )

    async def listed(
        self, path: str, params: Mapping[str, Any], *, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return up to `limit` entries of a list, by pages, and where the rest begins.

        Raises:
            CommandFailed: there is no answer, or the dialer refuses.
        """
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            page = {**params, "limit": min(_PAGE, limit - len(found)), "cursor": cursor}
            document = await self.get(path, page)
            found += _entries(document)
            following = document.get("next")
            if following is None or following == cursor:
                return found, None
            cursor = str(following)
        return found[:limit], cursor

    @asynccontextmanager
    async def download(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a document that is not JSON, to be read as it comes.

        Raises:
            CommandFailed: there is no answer, the dialer refuses, or the rest does not come.
        """
        try:
            async with self._http.stream("GET", path, timeout=_TIMEOUT_S) as response:
                if not response.is_success:
                    raise Refused(response.status_code, _object(await _read(response)))
                yield response.aiter_bytes()
        except httpx.HTTPError as exc:
            raise self._away(exc, is_change=False) from exc

    async def events(self, path: str, last_id: str | None) -> AsyncIterator[Event]:
        """Yield server-sent events, the comments between them as empty ones.

        Ends without an error when the connection does: who reads goes on from the last id.

        Raises:
            CommandFailed: the dialer refuses.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        reader = EventReader()
        timeout = httpx.Timeout(_STREAM_SILENT_S, connect=_CONNECT_S)
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    raise Refused(answer.status_code, _object(await _read(answer)))
                async for line in answer.aiter_lines():
                    event = reader.on_line(line)
                    if event is not None:
                        yield event
        except httpx.HTTPError:
            return

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            async with self._http.stream(method, path, **request) as response:
                body = _object(await _read(response))
        except httpx.HTTPError as exc:
            raise self._away(exc, is_change=method != "GET") from exc
        if not response.is_success:
            raise Refused(response.status_code, body)
        return body

    def _away(self, error: httpx.HTTPError, *, is_change: bool) -> CommandFailed:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return CommandFailed(
                Exit.REFUSED, f"No dialer answers at {self.base}: start it, or set DIALER_URL."
            )
        if not is_change:
            return CommandFailed(Exit.REFUSED, "The dialer's answer was lost.")
        return CommandFailed(
            Exit.UNKNOWN,
            "The dialer's answer was lost, so it may have done it. Look before you ask again.",
        )


@asynccontextmanager
async def open_dialer(settings: CliSettings, url: str | None = None) -> AsyncIterator[DialerClient]:
    """Open a client for the dialer of the settings, or for another one."""
    headers = {"User-Agent": "parley-dialer"}
    if settings.dialer_api_key is not None:
        headers["Authorization"] = f"Bearer {settings.dialer_api_key.get_secret_value()}"
    try:
        http = httpx.AsyncClient(
            base_url=(url or settings.dialer_base).rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S),
            trust_env=False,
        )
    except (httpx.InvalidURL, UnicodeEncodeError) as exc:
        raise CommandFailed(Exit.MISUSED, "DIALER_URL or DIALER_API_KEY can't be used.") from exc
    async with http:
        yield DialerClient(http)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            raise CommandFailed(Exit.REFUSED, "The dialer's answer is too long.")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a page's entries: the one list among its members, a text in it as its `value`."""
    for member in document.values():
        if isinstance(member, list):
            return [entry if isinstance(entry, dict) else {"value": entry} for entry in member]
    return []


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}
