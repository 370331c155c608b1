"""/v1/keys and /v1/audit: who may do what, and who did.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.dialer.access.audit import AuditTrail
from services.dialer.access.keys import KEY_ID, KeyRing, TooManyKeys
from services.dialer.desk.body import read_model
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, body_of, problems
from services.dialer.desk.door import Principal, Scope, no_scope
from services.dialer.problems import Problem, Refused

_ENTRY_ID = r"^[0-9]{1,15}-[0-9]{1,15}$"


class KeyBody(BaseModel):
    """The body of POST /v1/keys."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="whose it is, for the audit trail",
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="what it may do")
    rate_per_minute: int | None = Field(
        None, ge=1, le=100_000, strict=True, description="requests a minute; null: the default"
    )


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[str]
    rate_per_minute: int | None
    created_at: str
    revoked_at: str | None
    last_used_at: str | None


class MadeKeyView(KeyView):
    """A new key."""

    key: str = Field(description="shown this once")


class KeysView(BaseModel):
    """Keys, newest first."""

    keys: list[KeyView]
    next: str | None = Field(description="cursor of the next page; null: there is none")


class AuditEntryView(BaseModel):
    """A request that may have changed something."""

    id: str
    at: str
    principal: str
    key_id: str | None = Field(description="null: the root key, or an open door")
    action: str
    subject: str
    status: int
    outcome: str = Field(description="done, refused or failed")


class AuditView(BaseModel):
    """Entries of the trail, newest first."""

    entries: list[AuditEntryView]
    next: str | None = Field(description="cursor of the next page; null: there is none")


_KEY = {
    "id": "3f9a0c4d1b2e",
    "name": "shop",
    "scopes": ["calls:read", "calls:write"],
    "rate_per_minute": 60,
    "created_at": "2026-11-26T09:00:00+00:00",
    "revoked_at": None,
    "last_used_at": None,
}
_ENTRY = {
    "id": "1795683600000-0",
    "at": "2026-11-26T09:00:00.000+00:00",
    "principal": "shop",
    "key_id": "3f9a0c4d1b2e",
    "action": "POST /v1/calls",
    "subject": "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7",
    "status": 201,
    "outcome": "done",
}


def access_routes(keys: KeyRing, trail: AuditTrail, desk: Desk) -> APIRouter:
    """Return the routes of keys and of the audit trail."""
    router = APIRouter(prefix="/v1", tags=["access"])
    may_write = desk.door.needs(Scope.KEYS_WRITE)

    async def read_key(request: Request) -> KeyBody:
        return await read_model(request, KeyBody, desk.body)

    @router.post(
        "/keys",
        status_code=201,
        openapi_extra=body_of(KeyBody, {"shop": {"name": "shop", "scopes": ["calls:write"]}}),
        responses=answer_of(
            201,
            MadeKeyView,
            {**_KEY, "key": f"parley_{_KEY['id']}_…"},
            "The key, whose text is shown this once.",
            headers={"Location": "where it can be revoked"},
        )
        | problems("too-many-keys", has_body=True),
    )
    async def make_key(
        who: Annotated[Principal, may_write],
        body: Annotated[KeyBody, Depends(read_key)],
        response: Response,
    ) -> dict[str, Any]:
        if lacking := set(body.scopes) - who.scopes:
            raise Refused(no_scope(lacking))  # nobody gives away what they have not got
        try:
            made = await keys.make(body.name, set(body.scopes), body.rate_per_minute)
        except TooManyKeys as exc:
            raise Refused(Problem.of("too-many-keys", "Revoke some first.")) from exc
        response.headers["Location"] = f"/v1/keys/{made.record.key_id}"
        response.headers["Cache-Control"] = "no-store"
        return {**made.record.to_json(), "key": made.text}

    @router.get(
        "/keys",
        dependencies=[may_write],
        responses=answer_of(200, KeysView, {"keys": [_KEY], "next": None}, "The keys.")
        | problems(),
    )
    async def list_keys(
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[str | None, Query(max_length=64)] = None,
    ) -> dict[str, Any]:
        records = [record.to_json() for record in await keys.all()]
        first = 0
        if cursor is not None:
            places = [n for n, record in enumerate(records) if record["id"] == cursor]
            first = places[0] + 1 if places else len(records)
        page = records[first : first + limit]
        has_more = first + limit < len(records)
        return {"keys": page, "next": page[-1]["id"] if has_more else None}

    @router.delete(
        "/keys/{key_id}",
        status_code=204,
        dependencies=[may_write],
        responses=answer_of(204, None, None, "It is worth nothing any more.")
        | problems("unknown-key"),
    )
    async def revoke_key(
        key_id: Annotated[str, Path(json_schema_extra={"pattern": KEY_ID.pattern})],
    ) -> None:
        if not await keys.revoke(key_id):
            raise Refused(Problem.of("unknown-key"))

    @router.get(
        "/audit",
        dependencies=[desk.door.needs(Scope.AUDIT_READ)],
        responses=answer_of(200, AuditView, {"entries": [_ENTRY], "next": None}, "The trail.")
        | problems(),
    )
    async def list_entries(
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[str | None, Query(pattern=_ENTRY_ID)] = None,
    ) -> dict[str, Any]:
        entries = await trail.newest(limit, before=cursor)
        has_more = len(entries) == limit
        return {
            "entries": [entry.to_json() for entry in entries],
            "next": entries[-1].entry_id if has_more else None,
        }

    return router
