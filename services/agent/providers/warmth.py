"""Connections opened before they are needed.

The first request of a call would otherwise wait for TCP and TLS, a tenth of a second or more. Who
begins a call warms what it will ask; a provider that cannot be warmed is left alone.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

WARM_S = 3.0
"""The longest that warming may take; a server that is slower than that is met soon enough."""


@runtime_checkable
class Warmable(Protocol):
    """A part that asks a server."""

    async def warm(self) -> None:
        """Have a connection ready for a request that is soon to come, if none is.

        Takes WARM_S at most. What goes wrong is not told: the request itself will.
        """
        ...


async def warm(part: object) -> None:
    """Warm a part, if it can be."""
    if isinstance(part, Warmable):
        await part.warm()
