"""PURE. Every failure as application/problem+json (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.dialer.errors import (
    AtLimit,
    CallOver,
    CampaignFull,
    CampaignIncomplete,
    CampaignStands,
    DialerError,
    DoNotCall,
    InvalidOrder,
    NotInProgress,
    NotPlacedYet,
    UnknownCall,
    UnknownCampaign,
)
from shared.vobiz.errors import Verdict, VobizFailure

MEDIA_TYPE = "application/problem+json"

KINDS: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "A valid key is needed"),
    "missing-scope": (403, "The key may not do this"),
    "too-many-requests": (429, "The key is used too often"),
    "invalid-request": (422, "The request can't be used"),
    "not-json": (415, "The body must be application/json"),
    "too-large": (413, "The body is too large"),
    "too-slow": (408, "The body did not arrive in time"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This can't be done here"),
    "internal": (500, "The dialer failed"),
    "draining": (503, "The dialer is stopping"),
    "records-unavailable": (503, "The records can't be reached"),
    "invalid-order": (422, "The order is not sound"),
    "unknown-call": (404, "No such call"),
    "not-placed-yet": (409, "Vobiz has not confirmed the call yet"),
    "call-over": (409, "The call is over"),
    "not-in-progress": (409, "The call is not answered yet"),
    "do-not-call": (409, "The number is not to be called"),
    "at-limit": (429, "The account's own limits are reached"),
    "key-in-use": (409, "A request with this Idempotency-Key is under way"),
    "key-used-otherwise": (409, "The Idempotency-Key belongs to another request"),
    "too-many-followers": (503, "Too many follow events"),
    "unknown-key": (404, "No such key"),
    "too-many-keys": (409, "There are too many keys"),
    "not-a-list": (415, "The body must be application/json or text/csv"),
    "bad-table": (422, "The text can't be read as a table"),
    "bad-rows": (422, "The list has bad rows"),
    "too-many-rows": (413, "The list has too many rows"),
    "upload-broken": (400, "The upload broke off"),
    "too-many-uploads": (503, "Others upload just now"),
    "unknown-campaign": (404, "No such campaign"),
    "unknown-row": (404, "No such row"),
    "unknown-number": (404, "The number is not on the list"),
    "campaign-state": (409, "The campaign's state does not allow this"),
    "campaign-incomplete": (409, "A list of the campaign was not wholly added"),
    "campaign-full": (409, "The campaign has as many rows as one may have"),
    "vobiz-invalid": (400, "Vobiz refused the request"),
    "vobiz-unauthorized": (502, "Vobiz refused our credentials"),
    "vobiz-no-balance": (402, "The Vobiz account is empty"),
    "vobiz-forbidden": (403, "The Vobiz account may not do this"),
    "vobiz-not-found": (502, "Vobiz does not know the account or address"),
    "vobiz-rate-limited": (429, "The Vobiz account is at its limit"),
    "vobiz-error": (502, "Vobiz failed"),
    "vobiz-unexpected": (502, "Vobiz answered strangely"),
    "vobiz-unreachable": (503, "Vobiz can't be reached"),
    "outcome-unknown": (504, "Vobiz's answer was lost"),
    "vobiz-not-configured": (503, "No Vobiz account is set up"),
    "vobiz-accepted": (500, "Accepted"),
}
"""Every kind of problem, with its status and title; the documents of the API are made of it."""


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

    @classmethod
    def of(
        cls,
        kind: str,
        detail: str = "",
        *,
        retry_after_s: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Problem:
        """Return a problem with the status and title of its kind.

        Raises:
            KeyError: there is no such kind.
        """
        status, title = KINDS[kind]
        return cls(status, kind, title, detail, retry_after_s, dict(extra or {}))

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


class Refused(Exception):
    """A request that is turned away; says how, and holds nothing of what it carried."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.kind)
        self.problem = problem
        self.headers = dict(headers or {})


def problem_of(error: DialerError | VobizFailure) -> Problem:
    """Return the problem an error is answered with."""
    if isinstance(error, InvalidOrder):
        return Problem.of("invalid-order", str(error), extra={"field": error.field})
    if isinstance(error, UnknownCall):
        return Problem.of("unknown-call", str(error))
    if isinstance(error, NotPlacedYet):
        return Problem.of("not-placed-yet", str(error))
    if isinstance(error, UnknownCampaign):
        return Problem.of("unknown-campaign", str(error))
    if isinstance(error, CampaignStands):
        return Problem.of("campaign-state", str(error), extra={"state": error.state})
    if isinstance(error, CampaignIncomplete):
        lacks = {"missing": error.missing, "rows": error.rows}
        extra = lacks | {"is_being_added": error.is_being_added}
        return Problem.of("campaign-incomplete", str(error), extra=extra)
    if isinstance(error, CampaignFull):
        return Problem.of("campaign-full", str(error))
    if isinstance(error, NotInProgress):
        return Problem.of("not-in-progress", str(error))
    if isinstance(error, CallOver):
        return Problem.of("call-over", str(error))
    if isinstance(error, DoNotCall):
        return Problem.of("do-not-call", str(error))
    if isinstance(error, AtLimit):
        wait_s = max(1, math.ceil(error.wait_s))
        return Problem.of("at-limit", str(error), retry_after_s=wait_s, extra={"why": error.why})
    assert isinstance(error, VobizFailure)
    return _vobiz_problem(error)


def _vobiz_problem(error: VobizFailure) -> Problem:
    extra: dict[str, Any] = {"verdict": error.verdict.value}
    if error.call_id is not None:
        extra["call_id"] = error.call_id
    if error.status is not None:
        extra["vobiz_status"] = error.status
    return Problem.of(
        _VOBIZ[error.verdict], str(error), retry_after_s=error.retry_after_s, extra=extra
    )


def bus_problem() -> Problem:
    """Return the answer while records can't be written or read."""
    return Problem.of(
        "records-unavailable",
        "Redis does not answer. Nothing was dialled or hung up.",
        retry_after_s=1,
    )


_VOBIZ = {
    Verdict.INVALID: "vobiz-invalid",
    Verdict.UNAUTHORIZED: "vobiz-unauthorized",
    Verdict.NO_BALANCE: "vobiz-no-balance",
    Verdict.FORBIDDEN: "vobiz-forbidden",
    Verdict.NOT_FOUND: "vobiz-not-found",
    Verdict.RATE_LIMITED: "vobiz-rate-limited",
    Verdict.PLATFORM_ERROR: "vobiz-error",
    Verdict.UNEXPECTED: "vobiz-unexpected",
    Verdict.UNREACHABLE: "vobiz-unreachable",
    Verdict.OUTCOME_UNKNOWN: "outcome-unknown",
    Verdict.NOT_CONFIGURED: "vobiz-not-configured",
    Verdict.ACCEPTED: "vobiz-accepted",
}

VOBIZ_PROBLEMS = tuple(_VOBIZ[verdict] for verdict in Verdict if verdict is not Verdict.ACCEPTED)
"""The kinds that any request to Vobiz can come down to."""
