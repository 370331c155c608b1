"""PURE. Trouble asked for: which requests meet it, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from services.simulator.calls.chance import chance_of

MAX_FAULTS = 100


class FaultAnswer(StrEnum):
    """What the asker sees of a request that meets trouble."""

    STATUS = "status"  # an error, at once
    NONE = "none"  # the connection is cut without a word
    LATE = "late"  # the true answer, late


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of a request.

    Args:
        status: of the error; for `STATUS`.
        operation: a request whose operation's name begins so; empty: every one.
        answer: what the asker sees.
        dials: whether Make Call dials before that; of no meaning for other requests.
        delay_s: how long an answer is kept, or a connection held before it is cut.
        limit: which limit a 429 names, cps or concurrency.
        retry_after_s: when a 429 says to come back.
    """

    status: int = 503
    operation: str = ""
    answer: FaultAnswer = FaultAnswer.STATUS
    dials: bool = False
    delay_s: float = 0.0
    limit: str = "cps"
    retry_after_s: int = 1


@dataclass(slots=True)
class _Injected:
    fault: Fault
    left: int | None
    is_hit: Callable[[int], bool]
    until_s: float
    seen: int = 0
    met: int = 0


class Faults:
    """The troubles of one account, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._injected: list[_Injected] = []

    def inject(self, fault: Fault, count: int = 1, *, until_s: float = float("inf")) -> None:
        """Give the next `count` matching requests this fault, until a time at the latest."""
        self._add(_Injected(fault, count, lambda _: True, until_s))

    def inject_share(
        self, fault: Fault, share: float, *, seed: int = 1, until_s: float = float("inf")
    ) -> None:
        """Give a share (0 to 1) of the matching requests this fault; the same ones for a seed."""
        self._add(_Injected(fault, None, lambda n: chance_of(seed, n) < share, until_s))

    def take(self, operation: str, now_s: float) -> Fault | None:
        """Return what becomes of this request, and use it up; None: nothing special."""
        self._injected = [each for each in self._injected if now_s < each.until_s]
        for each in self._injected:
            if not operation.startswith(each.fault.operation):
                continue
            each.seen += 1
            if not each.is_hit(each.seen):
                continue
            each.met += 1
            if each.left is not None:
                each.left -= 1
                if not each.left:
                    self._injected.remove(each)
            return each.fault
        return None

    def forget(self) -> None:
        """Let all requests be answered as they should be."""
        self._injected.clear()

    def to_json(self) -> list[dict[str, object]]:
        """Return what is still to come, and how often each was met."""
        return [
            {
                "operation": each.fault.operation,
                "answer": each.fault.answer.value,
                "status": each.fault.status if each.fault.answer is FaultAnswer.STATUS else None,
                "dials": each.fault.dials,
                "left": each.left,
                "seen": each.seen,
                "met": each.met,
            }
            for each in self._injected
        ]

    def _add(self, injected: _Injected) -> None:
        self._injected.append(injected)
        del self._injected[:-MAX_FAULTS]
