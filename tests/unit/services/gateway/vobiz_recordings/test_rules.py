from __future__ import annotations

import pytest

from services.gateway.calls.routing import PublicAddress, Texts, stream_answer
from services.gateway.vobiz_recordings.rules import (
    Place,
    RecordRule,
    format_of,
    judge_url,
    read_notice,
)
from shared.protocol.call import CallId
from shared.protocol.webhook import Webhook, parse_webhook
from shared.vobiz.account import VOBIZ_API_BASE

ADDRESS = PublicAddress("https://voice.example.com", "a-secret-of-sixteen")


def stopped(**fields: str) -> Webhook:
    return parse_webhook({"Event": "RecordStop", "CallUUID": "call-1"} | fields)


def test_only_the_agents_named_are_recorded() -> None:
    rule = RecordRule(frozenset({"sales", "support"}), "wav")
    assert rule.verb("sales", ADDRESS, {}) is not None
    assert rule.verb("default", ADDRESS, {}) is None
    assert RecordRule().verb("default", ADDRESS, {}) is None
    assert RecordRule(frozenset({"*"})).verb("default", ADDRESS, {}) is not None


def test_the_verb_stands_before_the_stream_and_is_its_sibling() -> None:
    record = RecordRule(frozenset({"*"}), "wav").verb("sales", ADDRESS, {"c": "our-id"})
    xml = stream_answer(
        ADDRESS,
        CallId("our-id"),
        "call-1",
        "token",
        max_retries=10,
        texts=Texts("busy", "sorry"),
        record=record,
    ).decode()
    verb, _, rest = xml.partition("<Record ")[2].partition("/>")
    assert rest.lstrip().startswith("<Stream")
    base = "https://voice.example.com/a-secret-of-sixteen"
    for attribute in (
        'recordSession="true"',
        'redirect="false"',
        'fileFormat="wav"',
        'playBeep="false"',
        'finishOnKey="none"',
        'maxLength="14400"',
        f'action="{base}/record-action?c=our-id"',
        f'callbackUrl="{base}/record-stop?c=our-id"',
    ):
        assert attribute in verb, attribute


def test_a_recordstop_is_read_in_any_spelling() -> None:
    notice = read_notice(
        stopped(
            record_url="https://media.vobiz.ai/a/r.mp3?sig=1",
            RecordingID="rec-1",
            RecordingDuration="7",
            RecordingDurationMs="7240",
            RecordingEndReason="HungUp<script>",
        )
    )
    assert notice is not None
    assert notice.url == "https://media.vobiz.ai/a/r.mp3?sig=1"
    assert (notice.recording_id, notice.duration_ms) == ("rec-1", 7240)
    assert notice.end_reason == "HungUpscript"
    short = read_notice(stopped(RecordUrl="https://a/b", RecordingDuration="7"))
    assert short is not None
    assert short.duration_ms == 7000
    unknown = read_notice(stopped(RecordUrl="https://a/b", RecordingDuration="soon"))
    assert unknown is not None
    assert unknown.duration_ms is None


@pytest.mark.parametrize("url", ["", "https://a/\x01", "https://a/é", "https://a/" + "b" * 3000])
def test_a_recordstop_without_a_url_is_none(url: str) -> None:
    assert read_notice(stopped(RecordUrl=url)) is None
    assert read_notice(stopped()) is None


LOCAL = "http://simulator:5003/api/v1"


@pytest.mark.parametrize(
    ("url", "api_base", "place"),
    [
        ("https://media.vobiz.ai/r.mp3", VOBIZ_API_BASE, Place(True, False)),
        ("https://API.vobiz.ai./r.mp3", VOBIZ_API_BASE, Place(True, False)),
        ("https://cdn.example.com/r.mp3", VOBIZ_API_BASE, Place(False, False)),
        ("https://notvobiz.ai/r.mp3", VOBIZ_API_BASE, Place(False, False)),
        ("https://vobiz.ai.example.com/r.mp3", VOBIZ_API_BASE, Place(False, False)),
        ("https://media.vobiz.ai:8443/r.mp3", VOBIZ_API_BASE, Place(False, False)),
        ("http://media.vobiz.ai/r.mp3", VOBIZ_API_BASE, None),
        ("https://me@media.vobiz.ai/r.mp3", VOBIZ_API_BASE, None),
        ("http://simulator:5003/api/v1/Account/x/r.mp3", LOCAL, Place(True, True)),
        ("http://simulator:5004/r.mp3", LOCAL, None),
        ("http://redis:6379/", LOCAL, None),
        ("file:///etc/passwd", VOBIZ_API_BASE, None),
        ("https://", VOBIZ_API_BASE, None),
        ("https://[::1/r.mp3", VOBIZ_API_BASE, None),
        ("https://a:b/r.mp3", VOBIZ_API_BASE, None),
    ],
)
def test_the_token_goes_to_vobiz_alone(url: str, api_base: str, place: Place | None) -> None:
    assert judge_url(url, api_base) == place


def test_what_is_no_audio_is_not_kept_for_it() -> None:
    assert format_of(b"RIFF\x00\x00\x00\x00WAVEfmt ") == "wav"
    assert format_of(b"ID3\x04") == "mp3"
    assert format_of(b"\xff\xe3\x18\xc0") == "mp3"
    assert format_of(b"<html>") is None
    assert format_of(b"") is None
