"""What every request meets first: the trouble asked for it, and whose credentials it carries."""

from __future__ import annotations

from fastapi import Request

from services.simulator.rest.account import Limit
from services.simulator.rest.faults import Fault, FaultAnswer
from services.simulator.rest.server import cut
from services.simulator.rest.state import ApiError, RestState, rest_state

BASE = "/api/v1"


async def check_access(auth_id: str, request: Request) -> None:
    """Refuse who is not the account in the path, or is to be refused by a fault.

    Raises:
        ApiError: 401, 404 for another account's path, or the fault.
    """
    state = rest_state(request)
    fault = take_fault(state, request)
    if fault is not None:
        await state.cloud.clock.sleep(fault.delay_s)
        await meet(fault, request)
    check_credentials(state, auth_id, request)


def check_credentials(state: RestState, auth_id: str, request: Request) -> None:
    """Refuse who is not the account in the path.

    Raises:
        ApiError: 401, or 404 for another account's path.
    """
    if not state.account.is_authentic(request.headers):
        raise ApiError(401, "Invalid authentication credentials", code="INVALID_CREDENTIALS")
    if auth_id != state.account.auth_id:
        raise ApiError(404, "account not found")


def take_fault(state: RestState, request: Request) -> Fault | None:
    """Return the trouble that was asked for this request, once."""
    operation = f"{request.method} {request.url.path.removeprefix(BASE)}"
    return state.account.faults.take(operation, state.cloud.clock.now_s())


async def meet(fault: Fault, request: Request) -> None:
    """Give a request its fault's error or cut its connection; nothing for a late answer.

    Raises:
        ApiError: the fault's; behind a cut connection nobody sees it.
    """
    if fault.answer is FaultAnswer.LATE:
        return
    if fault.answer is FaultAnswer.NONE:
        await cut(request)
    raise fault_error(fault)


def fault_error(fault: Fault) -> ApiError:
    """Return an injected error with the body Vobiz has for its status."""
    if fault.status == 429:
        return limit_error(Limit(fault.limit, 1, 2, fault.retry_after_s))
    return error_of(fault.status)


def error_of(status: int) -> ApiError:
    """Return an error with the body Vobiz has for its status."""
    texts = {
        401: ("Invalid authentication credentials", "INVALID_CREDENTIALS"),
        402: ("insufficient balance", "INSUFFICIENT_BALANCE"),
        403: ("account inactive", "ACCOUNT_INACTIVE"),
    }
    text, code = texts.get(status, ("something went wrong", ""))
    return ApiError(status, text, code=code)


def limit_error(limit: Limit) -> ApiError:
    """Return the 429 of a limit."""
    return ApiError(
        429,
        f"{limit.kind} limit exceeded",
        code="RATE_LIMIT_EXCEEDED",
        details={
            "limitType": limit.kind,
            "limit": limit.limit,
            "current": limit.current,
            "retryAfter": limit.retry_after_s,
        },
        retry_after_s=limit.retry_after_s,
    )
