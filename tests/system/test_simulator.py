"""The simulated cloud against an application shaped like the vendor's example, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from services.simulator.calls.cloud import Cloud
from services.simulator.calls.knobs import (
    WIRE_SHAPES,
    HangupKnob,
    Knobs,
    ReconnectKnob,
    SignatureKnob,
)
from services.simulator.calls.plan import Target
from services.simulator.person.caller import KeyPresses
from shared.protocol.signature import SignatureVerdict, verify_signature
from shared.protocol.telephony import WireShape
from tests.support.simulated_call import TOKEN, no_voice, plan_for, quick, simulate, words
from tests.support.vendor_server import (
    AgentSocket,
    ToneAgent,
    VendorServer,
    greet_and_listen,
    tone,
)

pytestmark = pytest.mark.system

QUICK = Knobs(hangup_delay_s=0.02, retry_delay_s=0.05, reconnect_delay_s=0.2)
ONE_WAY = 'bidirectional="false" keepCallAlive="false"'
KEEPS = 'bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000"'


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud(open_engine=no_voice) as entered:
        yield entered


# --- an inbound call (12.1) ---------------------------------------------------------------------


async def test_an_inbound_call_is_answered_greeted_and_reported(cloud: Cloud) -> None:
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server))
    assert done.report["failures"] == []
    assert done.webhooks() == ["StartApp", "StartStream", "PlayedStream", "Hangup"]
    answer = server.webhook("StartApp")
    assert (answer.path, answer.query) == ("/answer", {"c": "7", "d": "8"})
    assert answer.headers["user-agent"] == "Vobiz"
    assert answer.fields["CallStatus"] == "ringing"
    assert answer.fields["From"] == "918000000001"
    assert "ALegUUID" not in answer.fields
    assert "X-VH" not in str(answer.fields)


async def test_the_media_socket_speaks_as_documented(cloud: Cloud) -> None:
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server))
    (socket,) = server.sockets
    assert socket.connection.request is not None
    assert socket.connection.request.path == "/media/secret?agent=tone"
    assert socket.connection.request.headers.get("User-Agent") == ""
    assert "Sec-WebSocket-Extensions" not in socket.connection.request.headers
    start, *rest = socket.messages
    assert (start["event"], start["sequenceNumber"]) == ("start", 0)
    assert start["start"]["callId"] == done.call.call_uuid
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000}
    assert start["extra_headers"] == "{}"
    media = [message for message in rest if message["event"] == "media"]
    assert [m["sequenceNumber"] for m in media] == list(range(1, len(media) + 1))
    assert [m["media"]["chunk"] for m in media] == list(range(1, len(media) + 1))
    stamps = [int(m["media"]["timestamp"]) for m in media]
    assert set(np.diff(stamps)) == {20}
    assert {len(m["media"]["payload"]) for m in media} == {216}
    assert socket.connection.close_code == 1000
    assert not any(message["event"] == "stop" for message in rest)


async def test_media_comes_every_20_ms(cloud: Cloud) -> None:
    async with VendorServer() as server:
        await simulate(cloud, plan_for(server, quick(hangup_at_s=3.0)))
    (socket,) = server.sockets
    arrivals = [
        at
        for at, message in zip(socket.arrivals_s, socket.messages, strict=True)
        if message["event"] == "media"
    ]
    spread = np.diff(arrivals)
    assert np.mean(spread) == pytest.approx(0.02, abs=0.001)
    assert np.percentile(spread, 75) < 0.03  # the machine may be busy


async def test_the_greeting_is_heard_where_and_as_it_was_played(cloud: Cloud) -> None:
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server))
    stereo = done.call.line.handset.stereo()
    first_ms = done.report["answer_to_first_audio_ms"]
    (span,) = done.report["spans"]["agent"]
    assert not stereo[:, 0].any()
    assert span["to_ms"] - span["from_ms"] == 1000.0
    assert span["ended_by"] == "checkpoint"
    assert abs(first_ms - span["from_ms"]) < 21
    start = round(span["from_ms"] * 8)
    heard = stereo[start : start + 8000, 1].astype(float)
    spectrum = np.abs(np.fft.rfft(heard))
    assert int(spectrum.argmax()) == 440
    assert np.corrcoef(heard, tone(1.0))[0, 1] > 0.999
    assert not stereo[start + 8001 :, 1].any()


async def test_an_echo_agent_holds_a_conversation(cloud: Cloud) -> None:
    script = quick(turns=(words(), words(0.7, "more words")))
    async with VendorServer(ToneAgent(reply_s=0.5)) as server:
        done = await simulate(cloud, plan_for(server, script))
    assert done.report["failures"] == []
    waited = [turn["latency_ms"] for turn in done.report["turns"]]
    assert len(waited) == 2
    # The agent waits for 15 quiet frames; the rest is transport and whole frames.
    assert all(300 <= latency_ms <= 700 for latency_ms in waited), waited
    assert done.report["barge_ins"] == []
    assert done.report["underruns"] == 0
    # Replies come at one go: nothing of one was ever awaited while another part of it played.
    assert done.report["play_audio"]["in_hand_ms"]["count"] == 0


async def test_answer_xml_asked_for_by_get_has_its_fields_in_the_query(cloud: Cloud) -> None:
    async with VendorServer() as server:
        plan = plan_for(server, answer=Target(f"{server.url}/answer?c=7", "GET"))
        await simulate(cloud, plan)
    answer = server.webhook("StartApp")
    assert answer.method == "GET"
    assert answer.query["c"] == "7"
    assert answer.query["CallUUID"] == plan.facts.call_uuid


async def test_a_failing_answer_url_is_asked_three_times_and_then_its_fallback(
    cloud: Cloud,
) -> None:
    async with VendorServer() as server:
        server.statuses["/answer"] = [500, 503, 404]
        done = await simulate(cloud, plan_for(server, fallback=Target(f"{server.url}/fallback")))
    assert [w.path for w in server.webhooks][:4] == ["/answer"] * 3 + ["/fallback"]
    assert done.report["ending"]["code"] == 4000


@pytest.mark.parametrize(
    ("xml", "code", "name"),
    [
        ("<Response><Speak>a & b</Speak></Response>", 8011, "Invalid Answer XML"),
        ("<Response><Teleport/></Response>", 8011, "Invalid Answer XML"),
        ("<Response/>", 4010, "End Of XML Instructions"),
        ("<Response><Stream>https://no.example</Stream></Response>", 8011, "Invalid Answer XML"),
        ("<Response><Hangup/></Response>", 4000, "Normal Hangup"),
        ('<Response><Hangup reason="busy"/></Response>', 3010, "Busy Line"),
        (
            '<Response><Stream bidirectional="true" audioTrack="both">ws://x/</Stream></Response>',
            4010,
            "End Of XML Instructions",
        ),
    ],
)
async def test_what_the_answer_says_decides_how_the_call_ends(
    cloud: Cloud, xml: str, code: int, name: str
) -> None:
    async with VendorServer() as server:
        server.answers["/answer"] = xml
        await simulate(cloud, plan_for(server))
    hangup = server.webhook("Hangup").fields
    assert (hangup["HangupCauseCode"], hangup["HangupCauseName"]) == (str(code), name)


async def test_an_answer_url_that_is_down_ends_the_call_with_7011(cloud: Cloud) -> None:
    async with VendorServer() as server:
        plan = plan_for(server, answer=Target("http://127.0.0.1:9/answer"))
        done = await simulate(cloud, plan)
    hangup = server.webhook("Hangup").fields
    assert (hangup["HangupCauseCode"], hangup["HangupSource"]) == ("7011", "Error")
    assert hangup["AnswerTime"] == ""
    assert not done.report["ok"]


async def test_verbs_run_in_order_and_a_redirect_replaces_the_rest(cloud: Cloud) -> None:
    async with VendorServer() as server:
        server.answers["/answer"] = (
            '<Response><Wait length="0.1"/><Speak>Please wait.</Speak>'
            f"<Redirect>{server.url}/next?x=1</Redirect><Hangup/></Response>"
        )
        server.answers["/next"] = "<Response><Speak>Bye.</Speak></Response>"
        done = await simulate(cloud, plan_for(server))
    verbs = [event["verb"] for event in done.moments("verb")]
    assert verbs == ["Wait", "Speak", "Redirect", "Speak"]
    assert server.webhook("Redirect").query == {"x": "1"}
    assert done.report["ending"]["code"] == 4010


async def test_gather_collects_keys_and_posts_them(cloud: Cloud) -> None:
    script = quick(turns=(KeyPresses("42#", at_s=0.3),), hangup_at_s=5.0)
    async with VendorServer() as server:
        server.answers["/answer"] = (
            f'<Response><Gather action="{server.url}/gathered" numDigits="5">'
            "<Speak>Your number, please, whenever you are ready.</Speak></Gather></Response>"
        )
        server.answers["/gathered"] = "<Response><Hangup/></Response>"
        await simulate(cloud, plan_for(server, script))
    (gathered,) = [w for w in server.webhooks if w.path == "/gathered"]
    assert (gathered.fields["Digits"], gathered.fields["InputType"]) == ("42", "dtmf")


# --- playback, barge-in, checkpoints (12.3) -----------------------------------------------------


async def test_talking_over_the_agent_clears_its_audio_and_is_measured_exactly(
    cloud: Cloud,
) -> None:
    script = quick(turns=(words(0.6, barge_in_s=0.8),))
    async with VendorServer(ToneAgent(greeting_s=5.0)) as server:
        done = await simulate(cloud, plan_for(server, script))
    (barge_in,) = done.report["barge_ins"]
    assert barge_in["how"] == "cleared"
    span = done.report["spans"]["agent"][0]
    onset_ms = done.report["spans"]["caller"][0]["onset_ms"]
    assert span["ended_by"] == "clear"
    assert barge_in["latency_ms"] == pytest.approx(span["to_ms"] - onset_ms)
    assert 20 <= barge_in["latency_ms"] <= 300
    heard = done.call.line.handset.heard()
    end = round(span["to_ms"] * 8)
    assert np.abs(heard[end - 160 : end]).max() > 3000
    assert not heard[end : end + 2000].any()
    clear = done.moments("clear")[0]
    assert clear["dropped_ms"] == pytest.approx(5000 - (span["to_ms"] - span["from_ms"]))
    assert clear["void_checkpoints"] == ["greeting"]


async def test_cleared_audio_is_acknowledged_soon_and_its_checkpoints_never(cloud: Cloud) -> None:
    waited: list[float] = []

    async def clear_at_once(agent: AgentSocket) -> None:
        await agent.until("start")
        await agent.play(tone(3.0))
        await agent.send("checkpoint", name="void")
        await agent.until("media")
        sent_s = asyncio.get_running_loop().time()
        await agent.send("clearAudio")
        cleared = await agent.until("clearedAudio")
        waited.append(asyncio.get_running_loop().time() - sent_s)
        assert cleared["streamId"] == agent.stream_id
        await agent.play(tone(0.2))
        await agent.send("checkpoint", name="kept")
        await agent.until("playedStream", name="kept")
        await agent.drain()

    async with VendorServer(clear_at_once) as server:
        await simulate(cloud, plan_for(server))
        (socket,) = server.sockets
    played = [m["name"] for m in socket.messages if m["event"] == "playedStream"]
    assert played == ["kept"]
    assert 0.001 <= waited[0] < 0.3
    posted = [w.fields.get("Name") for w in server.webhooks if w.event == "PlayedStream"]
    assert posted == ["kept"]
    assert server.events().count("ClearedAudio") == 1


async def test_a_checkpoint_comes_back_when_its_audio_has_been_played(cloud: Cloud) -> None:
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server))
    (played,) = done.moments("played")
    (span,) = done.report["spans"]["agent"]
    assert played["at_ms"] == pytest.approx(span["to_ms"], abs=150)


@pytest.mark.parametrize(
    ("content_type", "rate_hz"),
    [("audio/x-l16", 8000), ("audio/x-l16", 16000), ("audio/x-l16", 24000), ("raw", 8000)],
)
async def test_audio_of_every_documented_format_is_heard(
    cloud: Cloud, content_type: str, rate_hz: int
) -> None:
    times = np.arange(rate_hz) / rate_hz
    pcm = np.rint(8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)

    async def play(agent: AgentSocket) -> None:
        await agent.until("start")
        for at in range(0, len(pcm), rate_hz // 50):
            piece = pcm[at : at + rate_hz // 50]
            await agent.play(piece, content_type=content_type, rate_hz=rate_hz)
        await agent.send("checkpoint", name="end")
        await agent.drain()

    async with VendorServer(play) as server:
        done = await simulate(cloud, plan_for(server))
    (span,) = done.report["spans"]["agent"]
    assert span["to_ms"] - span["from_ms"] == 1000.0
    heard = done.call.line.handset.heard()[round(span["from_ms"] * 8) :][:8000].astype(float)
    reference = 8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    assert np.corrcoef(heard, reference)[0, 1] > 0.995


async def test_commands_that_are_none_are_ignored(cloud: Cloud) -> None:
    async def mutter(agent: AgentSocket) -> None:
        await agent.until("start")
        for text in ("{", "[]", '{"event":"playAudio"}', '{"event":"dance"}'):
            await agent.connection.send(text)
        await agent.connection.send(b"\x00\x01")
        media = {"contentType": "audio/mpeg", "sampleRate": 8000, "payload": "AAAA"}
        await agent.send("playAudio", media=media)
        known, agent.stream_id = agent.stream_id, "someone-else"
        await agent.play(tone(1.0))
        agent.stream_id = known
        agent.names_stream = False
        await agent.play(tone(0.5))
        await agent.send("checkpoint", name="end")
        await agent.drain()

    async with VendorServer(mutter) as server:
        done = await simulate(cloud, plan_for(server))
    assert done.report["play_audio"]["ignored_commands"] == 6
    assert done.report["play_audio"]["heard_ms"] == 500.0


async def test_a_dry_queue_within_a_sentence_is_an_underrun(cloud: Cloud) -> None:
    async def stutter(agent: AgentSocket) -> None:
        await agent.until("start")
        await agent.play(tone(0.3))
        for _ in range(25):
            await agent.until("media")
        await agent.play(tone(0.3))
        await agent.send("checkpoint", name="end")
        await agent.drain()

    async with VendorServer(stutter) as server:
        done = await simulate(cloud, plan_for(server))
    assert done.report["underruns"] == 1
    assert done.report["play_audio"]["in_hand_ms"]["least"] == 0
    assert 120 <= done.report["gaps"][0]["duration_ms"] <= 320


# --- endings (12.4) -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [(HangupKnob.CLOSE_1000, 1000), (HangupKnob.ABORT_1006, 1006), (HangupKnob.STOP_EVENT, 1000)],
)
async def test_a_hang_up_reaches_the_socket_in_every_known_way(
    cloud: Cloud, how: HangupKnob, code: int
) -> None:
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server, knobs=replace(QUICK, hangup=how)))
        (socket,) = server.sockets
        await socket.connection.wait_closed()
    assert socket.connection.close_code == code
    has_stop = any(message["event"] == "stop" for message in socket.messages)
    assert has_stop == (how is HangupKnob.STOP_EVENT)
    hangup = server.webhook("Hangup").fields
    assert (hangup["HangupCauseCode"], hangup["HangupSource"]) == ("4000", "Caller")
    assert hangup["BillDuration"] == "60"
    assert "DroppedStream" not in server.events()
    assert "StopStream" not in server.events()
    assert done.report["ok"]


async def test_a_stop_by_the_application_runs_the_next_verb(cloud: Cloud) -> None:
    async def stop(agent: AgentSocket) -> None:
        await agent.until("start")
        await agent.play(tone(2.0))
        await agent.until("media")
        await agent.send("stop")
        await agent.drain()

    async with VendorServer(stop, after_stream="<Speak>Goodbye.</Speak><Hangup/>") as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=9.0)))
    assert [event["verb"] for event in done.moments("verb")] == ["Stream", "Speak", "Hangup"]
    assert done.report["ending"]["source"] == "Answer XML"
    assert "StopStream" in server.events()
    assert done.report["play_audio"]["heard_ms"] < 1000


async def test_a_stop_with_nothing_behind_it_ends_the_call_with_4010(cloud: Cloud) -> None:
    async def stop(agent: AgentSocket) -> None:
        await agent.until("start")
        await agent.send("stop")
        await agent.drain()

    async with VendorServer(stop) as server:
        done = await simulate(cloud, plan_for(server))
    assert (done.report["ending"]["code"], done.report["ending"]["source"]) == (4010, "Vobiz")


async def test_a_hang_up_while_a_stopped_stream_waits_for_its_application_ends_the_call(
    cloud: Cloud,
) -> None:
    async def stop_and_fall_silent(agent: AgentSocket) -> None:
        await agent.until("start")
        await asyncio.sleep(0.4)
        agent.connection.transport.pause_reading()
        await agent.send("stop")
        await asyncio.sleep(2.0)
        agent.connection.transport.abort()

    async with VendorServer(stop_and_fall_silent, after_stream="<Hangup/>") as server:
        async with asyncio.timeout(10):
            done = await simulate(cloud, plan_for(server, quick(hangup_at_s=0.9)))
    assert done.report["ending"]["source"] == "Caller"
    assert [event["verb"] for event in done.moments("verb")] == ["Stream"]


async def test_an_application_that_closes_the_socket_has_dropped_the_stream(cloud: Cloud) -> None:
    async def close(agent: AgentSocket) -> None:
        await agent.until("media")
        await agent.connection.close()

    async with VendorServer(close) as server:
        done = await simulate(cloud, plan_for(server))
    assert done.report["ending"]["code"] == 4010
    dropped = server.webhook("DroppedStream").fields
    assert dropped["Error"] == "connection disconnected with the remote service"
    assert len(server.sockets) == 1


async def test_a_socket_that_is_refused_is_tried_again_as_often_as_asked(cloud: Cloud) -> None:
    async with VendorServer(stream_attributes=f'{KEEPS} maxRetries="2"') as server:
        server.refuses_sockets = 2
        done = await simulate(cloud, plan_for(server, knobs=QUICK))
    assert server.events().count("DroppedStream") == 2
    assert server.events().count("StartStream") == 1
    assert done.report["play_audio"]["heard_ms"] == 1000.0
    assert len(done.moments("socket_failed")) == 2


async def test_a_stream_timeout_ends_the_stream_and_not_the_call(cloud: Cloud) -> None:
    async with VendorServer(
        stream_attributes=f'{KEEPS} streamTimeout="1"', after_stream="<Speak>Bye.</Speak>"
    ) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=9.0)))
    assert "StopStream" in server.events()
    assert [event["verb"] for event in done.moments("verb")] == ["Stream", "Speak"]
    assert done.report["ending"]["code"] == 4010


async def test_without_keep_call_alive_the_next_verb_runs_at_once(cloud: Cloud) -> None:
    async with VendorServer(
        stream_attributes='bidirectional="true"', after_stream='<Wait length="0.6"/>'
    ) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=9.0)))
    assert done.report["ending"]["code"] == 4010
    start = server.sockets[0].messages[0]["start"]
    assert start["mediaFormat"] == {"encoding": "audio/x-l16", "sampleRate": 8000}


async def test_a_time_limit_ends_the_call_with_6000(cloud: Cloud) -> None:
    async with VendorServer() as server:
        plan = plan_for(server, quick(hangup_at_s=9.0), time_limit_s=0.5)
        await simulate(cloud, plan)
    assert server.webhook("Hangup").fields["HangupCause"] == "ALLOTTED_TIMEOUT"


async def test_a_hangup_goes_to_the_answer_url_when_there_is_no_other(cloud: Cloud) -> None:
    async with VendorServer() as server:
        await simulate(cloud, plan_for(server, hangup=None))
    assert server.webhook("Hangup").path == "/answer"
    assert server.events(path="/answer") == ["StartApp", "Hangup"]


async def test_a_webhook_that_is_refused_is_sent_again(cloud: Cloud) -> None:
    async with VendorServer() as server:
        server.statuses["/hangup"] = [500, 503]
        done = await simulate(cloud, plan_for(server))
    assert server.events(path="/hangup") == ["Hangup"] * 3
    assert done.report["failures"] == []


# --- reconnecting (12.5) ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(ReconnectKnob))
async def test_a_lost_socket_comes_back_with_or_without_a_start(
    cloud: Cloud, mode: ReconnectKnob
) -> None:
    async def greet_once(agent: AgentSocket) -> None:
        await agent.until("media")
        if len(server.sockets) == 1:
            await agent.play(tone(5.0))
        await agent.drain()

    knobs = replace(QUICK, reconnect=mode, drop_socket_at_s=(0.6,))
    async with VendorServer(greet_once) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=2.0), knobs=knobs))
    first, second = server.sockets
    assert first.path == second.path
    assert server.events().count("StartApp") == 1
    assert first.stream_id != second.stream_id
    head = second.messages[0]
    if mode is ReconnectKnob.A:
        assert (head["event"], head["sequenceNumber"]) == ("start", 0)
        assert head["start"]["callId"] == done.call.call_uuid
    else:
        assert head["event"] == "media"
        assert not any(m["event"] == "start" for m in second.messages)
    (span,) = done.report["spans"]["agent"]
    assert span["ended_by"] == "lost"
    assert 300 <= span["to_ms"] - span["from_ms"] <= 900


# --- knobs (12.6) -------------------------------------------------------------------------------


async def test_the_flat_shape_of_the_vendors_example_completes_a_call(cloud: Cloud) -> None:
    knobs = replace(QUICK, shape=WireShape.FLAT, hangup=HangupKnob.STOP_EVENT)
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server, knobs=knobs))
    start = server.sockets[0].messages[0]
    assert start["callId"] == done.call.call_uuid
    assert start["metadata"] == {"from": "918000000001", "to": "918000000002"}
    assert "start" not in start
    assert done.report["ok"]


@pytest.mark.parametrize("name", ["texts", "integers"])
async def test_numbers_can_come_in_other_types(cloud: Cloud, name: str) -> None:
    knobs = replace(QUICK, shape=WIRE_SHAPES[name])
    async with VendorServer() as server:
        done = await simulate(cloud, plan_for(server, knobs=knobs))
    start, media = server.sockets[0].messages[:2]
    kinds = {
        type(start["sequenceNumber"]),
        type(media["media"]["chunk"]),
        type(start["start"]["mediaFormat"]["sampleRate"]),
    }
    assert kinds == {str if name == "texts" else int}
    assert type(media["media"]["timestamp"]) is (str if name == "texts" else int)
    assert done.report["ok"]


async def test_the_cloud_can_ping(cloud: Cloud) -> None:
    pings: list[bytes] = []

    async def note_pings(agent: AgentSocket) -> None:
        protocol = agent.connection.protocol
        take = protocol.recv_frame

        def recv_frame(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                pings.append(bytes(frame.data))
            take(frame)

        protocol.recv_frame = recv_frame  # type: ignore[method-assign] # looks, changes nothing
        await greet_and_listen(agent)

    async with VendorServer(note_pings) as server:
        knobs = replace(QUICK, ping_interval_s=0.1)
        await simulate(cloud, plan_for(server, knobs=knobs))
    assert len(pings) >= 5


async def test_media_can_come_before_the_start(cloud: Cloud) -> None:
    async with VendorServer() as server:
        await simulate(cloud, plan_for(server, knobs=replace(QUICK, media_before_start=3)))
    events = [message["event"] for message in server.sockets[0].messages[:5]]
    assert events == ["media", "media", "media", "start", "media"]


async def test_webhooks_can_be_duplicated(cloud: Cloud) -> None:
    async with VendorServer() as server:
        await simulate(cloud, plan_for(server, knobs=replace(QUICK, duplicates_webhooks=True)))
    events = server.events()
    assert {event: events.count(event) for event in events} == {
        "StartApp": 2,
        "StartStream": 2,
        "PlayedStream": 2,
        "Hangup": 2,
    }


async def test_played_stream_can_come_after_the_hangup(cloud: Cloud) -> None:
    knobs = replace(QUICK, holds_played_until_hangup=True)
    async with VendorServer() as server:
        await simulate(cloud, plan_for(server, knobs=knobs))
    assert server.events()[-2:] == ["Hangup", "PlayedStream"]


@pytest.mark.parametrize(
    ("knob", "verdict"),
    [
        (SignatureKnob.VALID, SignatureVerdict.VALID),
        (SignatureKnob.MAIN_ACCOUNT_ONLY, SignatureVerdict.VALID),
        (SignatureKnob.WRONG, SignatureVerdict.WRONG),
        (SignatureKnob.NONE, SignatureVerdict.MISSING),
    ],
)
async def test_webhooks_are_signed_as_the_knob_says(
    cloud: Cloud, knob: SignatureKnob, verdict: SignatureVerdict
) -> None:
    async with VendorServer() as server:
        plan = plan_for(server, knobs=replace(QUICK, signature=knob))
        await simulate(cloud, plan)
        for webhook in server.webhooks:
            url = f"{server.url}{webhook.path}"
            assert verify_signature(webhook.headers, url, [TOKEN]) is verdict
    nonces = {w.headers.get("x-vobiz-signature-v3-nonce") for w in server.webhooks}
    assert len(nonces) == (1 if knob is SignatureKnob.NONE else len(server.webhooks))


async def test_keys_reach_the_socket_unless_the_knob_holds_them_back(cloud: Cloud) -> None:
    script = quick(turns=(KeyPresses("7", at_s=0.2),), hangup_at_s=0.8)
    for sends in (True, False):
        async with VendorServer() as server:
            knobs = replace(QUICK, sends_dtmf_events=sends)
            await simulate(cloud, plan_for(server, script, knobs=knobs))
        keys = [m for m in server.sockets[0].messages if m["event"] == "dtmf"]
        assert [key["dtmf"]["digit"] for key in keys] == (["7"] if sends else [])


async def test_comfort_noise_gaps_leave_frames_out_and_the_clock_running(cloud: Cloud) -> None:
    knobs = replace(QUICK, has_comfort_noise_gaps=True)
    script = quick(turns=(words(0.4, at_s=0.5),), hangup_at_s=1.6)
    async with VendorServer(stream_attributes=KEEPS) as server:
        await simulate(cloud, plan_for(server, script, knobs=knobs))
    media = [m["media"] for m in server.sockets[0].messages if m["event"] == "media"]
    assert len(media) == 20
    assert [int(m["chunk"]) for m in media] == list(range(1, 21))


async def test_a_24_khz_inbound_stream_never_opens(cloud: Cloud) -> None:
    attributes = KEEPS.replace("x-mulaw;rate=8000", "x-l16;rate=24000")
    async with VendorServer(stream_attributes=attributes) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=0.6)))
    assert server.sockets == []
    assert server.events() == ["StartApp", "Hangup"]
    assert done.report["ending"]["code"] == 4000


async def test_an_application_that_reads_too_slowly_loses_its_stream(cloud: Cloud) -> None:
    is_over = asyncio.Event()

    async def never_read(agent: AgentSocket) -> None:
        await agent.until("start")
        agent.connection.transport.pause_reading()
        await is_over.wait()
        agent.connection.transport.abort()

    knobs = replace(QUICK, backlog_s=0.6, send_buffer_bytes=4096, garbage_messages=3000)
    async with VendorServer(never_read) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=20.0), knobs=knobs))
        is_over.set()
        degraded = server.webhook("DegradedStream").fields
        assert degraded["Error"] == "connection degraded"
        assert "DroppedStream" in server.events()
        assert done.report["ending"]["code"] == 4010


async def test_garbage_can_be_sent_among_the_media(cloud: Cloud) -> None:
    texts: list[str] = []

    async def collect(agent: AgentSocket) -> None:
        async for message in agent.connection:
            texts.append(str(message))

    async with VendorServer(collect) as server:
        knobs = replace(QUICK, garbage_messages=200)
        await simulate(cloud, plan_for(server, quick(hangup_at_s=1.0), knobs=knobs))
    assert any(len(text) > 100_000 for text in texts)
    assert sum(not _is_json(text) for text in texts) > 20


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


async def test_a_one_way_stream_carries_both_tracks_and_takes_no_commands(cloud: Cloud) -> None:
    attributes = f'{ONE_WAY} audioTrack="both" contentType="audio/x-l16;rate=16000"'
    async with VendorServer(
        greet_and_listen, stream_attributes=attributes, after_stream='<Wait length="1"/>'
    ) as server:
        done = await simulate(cloud, plan_for(server, quick(hangup_at_s=9.0)))
    media = [m["media"] for m in server.sockets[0].messages if m["event"] == "media"]
    assert {m["track"] for m in media} == {"inbound", "outbound"}
    assert {len(m["payload"]) for m in media} == {856}
    assert done.report["play_audio"]["heard_ms"] == 0
    assert done.report["play_audio"]["ignored_commands"] == 2


# --- many at once -------------------------------------------------------------------------------


async def test_thirty_calls_at_once_are_thirty_good_calls(cloud: Cloud) -> None:
    script = quick(turns=(words(0.5, barge_in_s=0.5),))
    async with VendorServer(ToneAgent(greeting_s=2.0)) as server:
        plans = [plan_for(server, script) for _ in range(30)]
        done = await asyncio.gather(*(simulate(cloud, plan) for plan in plans))
    assert [problem for one in done for problem in one.report["failures"]] == []
    assert all(one.report["barge_ins"][0]["how"] == "cleared" for one in done)
    assert len({socket.call_id for socket in server.sockets}) == 30
