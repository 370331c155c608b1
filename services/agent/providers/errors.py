"""Errors of the providers (voice activity, transcriber, brain, language model, synthesiser).

    ProviderError                 something a provider promised did not happen
    ├── ProviderUnavailable       not installed, not configured, refused at start: try another one
    ├── ProviderFailed            worked before, broke now: a retry may help
    │   └── ProviderTimeout       no answer within the bound
    └── ProviderRejected          refused this input for good: a retry will not help

Split by what the caller can do; `cause` says for the metrics what happened. `provider` names the
part as metrics and logs do.
"""

from __future__ import annotations

from enum import StrEnum


class FailureCause(StrEnum):
    """What went wrong, closed so that it can label a metric.

    UNREACHABLE: no connection. UNAUTHORIZED: 401 or 403. RATE_LIMITED: 429. REJECTED: any other
    4xx. SERVER_ERROR: 5xx, or an error event in a stream. TIMEOUT: no answer in time. CUT: the
    answer ended before it was complete. GARBAGE: an answer that can't be read. MISSING: not
    installed, no key. BROKEN: anything else.
    """

    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    REJECTED = "rejected"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CUT = "cut"
    GARBAGE = "garbage"
    MISSING = "missing"
    BROKEN = "broken"


class ProviderError(Exception):
    """Base of every error that a provider lets out. `detail` never holds a key or a prompt."""

    def __init__(
        self, provider: str, detail: str, cause: FailureCause = FailureCause.BROKEN
    ) -> None:
        super().__init__(provider, detail, cause)
        self.provider = provider
        self.detail = detail
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.provider}: {self.detail}"


class ProviderUnavailable(ProviderError):
    """The provider cannot be used here at all; `detail` says what is missing."""


class ProviderFailed(ProviderError):
    """The provider broke during use; the same request may succeed later."""


class ProviderTimeout(ProviderFailed):
    """The provider did not answer within the stated bound."""

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(provider, detail, FailureCause.TIMEOUT)


class ProviderRejected(ProviderError):
    """The provider will never accept this input."""


def failure_of_status(provider: str, status: int, detail: str) -> ProviderError:
    """Return the error that an HTTP status of a vendor comes down to.

    401, 403 and 404 are ProviderUnavailable (a wrong key or model stays wrong), 408, 409, 429 and
    5xx ProviderFailed, all else ProviderRejected.
    """
    text = f"{status} {detail}".strip()
    if status in (401, 403):
        return ProviderUnavailable(provider, text, FailureCause.UNAUTHORIZED)
    if status == 404:
        return ProviderUnavailable(provider, text, FailureCause.REJECTED)
    if status == 429:
        return ProviderFailed(provider, text, FailureCause.RATE_LIMITED)
    if status in (408, 409):
        return ProviderFailed(provider, text, FailureCause.TIMEOUT)
    if status >= 500:
        return ProviderFailed(provider, text, FailureCause.SERVER_ERROR)
    return ProviderRejected(provider, text, FailureCause.REJECTED)
