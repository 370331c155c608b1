"""The telephone in the console's page, in a real Chromium, with a media socket that tests hold."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.protocol.telephony import Media, Start, UnknownEvent, parse_inbound
from tests.support import console_data as data
from tests.support.browser import what_was_heard
from tests.support.console_api import ConsoleApi
from tests.support.console_page import NAME, show, talk, until

pytestmark = [pytest.mark.system, pytest.mark.browser]


def audio(
    pcm: np.ndarray[tuple[int], np.dtype[np.int16]], samples: int = 160
) -> list[dict[str, Any]]:
    """Samples at 8 kHz as playAudio messages of so many."""
    mulaw = encode_ulaw(pcm)
    return [
        {
            "event": "playAudio",
            "media": {
                "contentType": "audio/x-mulaw",
                "sampleRate": 8000,
                "payload": base64.b64encode(mulaw[at : at + samples]).decode(),
            },
        }
        for at in range(0, len(mulaw), samples)
    ]


def tone(seconds: float, hz: float = 1000.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    time_s = np.arange(int(seconds * 8000)) / 8000
    return (8000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def payloads(api: ConsoleApi) -> list[bytes]:
    return [base64.b64decode(frame["media"]["payload"]) for frame in api.events("media")]


def test_one_answer_is_one_line_however_it_is_told(page: Page, api: ConsoleApi) -> None:
    """On a busy machine each sentence of a greeting became a line, and questions came second."""
    api.live = [
        {"kind": "agent", "text": "Hello.", "at_ms": 0},
        {"kind": "agent", "text": "Ask me.", "at_ms": 1000},
        {"kind": "agent", "text": "Hello. Ask me.", "at_ms": 1100},
        {"kind": "said", "n": 0, "text": "Hello. Ask me.", "at_ms": 0},
        {"kind": "agent", "text": "One moment.", "at_ms": 4000},
        {"kind": "caller", "n": 1, "text": "who are you", "is_understood": True, "at_ms": 2500},
        {"kind": "agent", "text": "One moment. I am Parley.", "at_ms": 5000},
        {"kind": "said", "n": 2, "text": "One moment. I am Parley.", "at_ms": 4000},
        {"kind": "said", "n": 0, "text": "Hello. Ask me.", "at_ms": 0},
    ]
    talk(page, api)
    expect(page.locator(".transcript .turn .said")).to_have_text(
        ["Hello. Ask me.", "who are you", "One moment. I am Parley."]
    )
    page.wait_for_timeout(300)
    expect(page.locator(".transcript .turn")).to_have_count(3)


# --- sound ------------------------------------------------------------------------------------


def test_the_pages_mu_law_is_the_platforms_bit_by_bit(page: Page, api: ConsoleApi) -> None:
    show(page, api)
    made = page.evaluate(
        """async () => {
          const { encode, DECODED } = await import("./static/g711.js");
          const all = Array.from({ length: 65536 }, (_, n) => encode(n - 32768));
          return { all, decoded: Array.from(DECODED) };
        }"""
    )
    every = np.arange(-32768, 32768).astype(np.int16)
    assert bytes(made["all"]) == bytes(encode_ulaw(every))
    assert made["decoded"] == decode_ulaw(bytes(range(256))).tolist()


@pytest.mark.parametrize("rate_hz", [48_000, pytest.param(44_100, marks=pytest.mark.soak)])
def test_what_telephones_cannot_carry_is_filtered_before_it_folds(
    page: Page, api: ConsoleApi, rate_hz: int
) -> None:
    show(page, api)
    levels = page.evaluate(
        """async ([rate, tones]) => {
          const { Resampler } = await import("./static/resample.js");
          const level = (hz) => {
            const resampler = new Resampler(rate, 8000);
            const out = [];
            for (let at = 0; at < rate / 4; at += 128) {
              const sine = (_, n) => Math.sin((2 * Math.PI * hz * (at + n)) / rate);
              out.push(...resampler.push(Float32Array.from({ length: 128 }, sine)));
            }
            const settled = out.slice(200);
            const power = settled.reduce((sum, v) => sum + v * v, 0) / settled.length;
            return 10 * Math.log10(2 * power);
          };
          return Object.fromEntries(tones.map((hz) => [hz, level(hz)]));
        }""",
        [rate_hz, [100, 1000, 3300, 4100, 5000, 7500]],
    )
    for hz, level_db in levels.items():
        if int(hz) <= 3300:
            assert abs(level_db) < 0.2, (hz, level_db)
        else:
            assert level_db < -70, (hz, level_db)


def test_the_microphone_becomes_fifty_frames_a_second_whatever_timers_do(
    fresh_page: Page, api: ConsoleApi
) -> None:
    """In a background tab browsers run timers once a second; a caller would hear gaps."""
    page = fresh_page
    page.add_init_script(
        """const soon = window.setTimeout;
        window.setTimeout = (act, ms, ...more) => soon(act, Math.max(ms || 0, 1000), ...more);
        window.setInterval = (act, ms) => soon(act, Math.max(ms, 1000));"""
    )
    talk(page, api)
    before = len(api.events("media"))
    began_s = time.monotonic()
    page.wait_for_timeout(1500)
    count, took_s = len(api.events("media")) - before, time.monotonic() - began_s
    assert count / took_s == pytest.approx(50, rel=0.08)
    assert api.frames[0]["event"] == "start"
    assert api.frames[0]["start"]["mediaFormat"] == {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
    }
    media = [frame["media"] for frame in api.events("media")]
    stamps = [int(one["timestamp"]) for one in media]
    assert {after - stamp for stamp, after in itertools.pairwise(stamps)} == {20}
    assert {len(payload) for payload in payloads(api)} == {160}
    # The stand-in microphone beeps: that is heard, and loud.
    loudest = max(int(np.abs(decode_ulaw(payload)).max()) for payload in payloads(api))
    assert loudest > 3000


def test_a_muted_page_sends_silence_and_not_nothing(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    page.get_by_role("button", name="Mute").click()
    page.wait_for_timeout(100)
    before = len(api.events("media"))
    # The stand-in microphone beeps once a second.
    page.wait_for_timeout(1050)
    muted = payloads(api)[before + 2 :]
    assert len(muted) > 40
    assert set(muted) == {b"\xff" * 160}
    page.get_by_role("button", name="Mute").click()
    until(lambda: payloads(api)[-1] != b"\xff" * 160)


def test_a_checkpoint_is_told_when_all_before_it_was_played(
    heard_page: Page, api: ConsoleApi
) -> None:
    page = heard_page
    talk(page, api)
    for command in [*audio(tone(0.6)), {"event": "checkpoint", "name": "one"}]:
        api.commands.put(command)
    for command in [*audio(tone(0.4, 500.0)), {"event": "checkpoint", "name": "two"}]:
        api.commands.put(command)
    began_s = time.monotonic()
    times_s: dict[str, float] = {}
    while len(times_s) < 2 and time.monotonic() < began_s + 5:
        page.wait_for_timeout(10)
        for event in api.events("playedStream"):
            times_s.setdefault(event["name"], time.monotonic() - began_s)
    assert list(times_s) == ["one", "two"]
    assert times_s["one"] == pytest.approx(0.6, abs=0.15)
    assert times_s["two"] - times_s["one"] == pytest.approx(0.4, abs=0.08)
    page.wait_for_timeout(300)
    samples, hz = what_was_heard(page)
    loud = np.abs(np.array(samples)) > 1000
    heard_s = (np.flatnonzero(loud)[-1] - np.flatnonzero(loud)[0]) / hz
    assert heard_s == pytest.approx(1.0, abs=0.02)


def test_a_clear_silences_at_once_voids_its_checkpoints_and_is_answered(
    heard_page: Page, api: ConsoleApi
) -> None:
    page = heard_page
    talk(page, api)
    for command in [*audio(tone(2.0)), {"event": "checkpoint", "name": "never"}]:
        api.commands.put(command)
    page.wait_for_timeout(500)
    api.commands.put({"event": "clearAudio"})
    until(lambda: api.events("clearedAudio"))
    page.wait_for_timeout(400)
    samples, hz = what_was_heard(page)
    loud = np.flatnonzero(np.abs(np.array(samples)) > 1000)
    assert 0.2 < (loud[-1] - loud[0]) / hz < 0.8
    assert api.events("playedStream") == []
    # What comes after it is played and acknowledged as ever.
    for command in [*audio(tone(0.2)), {"event": "checkpoint", "name": "after"}]:
        api.commands.put(command)
    until(lambda: api.events("playedStream"))
    assert [event["name"] for event in api.events("playedStream")] == ["after"]


def test_audio_that_runs_dry_in_mid_speech_is_counted(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    underruns = page.locator(".figure", has_text="Underruns").locator("dd")
    for _ in range(2):
        for command in audio(tone(0.1)):
            api.commands.put(command)
        page.wait_for_timeout(350)
    expect(underruns).to_have_text("1")
    expect(page.locator(".figure", has_text="In hand").locator("dd")).to_have_text("0 ms")


def test_what_is_in_hand_when_more_audio_comes_is_told_however_it_is_packed(
    page: Page, api: ConsoleApi
) -> None:
    """It was jitter, which is large where audio is written a tenth of a second at a time."""
    talk(page, api)
    for sound_s in (0.5, 0.1, 0.1):
        for command in audio(tone(sound_s), samples=8000):
            api.commands.put(command)
        page.wait_for_timeout(150)
    in_hand = page.locator(".figure", has_text="In hand").locator("dd")
    expect(in_hand).to_have_text(re.compile(r"(2|3)\d\d ms"))
    expect(page.locator(".figure", has_text="Underruns").locator("dd")).to_have_text("0")


# --- the call ---------------------------------------------------------------------------------


def test_keys_are_pressed_by_keyboard_and_by_keypad(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    page.keyboard.press("5")
    page.get_by_role("button", name="Keypad").click()
    page.get_by_role("button", name="#", exact=True).click()
    until(lambda: len(api.events("dtmf")) == 2)
    assert [event["dtmf"]["digit"] for event in api.events("dtmf")] == ["5", "#"]


def test_a_lost_line_comes_back_to_the_same_address_with_a_start_of_its_own(
    page: Page, api: ConsoleApi
) -> None:
    talk(page, api)
    api.commands.put(1012)
    until(lambda: len(api.events("start")) == 2)
    first, second = (event["start"] for event in api.events("start"))
    assert first["callId"] == second["callId"] == data.CALL_ID
    assert first["streamId"] != second["streamId"]
    assert not [path for path, _ in api.posts if path.endswith("hangup")]


@pytest.mark.soak
def test_a_line_that_does_not_come_back_is_said_and_the_call_given_up(
    page: Page, api: ConsoleApi
) -> None:
    talk(page, api)
    for _ in range(3):
        api.commands.put(1012)
    expect(page.get_by_role("alert")).to_have_text("The line was lost and did not come back.")
    until(lambda: [path for path, _ in api.posts if path.endswith("hangup")])
    assert api.sockets == 3


def test_the_agents_hanging_up_ends_the_call_and_is_told_as_the_agents(
    page: Page, api: ConsoleApi
) -> None:
    talk(page, api)
    api.commands.put({"event": "stop"})
    api.commands.put(1000)
    expect(page.locator(".transcript")).to_contain_text("The agent has ended the call.")
    until(lambda: api.posts[-1][1] == {"source": "agent"})
    page.get_by_role("button", name="Talk", exact=True).wait_for()


def test_hanging_up_is_told_once(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    page.get_by_role("button", name="Hang up").click()
    page.get_by_role("button", name="Talk", exact=True).wait_for()
    until(lambda: [p for p in api.posts if p[0].endswith("hangup")])
    page.wait_for_timeout(300)
    hangups = [body for path, body in api.posts if path.endswith("hangup")]
    assert hangups == [{"source": "caller"}]


def test_a_page_that_is_left_says_so_on_its_way_out(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    page.goto("about:blank")
    until(lambda: [p for p in api.posts if p[0].endswith("hangup")])
    assert api.posts[-1][1] == {"source": "caller"}


def test_a_call_goes_on_while_another_view_is_looked_at(page: Page, api: ConsoleApi) -> None:
    talk(page, api)
    page.get_by_role("link", name="Now").click()
    page.get_by_role("heading", name="Workers").wait_for()
    before = len(api.events("media"))
    page.wait_for_timeout(500)
    assert len(api.events("media")) > before + 15
    page.get_by_role("link", name=re.compile(r"^Talk 0:")).click()
    page.get_by_role("button", name="Hang up").wait_for()


def test_nobody_free_is_said_in_words(page: Page, api: ConsoleApi) -> None:
    api.talk_status = 503
    show(page, api)
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("busy")
    expect(page.get_by_role("button", name="Talk", exact=True)).to_be_enabled()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NotAllowedError", "refused"),
        pytest.param("NotFoundError", "No microphone was found", marks=pytest.mark.soak),
        pytest.param("NotReadableError", "in use by another program", marks=pytest.mark.soak),
    ],
)
def test_a_microphone_that_is_not_to_be_had_is_said_before_a_worker_is_booked(
    fresh_page: Page, api: ConsoleApi, name: str, said: str
) -> None:
    page = fresh_page
    page.add_init_script(
        f"""navigator.mediaDevices.getUserMedia = async () => {{
          throw new DOMException("no", "{name}");
        }};"""
    )
    show(page, api)
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    assert api.posts == []


def test_a_page_that_browsers_give_no_microphone_says_what_to_do(
    page: Page, api: ConsoleApi
) -> None:
    page.goto(api.url.replace("127.0.0.1", NAME) + "/console/")
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("https pages and to localhost only")


def test_words_appear_as_they_come_and_what_was_cut_off_is_struck_through(
    page: Page, api: ConsoleApi
) -> None:
    api.live = data.LIVE
    talk(page, api)
    transcript = page.locator(".transcript")
    cut = transcript.locator(".interrupted")
    expect(cut).to_contain_text("I find")
    expect(cut.locator("s")).to_have_text("where you speak, recognise the words,")
    expect(cut).to_contain_text("interrupted")
    expect(transcript.locator(".turn.caller .said")).to_have_text(
        ["how does this work", "what can you do"]
    )
    expect(transcript.locator(".turn.agent")).to_have_count(3)
    expect(page.locator(".figure", has_text="Barge-in").locator("dd")).to_have_text("135 ms")
    expect(page.locator(".figure", has_text="Turn latency").locator("dd")).to_have_text("684 ms")
    expect(page.locator(".last-turn .legend")).to_contain_text("endpointing 500 ms")
    expect(page.locator(".pill")).to_have_text("speaking")
    expect(page.locator("#announce")).not_to_be_empty()


def test_the_media_socket_is_told_what_vobiz_tells(page: Page, api: ConsoleApi) -> None:
    """Every message is one that the platform's own parser reads as what it is meant to be."""
    talk(page, api)
    for command in [*audio(tone(0.1)), {"event": "checkpoint", "name": "x"}]:
        api.commands.put(command)
    until(lambda: api.events("playedStream"))
    api.commands.put({"event": "clearAudio"})
    page.keyboard.press("7")
    until(lambda: api.events("clearedAudio") and api.events("dtmf"))
    read = [parse_inbound(json.dumps(frame)) for frame in api.frames]
    assert isinstance(read[0], Start)
    assert read[0].call_id == data.CALL_ID
    assert not [message for message in read if isinstance(message, UnknownEvent)]
    assert {getattr(m, "stream_id", None) for m in read} == {read[0].stream_id}
    assert sum(isinstance(message, Media) for message in read) > 5
