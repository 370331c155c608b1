"""The audit trail: who changed what, when, and what came of it.

Every request of a known principal that may change something is written down before it is answered:
what is answered has an entry, unless Redis failed in that very moment, which is logged. Nothing of
a request's body or key is in it.

    {parley}:dial:audit   stream; the newest entries, about AUDIT_MAX of them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from services.dialer.desk.door import Principal
from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store

AUDIT_MAX = 100_000
_SUBJECT_MAX_CHARS = 200
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request.

    `action` is its method and route, `subject` what it was about (an id or number of its path, or
    the id of what it made), `status` what it was answered with. `entry_id` and `at` are set by
    writing it down.
    """

    principal: str
    key_id: str
    action: str
    subject: str
    status: int
    entry_id: str = ""
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the API shows."""
        outcome = "done" if self.status < 400 else "refused" if self.status < 500 else "failed"
        return {
            "id": self.entry_id,
            "at": self.at,
            "principal": self.principal,
            "key_id": self.key_id or None,
            "action": self.action,
            "subject": self.subject,
            "status": self.status,
            "outcome": outcome,
        }


class AuditTrail:
    """The trail, in Redis."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._name = f"{store.prefix}:dial:audit"

    async def write(self, entry: AuditEntry) -> None:
        """Append an entry.

        Raises:
            BusUnavailable: it may be missing.
        """
        fields = {
            "principal": entry.principal,
            "key_id": entry.key_id,
            "action": entry.action,
            "subject": entry.subject,
            "status": str(entry.status),
        }
        added = self._store.redis.xadd(self._name, fields, maxlen=AUDIT_MAX, approximate=True)  # type: ignore[arg-type] # redis-py asks for an invariant dict
        await self._store.run("audit_write", added)

    async def newest(self, limit: int, *, before: str | None = None) -> list[AuditEntry]:
        """Return the newest entries, newest first; only those before an entry where one is named.

        Raises:
            BusUnavailable: they can't be read.
        """
        if before is not None and set(before) <= {"0", "-"}:
            return []  # Redis calls what is before the first possible entry an error
        upto = "+" if before is None else f"({before}"
        page = self._store.redis.xrevrange(self._name, max=upto, count=limit)
        return [_read(entry_id, f) for entry_id, f in await self._store.run("audit_read", page)]


class Audited:
    """ASGI middleware that writes requests on the trail before they are answered.

    Args:
        app: what answers.
        trail: where they are written down.
    """

    def __init__(self, app: ASGIApp, trail: AuditTrail) -> None:
        self._app = app
        self._trail = trail

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer a request; what only reads, and what the door did not let in, is not written."""
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self._app(scope, receive, send)
            return
        is_written = False

        async def write_first(message: Message) -> None:
            nonlocal is_written
            if message["type"] == "http.response.start" and not is_written:
                is_written = True
                await self._write(scope, message["status"], Headers(raw=message["headers"]))
            await send(message)

        try:
            await self._app(scope, receive, write_first)
        except Exception:
            if not is_written:
                await self._write(scope, 500, {})
            raise

    async def _write(self, scope: AsgiScope, status: int, headers: Mapping[str, str]) -> None:
        principal = scope.get("state", {}).get("principal")
        if not isinstance(principal, Principal):
            return
        route = getattr(scope.get("route"), "path", scope["path"])
        entry = AuditEntry(
            principal.name,
            principal.key_id,
            f"{scope['method']} {route}",
            _subject(scope.get("path_params", {}), headers.get("location", "")),
            status,
        )
        try:
            await self._trail.write(entry)
        except BusUnavailable as exc:
            _log.error(
                "audit_not_written",
                action=entry.action,
                principal=entry.principal,
                key_id=entry.key_id,
                status=status,
                error=str(exc),
            )


def _subject(path_params: Mapping[str, Any], location: str) -> str:
    about = "/".join(str(value) for value in path_params.values())
    text = about or location.rpartition("/")[2]
    return "".join(sign for sign in text if sign.isprintable())[:_SUBJECT_MAX_CHARS]


def _read(entry_id: str, fields: Mapping[str, str]) -> AuditEntry:
    at = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    return AuditEntry(
        fields["principal"],
        fields["key_id"],
        fields["action"],
        fields["subject"],
        int(fields["status"]),
        entry_id,
        at.isoformat(timespec="milliseconds"),
    )
