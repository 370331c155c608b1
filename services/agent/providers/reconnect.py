"""Keep a vendor's socket open for a whole call: open another one at once whenever it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from services.agent.providers.errors import ProviderError, ProviderFailed
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
PAUSES_S = (0.0, 0.1, 0.3, 1.0, 1.0)
"""Before each attempt after a failure; one more failure in a row and it is given up."""
_STEADY_S = 3.0
"""A socket that is lost sooner was no good, whatever it did meanwhile."""


async def stay_connected(
    connect: Callable[[], Coroutine[Any, Any, ProviderError]],
    *,
    has_progressed: Callable[[], bool],
    on_lost: Callable[[ProviderError], None],
) -> ProviderError:
    """Connect again and again until it is hopeless; returns why it is.

    Args:
        connect: connects, serves the socket to its end and returns, or raises, why it ended.
        has_progressed: whether the last socket did anything; attempts then count anew, unless it
            was lost at once.
        on_lost: told why a socket was lost, when another one will be opened.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began_s = loop.time()
        try:
            error = await connect()
        except ProviderError as exc:
            error = exc
        is_steady = has_progressed() and loop.time() - began_s >= _STEADY_S
        failures = 1 if is_steady else failures + 1
        if not isinstance(error, ProviderFailed) or failures > len(PAUSES_S):
            return error
        _log.info(
            "transcriber_reconnects",
            provider=error.provider,
            cause=error.cause.value,
            failures=failures,
        )
        on_lost(error)
        await asyncio.sleep(PAUSES_S[failures - 1])


async def first_error(
    owner: TaskOwner, **works: Coroutine[Any, Any, ProviderError]
) -> ProviderError:
    """Run works side by side until one returns its error; the others are cancelled."""
    tasks = {owner.start(work, name=name) for name, work in works.items()}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    error: ProviderError = done.pop().result()
    return error
