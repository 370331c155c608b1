"""The REST side of the simulated cloud: account, limits, records."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.simulator.calls.session_recording import CONTENT_TYPES
from services.simulator.rest.access import BASE, check_access
from services.simulator.rest.cdr import CdrQuery
from services.simulator.rest.state import ApiError, api_id, rest_state

_MAX_PER_PAGE = 1000
me = APIRouter(prefix=BASE)
account = APIRouter(prefix=f"{BASE}/Account/{{auth_id}}", dependencies=[Depends(check_access)])


@me.get("/auth/me")
async def who_am_i(request: Request) -> dict[str, Any]:
    """Say whose credentials these are, and what the account may do."""
    state = rest_state(request)
    await check_access(state.account.auth_id, request)
    may = state.account.state
    return {
        "type": "account",
        "id": "500000",
        "api_id": api_id(),
        "name": "Simulated account",
        "auth_id": state.account.auth_id,
        # The real one's answer holds the secret here, so nobody should show this body.
        "auth_secret": state.account.token,
        "country": "IN",
        "timezone": "Asia/Kolkata",
        "account_type": "standard",
        "postpaid": False,
        "enabled": True,
        "cps_limit": may.cps,
        "concurrent_calls_limit": may.concurrency,
        "is_active": may.is_active,
        "is_verified": True,
        "is_trial_account": False,
    }


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
