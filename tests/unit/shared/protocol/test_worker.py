"""The link's handshake: what is signed comes through, everything else does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.call import CallId, Direction
from shared.protocol.trace import SpanPlace
from shared.protocol.worker import LinkRefused, LinkRequest

REQUEST = LinkRequest(
    CallId("a/b ü"),
    epoch=3,
    agent="sales",
    from_number="+918000000001",
    to_number="",
    direction=Direction.OUTBOUND,
    resume=True,
    metadata={"name": "Zoë", "note": "two\nlines"},
    variables={"when": "tomorrow", "sum": "₹ 400"},
    call_uuid="0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4",
    webhook_base="https://voice.example.com/0123456789abcdef",
    trace=SpanPlace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
)


def test_request_survives_its_headers() -> None:
    headers = REQUEST.headers("s", 1000.0)
    assert all(value.isascii() and "\n" not in value for value in headers.values())
    assert LinkRequest.from_headers(REQUEST.path, headers, "s", 1030.0) == REQUEST


def test_a_gateway_of_an_earlier_version_is_understood() -> None:
    class Earlier(LinkRequest):
        def _body(self) -> str:
            body = json.loads(super()._body())
            later = ("call_uuid", "webhook_base", "variables")
            return json.dumps({k: body[k] for k in body if k not in later})

    request = Earlier(CallId("c"), epoch=2, webhook_base="https://voice.example.com")
    read = LinkRequest.from_headers(request.path, request.headers("s", 5.0), "s", 5.0)
    assert (read.epoch, read.call_uuid, read.webhook_base) == (2, "", "")
    assert read.variables == {}


def test_the_secret_in_the_webhooks_path_is_not_shown() -> None:
    assert "0123456789abcdef" not in repr(REQUEST)


@pytest.mark.parametrize(
    ("path", "secret", "now_s", "change"),
    [
        (REQUEST.path, "other", 1000.0, {}),
        ("/calls/another", "s", 1000.0, {}),
        ("/somewhere", "s", 1000.0, {}),
        (REQUEST.path, "s", 1061.0, {}),
        (REQUEST.path, "s", 939.0, {}),
        (REQUEST.path, "s", 1000.0, {"Parley-Call": "{}"}),
        (REQUEST.path, "s", 1000.0, {"Parley-Time": "x"}),
        (REQUEST.path, "s", 1000.0, {"Parley-Auth": ""}),
        (REQUEST.path, "s", 1000.0, {"Parley-Call": "x" * 9000}),
    ],
    ids=["secret", "call", "path", "late", "early", "body", "time", "unsigned", "long"],
)
def test_forged_and_late_requests_are_refused(
    path: str, secret: str, now_s: float, change: dict[str, str]
) -> None:
    headers = REQUEST.headers("s", 1000.0) | change
    with pytest.raises(LinkRefused):
        LinkRequest.from_headers(path, headers, secret, now_s)


def test_signed_nonsense_is_refused_as_unreadable() -> None:
    class Nonsense(LinkRequest):
        def _body(self) -> str:
            return '{"epoch": "many"}'

    request = Nonsense(CallId("c"))
    with pytest.raises(LinkRefused, match="can't be read"):
        LinkRequest.from_headers(request.path, request.headers("s", 5.0), "s", 5.0)


@given(st.dictionaries(st.sampled_from(["Parley-Call", "Parley-Time", "Parley-Auth"]), st.text()))
def test_random_headers_are_refused_and_nothing_else_happens(headers: dict[str, str]) -> None:
    with pytest.raises(LinkRefused):
        LinkRequest.from_headers("/calls/c", headers, "s", 1.0)


@pytest.mark.parametrize("text", ["", "garbage", "00-x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_traceparent_that_can_not_be_read_costs_the_trace_alone(text: str) -> None:
    headers = {**REQUEST.headers("s", 5.0), "traceparent": text}
    assert LinkRequest.from_headers(REQUEST.path, headers, "s", 5.0).trace is None


def test_without_a_trace_there_is_no_header_for_it() -> None:
    assert "traceparent" not in LinkRequest(CallId("c")).headers("s", 5.0)
