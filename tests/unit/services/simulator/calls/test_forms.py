from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.simulator.calls import endings, forms
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import NumberKnob
from shared.protocol.call import CallState, Direction, EndReason
from shared.protocol.webhook import call_end, parse_webhook

BEGAN = datetime(2026, 10, 2, 6, 11, 40, 218331, tzinfo=UTC)
INBOUND = CallFacts(
    "0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4",
    Direction.INBOUND,
    "+918000000001",
    "+918000000002",
    "MA_LOCAL",
    BEGAN,
)
OUTBOUND = replace(INBOUND, direction=Direction.OUTBOUND, extra={"X-PH-lead": "42"})


def test_session_start_is_utc_and_the_other_times_are_indian() -> None:
    form = forms.hangup(
        INBOUND,
        endings.HANGUP_VERB,
        BEGAN + timedelta(seconds=6),
        BEGAN + timedelta(seconds=10),
    )
    assert form["SessionStart"] == "2026-10-02 06:11:40.218331"
    assert form["StartTime"] == "2026-10-02 11:41:40"
    assert form["AnswerTime"] == "2026-10-02 11:41:46"
    assert form["EndTime"] == "2026-10-02 11:41:50"
    assert (form["Duration"], form["BillDuration"]) == ("4", "60")
    assert form["TotalCost"] == form["BillRate"] == "0.00000"


def test_an_inbound_call_rings_until_a_verb_answers_it() -> None:
    form = forms.start_app(INBOUND)
    assert (form["Event"], form["CallStatus"]) == ("StartApp", "ringing")
    assert "ALegUUID" not in form
    assert forms.start_app(INBOUND, "Redirect")["CallStatus"] == "in-progress"


def test_an_outbound_call_names_its_leg_and_its_headers() -> None:
    form = forms.start_app(OUTBOUND)
    assert form["CallStatus"] == "in-progress"
    assert form["ALegUUID"] == form["ALegRequestUUID"] == form["CallUUID"]
    assert form["X-PH-lead"] == "42"


def test_an_unanswered_call_has_no_duration_and_no_answer_time() -> None:
    form = forms.hangup(OUTBOUND, endings.BUSY, None, BEGAN)
    assert (form["Duration"], form["BillDuration"], form["AnswerTime"]) == ("0", "0", "")
    assert form["CallStatus"] == "busy"


@pytest.mark.parametrize(
    ("knob", "written"),
    [
        (NumberKnob.DIGITS, "918000000001"),
        (NumberKnob.PLUS, "+918000000001"),
        (NumberKnob.LEADING_ZERO, "08000000001"),
        (NumberKnob.NATIONAL, "8000000001"),
    ],
)
def test_numbers_are_written_as_the_knob_says_and_mean_the_same(
    knob: NumberKnob, written: str
) -> None:
    assert forms.written_number("+918000000001", knob) == written
    webhook = parse_webhook(forms.start_app(replace(INBOUND, numbers=knob)))
    assert webhook.from_number == "+918000000001"


def test_a_sip_address_stays() -> None:
    assert forms.written_number("sip:a@example.org", NumberKnob.DIGITS) == "sip:a@example.org"


def test_stream_callbacks_carry_what_the_event_adds() -> None:
    form = forms.stream_status(
        INBOUND, "PlayedStream", "stream-1", BEGAN, ("https://x/s", "POST"), {"Name": "turn-3"}
    )
    assert (form["Event"], form["StreamID"], form["Name"]) == ("PlayedStream", "stream-1", "turn-3")
    assert (form["Timestamp"], form["Error"]) == ("2026-10-02 11:41:40", "")
    assert form["status_callback_url"] == "https://x/s"


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        (endings.HANGUP_VERB, CallState.COMPLETED, EndReason.AGENT_HUNG_UP),
        (endings.XML_RAN_OUT, CallState.COMPLETED, EndReason.AGENT_HUNG_UP),
        (endings.HANGUP_API, CallState.COMPLETED, EndReason.API_HUNG_UP),
        (endings.TIME_LIMIT, CallState.COMPLETED, EndReason.TIME_LIMIT),
        (endings.MEDIA_TIMEOUT, CallState.COMPLETED, EndReason.CARRIER_LOST),
        (endings.BUSY, CallState.BUSY, EndReason.BUSY),
        (endings.REJECTED, CallState.FAILED, EndReason.REJECTED),
        (endings.RANG_OUT, CallState.NO_ANSWER, EndReason.NO_ANSWER),
        (endings.UNALLOCATED, CallState.FAILED, EndReason.INVALID_NUMBER),
        (endings.CARRIER_FAILURE, CallState.FAILED, EndReason.CARRIER_FAILED),
        (endings.CANCELLED, CallState.CANCEL, EndReason.CANCELLED),
        (endings.url_failed(1), CallState.FAILED, EndReason.ANSWER_FAILED),
        (endings.bad_xml(4), CallState.FAILED, EndReason.ANSWER_FAILED),
        (endings.MACHINE, CallState.COMPLETED, EndReason.MACHINE),
        (endings.OVER_CONCURRENCY, CallState.FAILED, EndReason.RATE_LIMITED),
    ],
)
def test_every_ending_is_understood_by_a_receiver_of_webhooks(
    ending: endings.Ending, state: CallState, reason: EndReason
) -> None:
    form = forms.hangup(OUTBOUND, ending, BEGAN, BEGAN + timedelta(seconds=3))
    got_state, _, got_reason = call_end(parse_webhook(form))
    assert (got_state, got_reason) == (state, reason)


def test_who_hung_up_follows_the_direction() -> None:
    assert endings.person_hung_up(Direction.INBOUND).source == "Caller"
    assert endings.person_hung_up(Direction.OUTBOUND).source == "Callee"
    early = endings.person_hung_up(Direction.INBOUND, is_answered=False)
    assert (early.code, early.source) == (1000, "Caller")


def test_the_codes_of_failed_urls_and_xml_end_in_the_step() -> None:
    assert [endings.url_failed(step).code for step in (1, 2, 3, 4)] == [7011, 7012, 7013, 7014]
    assert [endings.bad_xml(step).code for step in (1, 2, 3, 4)] == [8011, 8012, 8013, 8014]
    assert endings.bad_xml(1).name == "Invalid Answer XML"


@pytest.mark.parametrize("is_machine", [True, False])
def test_machine_detection_speaks_in_texts(is_machine: bool) -> None:
    form = forms.machine_detection(OUTBOUND, is_machine=is_machine, hangs_up=is_machine)
    webhook = parse_webhook(form)
    assert webhook.machine is is_machine
    assert form["IfMachine"] == ("hangup" if is_machine else "continue")


def test_a_ring_is_ringing() -> None:
    form = forms.ring(OUTBOUND)
    assert (form["Event"], form["CallStatus"], form["Direction"]) == ("Ring", "ringing", "outbound")
