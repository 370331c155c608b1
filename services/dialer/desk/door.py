"""Who asks: a bearer key becomes a principal, who may do what its scopes say, so often and no more.

The key of the settings is the root key: it may do everything and needs no Redis. Without one the
door is open, as local trials want it. What a key is worth is for the `KeyJudge` to say; nothing of
a key is kept here, shown or logged.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer as BearerScheme
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from services.dialer.problems import Problem, Refused


class Scope(StrEnum):
    """What a key may do."""

    CALLS_READ = "calls:read"
    CALLS_WRITE = "calls:write"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_WRITE = "campaigns:write"
    NUMBERS_READ = "numbers:read"
    NUMBERS_WRITE = "numbers:write"
    KEYS_WRITE = "keys:write"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks, as the audit trail names them.

    `key_id` is the public part of their key, empty for the root key and for an open door.
    `rate_per_minute` None: they may ask as often as they like.
    """

    name: str
    key_id: str = ""
    scopes: frozenset[Scope] = frozenset()
    rate_per_minute: int | None = None


ROOT = Principal("root", scopes=frozenset(Scope))
LOCAL = Principal("local", scopes=frozenset(Scope))


class KeyJudge(Protocol):
    """Whoever knows the keys."""

    async def judge(self, key: str) -> Principal | None:
        """Return whose key it is; None for one that is unknown, wrong or revoked.

        Raises:
            BusUnavailable: nobody knows.
        """
        ...


class RateLimiter(Protocol):
    """Whoever counts how often a key is used."""

    async def admit(self, principal: Principal) -> int:
        """Count a request: 0 when it may pass, else the seconds to wait, at least one.

        Raises:
            BusUnavailable: nobody knows.
        """
        ...


class _Bearer(SecurityBase):
    """Documents the key in OpenAPI; reading it is the door's business."""

    def __init__(self) -> None:
        self.model = BearerScheme(description="A key of the dialer, or its root key.")
        self.scheme_name = "key"

    async def __call__(self) -> None:
        return None


_BEARER = Security(_Bearer())


class Door:
    """Lets requests in.

    Args:
        root_key: with all scopes; None: the door is open to everybody, who is `local` then.
        keys: judges all other keys; None: there are none.
        rate: counts requests; None: nobody counts.
    """

    def __init__(
        self,
        root_key: str | None,
        keys: KeyJudge | None = None,
        rate: RateLimiter | None = None,
    ) -> None:
        self._root_digest = _digest(root_key) if root_key is not None else None
        self._keys = keys
        self._rate = rate

    async def enter(self, request: Request, wanted: SecurityScopes, _: None = _BEARER) -> Principal:
        """Return who asks; also `request.state.principal`, which the audit trail reads.

        Raises:
            Refused: 401 without a good key, 429 for one that asks too often, 403 without a scope.
            BusUnavailable: the key can't be judged now.
        """
        principal = getattr(request.state, "principal", None)
        if not isinstance(principal, Principal):
            principal = await self._let_in(request)
        missing = [scope for scope in wanted.scopes if scope not in principal.scopes]
        if missing:
            raise Refused(no_scope(missing))
        return principal

    async def _let_in(self, request: Request) -> Principal:
        """Find out who asks, and count it, once a request."""
        principal = await self._who(request)
        request.state.principal = principal
        if self._rate is not None and principal.rate_per_minute is not None:
            wait_s = await self._rate.admit(principal)
            if wait_s:
                raise Refused(_too_many(principal.rate_per_minute, wait_s))
        return principal

    def needs(self, *scopes: Scope) -> Any:
        """Return the dependency that lets in who has these scopes.

        As a parameter: `Annotated[Principal, door.needs(Scope.CALLS_READ)]`; where nobody wants
        to know who asks: `dependencies=[door.needs(Scope.CALLS_READ)]`.
        """
        return Security(self.enter, scopes=[scope.value for scope in scopes])

    async def _who(self, request: Request) -> Principal:
        key = _bearer_key(request)
        is_open = self._root_digest is None
        if self._root_digest is not None and hmac.compare_digest(_digest(key), self._root_digest):
            return ROOT
        if key and self._keys is not None:
            principal = await self._keys.judge(key)
            if principal is not None:
                return principal
        if is_open:
            return LOCAL
        raise Refused(_UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})


def _bearer_key(request: Request) -> str:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _digest(key: str) -> bytes:
    """Return what is compared in place of a key, so that not even its length shows in the time."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


_UNAUTHORIZED = Problem.of(
    "unauthorized",
    "Send Authorization: Bearer with a key of the dialer, or its root key (DIALER_API_KEY).",
)


def no_scope(missing: Iterable[str]) -> Problem:
    """Return the problem of a key without the scopes that are needed."""
    needed = sorted(missing)
    return Problem.of("missing-scope", f"It lacks {', '.join(needed)}.", extra={"needed": needed})


def _too_many(per_minute: int, wait_s: int) -> Problem:
    detail = f"It is good for {per_minute} requests a minute."
    return Problem.of("too-many-requests", detail, retry_after_s=wait_s)
