"""What goes wrong within one call: it ends this call, at most, and no other.

An exception that nobody expected ends the call, wherever it comes up; a provider that fails does
not, as there are others. Either way it is known afterwards what the last of it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from types import TracebackType

from structlog.stdlib import BoundLogger

from services.agent.call.account import Account
from services.agent.call.trace import CallTrace
from shared.metrics.catalogue import AgentMetrics
from shared.runtime.concern import Concern, turn_back, turn_to


class Guard:
    """The top of a call: to be entered wherever something of the call's own is done.

    What happens within is about the call, and so are the tasks that are started there.

    Args:
        account: of the call.
        trace: of the call.
        metrics: the worker's.
        log: the call's.
        on_crash: gives the call up; called for each exception.

    Attributes:
        why: what went wrong last, in a few words.
    """

    def __init__(
        self,
        account: Account,
        trace: CallTrace,
        metrics: AgentMetrics,
        log: BoundLogger,
        *,
        on_crash: Callable[[], None],
    ) -> None:
        self.why = ""
        self._account = account
        self._trace = trace
        self._metrics = metrics
        self._log = log
        self._on_crash = on_crash
        self._tokens: list[Token[Concern | None]] = []

    def __enter__(self) -> None:
        # Some thirty times a second of every call: nothing that could be spared.
        self._tokens.append(turn_to(self._trace.concern))

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            turn_back(self._tokens.pop())
            return False
        try:
            if not isinstance(error, Exception):
                return False
            self.on_bug(error)
            return True
        finally:
            turn_back(self._tokens.pop())

    def on_bug(self, error: Exception) -> None:
        """Something was done for the call and broke."""
        self._log.error("call_crashed", exc_info=error)
        self.why = type(error).__name__
        self.crash()

    def on_task_failed(self, name: str, error: BaseException) -> None:
        """A task of the call broke; its owner has logged it."""
        self.why = f"{type(error).__name__} in {name.rpartition('/')[2]}"
        self.crash()

    def crash(self) -> None:
        """Give the call up; the caller gets the gateway's fallback."""
        self._metrics.ended_by_bug.inc()
        self._on_crash()

    def on_part_failed(self, kind: str, error: Exception | None = None) -> None:
        """The ears, the brain or the voice broke, every provider of theirs."""
        self._account.on_part_failed(kind)
        self.why = f"{kind}: {error}" if error else kind
        self._log.warning("part_failed", kind=kind, error=str(error) if error else None)
