"""/console/api/campaigns: lists of numbers that the dialer calls, made, filled, steered, looked at.

The page's own words for the dialer's API; what the dialer knows better is judged there. Tables pass
through: neither an upload nor the results are ever held here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Annotated, Any, Final

import httpx
import structlog
from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.gateway.console.dialer_api import DialerApi
from services.gateway.console.door import CSV, json_body, signed_in, signed_in_with_table
from services.gateway.console.problem import Problem
from services.gateway.console.stream import Watchers
from services.gateway.state import GatewayState, gateway_state

_log = structlog.get_logger(__name__)
PREFIX: Final = "/console/api/campaigns"
UPLOAD_PATH: Final = re.compile(rf"{PREFIX}/[A-Za-z0-9-]{{1,64}}/rows")
"""Requests that bound their body themselves."""
TABLE_MAX_BYTES: Final = 268_435_456
_TRANSFER_S = 600.0
_PAUSE_S = 30.0
_FIELDS = frozenset(
    {
        *("name", "agent", "from", "priority", "cps", "concurrency", "windows", "retry"),
        *("pause_rules", "machine_detection"),
    }
)
MOST_TRANSFERS: Final = 4
TRANSFERS_FULL: Final = "Others upload or download just now. Try again in a minute."


class Verb(StrEnum):
    """What can be done to a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class OnBadRow(StrEnum):
    """What becomes of a table with bad rows."""

    SKIP = "skip"
    REFUSE = "refuse"


def _dialer(state: Annotated[GatewayState, Depends(gateway_state)]) -> DialerApi:
    return state.console.neighbours.dialer


State = Annotated[GatewayState, Depends(gateway_state)]
Dialer = Annotated[DialerApi, Depends(_dialer)]
Body = Annotated[Mapping[str, Any], Depends(json_body)]
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
Word = Annotated[str, Query(pattern=r"^[a-z_]{0,32}$")]
Cursor = Annotated[str, Query(pattern=r"^[A-Za-z0-9-]{0,64}$")]
router = APIRouter(prefix=PREFIX, dependencies=[Depends(signed_in)])
tables = APIRouter(prefix=PREFIX, dependencies=[Depends(signed_in_with_table)])


def routers() -> tuple[APIRouter, APIRouter]:
    """Return the routes; those that take tables first."""
    return tables, router


# --- looking ------------------------------------------------------------------------------------


@router.get("", response_model=None)
async def list_campaigns(dialer: Dialer, limit: Limit = 20, cursor: Cursor = "") -> dict[str, Any]:
    """Return campaigns, newest first; `next` goes into `cursor` for those that follow."""
    query = _given(limit=limit, cursor=cursor)
    return await dialer.ask("GET", "/v1/campaigns", query=query)


@router.get("/{campaign_id}", response_model=None)
async def read_campaign(campaign_id: Id, dialer: Dialer) -> dict[str, Any]:
    """Return a campaign with its figures."""
    return await dialer.ask("GET", f"/v1/campaigns/{campaign_id}")


