"""The verbs of an answer, executed against an application on loopback."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.simulator.calls.cloud import Cloud
from services.simulator.load import load_lines, load_report, play_load
from services.simulator.person.caller import KeyPresses
from services.simulator.results.picture import draw_call
from tests.support.simulated_call import Simulated, no_voice, plan_for, quick, simulate, words
from tests.support.vendor_server import ToneAgent, VendorServer, tone

pytestmark = pytest.mark.system


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud(open_engine=no_voice) as entered:
        yield entered


@pytest.fixture
async def server() -> AsyncIterator[VendorServer]:
    async with VendorServer() as entered:
        yield entered


async def run(cloud: Cloud, server: VendorServer, xml: str, **script: object) -> Simulated:
    server.answers["/answer"] = f"<Response>{xml}</Response>"
    server.answers.setdefault("/done", "<Response><Hangup/></Response>")
    limits = quick(**{"hangup_at_s": 12.0, "max_duration_s": 14.0, **script})
    return await simulate(cloud, plan_for(server, limits))


def wav(seconds: float, rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        pcm = np.rint(9000 * np.sin(2 * np.pi * 440 * times)).astype("<i2")
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


async def test_play_is_heard_as_often_as_asked(cloud: Cloud, server: VendorServer) -> None:
    server.files["/a.wav"] = wav(0.5, 22050)
    done = await run(cloud, server, f'<Play loop="2">{server.url}/a.wav</Play><Hangup/>')
    heard = done.call.line.handset.heard()
    loud = np.abs(heard) > 2000
    assert 0.6 * 8000 <= loud.sum() <= 1.0 * 8000
    assert done.report["ending"]["source"] == "Answer XML"


async def test_play_of_what_cannot_be_read_is_a_fault_and_takes_time(
    cloud: Cloud, server: VendorServer
) -> None:
    server.files["/a.mp3"] = b"ID3 not a WAV"
    done = await run(cloud, server, f"<Play>{server.url}/a.mp3</Play><Hangup/>")
    assert any("<Play>" in problem for problem in done.report["failures"])
    assert done.report["duration_s"] >= 3


async def test_speak_takes_its_time_even_without_a_voice(
    cloud: Cloud, server: VendorServer
) -> None:
    text = "This sentence takes about two seconds."
    done = await run(cloud, server, f"<Speak>{text}</Speak><Hangup/>")
    assert done.report["duration_s"] in (2, 3)


async def test_pre_answer_plays_to_a_leg_that_still_rings(
    cloud: Cloud, server: VendorServer
) -> None:
    xml = '<PreAnswer><Speak>Hm.</Speak><Wait length="0.1"/></PreAnswer><Hangup reason="busy"/>'
    await run(cloud, server, xml)
    assert server.webhook("Hangup").fields["AnswerTime"] == ""


async def test_a_scheduled_hangup_comes_in_its_time(cloud: Cloud, server: VendorServer) -> None:
    done = await run(cloud, server, '<Hangup schedule="1"/><Wait length="9"/>')
    assert done.report["ending"]["source"] == "Answer XML"
    assert 0.9 <= done.moments("ended")[0]["at_ms"] / 1000 <= 3


async def test_gather_times_out_with_empty_digits(cloud: Cloud, server: VendorServer) -> None:
    xml = f'<Gather action="{server.url}/done" executionTimeout="5"/>'
    await run(cloud, server, xml)
    (gathered,) = [w for w in server.webhooks if w.path == "/done"]
    assert (gathered.fields["Digits"], gathered.fields["Speech"]) == ("", "")


async def test_gather_takes_speech_by_what_the_script_says(
    cloud: Cloud, server: VendorServer
) -> None:
    xml = f'<Gather action="{server.url}/done" inputType="dtmf speech"/>'
    await run(cloud, server, xml, turns=(words(0.4, "yes please", at_s=0.3),))
    (gathered,) = [w for w in server.webhooks if w.path == "/done"]
    assert (gathered.fields["InputType"], gathered.fields["Speech"]) == ("speech", "yes please")


async def test_gather_stops_at_the_wanted_number_of_digits(
    cloud: Cloud, server: VendorServer
) -> None:
    xml = f'<Gather action="{server.url}/done" numDigits="2"><Speak>Two digits.</Speak></Gather>'
    await run(cloud, server, xml, turns=(KeyPresses("123", at_s=0.2),))
    (gathered,) = [w for w in server.webhooks if w.path == "/done"]
    assert gathered.fields["Digits"] == "12"


@pytest.mark.parametrize(
    ("number", "status", "events"),
    [
        ("+918000000009", "completed", ["DialAnswer", "DialConnected", "DialHangup"]),
        ("+918000003010", "busy", []),
    ],
)
async def test_dial_follows_the_dialled_number(
    cloud: Cloud, server: VendorServer, number: str, status: str, events: list[str]
) -> None:
    xml = (
        f'<Speak>Hm.</Speak><Dial action="{server.url}/done" '
        f'callbackUrl="{server.url}/stream-status"><Number>{number}</Number></Dial>'
    )
    await run(cloud, server, xml)
    (action,) = [w for w in server.webhooks if w.path == "/done"]
    assert action.fields["DialStatus"] == status
    dialled = [event for event in server.events() if event.startswith("Dial")]
    assert sorted(dialled) == sorted(events)


async def test_dial_names_its_far_leg(cloud: Cloud, server: VendorServer) -> None:
    xml = (
        f'<Speak>Hm.</Speak><Dial action="{server.url}/done" callerId="+918000000002" '
        f'callbackUrl="{server.url}/stream-status"><Number>+918000000009</Number></Dial>'
    )
    done = await run(cloud, server, xml)
    (action,) = [w for w in server.webhooks if w.path == "/done"]
    answer = server.webhook("DialAnswer").fields
    assert action.fields["DialBLegUUID"] == answer["DialBLegUUID"] != ""
    assert action.fields["DialALegUUID"] == done.call.call_uuid
    assert (answer["DialBLegFrom"], answer["DialBLegTo"]) == ("918000000002", "918000000009")


async def test_a_caller_who_hangs_up_in_a_dial_is_told_before_its_end(
    cloud: Cloud, server: VendorServer
) -> None:
    xml = (
        f'<Speak>Hm.</Speak><Dial action="{server.url}/done"><Number>+918000006010</Number></Dial>'
    )
    await run(cloud, server, xml, hangup_at_s=1.5)
    events = [(w.event, w.fields.get("DialStatus")) for w in server.webhooks]
    assert events[-2:] == [("Hangup", None), ("Redirect", "cancel")]


async def test_gather_does_not_take_what_was_pressed_before(
    cloud: Cloud, server: VendorServer
) -> None:
    gather = f'<Gather action="{server.url}/done" numDigits="1"/>'
    turns = (KeyPresses("7", at_s=0.2), KeyPresses("8", at_s=2.5))
    await run(cloud, server, f'<Speak>Hm.</Speak><Wait length="1"/>{gather}', turns=turns)
    (gathered,) = [w for w in server.webhooks if w.path == "/done"]
    assert gathered.fields["Digits"] == "8"


async def test_record_reports_its_end(cloud: Cloud, server: VendorServer) -> None:
    xml = (
        f'<Record action="{server.url}/stream-status" maxLength="1" '
        f'callbackUrl="{server.url}/stream-status"/><Hangup/>'
    )
    await run(cloud, server, xml)
    await server.wait_for("RecordStop")
    assert server.webhook("RecordStop").fields["RecordingEndReason"] == "maxLength"
    assert "Record" in server.events()


async def test_a_session_recording_does_not_hold_up_the_next_verb(
    cloud: Cloud, server: VendorServer
) -> None:
    url = f"{server.url}/stream-status"
    xml = f'<Record recordSession="true" action="{url}" callbackUrl="{url}"/><Hangup/>'
    done = await run(cloud, server, xml)
    assert done.report["duration_s"] <= 1
    told = [event for event in server.events() if event in {"Record", "Hangup", "RecordStop"}]
    assert told[-1] == "RecordStop", "after the Hangup"
    begun, ended = server.webhook("Record").fields, server.webhook("RecordStop").fields
    assert begun["RecordingID"] == ended["RecordingID"]
    assert ended["RecordingEndReason"] == "HungUp"
    assert int(ended["RecordingDurationMs"]) <= 1000


async def test_a_conference_lasts_as_long_as_its_limit(cloud: Cloud, server: VendorServer) -> None:
    xml = f'<Conference timeLimit="1" callbackUrl="{server.url}/stream-status">room</Conference>'
    done = await run(cloud, server, f"<DTMF>12#</DTMF>{xml}")
    assert server.webhook("ConferenceEnter").fields["ConferenceName"] == "room"
    assert done.report["ending"]["code"] == 4010
    assert done.moments("dtmf")[0]["by"] == "application"


async def test_a_dial_before_any_answer_is_noted(cloud: Cloud, server: VendorServer) -> None:
    done = await run(cloud, server, "<Dial>+918000003010</Dial>")
    assert any("<Dial>" in note["text"] for note in done.moments("note"))


async def test_a_picture_of_every_kind_of_event_is_drawn(cloud: Cloud, tmp_path: Path) -> None:
    script = quick(
        turns=(words(0.4), words(0.5, "a long interruption " * 9, barge_in_s=0.3)),
    )
    transcript = [
        {"who": "agent", "text": "Hello there, " * 20, "at_ms": 10},
        {"who": "caller", "text": "words", "at_ms": 900},
        {"who": "agent", "text": "Yes.", "at_ms": 1400},
    ]
    async with VendorServer(ToneAgent(greeting_s=0.5, reply_s=1.0)) as server:
        done = await simulate(cloud, plan_for(server, script))
    for name, words_said in (("with.png", transcript), ("without.png", [])):
        draw_call(done.call, tmp_path / name, words_said)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


async def test_a_call_without_any_sound_can_be_drawn(
    cloud: Cloud, server: VendorServer, tmp_path: Path
) -> None:
    done = await run(cloud, server, "<Hangup/>")
    draw_call(done.call, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


async def test_a_load_is_summed_up(cloud: Cloud) -> None:
    script = quick(turns=(words(0.4, barge_in_s=0.3),))
    async with VendorServer(ToneAgent(greeting_s=1.5, reply_s=0.3)) as server:
        server.statuses["/answer"] = []
        plans = [plan_for(server, script) for _ in range(4)]
        calls = await play_load(cloud, plans, over_s=0.2)
    report = load_report(calls, cloud.lag)
    assert (report["calls"], report["failed"], report["most_at_once"]) == (4, 0, 4)
    assert report["barge_ins"] == report["barge_in_latency_ms"]["count"] == 4
    assert report["turn_latency_ms"]["count"] == 4
    text = "\n".join(load_lines(report))
    assert "4 calls, 4 at once at most, 0 failed" in text
    report["is_client_the_bottleneck"] = True
    assert "WARNING" in load_lines(report)[-1]


def test_tone_is_as_loud_as_it_says() -> None:
    assert np.abs(tone(0.1, dbfs=-20.0)).max() == pytest.approx(3276.8 * 2**0.5, rel=0.01)
