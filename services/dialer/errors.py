"""PURE. What can go wrong in the dialer, split by what the API's client can do.

DialerError
├── InvalidOrder      the order itself: mend it
├── UnknownCall       no such call
└── NotPlacedYet      Vobiz has not named the call yet, so it can't be hung up: ask again

VobizFailure (shared/vobiz) is answered with a problem too.
"""

from __future__ import annotations

from shared.protocol.call import CallId


class DialerError(Exception):
    """Anything the dialer answers with a problem."""


class InvalidOrder(DialerError):
    """A field of an order that can't be.

    Args:
        field: its name in the request.
        problem: what is wrong, in words.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class UnknownCall(DialerError):
    """There is no record of a call."""

    def __init__(self, call_id: CallId) -> None:
        super().__init__(call_id)
        self.call_id = call_id

    def __str__(self) -> str:
        return f"There is no call {self.call_id}, or it is older than the records kept."


class NotPlacedYet(DialerError):
    """A call that was asked for but that Vobiz has not named."""

    def __init__(self, call_id: CallId) -> None:
        super().__init__(call_id)
        self.call_id = call_id

    def __str__(self) -> str:
        return f"Vobiz has not confirmed call {self.call_id} yet; try again in a moment."