@router.get("/{campaign_id}/rows", response_model=None)
async def list_rows(
    campaign_id: Id,
    dialer: Dialer,
    state: Word = "",
    outcome: Word = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """Return rows in their order; a page may be short or empty and others follow all the same."""
    query = _given(state=state, outcome=outcome, limit=limit, cursor=cursor)
    return await dialer.ask("GET", f"/v1/campaigns/{campaign_id}/rows", query=query)


@router.get("/{campaign_id}/results.csv", response_model=None)
async def results(campaign_id: Id, state: State, dialer: Dialer) -> Response:
    """Return all rows as a table, as it comes from the dialer."""
    state.console.transfers.check()
    opened = AsyncExitStack()
    parts = await opened.enter_async_context(
        dialer.results(f"/v1/campaigns/{campaign_id}/results.csv")
    )
    name = f'attachment; filename="{campaign_id}.csv"'
    return PassedOn(parts, opened, state.console.transfers, name)


class PassedOn(StreamingResponse):
    """A table on its way to the browser: bounded in time, and closed whatever happens."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        opened: AsyncExitStack,
        transfers: Watchers,
        disposition: str,
    ) -> None:
        headers = {"content-disposition": disposition, "cache-control": "no-store"}
        super().__init__(parts, media_type=CSV, headers=headers)
        self._opened = opened
        self._transfers = transfers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. What breaks off ends without its last piece, so that the browser notices."""
        with self._transfers:
            try:
                async with asyncio.timeout(_TRANSFER_S):
                    await super().__call__(scope, receive, send)
            except (TimeoutError, httpx.HTTPError) as exc:
                _log.warning("results_broke_off", error=type(exc).__name__)
            finally:
                await self._opened.aclose()


# --- changing -----------------------------------------------------------------------------------


@router.post("", status_code=201, response_model=None)
async def make_campaign(body: Body, dialer: Dialer) -> dict[str, Any]:
    """Make a campaign without rows; it waits to be filled and started."""
    unknown = body.keys() - _FIELDS
    if unknown:
        raise Problem(400, f"A campaign has no {min(unknown)[:64]}.")
    wanted = {name: value for name, value in body.items() if value is not None}
    return await dialer.ask("POST", "/v1/campaigns", body=wanted)


@router.delete("/{campaign_id}", status_code=204, response_model=None)
async def remove_campaign(campaign_id: Id, dialer: Dialer) -> Response:
    """Forget a campaign that is over, with all its rows."""
    await dialer.ask("DELETE", f"/v1/campaigns/{campaign_id}")
    return Response(status_code=204)


@router.post("/{campaign_id}/{verb}", response_model=None)
async def steer(
    campaign_id: Id, verb: Verb, dialer: Dialer, accept_incomplete: bool = False
) -> dict[str, Any]:
    """Start, pause, resume or cancel it; return how it stands then.

    With `accept_incomplete` it goes on though rows of a list are missing.
    """
    query = {"accept_incomplete": "true"} if accept_incomplete else None
    return await dialer.ask("POST", f"/v1/campaigns/{campaign_id}/{verb}", query=query)


@tables.post("/{campaign_id}/rows", response_model=None)
async def add_rows(
    campaign_id: Id,
    request: Request,
    state: State,
    dialer: Dialer,
    on_bad_row: OnBadRow = OnBadRow.SKIP,
) -> dict[str, Any]:
    """Pass a table of numbers on to the dialer; return what became of its rows."""
    declared_bytes = _declared(request)
    if declared_bytes is not None and declared_bytes > TABLE_MAX_BYTES:
        raise _too_large()
    state.console.transfers.check()
    with state.console.transfers:
        return await dialer.send_table(
            f"/v1/campaigns/{campaign_id}/rows",
            table_parts(request),
            declared_bytes=declared_bytes,
            query={"on_bad_row": on_bad_row},
        )


async def table_parts(request: Request) -> AsyncIterator[bytes]:
    """Yield a table as the browser sends it.

    Raises:
        Problem: 413 when it is too large, 408 when it takes too long, 400 when it breaks off.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _TRANSFER_S
    parts, read_bytes = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(min(_PAUSE_S, until_s - loop.time())):
                part = await anext(parts, b"")
        except TimeoutError:
            raise Problem(408, "The table did not come to its end in time.") from None
        except ClientDisconnect:
            raise Problem(400, "The table broke off.") from None
        if not part:
            return
        read_bytes += len(part)
        if read_bytes > TABLE_MAX_BYTES:
            raise _too_large()
        yield part


def _declared(request: Request) -> int | None:
    declared = request.headers.get("content-length", "")
    return int(declared[:16]) if declared.isascii() and declared.isdigit() else None


def _too_large() -> Problem:
    return Problem(413, f"A table has at most {TABLE_MAX_BYTES // 2**20} MB. Cut it in two.")


def _given(**query: str | int) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value != ""}
