"""PURE. What a request to Vobiz can come down to.

VobizFailure      Vobiz did not do it; its verdict says why, and whether it may have
"""

from __future__ import annotations

from enum import StrEnum

from shared.protocol.call import CallId


class Verdict(StrEnum):
    """What came of a request to Vobiz; labels a metric."""

    ACCEPTED = "accepted"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    NO_BALANCE = "no_balance"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    PLATFORM_ERROR = "platform_error"
    UNEXPECTED = "unexpected"
    UNREACHABLE = "unreachable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NOT_CONFIGURED = "not_configured"

    @property
    def may_have_dialled(self) -> bool:
        """Whether a phone may be ringing in spite of the failure. Then nothing is redialled."""
        return self in {Verdict.ACCEPTED, Verdict.OUTCOME_UNKNOWN, Verdict.PLATFORM_ERROR}


class VobizFailure(Exception):
    """Vobiz did not say yes.

    Args:
        verdict: what it comes down to.
        status: the HTTP status, None when there was no answer.
        message: Vobiz's own words, or what happened to the connection; one line, may be empty.
        retry_after_s: how long Vobiz asks to wait.
        call_id: the call it was about, once there is one.
    """

    def __init__(
        self,
        verdict: Verdict,
        *,
        status: int | None = None,
        message: str = "",
        retry_after_s: int | None = None,
        call_id: CallId | None = None,
    ) -> None:
        super().__init__(verdict, status, message)
        self.verdict = verdict
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.call_id = call_id

    def __str__(self) -> str:
        said = f" (Vobiz: {self.message})" if self.message else ""
        return f"{ADVICE[self.verdict]}{said}"


ADVICE = {
    Verdict.ACCEPTED: "The call was accepted.",
    Verdict.INVALID: "Vobiz refused the request: the number can't be dialled, the caller number "
    "is not yours, or the gateway's URL is not public.",
    Verdict.UNAUTHORIZED: "Vobiz does not accept our credentials: check VOBIZ_AUTH_ID, "
    "VOBIZ_AUTH_TOKEN and VOBIZ_API_BASE.",
    Verdict.NO_BALANCE: "The Vobiz account has no balance left: top it up.",
    Verdict.FORBIDDEN: "The Vobiz account may not do this: it is inactive, blocked or not "
    "verified.",
    Verdict.NOT_FOUND: "Vobiz knows no such account or address: check VOBIZ_AUTH_ID and "
    "VOBIZ_API_BASE.",
    Verdict.RATE_LIMITED: "The Vobiz account is at its limit of calls per second or at once: "
    "wait, then try again.",
    Verdict.PLATFORM_ERROR: "Vobiz failed while it handled the request. It may have dialled all "
    "the same: look at the call before you try again.",
    Verdict.UNEXPECTED: "Vobiz answered in a way we don't know; nothing was dialled as far as we "
    "can tell.",
    Verdict.UNREACHABLE: "Vobiz could not be reached, so nothing was dialled: check the network "
    "and VOBIZ_API_BASE.",
    Verdict.OUTCOME_UNKNOWN: "Vobiz's answer was lost, so the phone may be ringing. Nothing is "
    "redialled: look at the call before you try again.",
    Verdict.NOT_CONFIGURED: "There is no Vobiz account: set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN.",
}
