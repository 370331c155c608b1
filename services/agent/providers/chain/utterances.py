"""PURE. What the caller said that no recogniser has settled yet, to be said again to another one.

── pre-roll ──┬── begin ── audio ── end ──┬── pre-roll ──┬── begin ── audio …
              └────── a take, owed a text ┘              └── the take in hand
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from services.agent.providers.base import PHONE_RATE_HZ, Pcm

PREROLL_SAMPLES = int(0.4 * PHONE_RATE_HZ)
MOST_SAMPLES = 20 * PHONE_RATE_HZ


class Ear(Protocol):
    """The part of a TranscriberStream that takes what is said."""

    def push(self, pcm: Pcm) -> None:
        """Hear audio."""
        ...

    def begin(self) -> None:
        """The caller began to speak."""
        ...

    def end(self) -> None:
        """The caller ended."""
        ...


@dataclass(slots=True)
class _Tail:
    """The last samples of what was pushed, so many at most."""

    most_samples: int
    chunks: deque[Pcm] = field(default_factory=deque)
    samples: int = 0

    def push(self, pcm: Pcm) -> None:
        self.chunks.append(pcm)
        self.samples += len(pcm)
        while self.samples > self.most_samples:
            excess = self.samples - self.most_samples
            first = self.chunks.popleft()
            self.samples -= len(first)
            if len(first) > excess:
                self.chunks.appendleft(first[excess:])
                self.samples += len(first) - excess

    def take(self) -> Pcm:
        """Return all of it as one."""
        return np.concatenate(self.chunks) if self.chunks else np.empty(0, dtype=np.int16)


@dataclass(slots=True)
class _Take:
    before: _Tail = field(default_factory=lambda: _Tail(PREROLL_SAMPLES))
    after: _Tail = field(default_factory=lambda: _Tail(MOST_SAMPLES))
    own_samples: int = 0
    """Of those before: how many came after the end of the take before it."""
    has_begun: bool = False


class Utterances:
    """The takes of one call that are owed a text, and the one in hand; bounded in all.

    The newest 20 s of each take are kept, and of all takes that are owed a text the newest 20 s.
    """

    def __init__(self) -> None:
        self._owed: deque[_Take] = deque()
        self._in_hand = _Take()

    @property
    def owed(self) -> int:
        """How many ends have had no text yet."""
        return len(self._owed)

    @property
    def owed_s(self) -> float:
        """How many seconds of speech these hold."""
        return sum(take.after.samples for take in self._owed) / PHONE_RATE_HZ

    @property
    def has_begun(self) -> bool:
        """Whether the caller is speaking."""
        return self._in_hand.has_begun

    def push(self, pcm: Pcm) -> None:
        """Keep audio; the array is copied."""
        take = self._in_hand
        if take.has_begun:
            take.after.push(pcm.copy())
        else:
            take.before.push(pcm.copy())
            take.own_samples += len(pcm)

    def begin(self) -> None:
        """The caller began to speak; again: nothing changes."""
        self._in_hand.has_begun = True

    def end(self) -> None:
        """The caller ended: one text more is owed."""
        ended, self._in_hand = self._in_hand, _Take()
        self._owed.append(ended)
        for chunk in (*ended.before.chunks, *ended.after.chunks):
            self._in_hand.before.push(chunk)
        while len(self._owed) > 1 and self.owed_s > MOST_SAMPLES / PHONE_RATE_HZ:
            oldest = next(take for take in self._owed if take.after.samples)
            oldest.after = _Tail(MOST_SAMPLES)

    def settle(self) -> bool:
        """The oldest text that was owed has come; False when none was owed."""
        if not self._owed:
            return False
        self._owed.popleft()
        return True

    def replay(self, ear: Ear) -> float:
        """Say everything again; return how many seconds of audio that were."""
        samples = 0
        for place, take in enumerate((*self._owed, self._in_hand)):
            before, after = take.before.take(), take.after.take()
            if place > 0:  # its beginning was said with the take before it
                before = before[max(0, len(before) - take.own_samples) :]
            if len(before):
                ear.push(before)
            if take.has_begun:
                ear.begin()
            if len(after):
                ear.push(after)
            if take is not self._in_hand:
                ear.end()
            samples += len(before) + len(after)
        return samples / PHONE_RATE_HZ
