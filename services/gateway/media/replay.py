"""PURE. The caller's messages on their way to a worker, and those of the last seconds again.

A message that was given to a link may have reached nobody: the worker behind it may have died with
it. So what was taken is remembered for some seconds, and the next worker gets it again before what
has come since. It drops by itself what its forerunner is known to have dealt with.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_PROTECTED = frozenset({"start", "stop", "dtmf", "playedStream", "clearedAudio"})


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """How much is remembered: what exceeds one of these is forgotten, oldest first."""

    replay_s: float = 4.0
    max_frames: int = 1000
    max_chars: int = 524_288


Said = str | bytes
"""A text, or a whole frame in which it came, mask and all: that is said again as it is."""

_Message = tuple[Said, str, float]
"""What was said, its event, when it came. A class of its own would cost more than all of this."""

_LOOK_EACH = 50


class CallerMessages:
    """What a caller has sent: remembered, to be said again, and waiting; in this order.

    When the waiting ones are too many, the oldest that is not a control message gives way: late
    audio is worth nothing, a hang-up or a checkpoint is. Age is counted back from the newest
    message taken, so that nothing is forgotten while there is no worker.

    Forgetting is put off a little while audio passes by; whoever asks can't tell.
    """

    __slots__ = (
        "_again",
        "_is_whole",
        "_limits",
        "_look_in",
        "_queue_frames",
        "_start",
        "_taken",
        "_taken_chars",
        "_waiting",
    )

    def __init__(self, queue_frames: int, limits: ReplayLimits) -> None:
        self._queue_frames = queue_frames
        self._limits = limits
        self._taken: deque[_Message] = deque()
        self._taken_chars = 0
        self._look_in = _LOOK_EACH
        self._again: deque[_Message] = deque()
        self._waiting: deque[_Message] = deque()
        self._start: _Message | None = None
        self._is_whole = True

    def __len__(self) -> int:
        """How many messages the present worker has yet to get."""
        return len(self._again) + len(self._waiting)

    @property
    def is_whole(self) -> bool:
        """Whether nothing that a worker has had is forgotten."""
        self._forget()
        return self._is_whole

    def put(self, text: str, event: str, now_s: float) -> bool:
        """Add a message; False when another had to give way for it."""
        is_full = len(self._waiting) >= self._queue_frames
        if is_full:
            self._drop_one()
        message = (text, event, now_s)
        if event == "start":
            self._start = message
        self._waiting.append(message)
        return not is_full

    def _drop_one(self) -> None:
        for index, message in enumerate(self._waiting):
            if message[1] not in _PROTECTED:
                del self._waiting[index]
                return
        self._waiting.popleft()

    def pass_by(self, said: Said, event: str, now_s: float) -> None:
        """Remember a message that is given to the worker at once, as nothing waits before it."""
        if event == "start":
            self._start = (said, event, now_s)
            return
        self._taken.append((said, event, now_s))
        self._taken_chars += len(said)
        self._forget()

    def pass_audio(self, frame: bytes, now_s: float) -> None:
        """Remember audio that is given to the worker at once, likewise."""
        self._taken.append((frame, "media", now_s))
        self._taken_chars += len(frame)
        self._look_in -= 1
        if not self._look_in:
            self._forget()

    def _forget(self) -> None:
        self._look_in = _LOOK_EACH
        limits, taken = self._limits, self._taken
        before_s = taken[-1][2] - limits.replay_s if taken else 0.0
        while taken and (
            taken[0][2] < before_s
            or self._taken_chars > limits.max_chars
            or len(taken) > limits.max_frames
        ):
            self._taken_chars -= len(taken.popleft()[0])
            self._is_whole = False

    def take(self) -> Said:
        """Remove and return the next message for the worker; it is remembered from now on.

        Raises:
            IndexError: nothing waits.
        """
        said, event, came_s = self._again.popleft() if self._again else self._waiting.popleft()
        self.pass_by(said, event, came_s)
        return said

    def rewind(self) -> int:
        """Begin anew for another worker: the newest `start`, what is remembered, what waits.

        Returns:
            how many messages are said again.
        """
        self._forget()
        again = [*self._taken, *self._again]
        self._taken.clear()
        self._taken_chars = 0
        self._again = deque(message for message in again if message[1] != "start")
        if self._start is not None:
            self._waiting = deque(m for m in self._waiting if m is not self._start)
            self._again.appendleft(self._start)
        return len(self._again)
