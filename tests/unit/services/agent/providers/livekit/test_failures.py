from __future__ import annotations

import json

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.providers.livekit.failures import failure_of

SECRET = "what the caller said"


class Answered(Exception):
    status = 403


def because(cause: BaseException) -> APIConnectionError:
    error = APIConnectionError(SECRET)
    error.__cause__ = cause
    return error


def named(name: str) -> Exception:
    made: Exception = type(name, (Exception,), {})(SECRET)
    return made


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (APIStatusError(SECRET, status_code=429), ProviderFailed, FailureCause.RATE_LIMITED),
        (APIStatusError(SECRET, status_code=401), ProviderUnavailable, FailureCause.UNAUTHORIZED),
        (APIStatusError(SECRET, status_code=422), ProviderRejected, FailureCause.REJECTED),
        (APIStatusError(SECRET, status_code=1011), ProviderFailed, FailureCause.CUT),
        (APIStatusError(SECRET, status_code=-1), ProviderFailed, FailureCause.CUT),
        (APITimeoutError(SECRET), ProviderTimeout, FailureCause.TIMEOUT),
        (TimeoutError(SECRET), ProviderTimeout, FailureCause.TIMEOUT),
        (because(TimeoutError()), ProviderTimeout, FailureCause.TIMEOUT),
        (because(named("ConnectTimeout")), ProviderTimeout, FailureCause.TIMEOUT),
        (because(Answered()), ProviderUnavailable, FailureCause.UNAUTHORIZED),
        (because(named("ClientPayloadError")), ProviderFailed, FailureCause.CUT),
        (because(json.JSONDecodeError("x", SECRET, 0)), ProviderFailed, FailureCause.GARBAGE),
        (because(OSError(SECRET)), ProviderFailed, FailureCause.UNREACHABLE),
        (APIConnectionError(SECRET), ProviderFailed, FailureCause.UNREACHABLE),
        (APIError(SECRET), ProviderFailed, FailureCause.SERVER_ERROR),
        (RuntimeError(SECRET), ProviderFailed, FailureCause.BROKEN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_kind_and_quotes_nothing(
    error: Exception, kind: type[ProviderError], cause: FailureCause
) -> None:
    failure = failure_of("livekit:x", error)
    assert type(failure) is kind
    assert failure.cause is cause
    assert failure.provider == "livekit:x"
    assert SECRET not in str(failure) + repr(failure)


def test_ours_stay_as_they_are() -> None:
    ours = ProviderRejected("x", "no")
    assert failure_of("livekit:x", ours) is ours


def test_causes_that_go_in_a_circle_end() -> None:
    error = APIConnectionError(SECRET)
    error.__cause__ = error
    assert failure_of("livekit:x", error).cause is FailureCause.UNREACHABLE
