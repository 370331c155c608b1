"""PURE. Whether the other end of a link still lives, judged by what is heard of it.

Any byte is a sign of life. Who says nothing is asked; who does not answer in time is lost. The
time by which our own looks come late is not held against the other side: what it sent may lie
unread in our socket. Who is heard on other links meanwhile has twice the time: such a process lives
and is behind with its work, and what is taken from it would put the next one behind as well. For a
second what is heard there counts as heard here too: callers mostly speak while their agent is
silent, and to ask each such link four times a second would cost as much as their audio.

Who is silent while nobody else could take its calls is waited for until its lease would have lapsed
as well: cut off, its calls would all come back to it at once, and make it later still.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from shared.bus.messages import LEASE_S

_SHORTEST_WAIT_S = 0.01
_NEVER_S = float("-inf")
_BY_OTHERS_PINGS = 4
_UNANSWERED_PINGS = 2
_LOOKS = 3
"""In a ping's time at a link that is quiet: we only know of our lateness by a look's."""


class Sign(StrEnum):
    """What a look at a link says; WAIT: it was asked, and may still answer."""

    ALIVE = "alive"
    ASK = "ask"
    WAIT = "wait"
    LOST = "lost"


def somebody() -> bool:
    """Say that another could take the calls, where nobody is to be waited for."""
    return True


def has_no_answer(now_s: float, *, heard_s: float, asked_s: float, ping_s: float) -> bool:
    """Whether somebody was asked and has said nothing for two pings' time."""
    return asked_s > heard_s and now_s - heard_s > _UNANSWERED_PINGS * ping_s


class Liveness:
    """One link's silence. `due_s` is when to look next; `heard_s` is set with each byte heard."""

    def __init__(self, ping_s: float, pong_s: float, now_s: float) -> None:
        self._ping_s = ping_s
        self._lost_after_s = ping_s + pong_s
        self._by_others_s = _BY_OTHERS_PINGS * ping_s
        self._excused_s = 0.0
        self._asked_s = _NEVER_S
        self._heard_before_s = now_s
        self.heard_s = now_s
        self.due_s = now_s + ping_s

    def on_look(
        self,
        now_s: float,
        *,
        is_reading: bool = True,
        elsewhere_s: float = _NEVER_S,
        asked_s: float = _NEVER_S,
        has_place_elsewhere: Callable[[], bool] = somebody,
    ) -> Sign:
        """Judge the link, and say in `due_s` when to look again.

        Args:
            now_s: monotonic; of the same clock as `heard_s`.
            is_reading: False while we ourselves leave the socket unread: then silence says nothing.
            elsewhere_s: when the other end was last heard on any link of its...
            asked_s: ...and asked.
            has_place_elsewhere: whether another could take the call; asked only of a link that is
                lost if so.
        """
        if not is_reading:
            self.heard_s = now_s
        heard_s = max(self.heard_s, min(elsewhere_s, self.heard_s + self._by_others_s))
        if heard_s > self._heard_before_s:
            self._heard_before_s, self._excused_s = heard_s, 0.0
        self._excused_s += max(0.0, now_s - max(self.due_s, heard_s))
        base_s = heard_s + self._excused_s
        lived_s = max(base_s, min(elsewhere_s, base_s + self._lost_after_s))
        lost_s = lived_s + self._lost_after_s
        last_s = max(lost_s, base_s + LEASE_S)
        is_waited_for = now_s >= lost_s
        if now_s >= last_s or (is_waited_for and has_place_elsewhere()):
            return Sign.LOST
        is_quiet = now_s - base_s >= self._ping_s
        until_s = last_s if is_waited_for else lost_s
        due_s = min(now_s + self._ping_s / _LOOKS, until_s) if is_quiet else base_s + self._ping_s
        self.due_s = max(due_s, now_s + _SHORTEST_WAIT_S)
        if not is_quiet:
            return Sign.ALIVE
        if now_s >= self.heard_s + self._by_others_s:
            asked_s = self._asked_s  # who answers elsewhere may be cut off here
        # What it was asked lies in its socket: more of it would be more to answer for a late one.
        every_s = self._by_others_s if is_waited_for else self._ping_s
        if now_s < max(asked_s, self._asked_s) + every_s:
            return Sign.WAIT
        self._asked_s = now_s
        return Sign.ASK
