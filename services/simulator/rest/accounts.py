"""The REST side of the simulated cloud: account, limits, records, applications, numbers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.simulator.calls.session_recording import CONTENT_TYPES
from services.simulator.rest.access import BASE, check_access
from services.simulator.rest.account import Application
from services.simulator.rest.cdr import CdrQuery
from services.simulator.rest.state import ApiError, api_id, rest_state

_MAX_PER_PAGE = 1000
me = APIRouter(prefix=BASE)
account = APIRouter(prefix=f"{BASE}/Account/{{auth_id}}", dependencies=[Depends(check_access)])


@me.get("/auth/me")
async def who_am_i(request: Request) -> dict[str, Any]:
    """Say whose credentials these are."""
    state = rest_state(request)
    await check_access(state.account.auth_id, request)
    return {"auth_id": state.account.auth_id, "account_type": "main", "is_active": True}


@account.get("/concurrency")
async def concurrency(auth_id: str, request: Request) -> dict[str, Any]:
    """Say how many channels are in use."""
    state = rest_state(request)
    used, limit = len(state.cloud.live), state.account.state.concurrency
    return {
        "account_id": auth_id,
        "concurrent_calls": used,
        "max_concurrent": limit,
        "utilization_pct": round(100 * used / limit, 1),
        "request_id": api_id(),
    }


@account.get("/balance/{currency}")
async def balance(auth_id: str, currency: str, request: Request) -> dict[str, Any]:
    """Say what the account has; the control routes set it."""
    state = rest_state(request).account.state
    return {
        "account_id": auth_id,
        "currency": currency.upper(),
        "balance": state.balance,
        "reserved_funds": 0,
        "available_balance": state.balance,
        "credit_limit": 0,
        "is_postpaid": False,
        "low_balance_threshold": 50,
        "status": "active",
    }


@account.get("/Recording/{call_uuid}/{name}")
async def recording(call_uuid: str, name: str, request: Request) -> Response:
    """Serve a session's recording; the real cloud's are elsewhere, and need the credentials too."""
    call = rest_state(request).cloud.find(call_uuid)
    session = None if call is None else call.leg.session
    if call is None or session is None or name != session.url.rpartition("/")[2]:
        raise ApiError(404, "recording not found")
    file = await asyncio.to_thread(session.file, call.line.handset)
    return Response(file, media_type=CONTENT_TYPES[session.file_format])


@account.get("/cdr")
@account.get("/cdr/recent")
@account.get("/cdr/search")
async def list_records(request: Request, page: int = 1, per_page: int = 20) -> dict[str, Any]:
    """List CDRs, newest first, those alone that the query asks for."""
    state = rest_state(request)
    query = CdrQuery.of(request.query_params)
    records = list(state.records.find(query, state.cloud.clock.wall()))
    start, most = max(0, page - 1) * per_page, min(max(per_page, 1), _MAX_PER_PAGE)
    pagination = {"page": page, "per_page": most, "total": len(records)}
    summary = {
        "total_calls": len(records),
        "answered_calls": sum(record["billsec"] > 0 for record in records),
        "total_cost": round(sum(record["total_cost"] for record in records), 5),
    }
    return {
        "data": records[start : start + most],
        "pagination": pagination,
        "summary": summary,
        "success": True,
    }


@account.get("/cdr/{call_uuid}")
async def show_record(call_uuid: str, request: Request) -> dict[str, Any]:
    """Show the CDR of a call; 404 until shortly after its end."""
    state = rest_state(request)
    record = state.records.get(call_uuid, state.cloud.clock.wall())
    if record is None:
        raise ApiError(404, "CDR not found")
    return {"data": record, "success": True}


@account.post("/Application/")
async def add_application(request: Request) -> Response:
    """Add an Application."""
    state = rest_state(request)
    body = await state.json(request)
    name = str(body.get("app_name") or "") if isinstance(body, dict) else ""
    if not name or not name.replace("_", "").replace("-", "").isalnum():
        raise ApiError(400, "app_name must be of letters, digits, _ and -")
    app_id = str(uuid.uuid4().int)[:17]
    state.account.applications[app_id] = Application(app_id, body)
    answer = {"api_id": api_id(), "app_id": app_id, "message": "created"}
    return JSONResponse(answer, status_code=201)


@account.get("/Application/")
async def list_applications(request: Request) -> dict[str, Any]:
    """List the Applications."""
    applications = rest_state(request).account.applications.values()
    objects = [{"app_id": found.app_id, **found.body} for found in applications]
    meta = {"limit": 20, "offset": 0, "total_count": len(objects)}
    return {"api_id": api_id(), "meta": meta, "objects": objects}


@account.get("/Application/{app_id}/")
async def show_application(app_id: str, request: Request) -> dict[str, Any]:
    """Show an Application."""
    return {"api_id": api_id(), "app_id": app_id, **_application(app_id, request).body}


@account.post("/Application/{app_id}/")
async def change_application(app_id: str, request: Request) -> dict[str, Any]:
    """Change fields of an Application."""
    body = await rest_state(request).json(request)
    if not isinstance(body, dict):
        raise ApiError(400, "body must be a JSON object")
    _application(app_id, request).body.update(body)
    return {"api_id": api_id(), "message": "changed"}


@account.delete("/Application/{app_id}/")
async def delete_application(app_id: str, request: Request) -> Response:
    """Delete an Application; 409 while numbers are attached to it."""
    if _application(app_id, request).numbers:
        raise ApiError(409, "numbers are attached to this application")
    del rest_state(request).account.applications[app_id]
    return Response(status_code=204)


@account.get("/numbers")
async def list_numbers(request: Request, page: int = 1, per_page: int = 20) -> dict[str, Any]:
    """List the account's numbers and what they are attached to."""
    owner = rest_state(request).account
    attached = {n: app.app_id for app in owner.applications.values() for n in app.numbers}
    numbers = sorted((owner.state.numbers or frozenset()) | set(attached))
    start = max(0, page - 1) * per_page
    items = [
        {"e164": number, "application_id": attached.get(number)}
        for number in numbers[start : start + per_page]
    ]
    return {"items": items, "total": len(numbers), "page": page, "per_page": per_page}


@account.post("/numbers/{number}/application")
async def attach_number(number: str, request: Request) -> dict[str, Any]:
    """Attach a number to an Application, in the place of another."""
    state = rest_state(request)
    body = await state.json(request)
    chosen = _application(str(body.get("application_id") or ""), request)
    for application in state.account.applications.values():
        application.numbers.discard(number)
    chosen.numbers.add(number)
    return {"api_id": api_id(), "message": "attached"}


@account.delete("/numbers/{number}/application")
async def detach_number(number: str, request: Request) -> Response:
    """Detach a number."""
    for application in rest_state(request).account.applications.values():
        application.numbers.discard(number)
    return Response(status_code=204)


def _application(app_id: str, request: Request) -> Application:
    found = rest_state(request).account.applications.get(app_id)
    if found is None:
        raise ApiError(404, "application not found")
    return found
