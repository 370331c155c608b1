"""The seam between a voice and the engine that renders it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Takes the next samples (int16 mono, owned by the receiver); False stops the synthesis.
Sink = Callable[[NDArray[np.int16]], bool]


class Engine(Protocol):
    """One voice of one synthesis program or library."""

    @property
    def name(self) -> str:
        """Engine and voice, as logs and reports show it, e.g. `flite/rms`."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the samples it renders."""
        ...

    @property
    def is_ascii_only(self) -> bool:
        """Whether it speaks English letters alone."""
        ...

    def render(self, text: str, sink: Sink) -> None:
        """Speak one piece of text, blocking; safe to call from several threads at once.

        `sink` is called from this thread, as soon as samples exist, and never after it has
        returned False or after this method has returned or raised.

        Raises:
            SynthesisFailed: the engine broke.
        """
        ...
