"""The XML a call is answered with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import xml
from shared.protocol.errors import InvalidVerb
from shared.protocol.xml import (
    L16_16K,
    MAX_XML_BYTES,
    Conference,
    Dial,
    Dtmf,
    Gather,
    Hangup,
    Number,
    Play,
    PreAnswer,
    Record,
    Redirect,
    Response,
    Speak,
    Stream,
    User,
    Verb,
    Wait,
)

WSS = "wss://voice.example.com/ws/abc"
HTTPS = "https://voice.example.com/next"


def parsed(*verbs: Verb) -> ElementTree.Element:
    root: ElementTree.Element = fromstring(Response(*verbs).to_bytes())
    return root


def only(verb: Verb) -> ElementTree.Element:
    (element,) = parsed(verb)
    return element


def test_a_voice_agents_answer_is_written_exactly() -> None:
    document = Response(
        Stream(
            url="wss://voice.example.com/ws/abc?t=a1&k=b2",
            max_retries=3,
            status_callback_url="https://voice.example.com/stream-status?t=a1&k=b2",
            status_callback_method="POST",
        ),
        Speak("Sorry, <we> lost the line & you."),
        Hangup(),
    ).to_bytes()
    assert document.decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<Response><Stream bidirectional="true" keepCallAlive="true" audioTrack="inbound"'
        ' contentType="audio/x-mulaw;rate=8000"'
        ' statusCallbackUrl="https://voice.example.com/stream-status?t=a1&amp;k=b2"'
        ' statusCallbackMethod="POST" maxRetries="3">'
        "wss://voice.example.com/ws/abc?t=a1&amp;k=b2</Stream>"
        "<Speak>Sorry, &lt;we&gt; lost the line &amp; you.</Speak><Hangup /></Response>"
    )


def test_every_ampersand_is_escaped_and_comes_back() -> None:
    url = WSS + "?a=1&b=2&amp;c=3"
    document = Response(Stream(url=url)).to_bytes()
    assert fromstring(document)[0].text == url
    assert b"&b" not in document


def test_the_neutral_answer_is_empty() -> None:
    root = parsed()
    assert (root.tag, len(root), root.attrib) == ("Response", 0, {})


def test_every_attribute_of_stream_can_be_set() -> None:
    element = only(
        Stream(
            url=WSS,
            bidirectional=False,
            keep_call_alive=False,
            audio_track="both",
            content_type=L16_16K,
            stream_timeout_s=3600,
            status_callback_url=HTTPS,
            status_callback_method="GET",
            extra_headers="k1=v1,k2=v2",
            max_retries=10,
        )
    )
    assert element.attrib == {
        "bidirectional": "false",
        "keepCallAlive": "false",
        "audioTrack": "both",
        "contentType": "audio/x-l16;rate=16000",
        "streamTimeout": "3600",
        "statusCallbackUrl": HTTPS,
        "statusCallbackMethod": "GET",
        "extraHeaders": "k1=v1,k2=v2",
        "maxRetries": "10",
    }


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"audio_track": "both"}, "4010"),
        ({"audio_track": "outbound"}, "4010"),
        ({"bidirectional": False}, "keepCallAlive needs bidirectional"),
        ({"audio_track": "none"}, "audioTrack"),
        ({"content_type": "audio/x-l16;rate=24000"}, "contentType"),
        ({"content_type": "audio/x-mulaw"}, "contentType"),
        ({"stream_timeout_s": 0}, "streamTimeout"),
        ({"stream_timeout_s": 1.5}, "streamTimeout"),
        ({"max_retries": 11}, "maxRetries"),
        ({"max_retries": -1}, "maxRetries"),
        ({"max_retries": True}, "maxRetries"),
        ({"status_callback_url": "voice.example.com"}, "statusCallbackUrl"),
        ({"status_callback_url": HTTPS, "status_callback_method": "PUT"}, "statusCallbackMethod"),
        ({"status_callback_method": "POST"}, "without statusCallbackUrl"),
        ({"extra_headers": "a_b=1"}, "extraHeaders"),
        ({"extra_headers": "a=1;b=2"}, "extraHeaders"),
        ({"extra_headers": "k=" + "v" * 511}, "512"),
        ({"bidirectional": "true"}, "bidirectional"),
        ({"bidirectional": None}, "bidirectional"),
        ({"url": None}, "its content"),
        ({"url": ""}, "its content"),
        ({"url": "https://voice.example.com/ws"}, "wss or ws"),
        ({"url": "wss://"}, "wss or ws"),
        ({"url": "wss://[::1"}, "wss or ws"),
        ({"url": "wss://voice.example.com/a b"}, "wss or ws"),
        ({"url": "wss://voice.example.com/\n"}, "wss or ws"),
        ({"url": "wss://voice.example.com/ü"}, "wss or ws"),
        ({"url": "wss://voice.example.com/" + "x" * 2048}, "wss or ws"),
    ],
)
def test_a_stream_that_vobiz_would_refuse_is_never_made(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidVerb, match=problem) as caught:
        Stream(**{"url": WSS, **fields})
    assert str(caught.value).startswith("<Stream>: ")


WRITTEN: list[tuple[Verb, str]] = [
    (
        Speak("namaste", voice="WOMAN", language="hi-IN", loop=2),
        '<Speak voice="WOMAN" language="hi-IN" loop="2">namaste</Speak>',
    ),
    (Play(HTTPS, loop=0), f'<Play loop="0">{HTTPS}</Play>'),
    (
        Wait(length_s=3, silence=True, min_silence_ms=2000, beep=False),
        '<Wait length="3" silence="true" minSilence="2000" beep="false" />',
    ),
    (Hangup(reason="busy", schedule_s=60), '<Hangup reason="busy" schedule="60" />'),
    (Redirect(HTTPS, method="GET"), f'<Redirect method="GET">{HTTPS}</Redirect>'),
    (Dtmf("12w#", is_async=False), '<DTMF async="false">12w#</DTMF>'),
    (
        Gather(
            HTTPS,
            [Speak("press one"), Wait(1), Play(HTTPS)],
            method="POST",
            input_type="dtmf speech",
            execution_timeout_s=15,
            digit_end_timeout_s=2,
            speech_end_timeout_s=2,
            finish_on_key="#",
            num_digits=1,
            hints="yes,no",
            language="en-IN",
            speech_model="default",
        ),
        f'<Gather action="{HTTPS}" method="POST" inputType="dtmf speech" executionTimeout="15"'
        ' digitEndTimeout="2" speechEndTimeout="2" finishOnKey="#" numDigits="1" hints="yes,no"'
        ' language="en-IN" speechModel="default"><Speak>press one</Speak><Wait length="1" />'
        f"<Play>{HTTPS}</Play></Gather>",
    ),
    (
        Dial(
            [
                Number("+918000000002", send_digits="1w2", send_on_preanswer=True),
                User("sip:agent@example.com", send_digits="1", sip_headers="X-VH-ref=abc1"),
            ],
            action=HTTPS,
            method="POST",
            redirect=False,
            callback_url=HTTPS,
            callback_method="POST",
            caller_id="+918000000001",
            caller_name="Parley",
            timeout_s=30,
            time_limit_s=600,
            hangup_on_star=True,
            dial_music="real",
            confirm_sound=HTTPS,
            confirm_key="1",
            confirm_timeout_s=10,
            digits_match="1,22",
            digits_match_b_leg="*9",
            sip_headers="X-VH-a=1,X-VH-b=2",
        ),
        f'<Dial action="{HTTPS}" method="POST" redirect="false" callbackUrl="{HTTPS}"'
        ' callbackMethod="POST" callerId="+918000000001" callerName="Parley" timeout="30"'
        ' timeLimit="600" hangupOnStar="true" dialMusic="real"'
        f' confirmSound="{HTTPS}" confirmKey="1" confirmTimeout="10" digitsMatch="1,22"'
        ' digitsMatchBLeg="*9" sipHeaders="X-VH-a=1,X-VH-b=2">'
        '<Number sendDigits="1w2" sendOnPreanswer="true">+918000000002</Number>'
        '<User sendDigits="1" sipHeaders="X-VH-ref=abc1">sip:agent@example.com</User></Dial>',
    ),
    (
        Record(
            HTTPS,
            method="POST",
            redirect=False,
            file_format="wav",
            max_length_s=3600,
            timeout_s=60,
            play_beep=False,
            finish_on_key="",
            record_session=True,
            start_on_dial_answer=False,
            transcription_type="auto",
            transcription_url=HTTPS,
            callback_url=HTTPS,
            callback_method="POST",
        ),
        f'<Record action="{HTTPS}" method="POST" redirect="false" fileFormat="wav"'
        ' maxLength="3600" timeout="60" playBeep="false" finishOnKey="" recordSession="true"'
        f' startOnDialAnswer="false" transcriptionType="auto" transcriptionUrl="{HTTPS}"'
        f' callbackUrl="{HTTPS}" callbackMethod="POST" />',
    ),
    (
        Conference(
            "room 1",
            stay_alone=True,
            start_on_enter=True,
            end_on_exit=False,
            muted=False,
            wait_sound=HTTPS,
            callback_url=HTTPS,
            callback_method="POST",
            digits_match="1",
            time_limit_s=60,
            relay_dtmf=True,
        ),
        '<Conference stayAlone="true" startConferenceOnEnter="true" endConferenceOnExit="false"'
        f' muted="false" waitSound="{HTTPS}" callbackUrl="{HTTPS}" callbackMethod="POST"'
        ' digitsMatch="1" timeLimit="60" relayDTMF="true">room 1</Conference>',
    ),
    (PreAnswer([Speak("one moment")]), "<PreAnswer><Speak>one moment</Speak></PreAnswer>"),
]


@pytest.mark.parametrize(("verb", "text"), WRITTEN, ids=lambda value: type(value).__name__)
def test_each_verb_is_written_with_every_attribute(verb: Verb, text: str) -> None:
    assert ElementTree.tostring(only(verb)).decode() == text


def test_every_verb_of_the_module_is_written_here() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(xml, inspect.isclass)
        if issubclass(kind, Verb) and kind is not Verb
    }
    written = {type(verb) for verb, _ in WRITTEN}
    assert kinds == written | {Stream, Number, User}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Speak(""),
        lambda: Speak("   "),
        lambda: Speak("bell \x07"),
        lambda: Speak("lone \ud800"),
        lambda: Speak("x" * 5000),
        lambda: Speak("x", voice="CHILD"),
        lambda: Speak("x", voice="MAN", language="hi-IN"),
        lambda: Speak("x", language="English"),
        lambda: Speak("x", loop=0),
        lambda: Play("file:///etc/passwd"),
        lambda: Play(HTTPS, loop=-1),
        lambda: Wait(length_s=0),
        lambda: Hangup(reason="tired"),
        lambda: Redirect("/next"),
        lambda: Dtmf("abc"),
        lambda: Gather(HTTPS, execution_timeout_s=4),
        lambda: Gather(HTTPS, num_digits=33),
        lambda: Gather(HTTPS, input_type="speech dtmf"),
        lambda: Gather(HTTPS, finish_on_key="##"),
        lambda: Dial(),
        lambda: Dial([Number("+918000000002")], redirect=False),
        lambda: Dial([Number("+918000000002")], sip_headers="ref-X-VH=1"),
        lambda: Dial([Number("+918000000002")], caller_name="x" * 51),
        lambda: Number("12<34"),
        lambda: User("agent@example.com"),
        lambda: Record(HTTPS, file_format="ogg"),
        lambda: Record(""),
        lambda: Conference(""),
        lambda: PreAnswer(),
        lambda: Response(Number("+918000000002")),
        lambda: Response(User("sip:agent@example.com")),
    ],
)
def test_a_verb_that_vobiz_would_refuse_is_never_made(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidVerb):
        make()


def test_more_xml_than_vobiz_reads_is_never_sent() -> None:
    with pytest.raises(InvalidVerb, match=str(MAX_XML_BYTES)):
        Response(*[Speak("x" * 4000)] * 30).to_bytes()


@given(st.text(max_size=200))
def test_any_text_is_refused_or_comes_back_from_the_xml(text: str) -> None:
    try:
        verb = Speak(text)
    except InvalidVerb:
        return
    spoken = only(verb).text
    # XML readers turn every kind of line end into one.
    assert spoken is not None
    assert spoken.replace("\r", "\n").split() == text.replace("\r", "\n").split()


@given(st.text(max_size=60))
def test_any_url_is_refused_or_comes_back_from_the_xml(text: str) -> None:
    try:
        verb = Stream(url=WSS + text, status_callback_url=HTTPS + text)
    except InvalidVerb:
        return
    element = only(verb)
    assert (element.text, element.get("statusCallbackUrl")) == (WSS + text, HTTPS + text)
