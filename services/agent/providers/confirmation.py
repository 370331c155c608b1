"""Whether a reply that was begun on a guess is wanted, over an asyncio event."""

from __future__ import annotations

import asyncio


class ReplyConfirmation:
    """See Confirmation. `give` may be called more than once."""

    def __init__(self, *, is_given: bool = False) -> None:
        self._event = asyncio.Event()
        if is_given:
            self._event.set()

    @property
    def is_given(self) -> bool:
        """See Confirmation."""
        return self._event.is_set()

    def give(self) -> None:
        """The reply is wanted."""
        self._event.set()

    async def wait(self) -> None:
        """See Confirmation."""
        await self._event.wait()
