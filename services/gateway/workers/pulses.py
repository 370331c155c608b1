"""When each worker was last heard, on any of its links here, and who could take its calls.

Links to one worker share what is known of it; a worker with no link here is not known of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from services.gateway.workers.liveness import has_no_answer
from shared.bus.messages import WorkerLease

_log = structlog.get_logger(__name__)
_NEVER_S = float("-inf")


class Elsewhere(Protocol):
    """The pool, as far as it is known without asking."""

    def take_place(self, may_be_at: Callable[[str], bool]) -> bool:
        """Whether a worker at such an address has a place; a yes is a place less for others."""
        ...


@dataclass(slots=True, weakref_slot=True)
class Pulse:
    """When a worker was last heard, and asked, on any of its links; shared by these.

    `told_s` is when the log was last told that it is waited for.
    """

    heard_s: float
    asked_s: float = _NEVER_S
    told_s: float = _NEVER_S


class Pulses:
    """The workers that there are links to, by address.

    Args:
        elsewhere: the pool; None where somebody is always taken to be there.
        ping_s: a worker that says nothing this long is asked.
        now_s: the time that pulses are told in.
    """

    def __init__(
        self, elsewhere: Elsewhere | None, ping_s: float, now_s: Callable[[], float]
    ) -> None:
        self._elsewhere = elsewhere
        self._ping_s = ping_s
        self._now_s = now_s
        self._pulses: WeakValueDictionary[str, Pulse] = WeakValueDictionary()

    def of(self, lease: WorkerLease) -> Pulse:
        """Return a worker's, for as long as a link holds it."""
        return self._pulses.setdefault(lease.address, Pulse(self._now_s()))

    def has_place_elsewhere(
        self, lease: WorkerLease, pulse: Pulse, refusing: Collection[str] = ()
    ) -> bool:
        """Whether another worker, that is not silent itself, can take a call of a silent one.

        Those at the addresses `refusing` have refused it already.
        """
        if self._elsewhere is None or self._elsewhere.take_place(
            lambda address: (
                address != lease.address and address not in refusing and self._answers(address)
            )
        ):
            return True
        if pulse.told_s < pulse.heard_s:
            pulse.told_s = self._now_s()
            quiet_s = round(pulse.told_s - pulse.heard_s, 2)
            _log.warning("worker_waited_for", worker_id=lease.worker_id, quiet_s=quiet_s)
        return False

    def _answers(self, address: str) -> bool:
        pulse = self._pulses.get(address)
        return pulse is None or not has_no_answer(
            self._now_s(), heard_s=pulse.heard_s, asked_s=pulse.asked_s, ping_s=self._ping_s
        )
