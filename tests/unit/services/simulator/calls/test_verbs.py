from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.calls.verbs import InvalidXml, Verb, parse_response, stream_plan

STREAM = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Stream bidirectional="true" '
    'keepCallAlive="true" contentType="audio/x-mulaw;rate=8000" maxRetries="3" '
    'statusCallbackUrl="https://app.example/s?a=1&amp;b=2" extraHeaders="lead=42,no_=1">\n'
    " wss://app.example/media?x=1&amp;y=2 \n</Stream><Hangup/></Response>"
)


def stream(**attributes: str) -> Verb:
    return Verb("Stream", attributes, "wss://app.example/media")


def test_a_stream_is_read_with_its_entities_undone() -> None:
    verbs = parse_response(STREAM.encode())
    assert [verb.name for verb in verbs] == ["Stream", "Hangup"]
    plan = stream_plan(verbs[0])
    assert plan.url == "wss://app.example/media?x=1&y=2"
    assert plan.callback_url == "https://app.example/s?a=1&b=2"
    assert (plan.content_type, plan.sample_rate_hz) == ("audio/x-mulaw", 8000)
    assert (plan.keeps_call_alive, plan.max_retries) == (True, 3)
    assert plan.extra_headers == {"lead": "42"}


def test_a_bare_stream_has_the_documented_defaults() -> None:
    plan = stream_plan(stream())
    assert (plan.content_type, plan.sample_rate_hz) == ("audio/x-l16", 8000)
    assert (plan.is_bidirectional, plan.tracks) == (False, ("inbound",))
    assert (plan.max_retries, plan.timeout_s, plan.keeps_call_alive) == (0, 86400, False)
    assert plan.callback_method == "POST"


@pytest.mark.parametrize(("given", "kept"), [("-2", 0), ("11", 10), ("junk", 0), ("nan", 0)])
def test_retries_are_pulled_into_their_range(given: str, kept: int) -> None:
    assert stream_plan(stream(maxRetries=given)).max_retries == kept


def test_only_a_two_way_stream_keeps_a_call_alive() -> None:
    assert not stream_plan(stream(keepCallAlive="true")).keeps_call_alive


@pytest.mark.parametrize("track", ["both", "outbound"])
def test_a_two_way_stream_of_other_tracks_is_refused(track: str) -> None:
    assert stream_plan(stream(bidirectional="true", audioTrack=track)).is_refused
    assert not stream_plan(stream(audioTrack=track)).is_refused


def test_24_khz_never_opens() -> None:
    assert stream_plan(stream(contentType="audio/x-l16; rate=24000")).never_opens


@pytest.mark.parametrize("url", ["", "https://app.example", "app.example"])
def test_a_stream_without_a_socket_url_is_invalid(url: str) -> None:
    with pytest.raises(InvalidXml):
        stream_plan(Verb("Stream", {}, url))


def test_an_unknown_content_type_is_invalid() -> None:
    with pytest.raises(InvalidXml):
        stream_plan(stream(contentType="audio/mpeg"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Hello",
        b"<Response>",
        b"<Response><Redirect>http://x/?a=1&b=2</Redirect></Response>",
        b"<Answer/>",
        b"<Response><Number>918000000001</Number></Response>",
        b"<Response><Gather><Hangup/></Gather></Response>",
        b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><Response>&e;</Response>',
        b"<?xml version='1.0' encoding='nonsense'?><Response/>",
        b"<Response>" + b" " * 103_000 + b"</Response>",
    ],
)
def test_what_cannot_be_executed_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidXml):
        parse_response(body)


def test_nested_verbs_are_kept_in_order() -> None:
    (gather,) = parse_response(
        b'<Response><Gather numDigits="4"><Speak>Your code?</Speak><Wait length="2"/></Gather>'
        b"</Response>"
    )
    assert [child.name for child in gather.children] == ["Speak", "Wait"]
    assert gather.children[0].text == "Your code?"
    assert gather.number("numDigits", 32, 1, 32) == 4


def test_an_empty_response_has_no_verbs() -> None:
    assert parse_response(b"<Response/>") == []


@given(st.binary(max_size=300))
def test_any_bytes_give_verbs_or_our_error(body: bytes) -> None:
    with contextlib.suppress(InvalidXml):
        assert isinstance(parse_response(body), list)
