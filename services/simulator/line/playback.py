"""PURE. The cloud's playback queue of one media stream, in samples of G.711 mu-law at 8 kHz.

A FIFO that is consumed as fast as it sounds. Positions count samples since the queue was made,
so a checkpoint is a position, and is reached when that many samples have been played.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from shared.audio.format import SILENCE


@dataclass(frozen=True, slots=True)
class Consumed:
    """What one read took out of the queue.

    `frame` has the length asked for, silence after the `samples` that came from the queue.
    `checkpoints` were reached within it, in order. `is_at_checkpoint` says that the newest
    sample played is the last one before some checkpoint.
    """

    frame: bytes
    samples: int
    checkpoints: tuple[str, ...]
    is_at_checkpoint: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a clear threw away."""

    samples: int
    checkpoints: tuple[str, ...]


class PlaybackQueue:
    """What an application has sent to be played and the caller has not heard yet.

    Args:
        acks_empty_checkpoint: whether a checkpoint counts as played although nothing was queued
            since the start or since the last clear; otherwise it is ignored.
    """

    def __init__(self, *, acks_empty_checkpoint: bool = False) -> None:
        self.received_samples = 0
        self.played_samples = 0
        self.cleared_samples = 0
        self.longest_samples = 0
        self._acks_empty_checkpoint = acks_empty_checkpoint
        self._queue = bytearray()
        self._checkpoints: deque[tuple[int, str]] = deque()
        self._last_checkpoint_at = -1
        self._is_fresh = True

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, mulaw: bytes) -> None:
        """Append audio, one byte a sample."""
        self._queue += mulaw
        self.received_samples += len(mulaw)
        self._is_fresh = self._is_fresh and not mulaw
        self.longest_samples = max(self.longest_samples, len(self._queue))

    def checkpoint(self, name: str) -> bool:
        """Mark the present end of the queue.

        Returns:
            whether it is reached already, because everything queued has been played.
        """
        if not self._queue:
            if self._is_fresh:
                return self._acks_empty_checkpoint
            self._last_checkpoint_at = self._position
            return True
        self._checkpoints.append((self._position + len(self._queue), name))
        return False

    @property
    def is_complete(self) -> bool:
        """Whether a checkpoint stands at the end of what was pushed: an utterance ends there."""
        end = self._position + len(self._queue)
        newest = self._checkpoints[-1][0] if self._checkpoints else self._last_checkpoint_at
        return newest == end

    def consume(self, samples: int) -> Consumed:
        """Take the next `samples` out, or what there is and silence."""
        taken = bytes(self._queue[:samples])
        del self._queue[: len(taken)]
        self.played_samples += len(taken)
        names: list[str] = []
        while self._checkpoints and self._checkpoints[0][0] <= self._position:
            self._last_checkpoint_at, name = self._checkpoints.popleft()
            names.append(name)
        return Consumed(
            frame=taken.ljust(samples, bytes([SILENCE])),
            samples=len(taken),
            checkpoints=tuple(names),
            is_at_checkpoint=self._last_checkpoint_at == self._position,
        )

    def clear(self) -> Dropped:
        """Throw away what is queued, and its checkpoints: they will never be reached."""
        dropped = Dropped(len(self._queue), tuple(name for _, name in self._checkpoints))
        self.cleared_samples += dropped.samples
        self._queue.clear()
        self._checkpoints.clear()
        self._is_fresh = True
        return dropped

    @property
    def _position(self) -> int:
        """Samples that have left the queue, played or cleared."""
        return self.played_samples + self.cleared_samples
