"""What the work in hand is about: a call, and the span of its trace that all of it belongs to.

Set where an event of a call comes in; every task that is started there inherits it. Read by the
logs, which put the call's id on each line, and by whoever makes spans or exemplars.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType

from shared.protocol.trace import SpanPlace


@dataclass(frozen=True, slots=True)
class Concern:
    """A call, and a span of its trace; no span where nothing is traced."""

    call_id: str
    span: SpanPlace | None = None


_present: ContextVar[Concern | None] = ContextVar("concern", default=None)


def present() -> Concern | None:
    """Return what the work in hand is about, None when it is about no call."""
    return _present.get()


def turn_to(concern: Concern | None) -> Token[Concern | None]:
    """Be about something else for the rest of this task, or until `turn_back`."""
    return _present.set(concern)


def turn_back(token: Token[Concern | None]) -> None:
    """Be about what it was before `turn_to`; in the same task."""
    _present.reset(token)


class About:
    """A block about one call. Not to be used around a `yield`: who reads would be about it too."""

    def __init__(self, concern: Concern | None) -> None:
        self._concern = concern

    def __enter__(self) -> None:
        self._token = turn_to(self._concern)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        turn_back(self._token)
