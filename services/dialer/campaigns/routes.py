"""/v1/campaigns: lists of numbers, made, filled, started and stopped, looked at.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from services.dialer.calls.idempotency import KEY_PATTERN, read_key
from services.dialer.campaigns.bodies import (
    NAME_MAX_CHARS,
    CampaignBody,
    CampaignPatch,
    OnBadRow,
    RowsBody,
)
from services.dialer.campaigns.export import COLUMNS, Export, ExportResponse
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import CampaignId, CampaignState, RowState
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.progress import row_view
from services.dialer.campaigns.requests import CampaignRequests
from services.dialer.campaigns.views import (
    BAD_ROW,
    CAMPAIGN,
    ROW,
    AddedView,
    CampaignsView,
    CampaignView,
    MadeCampaignView,
    RowsView,
    RowView,
)
from services.dialer.desk.body import read_model
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, body_of, problems, text_answer
from services.dialer.desk.door import Principal, Scope
from services.dialer.desk.upload import CSV
from services.dialer.errors import UnknownCampaign
from services.dialer.problems import Problem, Refused

_ID = re.compile(r"c-[0-9a-f]{12}")
_ROW_MAX = 10_000_000
_OPTIONS = ("name", "agent", "from", "priority", "cps", "concurrency", "on_bad_row", "start")
_TABLE = "to,name,zone\n+918000000002,Asha,\n+12025550123,Sam,America/New_York\n"
_TABLE_DOC = {CSV: {"schema": {"type": "string"}, "example": _TABLE}}
_LIST = (
    *("not-a-list", "bad-table", "bad-rows", "too-many-rows", "upload-broken"),
    *("too-many-uploads", "draining"),
)
_KNOWN = answer_of(200, CampaignView, CAMPAIGN, "The campaign.")
_AcceptsIncomplete = Annotated[
    bool, Query(description="go on though rows of a list were not added, and forget that")
]


def _options(
    name: Annotated[str | None, Query(max_length=NAME_MAX_CHARS)] = None,
    agent: Annotated[str | None, Query(max_length=64)] = None,
    from_: Annotated[str | None, Query(alias="from", max_length=64)] = None,
    priority: Annotated[int | None, Query(ge=1, le=9)] = None,
    cps: Annotated[float | None, Query(gt=0, le=1000, allow_inf_nan=False)] = None,
    concurrency: Annotated[int | None, Query(ge=1, le=100_000)] = None,
    on_bad_row: Annotated[OnBadRow | None, Query()] = None,
    start: Annotated[bool | None, Query()] = None,
) -> dict[str, Any]:
    """Return the simple options of a campaign whose rows come as a table."""
    values = (name, agent, from_, priority, cps, concurrency, on_bad_row, start)
    pairs = zip(_OPTIONS, values, strict=True)
    return {key: value for key, value in pairs if value is not None}


def campaign_routes(requests: CampaignRequests, ledger: Ledger, desk: Desk) -> APIRouter:
    """Return the routes of campaigns."""
    router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
    _add_making(router, requests, ledger, desk)
    _add_moving(router, requests, ledger, desk)
    _add_looking(router, requests, ledger, desk)
    _add_rows(router, ledger, desk)
    return router


def _campaign_id(campaign_id: Annotated[str, Path(max_length=64)]) -> CampaignId:
    if not _ID.fullmatch(campaign_id):
        raise UnknownCampaign("of that name")
    return CampaignId(campaign_id)


_Id = Annotated[CampaignId, Depends(_campaign_id)]


def _add_making(router: APIRouter, requests: CampaignRequests, ledger: Ledger, desk: Desk) -> None:
    may_write = desk.door.needs(Scope.CAMPAIGNS_WRITE)
    example = {
        "name": "Renewals, November",
        "agent": "renewals",
        "windows": {"daily": [["10:00", "19:00"]]},
        "rows": [{"to": "+918000000002", "variables": {"name": "Asha"}}],
        "start": True,
    }

    @router.post(
        "",
        status_code=201,
        dependencies=[desk.begins_work],
        openapi_extra=body_of(CampaignBody, {"list": example}, others=_TABLE_DOC),
        responses=answer_of(
            201,
            MadeCampaignView,
            CAMPAIGN | {"state": "ready", "bad_rows": [BAD_ROW]},
            "The campaign, with all its rows that are not bad. Options of a table stand in the"
            " query, those of JSON in the body.",
            headers={
                "Location": "where it is",
                "Idempotency-Replayed": "true: answered from memory",
            },
        )
        | problems(
            *("invalid-order", "campaign-state", "campaign-full"),
            *("key-in-use", "key-used-otherwise"),
            *_LIST,
            has_body=True,
        ),
    )
    async def make_campaign(
        who: Annotated[Principal, may_write],
        request: Request,
        options: Annotated[dict[str, Any], Depends(_options)],
        response: Response,
        idempotency_key: Annotated[
            str,
            Header(
                pattern=KEY_PATTERN,
                description="names this request for 24 hours: the same again, byte by byte, is"
                " answered the same, and makes no second campaign",
            ),
        ] = "",
    ) -> Mapping[str, Any]:
        made = await requests.make(request, options, who, read_key(idempotency_key))
        response.headers["Location"] = f"/v1/campaigns/{made.campaign_id}"
        if made.is_replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return made.body

    @router.post(
        "/{campaign_id}/rows",
        dependencies=[may_write, desk.begins_work],
        openapi_extra=body_of(RowsBody, {"list": {"rows": example["rows"]}}, others=_TABLE_DOC),
        responses=answer_of(
            200,
            AddedView,
            {"added": 1, "duplicates": 0, "refused": 1, "bad_rows": [BAD_ROW]},
            "What became of the rows. on_bad_row of a table stands in the query, of JSON in the"
            " body.",
        )
        | problems("unknown-campaign", "campaign-state", "campaign-full", *_LIST, has_body=True),
    )
    async def add_rows(
        campaign_id: _Id, request: Request, on_bad_row: OnBadRow | None = None
    ) -> dict[str, Any]:
        return await requests.add(campaign_id, request, on_bad_row)

    @router.patch(
        "/{campaign_id}",
        dependencies=[may_write],
        openapi_extra=body_of(CampaignPatch, {"slower": {"cps": 0.5}}),
        responses=_KNOWN
        | problems("invalid-order", "unknown-campaign", "campaign-state", has_body=True),
    )
    async def change_campaign(campaign_id: _Id, request: Request) -> dict[str, Any]:
        await requests.change(campaign_id, await read_model(request, CampaignPatch, desk.body))
        return await requests.view(campaign_id)

    @router.delete(
        "/{campaign_id}",
        status_code=204,
        dependencies=[may_write],
        responses=answer_of(204, None, None, "It is forgotten, with all its rows.")
        | problems("unknown-campaign", "campaign-state"),
    )
    async def remove_campaign(campaign_id: _Id) -> None:
        await ledger.remove(campaign_id)


def _add_moving(router: APIRouter, requests: CampaignRequests, ledger: Ledger, desk: Desk) -> None:
    may_write = desk.door.needs(Scope.CAMPAIGNS_WRITE)
    refusals = ("unknown-campaign", "campaign-state")
    said = _KNOWN | problems(*refusals)
    said_of_going = _KNOWN | problems(*refusals, "campaign-incomplete")

    @router.post("/{campaign_id}/start", dependencies=[may_write], responses=said_of_going)
    async def start_campaign(
        campaign_id: _Id, accept_incomplete: _AcceptsIncomplete = False
    ) -> dict[str, Any]:
        await ledger.start(
            campaign_id, now_ms=requests.now_ms, accepts_incomplete=accept_incomplete
        )
        return await requests.view(campaign_id)

    @router.post("/{campaign_id}/pause", dependencies=[may_write], responses=said)
    async def pause_campaign(campaign_id: _Id) -> dict[str, Any]:
        await ledger.pause(campaign_id, reason="asked", now_ms=requests.now_ms)
        return await requests.view(campaign_id)

    @router.post("/{campaign_id}/resume", dependencies=[may_write], responses=said_of_going)
    async def resume_campaign(
        campaign_id: _Id, accept_incomplete: _AcceptsIncomplete = False
    ) -> dict[str, Any]:
        await ledger.resume(
            campaign_id, now_ms=requests.now_ms, accepts_incomplete=accept_incomplete
        )
        return await requests.view(campaign_id)

    @router.post("/{campaign_id}/cancel", dependencies=[may_write], responses=said)
    async def cancel_campaign(campaign_id: _Id) -> dict[str, Any]:
        await ledger.cancel(campaign_id, now_ms=requests.now_ms)
        return await requests.view(campaign_id)


def _add_looking(router: APIRouter, requests: CampaignRequests, ledger: Ledger, desk: Desk) -> None:
    may_read = desk.door.needs(Scope.CAMPAIGNS_READ)

    @router.get(
        "",
        dependencies=[may_read],
        responses=answer_of(
            200,
            CampaignsView,
            {"campaigns": [CAMPAIGN], "next": None},
            "Campaigns, newest first. Where a state is asked for a page may have few; go by next.",
        )
        | problems(),
    )
    async def list_campaigns(
        state: CampaignState | None = None,
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[str | None, Query(pattern=f"^{_ID.pattern}$")] = None,
    ) -> dict[str, Any]:
        after = CampaignId(cursor) if cursor is not None else None
        return await requests.page(limit, after, state)

    @router.get(
        "/{campaign_id}",
        dependencies=[may_read],
        responses=_KNOWN | problems("unknown-campaign"),
    )
    async def get_campaign(campaign_id: _Id) -> dict[str, Any]:
        return await requests.view(campaign_id)

    @router.get(
        "/{campaign_id}/results.csv",
        dependencies=[may_read],
        response_class=Response,
        responses=text_answer(
            200, CSV, ",".join(COLUMNS) + "\r\n", "All its rows, as they stand while it is read."
        )
        | problems("unknown-campaign"),
    )
    async def get_results(campaign_id: _Id) -> ExportResponse:
        return ExportResponse(await Export.begin(ledger, campaign_id), campaign_id)


def _add_rows(router: APIRouter, ledger: Ledger, desk: Desk) -> None:
    may_read = desk.door.needs(Scope.CAMPAIGNS_READ)

    @router.get(
        "/{campaign_id}/rows",
        dependencies=[may_read],
        responses=answer_of(200, RowsView, {"rows": [ROW], "next": "1"}, "Rows in their order.")
        | problems("unknown-campaign"),
    )
    async def list_rows(
        campaign_id: _Id,
        state: RowState | None = None,
        outcome: Outcome | None = None,
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[int, Query(ge=0, le=_ROW_MAX)] = 0,
    ) -> dict[str, Any]:
        page = await ledger.rows(
            campaign_id, limit=limit, after=cursor, state=state, outcome=outcome
        )
        after = None if page.next_n is None else str(page.next_n)
        return {"rows": [row_view(row) for row in page.rows], "next": after}

    @router.get(
        "/{campaign_id}/rows/{n}",
        dependencies=[may_read],
        responses=answer_of(200, RowView, ROW, "The row.")
        | problems("unknown-campaign", "unknown-row"),
    )
    async def get_row(
        campaign_id: _Id, n: Annotated[int, Path(ge=1, le=_ROW_MAX)]
    ) -> dict[str, Any]:
        row = await ledger.row(campaign_id, n)
        if row is None:
            raise Refused(Problem.of("unknown-row"))
        return row_view(row)
