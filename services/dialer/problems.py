"""PURE. Every failure as application/problem+json (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.dialer.errors import DialerError, InvalidOrder, NotPlacedYet, UnknownCall
from shared.vobiz.errors import Verdict, VobizFailure

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document.

    `kind` names the problem for programs: the last part of its `type`. `extra` are further
    members; `retry_after_s` also goes out as a header.
    """

    status: int
    kind: str
    title: str
    detail: str = ""
    retry_after_s: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the document's members."""
        body: dict[str, Any] = {
            "type": f"urn:parley:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.retry_after_s is not None:
            body["retry_after_s"] = self.retry_after_s
        return body | self.extra


def problem_of(error: DialerError | VobizFailure) -> Problem:
    """Return the problem an error is answered with."""
    if isinstance(error, InvalidOrder):
        return Problem(
            422, "invalid-order", "The order is not sound", str(error), extra={"field": error.field}
        )
    if isinstance(error, UnknownCall):
        return Problem(404, "unknown-call", "No such call", str(error))
    if isinstance(error, NotPlacedYet):
        return Problem(409, "not-placed-yet", "The call can't be hung up yet", str(error))
    assert isinstance(error, VobizFailure)
    status, kind, title = _VOBIZ[error.verdict]
    extra: dict[str, Any] = {"verdict": error.verdict.value}
    if error.call_id is not None:
        extra["call_id"] = error.call_id
    if error.status is not None:
        extra["vobiz_status"] = error.status
    return Problem(status, kind, title, str(error), error.retry_after_s, extra)


def bus_problem() -> Problem:
    """Return the answer while records can't be written or read."""
    return Problem(
        503,
        "records-unavailable",
        "The calls' records can't be reached",
        "Redis does not answer. Nothing was dialled or hung up.",
        retry_after_s=1,
    )


_VOBIZ = {
    Verdict.INVALID: (400, "vobiz-invalid", "Vobiz refused the request"),
    Verdict.UNAUTHORIZED: (502, "vobiz-unauthorized", "Vobiz refused our credentials"),
    Verdict.NO_BALANCE: (402, "vobiz-no-balance", "The Vobiz account is empty"),
    Verdict.FORBIDDEN: (403, "vobiz-forbidden", "The Vobiz account may not do this"),
    Verdict.NOT_FOUND: (502, "vobiz-not-found", "Vobiz does not know the account or address"),
    Verdict.RATE_LIMITED: (429, "vobiz-rate-limited", "The Vobiz account is at its limit"),
    Verdict.PLATFORM_ERROR: (502, "vobiz-error", "Vobiz failed"),
    Verdict.UNEXPECTED: (502, "vobiz-unexpected", "Vobiz answered strangely"),
    Verdict.UNREACHABLE: (503, "vobiz-unreachable", "Vobiz can't be reached"),
    Verdict.OUTCOME_UNKNOWN: (504, "outcome-unknown", "Vobiz's answer was lost"),
    Verdict.NOT_CONFIGURED: (503, "vobiz-not-configured", "No Vobiz account is set up"),
    Verdict.ACCEPTED: (500, "vobiz-accepted", "Accepted"),
}
