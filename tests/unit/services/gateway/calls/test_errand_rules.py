"""services.gateway.calls.errand_rules."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from services.gateway.calls.errand_rules import (
    Gathered,
    HandedOver,
    NotHandedOver,
    Outcome,
    errand_answer,
    is_answer,
    read_outcome,
)
from services.gateway.calls.routing import PublicAddress
from shared.protocol.errand import Errand, GatherErrand, TransferErrand
from shared.protocol.webhook import parse_webhook

ADDRESS = PublicAddress("https://voice.example.com", "0123456789abcdef")
BASE = "https://voice.example.com/0123456789abcdef"
TRANSFER = TransferErrand("e1", "+918000000009", "+918000000002", 25, "One moment.")
GATHER = GatherErrand("e2", "Your number, please.", 6, "*", 7.6)


def xml(errand: Errand) -> list[ElementTree.Element]:
    document = errand_answer(errand, ADDRESS, {"c": "our id"})
    return list(ElementTree.fromstring(document))  # noqa: S314 - our own XML


def test_a_transfer_says_dials_and_ends_at_one_url() -> None:
    speak, dial, redirect = xml(TRANSFER)
    done = f"{BASE}/errand-done?c=our+id&e=e1"
    assert speak.text == "One moment."
    assert dial.attrib == {
        "action": done,
        "method": "POST",
        "callbackUrl": f"{BASE}/dial-events?c=our+id&e=e1",
        "callbackMethod": "POST",
        "callerId": "+918000000002",
        "timeout": "25",
    }
    assert [(child.tag, child.text) for child in dial] == [("Number", "+918000000009")]
    assert (redirect.tag, redirect.text) == ("Redirect", done)


def test_a_transfer_without_words_or_a_number_to_show_has_none() -> None:
    dial, _ = xml(TransferErrand("e1", "100", say="  "))
    assert dial.tag == "Dial"
    assert "callerId" not in dial.attrib


def test_keys_are_collected_under_a_prompt() -> None:
    gather, redirect = xml(GATHER)
    done = f"{BASE}/errand-done?c=our+id&e=e2"
    assert gather.attrib == {
        "action": done,
        "method": "POST",
        "inputType": "dtmf",
        "executionTimeout": "8",
        "digitEndTimeout": "8",
        "finishOnKey": "*",
        "numDigits": "6",
    }
    assert [(child.tag, child.text) for child in gather] == [("Speak", "Your number, please.")]
    assert redirect.text == done


def test_a_short_wait_is_what_vobiz_allows_and_no_key_may_end_it() -> None:
    gather, _ = xml(GatherErrand("e2", finish_on_key="", timeout_s=1.2))
    assert (gather.attrib["executionTimeout"], gather.attrib["digitEndTimeout"]) == ("5", "1")
    assert gather.attrib["finishOnKey"] == "none"
    assert list(gather) == []


@pytest.mark.parametrize(
    ("fields", "errand", "was_answered", "outcome"),
    [
        ({"Digits": "42"}, GATHER, False, Gathered("42")),
        ({"Digits": ""}, GATHER, False, Gathered("")),
        ({}, GATHER, False, Gathered("")),
        ({}, None, False, Gathered("")),
        ({"DialStatus": "completed", "DialBLegUUID": "b"}, TRANSFER, False, HandedOver()),
        ({"DialStatus": "completed"}, TRANSFER, False, HandedOver()),
        ({"DialStatus": "completed"}, None, False, HandedOver()),
        (
            {"DialStatus": "completed", "DialBLegUUID": ""},
            TRANSFER,
            False,
            NotHandedOver("failed"),
        ),
        ({"DialStatus": "completed", "DialBLegUUID": ""}, TRANSFER, True, HandedOver()),
        ({"DialStatus": "busy", "DialBLegUUID": ""}, TRANSFER, False, NotHandedOver("busy")),
        ({"DialStatus": "no-answer"}, None, False, NotHandedOver("no-answer")),
        ({"DialStatus": "eaten"}, TRANSFER, False, NotHandedOver("failed")),
        ({}, TRANSFER, False, NotHandedOver("failed")),
        ({}, TRANSFER, True, HandedOver()),
        ({}, None, True, HandedOver()),
    ],
)
def test_what_came_of_an_errand(
    fields: dict[str, str], errand: Errand | None, was_answered: bool, outcome: Outcome
) -> None:
    webhook = parse_webhook({"CallUUID": "c", **fields})
    assert read_outcome(webhook, errand, was_answered=was_answered) == outcome


@pytest.mark.parametrize(
    ("fields", "is_one"),
    [
        ({"Event": "DialAnswer"}, True),
        ({"Event": "DialConnected"}, True),
        ({"Event": "Redirect", "DialAction": "answer"}, True),
        ({"Event": "DialHangup", "DialAction": "hangup"}, False),
        ({"Event": "DialDigitsMatch", "DialAction": "digits"}, False),
        ({}, False),
    ],
)
def test_only_an_answer_is_one(fields: dict[str, str], is_one: bool) -> None:
    assert is_answer(parse_webhook({"CallUUID": "c", **fields})) is is_one
