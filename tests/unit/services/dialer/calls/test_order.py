"""Orders to dial, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dialer.calls.machine import MachineDetection, MachineRule
from services.dialer.calls.order import (
    CallLimits,
    CallOrder,
    GatewayAddress,
    check_order,
    lost_change,
    make_call_body,
    queued_change,
    refused_change,
)
from services.dialer.errors import InvalidOrder
from shared.protocol.call import CallId, CallState, EndReason, merge_change
from shared.vobiz.errors import Verdict

TO, FROM = "+918000000002", "+918000000001"
CALL = CallId("call-1")


def order(
    to: str = TO,
    caller: str | None = FROM,
    agent: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> CallOrder:
    return check_order(to=to, caller=caller, agent=agent, metadata=metadata)


@pytest.mark.parametrize(
    "text", ["+918000000002", "+91 80000 00002", "+91-80000-00002", "+91 (80000) 00002"]
)
def test_numbers_are_written_as_e164(text: str) -> None:
    assert order(text).to_number == TO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "918000000002",
        "08000000002",
        "+",
        "+1234",
        "+0123456789",
        "+999123456789",
        "+910000000000",
        "+91800000000x",
        "+91800000０002",
        "+918000000002<+918000000003",
        "sip:agent@example.com",
        "+" + "9" * 16,
    ],
)
def test_what_is_no_international_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidOrder, match="to: "):
        order(text)


def test_an_order_without_a_caller_is_refused() -> None:
    with pytest.raises(InvalidOrder, match="FROM_NUMBER"):
        order(caller=None)


def test_a_bad_caller_is_named_as_from() -> None:
    with pytest.raises(InvalidOrder) as caught:
        order(caller="123")
    assert caught.value.field == "from"


@pytest.mark.parametrize("agent", ["a b", "x" * 65, "../x", "é"])
def test_agents_names_are_words(agent: str) -> None:
    with pytest.raises(InvalidOrder, match="agent"):
        order(agent=agent)
    assert order(agent="front-desk.v2").agent == "front-desk.v2"


@pytest.mark.parametrize(
    "metadata",
    [
        {str(n): "" for n in range(33)},
        {"": "x"},
        {"k" * 65: "x"},
        {"k": "v" * 513},
        {"k": "\ud800"},
    ],
    ids=range(5),
)
def test_metadata_is_bounded(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidOrder, match="metadata"):
        order(metadata=metadata)


@given(st.text(), st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_order_is_sound_or_refused(
    to: str, caller: str, agent: str, metadata: dict[str, str]
) -> None:
    try:
        sound = order(to, caller, agent, metadata)
    except InvalidOrder:
        return
    assert sound.to_number.startswith("+")


def test_the_request_to_vobiz_names_our_webhooks_with_our_id() -> None:
    gateway = GatewayAddress("https://voice.example.com", "s3cr3t-s3cr3t-s3cr3t")
    body = make_call_body(order(agent="desk"), CALL, gateway, CallLimits(45, 600))
    assert (body["from"], body["to"]) == (FROM, TO)
    assert (body["ring_timeout"], body["time_limit"]) == (45, 600)
    for name in ("answer", "ring", "hangup", "fallback"):
        parts = urlsplit(str(body[f"{name}_url"]))
        assert parts.netloc == "voice.example.com"
        assert parts.path == f"/s3cr3t-s3cr3t-s3cr3t/{name}"
        assert parse_qs(parts.query) == {"c": [CALL], "agent": ["desk"]}
        assert body[f"{name}_method"] == "POST"


def test_without_a_secret_agent_or_limits_the_request_has_none() -> None:
    body = make_call_body(order(), CALL, GatewayAddress("http://127.0.0.1:5000"), CallLimits())
    assert body["answer_url"] == "http://127.0.0.1:5000/answer?c=call-1"
    assert len(body) == 10


@pytest.mark.parametrize(
    ("detection", "text"), [(MachineDetection.DETECT, "true"), (MachineDetection.HANGUP, "hangup")]
)
def test_machines_are_listened_for_beside_the_call(detection: MachineDetection, text: str) -> None:
    rule = MachineRule(detection)
    wanted = check_order(to=TO, caller=FROM, agent=None, metadata=None, machine_detection=rule)
    body = make_call_body(wanted, CALL, GatewayAddress("http://127.0.0.1:5000"), CallLimits())
    assert body["machine_detection"] == text
    assert body["machine_detection_url"] == "http://127.0.0.1:5000/machine-detection?c=call-1"
    assert body["machine_detection_method"] == "POST"


def test_nobody_listens_for_machines_unasked() -> None:
    body = make_call_body(order(), CALL, GatewayAddress("http://127.0.0.1:5000"), CallLimits())
    assert not any(name.startswith("machine_detection") for name in body)


def test_a_queued_record_holds_the_order() -> None:
    change = queued_change(order(agent="desk", metadata={"lead": "42"}), CALL)
    record, is_new, _ = merge_change(None, change, now_iso="2026-11-01T00:00:00.000+00:00")
    assert is_new
    assert (record.state, record.direction) == (CallState.QUEUED, "outbound")
    assert (record.from_number, record.to_number) == (FROM, TO)
    assert (record.agent, record.metadata) == ("desk", {"lead": "42"})


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.ACCEPTED])
def test_a_refused_call_fails_unless_the_phone_may_be_ringing(verdict: Verdict) -> None:
    change = refused_change(CALL, verdict, "why")
    assert change.state is (None if verdict.may_have_dialled else CallState.FAILED)
    assert change.fields["error"] == "why"


def test_reasons_of_refusals_can_be_told_apart() -> None:
    def reason(verdict: Verdict) -> object:
        return refused_change(CALL, verdict, "").fields["end_reason"]

    assert reason(Verdict.NO_BALANCE) is EndReason.OUT_OF_CREDIT
    assert reason(Verdict.RATE_LIMITED) is EndReason.RATE_LIMITED
    assert reason(Verdict.INVALID) is EndReason.INVALID_NUMBER
    assert reason(Verdict.FORBIDDEN) is EndReason.BARRED
    assert reason(Verdict.NOT_CONFIGURED) is EndReason.UNKNOWN


def test_a_call_without_news_ends_for_an_unknown_reason() -> None:
    change = lost_change(CALL)
    assert (change.state, change.fields["end_reason"]) == (CallState.FAILED, EndReason.UNKNOWN)


@pytest.mark.parametrize(
    "variables",
    [
        {f"n{n}": "" for n in range(51)},
        {"": "x"},
        {"n" * 65: "x"},
        {"x": "y" * 513},
        {"x": "\ud800"},
        {f"n{n}": "☎" * 100 for n in range(6)},
    ],
)
def test_variables_that_a_worker_could_not_be_told_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_order(to=TO, caller=FROM, agent=None, metadata=None, variables=variables)
    assert caught.value.field == "variables"


def test_what_an_order_says_of_times_goes_before_the_installations() -> None:
    wanted = check_order(
        to=TO, caller=FROM, agent=None, metadata=None, ring_timeout_s=20, variables={"a.b-c": "d"}
    )
    limits = CallLimits(ring_timeout_s=60, time_limit_s=900)
    body = make_call_body(wanted, CallId("call-1"), GatewayAddress("http://127.0.0.1:5000"), limits)
    assert (body["ring_timeout"], body["time_limit"]) == (20, 900)
    assert queued_change(wanted, CallId("call-1")).fields["variables"] == {"a.b-c": "d"}


@pytest.mark.parametrize(
    ("field", "times"),
    [
        ("ring_timeout_s", {"ring_timeout_s": 4}),
        ("ring_timeout_s", {"ring_timeout_s": 601}),
        ("time_limit_s", {"time_limit_s": 9}),
        ("time_limit_s", {"time_limit_s": 86_401}),
    ],
)
def test_times_are_bounded(field: str, times: dict[str, int]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_order(to=TO, caller=FROM, agent=None, metadata=None, **times)  # type: ignore[arg-type] # each is one of these
    assert caught.value.field == field
