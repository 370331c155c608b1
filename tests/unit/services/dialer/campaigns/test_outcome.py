"""What a call's record says of a try."""

from __future__ import annotations

import pytest

from services.dialer.campaigns.outcome import Outcome, is_answered, outcome_of
from shared.protocol import causes
from shared.protocol.call import CallId, CallRecord, CallState, Direction, EndClass, EndReason

S, C, R = CallState, EndClass, EndReason
ANSWERED_AT = "2026-11-26T10:00:00+00:00"


def record(state: CallState, end_class: EndClass, reason: EndReason, **more: object) -> CallRecord:
    return CallRecord(
        CallId("c"),
        state,
        Direction.OUTBOUND,
        end_class=end_class,
        end_reason=reason,
        **more,  # type: ignore[arg-type] # of mixed kinds
    )


@pytest.mark.parametrize(
    ("state", "end_class", "reason", "outcome"),
    [
        (S.BUSY, C.CALLER, R.BUSY, Outcome.BUSY),
        (S.NO_ANSWER, C.CALLER, R.NO_ANSWER, Outcome.NO_ANSWER),
        (S.TIMEOUT, C.CALLER, R.NO_ANSWER, Outcome.NO_ANSWER),
        (S.FAILED, C.CALLER, R.REJECTED, Outcome.REJECTED),
        (S.FAILED, C.CALLER, R.INVALID_NUMBER, Outcome.INVALID_NUMBER),
        (S.FAILED, C.PLATFORM, R.BARRED, Outcome.REFUSED),
        (S.CANCEL, C.CALLER, R.CANCELLED, Outcome.CANCELLED),
        (S.COMPLETED, C.SUCCESS, R.API_HUNG_UP, Outcome.CANCELLED),
        (S.FAILED, C.PROVIDER, R.CARRIER_FAILED, Outcome.FAILED),
        (S.FAILED, C.PROVIDER, R.PROVIDER_FAILED, Outcome.FAILED),
        (S.FAILED, C.PLATFORM, R.OUT_OF_CREDIT, Outcome.FAILED),
        (S.FAILED, C.PLATFORM, R.RATE_LIMITED, Outcome.FAILED),
        (S.FAILED, C.UNKNOWN, R.UNKNOWN, Outcome.UNKNOWN),
        (S.TIMEOUT, C.UNKNOWN, R.UNKNOWN, Outcome.NO_ANSWER),
        (S.CANCEL, C.UNKNOWN, R.UNKNOWN, Outcome.CANCELLED),
        # These ends belong to calls that were talking, whatever else the record says.
        (S.COMPLETED, C.SUCCESS, R.CALLER_HUNG_UP, Outcome.ANSWERED),
        (S.COMPLETED, C.SUCCESS, R.AGENT_HUNG_UP, Outcome.ANSWERED),
        (S.COMPLETED, C.SUCCESS, R.UNKNOWN, Outcome.ANSWERED),
        (S.COMPLETED, C.SUCCESS, R.TIME_LIMIT, Outcome.ANSWERED),
        (S.COMPLETED, C.SUCCESS, R.TRANSFERRED, Outcome.ANSWERED),
        (S.FAILED, C.PLATFORM, R.ANSWER_FAILED, Outcome.ANSWERED_THEN_FAILED),
        (S.FAILED, C.PLATFORM, R.POOL_FULL, Outcome.ANSWERED_THEN_FAILED),
        (S.FAILED, C.PLATFORM, R.AGENT_FAILED, Outcome.ANSWERED_THEN_FAILED),
        (S.COMPLETED, C.PROVIDER, R.CARRIER_LOST, Outcome.ANSWERED_THEN_FAILED),
        (S.COMPLETED, C.CALLER, R.MACHINE, Outcome.MACHINE),
    ],
)
def test_an_end_without_news_of_an_answer(
    state: CallState, end_class: EndClass, reason: EndReason, outcome: Outcome
) -> None:
    assert outcome_of(record(state, end_class, reason)) is outcome


def test_what_was_answered_counts_as_answered_whatever_its_end() -> None:
    """A retry after an answer calls a person twice: any sign of one decides."""
    for reason in EndReason:
        for sign in ({"answered_at": ANSWERED_AT}, {"duration_s": 3.0}):
            told = record(S.FAILED, C.UNKNOWN, reason, **sign)
            expected = Outcome.MACHINE if reason is R.MACHINE else Outcome.ANSWERED
            assert outcome_of(told) is expected, reason


def test_an_answered_call_that_we_or_vobiz_failed_is_told_apart() -> None:
    for blame in (C.PLATFORM, C.PROVIDER):
        told = record(S.COMPLETED, blame, R.UNKNOWN, answered_at=ANSWERED_AT)
        assert outcome_of(told) is Outcome.ANSWERED_THEN_FAILED


def test_vobiz_verdict_on_machines_is_heeded() -> None:
    more = {"answered_at": ANSWERED_AT}
    for verdict, outcome in (("true", Outcome.MACHINE), ("false", Outcome.ANSWERED)):
        told = record(
            S.COMPLETED, C.SUCCESS, R.CALLER_HUNG_UP, metadata={"machine": verdict}, **more
        )
        assert outcome_of(told) is outcome


def test_a_call_in_progress_is_answered() -> None:
    assert is_answered(CallRecord(CallId("c"), S.IN_PROGRESS))
    assert not is_answered(CallRecord(CallId("c"), S.RINGING))


def test_every_end_that_vobiz_can_tell_of_has_an_outcome() -> None:
    ends = {*causes.BY_CODE.values(), *causes.BY_CAUSE.values(), *causes.BY_STATUS.values()}
    unknown = {end for end in ends if outcome_of(record(*end)) is Outcome.UNKNOWN}
    assert unknown == {causes.UNKNOWN}
