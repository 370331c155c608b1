"""Who is let in."""

from __future__ import annotations

import pytest
from fastapi import Request
from fastapi.security import SecurityScopes

from services.dialer.desk.door import LOCAL, ROOT, Door, Principal, Scope
from services.dialer.problems import Refused

SHOP = Principal("shop", "0123456789ab", frozenset({Scope.CALLS_READ}), 60)


class Keys:
    """Knows one key."""

    async def judge(self, key: str) -> Principal | None:
        """Return the shop, if it is its key."""
        return SHOP if key == "shops-key" else None


class Rate:
    """Lets so many in, and then lets nobody."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def admit(self, principal: Principal) -> int:
        """Count; seven seconds are to be waited."""
        self.left -= 1
        return 7 if self.left < 0 else 0


def asked(authorization: str | None) -> Request:
    headers = [(b"authorization", authorization.encode())] if authorization is not None else []
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


async def refusal(door: Door, request: Request, *scopes: Scope) -> Refused:
    with pytest.raises(Refused) as caught:
        await door.enter(request, SecurityScopes([scope.value for scope in scopes]))
    return caught.value


NO_SCOPE = SecurityScopes([])


async def test_the_root_key_may_do_everything() -> None:
    door = Door("root", Keys(), Rate(0))
    everything = SecurityScopes([scope.value for scope in Scope])
    assert await door.enter(asked("bearer root"), everything) is ROOT


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Basic root", "root", "Bearer roo", "Bearer rootx"]
)
async def test_without_a_good_key_nobody_comes_in(given: str | None) -> None:
    refused = await refusal(Door("root", Keys()), asked(given))
    assert (refused.problem.status, refused.headers) == (401, {"WWW-Authenticate": "Bearer"})


@pytest.mark.parametrize("given", [None, "Bearer whatever", "Basic x"])
async def test_a_door_without_a_root_key_is_open(given: str | None) -> None:
    assert await Door(None, Keys()).enter(asked(given), NO_SCOPE) is LOCAL


async def test_who_shows_a_known_key_at_an_open_door_is_known() -> None:
    request = asked("Bearer shops-key")
    assert await Door(None, Keys()).enter(request, NO_SCOPE) is SHOP
    assert request.state.principal is SHOP


async def test_what_a_key_lacks_is_named() -> None:
    wanted = (Scope.CALLS_WRITE, Scope.CALLS_READ, Scope.AUDIT_READ)
    refused = await refusal(Door("root", Keys()), asked("Bearer shops-key"), *wanted)
    assert refused.problem.status == 403
    assert refused.problem.extra == {"needed": ["audit:read", "calls:write"]}


async def test_a_request_is_counted_once_however_often_it_passes_the_door() -> None:
    door = Door("root", Keys(), Rate(2))
    for _ in range(2):
        request = asked("Bearer shops-key")
        for _ in range(3):
            assert await door.enter(request, NO_SCOPE) is SHOP
    refused = await refusal(door, asked("Bearer shops-key"))
    assert (refused.problem.status, refused.problem.retry_after_s) == (429, 7)
