"""PURE. The rules of relaying: what a frame is, what waits, what is dropped, what a close means."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from shared.protocol.worker import LinkClose

_MAX_NAME_CHARS = 32
_PROTECTED = frozenset({"start", "stop", "dtmf", "playedStream", "clearedAudio"})
_GOING_AWAY = 1001
_NO_STATUS = 1005
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012
_TLS_FAILED = 1015


def peek_event(text: str) -> str:
    """Return the value of a message's `event` without parsing it, "" when none stands out.

    A base64 payload holds no quotes, so the search can't be fooled by audio. Other nestings of an
    `event` key could fool it; whoever acts on more than the name parses the message.
    """
    at = text.find('"event"')
    if at < 0:
        return ""
    begin = text.find('"', at + 7)
    end = text.find('"', begin + 1, begin + 2 + _MAX_NAME_CHARS)
    return text[begin + 1 : end] if 0 <= begin < end else ""


def peek_stream_id(text: str) -> str:
    """Return the last `streamId` (or `stream_id`) of a message, likewise."""
    at = text.rfind('"streamId"')
    begin = text.find('"', at + 10) if at >= 0 else -1
    end = text.find('"', begin + 1, begin + 130) if begin >= 0 else -1
    return text[begin + 1 : end] if 0 <= begin < end else ""


class RelayQueue:
    """Frames on their way to a worker.

    When full, the oldest frame that is not a control message gives way: late audio is worth
    nothing, a hang-up or a checkpoint is.
    """

    def __init__(self, size_frames: int) -> None:
        self._size_frames = size_frames
        self._frames: deque[tuple[str, bool]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, text: str, event: str) -> bool:
        """Add a frame; False when another had to give way for it."""
        is_full = len(self._frames) >= self._size_frames
        if is_full:
            self._drop_one()
        self._frames.append((text, event in _PROTECTED))
        return not is_full

    def _drop_one(self) -> None:
        for index, (_, is_protected) in enumerate(self._frames):
            if not is_protected:
                del self._frames[index]
                return
        self._frames.popleft()

    def take(self) -> str:
        """Remove and return the oldest frame.

        Raises:
            IndexError: nothing waits.
        """
        return self._frames.popleft()[0]


class FloodGate:
    """A token bucket: how many messages one caller's socket may bring.

    The bucket holds a second's worth, so that what piled up during a short stall passes.
    """

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._room = rate_per_s
        self._last_s = now_s

    def admits(self, now_s: float) -> bool:
        """Whether one more message may pass now."""
        refill = (now_s - self._last_s) * self._rate_per_s
        self._room = min(self._rate_per_s, self._room + refill)
        self._last_s = now_s
        if self._room < 1.0:
            return False
        self._room -= 1.0
        return True


class Next(StrEnum):
    """What follows when a worker's link has closed."""

    ANOTHER_WORKER = "another_worker"
    END = "end"
    LOST = "lost"
    MOVED = "moved"
    AWAY = "away"


def after_link(code: int, *, has_spoken: bool, tries_left: int) -> Next:
    """Say what follows a link's close.

    A worker may be followed by another one as long as the caller has heard nothing; afterwards
    only a worker that knows the conversation could go on. A link that was superseded means that
    the call lives on elsewhere; a worker that is away wants the stream to end and the call back.
    """
    if code in {LinkClose.ENDED, LinkClose.NORMAL}:
        return Next.END
    if code == LinkClose.SUPERSEDED:
        return Next.MOVED
    if code == LinkClose.AWAY:
        return Next.AWAY
    return Next.ANOTHER_WORKER if not has_spoken and tries_left > 0 else Next.LOST


def code_for_caller(link_code: int) -> int:
    """Translate a worker's close code for Vobiz: our own ones mean nothing there."""
    if link_code in {LinkClose.ENDED, LinkClose.NORMAL, LinkClose.AWAY}:
        return int(LinkClose.NORMAL)
    if link_code in {_NO_STATUS, _ABNORMAL, _TLS_FAILED} or 4000 <= link_code <= 4099:
        return _INTERNAL_ERROR
    return link_code


def code_for_worker(caller_code: int) -> int:
    """Translate a caller's close code for the worker.

    "Going away" says that the call may come back: after a broken socket, or when this gateway
    stops and another one takes over.
    """
    if caller_code in {_NO_STATUS, _ABNORMAL, _SERVICE_RESTART, _TLS_FAILED}:
        return _GOING_AWAY
    return caller_code


def is_clean_end(caller_code: int) -> bool:
    """Whether Vobiz closed the socket in form.

    It does so when the call is over; a socket that breaks may come back.
    """
    return caller_code in {1000, _GOING_AWAY}
