"""services.gateway.calls.routing."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.calls.routing import (
    PublicAddress,
    Texts,
    agent_name,
    base_of_host,
    callback_query,
    fitting_metadata,
    is_call_id,
    is_private_host,
    link_metadata,
    link_variables,
    parting_answer,
    read_parting,
    resolve_call_id,
    stream_answer,
)
from services.gateway.media.relay import Parting
from shared.protocol.call import CallId, CallRecord, CallState, Direction
from shared.protocol.webhook import Webhook
from shared.protocol.worker import LinkRequest

VOBIZ = CallId("0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4")
OURS = CallId("7c1d2f7a-0000-4444-8888-2f1c33b0a8d4")
TEXTS = Texts(busy="All busy.", apology="Sorry.")
WEBHOOK = Webhook("StartApp", VOBIZ, request_uuid="req-1", direction=Direction.OUTBOUND)


def outbound(**fields: str) -> CallRecord:
    return CallRecord(OURS, CallState.QUEUED, direction=Direction.OUTBOUND, **fields)  # type: ignore[arg-type] # text fields only


def verbs(xml: bytes) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(xml))  # noqa: S314 - our own XML


@pytest.mark.parametrize(
    ("claimed", "record", "is_known", "found"),
    [
        (None, None, True, VOBIZ),
        (OURS, outbound(), True, OURS),
        (OURS, outbound(call_uuid=VOBIZ), True, OURS),
        (OURS, outbound(call_uuid="req-1"), True, OURS),
        (OURS, outbound(call_uuid="another"), True, VOBIZ),
        (OURS, CallRecord(OURS, CallState.QUEUED, direction=Direction.INBOUND), True, VOBIZ),
        (OURS, CallRecord(OURS, CallState.QUEUED), True, VOBIZ),
        (OURS, None, True, VOBIZ),
        ("../etc", outbound(), True, VOBIZ),
        ("", outbound(), True, VOBIZ),
        (OURS, None, False, OURS),
    ],
)
def test_a_claimed_id_counts_only_for_its_own_outbound_call(
    claimed: str | None, record: CallRecord | None, is_known: bool, found: CallId
) -> None:
    assert resolve_call_id(WEBHOOK, claimed, record, is_known=is_known) == found


def test_an_inbound_calls_claim_is_never_believed_blindly() -> None:
    inbound = Webhook("StartApp", VOBIZ, direction=Direction.INBOUND)
    assert resolve_call_id(inbound, OURS, None, is_known=False) == VOBIZ


def test_the_agent_comes_from_the_url_then_the_record_then_the_default() -> None:
    assert agent_name("sales", outbound(agent="survey")) == "sales"
    assert agent_name(None, outbound(agent="survey")) == "survey"
    assert agent_name("no such/agent", outbound()) == "default"
    assert agent_name("", None) == "default"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("gateway", "http://gateway"),
        ("voice.example.com", "http://voice.example.com"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("", None),
        ("a b", None),
        ("evil/..", None),
        ("user@host", None),
        ("host:99999999", None),
        ("höst", None),
    ],
)
def test_only_a_host_makes_a_base_url(host: str, base: str | None) -> None:
    assert base_of_host(host) == base


def test_urls_keep_the_public_path_and_the_secret() -> None:
    address = PublicAddress("https://voice.example.com/parley", "s3cret-s3cret-s3cret")
    assert (
        address.webhook_url("fallback", c="a&b")
        == "https://voice.example.com/parley/s3cret-s3cret-s3cret/fallback?c=a%26b"
    )
    assert address.media_url(OURS, "abc") == f"wss://voice.example.com/parley/ws/{OURS}/abc"
    assert PublicAddress("http://127.0.0.1:1").media_url(OURS, "abc").startswith("ws://127.0.0.1:1")


def test_callbacks_carry_our_id_only_where_it_differs() -> None:
    assert callback_query(VOBIZ, VOBIZ) == {}
    assert callback_query(OURS, VOBIZ) == {"c": OURS}


def test_the_stream_is_followed_by_the_fallback_and_by_words() -> None:
    address = PublicAddress("https://voice.example.com")
    xml = stream_answer(address, OURS, VOBIZ, "t0ken", max_retries=4, texts=TEXTS)
    stream, redirect, speak, hangup = verbs(xml)
    assert stream.text == f"wss://voice.example.com/ws/{OURS}/t0ken"
    assert stream.attrib == {
        "bidirectional": "true",
        "keepCallAlive": "true",
        "audioTrack": "inbound",
        "contentType": "audio/x-mulaw;rate=8000",
        "statusCallbackUrl": f"https://voice.example.com/stream-status?c={OURS}",
        "statusCallbackMethod": "POST",
        "maxRetries": "4",
    }
    assert redirect.text == f"https://voice.example.com/fallback?c={OURS}"
    assert (speak.tag, speak.text, hangup.tag) == ("Speak", "Sorry.", "Hangup")


@pytest.mark.parametrize(
    ("parting", "said"),
    [
        (Parting.ENDED, None),
        (Parting.BUSY, "All busy."),
        (Parting.LOST, "Sorry."),
        (Parting.CARRIER_LOST, "Sorry."),
    ],
)
def test_every_parting_ends_the_call_and_all_but_a_normal_one_say_why(
    parting: Parting, said: str | None
) -> None:
    found = verbs(parting_answer(parting, TEXTS))
    assert found[-1].tag == "Hangup"
    assert [verb.text for verb in found[:-1]] == ([said] if said else [])


@pytest.mark.parametrize(
    ("stored", "parting"),
    [(None, Parting.LOST), ("ended", Parting.ENDED), ("?", Parting.LOST), ("busy", Parting.BUSY)],
)
def test_an_unknown_parting_reads_as_lost(stored: str | None, parting: Parting) -> None:
    assert read_parting(stored) is parting


def test_webhooks_stand_below_their_base() -> None:
    address = PublicAddress("https://voice.example.com/parley", "0123456789abcdef")
    assert address.webhook_base == "https://voice.example.com/parley/0123456789abcdef"
    assert address.webhook_url("errand", c="7") == f"{address.webhook_base}/errand?c=7"
    assert PublicAddress("http://127.0.0.1:5000").webhook_base == "http://127.0.0.1:5000"


def test_a_worker_is_told_who_answered_where_that_is_known() -> None:
    webhook = replace(WEBHOOK, machine=True)
    assert link_metadata(webhook, outbound())["machine"] == "true"
    assert "machine" not in link_metadata(WEBHOOK, outbound())


def test_only_a_lost_carrier_and_who_is_away_may_come_back() -> None:
    may_return = [p for p in Parting if not p.is_for_good]
    assert may_return == [Parting.CARRIER_LOST, Parting.AWAY]


def test_metadata_joins_the_record_and_the_sip_headers() -> None:
    webhook = Webhook("StartApp", VOBIZ, fields={"X-PH-lead": "42", "x-vh-a": "b", "From": "1"})
    record = CallRecord(OURS, CallState.QUEUED, metadata={"campaign": "c1"})
    assert link_metadata(webhook, record) == {"campaign": "c1", "X-PH-lead": "42", "x-vh-a": "b"}
    assert link_metadata(webhook, None) == {"X-PH-lead": "42", "x-vh-a": "b"}


def test_metadata_that_does_not_fit_is_left_out_from_the_first_entry_that_does_not() -> None:
    metadata = {"a": "1", "b": "x" * 5000, "c": "2"}
    assert fitting_metadata(metadata) == {"a": "1"}
    assert fitting_metadata({"a": "☎" * 600, "b": "☎" * 600}) == {"a": "☎" * 600}


_TEXTS = st.dictionaries(st.text(max_size=40), st.text(max_size=3000), max_size=30)


@given(_TEXTS, _TEXTS)
def test_metadata_and_variables_of_any_size_fit_a_header(
    metadata: dict[str, str], variables: dict[str, str]
) -> None:
    record = CallRecord(OURS, CallState.QUEUED, metadata=metadata, variables=variables)
    kept, told = link_metadata(WEBHOOK, record), link_variables(record)
    assert kept.items() <= metadata.items()
    assert told.items() <= variables.items()
    headers = LinkRequest(OURS, metadata=kept, variables=told).headers("secret", 1_790_921_506)
    assert len(headers["Parley-Call"]) < 7500


def test_an_unknown_call_brings_no_variables() -> None:
    assert link_variables(None) == {}


@pytest.mark.parametrize(
    ("text", "is_id"),
    [("abc-1_Z", True), ("", False), ("a/b", False), ("a" * 129, False), ("é", False)],
)
def test_ids_have_the_letters_of_ids(text: str, is_id: bool) -> None:
    assert is_call_id(text) is is_id


@pytest.mark.parametrize(
    ("host", "is_private"),
    [
        *((name, True) for name in ("localhost:5000", "127.0.0.1", "[::1]:5000", "gateway:5000")),
        *((name, False) for name in ("evil.example:5000", "localhost.evil.example", "", "a b")),
    ],
)
def test_a_strangers_name_is_told_from_an_address_and_from_names_at_home(
    host: str, *, is_private: bool
) -> None:
    assert is_private_host(host) is is_private
