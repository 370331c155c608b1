"""The REST side of the simulated cloud: Applications, and the numbers attached to them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.simulator.rest.access import BASE, check_access
from services.simulator.rest.account import Application
from services.simulator.rest.application_body import (
    BadApplication,
    changed_application,
    new_application,
)
from services.simulator.rest.state import ApiError, api_id, rest_state

_PAGE_MAX = 20
applications = APIRouter(prefix=f"{BASE}/Account/{{auth_id}}", dependencies=[Depends(check_access)])


@applications.post("/Application/")
async def add_application(auth_id: str, request: Request) -> Response:
    """Add an Application; two may have one name."""
    state = rest_state(request)
    app_id = str(uuid.uuid4().int)[:17]
    body = await state.json(request)
    try:
        shown = new_application(app_id, body, resource_uri=_uri(auth_id, app_id), now=_now())
    except BadApplication as exc:
        raise ApiError(400, str(exc)) from exc
    state.account.applications[app_id] = Application(app_id, shown)
    answer = {"api_id": api_id(), "app_id": app_id, "message": "created"}
    return JSONResponse(answer, status_code=201)


@applications.get("/Application/")
async def list_applications(
    auth_id: str, request: Request, limit: int = _PAGE_MAX, offset: int = 0
) -> dict[str, Any]:
    """List the Applications, twenty at a time at most."""
    found = [app.body for app in rest_state(request).account.applications.values()]
    limit, offset = min(max(1, limit), _PAGE_MAX), max(0, offset)
    after, before = offset + limit, max(0, offset - limit)
    meta = {
        "limit": limit,
        "next": f"{_uri(auth_id)}?limit={limit}&offset={after}" if after < len(found) else None,
        "offset": offset,
        "previous": f"{_uri(auth_id)}?limit={limit}&offset={before}" if offset else None,
        "total_count": len(found),
    }
    return {"api_id": api_id(), "meta": meta, "objects": found[offset:after]}


@applications.get("/Application/{app_id}/")
async def show_application(app_id: str, request: Request) -> dict[str, Any]:
    """Show an Application."""
    return {"api_id": api_id(), **_application(app_id, request).body}


@applications.post("/Application/{app_id}/")
async def change_application(app_id: str, request: Request) -> dict[str, Any]:
    """Change fields of an Application."""
    application = _application(app_id, request)
    body = await rest_state(request).json(request)
    try:
        application.body = changed_application(application.body, body, now=_now())
    except BadApplication as exc:
        raise ApiError(400, str(exc)) from exc
    return {"api_id": api_id(), "message": "changed"}


@applications.delete("/Application/{app_id}/")
async def delete_application(app_id: str, request: Request) -> Response:
    """Delete an Application; 409 while numbers are attached to it."""
    if _application(app_id, request).numbers:
        raise ApiError(409, "numbers are attached to this application")
    del rest_state(request).account.applications[app_id]
    return Response(status_code=204)


@applications.get("/numbers")
async def list_numbers(request: Request, page: int = 1, per_page: int = 25) -> dict[str, Any]:
    """List the account's numbers and what they are attached to."""
    owner = rest_state(request).account
    attached = {n: app.app_id for app in owner.applications.values() for n in app.numbers}
    numbers = sorted((owner.state.numbers or frozenset()) | set(attached))
    per_page = min(max(1, per_page), 100)
    start = max(0, page - 1) * per_page
    items = [
        {"e164": number, "status": "active", "application_id": attached.get(number)}
        for number in numbers[start : start + per_page]
    ]
    return {"items": items, "total": len(numbers), "page": page, "per_page": per_page}


@applications.post("/numbers/{number}/application")
async def attach_number(number: str, request: Request) -> dict[str, Any]:
    """Attach a number to an Application: in the place of another, or 409, as accounts differ."""
    state = rest_state(request)
    body = await state.json(request)
    wanted = body.get("application_id") if isinstance(body, dict) else None
    chosen = _application(str(wanted or ""), request)
    _check_owned(number, request)
    present = state.account.application_of(number)
    if present is not None and state.account.state.keeps_attachments:
        raise ApiError(409, "number is already attached to an application")
    if present is not None:
        present.numbers.discard(number)
    chosen.numbers.add(number)
    return {
        "message": "Number attached to application",
        "number": number,
        "application": chosen.body,
    }


@applications.delete("/numbers/{number}/application")
async def detach_number(number: str, request: Request) -> Response:
    """Detach a number."""
    _check_owned(number, request)
    present = rest_state(request).account.application_of(number)
    if present is not None:
        present.numbers.discard(number)
    return Response(status_code=204)


def _check_owned(number: str, request: Request) -> None:
    if not rest_state(request).account.owns(number):
        raise ApiError(404, "number not found")


def _application(app_id: str, request: Request) -> Application:
    found = rest_state(request).account.applications.get(app_id)
    if found is None:
        raise ApiError(404, "application not found")
    return found


def _uri(auth_id: str, app_id: str = "") -> str:
    return f"/v1/Account/{auth_id}/Application/{f'{app_id}/' if app_id else ''}"


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ")
