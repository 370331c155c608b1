"""Webhooks: documented and captured forms, odd ones, and how calls end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import causes
from shared.protocol.call import CallId, CallState, Direction, EndClass, EndReason
from shared.protocol.errors import MalformedWebhook
from shared.protocol.webhook import Webhook, call_end, normalize_number, parse_webhook

CALL = CallId("0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4")
ANSWER = {
    "Event": "StartApp",
    "CallUUID": CALL,
    "RequestUUID": CALL,
    "ALegUUID": CALL,
    "From": "918000000001",
    "To": "918000000002",
    "CallerName": "",
    "Direction": "outbound",
    "CallStatus": "in-progress",
    "SessionStart": "2026-10-02 06:11:40.218331",
    "STIRAttestation": "Not Applicable",
    "ParentAuthID": "MA_EXAMPLE1",
    "BillRate": "0.00000",
    "X-PH-lead": "42",
}
HANGUP = {
    "Event": "Hangup",
    "CallUUID": CALL,
    "CallStatus": "completed",
    "Direction": "outbound",
    "HangupCause": "NORMAL_CLEARING",
    "HangupCauseCode": "4000",
    "HangupCauseName": "Normal Hangup",
    "HangupSource": "Callee",
    "Duration": "4",
    "BillDuration": "60",
}


def test_an_answer_webhook_is_read() -> None:
    webhook = parse_webhook(ANSWER)
    assert (webhook.event, webhook.call_uuid, webhook.request_uuid) == ("StartApp", CALL, CALL)
    assert (webhook.from_number, webhook.to_number) == ("+918000000001", "+918000000002")
    assert webhook.direction is Direction.OUTBOUND
    assert webhook.call_status is CallState.IN_PROGRESS
    assert webhook.fields["X-PH-lead"] == "42"
    assert (webhook.duration_s, webhook.machine) == (None, None)


def test_an_inbound_answer_webhook_says_ringing() -> None:
    webhook = parse_webhook({**ANSWER, "Direction": "inbound", "CallStatus": "ringing"})
    assert webhook.direction is Direction.INBOUND
    assert webhook.call_status is CallState.RINGING


def test_a_hangup_webhook_is_read() -> None:
    webhook = parse_webhook(HANGUP)
    assert (webhook.hangup_cause, webhook.hangup_cause_code) == ("NORMAL_CLEARING", "4000")
    assert (webhook.hangup_source, webhook.duration_s) == ("Callee", 4.0)


def test_a_stream_status_webhook_is_read() -> None:
    webhook = parse_webhook(
        {
            "Event": "PlayedStream",
            "CallUUID": CALL,
            "StreamID": "s1",
            "Name": "turn-3",
            "Error": "connection degraded",
        }
    )
    assert (webhook.stream_id, webhook.name) == ("s1", "turn-3")
    assert webhook.error == "connection degraded"


@pytest.mark.parametrize(
    ("text", "machine"), [("true", True), ("False", False), ("", None), ("maybe", None)]
)
def test_machine_detection_is_a_claim_or_nothing(text: str, machine: bool | None) -> None:
    fields = {"Event": "MachineDetection", "CallUUID": CALL, "Machine": text}
    assert parse_webhook(fields).machine is machine


def test_fields_are_found_in_any_case_and_with_underscores() -> None:
    webhook = parse_webhook({"event": "Hangup", "call_uuid": CALL, "hangup_cause_code": "3010"})
    assert (webhook.event, webhook.call_uuid) == ("Hangup", CALL)
    assert webhook.hangup_cause_code == "3010"


def test_the_documented_name_wins_over_a_look_alike() -> None:
    assert parse_webhook({"call_uuid": "other", "CallUUID": CALL}).call_uuid == CALL


def test_the_request_uuid_stands_in_for_a_missing_call_uuid() -> None:
    assert parse_webhook({"Event": "Ring", "RequestUUID": CALL}).call_uuid == CALL


def test_a_webhook_without_event_is_left_to_the_url() -> None:
    assert parse_webhook({"CallUUID": CALL}).event == ""


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("canceled", CallState.CANCEL),
        ("cancel", CallState.CANCEL),
        ("No-Answer", CallState.NO_ANSWER),
        ("IN_PROGRESS", CallState.IN_PROGRESS),
        ("answered-ish", None),
        ("", None),
    ],
)
def test_statuses_are_read_loosely(text: str, state: CallState | None) -> None:
    assert parse_webhook({"CallUUID": CALL, "CallStatus": text}).call_status is state


@pytest.mark.parametrize("text", ["", "-1", "nan", "1e9", "inf", "4 s", "９", "1" * 40])
def test_durations_that_make_no_sense_count_as_absent(text: str) -> None:
    assert parse_webhook({"CallUUID": CALL, "Duration": text}).duration_s is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Event": "Hangup"},
        {"CallUUID": ""},
        {"CallUUID": "../../etc"},
        {"CallUUID": "a b"},
        {"CallUUID": "x" * 129},
        {"CallUUID": "é"},
        {"CallUUID": CALL, "Event": "Start App"},
        {"CallUUID": CALL, "Event": "x" * 65},
        {"CallUUID": CALL, "Big": "x" * 9000},
        {"CallUUID": CALL, **{f"f{n}": "" for n in range(300)}},
    ],
    ids=range(11),
)
def test_webhooks_that_name_no_call_are_malformed(fields: dict[str, str]) -> None:
    with pytest.raises(MalformedWebhook) as caught:
        parse_webhook(fields)
    assert str(caught.value)


NAMES = st.sampled_from([*ANSWER, *HANGUP, "Machine", "StreamID", "Name", "Error", "call_uuid"])


@given(st.dictionaries(NAMES | st.text(max_size=20), st.text(max_size=40)))
def test_any_fields_are_read_or_refused_as_ours_and_every_call_ends_somehow(
    fields: dict[str, str],
) -> None:
    try:
        webhook = parse_webhook({"CallUUID": CALL, **fields})
    except MalformedWebhook:
        return
    assert call_end(webhook)[0].is_final


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_text", "number"),
    [
        ("918000000001", "+918000000001"),
        ("+918000000001", "+918000000001"),
        ("02240000000", "+912240000000"),
        ("8000000001", "+918000000001"),
        ("15550100001", "+15550100001"),
        ("+1 (555) 010-0001", "+15550100001"),
        ("00918000000001", "+918000000001"),
        ("sip:agent@example.com", "sip:agent@example.com"),
        ("1800", "1800"),
        ("anonymous", "anonymous"),
        ("+12", "+12"),
        ("012", "012"),
        ("9" * 16, "9" * 16),
        ("", ""),
        ("９１８０００００００１", "９１８０００００００１"),
    ],
)
def test_numbers_become_e164_where_their_form_allows(given_text: str, number: str) -> None:
    assert normalize_number(given_text) == number


def test_ten_digits_belong_to_the_country_asked_for() -> None:
    assert normalize_number("5550100001", country_code="1") == "+15550100001"


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalize_number(text)
    assert normalize_number(once) == once


# --- ends ---------------------------------------------------------------------------------------


def ended(**fields: str) -> tuple[CallState, EndClass, EndReason]:
    return call_end(parse_webhook({"CallUUID": CALL, **fields}))


SUCCESS = (CallState.COMPLETED, EndClass.SUCCESS)
SITUATIONS = [
    # cause, code, source -> end: the situations the documentation and captures describe
    ("NORMAL_CLEARING", "4000", "Callee", (*SUCCESS, EndReason.CALLER_HUNG_UP)),
    ("NORMAL_CLEARING", "4000", "Call recipient", (*SUCCESS, EndReason.CALLER_HUNG_UP)),
    ("NORMAL_CLEARING", "4000", "Caller", (*SUCCESS, EndReason.CALLER_HUNG_UP)),
    ("NORMAL_CLEARING", "4000", "Answer XML", (*SUCCESS, EndReason.AGENT_HUNG_UP)),
    ("NORMAL_CLEARING", "4010", "Vobiz", (*SUCCESS, EndReason.AGENT_HUNG_UP)),
    ("NORMAL_CLEARING", "4000", "API Request", (*SUCCESS, EndReason.API_HUNG_UP)),
    ("NORMAL_CLEARING", "4000", "API", (*SUCCESS, EndReason.API_HUNG_UP)),
    ("USER_BUSY", "3010", "Carrier", (CallState.BUSY, EndClass.CALLER, EndReason.BUSY)),
    ("CALL_REJECTED", "3020", "Carrier", (CallState.FAILED, EndClass.CALLER, EndReason.REJECTED)),
    ("NO_ANSWER", "6010", "Vobiz", (CallState.NO_ANSWER, EndClass.CALLER, EndReason.NO_ANSWER)),
    ("NO_ANSWER", "3000", "Carrier", (CallState.NO_ANSWER, EndClass.CALLER, EndReason.NO_ANSWER)),
    ("ALLOTTED_TIMEOUT", "6000", "Vobiz", (*SUCCESS, EndReason.TIME_LIMIT)),
    ("", "8011", "Error", (CallState.FAILED, EndClass.PLATFORM, EndReason.ANSWER_FAILED)),
    ("", "7011", "Error", (CallState.FAILED, EndClass.PLATFORM, EndReason.ANSWER_FAILED)),
    ("", "9100", "Vobiz", (CallState.COMPLETED, EndClass.CALLER, EndReason.MACHINE)),
    ("MEDIA_TIMEOUT", "6020", "", (CallState.COMPLETED, EndClass.PROVIDER, EndReason.CARRIER_LOST)),
    ("", "5030", "", (CallState.FAILED, EndClass.PLATFORM, EndReason.RATE_LIMITED)),
    ("", "1010", "", (CallState.FAILED, EndClass.PLATFORM, EndReason.OUT_OF_CREDIT)),
    ("LOSE_RACE", "9000", "", (CallState.CANCEL, EndClass.CALLER, EndReason.CANCELLED)),
]


@pytest.mark.parametrize(("cause", "code", "source", "end"), SITUATIONS)
def test_documented_situations_end_as_described(
    cause: str, code: str, source: str, end: tuple[CallState, EndClass, EndReason]
) -> None:
    fields = {"HangupCause": cause, "HangupCauseCode": code, "HangupSource": source}
    # One documentation page says that the status is always completed.
    assert ended(**fields, CallStatus="completed") == end


@pytest.mark.parametrize("code", sorted(causes.BY_CODE))
def test_every_listed_code_alone_decides(code: int) -> None:
    state, end_class, reason = ended(HangupCauseCode=str(code), HangupCause="X", CallStatus="busy")
    assert (state, end_class) == causes.BY_CODE[code][:2]
    assert state.is_final
    assert reason in (causes.BY_CODE[code][2], EndReason.UNKNOWN)


@pytest.mark.parametrize("code", ["", "0", "4999", "junk", "-1", "４０００", "9" * 50])
def test_the_causes_name_decides_where_the_code_says_nothing(code: str) -> None:
    assert ended(HangupCauseCode=code, HangupCause="user_busy")[0] is CallState.BUSY


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("busy", CallState.BUSY),
        ("timeout", CallState.TIMEOUT),
        ("no-answer", CallState.NO_ANSWER),
        ("canceled", CallState.CANCEL),
        ("failed", CallState.FAILED),
        ("completed", CallState.COMPLETED),
    ],
)
def test_the_status_decides_where_there_is_no_known_cause(status: str, state: CallState) -> None:
    assert ended(HangupCause="SOMETHING_NEW", CallStatus=status)[0] is state


def test_without_any_hint_the_duration_tells_whether_it_was_a_call() -> None:
    assert ended(Duration="12") == (CallState.COMPLETED, EndClass.UNKNOWN, EndReason.UNKNOWN)
    assert ended(Duration="0") == (CallState.FAILED, EndClass.UNKNOWN, EndReason.UNKNOWN)
    assert ended(CallStatus="ringing")[0] is CallState.FAILED


def test_every_table_holds_final_states_alone() -> None:
    for table in (causes.BY_CODE, causes.BY_CAUSE, causes.BY_STATUS):
        assert all(end[0].is_final for end in table.values())


def test_a_webhook_can_be_made_by_hand() -> None:
    assert Webhook("Hangup", CALL).fields == {}


@pytest.mark.parametrize(
    ("fields", "is_machine"),
    [
        ({"Machine": "true"}, True),
        ({"Machine": "False"}, False),
        ({"AnsweredBy": "machine_end_beep"}, True),
        ({"answered_by": "human"}, False),
        ({"Machine": "false", "AnsweredBy": "machine"}, False),
        ({"AnsweredBy": "unknown"}, None),
        ({}, None),
    ],
)
def test_who_answered_is_read_in_either_wording(
    fields: dict[str, str], is_machine: bool | None
) -> None:
    assert parse_webhook({"CallUUID": "c", **fields}).machine is is_machine


def test_what_a_gather_collected_is_keys_or_nothing() -> None:
    assert parse_webhook({"CallUUID": "c"}).digits is None
    assert parse_webhook({"CallUUID": "c", "Digits": ""}).digits == ""
    assert parse_webhook({"CallUUID": "c", "digits": "4 2#x"}).digits == "42#"
    assert len(parse_webhook({"CallUUID": "c", "Digits": "1" * 500}).digits or "") == 64


def test_how_a_dial_went_is_read() -> None:
    fields = {"CallUUID": "c", "DialStatus": "Canceled", "DialAction": "Answer"}
    read = parse_webhook({**fields, "DialBLegUUID": ""})
    assert (read.dial_status, read.dial_action, read.dial_b_leg) == ("cancel", "answer", "")
    assert parse_webhook(fields).dial_b_leg is None
