"""One provider asked for a stream of pieces: in time, tried again where that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import structlog

from services.agent.providers.chain.breaker import BreakerState
from services.agent.providers.chain.link import Attempt, Chain, Link
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
)
from shared.runtime.tasks import closing

_log = structlog.get_logger(__name__)
T = TypeVar("T")
P = TypeVar("P")
CLOSE_S = 1.0
_MAY_PASS = {
    FailureCause.UNREACHABLE,
    FailureCause.RATE_LIMITED,
    FailureCause.SERVER_ERROR,
    FailureCause.CUT,
}
"""Not TIMEOUT: who waits for a second one has waited too long."""


def may_pass(error: ProviderError) -> bool:
    """Whether the same provider may well answer when it is asked again."""
    return isinstance(error, ProviderFailed) and error.cause in _MAY_PASS


async def pieces_of(
    chain: Chain[P],
    link: Link[P],
    ask: Callable[[P], AsyncIterator[T]],
    *,
    first_s: float,
    next_s: float,
) -> AsyncIterator[T]:
    """Yield what a link answers.

    A failure before the first piece is tried again, `retries` times, as long as `first_s` for all
    tries together is not over. The next pieces have `next_s` each.

    Raises:
        ProviderError: of the last try; pieces already given stand.
    """
    limits = chain.limits
    until_s = chain.now_s() + first_s
    for tries_left in range(limits.retries, -1, -1):
        has_given = False
        try:
            with chain.attempt(link) as attempt:
                first_left_s = until_s - chain.now_s()
                answer = _in_time(link, attempt, ask, first_s=first_left_s, next_s=next_s)
                async with closing(answer) as pieces:
                    async for piece in pieces:
                        has_given = True
                        yield piece
            return
        except ProviderError as exc:
            wait_s = limits.retry_wait_s if exc.cause is FailureCause.RATE_LIMITED else 0.0
            is_late = chain.now_s() + wait_s >= until_s
            if has_given or tries_left == 0 or is_late or not may_pass(exc):
                raise
            if chain.breaker(link).state is not BreakerState.CLOSED:
                raise
        chain.metrics.retries.labels(chain.kind, link.name).inc()
        await asyncio.sleep(wait_s)


async def _in_time(
    link: Link[P],
    attempt: Attempt,
    ask: Callable[[P], AsyncIterator[T]],
    *,
    first_s: float,
    next_s: float,
) -> AsyncIterator[T]:
    pieces: AsyncIterator[T] | None = None
    wait_s = first_s
    try:
        pieces = ask(link.part)
        while True:
            async with asyncio.timeout(wait_s):
                piece = await anext(pieces, None)
            if piece is None:
                return
            attempt.on_piece()
            wait_s = next_s
            yield piece
    except TimeoutError as exc:
        raise ProviderTimeout(link.name, f"nothing came for {wait_s:.1f} s") from exc
    except ProviderError:
        raise
    except Exception as exc:  # top of a request: a vendor's bug must not end a call
        _log.exception("provider_broke", provider=link.name)
        raise ProviderFailed(link.name, f"unexpected {type(exc).__name__}") from exc
    finally:
        if pieces is not None:
            await close_quietly(pieces)


async def close_quietly(pieces: object) -> None:
    """Close a stream where it can be closed; what it says to that matters to nobody any more."""
    close = getattr(pieces, "aclose", None)
    if close is None:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await close()
    except (ProviderError, TimeoutError, OSError) as exc:
        _log.debug("close_failed", error=type(exc).__name__)
