"""The machine that lanes of tests share: a test marked `alone` has it to itself, others wait."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Machine:
    """One for all lanes of a run, by two files in a folder of its own.

    Who wants it comes by the turnstile, one after another, so that whoever wants it alone is not
    passed for ever by others that share it.
    """

    def __init__(self, folder: Path) -> None:
        self._turnstile = folder / "turnstile"
        self._machine = folder / "machine"

    @contextmanager
    def held(self, *, is_alone: bool) -> Iterator[None]:
        """Wait for it, hold it inside, let go."""
        with self._turnstile.open("a") as turnstile, self._machine.open("a") as machine:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(machine, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
            fcntl.flock(turnstile, fcntl.LOCK_UN)
            try:
                yield
            finally:
                # Closing is not enough where a test has left a copy of the open file behind.
                fcntl.flock(machine, fcntl.LOCK_UN)
