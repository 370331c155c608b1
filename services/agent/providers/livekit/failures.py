"""What LiveKit's errors come down to among ours.

Its messages may quote the text that was to be spoken, and the causes behind them URLs with
queries. So none of it is passed on: only statuses and the names of types.
"""

from __future__ import annotations

from collections.abc import Iterator

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    failure_of_status,
)

_MOST_CAUSES = 10
# Of aiohttp, httpx, httpcore and websockets, known by name: not all of them need be installed.
_CUT = {
    *("ClientPayloadError", "ServerDisconnectedError", "ClientOSError", "RemoteProtocolError"),
    *("ReadError", "IncompleteReadError", "ConnectionClosedError", "ConnectionResetError"),
}


def failure_of(provider: str, error: Exception) -> ProviderError:
    """Return what a plugin's exception means to whoever asked."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, APIStatusError):
        return _of_status(provider, error.status_code)
    if isinstance(error, APITimeoutError | TimeoutError):
        return ProviderTimeout(provider, "no answer in time")
    if isinstance(error, APIConnectionError):
        return _of_connection(provider, error)
    if isinstance(error, APIError):
        return ProviderFailed(provider, "the vendor reports an error", FailureCause.SERVER_ERROR)
    return ProviderFailed(provider, type(error).__name__, FailureCause.BROKEN)


def _of_status(provider: str, status: int) -> ProviderError:
    if 400 <= status < 600:
        return failure_of_status(provider, status, "")
    # A close code of a WebSocket, or -1: what had begun was not brought to its end.
    return ProviderFailed(provider, f"connection closed ({status})", FailureCause.CUT)


def _of_connection(provider: str, error: Exception) -> ProviderError:
    causes = list(_causes(error))
    names = [type(cause).__name__ for cause in causes]
    for cause in causes:
        status = getattr(cause, "status", None) or getattr(cause, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return failure_of_status(provider, status, "")
    if any(
        isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes
    ):
        return ProviderTimeout(provider, "no answer in time")
    detail = names[-1] if names else "connection error"
    if _CUT & set(names):
        return ProviderFailed(provider, detail, FailureCause.CUT)
    if any(isinstance(cause, ValueError | KeyError) for cause in causes):
        return ProviderFailed(provider, detail, FailureCause.GARBAGE)
    return ProviderFailed(provider, detail, FailureCause.UNREACHABLE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an exception was raised from, nearest first; bounded, for chains may be circles."""
    for _ in range(_MOST_CAUSES):
        cause = error.__cause__
        if cause is None:
            return
        yield cause
        error = cause
