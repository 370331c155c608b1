"""Long work on the event loop, in slices: whoever waits for the loop waits for one at most."""

from __future__ import annotations

import asyncio
import time

_SLICE_S = 0.002


class Slices:
    """Counts how long the loop was held; `breathe` between any two small steps of the work."""

    def __init__(self, slice_s: float = _SLICE_S) -> None:
        self._slice_s = slice_s
        self._until_s = time.perf_counter() + slice_s

    async def breathe(self) -> None:
        """Let all others that are ready have their turn, if this slice is used up."""
        if time.perf_counter() >= self._until_s:
            await asyncio.sleep(0)
            self.begin()

    def begin(self) -> None:
        """Begin a slice, after the work has waited for something else."""
        self._until_s = time.perf_counter() + self._slice_s
