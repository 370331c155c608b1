"""How long an answer is waited for: as usual, or longer where nobody else could give one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_LOOK_S = 0.2


@asynccontextmanager
async def patience(
    usual_s: float, until_s: float, has_place_elsewhere: Callable[[], bool]
) -> AsyncIterator[None]:
    """Bound what is done inside.

    Args:
        usual_s: what is given in any case.
        until_s: what may be given, on the loop's clock; nothing more where it lies before that.
        has_place_elsewhere: asked once the usual time is over, and again each 0.2 s; a yes ends it.

    Raises:
        TimeoutError: the time is over.
    """
    loop = asyncio.get_running_loop()
    usual_until_s = loop.time() + usual_s
    looking: asyncio.TimerHandle
    async with asyncio.timeout_at(max(usual_until_s, until_s)) as bound:

        def look() -> None:
            nonlocal looking
            if bound.expired():
                return
            if has_place_elsewhere():
                bound.reschedule(loop.time())
            else:
                looking = loop.call_later(_LOOK_S, look)

        looking = loop.call_at(usual_until_s, look)
        try:
            yield
        finally:
            looking.cancel()
