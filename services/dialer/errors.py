"""PURE. What can go wrong in the dialer, split by what the API's client can do.

DialerError
├── InvalidOrder      the order itself: mend it
├── UnknownCall       no such call
├── NotPlacedYet      Vobiz has not named the call yet, so nothing can be done to it: ask again
├── NotInProgress     nobody has answered it yet
├── CallOver          it is over
├── AtLimit           the account's calls per second or at once are used up: ask again later
├── DoNotCall         the number is on the do-not-call list
├── UnknownCampaign   no such campaign
├── CampaignStands    its state does not allow that
├── CampaignIncomplete  a list was not wholly added: send it again, or say that it may stay so
└── CampaignFull      it has as many rows as one may have

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


class NotInProgress(DialerError):
    """A call that nobody has answered yet."""

    def __init__(self, call_id: CallId) -> None:
        super().__init__(call_id)
        self.call_id = call_id

    def __str__(self) -> str:
        return f"Nobody has answered call {self.call_id} yet."


class CallOver(DialerError):
    """A call that is over."""

    def __init__(self, call_id: CallId) -> None:
        super().__init__(call_id)
        self.call_id = call_id

    def __str__(self) -> str:
        return f"Call {self.call_id} is over."


class AtLimit(DialerError):
    """No call may be dialled now.

    Args:
        why: what it waits for: rate, channels, held or no_agent.
        wait_s: when it is worth asking again.
    """

    def __init__(self, why: str, wait_s: float) -> None:
        super().__init__(why, wait_s)
        self.why = why
        self.wait_s = wait_s

    def __str__(self) -> str:
        return f"{_AT_LIMIT.get(self.why, 'No call may be placed now')}; nothing was dialled."


_AT_LIMIT = {
    "rate": "The account's calls per second are used up",
    "channels": "The account's calls at once are used up",
    "held": "Vobiz has asked to wait",
    "no_agent": "No agent is free",
}


class DoNotCall(DialerError):
    """A number that is not to be called."""

    def __str__(self) -> str:
        return "This number is on the do-not-call list."


class UnknownCampaign(DialerError):
    """There is no such campaign."""

    def __init__(self, campaign_id: str) -> None:
        super().__init__(campaign_id)
        self.campaign_id = campaign_id

    def __str__(self) -> str:
        return f"There is no campaign {self.campaign_id}."


class CampaignStands(DialerError):
    """A campaign whose state does not allow what is asked.

    Args:
        campaign_id: whose.
        verb: what was asked: start, pause, resume, cancel, patch, add_rows or remove.
        state: as it is.
    """

    def __init__(self, campaign_id: str, verb: str, state: str) -> None:
        super().__init__(campaign_id, verb, state)
        self.campaign_id = campaign_id
        self.verb = verb
        self.state = state

    def __str__(self) -> str:
        verb = self.verb.replace("_", " ")
        return f"Campaign {self.campaign_id} is {self.state}: there is no way to {verb} it."


class CampaignIncomplete(DialerError):
    """A campaign that lacks rows of a list that was to be added.

    Args:
        campaign_id: whose.
        missing: how many.
        rows: how many the list has.
        is_being_added: somebody is adding them now.
    """

    def __init__(self, campaign_id: str, missing: int, rows: int, is_being_added: bool) -> None:
        super().__init__(campaign_id, missing, rows, is_being_added)
        self.campaign_id = campaign_id
        self.missing = missing
        self.rows = rows
        self.is_being_added = is_being_added

    def __str__(self) -> str:
        lacks = f"Campaign {self.campaign_id} lacks {self.missing} of {self.rows} rows of a list"
        if self.is_being_added:
            return f"{lacks}: they are being added just now."
        return f"{lacks}: send the list again, or accept that they are missing."


class CampaignFull(DialerError):
    """A campaign that would have too many rows."""

    def __init__(self, campaign_id: str, rows_max: int) -> None:
        super().__init__(campaign_id, rows_max)
        self.campaign_id = campaign_id
        self.rows_max = rows_max

    def __str__(self) -> str:
        return f"A campaign has at most {self.rows_max} rows."
