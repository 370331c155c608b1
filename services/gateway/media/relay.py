"""PURE. The rules of relaying: what a frame is, how many are let in, what a close means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.protocol.worker import LinkClose

_MAX_NAME_CHARS = 32
_LONGEST_STOP_CHARS = 512
_GOING_AWAY = 1001
_NO_STATUS = 1005
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012
_TLS_FAILED = 1015
_IN_A_ROW_S = 10.0
_BUCKET_S = 1.0 + 1e-6  # sums of a message's time are not exact
_NOT_A_LOSS = frozenset({LinkClose.FULL, LinkClose.HANDOVER, LinkClose.STALE_EPOCH})


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


def is_stop(text: str) -> bool:
    """Whether a worker's message ends the stream.

    Likewise not parsed; of a hundred frames a second nearly all are known by one short search.
    """
    return '"stop"' in text and len(text) < _LONGEST_STOP_CHARS and peek_event(text) == "stop"


def peek_stream_id(text: str) -> str:
    """Return the last `streamId` (or `stream_id`) of a message, likewise."""
    at = text.rfind('"streamId"')
    begin = text.find('"', at + 10) if at >= 0 else -1
    end = text.find('"', begin + 1, begin + 130) if begin >= 0 else -1
    return text[begin + 1 : end] if 0 <= begin < end else ""


class FloodGate:
    """A token bucket: how many messages one caller's socket may bring.

    The bucket holds a second's worth, so that what piled up during a short stall passes. All that
    is kept of it is when it will be full again: each message puts that off by its own share.
    """

    __slots__ = ("_each_s", "_full_s")

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self._each_s = 1.0 / rate_per_s
        self._full_s = now_s

    def admits(self, now_s: float) -> bool:
        """Whether one more message may pass now."""
        full_s = (self._full_s if self._full_s > now_s else now_s) + self._each_s
        if full_s > now_s + _BUCKET_S:
            return False
        self._full_s = full_s
        return True


class Next(StrEnum):
    """What follows when a worker's link has closed."""

    ANOTHER_WORKER = "another_worker"
    END = "end"
    LOST = "lost"
    MOVED = "moved"
    AWAY = "away"


class Parting(StrEnum):
    """How the media of a call came to its end; decides what /fallback says.

    `CARRIER_LOST`: the caller's socket broke and did not come back in time, though it still may.
    `LOST` (no worker is left to speak) is also what an unknown call gets. `AWAY`: the agent has
    left the stream for an errand of the network's, and the call comes back.
    """

    ENDED = "ended"
    BUSY = "busy"
    LOST = "lost"
    CARRIER_LOST = "carrier_lost"
    AWAY = "away"

    @property
    def is_for_good(self) -> bool:
        """Whether no socket is let in any more."""
        return self not in {Parting.CARRIER_LOST, Parting.AWAY}


class Cause(StrEnum):
    """Why a call in conversation needs another worker."""

    BROKEN = "broken"
    SILENT = "silent"
    HANDOVER = "handover"


def cause_of(code: int, *, was_silent: bool) -> Cause:
    """Say why a link is gone."""
    if code == LinkClose.HANDOVER:
        return Cause.HANDOVER
    return Cause.SILENT if was_silent else Cause.BROKEN


@dataclass(frozen=True, slots=True)
class CallSoFar:
    """What counts when a link has closed.

    Attributes:
        has_begun: another worker could not begin from nothing: the caller has heard something, or
            has said more than can be said again.
        has_stopped: either side has said `stop`: the stream is at its end.
        tries_left: workers that may still be asked while the call has not begun.
        is_second_loss: the worker before was lost too, moments ago.
    """

    has_begun: bool
    has_stopped: bool
    tries_left: int
    is_second_loss: bool


def after_link(code: int, call: CallSoFar) -> Next:
    """Say what follows a link's close.

    A lost worker is followed by another one, which goes on where it was. A link that was
    superseded means that the call lives on elsewhere; a worker that is away wants the stream to
    end and the call back. A call that takes two workers with it in a row gets no third.
    """
    if code in {LinkClose.ENDED, LinkClose.NORMAL}:
        return Next.END
    if code == LinkClose.SUPERSEDED:
        return Next.MOVED
    if code == LinkClose.AWAY:
        return Next.AWAY
    if call.is_second_loss or (call.has_begun and call.has_stopped):
        return Next.LOST
    return Next.ANOTHER_WORKER if call.has_begun or call.tries_left > 0 else Next.LOST


class Losses:
    """Which of a call's workers were lost, one after another."""

    def __init__(self, tries: int) -> None:
        self._tries_left = tries
        self._is_after_loss = False
        self._attached_s = 0.0
        self.were_two_in_a_row = False

    def on_attached(self, now_s: float) -> None:
        """A worker has the call."""
        self._attached_s = now_s

    def on_closed(self, code: int, *, has_begun: bool, has_stopped: bool, now_s: float) -> Next:
        """Say what follows. A worker that refuses or hands over is not a lost one."""
        is_loss = code not in _NOT_A_LOSS
        is_soon = now_s - self._attached_s < _IN_A_ROW_S
        self.were_two_in_a_row = is_loss and self._is_after_loss and is_soon
        call = CallSoFar(has_begun, has_stopped, self._tries_left, self.were_two_in_a_row)
        self._is_after_loss = is_loss
        if not has_begun:
            self._tries_left -= 1
        return after_link(code, call)


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
